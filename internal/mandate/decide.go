package mandate

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// MaxOnBehalfOf bounds the chain of principals that a question may name.
const MaxOnBehalfOf = 8

// Decide answers a question. It never fails: what cannot be judged is refused, and every reason is kept, not only the first, so that the
// caller mends all of them at once and the record explains itself.
func (p *Policy) Decide(q *Question) Decision {
	d := Decision{Directory: p.version, Assurance: q.Official.Assurance}
	if q.At.IsZero() {
		d.refuse(countersign.CodeClock, "time", "the question has no time at which to judge it")
	}
	if !p.knows(q.Consumer) {
		d.refuse(countersign.CodeUnknownMember, "client "+q.Consumer.String(), "the client is not a subsystem of the directory: register it with the governing bodies")
	}
	if IsMetadata(q.Service.Service) {
		p.decideMetadata(q, &d)
		return d
	}
	s := p.services[q.Service]
	if s == nil {
		d.refuse(countersign.CodeUnknownService, "service "+q.Service.String(), "the directory has no such service: look it up in the catalogue")
	}
	u := p.statedPurpose(q, &d)
	if s == nil {
		return d
	}
	s.state(&d)
	p.subject(q, s, &d)
	if u == nil {
		return d
	}
	u.conditions(q, &d)
	s.matrix(u, &d)
	grants := s.granted(q, &d)
	a := p.authority(q, s, u, grants, &d)
	if len(grants) > 0 {
		s.release(q, grants, a, &d)
	}
	d.Retention = time.Duration(u.Retention)
	d.NeedsQuorum = a.kind == countersign.MandateWarrant || d.Special && a.kind != countersign.MandateEmergency
	p.forbid(q, s, &d)
	if len(d.Reasons) > 0 {
		d.Fields, d.Writes = nil, nil
		return d
	}
	d.pending = s.answer && q.Subject.IsZero()
	if s.personal && !d.pending {
		d.Budgets = p.budgets(q, s, u, a.programme, a.kind)
	}
	d.allowed = true
	return d
}

func (p *Policy) decideMetadata(q *Question, d *Decision) {
	ref := "purpose " + string(PurposeMetadata)
	// listClients belongs to no provider: it is asked of the caller's own gateway.
	if q.Service.Service != "listClients" && !p.knows(q.Service.SubsystemID) {
		d.refuse(countersign.CodeUnknownService, "service "+q.Service.String(), "the directory has no such subsystem")
	}
	if q.Purpose != PurposeMetadata || q.Basis != BasisMetadata {
		d.refuse(countersign.CodeUnknownPurpose, ref, "a metadata service is asked for the built-in purpose \"metadata\"")
	}
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		d.refuse(countersign.CodeUnknownService, ref, "a metadata service is asked by GET")
	}
	if !q.Subject.IsZero() || len(q.Mandates) > 0 {
		d.refuse(countersign.CodeBadRequest, ref, "a metadata service is about nobody: name no person and no mandate")
	}
	d.Class = countersign.ClassOpen
	if len(d.Reasons) == 0 {
		d.allowed, d.Fields = true, []countersign.FieldPath{AllFields}
	}
}

// statedPurpose finds the purpose, and checks that the legal basis goes with it. It returns nil where there is no purpose to go on with.
func (p *Policy) statedPurpose(q *Question, d *Decision) *purpose {
	u := p.purposes[q.Purpose]
	switch {
	case q.Purpose == "":
		d.refuse(countersign.CodeNoPurpose, "purpose", "no purpose is stated: give the code of one in Countersign-Purpose")
	case u == nil || q.Purpose == PurposeMetadata:
		// A08: coded values of the directory only. The text is the caller's and is not repeated.
		u = nil
		d.refuse(countersign.CodeUnknownPurpose, "purpose", "the purpose is not a code of the directory: free text is not accepted")
	}
	switch {
	case q.Basis == "":
		d.refuse(countersign.CodeNoPurpose, "basis", "no legal basis is stated: give the code of one in Countersign-Legal-Basis")
	case p.bases[q.Basis] == nil:
		d.refuse(countersign.CodeUnknownBasis, "basis", "the legal basis is not a code of the directory: free text is not accepted")
	case u != nil && !slices.Contains(u.Bases, q.Basis):
		// LAW: Convention 108+ Art. 5(2): processing on a legitimate basis laid down by law.
		d.refuse(countersign.CodeUnknownBasis, "purpose "+string(u.Code), "the legal basis "+string(q.Basis)+" does not go with the purpose "+string(u.Code))
	}
	if !q.Standing {
		return u
	}
	if s, ok := p.StandingFor(q.Consumer, q.Service); !ok || s.Purpose != q.Purpose || s.Basis != q.Basis {
		d.refuse(countersign.CodeNoPurpose, "standing declaration", "no standing declaration states this purpose for this client and service")
	}
	if u != nil && u.Case {
		d.refuse(countersign.CodeNoPurpose, "standing declaration", "the purpose "+string(u.Code)+" needs a case, which a standing declaration cannot name")
	}
	return u
}

