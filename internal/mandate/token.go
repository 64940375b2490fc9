package mandate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
)

// MaxTokenBytes bounds a mandate's token as it travels.
const MaxTokenBytes = 16 << 10

// Skew is how far the clocks of a court, a gateway and the questions may differ.
const Skew = 5 * time.Second

// algorithms are all that tokens may be signed with. The list is the verifier's: a token does not choose.
//
// SPEC: RFC 8725 §3.1: verifiers support a fixed set of algorithms and use no other.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256}
}

// tokenType is the typ header, so that a token of one kind is never read as another.
//
// SPEC: RFC 8725 §3.11: explicit typing.
type tokenType string

const (
	typeWarrant    tokenType = "countersign-warrant+jwt"
	typeConsent    tokenType = "countersign-consent+jwt"
	typeEmergency  tokenType = "countersign-emergency+jwt"
	typeStatusList tokenType = "statuslist+jwt"
)

// Seconds is an instant in whole seconds since 1970-01-01T00:00Z, as tokens write it (RFC 7519, NumericDate).
type Seconds int64

// Time is the instant.
func (s Seconds) Time() time.Time { return time.Unix(int64(s), 0).UTC() }

// SecondsOf rounds t down.
func SecondsOf(t time.Time) Seconds { return Seconds(t.Unix()) }

// openToken verifies a compact JWS with one of the keys and reads its claims strictly. Every failure is a CodeMandateInvalid refusal.
func openToken(token string, most int, typ tokenType, keys []crypto.PublicKey, claims any) (countersign.Digest, error) {
	bad := func(cause error, why string) (countersign.Digest, error) {
		return countersign.Digest{}, countersign.RefuseBecause(countersign.CodeMandateInvalid, cause, "%s", why)
	}
	if len(token) > most {
		return bad(nil, fmt.Sprintf("the token is longer than %d bytes", most))
	}
	jws, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil || len(jws.Signatures) != 1 {
		return bad(err, "the token is not a compact JWS signed with EdDSA or ES256")
	}
	header := jws.Signatures[0].Protected
	if header.JSONWebKey != nil || header.ExtraHeaders[jose.HeaderType] != string(typ) || len(header.ExtraHeaders) != 1 {
		// SPEC: RFC 8725 §3.10: keys named or carried by a token (jwk, jku, x5u, x5c) are not followed; unknown header parameters are refused.
		return bad(nil, "the token's header must hold alg, typ ("+string(typ)+") and at most kid")
	}
	payload, err := verifyWithOne(jws, header.Algorithm, keys)
	if err != nil {
		return bad(err, "the token is not signed by a key that the directory holds for its issuer")
	}
	if err := json.Unmarshal(payload, claims, json.RejectUnknownMembers(true)); err != nil {
		return bad(err, "the token's claims cannot be read: a claim is unknown, repeated or of the wrong kind")
	}
	return sha256.Sum256([]byte(token)), nil
}

func verifyWithOne(jws *jose.JSONWebSignature, algorithm string, keys []crypto.PublicKey) (payload []byte, err error) {
	err = countersign.CodeMandateInvalid
	for _, k := range keys {
		// A key has one algorithm; what the token says must be that one.
		if string(algorithmOf(k)) != algorithm {
			continue
		}
		if payload, err = jws.Verify(k); err == nil {
			return payload, nil
		}
	}
	return nil, err
}

func algorithmOf(key crypto.PublicKey) jose.SignatureAlgorithm {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return jose.EdDSA
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256
		}
	}
	return ""
}

// unverifiedClaims reads claims before any key is known, to find out whose key to take. Nothing else may rest on them.
func unverifiedClaims(token string, claims any) error {
	if len(token) > MaxTokenBytes {
		return countersign.Refuse(countersign.CodeMandateInvalid, "the token is longer than 16 KiB")
	}
	jws, err := jose.ParseSignedCompact(token, algorithms())
	if err == nil {
		err = json.Unmarshal(jws.UnsafePayloadWithoutVerification(), claims)
	}
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "the token is not a compact JWS with readable claims")
	}
	return nil
}

// signToken makes a token with a private key in memory or in hardware.
func signToken(key crypto.Signer, typ tokenType, claims any) (string, error) {
	payload, err := json.Marshal(claims, json.Deterministic(true))
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "the claims cannot be written")
	}
	alg := algorithmOf(key.Public())
	if alg == "" {
		return "", countersign.Refuse(countersign.CodeBadRequest, "tokens are signed with Ed25519 or P-256 keys")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: opaque{key, alg}}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "the key cannot sign tokens")
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "the key did not sign")
	}
	return jws.CompactSerialize()
}

// opaque lets any crypto.Signer sign JWS, hardware too.
type opaque struct {
	key crypto.Signer
	alg jose.SignatureAlgorithm
}

var _ jose.OpaqueSigner = opaque{}

// Public names the key; tokens carry no key identifier.
func (o opaque) Public() *jose.JSONWebKey { return &jose.JSONWebKey{Key: o.key.Public()} }

