package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/mandate"
)

// Account is somebody whom the provider knows.
type Account struct {
	Subject string // the sub claim: a person's code, or an official's number
	Name    string
	Role    string // the role claim of officials; empty for people
	Note    string // what makes the account worth choosing
}

// storage keeps logins under way, in memory alone. It implements op.Storage.
type storage struct {
	clock   clock.Clock
	clients map[string]*client
	find    func(subject string) (Account, bool)
	keys    *Keys

	mu       sync.Mutex
	requests map[string]*authRequest
	codes    map[string]string // code to request
}

const requestLife = 10 * time.Minute

func newStorage(now clock.Clock, clients map[string]*client, find func(string) (Account, bool), keys *Keys) (*storage, error) {
	if keys == nil {
		return nil, errNoKeys
	}
	return &storage{clock: now, clients: clients, find: find, keys: keys, requests: map[string]*authRequest{}, codes: map[string]string{}}, nil
}

func random() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// authRequest is one login. It implements op.AuthRequest.
type authRequest struct {
	id      string
	oidc    *oidc.AuthRequest
	begun   time.Time
	subject string
	done    time.Time
	skew    time.Duration // of its client's clock: the library takes it off again
}

func (a *authRequest) GetID() string                      { return a.id }
func (a *authRequest) GetACR() string                     { return "" }
func (a *authRequest) GetAMR() []string                   { return nil }
func (a *authRequest) GetAudience() []string              { return []string{a.oidc.ClientID} }
func (a *authRequest) GetAuthTime() time.Time             { return a.done.Add(a.skew) }
func (a *authRequest) GetClientID() string                { return a.oidc.ClientID }
func (a *authRequest) GetNonce() string                   { return a.oidc.Nonce }
func (a *authRequest) GetRedirectURI() string             { return a.oidc.RedirectURI }
func (a *authRequest) GetResponseType() oidc.ResponseType { return a.oidc.ResponseType }
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return a.oidc.ResponseMode }
func (a *authRequest) GetScopes() []string                { return a.oidc.Scopes }
func (a *authRequest) GetState() string                   { return a.oidc.State }
func (a *authRequest) GetSubject() string                 { return a.subject }
func (a *authRequest) Done() bool                         { return !a.done.IsZero() }
func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if a.oidc.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: a.oidc.CodeChallenge, Method: a.oidc.CodeChallengeMethod}
}

// errUnknownCode is shown on the login page as it is.
var errUnknownCode = errors.New("This code is not known, or its time is over. Check it once more.") //nolint:staticcheck,revive // a sentence for a page

var errUnknown = errors.New("the login is unknown or too old: begin it again")

func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	// SPEC: RFC 9700 2.1.1: public clients use PKCE, with S256.
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE with S256 is due")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	for id, old := range s.requests {
		if now.Sub(old.begun) > requestLife {
			delete(s.requests, id)
		}
	}
	a := &authRequest{id: random(), oidc: r, begun: now}
	if c := s.clients[r.ClientID]; c != nil {
		a.skew = c.ClockSkew()
	}
	s.requests[a.id] = a
	return a, nil
}

func (s *storage) request(id string) (*authRequest, error) {
	a := s.requests[id]
	if a == nil || s.clock.Now().Sub(a.begun) > requestLife {
		return nil, errUnknown
	}
	return a, nil
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.request(id)
}

func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.codes[code]
	if !ok {
		return nil, errUnknown
	}
	delete(s.codes, code) // a code is good once
	return s.request(id)
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	for code, of := range s.codes {
		if of == id {
			delete(s.codes, code)
		}
	}
	return nil
}

// consentCode is the code of a login for a consent; empty for any other login.
func (s *storage) consentCode(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.request(id)
	if err != nil || s.clients[a.oidc.ClientID] == nil || !s.clients[a.oidc.ClientID].consents {
		return ""
	}
	return mandate.ConsentCode(a.oidc.Nonce)
}

// choose ends a login as somebody.
func (s *storage) choose(id, subject string) error {
	account, ok := s.find(subject)
	if !ok {
		return errUnknownCode
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.request(id)
	if err != nil {
		return err
	}
	a.subject, a.done = account.Subject, s.clock.Now()
	return nil
}

// Access tokens open nothing here: the identity token is all that clients want. They are opaque and end at once.

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return random(), s.clock.Now().Add(time.Minute), nil
}

func (s *storage) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, oidc.ErrUnsupportedGrantType()
}

func (s *storage) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, op.ErrInvalidRefreshToken
}

func (s *storage) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

func (s *storage) TerminateSession(context.Context, string, string) error { return nil }

func (s *storage) RevokeToken(context.Context, string, string, string) *oidc.Error { return nil }

// signingKey implements op.SigningKey and op.Key.
type signingKey struct {
	id  string
	key any
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k signingKey) Algorithm() jose.SignatureAlgorithm          { return jose.ES256 }
func (k signingKey) Use() string                                 { return "sig" }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) ID() string                                  { return k.id }

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	list, err := s.keys.read()
	if err != nil {
		return nil, err
	}
	last := &list[len(list)-1]
	return signingKey{last.KeyID, last.Key}, nil
}

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	list, err := s.keys.read()
	if err != nil {
		return nil, err
	}
	out := make([]op.Key, len(list))
	for i := range list {
		out[i] = signingKey{list[i].KeyID, list[i].Public().Key}
	}
	return out, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, ok := s.clients[id]
	if !ok {
		return nil, oidc.ErrInvalidClient().WithDescription("no such client")
	}
	return c, nil
}

func (s *storage) AuthorizeClientIDSecret(context.Context, string, string) error {
	return oidc.ErrInvalidClient().WithDescription("clients of the demo are public: they prove themselves by PKCE")
}

func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest puts an official's role into the identity token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, _ []string) error {
	info.Subject = r.GetSubject() // the library takes it from here
	if account, ok := s.find(r.GetSubject()); ok && account.Role != "" {
		info.AppendClaims("role", account.Role)
	}
	return nil
}

func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, _, subject, _ string) error {
	info.Subject = subject
	return nil
}

func (s *storage) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return oidc.ErrInvalidRequest()
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil //nolint:nilnil // access tokens are opaque
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errors.New("clients have no keys here")
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errors.New("clients have no keys here")
}

func (s *storage) Health(context.Context) error { return nil }

// client is a public client of the provider. It implements op.Client.
type client struct {
	id       string
	clock    clock.Clock
	redirect []string
	consents bool
	life     time.Duration
	login    func(id string) string
}

func (c *client) GetID() string                       { return c.id }
func (c *client) RedirectURIs() []string              { return c.redirect }
func (c *client) PostLogoutRedirectURIs() []string    { return nil }
func (c *client) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative } // plain http on loopback
func (c *client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (c *client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *client) GrantTypes() []oidc.GrantType        { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c *client) LoginURL(id string) string           { return c.login(id) }
func (c *client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }
func (c *client) IDTokenLifetime() time.Duration      { return c.life - 2*c.ClockSkew() }
func (c *client) DevMode() bool                       { return false }
func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:staticcheck // the interface's spelling
	return slices.Clone[[]string]
}
func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}
func (c *client) IsScopeAllowed(string) bool           { return false }
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return true }

// ClockSkew is by how much the machine is ahead of the provider's clock: nothing, but on simulated time. The library reads the machine's clock and writes
// tokens that begin so much earlier and end so much later; IDTokenLifetime takes the latter back.
func (c *client) ClockSkew() time.Duration {
	return clock.Behind(c.clock)
}