// state refuses a service that is out of use, not assessed, or that should never have been.
func (s *service) state(d *Decision) {
	d.Personal = s.personal
	ref := s.ref
	if s.never != "" {
		// A56: with any authority.
		d.refuse(countersign.CodeNeverExchanged, "category "+string(s.never), "the category "+string(s.never)+" is never exchanged, on any authority")
	}
	if s.incomplete {
		d.refuse(countersign.CodeServiceDisabled, ref, "the service's entry in the directory names something that is missing, and cannot be judged")
	}
	if s.disabled {
		d.refuse(countersign.CodeServiceDisabled, ref, "the service's owner has taken it out of use")
	}
	// LAW: Convention 108+ Art. 10(2): the likely impact is examined before processing begins.
	if s.personal && !s.assessed {
		d.refuse(countersign.CodeServiceDisabled, ref, "the service has no signed impact assessment and is not active")
	}
}

// subject refuses a question without its person, with a person where none belongs, and an official's question about themselves.
func (p *Policy) subject(q *Question, s *service, d *Decision) {
	ref := s.ref
	switch {
	case !s.personal:
		if !q.Subject.IsZero() {
			d.refuse(countersign.CodeBadRequest, ref, "the service is about nobody: name no person")
		}
		for _, c := range s.categories {
			if c.class != countersign.ClassOpen {
				d.refuse(countersign.CodeNoSubject, ref, "the service finds no person, but carries the category "+string(c.code)+" of class "+string(c.class))
			}
		}
		return
	case q.Subject.IsZero():
		// A01, A02: a question names one person, unless the register's answer does.
		if !s.answer {
			d.refuse(countersign.CodeNoSubject, ref, "the question names no person")
		}
		return
	}
	if k := p.schemes[s.scheme]; k == nil || q.Subject.Scheme != s.scheme || !k.canonical(q.Subject.Value) {
		d.refuse(countersign.CodeNoSubject, "scheme "+string(s.scheme), "the person is not named by a canonical identifier of the scheme "+string(s.scheme))
	}
	if q.Subject == q.OfficialSubject {
		d.refuse(countersign.CodeSelfLookup, "official", "officials see their own data in the portal, as everybody does, and not through their office")
	}
}

func (s *scheme) canonical(value string) bool {
	id, err := s.normalise(value)
	return err == nil && id.Value == value
}

// conditions checks what the purpose asks of the question beside the matrix.
func (u *purpose) conditions(q *Question, d *Decision) {
	ref := u.ref
	if u.Case && strings.TrimSpace(string(q.Case)) == "" {
		d.refuse(countersign.CodeNoMandate, ref, "the purpose "+string(u.Code)+" needs a case number in X-Road-Issue")
	}
	if q.Official.Assurance < max(u.Assurance, countersign.AssuranceAutomated) || q.Official.Assurance > countersign.AssuranceVerified {
		d.refuse(countersign.CodeAssurance, ref, "the purpose "+string(u.Code)+" wants the official "+max(u.Assurance, countersign.AssuranceAutomated).String()+
			": say who asks")
	}
	if u.Assurance < countersign.AssuranceAutomated || u.Polling != nil && (u.Polling.PerMinute < 1 || u.Polling.PerDay < 1) {
		d.refuse(countersign.CodeUnknownPurpose, ref, "the entry of the purpose "+string(u.Code)+" in the directory is not complete, and cannot be judged")
	}
	if q.Official.Assurance > countersign.AssuranceAutomated && q.Official.Pseudonym == "" {
		d.refuse(countersign.CodeAssurance, "official", "the official is said to be known and has no pseudonym")
	}
	if len(q.OnBehalfOf) > MaxOnBehalfOf || slices.ContainsFunc(q.OnBehalfOf, func(s string) bool { return strings.TrimSpace(s) == "" }) {
		d.refuse(countersign.CodeBadRequest, "on behalf of", "the chain of principals has an empty link, or more than 8")
	}
}

// matrix refuses a purpose that may touch nothing of what the service is about.
//
// A09: a real purpose is no way to another category.
func (s *service) matrix(u *purpose, d *Decision) {
	for _, c := range s.categories {
		if k := u.cells[c.code]; k != nil && k.kinds&c.floor != 0 {
			return
		}
	}
	for _, c := range s.categories {
		blank := "cell " + string(u.Code) + " × " + string(c.code)
		d.Cells = append(d.Cells, blank+": blank")
		d.refuse(countersign.CodeForbiddenCell, blank, "the purpose "+string(u.Code)+" may not touch the category "+string(c.code))
	}
}

