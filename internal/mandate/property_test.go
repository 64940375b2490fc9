package mandate

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

// TestNothingIsAllowedWithoutAuthority draws directories, sound and unsound, and questions with mandates that fit and that do not, and holds
// every allow against the directory itself: no blank cell, no expired, foreign, spent or unverified mandate, no category that is never
// exchanged, no authority below the class.
func TestNothingIsAllowedWithoutAuthority(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		if err := flag.Set("rapid.checks", "12000"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flag.Set("rapid.checks", f.DefValue) }()
	}
	allowed, refused := 0, 0
	kindsAllowed := map[countersign.MandateKind]int{}
	rapid.Check(t, func(rt *rapid.T) {
		d := drawDirectory(rt)
		p := build(d).p // also of directories that Compile refuses: the decision stands by itself
		q := drawQuestion(rt, d)
		got := p.Decide(q)
		if !got.MayAsk() {
			refused++
			if got.Allowed() || len(got.Fields)+len(got.Writes) > 0 {
				rt.Fatalf("a refusal lets fields leave: %+v", got)
			}
			if len(got.Reasons) == 0 || got.Err() == nil {
				rt.Fatalf("a refusal without a reason")
			}
			return
		}
		allowed++
		kindsAllowed[got.Mandate.Kind]++
		if why := unlawful(d, q, &got); why != "" {
			rt.Fatalf("allowed, although %s\nquestion %+v\ndecision %+v", why, q, got)
		}
	})
	// The test means something only if it sees both ends, and each kind of authority.
	if allowed < 200 || refused < 200 {
		t.Errorf("%d allowed, %d refused: the draw is too narrow", allowed, refused)
	}
	for k := countersign.MandateNone; k <= countersign.MandateProgramme; k++ {
		if kindsAllowed[k] == 0 {
			t.Errorf("no question was allowed on %s", k)
		}
	}
}

// unlawful judges an allow by the directory's text alone.
func unlawful(d *countersign.Directory, q *Question, got *Decision) string {
	i := slices.IndexFunc(d.Services, func(s countersign.Service) bool { return s.ID == q.Service })
	if i < 0 {
		return "the service is not listed"
	}
	s := &d.Services[i]
	for _, code := range s.Categories {
		if classOf(d, code) == countersign.ClassNever {
			return "the service carries a category of class N"
		}
	}
	if s.Subject.From == countersign.SubjectInRequest && q.Subject.IsZero() {
		return "nobody is asked about"
	}
	if !q.Subject.IsZero() && q.Subject == q.OfficialSubject {
		return "it is a self-lookup"
	}
	if s.Subject.From != countersign.SubjectNone && (s.Assessment == nil || s.Disabled) {
		return "the service is not active"
	}
	u := slices.IndexFunc(d.Purposes, func(u countersign.Purpose) bool { return u.Code == q.Purpose })
	if u < 0 || !slices.Contains(d.Purposes[u].Bases, q.Basis) {
		return "purpose and basis do not go together"
	}
	if q.Official.Assurance < d.Purposes[u].Assurance || q.Official.Assurance == 0 || d.Purposes[u].Case && q.Case == "" {
		return "official or case are not as the purpose asks"
	}
	if got.Mandate.Kind != countersign.MandateNone {
		if why := badMandate(d, q, got); why != "" {
			return why
		}
	} else if len(q.Mandates) > 0 {
		return "a presented mandate was passed over"
	}
	for _, path := range append(slices.Clone(got.Fields), got.Writes...) {
		if why := badField(d, q, s, path, got.Mandate.Kind); why != "" {
			return fmt.Sprintf("%s: %s", path, why)
		}
	}
	return ""
}

