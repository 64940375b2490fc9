package mandate

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
)

// Bounds of consents.
const (
	// MaxConsentLife is how long a consent is good for at most; who wants longer asks again.
	MaxConsentLife = 365 * day
	// ConsentMoment is how far apart a consent's issue and the person's login for it may lie.
	ConsentMoment = 10 * time.Minute
)

// Consent is what a person agreed to: one client, one service, listed fields, one purpose, until a day. The person does not hold a signing
// key; what binds the consent to the person is an identity token whose nonce is the consent's hash.
//
// LAW: Convention 108+ Art. 5(2), GDPR Art. 4(11) and 7: free, specific, informed, unambiguous, withdrawn as easily as given.
type Consent struct {
	Scope
	Text string `json:"text"` // the sentence that the person saw and agreed to
	Lang string `json:"lang"` // its language: az, en, ru
	Salt string `json:"salt"` // 16 bytes or more of randomness, base64url: the identity provider sees only the hash
}

// ConsentEvidence is a consent as it travels and is registered: the consent's exact bytes and the identity token that is bound to them.
type ConsentEvidence struct {
	Consent  []byte `json:"consent"`
	Identity string `json:"identity"`
}

// Identity is what an identity provider says of a login.
type Identity struct {
	Subject countersign.SubjectID
	Nonce   string
	At      time.Time // when the person authenticated
}

// IdentityVerifier checks identity tokens of persons: issuer, audience, signature by an allowed algorithm, all but time. The error is a
// CodeMandateInvalid refusal.
type IdentityVerifier interface {
	Identify(token string) (Identity, error)
}

// Withdrawals tells which consents were withdrawn. asOf is the instant of the knowledge: older than [StatusFreshness], it counts as none.
type Withdrawals interface {
	Withdrawn(id countersign.MandateID, token countersign.Digest) (withdrawn bool, asOf time.Time, err error)
}

// NewConsent writes a consent's bytes, and the nonce under which the person must log in for it.
func NewConsent(c *Consent) (consent []byte, nonce string, err error) {
	b, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return nil, "", countersign.RefuseBecause(countersign.CodeInternal, err, "the consent cannot be written")
	}
	return b, consentNonce(b), nil
}

func consentNonce(consent []byte) string {
	h := sha256.New()
	_, _ = h.Write([]byte("countersign consent\x00")) // a hash never fails to take bytes
	_, _ = h.Write(consent)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// VerifyConsent checks a consent at an instant: the person's login is bound to exactly these bytes, it stands in a witnessed log, it was not
// withdrawn. It counts from its registration, not before. evidence is the JSON of [ConsentEvidence]; its SHA-256 is what is registered.
func (p *Policy) VerifyConsent(evidence []byte, at time.Time, who IdentityVerifier, proof Registration, withdrawals Withdrawals) (Mandate, *Consent, error) {
	bad := func(why string) (Mandate, *Consent, error) {
		return Mandate{}, nil, countersign.Refuse(countersign.CodeMandateInvalid, "the consent %s", why)
	}
	var e ConsentEvidence
	var c Consent
	switch {
	case len(evidence) > MaxTokenBytes:
		return bad("is longer than 16 KiB")
	case json.Unmarshal(evidence, &e, json.RejectUnknownMembers(true)) != nil, json.Unmarshal(e.Consent, &c, json.RejectUnknownMembers(true)) != nil:
		return bad("cannot be read: a member is unknown, repeated or of the wrong kind")
	case who == nil || proof == nil || withdrawals == nil:
		return bad("cannot be checked here")
	}
	digest := countersign.Digest(sha256.Sum256(evidence))
	m, err := p.mandate(&c.Scope, countersign.MandateConsent, digest, at)
	if err != nil {
		return Mandate{}, nil, err
	}
	salt, err := base64.RawURLEncoding.DecodeString(c.Salt)
	switch {
	case err != nil || len(salt) < 16:
		return bad("has no salt of 16 bytes")
	case strings.TrimSpace(c.Text) == "" || c.Lang == "":
		return bad("does not hold the sentence that the person saw")
	case m.NotAfter.Sub(m.NotBefore) > MaxConsentLife:
		return bad("is for longer than a year")
	}
	id, err := who.Identify(e.Identity)
	switch {
	case err != nil:
		return Mandate{}, nil, err
	case id.Nonce != consentNonce(e.Consent):
		return bad("is not the one that the person logged in for")
	case id.Subject != m.Subject || id.Subject.IsZero():
		return bad("was given by another person than it is about")
	case id.At.Sub(c.Issued.Time()).Abs() > ConsentMoment:
		return bad("was not given at the time that it says")
	}
	_, since, err := proof.Registered(digest)
	if err != nil {
		return Mandate{}, nil, err
	}
	if since.IsZero() || since.After(at.Add(Skew)) {
		return bad("is not registered yet")
	}
	if m.NotBefore.Before(since) {
		m.NotBefore = since // registered before it counts
	}
	withdrawn, asOf, err := withdrawals.Withdrawn(c.ID, digest)
	switch {
	case err != nil:
		return Mandate{}, nil, countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "whether the consent was withdrawn cannot be learnt: it counts as withdrawn")
	case withdrawn:
		return bad("was withdrawn")
	case asOf.IsZero() || at.Sub(asOf) > StatusFreshness || asOf.After(at.Add(Skew)):
		return bad("is not freshly known to stand: it counts as withdrawn")
	}
	return m, &c, nil
}
