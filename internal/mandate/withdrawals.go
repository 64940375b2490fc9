package mandate

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
)

const typeWithdrawals tokenType = "countersign-withdrawals+jwt"

// WithdrawalList is what a registry of consents publishes: which of them were withdrawn, by the SHA-256 of their evidence.
type WithdrawalList struct {
	Registry  countersign.MemberID `json:"iss"`
	Issued    Seconds              `json:"iat"`
	Withdrawn []countersign.Digest `json:"withdrawn"`
}

// SignWithdrawals makes the list's token with a key of the registry's gateway.
func SignWithdrawals(key crypto.Signer, l *WithdrawalList) (string, error) {
	return signToken(key, typeWithdrawals, l)
}

// VerifyWithdrawals checks a registry's list: signed by a key that the directory holds for that member, which must be a portal. Whether it is fresh is
// for [Policy.VerifyConsent] to judge. Errors are CodeMandateInvalid refusals.
func (p *Policy) VerifyWithdrawals(token string, registry countersign.MemberID) (*WithdrawalList, error) {
	if !p.portals[registry] {
		return nil, countersign.Refuse(countersign.CodeMandateInvalid, "the consent is registered with no portal of the directory")
	}
	l := new(WithdrawalList)
	if _, err := openToken(token, 2*maxStatusBytes, typeWithdrawals, p.gateways[registry], l); err != nil {
		return nil, err
	}
	if l.Registry != registry {
		return nil, countersign.Refuse(countersign.CodeMandateInvalid, "the list of withdrawn consents is another registry's")
	}
	return l, nil
}

// Has reports that the consent with this evidence was withdrawn.
func (l *WithdrawalList) Has(evidence countersign.Digest) bool {
	return slices.Contains(l.Withdrawn, evidence)
}

// WithdrawalNonce is the nonce under which a person must log in to withdraw a consent.
func WithdrawalNonce(evidence countersign.Digest) string {
	sum := sha256.Sum256(append([]byte("countersign consent withdrawal\x00"), evidence[:]...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ConsentNonce is the nonce under which a person must log in to give the consent of these bytes.
func ConsentNonce(consent []byte) string { return consentNonce(consent) }

// ReadConsent reads evidence without verifying anything.
func ReadConsent(evidence []byte) (*ConsentEvidence, *Consent, error) {
	e, c := new(ConsentEvidence), new(Consent)
	if json.Unmarshal(evidence, e, json.RejectUnknownMembers(true)) != nil || json.Unmarshal(e.Consent, c, json.RejectUnknownMembers(true)) != nil {
		return nil, nil, countersign.Refuse(countersign.CodeMandateInvalid, "the consent cannot be read: a member is unknown, repeated or of the wrong kind")
	}
	return e, c, nil
}
