package portal_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/identity/issuertest"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/portal"
)

var por = countersign.MemberID{Instance: "T", Class: "GOV", Code: "POR"}

// site is a portal that asks its own gateway alone, with an issuer, each on a socket.
type site struct {
	clock  *clocktest.Clock
	issuer *issuertest.Issuer
	log    *ledger.Log
	url    string
	lines  *lines
	lined  atomic.Int64 // lines of the answers that the portal has written

	mu    sync.Mutex
	asked func() // before each of people's questions that the gateway answers
	fails error  // of the directory
}

// before has something done before each question that the gateway answers.
func (s *site) before(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = do
}

func (s *site) question() {
	s.mu.Lock()
	do := s.asked
	s.mu.Unlock()
	if do != nil {
		do()
	}
}

// fail has the portal's directory fail with an error, or work again with nil.
func (s *site) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *site) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fails
}

// lining counts the lines that the portal writes.
type lining struct {
	http.ResponseWriter
	lined *atomic.Int64
}

func (l *lining) Write(p []byte) (int, error) {
	l.lined.Add(int64(bytes.Count(p, []byte("\n"))))
	return l.ResponseWriter.Write(p)
}

func (l *lining) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// lines keeps what the portal logs.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func key(t *testing.T) keys.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := keys.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newSite(t *testing.T, change ...func(*portal.Options)) *site {
	t.Helper()
	s := &site{clock: clocktest.At(time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC)), lines: &lines{}}
	s.issuer = issuertest.New(t, s.clock)
	logger := slog.New(slog.NewTextHandler(s.lines, nil))
	logKey, signKey, tlsKey := key(t), key(t), key(t)
	s.log = newLog(t, s.clock, logKey)
	cert := must(keys.SelfSigned(tlsKey))(t)
	signer := must(keys.NewBatchSigner(signKey))(t)
	t.Cleanup(func() { _ = signer.Close(context.Background()) })
	socket := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	doc := &countersign.Directory{
		Format: 1, Instance: "T", Version: 1, Name: countersign.Text{"en": "Test"}, Schemes: []countersign.Scheme{{Name: "pin", Pattern: `[0-9A-Z]{7}`}},
		Issuers: []countersign.Issuer{{URL: s.issuer.URL, For: []countersign.IssuerRole{countersign.IssuerPerson}, Audience: []string{"portal"}, Scheme: "pin"}},
		Members: []countersign.Member{{ID: por, Text: countersign.Text{"en": "=Portal"}, Roles: []countersign.Role{countersign.RolePortal}, Gateways: []countersign.Gateway{{
			Name: "gw1", URL: "https://" + socket.Addr().String(), TLS: []countersign.Pin{countersign.Pin(tlsKey.KeyID())},
			Sign: []string{string(must(keys.EncodePublicKey(signKey.Public()))(t))}, Log: countersign.Log{VKey: s.log.VerifierKey()},
		}}}},
	}
	pop := countersign.SubsystemID{MemberID: countersign.MemberID{Instance: "T", Class: "GOV", Code: "POP"}, Subsystem: "registry"}
	doc.Categories = []countersign.Category{{Code: "residence", Text: countersign.Text{"en": "Residence"}, Class: countersign.ClassRelation}}
	doc.Services = []countersign.Service{{
		ID: countersign.ServiceID{SubsystemID: pop, Service: "residence"}, Text: countersign.Text{"en": "Residence"}, Categories: []countersign.CategoryCode{"residence"},
		Subject: countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin"}, Fields: []countersign.Field{{Path: "/address", Category: "residence"}},
	}}
	directory := func() (*countersign.Directory, error) { return doc, nil }
	own := func() (*countersign.Directory, error) { return doc, s.failing() } // the portal's
	verifier := identity.NewVerifier(func() ([]countersign.Issuer, error) { return doc.Issuers, nil }, nil, s.clock)
	desk := subject.NewDesk(subject.DeskOptions{Member: por, Gateway: "gw1", Directory: directory, Log: s.log, Verifier: verifier, Signer: signer, Clock: s.clock, Logger: logger})
	front := func(w http.ResponseWriter, r *http.Request) {
		s.question()
		desk.ServeHTTP(w, r)
	}
	peer := &http.Server{Handler: http.HandlerFunc(front), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), ReadHeaderTimeout: time.Minute}
	go func() {
		_ = peer.Serve(tls.NewListener(socket, keys.PinnedServer(cert, func(keys.SPKIDigest) error { return nil })))
	}()
	t.Cleanup(func() { _ = peer.Close() })
	pages := httptest.NewUnstartedServer(nil)
	s.url = "http://" + pages.Listener.Addr().String()
	options := portal.Options{
		Member: por, URL: s.url, Directory: own, Clients: []portal.Client{{Issuer: s.issuer.URL, ID: "portal", Name: countersign.Text{"en": "Test login"}}},
		Subject: subject.NewPortal(subject.PortalOptions{Member: por, Cert: cert, Directory: own, Log: s.log, Verifier: verifier, Clock: s.clock, Logger: logger}),
		Gateway: "gw1", Cases: must(subject.OpenCases(t.Context(), s.log, s.clock, logger))(t),
		Locales: must(web.LoadLocales())(t), Assets: must(web.LoadAssets())(t), Clock: s.clock, Logger: logger,
		Policy: func() ([]byte, error) { return []byte("log " + s.log.VerifierKey() + "\n"), nil },
	}
	for _, c := range change {
		c(&options)
	}
	server := must(portal.New(options))(t)
	pages.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(&lining{w, &s.lined}, r) })
	pages.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	pages.Start()
	t.Cleanup(pages.Close)
	return s
}

