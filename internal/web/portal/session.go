package portal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// Bounds of sessions.
const (
	DefaultIdle     = 15 * time.Minute
	DefaultAbsolute = time.Hour // a person's token ends a session sooner
	loginLife       = 10 * time.Minute
	maxLogins       = 10_000
	maxSessions     = 100_000

	// A person's pages: this many at once, then one every half second.
	pageBurst = 40
	pageEvery = 500 * time.Millisecond
)

// session is one person's session. It is in memory alone.
type session struct {
	person  *subject.Person
	issuer  *issuer // by which the person logged in
	csrf    string
	seal    cipher.AEAD // of handles
	limit   *rate.Limiter
	created time.Time

	mu     sync.Mutex
	used   time.Time
	filter filter           // what the timeline is narrowed to
	flash  page.Flash       // shown once
	deeds  map[string]*deed // consents under way at the login service, by state
}

// login is a login under way: between the redirect to an issuer and the return.
type login struct {
	issuer   *issuer
	session  *identity.Session
	state    string
	verifier string // of PKCE
	begun    time.Time
}

// sessions holds what is in memory, by the digest of what the browser's cookie holds.
type sessions struct {
	idle     time.Duration
	absolute time.Duration

	mu     sync.Mutex
	open   map[[32]byte]*session
	logins map[[32]byte]*login
	swept  time.Time
}

func newSessions(idle, absolute time.Duration) *sessions {
	if idle <= 0 {
		idle = DefaultIdle
	}
	if absolute <= 0 {
		absolute = DefaultAbsolute
	}
	return &sessions{idle: idle, absolute: absolute, open: map[[32]byte]*session{}, logins: map[[32]byte]*login{}}
}

// token is 256 random bits as cookies, states and forms carry them.
func token() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func digest(cookie string) [32]byte { return sha256.Sum256([]byte(cookie)) }

// begin keeps a login and gives its cookie.
func (s *sessions) begin(l *login) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(l.begun)
	if len(s.logins) >= maxLogins {
		return "", countersign.Refuse(countersign.CodeBusy, "too many logins are under way: try again in a few minutes")
	}
	cookie := token()
	s.logins[digest(cookie)] = l
	return cookie, nil
}

// finish takes a login, once.
func (s *sessions) finish(cookie, state string, now time.Time) (*login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logins[digest(cookie)]
	delete(s.logins, digest(cookie))
	if l == nil || now.Sub(l.begun) > loginLife || subtle.ConstantTimeCompare([]byte(l.state), []byte(state)) != 1 {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "this login was not begun here, or too long ago: log in again")
	}
	return l, nil
}

// start opens a session under a new cookie. The old cookie's session, if there is one, ends.
func (s *sessions) start(person *subject.Person, by *issuer, old string, now time.Time) (string, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // crypto/rand.Read never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "a session could not be made")
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "a session could not be made")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	delete(s.open, digest(old))
	if len(s.open) >= maxSessions {
		return "", countersign.Refuse(countersign.CodeBusy, "too many people are logged in: try again in a few minutes")
	}
	cookie := token()
	s.open[digest(cookie)] = &session{
		person: person, issuer: by, csrf: token(), seal: seal, limit: rate.NewLimiter(rate.Every(pageEvery), pageBurst), created: now, used: now,
	}
	return cookie, nil
}

// find gives the session of a cookie that has not ended, and keeps it from idling.
func (s *sessions) find(cookie string, now time.Time) (*session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[digest(cookie)]
	if one == nil {
		return nil, false
	}
	if s.over(one, now) {
		delete(s.open, digest(cookie))
		return nil, false
	}
	one.touch(now)
	return one, true
}

func (s *session) touch(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = now
}

func (s *session) lastUsed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// over reports that a session has ended: by idling, by its age, or with the person's token.
func (s *sessions) over(one *session, now time.Time) bool {
	return now.Sub(one.lastUsed()) > s.idle || now.Sub(one.created) > s.absolute || !now.Before(one.person.Expires)
}

// ends is when a session ends unless it is used.
func (s *sessions) ends(one *session) time.Time {
	end := one.lastUsed().Add(s.idle)
	for _, t := range []time.Time{one.created.Add(s.absolute), one.person.Expires} {
		if t.Before(end) {
			end = t
		}
	}
	return end
}

// end ends the session of a cookie.
func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, digest(cookie))
}

// sweep forgets what has ended, at most once a minute. It is called with mu held.
func (s *sessions) sweep(now time.Time) {
	if now.Sub(s.swept) < time.Minute {
		return
	}
	s.swept = now
	for k, one := range s.open {
		if s.over(one, now) {
			delete(s.open, k)
		}
	}
	for k, l := range s.logins {
		if now.Sub(l.begun) > loginLife {
			delete(s.logins, k)
		}
	}
}

// handle seals what a page points at, so that an address of ours holds nothing of it: the kind is bound, so that one kind's handle is no other's.
func (s *session) handle(kind string, v any) page.Handle {
	text, err := json.Marshal(v)
	if err != nil {
		return "" // never for our own plain structs
	}
	return page.Handle(base64.RawURLEncoding.EncodeToString(s.seal.Seal(nil, nil, text, []byte(kind))))
}

// open reads a handle of this session.
func (s *session) openHandle(kind, text string, v any) error {
	gone := countersign.Refuse(countersign.CodeUnknownService, "this address is of another session, or of nothing that is here")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return gone
	}
	plain, err := s.seal.Open(nil, nil, raw, []byte(kind))
	if err != nil {
		return gone
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return gone
	}
	return nil
}

func (s *session) setFilter(f filter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = f
}

func (s *session) filtered() filter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.filter
}

// say has a word shown on the next page.
func (s *session) say(f page.Flash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flash = f
}

func (s *session) takeFlash() page.Flash {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flash
	s.flash = ""
	return f
}
