package mandate

import (
	"slices"
	"testing"
	"time"

	"countersign.dev/countersign"
)

func TestZeroValueDenies(t *testing.T) {
	var d Decision
	if d.Allowed() || d.MayAsk() || d.Err() == nil {
		t.Error("the zero decision permits something")
	}
	p := compiled(t, fixture())
	if d := p.Decide(&Question{}); d.Allowed() || d.MayAsk() || len(d.Reasons) == 0 {
		t.Error("the blank question is permitted")
	}
	if d := new(Policy).Decide(benefitQuestion()); d.MayAsk() {
		t.Error("the blank policy permits")
	}
}

func TestMandatesThatNobodyVerifiedCountForNothing(t *testing.T) {
	p := compiled(t, fixture())
	q := crimeQuestion(health)
	m := held(q, countersign.MandateWarrant, "/diagnosis")
	q.Mandates = []Mandate{m}
	if d := p.Decide(q); !d.Allowed() {
		t.Fatalf("a verified warrant is refused: %v", d.Err())
	}
	m.verified = false
	q.Mandates = []Mandate{m}
	if d := p.Decide(q); d.MayAsk() || d.Codes()[0] != countersign.CodeMandateInvalid {
		t.Error("a warrant that nobody verified is accepted")
	}
}

func TestAllReasonsAreKept(t *testing.T) {
	p := compiled(t, fixture())
	q := crimeQuestion(people)
	q.Consumer, q.Basis, q.Official, q.OfficialSubject = subsystem(welfare), "social-9", clerk, person
	d := p.Decide(q)
	want := []countersign.Code{countersign.CodeUnknownBasis, countersign.CodeSelfLookup, countersign.CodeAssurance, countersign.CodeAccessDenied}
	if !slices.Equal(d.Codes(), want) {
		t.Errorf("codes %v, want %v", d.Codes(), want)
	}
	if d.Fields != nil {
		t.Error("a refusal names fields that may leave")
	}
}

// A subject that stands in the answer: the register may be asked, but nothing leaves before each person was decided on.
func TestSubjectInAnswer(t *testing.T) {
	p := compiled(t, fixture())
	q := crimeQuestion(plates)
	q.Subject = countersign.SubjectID{}
	d := p.Decide(q)
	if d.Allowed() || !d.MayAsk() || len(d.Budgets) > 0 {
		t.Fatalf("before anybody is known: allowed %v, may ask %v: %v", d.Allowed(), d.MayAsk(), d.Err())
	}
	q.Subject = person
	if d = p.Decide(q); !d.Allowed() || len(d.Budgets) == 0 {
		t.Errorf("with the owner: %v", d.Err())
	}
	q.OfficialSubject = person
	if d = p.Decide(q); d.MayAsk() {
		t.Error("the official's own vehicle is answered")
	}
}

func TestBudgetsCannotBeEscaped(t *testing.T) {
	p := compiled(t, fixture())
	keys := func(q *Question) map[string]string {
		d := p.Decide(q)
		if !d.Allowed() {
			t.Fatal(d.Err())
		}
		m := map[string]string{}
		for _, b := range d.Budgets {
			m[b.Name] = b.DistinctPart
			for _, part := range b.KeyParts {
				m[b.Name] += "|" + part
			}
		}
		return m
	}
	a := crimeQuestion(people)
	a.OfficialName = CanonicalOfficial("det-4711")
	before := keys(a)
	b := crimeQuestion(people)
	b.Case, b.OfficialName, b.Official.Pseudonym = "another", CanonicalOfficial(" DET 47-11\u200b"), "for another provider"
	after := keys(b)
	for name, key := range before {
		if after[name] != key {
			t.Errorf("%s: spelling and case make another key: %q, %q", name, key, after[name])
		}
	}
	for _, name := range []string{BudgetPeopleOfficial, BudgetPeopleMember, BudgetPollMinute, BudgetPollDay, BudgetLinkage} {
		if before[name] == "" {
			t.Errorf("%s is not counted", name)
		}
	}
}

