package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/identity"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
	"countersign.dev/countersign/internal/web/portal"
)

// demoPortal is where the demo's portal is.
type demoPortal struct {
	ID     countersign.MemberID `json:"id"`
	URL    string               `json:"url"` // the people's pages
	Peer   string               `json:"peer"`
	Public string               `json:"public"`
	Admin  string               `json:"admin"`
	Config string               `json:"config"`
	PID    int                  `json:"pid,omitempty"`
}

// portalAddresses is how many ports portal and identity provider take.
const portalAddresses = 5 + mailAddresses

// planPortal chooses the addresses of the portal and of the identity provider.
func (d *demoFile) planPortal(next func() string) {
	d.Portal = &demoPortal{
		ID: law.Member(portalCode), URL: "http://" + next(), Peer: "https://" + next(), Public: "http://" + next(), Admin: "http://" + next(),
		Config: d.path(folderOf(portalCode), "portal.yaml"),
	}
	d.Identity = &demoPart{URL: "http://" + next()}
	d.planMail(next)
}

// portalCode is the member that runs the portal in the demo's law.
const portalCode = "POR"

// clientPortal and the others are client ids at the demo's identity provider.
const (
	clientPortal  = "portal"
	clientConsent = "portal-consent" // of the portal too, for giving and withdrawing consents alone
	clientDesk    = "desk"
)

// foundPortal begins the portal's log, gives the portal its gateway in the directory, and lists the issuers.
func (d *demoFile) foundPortal(ctx context.Context, doc *countersign.Directory) error {
	if d.Portal == nil {
		return nil
	}
	doc.Issuers = d.issuers()
	if err := d.foundMail(); err != nil {
		return err
	}
	if err := d.writePortalConfig(); err != nil {
		return err
	}
	conf, err := loadPortalConfig(d.Portal.Config)
	if err != nil {
		return err
	}
	entry, err := initGateway(ctx, conf.gateway(), d.Portal.Peer, d.Portal.Public)
	if err != nil {
		return err
	}
	for i := range doc.Members {
		if m := &doc.Members[i]; m.ID == d.Portal.ID {
			m.Gateways = []countersign.Gateway{*entry}
			m.Subsystems = []countersign.Subsystem{{Code: subject.SubsystemPortal, Text: m.Text}}
		}
	}
	return nil
}

func (d *demoFile) issuers() []countersign.Issuer {
	out := []countersign.Issuer{{
		URL: d.Identity.URL + "/people", For: []countersign.IssuerRole{countersign.IssuerPerson}, Audience: []string{clientPortal},
		Consents: []string{clientConsent}, Scheme: "pin",
	}, {
		URL: d.caseIssuer(), For: []countersign.IssuerRole{countersign.IssuerPerson}, Audience: []string{clientPortal},
		Consents: []string{clientConsent}, Scheme: countersign.SchemeCase,
	}}
	for _, code := range law.Agencies() {
		if m, ok := d.Members[code]; ok {
			id := m.ID
			out = append(out, countersign.Issuer{
				URL: d.Identity.URL + "/staff/" + folderOf(code), For: []countersign.IssuerRole{countersign.IssuerOfficial}, Member: &id, Audience: []string{clientDesk},
			})
		}
	}
	return out
}

// caseIssuer is the issuer by which people without a personal code come in.
func (d *demoFile) caseIssuer() string { return d.Identity.URL + "/case" }

