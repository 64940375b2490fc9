package mandate

import (
	"time"

	"countersign.dev/countersign"
)

// Rehearsal is what would come of a question if a mandate of some kind stood. It permits nothing: it holds no decision.
type Rehearsal struct {
	Allowed   bool
	Lines     []string // of [Policy.Explain]
	Fields    []countersign.FieldPath
	Retention time.Duration
	Kind      countersign.MandateKind
}

// Rehearse explains a question as if a mandate of the kind stood for it, for all fields that the service grants; kind none rehearses the question
// as it is. It is for people who want to know before they ask.
func (p *Policy) Rehearse(q *Question, kind countersign.MandateKind) Rehearsal {
	supposed := *q
	if kind != countersign.MandateNone && kind != countersign.MandateProgramme {
		m := Mandate{
			Kind: kind, ID: "supposed", Digest: countersign.Digest{1}, Consumer: q.Consumer, Service: q.Service, Purpose: q.Purpose, Basis: q.Basis,
			Subject: q.Subject, Case: q.Case, NotBefore: q.At, NotAfter: q.At.Add(time.Minute), Uses: 1, verified: true,
		}
		if s := p.services[q.Service]; s != nil {
			for _, g := range s.grants[q.Purpose] {
				for _, f := range append(append([]grantField(nil), g.fields...), g.writes...) {
					m.Fields = append(m.Fields, f.path)
				}
			}
		}
		m.Fields = countersign.SortFields(m.Fields)
		supposed.Mandates = append([]Mandate(nil), m)
	}
	d := p.Decide(&supposed)
	return Rehearsal{Allowed: d.MayAsk(), Lines: p.Explain(&supposed), Fields: d.Fields, Retention: d.Retention, Kind: d.Mandate.Kind}
}
