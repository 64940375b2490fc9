package portal_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/identity/issuertest"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/portal"
)

type moved struct {
	mu  sync.Mutex
	now time.Time
}

func (c *moved) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *moved) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var por = countersign.MemberID{Instance: "T", Class: "GOV", Code: "POR"}

// site is a portal that asks its own gateway alone, with an issuer, each on a socket.
type site struct {
	clock  *moved
	issuer *issuertest.Issuer
	log    *ledger.Log
	url    string
	lines  *lines
}

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
	s := &site{clock: &moved{now: time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC)}, lines: &lines{}}
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
	verifier := identity.NewVerifier(func() ([]countersign.Issuer, error) { return doc.Issuers, nil }, nil, s.clock)
	desk := subject.NewDesk(subject.DeskOptions{Member: por, Gateway: "gw1", Directory: directory, Log: s.log, Verifier: verifier, Signer: signer, Clock: s.clock, Logger: logger})
	peer := &http.Server{Handler: desk, ReadHeaderTimeout: time.Minute}
	go func() {
		_ = peer.Serve(tls.NewListener(socket, keys.PinnedServer(cert, func(keys.SPKIDigest) error { return nil })))
	}()
	t.Cleanup(func() { _ = peer.Close() })
	pages := httptest.NewUnstartedServer(nil)
	s.url = "http://" + pages.Listener.Addr().String()
	options := portal.Options{
		Member: por, URL: s.url, Directory: directory, Clients: []portal.Client{{Issuer: s.issuer.URL, ID: "portal", Name: countersign.Text{"en": "Test login"}}},
		Subject: subject.NewPortal(subject.PortalOptions{Member: por, Cert: cert, Directory: directory, Log: s.log, Verifier: verifier, Clock: s.clock, Logger: logger}),
		Gateway: "gw1", Cases: must(subject.OpenCases(t.Context(), s.log, s.clock, logger))(t),
		Locales: must(web.LoadLocales())(t), Assets: must(web.LoadAssets())(t), Clock: s.clock, Logger: logger,
		Policy: func() ([]byte, error) { return []byte("log " + s.log.VerifierKey() + "\n"), nil },
	}
	for _, c := range change {
		c(&options)
	}
	pages.Config.Handler = must(portal.New(options))(t)
	pages.Start()
	t.Cleanup(pages.Close)
	return s
}

func newLog(t *testing.T, now *moved, logKey keys.Signer) *ledger.Log {
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

func TestLogin(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	asked := b.begin()
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(asked.Get(name)) < 43 {
			t.Errorf("%s is %q", name, asked.Get(name))
		}
	}
	if asked.Get("response_type") != "code" || asked.Get("code_challenge_method") != "S256" || asked.Get("redirect_uri") != s.url+portal.PathCallback {
		t.Errorf("asked %v", asked)
	}
	r := b.callback(asked.Get("state"), s.issuer.Token("1ABC23D", asked.Get("nonce")))
	set := r.header.Values("Set-Cookie")
	if r.status != http.StatusSeeOther || !strings.Contains(strings.Join(set, "\n"), "HttpOnly; SameSite=Lax") {
		t.Fatalf("%d, cookies %q", r.status, set)
	}
	page := b.get("/uses")
	if page.status != http.StatusOK || !strings.Contains(page.body, "23D") {
		t.Errorf("the timeline: %d %s", page.status, page.body)
	}
	if strings.Contains(page.body, "1ABC23D") {
		t.Error("the page shows the whole identifier")
	}
	if cc := page.header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("a page about a person may be kept: Cache-Control %q", cc)
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy %q", csp)
	}
	if r := b.callback(asked.Get("state"), s.issuer.Token("1ABC23D", asked.Get("nonce"))); r.status != http.StatusUnauthorized {
		t.Errorf("the same login twice: %d", r.status)
	}
}