func (d *demoFile) writePortalConfig() error {
	if err := os.MkdirAll(d.path(folderOf(portalCode)), 0o700); err != nil {
		return err
	}
	p := d.Portal
	text, err := yaml.Marshal(portalConfig{
		Member: p.ID, Name: "gw1", Origin: "por.demo.example/log", Data: "data", Keys: "keys", URL: p.URL, Timezone: "Asia/Baku",
		Listen: portalListen{Web: address(p.URL), Peer: address(p.Peer), Public: address(p.Public), Admin: address(p.Admin)},
		Fed:    directoryConfig{URL: d.Directory.URL, Root: d.path("root.json")}, Notices: d.noticesConfig(),
		Logins: []loginConfig{{
			Issuer: d.Identity.URL + "/people", Client: clientPortal, Consents: clientConsent,
			Name: map[string]string{"az": "Nümunə giriş xidməti", "en": "Demo login service", "ru": "Демонстрационная служба входа"},
		}, {
			Issuer: d.caseIssuer(), Client: clientPortal, Consents: clientConsent, CaseCode: true,
			Name: map[string]string{"az": "Nümunə giriş xidməti (müraciət kodu)", "en": "Demo login service (case code)", "ru": "Демонстрационная служба входа (код обращения)"},
		}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(p.Config, text, 0o600)
}

type demoIdentityCmd struct {
	Dir    string `required:"" help:"Folder of the demo." type:"existingdir"`
	Listen string `required:""`
}

// Run serves the demo's identity provider: one issuer for people, one for each agency's officials.
func (c *demoIdentityCmd) Run(ctx context.Context, s streams) error {
	ctx = untilInputEnds(ctx)
	logger := slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d, err := loadDemo(c.Dir)
	if err != nil {
		return err
	}
	if d.Portal == nil || d.Identity == nil {
		return countersign.Refuse(countersign.CodeBadRequest, "the demo in %s has no portal", c.Dir)
	}
	atlas, err := country.Open(d.path("registers"))
	if err != nil {
		return err
	}
	codes, err := identity.OpenCaseCodes(d.path("case-codes.json"), clock.Default())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+pathCaseCodes, d.caseCodeDesk(codes, clock.Default()))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	for _, issuer := range d.issuers() {
		o := identity.Options{Issuer: issuer.URL, Clock: clock.Default(), Logger: logger}
		if issuer.Member == nil {
			o.Clients = []identity.Client{
				{ID: clientPortal, Redirect: []string{d.Portal.URL + portal.PathCallback}},
				{ID: clientConsent, Redirect: []string{d.Portal.URL + page.PathConsentReturn}, Consents: true},
			}
		}
		switch {
		case issuer.Scheme == countersign.SchemeCase:
			o.Title, o.Asks, o.Find = "Log in with a case code", "Case code, as it stands on the letter", codes.Find
			o.Allow = codes.Allow
		case issuer.Member == nil:
			o.Title = "Log in as a person of the demo country"
			o.Find, o.Shown = identity.People(atlas)
		default:
			o.Title = "Log in as an official of " + issuer.Member.Code
			o.Clients = []identity.Client{{ID: clientDesk, Redirect: []string{"http://127.0.0.1/callback"}}}
			o.Find, o.Shown = identity.Staff(atlas, country.AgencyCode(issuer.Member.Code))
		}
		path := strings.TrimPrefix(issuer.URL, d.Identity.URL)
		if o.Keys, err = d.identityKeys(strings.TrimPrefix(path, "/")); err != nil {
			return err
		}
		handler, err := identity.New(o)
		if err != nil {
			return err
		}
		mux.Handle(path+"/", handler)
	}
	return serveAll(ctx, logger, []listener{{name: "identity", address: c.Listen, handler: mux}})
}

// identityKeys are the signing keys of one of the demo's issuers: people, case, staff/pol and the like.
func (d *demoFile) identityKeys(issuer string) (*identity.Keys, error) {
	folder := d.path("identity")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	return identity.OpenKeys(filepath.Join(folder, strings.ReplaceAll(issuer, "/", "-")+".json"))
}

type demoKeysCmd struct {
	Dir    string `required:"" help:"Folder of the demo." type:"existingdir"`
	Issuer string `required:"" help:"Whose keys: people, case, or staff/ and an agency's code in small letters." placeholder:"NAME"`
	Do     string `arg:"" enum:"rotate,withdraw" help:"rotate has a new key sign and keeps the earlier ones published; withdraw publishes them no more."`
}

// Run changes the signing keys of one of the demo's issuers, while it runs.
func (c *demoKeysCmd) Run() error {
	d, err := loadDemo(c.Dir)
	if err != nil {
		return err
	}
	if d.Identity == nil || !slices.ContainsFunc(d.issuers(), func(i countersign.Issuer) bool { return i.URL == d.Identity.URL+"/"+c.Issuer }) {
		return countersign.Refuse(countersign.CodeBadRequest, "the demo in %s has no issuer %q", c.Dir, c.Issuer)
	}
	keys, err := d.identityKeys(c.Issuer)
	if err != nil {
		return err
	}
	if c.Do == "withdraw" {
		return keys.Withdraw()
	}
	return keys.Rotate()
}
