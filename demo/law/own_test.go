package law_test

import (
	"slices"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/mandate"
)

// vouches stands for a verifier that has found evidence good.
type vouches mandate.OwnRequest

func (v vouches) Own(countersign.MemberID, mandate.OwnEvidence) (mandate.OwnRequest, error) {
	return mandate.OwnRequest(v), nil
}

// A person's own request opens what the register grants for it, about that person, through the portal, once, and nothing else.
func TestOwnAccess(t *testing.T) {
	doc := law.Document(at)
	p, err := mandate.Compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	me := countersign.SubjectID{Scheme: "pin", Value: "1ABCD23"}
	records := law.Service(law.CLN, "records")
	asked := vouches{Subject: me, Service: records, ID: "q1", At: at}
	own, err := p.VerifyOwn(mandate.OwnEvidence{Token: "t", Proof: "p"}, law.Portal(), at, asked)
	if err != nil {
		t.Fatal(err)
	}
	question := func() *mandate.Question {
		return &mandate.Question{
			Consumer: law.Portal(), Service: records, Method: "GET", Subject: me, Purpose: mandate.PurposeOwnAccess, Basis: "data-act-15",
			Official: countersign.Official{Assurance: countersign.AssuranceAutomated}, Mandates: []mandate.Mandate{own}, At: at,
		}
	}
	d := p.Decide(question())
	if !d.Allowed() || !d.NeedsQuorum || d.Mandate.Kind != countersign.MandateOwn || !slices.Contains(d.Fields, "/entry/*/resource[Condition]/code/coding/*/display") {
		t.Fatalf("refused, or without witnesses, or other fields: %v %+v", d.Err(), d)
	}
	for _, b := range d.Budgets {
		if b.Name != mandate.BudgetPollMinute && b.Name != mandate.BudgetPollDay {
			t.Errorf("the budget %s bounds people's own requests", b.Name)
		}
	}
	for name, c := range map[string]struct {
		change func(*mandate.Question)
		code   countersign.Code
	}{
		"without it":             {func(q *mandate.Question) { q.Mandates = nil }, countersign.CodeAssurance},
		"about somebody else":    {func(q *mandate.Question) { q.Subject.Value = "1ABCD24" }, countersign.CodeMandateInvalid},
		"of another register":    {func(q *mandate.Question) { q.Service = law.Service(law.POP, "residence") }, countersign.CodeMandateInvalid},
		"by an agency":           {func(q *mandate.Question) { q.Consumer = law.Client(law.CLN) }, countersign.CodeAccessDenied},
		"for another purpose":    {func(q *mandate.Question) { q.Purpose, q.Basis = "treatment", "health-act-26" }, countersign.CodeAssurance},
		"twice":                  {func(q *mandate.Question) { q.Mandates[0].Used = 1 }, countersign.CodeMandateSpent},
		"later":                  {func(q *mandate.Question) { q.At = at.Add(5 * time.Minute) }, countersign.CodeMandateInvalid},
		"with a changed service": {func(q *mandate.Question) { q.Mandates[0].Service = law.Service(law.POP, "residence") }, countersign.CodeMandateInvalid},
	} {
		q := question()
		c.change(q)
		if d := p.Decide(q); d.Allowed() || !slices.Contains(d.Codes(), c.code) {
			t.Errorf("%s: %v, want %s", name, d.Codes(), c.code)
		}
	}
	if _, err := p.VerifyOwn(mandate.OwnEvidence{Token: "t", Proof: "p"}, law.Client(law.SOC), at, asked); countersign.CodeOf(err) != countersign.CodeMandateInvalid {
		t.Errorf("an agency brings people's own requests: %v", err)
	}
	if _, err := p.VerifyOwn(mandate.OwnEvidence{Token: "t", Proof: "p"}, law.Portal(), at, nil); countersign.CodeOf(err) != countersign.CodeMandateInvalid {
		t.Errorf("what nobody can check counts: %v", err)
	}
	asked.Service = law.Service(law.POP, "family")
	if _, err := p.VerifyOwn(mandate.OwnEvidence{Token: "t", Proof: "p"}, law.Portal(), at, asked); countersign.CodeOf(err) != countersign.CodeMandateInvalid {
		t.Errorf("relatives are shown by one's own request: %v", err)
	}
	// What a court decides about is in nobody's own access, whatever a cell says.
	for _, c := range doc.Matrix {
		i := slices.IndexFunc(doc.Categories, func(k countersign.Category) bool { return k.Code == c.Category })
		if class := doc.Categories[i].Class; c.Purpose == mandate.PurposeOwnAccess && class.Rank() >= countersign.ClassWarrant.Rank() {
			t.Errorf("own access touches %s of class %s", c.Category, class)
		}
	}
}
