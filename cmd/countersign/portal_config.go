package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/portal"
)

// portalConfig is the YAML file of a portal. Unknown keys are refused. Relative paths are relative to the file. Nothing in it switches a check off.
type portalConfig struct {
	Member   countersign.MemberID    `yaml:"member"` // with the role portal in the directory
	Name     countersign.GatewayName `yaml:"name"`
	Origin   countersign.LogOrigin   `yaml:"origin"` // of the portal's log
	Data     string                  `yaml:"data"`
	Keys     string                  `yaml:"keys"`
	URL      string                  `yaml:"url"` // where people reach it
	Listen   portalListen            `yaml:"listen"`
	Proxies  *proxiesConfig          `yaml:"proxies,omitempty"` // in front of listen.web; nobody is trusted where empty
	Fed      directoryConfig         `yaml:"directory"`
	Logins   []loginConfig           `yaml:"logins"`
	Timezone string                  `yaml:"timezone,omitempty"` // of the IANA database; UTC where empty
	Patience string                  `yaml:"patience,omitempty"` // how long a page waits for gateways, for instance 2s
	Notices  *noticesConfig          `yaml:"notices,omitempty"`

	dir string
}

type portalListen struct {
	Web    string     `yaml:"web"`           // the people's pages
	TLS    *tlsConfig `yaml:"tls,omitempty"` // of the web address; due unless it is on loopback
	Peer   string     `yaml:"peer"`          // gateways and the portal itself: queries about its own log
	Public string     `yaml:"public,omitempty"`
	Admin  string     `yaml:"admin"`
}

// proxiesConfig names the proxies whose word on where a request comes from is taken.
type proxiesConfig struct {
	Trusted []netip.Prefix      `yaml:"trusted"`
	Header  web.ForwardedHeader `yaml:"header"` // the one that they write themselves: X-Forwarded-For or Forwarded
}

// loginConfig is the portal's registration with one identity provider.
type loginConfig struct {
	Issuer     string            `yaml:"issuer"` // as the directory lists it
	Name       map[string]string `yaml:"name"`   // by language
	Client     string            `yaml:"client"`
	SecretFile string            `yaml:"secretFile,omitempty"` // none for a public client
	// Consents is the client id for logins that give or withdraw consents, among the issuer's consents in the directory.
	Consents           string `yaml:"consents,omitempty"`
	ConsentsSecretFile string `yaml:"consentsSecretFile,omitempty"`
	CaseCode           bool   `yaml:"caseCode,omitempty"` // for people without a national identifier, by the code on an agency's letter
}

func loadPortalConfig(file string) (*portalConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &portalConfig{dir: filepath.Dir(file)}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(c); err != nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the configuration %s cannot be used: %s", file, yaml.FormatError(err, false, true))
	}
	return c, c.check()
}

func (c *portalConfig) check() error {
	for _, f := range []struct{ name, value, example string }{
		{"name", string(c.Name), "gw1"}, {"origin", string(c.Origin), "portal.example/log"}, {"data", c.Data, "data"}, {"keys", c.Keys, "keys"},
		{"url", c.URL, "https://my.example"}, {"listen.web", c.Listen.Web, "127.0.0.1:8080"}, {"listen.peer", c.Listen.Peer, ":5500"},
		{"listen.admin", c.Listen.Admin, "127.0.0.1:9090"}, {"directory.url", c.Fed.URL, "https://directory.example"}, {"directory.root", c.Fed.Root, "root.json"},
	} {
		if f.value == "" {
			return countersign.Refuse(countersign.CodeBadRequest, "the configuration lacks %s: write for instance %q", f.name, f.example)
		}
	}
	if c.Member.IsZero() {
		return countersign.Refuse(countersign.CodeBadRequest, "the configuration lacks member: write INSTANCE/CLASS/CODE")
	}
	if c.Listen.TLS == nil && !onLoopback(c.Listen.Web) {
		return countersign.Refuse(countersign.CodeBadRequest, "listen.web %q is reached from other machines: give listen.tls, or listen on loopback behind a TLS proxy", c.Listen.Web)
	}
	if err := identity.CheckURL(c.URL); err != nil {
		return countersign.Refuse(countersign.CodeBadRequest, "url %q must begin with https: only on this machine may it be http", c.URL)
	}
	if _, err := c.proxies(); err != nil {
		return err
	}
	if len(c.Logins) == 0 {
		return countersign.Refuse(countersign.CodeBadRequest, "the configuration lacks logins: give the identity provider by which people log in")
	}
	for i, l := range c.Logins {
		if l.Issuer == "" || l.Client == "" {
			return countersign.Refuse(countersign.CodeBadRequest, "logins[%d] needs issuer and client", i)
		}
	}
	return nil
}

// gateway is the part of the configuration that a portal has in common with a gateway.
func (c *portalConfig) gateway() *gatewayConfig {
	return &gatewayConfig{
		Member: c.Member, Name: c.Name, Origin: c.Origin, Data: c.Data, Keys: c.Keys, Fed: c.Fed, dir: c.dir,
		Listen: listenConfig{TLS: c.Listen.TLS, Peer: c.Listen.Peer, Public: c.Listen.Public, Admin: c.Listen.Admin},
	}
}

func (c *portalConfig) clients() ([]portal.Client, error) {
	var out []portal.Client
	for _, l := range c.Logins {
		one := portal.Client{Issuer: l.Issuer, Name: l.Name, ID: l.Client, Consents: l.Consents, CaseCode: l.CaseCode}
		for file, to := range map[string]*string{l.SecretFile: &one.Secret, l.ConsentsSecretFile: &one.ConsentsSecret} {
			if file == "" {
				continue
			}
			text, err := os.ReadFile(c.gateway().path(file))
			if err != nil {
				return nil, err
			}
			*to = strings.TrimSpace(string(text))
		}
		out = append(out, one)
	}
	return out, nil
}

// proxies gives whom to believe on where a request comes from; nil is nobody.
func (c *portalConfig) proxies() (*web.Proxies, error) {
	if c.Proxies == nil {
		return nil, nil //nolint:nilnil // nobody is trusted
	}
	p, err := web.NewProxies(c.Proxies.Header, c.Proxies.Trusted)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "proxies cannot be used: %s", countersign.MessageOf(err))
	}
	return p, nil
}

func (c *portalConfig) place() (*time.Location, error) {
	place, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "timezone %q is not in the IANA database: write for instance Asia/Baku", c.Timezone)
	}
	return place, nil
}

func (c *portalConfig) wait() (time.Duration, error) {
	if c.Patience == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.Patience)
	if err != nil || d <= 0 {
		return 0, countersign.Refuse(countersign.CodeBadRequest, "patience %q is no duration: write for instance 2s", c.Patience)
	}
	return d, nil
}
