package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

const (
	// Skew is the tolerance between an issuer's clock and ours.
	Skew = 5 * time.Second
	// MaxTokenAge is how long after it was issued a token counts, whatever its issuer says: a session is never longer.
	MaxTokenAge = time.Hour
	// MaxToken bounds a token and a proof in bytes.
	MaxToken = 16 << 10
)

// Issuers gives the issuers that the signed directory lists now, or a CodeStaleDirectory refusal.
type Issuers func() ([]countersign.Issuer, error)

// Verifier verifies identity tokens. It is safe for concurrent use. Its zero value is not usable: see [NewVerifier].
type Verifier struct {
	issuers Issuers
	client  *http.Client
	clock   clock.Clock

	mu   sync.Mutex
	keys map[string]*issuerKeys // by issuer URL
}

// NewVerifier makes a verifier over the directory's issuers. A nil client is one with time-outs of its own.
func NewVerifier(issuers Issuers, client *http.Client, now clock.Clock) *Verifier {
	if client == nil {
		client = &http.Client{Timeout: fetchTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &Verifier{issuers: issuers, client: client, clock: now, keys: map[string]*issuerKeys{}}
}

// Claims is what a verified token says.
type Claims struct {
	Issuer  countersign.Issuer
	Value   string // of the issuer's claim: whom the token is about
	Nonce   string
	Issued  time.Time
	Expires time.Time // the earlier of the token's own end and MaxTokenAge after its issue
	all     map[string]json.RawMessage
}

// Text gives a claim that is a string; empty where there is none.
func (c *Claims) Text(name string) string {
	var s string
	if json.Unmarshal(c.all[name], &s) != nil {
		return ""
	}
	return s
}

// verify checks a token of an issuer for the role: signature, algorithm, issuer, audience, times. Every failure is a CodeUnauthenticated refusal, but for an
// issuer whose keys cannot be had (CodeNetwork) and a directory that is stale.
func (v *Verifier) verify(ctx context.Context, token string, role countersign.IssuerRole, fits func(countersign.Issuer) bool) (*Claims, error) {
	if token == "" || len(token) > MaxToken {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "an identity token of 1 to %d bytes is due", MaxToken)
	}
	issuer, err := v.issuerOf(token, role, fits)
	if err != nil {
		return nil, err
	}
	keys := &telling{issuerKeys: v.keysOf(issuer.URL)}
	check := oidc.NewVerifier(issuer.URL, keys, &oidc.Config{
		SkipClientIDCheck: true, // the directory lists several client ids; checkAudience holds them
		Now:               v.clock.Now, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256, oidc.EdDSA},
	})
	t, err := check.Verify(ctx, token)
	if err != nil {
		if errors.Is(keys.failure, countersign.CodeNetwork) {
			return nil, keys.failure
		}
		return nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the identity token is not valid: log in again")
	}
	return v.claims(issuer, t)
}

// telling keeps why keys could not be had, which the library's error does not carry on.
type telling struct {
	*issuerKeys
	failure error
}

// VerifySignature implements oidc.KeySet.
func (t *telling) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := t.issuerKeys.VerifySignature(ctx, token)
	t.failure = err
	return payload, err
}

// issuerOf finds the issuer that the token names, unverified, among those that the directory lists for the role.
func (v *Verifier) issuerOf(token string, role countersign.IssuerRole, fits func(countersign.Issuer) bool) (countersign.Issuer, error) {
	list, err := v.issuers()
	if err != nil {
		return countersign.Issuer{}, err
	}
	named, err := unverifiedIssuer(token)
	if err != nil {
		return countersign.Issuer{}, err
	}
	for _, i := range list {
		if i.URL == named && slices.Contains(i.For, role) && (fits == nil || fits(i)) {
			return i, CheckURL(i.URL)
		}
	}
	return countersign.Issuer{}, countersign.Refuse(countersign.CodeUnauthenticated, "the identity token is of an issuer that the directory does not list for this use")
}

func (v *Verifier) keysOf(issuer string) *issuerKeys {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.keys[issuer]
	if k == nil {
		k = &issuerKeys{issuer: issuer, client: v.client, clock: v.clock}
		v.keys[issuer] = k
	}
	return k
}

