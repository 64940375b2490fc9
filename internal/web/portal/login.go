package portal

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/web/page"
)

// PathCallback is where issuers send people back.
const PathCallback = "/login/callback"

// Client is the portal's registration with one issuer.
type Client struct {
	Issuer string // its URL, as the directory lists it
	Name   countersign.Text
	ID     string // client id: among the issuer's audience in the directory
	Secret string // empty for a public client, which PKCE protects
	// CaseCode says that people come in here by the code on an agency's letter. They type it at the issuer alone: a portal that knew it could come in
	// as them.
	CaseCode bool
	// Consents is the client id for logins that give or withdraw consents, as the directory lists it; empty where this issuer's people give none here.
	Consents       string
	ConsentsSecret string
}

// issuer is one way to log in.
type issuer struct {
	Client
	redirect        string
	consentRedirect string
	http            *http.Client

	mu       sync.Mutex
	endpoint *oauth2.Endpoint
}

// config is the client for logins.
func (i *issuer) config(ctx context.Context) (*oauth2.Config, error) {
	endpoint, err := i.discover(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{ClientID: i.ID, ClientSecret: i.Secret, Endpoint: *endpoint, RedirectURL: i.redirect, Scopes: []string{oidc.ScopeOpenID}}, nil
}

// consentConfig is the client for consents.
func (i *issuer) consentConfig(ctx context.Context) (*oauth2.Config, error) {
	endpoint, err := i.discover(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID: i.Consents, ClientSecret: i.ConsentsSecret, Endpoint: *endpoint, RedirectURL: i.consentRedirect, Scopes: []string{oidc.ScopeOpenID},
	}, nil
}

// discover finds the issuer's endpoints, once.
func (i *issuer) discover(ctx context.Context) (*oauth2.Endpoint, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.endpoint == nil {
		if err := identity.CheckURL(i.Issuer); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, i.http), 5*time.Second)
		defer cancel()
		provider, err := oidc.NewProvider(ctx, i.Issuer)
		if err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the identity provider cannot be reached")
		}
		e := provider.Endpoint()
		i.endpoint = &e
	}
	return i.endpoint, nil
}

// origin is what a login form may redirect to.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// beginLogin sends the person to an issuer: authorization code with PKCE, a state bound to this browser, and as nonce the commitment to a session key that has
// just been drawn.
func (s *Server) beginLogin(w http.ResponseWriter, r *http.Request) error {
	if err := s.limits.allow(s.o.Proxies.Client(r), s.o.Clock.Now()); err != nil {
		return err
	}
	i := s.issuers[0]
	if wanted := r.PostFormValue("issuer"); wanted != "" {
		if i = s.issuerNamed(wanted); i == nil {
			return countersign.Refuse(countersign.CodeBadRequest, "the portal knows no such way to log in")
		}
	}
	conf, err := i.config(r.Context())
	if err != nil {
		return err
	}
	key, err := identity.NewSession(s.o.Member)
	if err != nil {
		return err
	}
	l := &login{issuer: i, session: key, state: token(), verifier: oauth2.GenerateVerifier(), begun: s.o.Clock.Now()}
	cookie, err := s.sessions.begin(l)
	if err != nil {
		return err
	}
	s.setCookie(w, s.loginCookie(), cookie, loginLife)
	http.Redirect(w, r, conf.AuthCodeURL(l.state, oidc.Nonce(key.Nonce()), oauth2.S256ChallengeOption(l.verifier)), http.StatusSeeOther)
	return nil
}

func (s *Server) issuerNamed(handle string) *issuer {
	for _, i := range s.issuers {
		if i.ID+" "+i.Issuer == handle || string(issuerHandle(i)) == handle {
			return i
		}
	}
	return nil
}

// endLogin takes the person back from an issuer and opens a session under a new cookie.
func (s *Server) endLogin(w http.ResponseWriter, r *http.Request) error {
	if err := s.limits.allow(s.o.Proxies.Client(r), s.o.Clock.Now()); err != nil {
		return err
	}
	q := r.URL.Query()
	s.setCookie(w, s.loginCookie(), "", -1)
	now := s.o.Clock.Now()
	l, err := s.sessions.finish(cookieOf(r, s.loginCookie()), q.Get("state"), now)
	if err != nil {
		return err
	}
	if q.Get("error") != "" || q.Get("code") == "" {
		return countersign.Refuse(countersign.CodeUnauthenticated, "the identity provider did not log you in")
	}
	conf, err := l.issuer.config(r.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), s.o.HTTP), 10*time.Second)
	defer cancel()
	text, err := identityToken(ctx, conf, q.Get("code"), l.verifier)
	if err != nil {
		return err
	}
	person, err := s.o.Subject.Login(r.Context(), l.session, text)
	if err != nil {
		return err
	}
	cookie, err := s.sessions.start(person, l.issuer, cookieOf(r, s.sessionCookie()), now)
	if err != nil {
		return err
	}
	s.renewNotices(r, person)
	s.setCookie(w, s.sessionCookie(), cookie, 0)
	http.Redirect(w, r, page.PathTimeline, http.StatusSeeOther)
	return nil
}

// identityToken exchanges a code for the token.
func identityToken(ctx context.Context, conf *oauth2.Config, code, verifier string) (string, error) {
	got, err := conf.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the identity provider did not confirm the login")
	}
	text, ok := got.Extra("id_token").(string)
	if !ok {
		return "", countersign.Refuse(countersign.CodeUnauthenticated, "the identity provider gave no identity token")
	}
	return text, nil
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, _ *session) error {
	s.sessions.end(cookieOf(r, s.sessionCookie()))
	s.setCookie(w, s.sessionCookie(), "", -1)
	http.Redirect(w, r, page.PathHome+"?signedout=1", http.StatusSeeOther)
	return nil
}

// Names of cookies. With TLS they are bound to this host by name.
//
// SPEC: RFC 6265bis 4.1.3.2: the prefix __Host- wants Secure, the path / and no domain.
func (s *Server) sessionCookie() string { return s.cookiePrefix() + "countersign" }
func (s *Server) loginCookie() string   { return s.cookiePrefix() + "countersign-login" }

func (s *Server) cookiePrefix() string {
	if s.tls {
		return "__Host-"
	}
	return ""
}

// setCookie sets a cookie for as long as the browser runs, for a while, or, with a negative while, away.
func (s *Server) setCookie(w http.ResponseWriter, name, value string, while time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: s.tls, SameSite: http.SameSiteLaxMode}
	switch {
	case while < 0:
		c.MaxAge = -1
	case while > 0:
		c.MaxAge = int(while / time.Second)
	}
	http.SetCookie(w, c)
}

func cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}
