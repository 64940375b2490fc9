package portal

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/page"
)

// Options are the parts of a portal's pages.
type Options struct {
	Member    countersign.MemberID
	URL       string                  // where people reach it, for instance https://my.example
	Gateway   countersign.GatewayName // the portal's own
	Subject   *subject.Portal
	Cases     *subject.Cases
	Consents  *exchange.Consents // the portal's registry of consents
	Notices   *notice.Service    // nil where the portal sends none
	Exchange  http.Handler       // the portal's asking side: an exchange.Consumer for its own subsystem; nil where people are shown no register's data
	Directory subject.Directory
	Clients   []Client               // one at least
	Policy    func() ([]byte, error) // the directory's logs and witnesses, as C2SP tlog-policy
	Locales   *web.Locales
	Assets    *web.Assets
	Clock     clock.Clock
	Logger    *slog.Logger
	HTTP      *http.Client   // to issuers
	Proxies   *web.Proxies   // in front of the portal; nil where people reach it themselves
	Place     *time.Location // time zone of the country; nil is UTC
	Idle      time.Duration  // DefaultIdle where zero
	Absolute  time.Duration  // DefaultAbsolute where zero
}

// Server serves a portal.
type Server struct {
	o        Options
	issuers  []*issuer
	sessions *sessions
	limits   *limits
	tls      bool
	security web.Security
	handler  http.Handler
}

// New makes a portal's server. It refuses options without an issuer's client and without its own address.
func New(o Options) (*Server, error) {
	if len(o.Clients) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the portal has no client of any issuer: nobody could log in")
	}
	if origin(o.URL) == "://" || origin(o.URL) == "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the portal's own address is no URL: write for instance https://my.example")
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Place == nil {
		o.Place = time.UTC
	}
	s := &Server{o: o, sessions: newSessions(o.Idle, o.Absolute), limits: newLimits(), tls: strings.HasPrefix(o.URL, "https://")}
	security := web.Security{TLS: s.tls}
	for _, c := range o.Clients {
		s.issuers = append(s.issuers, &issuer{
			Client: c, redirect: strings.TrimSuffix(o.URL, "/") + PathCallback,
			consentRedirect: strings.TrimSuffix(o.URL, "/") + page.PathConsentReturn, http: o.HTTP,
		})
		security.FormTargets = append(security.FormTargets, origin(c.Issuer))
	}
	mux := http.NewServeMux()
	s.routes(mux)
	// SPEC: a state-changing request of another site is refused by its Sec-Fetch-Site or Origin header, before any form's token is looked at.
	s.security = security
	crossing := http.NewCrossOriginProtection()
	if err := crossing.AddTrustedOrigin(origin(o.URL)); err != nil { // what a browser calls us, whatever name a proxy asks for
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the portal's own address is no URL: write for instance https://my.example")
	}
	s.handler = web.Secure(security, crossing.Handler(mux))
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	s.handler.ServeHTTP(w, r)
}

// maxForm bounds a form's body.
const maxForm = 64 << 10

func (s *Server) routes(mux *http.ServeMux) {
	open := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	own := func(pattern string, h personalHandler) { open(pattern, s.loggedIn(h)) }
	open("POST "+page.PathLogin, s.beginLogin)
	open("GET "+PathCallback, s.endLogin)
	own("POST "+page.PathLogout, s.logout)
	own("GET /api/uses", s.apiUses)
	own("GET /api/session", s.apiSession)
	own("GET "+page.PathReceipt, s.receipt)
	s.pages(mux, open, own)
}

// personalHandler handles a request of somebody who is logged in.
type personalHandler func(http.ResponseWriter, *http.Request, *session) error

// loggedIn finds the session, holds its rate, and wants the form's token on everything that changes something.
func (s *Server) loggedIn(next personalHandler) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		now := s.o.Clock.Now()
		one, ok := s.sessions.find(cookieOf(r, s.sessionCookie()), now)
		if !ok {
			return errLoggedOut
		}
		if !one.limit.AllowN(now, 1) {
			return countersign.Refuse(countersign.CodeBudget, "too many pages at once: wait a moment")
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			given := r.Header.Get("X-CSRF-Token")
			if given == "" {
				given = r.PostFormValue("csrf")
			}
			if subtle.ConstantTimeCompare([]byte(given), []byte(one.csrf)) != 1 {
				return countersign.Refuse(countersign.CodeAccessDenied, "the form has run out, or is not one of ours: open the page again")
			}
		}
		return next(w, r, one)
	}
}

var errLoggedOut = countersign.Refuse(countersign.CodeUnauthenticated, "nobody is logged in here: log in first")

// issuerHandle names an issuer in the login form.
func issuerHandle(i *issuer) page.Handle {
	sum := sha256.Sum256([]byte(i.Issuer + "\n" + i.ID))
	return page.Handle(base64.RawURLEncoding.EncodeToString(sum[:12]))
}

// wantsJSON says that a program asks.
func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.Contains(r.Header.Get("Accept"), "application/json")
}
