package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign/demo/mail"
)

// TestPortalExample holds the annotated configuration of the operators' page to what the program reads.
func TestPortalExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/operate/portal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	dir := t.TempDir()
	if err := mail.Found(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	certificate, err := os.ReadFile(filepath.Join(dir, mail.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"portal.yaml": text, "mail.password": "secret\n", "mail-ca.pem": string(certificate), "hooks-ca.pem": string(certificate),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loadPortalConfig(filepath.Join(dir, "portal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Notices == nil || c.Notices.Mail == nil || c.Notices.Webhooks == nil {
		t.Fatal("the example shows no notices")
	}
	if p, err := c.proxies(); err != nil || p == nil {
		t.Fatalf("the example trusts no proxy: %v", err)
	}
	o, err := c.noticeOptions()
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Senders) != 2 || o.Digest != 8*time.Hour || o.Spread != 4*time.Hour || o.Delay != time.Hour || o.Every != time.Minute {
		t.Errorf("the example reads as %+v", o)
	}
	for name, change := range map[string]func(*noticesConfig){
		"without TLS":                func(n *noticesConfig) { n.Mail.TLS = "none" },
		"a password others can read": func(*noticesConfig) { _ = os.Chmod(filepath.Join(dir, "mail.password"), 0o644) },
		"a user without a password":  func(n *noticesConfig) { n.Mail.PasswordFile = "" },
		"a server without a port":    func(n *noticesConfig) { n.Mail.Server = "mail.example" },
		"from nobody":                func(n *noticesConfig) { n.Mail.From = "notices" },
		"a time of day that is none": func(n *noticesConfig) { n.Digest = "8 o'clock" },
		"a delay of days":            func(n *noticesConfig) { n.Delay = "48h" },
		"nothing to send by":         func(n *noticesConfig) { n.Mail, n.Webhooks = nil, nil },
	} {
		again, err := loadPortalConfig(filepath.Join(dir, "portal.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		change(again.Notices)
		if _, err := again.noticeOptions(); err == nil {
			t.Errorf("%s is taken", name)
		}
		if err := os.Chmod(filepath.Join(dir, "mail.password"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPortalProxies: a configuration trusts nobody unless it names them, and is refused where it would trust visitors.
func TestPortalProxies(t *testing.T) {
	page, err := os.ReadFile("../../docs/operate/portal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	before, rest, ok := strings.Cut(text, "proxies:")
	_, after, found := strings.Cut(rest, "\ndirectory:")
	if !ok || !found {
		t.Fatal("the example has no proxies")
	}
	load := func(proxies string) (*portalConfig, error) {
		file := filepath.Join(t.TempDir(), "portal.yaml")
		if err := os.WriteFile(file, []byte(before+proxies+"\ndirectory:"+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return loadPortalConfig(file)
	}
	c, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.proxies(); p != nil || err != nil {
		t.Errorf("without the key somebody is trusted: %v %v", p, err)
	}
	if _, err := load(`proxies: {trusted: [10.1.2.3/32, "2001:db8::/64"], header: Forwarded}`); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{
		"proxies: {trusted: [0.0.0.0/0], header: X-Forwarded-For}", `proxies: {trusted: ["::/0"], header: Forwarded}`,
		"proxies: {trusted: [10.1.2.3/32, 128.0.0.0/1], header: Forwarded}", "proxies: {trusted: [10.1.2.3/8], header: Forwarded}",
		"proxies: {trusted: [10.1.2.3/32]}", "proxies: {trusted: [10.1.2.3/32], header: X-Real-IP}", "proxies: {header: Forwarded}",
		"proxies: {trusted: [proxy.example], header: Forwarded}", "proxies: {trusted: [10.1.2.3/32], header: Forwarded, all: true}",
	} {
		if _, err := load(wrong); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}