// granted lists the grants that serve this client, purpose and method.
func (s *service) granted(q *Question, d *Decision) []*grant {
	all := s.grants[q.Purpose]
	var mine []*grant
	client := false
	for _, g := range all {
		if !g.everyone && !g.clients[q.Consumer] {
			continue
		}
		client = true
		if slices.Contains(g.methods, q.Method) {
			mine = append(mine, g)
		}
	}
	if len(mine) > 0 {
		return mine
	}
	ref := s.ref + ", grant for " + string(q.Purpose)
	switch {
	case !client:
		d.refuse(countersign.CodeAccessDenied, ref, "the service's owner grants this client nothing for the purpose "+string(q.Purpose))
	default:
		d.refuse(countersign.CodeAccessDenied, ref, "the grant for the purpose "+string(q.Purpose)+" does not cover this method")
	}
	return nil
}

// release works out which fields may leave under the authority, and says why the others may not.
func (s *service) release(q *Question, grants []*grant, a authority, d *Decision) {
	d.Mandate = a.ref
	writing := q.Method != http.MethodGet && q.Method != http.MethodHead && q.Method != http.MethodOptions
	needed := kinds(0)
	blank := 0
	used := a.mandate == nil
	pass := func(f *grantField) bool {
		why, missing := a.refuses(f, q.Standing)
		if why == "" {
			d.count(f.category, f.cell)
			used = used || f.cell.kinds.has(a.kind)
			return true
		}
		needed |= missing
		if f.cell == nil {
			blank++
		}
		d.Withheld = append(d.Withheld, Withheld{f.path, f.category.code, why})
		return false
	}
	for _, g := range grants {
		if g.open {
			s.releaseOpen(q, g, a, writing, d)
			return
		}
		d.Fields = slices.Grow(d.Fields, len(g.fields))
		for i := range g.fields {
			if pass(&g.fields[i]) {
				d.Fields = append(d.Fields, g.fields[i].path)
			}
		}
		for i := range g.writes {
			if writing && pass(&g.writes[i]) {
				d.Writes = append(d.Writes, g.writes[i].path)
			}
		}
	}
	d.Lacks = needed.list()
	d.Fields, d.Writes = countersign.SortFields(d.Fields), countersign.SortFields(d.Writes)
	if len(d.Fields)+len(d.Writes) > 0 {
		if !used {
			// An authority that opens nothing would only colour the record: an emergency beside an everyday question, for instance.
			d.refuse(countersign.CodeMandateInvalid, a.kind.String()+" "+string(a.ref.ID), "nothing here asks for a "+a.kind.String()+": ask without it")
		}
		return
	}
	ref := s.ref + ", grant for " + string(q.Purpose)
	switch {
	case needed != 0:
		d.refuse(countersign.CodeNoMandate, ref, "what the purpose "+string(q.Purpose)+" may see here needs "+needed.String())
	case blank > 0 && blank == len(d.Withheld):
		if !slices.Contains(d.Codes(), countersign.CodeForbiddenCell) {
			d.refuse(countersign.CodeForbiddenCell, ref, "the purpose "+string(q.Purpose)+" may touch no category of the fields that are granted for it")
		}
	case len(d.Withheld) > 0:
		d.refuse(countersign.CodeNoMandate, ref, "the authority names none of the fields that are granted for the purpose "+string(q.Purpose))
	default:
		d.refuse(countersign.CodeAccessDenied, ref, "the grant for the purpose "+string(q.Purpose)+" names no field")
	}
}

// releaseOpen lets the whole body of an open service pass, if every category of it is open and has a cell.
func (s *service) releaseOpen(q *Question, g *grant, a authority, writing bool, d *Decision) {
	u := q.Purpose
	if a.mandate != nil {
		d.refuse(countersign.CodeMandateInvalid, a.kind.String()+" "+string(a.ref.ID), "the service is about nobody: ask without a mandate")
	}
	for _, f := range g.whole {
		if why, _ := a.refuses(&f, q.Standing); why != "" || f.category.class != countersign.ClassOpen {
			if !slices.Contains(d.Codes(), countersign.CodeForbiddenCell) {
				d.refuse(countersign.CodeForbiddenCell, "cell "+string(u)+" × "+string(f.category.code), "the purpose "+string(u)+" may not touch the category "+string(f.category.code))
			}
			continue
		}
		d.count(f.category, f.cell)
	}
	d.Fields = []countersign.FieldPath{AllFields}
	if writing {
		d.Writes = []countersign.FieldPath{AllFields}
	}
}

// count notes a category that something leaves of.
func (d *Decision) count(c *category, k *cell) {
	if slices.Contains(d.Categories, c.code) {
		return
	}
	d.Categories = append(d.Categories, c.code)
	d.Cells = append(d.Cells, k.text)
	d.Class = stricter(d.Class, c.class)
	d.Special = d.Special || c.special
}