func badMandate(d *countersign.Directory, q *Question, got *Decision) string {
	if got.Mandate.Kind == countersign.MandateProgramme {
		i := slices.IndexFunc(d.Programmes, func(p countersign.Programme) bool { return string(p.ID) == string(got.Mandate.ID) })
		p := d.Programmes[i]
		switch {
		case p.Client != q.Consumer || p.Service != q.Service || p.Purpose != q.Purpose || p.Basis != q.Basis:
			return "the programme is foreign"
		case q.At.Before(p.From) || !q.At.Before(p.Until):
			return "the programme is not running"
		case q.Official.Assurance != countersign.AssuranceAutomated:
			return "an official uses a programme"
		}
		for _, f := range got.Fields {
			if !slices.Contains(p.Fields, f) {
				return "the programme does not name the field"
			}
		}
		return ""
	}
	i := slices.IndexFunc(q.Mandates, func(m Mandate) bool { return m.Ref() == got.Mandate })
	if i < 0 {
		return "the mandate was not presented"
	}
	m := q.Mandates[i]
	switch {
	case !m.verified:
		return "the mandate was not verified"
	case m.Consumer != q.Consumer || m.Service != q.Service || m.Purpose != q.Purpose:
		return "the mandate is foreign"
	case m.Subject != q.Subject && !got.pending:
		return "the mandate is about another person"
	case q.At.Before(m.NotBefore) || !q.At.Before(m.NotAfter):
		return "the mandate is out of its time"
	case m.Kind == countersign.MandateWarrant && m.Uses == 0 || m.Uses > 0 && m.Used >= m.Uses:
		return "the mandate is spent"
	}
	opens := false
	for _, f := range got.Fields {
		if !slices.Contains(m.Fields, f) {
			return "the mandate does not name the field"
		}
		i := slices.IndexFunc(d.Services, func(s countersign.Service) bool { return s.ID == q.Service })
		for _, g := range d.Services[i].Fields {
			opens = opens || g.Path == f && slices.ContainsFunc(d.Matrix, func(c countersign.Cell) bool {
				return c.Purpose == q.Purpose && c.Category == g.Category && slices.Contains(c.Mandates, m.Kind)
			})
		}
	}
	if !opens && len(got.Fields) > 0 {
		return "the mandate is of a kind that no cell asks for"
	}
	return ""
}

func badField(d *countersign.Directory, q *Question, s *countersign.Service, path countersign.FieldPath, kind countersign.MandateKind) string {
	granted := slices.ContainsFunc(s.Grants, func(g countersign.Grant) bool {
		return g.Purpose == q.Purpose && (slices.Contains(g.Clients, "*") || slices.Contains(g.Clients, q.Consumer.String())) &&
			(slices.Contains(g.Fields, path) || slices.Contains(g.Writes, path) || path == AllFields)
	})
	if !granted {
		return "nobody granted it"
	}
	categories := s.Categories
	if path != AllFields {
		i := slices.IndexFunc(s.Fields, func(f countersign.Field) bool { return f.Path == path })
		if i < 0 {
			return "the service does not declare it"
		}
		categories = []countersign.CategoryCode{s.Fields[i].Category}
	} else if s.Subject.From != countersign.SubjectNone {
		return "a personal service leaves unfiltered"
	}
	for _, code := range categories {
		i := slices.IndexFunc(d.Matrix, func(c countersign.Cell) bool { return c.Purpose == q.Purpose && c.Category == code })
		if i < 0 {
			return "the cell is blank"
		}
		if !slices.Contains(d.Matrix[i].Mandates, kind) && !slices.Contains(d.Matrix[i].Mandates, countersign.MandateNone) {
			return "the cell does not accept " + kind.String()
		}
		class := classOf(d, code)
		if path == AllFields && class != countersign.ClassOpen {
			return "what is not open leaves unfiltered"
		}
		if q.Standing && class.Rank() > countersign.ClassRelation.Rank() {
			return "a standing declaration reaches class " + string(class)
		}
		// DATA-CLASSES, written down a second time.
		enough := map[countersign.Class]string{"O": "none relation consent warrant emergency programme", "R": "none relation consent warrant emergency programme",
			"C": "consent emergency", "C/W": "consent warrant emergency", "W": "warrant", "N": ""}[class]
		if special(d, code) && class == countersign.ClassRelation {
			enough = "relation consent warrant emergency"
		}
		if !slices.Contains(splitWords(enough), kind.String()) {
			return "class " + string(class) + " is opened by " + kind.String()
		}
	}
	return ""
}

