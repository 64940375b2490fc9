package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/identity/issuertest"
)

func begin() *clocktest.Clock { return clocktest.At(time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC)) }

var (
	portal = countersign.MemberID{Instance: "T", Class: "GOV", Code: "POR"}
	agency = countersign.MemberID{Instance: "T", Class: "GOV", Code: "MUN"}
)

func world(t *testing.T) (*clocktest.Clock, *issuertest.Issuer, *identity.Verifier) {
	t.Helper()
	clock := begin()
	issuer := issuertest.New(t, clock)
	list := []countersign.Issuer{
		{URL: issuer.URL, For: []countersign.IssuerRole{countersign.IssuerPerson}, Audience: []string{"portal"}, Scheme: "pin"},
	}
	return clock, issuer, identity.NewVerifier(func() ([]countersign.Issuer, error) { return list, nil }, nil, clock)
}

func session(t *testing.T) *identity.Session {
	t.Helper()
	s, err := identity.NewSession(portal)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func query(c *clocktest.Clock) identity.Query {
	return identity.Query{
		Member: agency, Gateway: "gw1", Kind: identity.QueryHistory, View: countersign.NewExchangeID(c.Now()), ID: countersign.NewExchangeID(c.Now()),
		At: countersign.MillisOf(c.Now()),
	}
}

func TestQueryOfTheTokensOwnSession(t *testing.T) {
	clock, issuer, v := world(t)
	s := session(t)
	token := issuer.Token("1ABC23D", s.Nonce())
	proof, err := s.Sign(query(clock), token)
	if err != nil {
		t.Fatal(err)
	}
	p, q, err := v.Query(t.Context(), portal, token, proof)
	if err != nil {
		t.Fatal(err)
	}
	if p.Scheme != "pin" || p.Value != "1ABC23D" || q.Member != agency || q.Portal != portal || q.Kind != identity.QueryHistory {
		t.Errorf("got %+v and %+v", p, q)
	}
	if want := clock.Now().Add(time.Hour); p.Expires.After(want) {
		t.Errorf("the token counts until %s, after %s", p.Expires, want)
	}
}

// TestTokensThatDoNotCount holds every clause of a token's check.
func TestTokensThatDoNotCount(t *testing.T) {
	clock, issuer, v := world(t)
	s := session(t)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(more map[string]any) map[string]any { return issuer.Claims("1ABC23D", s.Nonce(), more) }
	now := clock.Now().Unix()
	unsigned := func(c map[string]any) string {
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		e := base64.RawURLEncoding.EncodeToString
		return e([]byte(`{"alg":"none"}`)) + "." + e(text) + "."
	}
	for name, token := range map[string]string{
		"none":                          "",
		"noise":                         "a.b.c",
		"too long":                      strings.Repeat("x", identity.MaxToken+1),
		"unsigned":                      unsigned(claims(nil)),
		"shared secret":                 issuertest.SignWith(t, jose.HS256, []byte(strings.Repeat("k", 32)), "1", claims(nil)),
		"key of our own":                issuertest.SignWith(t, jose.ES256, own, "1", claims(nil)),
		"another issuer":                issuer.Sign(claims(map[string]any{"iss": "https://elsewhere.example"})),
		"another audience":              issuer.Sign(claims(map[string]any{"aud": "shop"})),
		"two audiences without azp":     issuer.Sign(claims(map[string]any{"aud": []string{"portal", "shop"}})),
		"authorised party of elsewhere": issuer.Sign(claims(map[string]any{"aud": []string{"portal", "shop"}, "azp": "shop"})),
		"expired":                       issuer.Sign(claims(map[string]any{"exp": now - 1})),
		"older than an hour":            issuer.Sign(claims(map[string]any{"iat": now - 3601, "exp": now + 86400})),
		"issued in the future":          issuer.Sign(claims(map[string]any{"iat": now + 60})),
		"without a subject":             issuer.Sign(claims(map[string]any{"sub": nil})),
		"of another login":              issuer.Sign(claims(map[string]any{"nonce": "something"})),
		"without a nonce":               issuer.Sign(claims(map[string]any{"nonce": nil})),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := v.Login(t.Context(), s, token); !refused(err) {
				t.Errorf("login: %v", err)
			}
			proof, err := s.Sign(query(clock), token)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := v.Query(t.Context(), portal, token, proof); !refused(err) {
				t.Errorf("query: %v", err)
			}
		})
	}
	if _, err := v.Login(t.Context(), s, issuer.Sign(claims(nil))); err != nil {
		t.Errorf("the good token: %v", err)
	}
}

func refused(err error) bool {
	return errors.Is(err, countersign.CodeUnauthenticated) || errors.Is(err, countersign.CodeClock)
}

