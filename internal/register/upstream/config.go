// Package upstream asks a register over HTTP: the service that a member's information system offers behind its gateway.
package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// The default and greatest time-outs.
//
// SPEC: XROAD-REST, retries and time: connect 5 s, answer 60 s, per service up to 300 s.
const (
	DefaultConnect = 5 * time.Second
	DefaultAnswer  = 60 * time.Second
	MaxAnswerTime  = 300 * time.Second
)

// DefaultConnections bounds the connections to one register.
const DefaultConnections = 512

// Config says where a register is and how it is asked. Files are read once, by New.
type Config struct {
	// URL is the base: scheme, host and an optional path that goes before the path of each question. No query, no user.
	URL string `yaml:"url"`
	// Plain permits http to a host other than this machine. Personal data then cross the member's network in the clear.
	Plain bool `yaml:"plain,omitempty"`

	CA         string `yaml:"ca,omitempty"`         // PEM file of the authorities of the register; the system's when empty
	Cert       string `yaml:"cert,omitempty"`       // PEM file of the client's certificate chain
	Key        string `yaml:"key,omitempty"`        // PEM file of its key, mode 0600
	ServerName string `yaml:"serverName,omitempty"` // the name that the register's certificate must have, when it is not the URL's host

	// Headers are sent with each question: by name, a file of mode 0600 that holds the value (a token, an API key).
	Headers map[string]string `yaml:"headers,omitempty"`

	Connect     countersign.Duration `yaml:"connect,omitempty"`     // DefaultConnect when zero
	Answer      countersign.Duration `yaml:"answer,omitempty"`      // DefaultAnswer when zero, MaxAnswerTime at most
	Connections int                  `yaml:"connections,omitempty"` // DefaultConnections when zero
}

func bad(field, format string, args ...any) error {
	r := countersign.Refuse(countersign.CodeBadRequest, format, args...)
	return countersign.Refuse(countersign.CodeBadRequest, "register, %s: %s", field, r.Message)
}

// parseBase checks the base URL.
func (c *Config) parseBase() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, bad("url", "write https://host:port/path")
	case u.User != nil:
		return nil, bad("url", "it holds a user: put credentials into headers")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, bad("url", "it holds a query or a fragment: leave them out")
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !c.Plain && !isLoopback(u.Hostname()) {
			return nil, bad("url", "http to another machine sends personal data in the clear: use https, or set plain")
		}
		if c.CA != "" || c.Cert != "" || c.ServerName != "" {
			return nil, bad("url", "ca, cert and serverName are for https")
		}
	default:
		return nil, bad("url", "the scheme is http or https")
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (c *Config) tls() (*tls.Config, error) {
	// Registers are older than gateways: TLS 1.2 with Go's safe suites is accepted here, and nowhere between gateways.
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, unreadable("ca", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, bad("ca", "the file holds no certificate in PEM")
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, bad("cert", "cert and key go together")
	}
	if c.Cert == "" {
		return conf, nil
	}
	cert, err := os.ReadFile(c.Cert)
	if err != nil {
		return nil, unreadable("cert", err)
	}
	key, err := readSecret("key", c.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, bad("cert", "certificate and key cannot be read, or do not belong together")
	}
	conf.Certificates = []tls.Certificate{pair}
	return conf, nil
}

// secretHeader is a credential. It has no String method and unexported fields only; nothing prints it.
type secretHeader struct {
	name   string
	values []string
}

func (c *Config) credentials() ([]secretHeader, error) {
	var out []secretHeader
	for name, file := range c.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch canonical {
		case "", "Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Accept-Encoding", "Content-Type":
			return nil, bad("headers", "%q is not a header for credentials", name)
		}
		if strings.ContainsFunc(canonical, func(r rune) bool { return r <= ' ' || r == ':' || r >= 0x7f }) {
			return nil, bad("headers", "%q is not the name of a header", name)
		}
		b, err := readSecret("headers", file)
		if err != nil {
			return nil, err
		}
		value := strings.TrimRight(string(b), "\r\n")
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, bad("headers", "the file for %q holds no value, or more than one line", name)
		}
		out = append(out, secretHeader{canonical, []string{value}})
	}
	return out, nil
}

// readSecret reads a file that nobody else on the machine may read.
func readSecret(field, name string) (b []byte, err error) {
	f, err := os.Open(name) //nolint:gosec // the operator's own configuration names it
	if err != nil {
		return nil, unreadable(field, err)
	}
	defer func() {
		if cerr := f.Close(); cerr != nil && err == nil {
			err = unreadable(field, cerr)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(field, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, bad(field, "others may read the file %s: chmod 0600", name)
	}
	b, err = io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, unreadable(field, err)
	}
	return b, nil
}

func unreadable(field string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "register, %s: the file %s cannot be read: %s", field, p.Path, p.Err)
	}
	return countersign.RefuseBecause(countersign.CodeBadRequest, err, "register, %s: a file cannot be read", field)
}

func (c *Config) transport() (*http.Transport, error) {
	conf, err := c.tls()
	if err != nil {
		return nil, err
	}
	connect := time.Duration(c.Connect)
	if connect == 0 {
		connect = DefaultConnect
	}
	n := c.Connections
	if n < 0 {
		return nil, bad("connections", "it is negative")
	}
	if n == 0 {
		n = DefaultConnections
	}
	dialer := &net.Dialer{Timeout: connect}
	return &http.Transport{
		Proxy:                  nil, // no environment decides where personal data go
		DialContext:            dialCounted(dialer),
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    connect,
		DisableCompression:     true, // what the service encodes stays encoded
		MaxIdleConns:           n,
		MaxIdleConnsPerHost:    n,
		MaxConnsPerHost:        n,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              onlyHTTP1(),
	}, nil
}

// onlyHTTP1 keeps to the protocol whose writes to a connection can be told apart by question.
func onlyHTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}