func splitWords(s string) []string {
	var out []string
	for _, f := range list(s) {
		out = append(out, string(f))
	}
	return out
}

func classOf(d *countersign.Directory, code countersign.CategoryCode) countersign.Class {
	i := slices.IndexFunc(d.Categories, func(c countersign.Category) bool { return c.Code == code })
	if i < 0 {
		return countersign.ClassNever
	}
	return d.Categories[i].Class
}

func special(d *countersign.Directory, code countersign.CategoryCode) bool {
	return slices.ContainsFunc(d.Categories, func(c countersign.Category) bool { return c.Code == code && c.Special })
}

func drawDirectory(t *rapid.T) *countersign.Directory {
	d := fixture()
	classes := []countersign.Class{"O", "R", "C", "C/W", "W", "N"}
	kindSets := rapid.SliceOfNDistinct(rapid.SampledFrom([]countersign.MandateKind{0, 1, 2, 3, 4, 5}), 0, 3, rapid.ID[countersign.MandateKind])
	for n := rapid.IntRange(0, 3).Draw(t, "class changes"); n > 0; n-- {
		c := &d.Categories[rapid.IntRange(0, len(d.Categories)-1).Draw(t, "category")]
		c.Class, c.Special = rapid.SampledFrom(classes).Draw(t, "class"), rapid.Bool().Draw(t, "special")
	}
	for n := rapid.IntRange(0, 4).Draw(t, "cell changes"); n > 0; n-- {
		i := rapid.IntRange(0, len(d.Matrix)-1).Draw(t, "cell")
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			d.Matrix = slices.Delete(d.Matrix, i, i+1)
		case 1:
			d.Matrix[i].Mandates = kindSets.Draw(t, "kinds")
		case 2:
			c := countersign.Cell{Purpose: d.Matrix[i].Purpose, Category: rapid.SampledFrom(d.Categories).Draw(t, "of").Code, Mandates: kindSets.Draw(t, "kinds")}
			if !slices.ContainsFunc(d.Matrix, func(x countersign.Cell) bool { return x.Purpose == c.Purpose && x.Category == c.Category }) {
				d.Matrix = append(d.Matrix, c)
			}
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "service change") == 0 {
		s := &d.Services[rapid.IntRange(0, len(d.Services)-1).Draw(t, "service")]
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			s.Disabled = true
		case 1:
			s.Assessment = nil
		case 2:
			s.Subject.From = rapid.SampledFrom([]countersign.SelectorFrom{"none", "answer", "request", ""}).Draw(t, "from")
		case 3:
			s.Categories = append(s.Categories, rapid.SampledFrom(d.Categories).Draw(t, "carries").Code)
		case 4:
			if len(s.Fields) > 0 {
				s.Fields[rapid.IntRange(0, len(s.Fields)-1).Draw(t, "field")].Category = rapid.SampledFrom(d.Categories).Draw(t, "moves to").Code
			}
		}
	}
	return d
}

