// Package mail is the demo's mail server: it takes mail by SMTP, over TLS and from whoever knows the password, keeps each message in a file, and shows them on a page.
// It delivers nothing to anybody.
package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Files of a mail server's folder.
const (
	CertFile     = "cert.pem"
	KeyFile      = "key.pem"
	PasswordFile = "password"
	letters      = "letters"
)

// User is the name by which the portal logs in.
const User = "portal"

const maxMessage = 1 << 20

// Found makes a server's folder: a certificate for this machine, a password, and a place for letters.
func Found(dir string, now time.Time) error {
	if err := os.MkdirAll(filepath.Join(dir, letters), 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the demo's mail server"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		CertFile:     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyFile:      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		PasswordFile: []byte(rand.Text() + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Server is one mail server over its folder.
type Server struct {
	dir      string
	password string
	smtp     *smtp.Server

	mu sync.Mutex
	n  int
}

// Open reads a folder that Found made.
func Open(dir string) (*Server, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, err
	}
	password, err := os.ReadFile(filepath.Join(dir, PasswordFile)) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, password: strings.TrimSpace(string(password))}
	all, err := s.files()
	if err != nil {
		return nil, err
	}
	s.n = len(all)
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }))
	s.smtp.Domain, s.smtp.TLSConfig = "localhost", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.smtp.MaxRecipients, s.smtp.MaxMessageBytes, s.smtp.ReadTimeout, s.smtp.WriteTimeout = 1, maxMessage, time.Minute, time.Minute
	return s, nil
}

// Serve takes mail until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = s.smtp.Close() })
	defer stop()
	if err := s.smtp.Serve(l); err != nil && !errors.Is(err, smtp.ErrServerClosed) && ctx.Err() == nil {
		return err
	}
	return nil
}

// session is one connection.
type session struct {
	server *Server
	known  bool
}

var _ smtp.AuthSession = (*session)(nil)

func (c *session) Reset()        {}
func (c *session) Logout() error { return nil }

// AuthMechanisms implements smtp.AuthSession. They are offered once the connection is encrypted.
func (c *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != User || subtle.ConstantTimeCompare([]byte(password), []byte(c.server.password)) != 1 {
			return smtp.ErrAuthFailed
		}
		c.known = true
		return nil
	}), nil
}

func (c *session) Mail(string, *smtp.MailOptions) error {
	if !c.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

// Rcpt refuses people of a domain that is not there, so that refusals can be seen.
func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasSuffix(to, ".invalid") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 2}, Message: "no such domain"}
	}
	return nil
}

// Data keeps a message. It is on the disk when the sender hears that it was taken.
func (c *session) Data(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxMessage))
	if err != nil {
		return err
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.n++
	path := filepath.Join(c.server.dir, letters, fmt.Sprintf("%06d.eml", c.server.n))
	if err := os.WriteFile(path+".part", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

func (s *Server) files() ([]string, error) {
	all, err := filepath.Glob(filepath.Join(s.dir, letters, "*.eml"))
	slices.Sort(all)
	return all, err
}

// Letter is a message as the page shows it.
type Letter struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	ID      string `json:"id"`
	Body    string `json:"body"`
	Raw     string `json:"raw"`
}

// Letters reads every message, oldest first.
func (s *Server) Letters() ([]Letter, error) {
	all, err := s.files()
	if err != nil {
		return nil, err
	}
	out := []Letter{}
	for _, f := range all {
		text, err := os.ReadFile(f) //nolint:gosec // of our own folder
		if err != nil {
			return nil, err
		}
		l, err := read(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func read(text []byte) (Letter, error) {
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return Letter{}, err
	}
	body := m.Body
	if strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(m.Body)
	}
	plain, err := io.ReadAll(body)
	if err != nil {
		return Letter{}, err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return Letter{}, err
	}
	return Letter{To: m.Header.Get("To"), Subject: subject, ID: m.Header.Get("Message-ID"), Body: string(plain), Raw: string(text)}, nil
}

// ServeHTTP shows what has come: / for people, newest first; /letters.json for programs, oldest first.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		fmt.Fprintln(w, "ok")
		return
	}
	all, err := s.Letters()
	if err != nil {
		http.Error(w, "the letters cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case "/letters.json":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	case "/":
		slices.Reverse(all)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = page.Execute(w, all)
	default:
		http.NotFound(w, r)
	}
}

var page = template.Must(template.New("letters").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Mail of the demo country</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}article{border-top:1px solid #767676;padding:1rem 0}pre{white-space:pre-wrap;font:inherit}
h2{font-size:1.1rem;margin:0}small{color:#595959}details pre{font:13px/1.4 ui-monospace,monospace}</style></head>
<body><main><h1>Mail of the demo country</h1><p>Nothing leaves this machine: whatever the portal sends is kept here.</p>
{{range .}}<article><h2>{{.Subject}}</h2><small>{{.To}}</small><pre>{{.Body}}</pre><details><summary>As it was sent</summary><pre>{{.Raw}}</pre></details></article>
{{else}}<p>No mail has come yet.</p>{{end}}</main></body></html>
`))
