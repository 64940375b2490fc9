package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// Bounds of what is fetched from an issuer.
const (
	// keysFresh is how long fetched keys are used without asking again: a key that the issuer withdraws is refused after that.
	keysFresh = 5 * time.Minute
	// keysUsable is how long fetched keys outlive an issuer that does not answer.
	keysUsable = time.Hour
	// refetchEvery bounds how often tokens with unknown keys make us ask the issuer again, however many come.
	refetchEvery = 15 * time.Second
	fetchTimeout = 5 * time.Second
	maxKeySet    = 256 << 10
)

// algorithms is what identity tokens may be signed with. Everything else, "none" and shared secrets among it, is refused.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// issuerKeys are the signing keys that an issuer publishes by discovery. It implements oidc.KeySet.
type issuerKeys struct {
	issuer string
	client *http.Client
	clock  clock.Clock

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when keys were read
	tried   time.Time // when they were last asked for
	failed  error     // why they could not be had then; nil where they were
}

// VerifySignature implements oidc.KeySet.
func (k *issuerKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, fmt.Errorf("parsing the identity token: %w", err)
	}
	if len(jws.Signatures) != 1 {
		return nil, errors.New("an identity token has exactly one signature")
	}
	header := jws.Signatures[0].Header
	found, err := k.find(ctx, header.KeyID, header.Algorithm, false)
	if err != nil {
		return nil, err
	}
	if payload, ok := tryKeys(jws, found); ok {
		return payload, nil
	}
	// The issuer may have rotated its keys since.
	if found, err = k.find(ctx, header.KeyID, header.Algorithm, true); err != nil {
		return nil, err
	}
	if payload, ok := tryKeys(jws, found); ok {
		return payload, nil
	}
	if why := k.unheard(); why != nil {
		// Perhaps the key is a new one. Whoever holds the token needs no other login, but patience.
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, why,
			"the issuer of the identity token cannot be reached for its keys, and none that is known made the token: try again when it can be reached")
	}
	return nil, errors.New("no key that the issuer publishes verifies the token")
}

// unheard says why the issuer did not tell its keys when it was asked last; nil where it did.
func (k *issuerKeys) unheard() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

func tryKeys(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, bool) {
	for i := range keys {
		if payload, err := jws.Verify(&keys[i]); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// find gives the keys that may have made a signature. It asks the issuer where the keys are old, or where renew is set and it has not just been asked.
func (k *issuerKeys) find(ctx context.Context, kid, alg string, renew bool) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	due := now.Sub(k.fetched) >= keysFresh || renew
	if due && now.Sub(k.tried) >= refetchEvery {
		k.tried = now
		var set []jose.JSONWebKey
		if set, k.failed = k.fetch(ctx); k.failed == nil {
			k.keys, k.fetched = set, now
		}
	}
	if now.Sub(k.fetched) >= keysUsable {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, k.failed, "the issuer of the identity token cannot be reached for its keys")
	}
	var out []jose.JSONWebKey
	for _, key := range k.keys {
		if (kid == "" || key.KeyID == kid) && (key.Algorithm == "" || key.Algorithm == alg) && (key.Use == "" || key.Use == "sig") && key.IsPublic() && key.Valid() {
			out = append(out, key)
		}
	}
	return out, nil
}

// fetch reads the issuer's discovery document and the keys that it points at.
//
// SPEC: OpenID Connect Discovery 4.3: the issuer value returned must be identical to the issuer URL.
func (k *issuerKeys) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client), k.issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var meta struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&meta); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if err := CheckURL(meta.Keys); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, meta.Keys, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer's keys: status %d", res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeySet {
		return nil, fmt.Errorf("the issuer's keys have more than %d bytes", maxKeySet)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("the issuer's keys: %w", err)
	}
	return set.Keys, nil
}

// CheckURL refuses addresses of issuers that anybody on the way could answer for: https is due, except on this machine.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return countersign.Refuse(countersign.CodeBadRequest, "the issuer's address is not a URL with a host")
	}
	if u.Scheme == "https" {
		return nil
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && ip.IsLoopback()) {
		return nil
	}
	return countersign.Refuse(countersign.CodeBadRequest, "the issuer's address must begin with https: only on this machine may it be http")
}