// TestQueriesThatDoNotCount: a token without its session's key, and every way to bend a proof.
func TestQueriesThatDoNotCount(t *testing.T) {
	clock, issuer, v := world(t)
	mine, thief := session(t), session(t)
	token := issuer.Token("1ABC23D", mine.Nonce())
	theirs := issuer.Token("9XYZ99Z", thief.Nonce())
	other, err := identity.NewSession(countersign.MemberID{Instance: "T", Class: "COM", Code: "OTHER"})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(s *identity.Session, q identity.Query, token string) string {
		proof, err := s.Sign(q, token)
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	old, early := query(clock), query(clock)
	old.At -= countersign.Millis((identity.QueryLife + identity.Skew + time.Second).Milliseconds())
	early.At += countersign.Millis((identity.Skew + time.Second).Milliseconds())
	good := sign(mine, query(clock), token)
	for name, c := range map[string]struct{ token, proof string }{
		"a stolen token under a key of the thief's": {token, sign(thief, query(clock), token)},
		"a proof for another token":                 {token, sign(mine, query(clock), theirs)},
		"another's token under one's own proof":     {theirs, sign(mine, query(clock), theirs)},
		"no proof":                                  {token, ""},
		"a token as its own proof":                  {token, token},
		"a proof that was changed":                  {token, good[:len(good)-4] + "AAAA"},
		"an old proof":                              {token, sign(mine, old, token)},
		"a proof from the future":                   {token, sign(mine, early, token)},
		"a session of another portal":               {token, sign(other, query(clock), token)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := v.Query(t.Context(), portal, c.token, c.proof); !refused(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, _, err := v.Query(t.Context(), agency, token, good); !refused(err) {
		t.Errorf("through another member than the session's portal: %v", err)
	}
	if _, _, err := v.Query(t.Context(), portal, token, good); err != nil {
		t.Errorf("the good query: %v", err)
	}
}

// TestKeyRotation: a new key is found by itself, an old one ends, and tokens with unknown keys do not make us ask the issuer again and again.
func TestKeyRotation(t *testing.T) {
	clock, issuer, v := world(t)
	s := session(t)
	before := issuer.Token("1ABC23D", s.Nonce())
	if _, err := v.Login(t.Context(), s, before); err != nil {
		t.Fatal(err)
	}
	issuer.Rotate()
	clock.Add(20 * time.Second)
	if _, err := v.Login(t.Context(), s, issuer.Token("1ABC23D", s.Nonce())); err != nil {
		t.Fatalf("the new key was not found: %v", err)
	}
	if _, err := v.Login(t.Context(), s, before); !refused(err) {
		t.Errorf("a key that is published no more still counts: %v", err)
	}
	fetched := issuer.Fetches()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		token := issuertest.SignWith(t, jose.ES256, key, "none", issuer.Claims("1ABC23D", s.Nonce(), nil))
		if _, err := v.Login(t.Context(), s, token); !refused(err) {
			t.Fatal(err)
		}
	}
	if n := issuer.Fetches() - fetched; n > 1 {
		t.Errorf("50 tokens with unknown keys made us ask the issuer %d times", n)
	}
}

// TestIssuerOutOfReach: known keys outlive an outage for a while, then nothing counts until the issuer is back.
func TestIssuerOutOfReach(t *testing.T) {
	clock, issuer, v := world(t)
	s := session(t)
	if _, err := v.Login(t.Context(), s, issuer.Token("1ABC23D", s.Nonce())); err != nil {
		t.Fatal(err)
	}
	known := issuer.Token("1ABC23D", s.Nonce())
	issuer.Down(true)
	issuer.Rotate()
	clock.Add(time.Minute)
	for range 2 { // asked, and not asked again so soon
		if _, err := v.Login(t.Context(), s, issuer.Token("1ABC23D", s.Nonce())); !errors.Is(err, countersign.CodeNetwork) {
			t.Errorf("a token by a key of which nobody could be told: %v", err)
		}
	}
	if _, err := v.Login(t.Context(), s, known); err != nil {
		t.Errorf("a known key, a minute into an outage: %v", err)
	}
	issuer.Down(false)
	clock.Add(20 * time.Second)
	if _, err := v.Login(t.Context(), s, issuer.Token("1ABC23D", s.Nonce())); err != nil {
		t.Errorf("the new key, when the issuer is back: %v", err)
	}
	issuer.Down(true)
	clock.Add(10 * time.Minute)
	if _, err := v.Login(t.Context(), s, issuer.Token("1ABC23D", s.Nonce())); err != nil {
		t.Errorf("ten minutes into an outage: %v", err)
	}
	clock.Add(time.Hour)
	if _, err := v.Login(t.Context(), s, issuer.Token("1ABC23D", s.Nonce())); !errors.Is(err, countersign.CodeNetwork) {
		t.Errorf("an hour into an outage: %v", err)
	}
	issuer.Down(false)
	clock.Add(time.Minute)
	if _, err := v.Login(t.Context(), s, issuer.Token("1ABC23D", s.Nonce())); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestOfficialOfItsOwnMemberOnly(t *testing.T) {
	clock := begin()
	issuer := issuertest.New(t, clock)
	list := []countersign.Issuer{{URL: issuer.URL, For: []countersign.IssuerRole{countersign.IssuerOfficial}, Member: &agency, Audience: []string{"desk"}, Claim: "staff"}}
	v := identity.NewVerifier(func() ([]countersign.Issuer, error) { return list, nil }, nil, clock)
	token := issuer.Sign(issuer.Claims("x", "", map[string]any{"aud": "desk", "staff": "clerk-7", "role": "registrar"}))
	id, role, err := v.Official(context.Background(), agency, token)
	if err != nil || id != "clerk-7" || role != "registrar" {
		t.Errorf("got %q, %q, %v", id, role, err)
	}
	if _, _, err := v.Official(t.Context(), portal, token); !refused(err) {
		t.Errorf("an official of another member: %v", err)
	}
	if _, err := v.Login(t.Context(), session(t), token); !refused(err) {
		t.Errorf("an official's token as a person's: %v", err)
	}
}

func TestCheckURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://id.example": true, "http://127.0.0.1:8080/people": true, "http://localhost:1": true, "http://[::1]:1": true,
		"http://id.example": false, "": false, "ftp://127.0.0.1": false, "http://127.0.0.1.example": false,
	} {
		if err := identity.CheckURL(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