func TestBudgetLimits(t *testing.T) {
	d := fixture()
	d.Caps.PeopleOfficial = 30  // tightened
	d.Caps.PeopleMember = 10000 // loosened, which does not count
	p := compiled(t, d)
	limits := func(q *Question) map[string]int {
		d := p.Decide(q)
		if !d.Allowed() {
			t.Fatal(d.Err())
		}
		m := map[string]int{}
		for _, b := range d.Budgets {
			m[b.Name] = b.Limit
		}
		return m
	}
	got := limits(benefitQuestion())
	want := map[string]int{BudgetPeopleOfficial: 30, BudgetPeopleMember: 2000, BudgetPollMinute: 1, BudgetPollDay: 20, BudgetLinkage: 6}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s is %d, want %d", name, got[name], n)
		}
	}
	q := &Question{Consumer: subsystem(city), Service: serviceID(people), Method: "GET", Subject: person, Purpose: "housing", Basis: "city-21", Official: machine, At: now}
	if got := limits(q); len(got) != 1 || got[BudgetProgramme] != 500 {
		t.Errorf("under a programme: %v", got)
	}
	q.Official = clerk
	if got := limits(q); got[BudgetProgramme] != 0 || got[BudgetPeopleOfficial] != 30 {
		t.Errorf("an official of the same client escapes into the programme: %v", got)
	}
}

// TestShownPeopleCount holds that whoever an answer shows draws from the bounds on people, under the asker's keys, and from nothing else.
func TestShownPeopleCount(t *testing.T) {
	p := compiled(t, fixture())
	d := p.Decide(benefitQuestion())
	var names []string
	for _, b := range d.ShownBudgets(other) {
		names = append(names, b.Name)
		i := slices.IndexFunc(d.Budgets, func(x BudgetSpec) bool { return x.Name == b.Name })
		if !slices.Equal(d.Budgets[i].KeyParts, b.KeyParts) || b.Limit != d.Budgets[i].Limit || b.Says == "" {
			t.Errorf("%s is counted elsewhere for whoever is shown: %+v", b.Name, b)
		}
		if b.DistinctPart != other.Canonical() || d.Budgets[i].DistinctPart != person.Canonical() {
			t.Errorf("%s counts %q", b.Name, b.DistinctPart)
		}
	}
	if !slices.Equal(names, []string{BudgetPeopleOfficial, BudgetPeopleMember}) {
		t.Errorf("whoever is shown draws from %v", names)
	}
	q := &Question{Consumer: subsystem(city), Service: serviceID(people), Method: "GET", Subject: person, Purpose: "housing", Basis: "city-21", Official: machine, At: now}
	if d := p.Decide(q); !d.Allowed() || len(d.ShownBudgets(other)) != 0 {
		t.Errorf("a programme counts whoever is shown: %+v", d.ShownBudgets(other))
	}
}

func TestBudgetSides(t *testing.T) {
	p := compiled(t, fixture())
	d := p.Decide(benefitQuestion())
	if n, m := len(d.ConsumerBudgets()), len(d.ProviderBudgets()); n != 5 || m != 4 {
		t.Errorf("consumer counts %d, provider %d", n, m)
	}
}

func TestCanonicalOfficial(t *testing.T) {
	for _, same := range [][]string{
		{"AB123", "ab123", " ab-12 3", "a\u200bb.123", "AB123\x00"},
		{"Kim", "\u212Aim", "KIM"}, // the Kelvin sign
		{"", " ", "--", "\u200b"},
	} {
		for _, s := range same {
			if CanonicalOfficial(s) != CanonicalOfficial(same[0]) {
				t.Errorf("%q and %q are two officials", s, same[0])
			}
		}
	}
	if CanonicalOfficial("ab123") == CanonicalOfficial("ab124") {
		t.Error("two officials are one")
	}
}

