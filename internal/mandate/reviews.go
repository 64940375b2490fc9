package mandate

import (
	"crypto"
	"slices"
	"time"

	"countersign.dev/countersign"
)

const typeReviews tokenType = "countersign-reviews+jwt"

// MaxReviews bounds one overseer's list, so that it stays a document that gateways read whole.
const MaxReviews = 20_000

// Reviews is what an overseer publishes about emergencies and uses of warrants: which records it has reviewed, and which members' emergency right it has
// suspended. It names nobody: a reviewed record is told by the commitment that both parties' logs hold.
type Reviews struct {
	Overseer  countersign.MemberID   `json:"iss"`
	Issued    Seconds                `json:"iat"`
	Reviewed  []countersign.Digest   `json:"reviewed"`  // commitments of the reviewed records
	Suspended []countersign.MemberID `json:"suspended"` // whose emergency right

	index map[countersign.Digest]bool // of Reviewed, in a list that was verified
}

// SignReviews makes the list's token with a key of the overseer's that the directory holds.
func SignReviews(key crypto.Signer, r *Reviews) (string, error) {
	return signToken(key, typeReviews, r)
}

// VerifyReviews checks an overseer's list: signed by a key that the directory holds for a member with the role of an overseer, and fresh at the
// instant at which it was fetched. Errors are CodeMandateInvalid refusals.
func (p *Policy) VerifyReviews(token string, overseer countersign.MemberID, fetched time.Time) (*Reviews, error) {
	if !p.overseers[overseer] {
		return nil, countersign.Refuse(countersign.CodeMandateInvalid, "the list of reviews is of no overseer of the directory")
	}
	r := new(Reviews)
	if _, err := openToken(token, 2*maxStatusBytes, typeReviews, p.gateways[overseer], r); err != nil {
		return nil, err
	}
	if at := r.Issued.Time(); r.Overseer != overseer || fetched.Sub(at) > StatusFreshness || at.After(fetched.Add(Skew)) {
		return nil, countersign.Refuse(countersign.CodeMandateInvalid, "the list of reviews is another overseer's, or not fresh")
	}
	r.index = make(map[countersign.Digest]bool, len(r.Reviewed))
	for _, c := range r.Reviewed {
		r.index[c] = true
	}
	return r, nil
}

// Has reports that the record with a commitment was reviewed.
func (r *Reviews) Has(c countersign.Commitment) bool {
	if r.index != nil {
		return r.index[countersign.Digest(c)]
	}
	return slices.Contains(r.Reviewed, countersign.Digest(c))
}

// Overdue reports that a record whose review was opened at an instant has waited for longer than a review may take, and that no list holds it.
func Overdue(lists []*Reviews, c countersign.Commitment, opened, at time.Time, within time.Duration) bool {
	return at.Sub(opened) > within && !slices.ContainsFunc(lists, func(l *Reviews) bool { return l.Has(c) })
}
