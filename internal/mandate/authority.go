package mandate

import (
	"slices"

	"countersign.dev/countersign"
)

// authority is what a question stands on beside its purpose.
type authority struct {
	kind      countersign.MandateKind
	ref       countersign.MandateRef
	mandate   *Mandate
	programme *programme
}

// covers reports whether the authority names the field; the purpose alone names none and covers what its cells say.
func (a *authority) covers(path countersign.FieldPath) bool {
	switch {
	case a.mandate != nil:
		_, ok := slices.BinarySearch(a.mandate.Fields, path)
		return ok
	case a.programme != nil:
		return a.programme.fields[path]
	}
	return true
}

// refuses says why a field may not leave under the authority, and which mandates would help; "" where it may.
func (a *authority) refuses(f *grantField, standing bool) (why string, missing kinds) {
	if f.cell == nil {
		return "the matrix has no cell for its category", 0
	}
	// The class's floor was applied to the cell when it was compiled; it is applied again so that no cell can be looser.
	accepted := f.cell.kinds & f.category.floor
	switch {
	case !accepted.has(countersign.MandateNone) && !accepted.has(a.kind):
		if accepted == f.cell.kinds {
			return f.cell.needs, accepted
		}
		return "its category needs " + accepted.String(), accepted
	case standing && f.category.class.Rank() > countersign.ClassRelation.Rank():
		return "a standing declaration is good for the classes O and R alone", 0
	case !a.covers(f.path):
		return "the " + a.kind.String() + " does not name it", 0
	}
	return "", 0
}

// authority finds what the question stands on. Each mandate that is presented must hold: one that does not is a reason to refuse, never
// passed over in favour of a weaker authority.
func (p *Policy) authority(q *Question, s *service, u *purpose, grants []*grant, d *Decision) authority {
	valid := true
	for i := range q.Mandates {
		if !q.Mandates[i].holds(q, s, u, d) {
			valid = false
		}
	}
	switch {
	case len(q.Mandates) > 0 && valid:
		return strongest(q, grants)
	case len(q.Mandates) > 0:
		return authority{}
	case q.Official.Assurance != countersign.AssuranceAutomated:
		return authority{}
	}
	var late bool
	for _, g := range p.programmes[route{q.Consumer, q.Service}] {
		if g.Purpose != q.Purpose || g.Basis != q.Basis {
			continue
		}
		if !q.At.Before(g.From) && q.At.Before(g.Until) {
			return authority{
				kind: countersign.MandateProgramme, programme: g,
				ref: countersign.MandateRef{Kind: countersign.MandateProgramme, ID: countersign.MandateID(g.ID), Digest: g.digest},
			}
		}
		late = true
	}
	switch {
	case q.Standing:
	case late:
		d.refuse(countersign.CodeMandateInvalid, "programme", "the programme of this client has not begun or has ended")
	case s.personal:
		d.refuse(countersign.CodeAssurance, "official", "nobody is named who asks, and neither a programme nor a standing declaration lets this client ask by itself")
	}
	return authority{}
}

// strongest chooses among several mandates the one that opens the most fields; of equals, the first that was presented.
func strongest(q *Question, grants []*grant) authority {
	var best authority
	most := -1
	for i := range q.Mandates {
		m := &q.Mandates[i]
		a := authority{kind: m.Kind, ref: m.Ref(), mandate: m}
		opened := 0
		for _, g := range grants {
			for j := range g.fields {
				if why, _ := a.refuses(&g.fields[j], q.Standing); why == "" {
					opened++
				}
			}
		}
		if opened > most {
			best, most = a, opened
		}
	}
	return best
}

// holds adds a reason for every clause of the mandate that does not fit the question.
func (m *Mandate) holds(q *Question, s *service, u *purpose, d *Decision) bool {
	before := len(d.Reasons)
	ref := m.Kind.String() + " " + string(m.ID)
	bad := func(text string) { d.refuse(countersign.CodeMandateInvalid, ref, "the "+m.Kind.String()+" "+text) }
	switch m.Kind {
	case countersign.MandateRelation, countersign.MandateConsent, countersign.MandateWarrant, countersign.MandateEmergency, countersign.MandateOwn:
	default:
		d.refuse(countersign.CodeMandateInvalid, ref, "a mandate is a relation, a consent, a warrant, an emergency or the person's own request")
		return false
	}
	if !m.verified || m.ID == "" || m.Digest.IsZero() {
		bad("was not verified")
	}
	if m.Consumer != q.Consumer {
		bad("was given to another client")
	}
	if m.Service != q.Service {
		bad("is for another service") // A24
	}
	if m.Purpose != q.Purpose {
		bad("is for another purpose")
	}
	if m.Basis != "" && m.Basis != q.Basis {
		bad("is on another legal basis")
	}
	if m.Case != "" && m.Case != q.Case {
		bad("is for another case")
	}
	// A23. A service whose subject stands in its answer is decided on again, for each person found.
	if m.Subject.IsZero() || m.Subject != q.Subject && !(s.answer && q.Subject.IsZero()) {
		bad("is for another person")
	}
	if m.NotBefore.IsZero() || q.At.Before(m.NotBefore) {
		bad("is not valid yet") // A20, A21
	}
	if m.NotAfter.IsZero() || !q.At.Before(m.NotAfter) {
		bad("has expired") // A21
	}
	if m.Uses < 0 || m.Used < 0 || m.Uses == 0 && m.Kind == countersign.MandateWarrant {
		bad("does not say how often it may be used")
	} else if m.Uses > 0 && m.Used >= m.Uses {
		d.refuse(countersign.CodeMandateSpent, ref, "the "+m.Kind.String()+" has been used as often as it allows") // A25
	}
	if len(m.Fields) == 0 || !slices.IsSorted(m.Fields) {
		bad("names no fields, or not in order")
	}
	if !u.kinds.has(m.Kind) {
		bad("is not a mandate that the purpose " + string(u.Code) + " accepts")
	}
	if len(q.OnBehalfOf) > 0 && m.Kind != countersign.MandateRelation {
		// A14: it names one client, and nobody behind it. A relation is the person's with the case, whoever works on it.
		bad("names nobody on whose behalf it may be used: the principal asks itself")
	}
	if q.Standing {
		bad("cannot go with a standing declaration: state the purpose in the question")
	}
	return len(d.Reasons) == before
}