func TestRules(t *testing.T) {
	forbid := func(policy string) []countersign.Rule { return []countersign.Rule{{ID: "r1", Policy: policy}} }
	for name, c := range map[string]struct {
		policy string
		stops  bool
	}{
		"everything":         {`forbid (principal, action, resource);`, true},
		"this service":       {`forbid (principal, action, resource == Service::"DEMO/GOV/POP/registry/person");`, true},
		"another service":    {`forbid (principal, action, resource == Service::"DEMO/GOV/CLN/registry/records");`, false},
		"the provider":       {`forbid (principal, action, resource in Member::"DEMO/GOV/POP");`, true},
		"the subsystem":      {`forbid (principal, action, resource in Subsystem::"DEMO/GOV/POP/registry");`, true},
		"another provider":   {`forbid (principal, action, resource is Service in Member::"DEMO/GOV/CLN");`, false},
		"the consumer":       {`forbid (principal in Member::"DEMO/GOV/SOC", action, resource);`, true},
		"its subsystem":      {`forbid (principal == Subsystem::"DEMO/GOV/SOC/desk", action, resource);`, true},
		"another consumer":   {`forbid (principal in Member::"DEMO/GOV/POL", action, resource);`, false},
		"purpose first":      {`forbid (principal, action, resource) when { context.purpose == "benefit" && context.hour == 10 };`, true},
		"another purpose":    {`forbid (principal, action, resource) when { "crime" == context.purpose };`, false},
		"purpose later":      {`forbid (principal, action, resource) when { context.hour == 10 || context.purpose == "crime" };`, true},
		"unless":             {`forbid (principal, action, resource) unless { context.purpose == "benefit" };`, false},
		"hour":               {`forbid (principal, action, resource) when { context.hour < 9 };`, false},
		"weekday":            {`forbid (principal, action, resource) when { context.weekday == 1 };`, true},
		"category":           {`forbid (principal, action, resource) when { context.categories.contains("identity") };`, true},
		"category withheld":  {`forbid (principal, action, resource) when { context.categories.contains("residence") };`, false},
		"class":              {`forbid (principal, action, resource) when { context.class == "R" && context.mandate == "none" };`, true},
		"assurance":          {`forbid (principal, action, resource) when { context.assurance < 3 };`, true},
		"error in judgement": {`forbid (principal, action, resource) when { context.hour + 9223372036854775807 > 0 };`, true},
	} {
		d := fixture()
		d.Rules = forbid(c.policy)
		got := compiled(t, d).Decide(benefitQuestion())
		if got.Allowed() == c.stops {
			t.Errorf("%s: allowed is %v: %v", name, got.Allowed(), got.Err())
		}
		if c.stops && (!slices.Equal(got.Rules, []string{"r1"}) || got.Codes()[0] != countersign.CodeForbiddenRule) {
			t.Errorf("%s: rules %v, codes %v", name, got.Rules, got.Codes())
		}
	}
	for name, policy := range map[string]string{
		"permit":         `permit (principal, action, resource);`,
		"two":            `forbid (principal, action, resource); forbid (principal, action, resource);`,
		"none":           ``,
		"no Cedar":       `forbid everything`,
		"unknown member": `forbid (principal, action, resource) when { context.colour == "red" };`,
		"wrong type":     `forbid (principal, action, resource) when { context.hour == "ten" };`,
		"unknown entity": `forbid (principal == Person::"1ABCD23", action, resource);`,
	} {
		d := fixture()
		d.Rules = forbid(policy)
		if _, err := Compile(d); countersign.CodeOf(err) != countersign.CodeBadRequest || err == nil {
			t.Errorf("%s compiles: %v", name, err)
		}
	}
}