// drawQuestion begins with a question that fits and spoils up to two things of it.
func drawQuestion(t *rapid.T, d *countersign.Directory) *Question {
	s := rapid.SampledFrom(d.Services).Draw(t, "asked")
	g := rapid.SampledFrom(s.Grants).Draw(t, "granted")
	u := d.Purposes[slices.IndexFunc(d.Purposes, func(u countersign.Purpose) bool { return u.Code == g.Purpose })]
	clients := []string{welfare, police, city}
	client := g.Clients[0]
	if client == "*" {
		client = rapid.SampledFrom(clients).Draw(t, "client")
	}
	q := &Question{Consumer: subsystem(client), Service: s.ID, Method: "GET", Purpose: u.Code, Basis: u.Bases[0], Case: "C-1", Official: known, At: now}
	if len(g.Methods) > 0 {
		q.Method = g.Methods[0]
	}
	if s.Subject.From != countersign.SubjectNone {
		q.Subject = person
	}
	if u.Assurance == countersign.AssuranceAutomated && rapid.Bool().Draw(t, "automated") {
		q.Official = machine
	}
	for range rapid.SampledFrom([]int{0, 1, 1, 1, 1, 2}).Draw(t, "mandates") {
		q.Mandates = append(q.Mandates, drawMandate(t, q, g.Fields))
	}
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2}).Draw(t, "spoilt") {
		switch rapid.IntRange(0, 11).Draw(t, "spoil") {
		case 0:
			q.Consumer = subsystem(rapid.SampledFrom(clients).Draw(t, "other client"))
		case 1:
			q.Service = rapid.SampledFrom(d.Services).Draw(t, "other service").ID
		case 2:
			q.Purpose = rapid.SampledFrom(d.Purposes).Draw(t, "other purpose").Code
		case 3:
			q.Basis = rapid.SampledFrom(d.Bases).Draw(t, "other basis").Code
		case 4:
			q.Subject = rapid.SampledFrom([]countersign.SubjectID{{}, person, other, {Scheme: "pin", Value: "1abcd23"}, {Scheme: "passport", Value: "1ABCD23"}}).Draw(t, "other person")
		case 5:
			q.Official = rapid.SampledFrom([]countersign.Official{{}, clerk, known, machine, {Assurance: 9}}).Draw(t, "other official")
		case 6:
			q.OfficialSubject = rapid.SampledFrom([]countersign.SubjectID{person, other}).Draw(t, "is")
		case 7:
			q.Case = ""
		case 8:
			q.Standing = true
		case 9:
			q.At = rapid.SampledFrom([]time.Time{{}, now.Add(-48 * time.Hour), now.Add(48 * time.Hour)}).Draw(t, "at")
		case 10:
			q.Method = rapid.SampledFrom([]string{"", "get", "PUT", "POST", "DELETE"}).Draw(t, "method")
		case 11:
			q.OnBehalfOf = []string{rapid.SampledFrom([]string{"", "GOV/SOC"}).Draw(t, "for")}
		}
	}
	return q
}

func drawMandate(t *rapid.T, q *Question, fields []countersign.FieldPath) Mandate {
	m := held(q, rapid.SampledFrom([]countersign.MandateKind{1, 2, 3, 4}).Draw(t, "kind"), "")
	m.Fields = countersign.SortFields(slices.Clone(fields))
	m.Digest[1] = byte(len(q.Mandates)) // each its own token
	if rapid.IntRange(0, 2).Draw(t, "holds") > 0 {
		return m
	}
	switch rapid.IntRange(0, 11).Draw(t, "flaw") {
	case 0:
		m.verified = false
	case 1:
		m.Consumer = subsystem(city)
	case 2:
		m.Service = serviceID(parcels)
	case 3:
		m.Purpose = "open"
	case 4:
		m.Subject = rapid.SampledFrom([]countersign.SubjectID{{}, other}).Draw(t, "for")
	case 5:
		m.NotAfter = rapid.SampledFrom([]time.Time{{}, q.At, q.At.Add(-time.Second)}).Draw(t, "until")
	case 6:
		m.NotBefore = rapid.SampledFrom([]time.Time{{}, q.At.Add(time.Second)}).Draw(t, "from")
	case 7:
		m.Uses, m.Used = rapid.IntRange(-1, 2).Draw(t, "uses"), rapid.IntRange(-1, 3).Draw(t, "used")
	case 8:
		m.Fields = m.Fields[:len(m.Fields)/2]
	case 9:
		m.Kind = rapid.SampledFrom([]countersign.MandateKind{0, 5, 6, 200}).Draw(t, "other kind")
	case 10:
		m.Digest = countersign.Digest{}
	case 11:
		m.Basis, m.Case = "stat-11", "another"
	}
	return m
}