func newLog(t *testing.T, now *clocktest.Clock, logKey keys.Signer) *ledger.Log {
	t.Helper()
	dir := t.TempDir()
	months := filepath.Join(dir, "expiry")
	if err := os.Mkdir(months, 0o700); err != nil {
		t.Fatal(err)
	}
	s := must(store.OpenSQLite(t.Context(), filepath.Join(dir, "store.db"), store.Options{Create: true}))(t)
	conf := ledger.Config{Store: s, Origin: "por.example/log", Key: logKey, TagKeys: []ledger.TagKey{ledger.NewTagKey(1)}, MonthKeys: months, Clock: now, Tick: time.Hour}
	if err := ledger.Create(t.Context(), conf, "test"); err != nil {
		t.Fatal(err)
	}
	l := must(ledger.Open(context.WithoutCancel(t.Context()), conf))(t)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// browser keeps cookies and follows no redirect.
type browser struct {
	t    *testing.T
	site *site
	http *http.Client
}

func (s *site) browser(t *testing.T) *browser {
	t.Helper()
	return &browser{t, s, &http.Client{Jar: must(cookiejar.New(nil))(t), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type got struct {
	status   int
	location string
	body     string
	header   http.Header
}

func (b *browser) do(method, to string, form url.Values, change ...func(*http.Request)) got {
	b.t.Helper()
	if strings.HasPrefix(to, "/") {
		to = b.site.url + to
	}
	req := must(http.NewRequestWithContext(b.t.Context(), method, to, strings.NewReader(form.Encode())))(b.t)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range change {
		c(req)
	}
	res := must(b.http.Do(req))(b.t)
	defer res.Body.Close()
	return got{res.StatusCode, res.Header.Get("Location"), string(must(io.ReadAll(res.Body))(b.t)), res.Header}
}

func (b *browser) get(to string) got { b.t.Helper(); return b.do(http.MethodGet, to, nil) }

// begin starts a login and gives what the issuer was asked.
func (b *browser) begin() url.Values {
	b.t.Helper()
	r := b.do(http.MethodPost, "/login", url.Values{})
	if r.status != http.StatusSeeOther || !strings.HasPrefix(r.location, b.site.issuer.URL+"/authorize?") {
		b.t.Fatalf("the login goes to %d %q", r.status, r.location)
	}
	return must(url.Parse(r.location))(b.t).Query()
}

func (b *browser) login(pin string) {
	b.t.Helper()
	asked := b.begin()
	if r := b.callback(asked.Get("state"), b.site.issuer.Token(pin, asked.Get("nonce"))); r.status != http.StatusSeeOther || r.location != "/uses" {
		b.t.Fatalf("the login ends with %d %q: %s", r.status, r.location, r.body)
	}
}

func (b *browser) callback(state, token string) got {
	b.t.Helper()
	return b.get(portal.PathCallback + "?" + url.Values{"state": {state}, "code": {b.site.issuer.Code(token)}}.Encode())
}

func (b *browser) cookie(name string) *http.Cookie {
	for _, c := range b.http.Jar.Cookies(must(url.Parse(b.site.url))(b.t)) {
		if c.Name == name {
			return c
		}
	}
	return nil
}