func TestCompileRefusesWhatCouldLoseARefusal(t *testing.T) {
	for name, spoil := range map[string]func(d *countersign.Directory){
		"member twice": func(d *countersign.Directory) { d.Members = append(d.Members, d.Members[0]) },
		"category twice": func(d *countersign.Directory) {
			d.Categories = append(d.Categories, countersign.Category{Code: "health", Class: "O"})
		},
		"purpose twice":   func(d *countersign.Directory) { d.Purposes = append(d.Purposes, d.Purposes[0]) },
		"basis twice":     func(d *countersign.Directory) { d.Bases = append(d.Bases, d.Bases[0]) },
		"scheme twice":    func(d *countersign.Directory) { d.Schemes = append(d.Schemes, d.Schemes[0]) },
		"cell twice":      func(d *countersign.Directory) { d.Matrix = append(d.Matrix, d.Matrix[0]) },
		"service twice":   func(d *countersign.Directory) { d.Services = append(d.Services, d.Services[0]) },
		"standing twice":  func(d *countersign.Directory) { d.Standing = append(d.Standing, d.Standing[0]) },
		"programme twice": func(d *countersign.Directory) { d.Programmes = append(d.Programmes, d.Programmes[0]) },
		"field twice": func(d *countersign.Directory) {
			d.Services[0].Fields = append(d.Services[0].Fields, countersign.Field{Path: "/pin", Category: "parcels"})
		},
		"rule twice": func(d *countersign.Directory) {
			r := countersign.Rule{ID: "r", Policy: `forbid (principal, action, resource);`}
			d.Rules = []countersign.Rule{r, r}
		},
	} {
		d := fixture()
		spoil(d)
		if _, err := Compile(d); err == nil {
			t.Errorf("%s: compiles", name)
		}
	}
	if errs := Check(fixture()); len(errs) > 0 {
		t.Errorf("the fixture itself: %v", errs)
	}
}

// What is wrong without losing a refusal compiles, is named by Check, and permits nothing.
func TestWhatDanglesPermitsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(d *countersign.Directory)
		ask   func() *Question
		code  countersign.Code
	}{
		"category gone":     {func(d *countersign.Directory) { d.Categories = d.Categories[1:] }, benefitQuestion, countersign.CodeServiceDisabled},
		"basis gone":        {func(d *countersign.Directory) { d.Bases = d.Bases[1:] }, benefitQuestion, countersign.CodeUnknownBasis},
		"purpose gone":      {func(d *countersign.Directory) { d.Purposes = d.Purposes[1:] }, benefitQuestion, countersign.CodeUnknownPurpose},
		"scheme gone":       {func(d *countersign.Directory) { d.Schemes = nil }, benefitQuestion, countersign.CodeNoSubject},
		"consumer gone":     {func(d *countersign.Directory) { d.Members = slices.Delete(d.Members, 1, 2) }, benefitQuestion, countersign.CodeUnknownMember},
		"service gone":      {func(d *countersign.Directory) { d.Services = d.Services[1:] }, benefitQuestion, countersign.CodeUnknownService},
		"no assurance":      {func(d *countersign.Directory) { d.Purposes[0].Assurance = 0 }, benefitQuestion, countersign.CodeUnknownPurpose},
		"polling of nought": {func(d *countersign.Directory) { d.Purposes[0].Polling = &countersign.Polling{} }, benefitQuestion, countersign.CodeUnknownPurpose},
		"no selector":       {func(d *countersign.Directory) { d.Services[0].Subject = countersign.Selector{} }, benefitQuestion, countersign.CodeServiceDisabled},
		"nobody personal": {func(d *countersign.Directory) {
			d.Services[0].Subject = countersign.Selector{From: countersign.SubjectNone}
		}, func() *Question {
			q := benefitQuestion()
			q.Subject = countersign.SubjectID{}
			return q
		}, countersign.CodeNoSubject},
		"class raised to N": {func(d *countersign.Directory) { d.Categories[0].Class = countersign.ClassNever }, benefitQuestion, countersign.CodeNeverExchanged},
		"class unknown":     {func(d *countersign.Directory) { d.Categories[0].Class = "Q" }, benefitQuestion, countersign.CodeNeverExchanged},
		"class raised to W": {func(d *countersign.Directory) { d.Categories[0].Class = countersign.ClassWarrant }, func() *Question { return crimeQuestion(plates) }, "ok"},
		"cell looser than class": {func(d *countersign.Directory) {
			d.Matrix = append(d.Matrix, countersign.Cell{Purpose: "benefit", Category: "health", Mandates: []countersign.MandateKind{countersign.MandateNone}})
		}, func() *Question {
			q := benefitQuestion()
			q.Service = serviceID(health)
			return q
		}, countersign.CodeForbiddenCell},
		"case in a standing purpose": {func(d *countersign.Directory) { d.Purposes[2].Case = true }, func() *Question {
			return &Question{Consumer: subsystem(city), Service: serviceID(people), Method: "GET", Subject: person, Purpose: "housing", Basis: "city-21",
				Official: clerk, Standing: true, At: now}
		}, countersign.CodeNoPurpose},
	} {
		d := fixture()
		c.spoil(d)
		if name != "service gone" && len(Check(d)) == 0 {
			t.Errorf("%s: Check finds nothing", name)
		}
		got := compiled(t, d).Decide(c.ask())
		if c.code == "ok" {
			if slices.Contains(got.Fields, "/owners/*/name") || !slices.Contains(got.Fields, "/make") {
				t.Errorf("%s: %v %v", name, got.Fields, got.Err())
			}
			continue
		}
		if got.MayAsk() || !slices.Contains(got.Codes(), c.code) {
			t.Errorf("%s: codes %v, want %s", name, got.Codes(), c.code)
		}
	}
}

