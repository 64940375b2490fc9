package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // a portal shows the country's time also where the machine has no time zones

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/portal"
)

type portalCmd struct {
	Run  portalRunCmd  `cmd:"" default:"withargs" help:"Run the people's portal until interrupted."`
	Init portalInitCmd `cmd:"" help:"Make the portal's keys and begin its log; print its gateway's entry for the directory."`
}

type portalRunCmd struct {
	Config string `required:"" help:"YAML configuration of the portal." type:"existingfile" placeholder:"FILE"`
}

type portalInitCmd struct {
	Config string `required:"" help:"YAML configuration of the portal." type:"existingfile" placeholder:"FILE"`
	Peer   string `required:"" help:"https address at which gateways will reach the portal." placeholder:"URL"`
	Public string `help:"Address at which the public will read the log's tiles." placeholder:"URL"`
}

// Run makes what is missing and nothing twice.
func (i *portalInitCmd) Run(ctx context.Context, s streams) error {
	c, err := loadPortalConfig(i.Config)
	if err != nil {
		return err
	}
	entry, err := initGateway(ctx, c.gateway(), i.Peer, i.Public)
	if err != nil {
		return err
	}
	return printJSON(s, entry)
}

// Run serves until ctx ends.
func (r *portalRunCmd) Run(ctx context.Context, s streams) error {
	c, err := loadPortalConfig(r.Config)
	if err != nil {
		return err
	}
	ctx = untilInputEnds(ctx)
	logger := slog.New(slog.NewJSONHandler(s.err, nil)).With("member", c.Member.String(), "part", "portal")
	return runPortal(ctx, c, clock.Default(), logger)
}

