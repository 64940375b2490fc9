package subject

import (
	"context"
	"encoding/json"
	"slices"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// DecisionEntry is a decision that rests on an exchange, as the asking member's log holds it: document and salt open the leaf's commitment.
type DecisionEntry struct {
	Index    uint64 `json:"index"`
	Leaf     []byte `json:"leaf"`
	Document []byte `json:"document"` // countersign.Decision
	Salt     []byte `json:"salt"`
}

// decisions adds to the entries of an answer what was decided on them. All are looked for at once.
func (d *Desk) decisions(ctx context.Context, out *Answer, stored []*ledger.Stored) error {
	var tags []countersign.SubjectTag
	at := map[countersign.SubjectTag]int{}
	for i, s := range stored {
		if s.Leaf.Kind != countersign.LeafExchange || s.Leaf.Side != countersign.SideConsumer || s.Leaf.Outcome != countersign.OutcomeReceived {
			continue
		}
		for _, tag := range d.o.Log.TagsOf(countersign.DecisionTag(s.Exchange)) {
			at[tag] = i
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return nil
	}
	found, err := d.o.Log.History(ctx, tags, ledger.Page{Limit: ledger.MaxPage})
	if err != nil {
		return err
	}
	for _, s := range slices.Backward(found) { // the oldest first
		if i, ok := at[s.Tag]; ok && s.Record != nil && s.Leaf.Kind == countersign.LeafDecision {
			e := &out.Entries[i]
			e.Decisions = append(e.Decisions, DecisionEntry{Index: s.Index, Leaf: s.LeafBytes, Document: s.Record.Note, Salt: slices.Clone(s.Record.Salt[:])})
		}
	}
	return nil
}

// openDecisions reads what was decided on an exchange. What does not open its leaf, or is about another exchange, is left out: it is nobody's word.
func openDecisions(e *Entry, st *countersign.Statement) (out []countersign.Decision) {
	if st == nil {
		return nil
	}
	for i := range e.Decisions {
		x := &e.Decisions[i]
		leaf, err := countersign.ParseLeaf(x.Leaf)
		if err != nil || leaf.Kind != countersign.LeafDecision || len(x.Salt) != len(countersign.Salt{}) || countersign.Salt(x.Salt).Commit(x.Document) != leaf.Commitment {
			continue
		}
		var one countersign.Decision
		if json.Unmarshal(x.Document, &one) == nil && one.Exchange == st.Exchange && one.Member == st.Consumer.MemberID {
			out = append(out, one)
		}
	}
	return out
}

// undecided reports that a machine asked about the person, was answered, and that no decision that names a human rests on it.
//
// LAW: A19 and SAFEGUARDS 29: missing ones are listed. A register that confirms cases serves other questions: its answer is none to decide on.
func (m *merger) undecided(u *Use) bool {
	st := u.Statement
	if u.Kind != countersign.LeafExchange || st.Outcome != countersign.OutcomeReleased || st.Official.Assurance != countersign.AssuranceAutomated || u.Consumer == nil ||
		st.Mandate.Kind == countersign.MandateOwn { // the person asked for themselves: nobody decides anything by that
		return false
	}
	for i := range m.known.doc.Purposes {
		if r := m.known.doc.Purposes[i].CaseRegister; r != nil && *r == st.Service {
			return false
		}
	}
	return !slices.ContainsFunc(u.Decisions, func(d countersign.Decision) bool { return d.Official != "" })
}