// TestLoginsThatFail: a callback that this browser did not begin, another login's token, an issuer's refusal, a login that took too long.
func TestLoginsThatFail(t *testing.T) {
	s := newSite(t)
	victim, thief := s.browser(t), s.browser(t)
	theirs := thief.begin()
	if r := victim.callback(theirs.Get("state"), s.issuer.Token("9XYZ99Z", theirs.Get("nonce"))); r.status != http.StatusUnauthorized || victim.cookie("countersign") != nil {
		t.Errorf("a login that another browser began: %d", r.status)
	}
	b := s.browser(t)
	asked := b.begin()
	if r := b.callback("x"+asked.Get("state"), s.issuer.Token("1ABC23D", asked.Get("nonce"))); r.status != http.StatusUnauthorized {
		t.Errorf("another state: %d", r.status)
	}
	asked = b.begin()
	if r := b.callback(asked.Get("state"), s.issuer.Token("1ABC23D", theirs.Get("nonce"))); r.status != http.StatusUnauthorized {
		t.Errorf("another login's token: %d", r.status)
	}
	asked = b.begin()
	if r := b.get(portal.PathCallback + "?error=access_denied&state=" + asked.Get("state")); r.status != http.StatusUnauthorized {
		t.Errorf("the issuer's refusal: %d", r.status)
	}
	asked = b.begin()
	s.clock.add(11 * time.Minute)
	if r := b.callback(asked.Get("state"), s.issuer.Token("1ABC23D", asked.Get("nonce"))); r.status != http.StatusUnauthorized {
		t.Errorf("a login of eleven minutes: %d", r.status)
	}
	if b.cookie("countersign") != nil {
		t.Error("a failed login left a session")
	}
	for _, secret := range []string{"1ABC23D", "9XYZ99Z", asked.Get("state")} {
		if strings.Contains(s.lines.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	out := func(when string) {
		t.Helper()
		if r := b.get("/uses"); r.status != http.StatusSeeOther || !strings.HasPrefix(r.location, "/?") && r.location != "/" {
			t.Errorf("%s: %d %q", when, r.status, r.location)
		}
	}
	in := func(when string) {
		t.Helper()
		if r := b.get("/api/session"); r.status != http.StatusOK {
			t.Errorf("%s: %d", when, r.status)
		}
	}
	out("before any login")
	b.login("1ABC23D")
	first := b.cookie("countersign").Value
	b.login("1ABC23D")
	if again := b.cookie("countersign").Value; again == first {
		t.Error("a login kept the old session's cookie")
	}
	fixed := s.browser(t)
	fixed.http.Jar.SetCookies(must(url.Parse(s.url))(t), []*http.Cookie{{Name: "countersign", Value: first}})
	if r := fixed.get("/api/session"); r.status != http.StatusUnauthorized {
		t.Errorf("the session before the login is still open: %d", r.status)
	}
	s.clock.add(portal.DefaultIdle - time.Second)
	in("just before it idles out")
	s.clock.add(portal.DefaultIdle + time.Second)
	out("idle")
	b.login("1ABC23D")
	for range 6 {
		s.clock.add(10*time.Minute - time.Second)
		b.get("/api/session")
	}
	s.clock.add(10 * time.Second)
	out("after an hour, however busy")
}

func TestForms(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.login("1ABC23D")
	var session struct{ CSRF string }
	if err := json.Unmarshal([]byte(b.get("/api/session").body), &session); err != nil {
		t.Fatal(err)
	}
	other := s.browser(t)
	other.login("1ABC23D")
	var foreign struct{ CSRF string }
	if err := json.Unmarshal([]byte(other.get("/api/session").body), &foreign); err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string]url.Values{"none": {}, "another session's": {"csrf": {foreign.CSRF}}} {
		if r := b.do(http.MethodPost, "/uses", form); r.status != http.StatusForbidden {
			t.Errorf("a form with %s token: %d", name, r.status)
		}
		if r := b.do(http.MethodPost, "/logout", form); r.status != http.StatusForbidden {
			t.Errorf("a logout with %s token: %d", name, r.status)
		}
	}
	own := url.Values{"csrf": {session.CSRF}}
	for name, set := range map[string]func(*http.Request){
		"its origin":       func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") },
		"the browser says": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		if r := b.do(http.MethodPost, "/logout", own, set); r.status != http.StatusForbidden {
			t.Errorf("a form of another site by %s: %d", name, r.status)
		}
	}
	narrowed := url.Values{"csrf": {session.CSRF}, "search": {"secret words"}, "from": {"2031-01-01"}}
	if r := b.do(http.MethodPost, "/uses", narrowed); r.status != http.StatusSeeOther || r.location != "/uses" {
		t.Errorf("the filter's address is %d %q: it may tell nothing", r.status, r.location)
	}
	if r := b.get("/uses"); !strings.Contains(r.body, "secret words") {
		t.Error("the filter is forgotten")
	}
	if r := b.do(http.MethodPost, "/logout", own); r.status != http.StatusSeeOther {
		t.Errorf("the logout: %d", r.status)
	}
	if r := b.get("/api/uses"); r.status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", r.status)
	}
}

