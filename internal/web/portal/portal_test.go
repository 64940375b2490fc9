package portal_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/portal"
)

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
	s.clock.Add(11 * time.Minute)
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
	s.clock.Add(portal.DefaultIdle - time.Second)
	in("just before it idles out")
	s.clock.Add(portal.DefaultIdle + time.Second)
	out("idle")
	b.login("1ABC23D")
	for range 6 {
		s.clock.Add(10*time.Minute - time.Second)
		b.get("/api/session")
	}
	s.clock.Add(10 * time.Second)
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
	s.clock.Add(time.Minute)
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
	s.clock.Add(subject.ReplyWithin)
	b.login("1ABC23D")
	if r := b.get("/cases"); !strings.Contains(r.body, `href="/cases/`) {
		t.Error("the list of cases is empty after a new login")
	}
	if text := b.get("/uses").body; strings.Contains(text, "My street") {
		t.Error("the timeline holds a case's text")
	}
}