// Algs is the one algorithm of the key.
func (o opaque) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{o.alg} }

// SignPayload signs.
//
// SPEC: RFC 7518 §3.4: ES256 signatures are R and S, 32 bytes each. RFC 8037 §3.1: EdDSA signs the message itself.
func (o opaque) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	if o.alg == jose.EdDSA {
		return o.key.Sign(rand.Reader, payload, crypto.Hash(0))
	}
	sum := sha256.Sum256(payload)
	der, err := o.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	sig.R.FillBytes(out[:32])
	sig.S.FillBytes(out[32:])
	return out, nil
}

// Scope is what every token says it is for. Its JSON members are the claims of that name.
type Scope struct {
	ID      countersign.MandateID   `json:"jti"`
	Subject string                  `json:"sub"` // SubjectID.Canonical: one person (A27)
	Client  countersign.SubsystemID `json:"client"`
	Service countersign.ServiceID   `json:"service"`
	Fields  []countersign.FieldPath `json:"fields"` // sorted
	Purpose countersign.PurposeCode `json:"purpose"`
	Basis   countersign.BasisCode   `json:"basis"`
	Case    countersign.CaseRef     `json:"case,omitzero"`
	Issued  Seconds                 `json:"iat"`
	From    Seconds                 `json:"nbf"`
	Until   Seconds                 `json:"exp"`
}

// mandate checks the clauses that all tokens share and gives what Decide needs. Whether they fit a question is Decide's to say.
func (p *Policy) mandate(s *Scope, kind countersign.MandateKind, digest countersign.Digest, at time.Time) (Mandate, error) {
	bad := func(why string) (Mandate, error) {
		return Mandate{}, countersign.Refuse(countersign.CodeMandateInvalid, "the %s %s", kind, why)
	}
	if s.ID == "" || len(s.ID) > 64 {
		return bad("has no id (jti) of 1 to 64 characters")
	}
	subject, err := countersign.ParseSubjectID(s.Subject)
	if err != nil {
		return bad("names no person (sub), or not as scheme:VALUE") // A27: one subject
	}
	if k := p.schemes[subject.Scheme]; k == nil || !k.canonical(subject.Value) {
		return bad("does not name its person by a canonical identifier") // a pattern, a list or another spelling
	}
	if len(s.Fields) == 0 || !slices.IsSorted(s.Fields) || len(slices.Compact(slices.Clone(s.Fields))) != len(s.Fields) {
		return bad("does not list its fields, sorted and each once")
	}
	if s.Purpose == "" || s.Basis == "" {
		return bad("names no purpose or no legal basis")
	}
	if s.Issued <= 0 || s.From <= 0 || s.Until <= s.From {
		return bad("has no time of issue (iat), beginning (nbf) and later end (exp)")
	}
	if s.Issued.Time().After(at.Add(Skew)) {
		return bad("was issued in the future")
	}
	if !at.Before(s.Until.Time()) {
		return bad("has expired") // A21
	}
	return Mandate{
		Kind: kind, ID: s.ID, Digest: digest, Consumer: s.Client, Service: s.Service, Fields: s.Fields, Purpose: s.Purpose, Basis: s.Basis,
		Subject: subject, Case: s.Case, NotBefore: s.From.Time(), NotAfter: s.Until.Time(), verified: true,
	}, nil
}

// Registration proves that a token stands in a witnessed log. Implementations verify what they hold before they answer, and answer only of
// what they verified.
type Registration interface {
	// Registered gives the log in which the token with this SHA-256 is registered, and since when. The error, a CodeMandateInvalid refusal,
	// says what is missing.
	Registered(token countersign.Digest) (log countersign.LogOrigin, since time.Time, err error)
}

// ReceiptProof is a registration proven by a receipt: a cosigned leaf of the kind mandate whose commitment is the token's SHA-256.
type ReceiptProof struct {
	Policy  *countersign.Policy
	Receipt *countersign.Receipt
}

var _ Registration = ReceiptProof{}

// Registered verifies the receipt offline.
func (r ReceiptProof) Registered(token countersign.Digest) (countersign.LogOrigin, time.Time, error) {
	if r.Policy == nil || r.Receipt == nil {
		return "", time.Time{}, countersign.Refuse(countersign.CodeMandateInvalid, "the mandate comes without the receipt of its registration")
	}
	f, err := r.Policy.Verify(r.Receipt)
	switch {
	case err != nil:
		return "", time.Time{}, countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "the receipt of the mandate's registration does not hold: %s", countersign.MessageOf(err))
	case !f.Cosigned:
		return "", time.Time{}, countersign.Refuse(countersign.CodeMandateInvalid, "the mandate's registration has not been cosigned by witnesses")
	case f.Leaf.Kind != countersign.LeafMandate || countersign.Digest(f.Leaf.Commitment) != token:
		return "", time.Time{}, countersign.Refuse(countersign.CodeMandateInvalid, "the receipt is not of this mandate's registration")
	}
	return f.Promise.Origin, f.Promise.Time.Time(), nil
}