// TestHandlesAreOfOneSession: an address that one session was given opens nothing in another, and its kind cannot be changed.
func TestHandlesAreOfOneSession(t *testing.T) {
	s := newSite(t)
	b, other := s.browser(t), s.browser(t)
	b.login("1ABC23D")
	other.login("1ABC23D")
	entry := regexp.MustCompile(`href="(/uses/[^"]+)"`).FindStringSubmatch(b.get("/uses").body)
	if entry == nil {
		t.Fatal("the timeline shows no entry: the view itself is one")
	}
	if r := b.get(entry[1]); r.status != http.StatusOK {
		t.Errorf("one's own entry: %d", r.status)
	}
	if r := other.get(entry[1]); r.status != http.StatusNotFound {
		t.Errorf("in another session: %d", r.status)
	}
	handle := strings.TrimPrefix(entry[1], "/uses/")
	for _, path := range []string{"/receipt/" + handle, "/uses/" + handle + "/page", "/year/" + handle, "/uses/" + handle[1:]} {
		if r := b.get(path); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path[:12], r.status)
		}
	}
}

func TestCSVIsSafeInASpreadsheet(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.login("1ABC23D")
	text := b.get("/export/csv").body
	if !strings.Contains(text, "'=Portal") || regexp.MustCompile(`(^|,|")=`).MatchString(text) {
		t.Errorf("a name that begins with = is not put behind an apostrophe:\n%s", text)
	}
}

func TestRateOfLogins(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	var last int
	for range 40 {
		if last = b.do(http.MethodPost, "/login", url.Values{}).status; last == http.StatusTooManyRequests {
			break
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("forty logins at once from one address: the last is %d", last)
	}
	s.clock.add(time.Minute)
	b.begin()
}

// TestLanguageReturnsToUs: the language switch sends nobody to another site.
func TestLanguageReturnsToUs(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	for back, want := range map[string]string{"/help": "/help", "https://elsewhere.example": "/", "//elsewhere.example": "/", `/\elsewhere.example`: "/", "": "/"} {
		if r := b.get("/language?" + url.Values{"to": {"en"}, "back": {back}}.Encode()); r.location != want {
			t.Errorf("back to %q goes to %q", back, r.location)
		}
	}
}

// TestCorrection walks a case through the pages: opened with mistakes first, read, replied to, exported, withdrawn; and nobody else sees it.
func TestCorrection(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.login("1ABC23D")
	var session struct{ CSRF string }
	if err := json.Unmarshal([]byte(b.get("/api/session").body), &session); err != nil {
		t.Fatal(err)
	}
	form := func(pairs ...string) url.Values {
		v := url.Values{"csrf": {session.CSRF}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	found := regexp.MustCompile(`href="(/held/[^"]+/correct)"`).FindStringSubmatch(b.get("/held").body)
	if found == nil {
		t.Fatal("the catalogue offers no correction")
	}
	if r := b.get(found[1]); r.status != http.StatusOK {
		t.Fatalf("the form: %d %s", r.status, r.body)
	}
	for name, wrong := range map[string]url.Values{
		"no ground": form("field", "/address", "text", "x"), "no field": form("ground", "wrong", "text", "x"), "no text": form("field", "/address", "ground", "wrong"),
		"a field that is not held": form("field", "/else", "ground", "wrong", "text", "x"), "too long": form("field", "/address", "ground", "wrong", "text", strings.Repeat("x", 4001)),
	} {
		if r := b.do(http.MethodPost, found[1], wrong); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	r := b.do(http.MethodPost, found[1], form("field", "/address", "ground", "wrong", "text", "My street is another."))
	if r.status != http.StatusSeeOther || !strings.HasPrefix(r.location, "/cases/") {
		t.Fatalf("opening: %d %q %s", r.status, r.location, r.body)
	}
	at := r.location
	if r := b.get(at); r.status != http.StatusOK || !strings.Contains(r.body, "My street is another.") {
		t.Errorf("the case: %d", r.status)
	}
	if r := b.do(http.MethodPost, at+"/reply", form("text", "Number 12, to be exact.")); r.status != http.StatusSeeOther {
		t.Errorf("the reply: %d %s", r.status, r.body)
	}
	if r := b.do(http.MethodPost, at+"/appeal", form("appeal", "I appeal.")); r.status != http.StatusForbidden {
		t.Errorf("an appeal before any answer: %d", r.status)
	}
	if r := b.get(at + "/export"); r.status != http.StatusOK || !strings.Contains(r.body, `"salt"`) {
		t.Errorf("the export: %d", r.status)
	}
	other := s.browser(t)
	other.login("9XYZ99Z")
	if r := other.get(at); r.status != http.StatusNotFound {
		t.Errorf("another person opens it: %d", r.status)
	}
	if r := other.get("/cases"); strings.Contains(r.body, `href="/cases/`) {
		t.Error("another person's list holds a case")
	}
	s.clock.add(subject.ReplyWithin)
	b.login("1ABC23D")
	if r := b.get("/cases"); !strings.Contains(r.body, `href="/cases/`) {
		t.Error("the list of cases is empty after a new login")
	}
	if text := b.get("/uses").body; strings.Contains(text, "My street") {
		t.Error("the timeline holds a case's text")
	}
}