func (v *Verifier) claims(issuer countersign.Issuer, t *oidc.IDToken) (*Claims, error) {
	now := v.clock.Now()
	c := &Claims{Issuer: issuer, Nonce: t.Nonce, Issued: t.IssuedAt, Expires: t.Expiry}
	if err := t.Claims(&c.all); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the identity token's claims cannot be read")
	}
	if err := checkAudience(issuer.Audience, t.Audience, c.Text("azp")); err != nil {
		return nil, err
	}
	switch {
	case t.IssuedAt.After(now.Add(Skew)):
		return nil, countersign.Refuse(countersign.CodeClock, "the identity token is issued in the future: one of the clocks is wrong")
	case now.Sub(t.IssuedAt) > MaxTokenAge:
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the identity token is older than %s: log in again", MaxTokenAge)
	}
	if end := t.IssuedAt.Add(MaxTokenAge); end.Before(c.Expires) {
		c.Expires = end
	}
	claim := issuer.Claim
	if claim == "" {
		claim = "sub"
	}
	if c.Value = c.Text(claim); c.Value == "" {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the identity token lacks the claim %q, in which the directory says the identifier is", claim)
	}
	return c, nil
}

// checkAudience wants the token made for a client that the directory lists.
//
// SPEC: OpenID Connect Core 3.1.3.7: "The ID Token MUST be rejected if the ID Token does not list the Client as a valid audience"; an azp claim,
// where present, names the client too.
func checkAudience(clients, audience []string, azp string) error {
	refused := countersign.Refuse(countersign.CodeUnauthenticated, "the identity token was made for somebody else: the directory does not list its audience")
	if azp != "" && !slices.Contains(clients, azp) {
		return refused
	}
	if len(audience) > 1 && azp == "" {
		return refused
	}
	for _, a := range audience {
		if slices.Contains(clients, a) {
			return nil
		}
	}
	return refused
}

// Bound verifies the token of a person's login for a consent, or for withdrawing one, by everything but time: what it was bound to stands for longer than a
// session. It must have been made for a client id that the directory keeps for consents. The issuer must still publish the key.
func (v *Verifier) Bound(ctx context.Context, token string) (*Claims, error) {
	c, audience, err := v.timeless(ctx, token)
	if err != nil {
		return nil, err
	}
	// LAW: GDPR Art. 4(11): a consent is unambiguous. A login for reading, whatever its nonce, is none: consents have client ids of their own.
	return c, checkAudience(c.Issuer.Consents, audience, c.Text("azp"))
}

// timeless verifies the token of a person's login by everything but time and audience, which it gives: the caller holds it to the directory's client ids.
func (v *Verifier) timeless(ctx context.Context, token string) (*Claims, []string, error) {
	if token == "" || len(token) > MaxToken {
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "an identity token of 1 to %d bytes is due", MaxToken)
	}
	issuer, err := v.issuerOf(token, countersign.IssuerPerson, nil)
	if err != nil {
		return nil, nil, err
	}
	keys := &telling{issuerKeys: v.keysOf(issuer.URL)}
	check := oidc.NewVerifier(issuer.URL, keys, &oidc.Config{
		SkipClientIDCheck: true, // the directory lists several client ids; checkAudience holds them
		SkipExpiryCheck:   true, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256, oidc.EdDSA},
	})
	t, err := check.Verify(ctx, token)
	if err != nil {
		if errors.Is(keys.failure, countersign.CodeNetwork) {
			return nil, nil, keys.failure
		}
		return nil, nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the identity token is not valid")
	}
	c := &Claims{Issuer: issuer, Nonce: t.Nonce, Issued: t.IssuedAt, Expires: t.Expiry}
	if err := t.Claims(&c.all); err != nil {
		return nil, nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the identity token's claims cannot be read")
	}
	claim := issuer.Claim
	if claim == "" {
		claim = "sub"
	}
	c.Value = c.Text(claim)
	return c, t.Audience, nil
}

// OfficialClaims verifies the token of an official of a member and gives what it says.
func (v *Verifier) OfficialClaims(ctx context.Context, member countersign.MemberID, token string) (*Claims, error) {
	return v.verify(ctx, token, countersign.IssuerOfficial, func(i countersign.Issuer) bool { return i.Member != nil && *i.Member == member })
}

// Official verifies the token of an official of a member and gives the official's identifier and role. It fits exchange.Officials.Verify once the member is
// bound.
func (v *Verifier) Official(ctx context.Context, member countersign.MemberID, token string) (id, role string, err error) {
	c, err := v.OfficialClaims(ctx, member, token)
	if err != nil {
		return "", "", err
	}
	return c.Value, c.Text("role"), nil
}