func TestNormalise(t *testing.T) {
	p := compiled(t, fixture())
	for _, spelling := range []string{"1abcd23", "1ABCD23", " 1AB-CD 23"} {
		id, err := p.Normalise("pin", spelling)
		if err != nil || id != person {
			t.Errorf("%q: %v", spelling, err)
		}
	}
	for _, bad := range []string{"", "1ABCD2", "1ABCD234", "1ABCDÉ3", "1ABCD23\n"} {
		if _, err := p.Normalise("pin", bad); countersign.CodeOf(err) != countersign.CodeNoSubject {
			t.Errorf("%q: %v", bad, err)
		}
	}
	q := benefitQuestion()
	q.Subject.Value = "1abcd23"
	if d := p.Decide(q); d.MayAsk() {
		t.Error("a spelling that is not canonical is decided on")
	}
}

func TestProgrammeWindow(t *testing.T) {
	p := compiled(t, fixture())
	q := &Question{Consumer: subsystem(city), Service: serviceID(people), Method: "GET", Subject: person, Purpose: "housing", Basis: "city-21", Official: machine, At: now}
	d := p.Decide(q)
	if !d.Allowed() || d.Mandate.Kind != countersign.MandateProgramme || d.Mandate.ID != "yearly" || d.Mandate.Digest.IsZero() {
		t.Errorf("%+v: %v", d.Mandate, d.Err())
	}
	for _, at := range []time.Time{now.Add(-time.Hour - time.Second), now.Add(time.Hour)} {
		q.At = at
		if d := p.Decide(q); d.MayAsk() || d.Codes()[0] != countersign.CodeMandateInvalid {
			t.Errorf("outside its time: %v", d.Codes())
		}
	}
}

// A federation may tighten the caps, never loosen them.
func TestCapsOnlyTighten(t *testing.T) {
	d := fixture()
	d.Caps = countersign.Caps{NoticeDelay: countersign.Duration(day), NoticeCap: countersign.Duration(9999 * day), WarrantLife: countersign.Duration(31 * day),
		EmergencyReview: countersign.Duration(time.Hour), WarrantReview: countersign.Duration(7 * day), WaitingPeriod: countersign.Duration(day), Linkage: 3, EmergencyQuota: 11}
	got, want := compiled(t, d).Caps(), countersign.DefaultCaps()
	want.NoticeDelay, want.EmergencyReview, want.Linkage = countersign.Duration(day), countersign.Duration(time.Hour), 3
	want.WarrantReview = countersign.Duration(7 * day)
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSpecialCategoriesNeedMoreThanAPurpose(t *testing.T) {
	d := fixture()
	d.Matrix = append(d.Matrix, countersign.Cell{Purpose: "crime", Category: "treatment", Mandates: []countersign.MandateKind{countersign.MandateNone, countersign.MandateRelation}})
	if len(Check(d)) != 1 {
		t.Errorf("Check: %v", Check(d))
	}
	p := compiled(t, d)
	q := crimeQuestion(health)
	if got := p.Decide(q); got.MayAsk() {
		t.Errorf("the purpose alone opens %v", got.Fields)
	}
	q.Mandates = []Mandate{held(q, countersign.MandateRelation, "/open")}
	if got := p.Decide(q); !got.Allowed() || !got.Special || !got.NeedsQuorum {
		t.Errorf("a relation: %v", got.Err())
	}
}
