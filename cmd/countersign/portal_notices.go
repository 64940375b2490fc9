package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/page"
)

// noticesConfig is how a portal's notices leave. Without it the portal sends none, and its page says so.
type noticesConfig struct {
	Mail     *mailConfig     `yaml:"mail,omitempty"`
	Webhooks *webhooksConfig `yaml:"webhooks,omitempty"`
	Digest   string          `yaml:"digest,omitempty"` // when daily notices begin to leave, in the portal's time zone; 08:00 where empty
	Spread   string          `yaml:"spread,omitempty"` // for how long they leave, each at a random moment; 4h where empty
	Delay    string          `yaml:"delay,omitempty"`  // the longest that a notice "soon after" waits, at random; 1h where empty
	Every    string          `yaml:"every,omitempty"`  // how often gateways are asked; 1m where empty
}

// mailConfig is the server by which mail leaves. There is no sending without TLS.
type mailConfig struct {
	Server       string `yaml:"server"`                 // host:port
	TLS          string `yaml:"tls,omitempty"`          // starttls (where empty), or implicit: from the first byte
	User         string `yaml:"user,omitempty"`         //
	PasswordFile string `yaml:"passwordFile,omitempty"` // mode 0600
	From         string `yaml:"from"`
	CA           string `yaml:"ca,omitempty"` // PEM: whom to trust instead of the machine's roots
}

// webhooksConfig lets people have notices sent to programs of theirs.
type webhooksConfig struct {
	Private []netip.Prefix `yaml:"private,omitempty"` // networks besides the public Internet
	CA      string         `yaml:"ca,omitempty"`
}

// The file of the key of notices, and of their store.
const (
	keyNotices  = "notices.key"
	noticesFile = "notices.db"
)

// openNotices puts notices together; nil where the portal sends none.
func (c *portalConfig) openNotices(ctx context.Context, p *portalParts, people *subject.Portal, locales *web.Locales, now clock.Clock, logger *slog.Logger) (*notice.Service, error) {
	if c.Notices == nil {
		return nil, nil //nolint:nilnil // a portal without notices
	}
	o, err := c.noticeOptions()
	if err != nil {
		return nil, err
	}
	if o.Vault, err = c.noticeVault(); err != nil {
		return nil, err
	}
	if o.Place, err = c.place(); err != nil {
		return nil, err
	}
	if o.Metrics, err = notice.NewMetrics(p.metrics); err != nil {
		return nil, err
	}
	kept, err := store.OpenNotices(ctx, filepath.Join(c.gateway().path(c.Data), noticesFile))
	if err != nil {
		return nil, err
	}
	closeRest := p.close
	p.close = func() error { return errors.Join(kept.Close(), closeRest()) }
	home := strings.TrimSuffix(c.URL, "/")
	o.Asker, o.Store, o.Clock, o.Logger = people, kept, now, logger
	o.StopURL = home + strings.TrimSuffix(page.PathNoticeStop, "{handle}")
	o.Write = func(language string, what notice.What, code, stop string) (string, string) {
		l := locales.In(locales.Match(language), o.Place)
		id := "mail." + string(what)
		return l.T(id + ".subject"), l.T(id+".body", "URL", home, "Code", code, "Stop", stop)
	}
	return notice.New(*o), nil
}

// noticeVault reads the key of contact terms, or makes one where nothing was ever sealed under another.
func (c *portalConfig) noticeVault() (*notice.Vault, error) {
	path := c.gateway().key(keyNotices)
	text, err := keys.LoadSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(c.gateway().path(c.Data), noticesFile)); err == nil {
			return nil, countersign.Refuse(countersign.CodeStore, "the key file %s is missing, and contact terms are sealed under it: restore it, or remove %s with all contact terms", path, noticesFile)
		}
		text = notice.NewKey()
		err = keys.SaveSecret(path, text)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return notice.NewVault(text)
}

func (c *portalConfig) noticeOptions() (*notice.Options, error) {
	n := c.Notices
	o := &notice.Options{Senders: map[notice.Kind]notice.Sender{}}
	if n.Mail == nil && n.Webhooks == nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "notices has neither mail nor webhooks: give one, or leave notices out")
	}
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"spread", n.Spread, &o.Spread}, {"delay", n.Delay, &o.Delay}, {"every", n.Every, &o.Every}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil || v <= 0 || v > 24*time.Hour {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "notices.%s %q is no duration up to a day: write for instance 1h", d.name, d.text)
		}
		*d.to = v
	}
	if n.Digest != "" {
		at, err := time.Parse("15:04", n.Digest)
		if err != nil {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "notices.digest %q is no time of day: write for instance 08:00", n.Digest)
		}
		o.Digest = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	}
	if n.Mail != nil {
		m, err := c.mailer(n.Mail)
		if err != nil {
			return nil, err
		}
		o.Senders[notice.Email] = m
	}
	if n.Webhooks != nil {
		trust, err := c.trust(n.Webhooks.CA)
		if err != nil {
			return nil, err
		}
		o.Senders[notice.Webhook] = notice.NewHooker(notice.HookConfig{Private: n.Webhooks.Private, TLS: trust})
	}
	return o, nil
}

func (c *portalConfig) mailer(m *mailConfig) (*notice.Mailer, error) {
	conf := notice.MailConfig{Server: m.Server, User: m.User, From: m.From}
	switch m.TLS {
	case "", "starttls":
	case "implicit":
		conf.Implicit = true
	default:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "notices.mail.tls %q is neither starttls nor implicit: mail leaves over TLS alone", m.TLS)
	}
	if m.PasswordFile != "" {
		text, err := keys.LoadSecret(c.gateway().path(m.PasswordFile))
		if err != nil {
			return nil, err
		}
		conf.Password = strings.TrimSpace(string(text))
	}
	var err error
	if conf.TLS, err = c.trust(m.CA); err != nil {
		return nil, err
	}
	return notice.NewMailer(conf)
}

// trust reads whom to trust; nil for the machine's roots.
func (c *portalConfig) trust(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // the machine's roots
	}
	text, err := os.ReadFile(c.gateway().path(file))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the file %s holds no certificate in PEM", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
