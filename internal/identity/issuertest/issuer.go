// Package issuertest runs an OpenID Connect issuer that signs whatever a test wants: good tokens and every kind of bad one.
package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"countersign.dev/countersign/internal/clock"
)

// Issuer is an issuer on a socket of loopback.
type Issuer struct {
	URL   string
	Clock clock.Clock

	t  testing.TB
	mu sync.Mutex

	key     *ecdsa.PrivateKey
	kid     int
	fetches int
	down    bool
	code    map[string]string // authorization code to token, for whole logins
}

// New starts an issuer.
func New(t testing.TB, now clock.Clock) *Issuer {
	t.Helper()
	i := &Issuer{t: t, Clock: now, code: map[string]string{}}
	i.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("POST /token", i.token)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		down := i.down
		i.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	i.URL = s.URL
	return i
}

// Rotate replaces the signing key: the old one is published no more.
func (i *Issuer) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.kid = key, i.kid+1
}

// Down makes the issuer answer nothing but errors, or answer again.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Fetches is how often the keys were asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches++
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: strconv.Itoa(i.kid), Algorithm: "ES256", Use: "sig"}}})
}

// Code makes an authorization code that is good for a token.
func (i *Issuer) Code(token string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	code := "code" + strconv.Itoa(len(i.code))
	i.code[code] = token
	return code
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	token, ok := i.code[r.PostFormValue("code")]
	i.mu.Unlock()
	if !ok || r.PostFormValue("code_verifier") == "" {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "opens nothing", "token_type": "Bearer", "id_token": token})
}

// Claims are a good token's: an hour of life, audience "portal". more replaces or adds; a nil value takes a claim away.
func (i *Issuer) Claims(subject, nonce string, more map[string]any) map[string]any {
	now := i.Clock.Now().Unix()
	c := map[string]any{"iss": i.URL, "sub": subject, "aud": "portal", "nonce": nonce, "iat": now, "exp": now + 3600}
	maps.Copy(c, more)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

// Token signs a good token.
func (i *Issuer) Token(subject, nonce string) string { return i.Sign(i.Claims(subject, nonce, nil)) }

// Sign signs claims with the issuer's key.
func (i *Issuer) Sign(claims map[string]any) string {
	i.mu.Lock()
	key, kid := i.key, i.kid
	i.mu.Unlock()
	return SignWith(i.t, jose.ES256, key, strconv.Itoa(kid), claims)
}

// SignWith signs claims with any key.
func SignWith(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", kid)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
