package mandate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
)

func TestDiff(t *testing.T) {
	if got := Diff(fixture(), fixture()); len(got) > 0 {
		t.Errorf("no change is told as %v", got)
	}
	for name, c := range map[string]struct {
		change func(d *countersign.Directory)
		want   string // a line, or a part of one
		widens bool
	}{
		"field granted": {func(d *countersign.Directory) {
			d.Services[0].Grants[0].Fields = append(d.Services[0].Grants[0].Fields, "/born")
		}, "DEMO/GOV/SOC/desk: may get /born by GET DEMO/GOV/POP/registry/person for benefit, on the purpose alone or relation (after 14 days in public)", true},
		"field withdrawn": {func(d *countersign.Directory) { d.Services[0].Grants[0].Fields = list("/pin /address/city") },
			"DEMO/GOV/SOC/desk: no longer gets /name by GET DEMO/GOV/POP/registry/person for benefit (at once)", false},
		"cell removed": {func(d *countersign.Directory) { d.Matrix = d.Matrix[1:] }, "no longer gets /name, /pin by GET", false},
		"cell tightened": {func(d *countersign.Directory) {
			d.Matrix[0].Mandates = []countersign.MandateKind{countersign.MandateRelation}
		},
			"gets /name, /pin by GET DEMO/GOV/POP/registry/person for benefit only on relation (at once)", false},
		"cell loosened": {func(d *countersign.Directory) {
			d.Matrix[1].Mandates = []countersign.MandateKind{countersign.MandateNone}
		},
			"gets /address/city by GET DEMO/GOV/POP/registry/person for benefit on the purpose alone (after 14 days", true},
		"class raised": {func(d *countersign.Directory) { d.Categories[0].Class = countersign.ClassWarrant }, "gets /born, /name, /pin by GET DEMO/GOV/POP/registry/person for crime only on warrant", false},
		"never":        {func(d *countersign.Directory) { d.Categories[0].Class = countersign.ClassNever }, "no longer gets /address/city, /name, /pin by GET", false},
		"disabled":     {func(d *countersign.Directory) { d.Services[1].Disabled = true }, "DEMO/GOV/POL/desk: no longer gets /diagnosis, /ward by GET DEMO/GOV/CLN/registry/records for crime", false},
		"client added": {func(d *countersign.Directory) { d.Services[0].Grants[0].Clients = []string{welfare, city} }, "DEMO/GOV/MUN/desk: may get /address/city by GET", true},
		"assurance":    {func(d *countersign.Directory) { d.Purposes[1].Assurance = 2 }, "the purpose crime: wants the official asserted instead of verified (after", true},
		"case":         {func(d *countersign.Directory) { d.Purposes[0].Case = false }, "the purpose benefit: no longer needs a case number (after", true},
		"retention":    {func(d *countersign.Directory) { d.Purposes[0].Retention /= 2 }, "lets answers be kept 30m0s instead of 1h0m0s (at once)", false},
		"linkage":      {func(d *countersign.Directory) { d.Purposes[0].Linkage = 9 }, "lets 9 registers be asked about one person in a day instead of 6 (after", true},
		"basis":        {func(d *countersign.Directory) { d.Purposes[0].Bases = []countersign.BasisCode{"stat-11"} }, "the purpose benefit: no longer stands on the legal basis social-9 (at once)", false},
		"case register": {func(d *countersign.Directory) { id := serviceID(people); d.Purposes[0].CaseRegister = &id },
			"the purpose benefit: has its cases confirmed by DEMO/GOV/POP/registry/person instead of (none) (after", true},
		"standing":       {func(d *countersign.Directory) { d.Standing = d.Standing[1:] }, "DEMO/GOV/SOC/desk: must state its purpose to DEMO/GOV/MUN/registry/opendata (at once)", false},
		"programme rate": {func(d *countersign.Directory) { d.Programmes[0].PerHour = 5000 }, "may ask 5000 times an hour instead of 500 under the programme yearly (after", true},
		"programme end":  {func(d *countersign.Directory) { d.Programmes = nil }, "has the programme yearly no longer, and the ordinary budgets again (at once)", false},
		"programme time": {func(d *countersign.Directory) { d.Programmes[0].Until = d.Programmes[0].Until.Add(48 * time.Hour) }, "has the programme yearly from 2026-03-02 until 2026-03-04", true},
		"rule": {func(d *countersign.Directory) {
			d.Rules = []countersign.Rule{{ID: "r", Text: countersign.Text{"en": "no more"}, Policy: `forbid (principal, action, resource);`}}
		}, "the federation: forbids by the rule r: no more (at once)", false},
		"caps":     {func(d *countersign.Directory) { d.Caps.PeopleOfficial = 20 }, "different people per official and hour: 20 instead of 60 (at once)", false},
		"loosened": {func(d *countersign.Directory) { d.Caps.PeopleOfficial = 200 }, "", false}, // caps only tighten
		"court": {func(d *countersign.Directory) {
			d.Courts = []countersign.Court{{Name: "first", Keys: []string{"AAAAKEY"}}}
		}, "the court first: signs warrants with a further key AAAAKEY (after", true},
	} {
		d := fixture()
		c.change(d)
		got := Diff(fixture(), d)
		if c.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: %v", name, got)
			}
			continue
		}
		i := slices.IndexFunc(got, func(x Change) bool { return strings.Contains(x.String(), c.want) })
		if i < 0 {
			t.Errorf("%s: not told: %q\namong %v", name, c.want, got)
		} else if got[i].Widens != c.widens || got[i].Widens != (got[i].After > 0) {
			t.Errorf("%s: widens %v after %s", name, got[i].Widens, got[i].After)
		}
	}
}

func TestExplain(t *testing.T) {
	p := compiled(t, fixture())
	text := strings.Join(p.Explain(benefitQuestion()), "\n")
	for _, want := range []string{"allowed by version 7", "may leave: /name, /pin", "on the purpose alone", "withheld: /address/city (residence): its category needs relation",
		"withheld: /spouse/pin (family): the matrix has no cell", "cell benefit × identity (R)", "draws from people-per-official-hour: 60 different in 1h0m0s"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	q := crimeQuestion(people)
	q.Consumer, q.Official = subsystem(welfare), clerk
	text = strings.Join(p.Explain(q), "\n")
	for _, want := range []string{"refused by version 7 of the directory, for 2 reasons", "assurance_too_low", "access_denied"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, person.Value) {
		t.Error("the explanation names the person")
	}
}