// runPortal puts a portal together: a member's log like any other, the pages, and the desk that answers queries about the log itself.
func runPortal(ctx context.Context, c *portalConfig, now clock.Clock, logger *slog.Logger) (err error) {
	p, err := openPortalParts(ctx, c, now, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	pages, err := p.pages(ctx, c, now, logger)
	if err != nil {
		return err
	}
	go func() {
		if err := p.directory.Run(ctx); err != nil {
			logger.Error("the directory is no longer followed", "error", err.Error())
		}
	}()
	webTLS, err := c.gateway().clientTLS()
	if err != nil {
		return err
	}
	if webTLS != nil {
		webTLS.ClientAuth = tls.NoClientCert // people have none
	}
	peer := casesFirst(subject.NewCaseDesk(p.cases, documentOf(p.directory)), p.consents.PeerHandler(peopleFirst(p.desk, p.provider.Handler())))
	go p.cases.Run(ctx, time.Minute)
	if p.notices != nil {
		var told sync.WaitGroup
		telling, stop := context.WithCancel(ctx)
		told.Go(func() { p.notices.Run(telling) })
		defer told.Wait() // before its store is closed
		defer stop()
	}
	go p.consumer.Recover(ctx)
	defer context.AfterFunc(ctx, p.consumer.CloseIdle)()
	return serveAll(ctx, logger, []listener{
		{name: "web", address: c.Listen.Web, handler: pages, tls: webTLS},
		{name: "peer", address: c.Listen.Peer, handler: peer, tls: keys.PinnedServer(p.cert, p.provider.Admit)},
		{name: "public", address: c.Listen.Public, handler: p.consents.Handler(p.log.Handler(ledger.ViewPublic))},
		{name: "admin", address: c.Listen.Admin, handler: adminHandler(p.metrics, func() error { return ready(p.directory, p.log) })},
	})
}

// portalParts is what a portal has in common with a gateway that provides no service.
type portalParts struct {
	cert      tls.Certificate
	directory *federation.Client
	log       *ledger.Log
	provider  *exchange.Provider
	desk      *subject.Desk
	cases     *subject.Cases
	notices   *notice.Service // nil where the portal sends none
	consents  *exchange.Consents
	consumer  *exchange.Consumer // asks registers for people who ask for themselves
	verifier  *identity.Verifier
	metrics   *prometheus.Registry
	close     func() error
}

func openPortalParts(ctx context.Context, c *portalConfig, now clock.Clock, logger *slog.Logger) (*portalParts, error) {
	gc := c.gateway()
	sign, err := keys.Load(gc.key(keySign))
	if err != nil {
		return nil, err
	}
	pseudonym, err := readHex(gc.key(keyPseudonym))
	if err != nil {
		return nil, err
	}
	p := &portalParts{metrics: prometheus.NewRegistry()}
	if p.cert, err = keys.LoadSelfSigned(gc.key(keyTLS)); err != nil {
		return nil, err
	}
	if p.directory, err = openDirectory(gc.path(c.Fed.Root), c.Fed.URL, filepath.Join(gc.path(c.Data), "directory"), now, logger); err != nil {
		return nil, err
	}
	counted, err := exchange.NewMetrics(p.metrics)
	if err != nil {
		return nil, err
	}
	signer, err := keys.NewBatchSigner(sign)
	if err != nil {
		return nil, err
	}
	log, closeLog, err := openLog(ctx, gc.logParts(), now, logger, p.metrics, p.directory)
	if err != nil {
		return nil, err
	}
	p.log = log
	p.close = func() error { return errors.Join(closeLog(), signer.Close(context.WithoutCancel(ctx))) }
	g := &exchange.Gateway{
		Member: c.Member, Name: c.Name, Directory: p.directory, Log: log, Signer: signer, Clock: now, Logger: logger, Metrics: counted, PseudonymKey: pseudonym,
	}
	if err := g.Prepare(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.provider = exchange.NewProvider(g, nil)
	p.verifier = identity.NewVerifier(issuersOf(p.directory), nil, now)
	p.desk = newDesk(g, p.directory, p.verifier, signer)
	if p.cases, err = subject.OpenCases(ctx, log, now, logger); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.consumer = newOwnConsumer(g, p.cert)
	p.consents = &exchange.Consents{Gateway: g, Key: sign, Persons: persons{p.verifier, p.directory}}
	return p, nil
}

func (p *portalParts) pages(ctx context.Context, c *portalConfig, now clock.Clock, logger *slog.Logger) (http.Handler, error) {
	clients, err := c.clients()
	if err != nil {
		return nil, err
	}
	place, err := c.place()
	if err != nil {
		return nil, err
	}
	patience, err := c.wait()
	if err != nil {
		return nil, err
	}
	proxies, err := c.proxies()
	if err != nil {
		return nil, err
	}
	locales, err := web.LoadLocales()
	if err != nil {
		return nil, err
	}
	assets, err := web.LoadAssets()
	if err != nil {
		return nil, err
	}
	people := subject.NewPortal(subject.PortalOptions{
		Member: c.Member, Cert: p.cert, Directory: documentOf(p.directory), Log: p.log, Verifier: p.verifier, Clock: now, Logger: logger, Patience: patience,
	})
	if p.notices, err = c.openNotices(ctx, p, people, locales, now, logger); err != nil {
		return nil, err
	}
	return portal.New(portal.Options{
		Member: c.Member, Gateway: c.Name, URL: c.URL, Subject: people, Cases: p.cases, Consents: p.consents, Notices: p.notices, Exchange: p.consumer, Directory: documentOf(p.directory), Clients: clients, Locales: locales, Assets: assets,
		Clock: now, Logger: logger, Place: place, Proxies: proxies, Policy: func() ([]byte, error) {
			view, err := p.directory.Current()
			if err != nil {
				return nil, err
			}
			return []byte(view.PolicyText(logsOf(view.Document())...)), nil
		},
	})
}

// newOwnConsumer makes the asking side of a portal. It is reached within the process alone, and asks as the portal's one subsystem; what gets it an answer
// is the person's own token.
func newOwnConsumer(g *exchange.Gateway, cert tls.Certificate) *exchange.Consumer {
	own := countersign.SubsystemID{MemberID: g.Member, Subsystem: subject.SubsystemPortal}
	return exchange.NewConsumer(g, func(*http.Request) (func(countersign.SubsystemID) bool, error) {
		return func(id countersign.SubsystemID) bool { return id == own }, nil
	}, exchange.Officials{}, dialer(cert))
}

// newDesk makes the part of a gateway that answers people's queries about its log.
func newDesk(g *exchange.Gateway, directory *federation.Client, verifier *identity.Verifier, signer *keys.BatchSigner) *subject.Desk {
	return subject.NewDesk(subject.DeskOptions{
		Member: g.Member, Gateway: g.Name, Directory: documentOf(directory), Log: g.Log, Verifier: verifier, Signer: signer, Clock: g.Clock, Logger: g.Logger,
	})
}

// peopleFirst hands people's queries to the desk and everything else between gateways on, byte for byte.
func peopleFirst(desk *subject.Desk, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI == subject.PathQuery || r.RequestURI == subject.PathNews || strings.HasPrefix(r.RequestURI, subject.PathTracker) {
			desk.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// casesFirst hands what members do about people's cases to their desk.
func casesFirst(desk *subject.CaseDesk, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(subject.PathCases, desk)
	mux.Handle(subject.PathCases+"/{number}", desk)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI == subject.PathCases || strings.HasPrefix(r.RequestURI, subject.PathCases+"/") {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// documentOf gives the directory's document as it stands.
func documentOf(directory *federation.Client) subject.Directory {
	return func() (*countersign.Directory, error) {
		view, err := directory.Current()
		if err != nil {
			return nil, err
		}
		return view.Document(), nil
	}
}

// issuersOf gives the directory's issuers as they stand.
func issuersOf(directory *federation.Client) identity.Issuers {
	return func() ([]countersign.Issuer, error) {
		view, err := directory.Current()
		if err != nil {
			return nil, err
		}
		return view.Document().Issuers, nil
	}
}
