package mandate

import (
	"crypto/sha256"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
)

// RelationLife is how long a case register's confirmation is good for: a case that closes ends the relation within it.
const RelationLife = 24 * time.Hour

// RelationEvidence is the confirmation of a relation: the receipt of an exchange in which the case register, itself asked through the
// exchange, said that the case is open for the person, and the answer that the receipt's statement commits to.
type RelationEvidence struct {
	Receipt *countersign.Receipt `json:"receipt"` // with statement and salt
	Answer  []byte               `json:"answer"`  // the body as it left: {"case" or "treatment": …, "pin": …, "open": true}
}

// Relation is what a relation is asked to open.
type Relation struct {
	Client  countersign.SubsystemID
	Service countersign.ServiceID
	Purpose countersign.PurposeCode
	Case    countersign.CaseRef
	// AskedBy is who asked the case register: the asking member where zero, or the provider that wants to know for itself.
	AskedBy countersign.MemberID
}

// confirmation is the answer of a case register. Members that it may hold beside are not looked at.
type confirmation struct {
	Case      countersign.CaseRef `json:"case"`
	Treatment countersign.CaseRef `json:"treatment"`
	PIN       string              `json:"pin"`
	Open      bool                `json:"open"`
}

// VerifyRelation checks a confirmation, offline: its receipt under the pinned policy of logs, its statement (the case register that the
// directory names for the purpose answered a client of the asking member, or of the provider that wants to know for itself, about this person), and the answer itself. The relation opens the
// fields that the service grants for the purpose, about that person and in that case (A05, A07). Errors are CodeMandateInvalid refusals.
func (p *Policy) VerifyRelation(evidence []byte, r Relation, at time.Time, logs *countersign.Policy) (Mandate, error) {
	bad := func(why string) (Mandate, error) {
		return Mandate{}, countersign.Refuse(countersign.CodeMandateInvalid, "the relation %s", why)
	}
	var e RelationEvidence
	u, s := p.purposes[r.Purpose], p.services[r.Service]
	switch {
	case len(evidence) > 8*MaxTokenBytes:
		return bad("is longer than 128 KiB")
	case json.Unmarshal(evidence, &e, json.RejectUnknownMembers(true)) != nil || e.Receipt == nil:
		return bad("cannot be read: a receipt and an answer are due")
	case u == nil || s == nil || u.CaseRegister == nil:
		return bad("cannot be confirmed: the directory names no case register for this purpose")
	case logs == nil || r.Case == "":
		return bad("is of no case")
	}
	found, err := logs.Verify(e.Receipt)
	if err != nil {
		return Mandate{}, countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "the receipt of the relation does not hold: %s", countersign.MessageOf(err))
	}
	st := found.Statement
	switch {
	case st == nil || st.Outcome != countersign.OutcomeReleased || len(e.Receipt.Salt) != len(countersign.Salt{}):
		return bad("was not confirmed: the case register released nothing")
	case st.Service != *u.CaseRegister:
		return bad("was confirmed by another service than the case register that the directory names")
	case r.AskedBy.IsZero() && st.Consumer.MemberID != r.Client.MemberID, !r.AskedBy.IsZero() && st.Consumer.MemberID != r.AskedBy:
		return bad("was confirmed to another member")
	}
	sum := sha256.Sum256(e.Answer)
	if countersign.Salt(e.Receipt.Salt).Blind("answer", sum[:]) != st.Answer {
		return bad("comes with another answer than the case register gave")
	}
	subject, err := countersign.ParseSubjectID(st.Subject)
	if err != nil {
		return bad("is about nobody")
	}
	var c confirmation
	if err := json.Unmarshal(e.Answer, &c); err != nil {
		return bad("has an answer that cannot be read")
	}
	pin, err := p.Normalise(subject.Scheme, c.PIN)
	switch {
	case err != nil || pin != subject:
		return bad("was confirmed for another person than was asked about")
	case c.Case != r.Case && c.Treatment != r.Case:
		return bad("is of another case")
	case !c.Open:
		return bad("has ended: the case is not open")
	}
	m := Mandate{
		Kind: countersign.MandateRelation, ID: countersign.MandateID(st.Exchange.String()), Digest: sha256.Sum256(evidence), Consumer: r.Client, Service: r.Service,
		Purpose: r.Purpose, Subject: subject, Case: r.Case, NotBefore: st.Answered.Time().Add(-Skew), NotAfter: st.Answered.Time().Add(RelationLife), verified: true,
	}
	if !at.Before(m.NotAfter) {
		return bad("was confirmed more than a day ago: ask the case register again")
	}
	for _, g := range s.grants[r.Purpose] {
		for _, f := range append(append([]grantField(nil), g.fields...), g.writes...) {
			m.Fields = append(m.Fields, f.path)
		}
	}
	m.Fields = countersign.SortFields(m.Fields)
	return m, nil
}
