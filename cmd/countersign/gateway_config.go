package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/register/upstream"
	"countersign.dev/countersign/internal/xroad"
)

// gatewayConfig is the YAML file of a gateway; docs/operate/gateway.yaml is the annotated example. Unknown keys are refused.
// Relative paths are relative to the file. Nothing in it switches a check off.
type gatewayConfig struct {
	Member  countersign.MemberID    `yaml:"member"`
	Name    countersign.GatewayName `yaml:"name"`
	Origin  countersign.LogOrigin   `yaml:"origin"` // of this gateway's log, for instance pop.example/log
	Data    string                  `yaml:"data"`   // folder of the store
	Keys    string                  `yaml:"keys"`   // folder of key files, made by gateway init
	Errors  string                  `yaml:"errors,omitempty"`
	Listen  listenConfig            `yaml:"listen"`
	Fed     directoryConfig         `yaml:"directory"`
	Clients []clientConfig          `yaml:"clients"`

	Services map[string]serviceConfig `yaml:"services,omitempty"` // by service identifier

	dir string // of the file
}

type listenConfig struct {
	Client string     `yaml:"client"`           // X-Road REST for the member's own systems
	TLS    *tlsConfig `yaml:"tls,omitempty"`    // of the client address; due unless it is on loopback
	Peer   string     `yaml:"peer"`             // other gateways, TLS 1.3 with pinned keys
	Public string     `yaml:"public,omitempty"` // the log's tiles, for everybody
	Admin  string     `yaml:"admin"`            // /healthz /readyz /metrics
}

type tlsConfig struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

type directoryConfig struct {
	URL  string `yaml:"url"`
	Root string `yaml:"root"` // the first root that this gateway trusts
}

type clientConfig struct {
	Subsystem   countersign.SubsystemID `yaml:"subsystem"`
	TokenSHA256 string                  `yaml:"tokenSHA256,omitempty"` // of the token that its system sends in Countersign-Token
	Certificate countersign.KeyID       `yaml:"certificate,omitempty"` // SHA-256 of its TLS certificate's public key, base64url
}

type serviceConfig struct {
	HTTP *upstream.Config `yaml:"http,omitempty"`
	SQL  *sqlConfig       `yaml:"sql,omitempty"`
}

type sqlConfig struct {
	Database    string `yaml:"database"`    // SQLite file, opened read-only
	Declaration string `yaml:"declaration"` // YAML file: the query, its columns, its path
}

func loadGatewayConfig(file string) (*gatewayConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &gatewayConfig{dir: filepath.Dir(file)}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(c); err != nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the configuration %s cannot be used: %s", file, yaml.FormatError(err, false, true))
	}
	return c, c.check()
}

func (c *gatewayConfig) check() error {
	for _, f := range []struct{ name, value, example string }{
		{"name", string(c.Name), "gw1"}, {"origin", string(c.Origin), "agency.example/log"}, {"data", c.Data, "data"}, {"keys", c.Keys, "keys"},
		{"listen.client", c.Listen.Client, "127.0.0.1:8080"}, {"listen.peer", c.Listen.Peer, ":5500"}, {"listen.admin", c.Listen.Admin, "127.0.0.1:9090"},
		{"directory.url", c.Fed.URL, "https://directory.example"}, {"directory.root", c.Fed.Root, "root.json"},
	} {
		if f.value == "" {
			return countersign.Refuse(countersign.CodeBadRequest, "the configuration lacks %s: write for instance %q", f.name, f.example)
		}
	}
	if c.Member.IsZero() {
		return countersign.Refuse(countersign.CodeBadRequest, "the configuration lacks member: write INSTANCE/CLASS/CODE")
	}
	if c.Listen.TLS == nil && !onLoopback(c.Listen.Client) {
		return countersign.Refuse(countersign.CodeBadRequest, "listen.client %q is reached from other machines: give listen.tls, or listen on loopback", c.Listen.Client)
	}
	for i, cl := range c.Clients {
		if (cl.TokenSHA256 == "") == (cl.Certificate == "") {
			return countersign.Refuse(countersign.CodeBadRequest, "clients[%d] needs exactly one of tokenSHA256 and certificate", i)
		}
		if raw, err := hex.DecodeString(cl.TokenSHA256); cl.TokenSHA256 != "" && (err != nil || len(raw) != sha256.Size) {
			return countersign.Refuse(countersign.CodeBadRequest, "clients[%d].tokenSHA256 is 64 hexadecimal digits", i)
		}
	}
	for id, s := range c.Services {
		if _, err := countersign.ParseServiceID(id); err != nil {
			return err
		}
		if (s.HTTP == nil) == (s.SQL == nil) {
			return countersign.Refuse(countersign.CodeBadRequest, "services[%s] needs exactly one of http and sql", id)
		}
	}
	return nil
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// path resolves a path of the file.
func (c *gatewayConfig) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

func (c *gatewayConfig) key(name string) string { return filepath.Join(c.path(c.Keys), name) }

func (c *gatewayConfig) style() (xroad.Style, error) { return xroad.ParseStyle(c.Errors) }

// authenticate proves which subsystems a calling system is, by its token or its certificate's key.
func (c *gatewayConfig) authenticate() exchange.Authenticate {
	type proof struct {
		digest [sha256.Size]byte
		client countersign.SubsystemID
	}
	var tokens []proof
	certificates := map[countersign.KeyID][]countersign.SubsystemID{}
	for _, cl := range c.Clients {
		if cl.Certificate != "" {
			certificates[cl.Certificate] = append(certificates[cl.Certificate], cl.Subsystem)
			continue
		}
		p := proof{client: cl.Subsystem}
		_, _ = hex.Decode(p.digest[:], []byte(cl.TokenSHA256)) // check has decoded it once
		tokens = append(tokens, p)
	}
	return func(r *http.Request) (func(countersign.SubsystemID) bool, error) {
		var may []countersign.SubsystemID
		if t := r.Header[exchange.HeaderToken]; len(t) == 1 {
			digest := sha256.Sum256([]byte(t[0]))
			for i := range tokens {
				if subtle.ConstantTimeCompare(digest[:], tokens[i].digest[:]) == 1 {
					may = append(may, tokens[i].client)
				}
			}
		}
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			if pin, err := keys.PeerOf(r.TLS); err == nil {
				may = append(may, certificates[pin.KeyID()]...)
			}
		}
		if len(may) == 0 {
			return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the calling system did not prove who it is: send its token in %s, or its client certificate", exchange.HeaderToken)
		}
		return func(id countersign.SubsystemID) bool {
			for _, m := range may {
				if m == id {
					return true
				}
			}
			return false
		}, nil
	}
}
