package mandate

import (
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
)

var now = time.Date(2026, 3, 2, 10, 30, 0, 0, time.UTC) // a Monday

func subsystem(text string) countersign.SubsystemID {
	id, err := countersign.ParseSubsystemID(text)
	if err != nil {
		panic(err)
	}
	return id
}

func serviceID(text string) countersign.ServiceID {
	id, err := countersign.ParseServiceID(text)
	if err != nil {
		panic(err)
	}
	return id
}

const (
	welfare = "DEMO/GOV/SOC/desk"
	police  = "DEMO/GOV/POL/desk"
	city    = "DEMO/GOV/MUN/desk"
	people  = "DEMO/GOV/POP/registry/person"
	health  = "DEMO/GOV/CLN/registry/records"
	plates  = "DEMO/GOV/VEH/registry/plate"
	parcels = "DEMO/GOV/MUN/registry/opendata"
)

func fieldsOf(category countersign.CategoryCode, paths string) (out []countersign.Field) {
	for p := range strings.FieldsSeq(paths) {
		out = append(out, countersign.Field{Path: countersign.FieldPath(p), Category: category})
	}
	return out
}

func list(paths string) (out []countersign.FieldPath) {
	for p := range strings.FieldsSeq(paths) {
		out = append(out, countersign.FieldPath(p))
	}
	return out
}

// fixture is a small federation with one service of each kind.
func fixture() *countersign.Directory {
	en := func(s string) countersign.Text { return countersign.Text{"en": s} }
	assessed := countersign.Digest{1}
	path := countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin", In: "path", Name: "pin"}
	get := []countersign.Endpoint{{Method: "GET", Path: "/{pin}"}}
	member := func(code string) countersign.Member {
		return countersign.Member{
			ID: countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: code}, Roles: []countersign.Role{countersign.RoleAgency},
			Subsystems: []countersign.Subsystem{{Code: "registry"}, {Code: "desk"}},
		}
	}
	kinds := func(k ...countersign.MandateKind) []countersign.MandateKind { return k }
	const none, relation, consent, warrant, emergency, prog = countersign.MandateNone, countersign.MandateRelation, countersign.MandateConsent,
		countersign.MandateWarrant, countersign.MandateEmergency, countersign.MandateProgramme
	return &countersign.Directory{
		Format: 1, Instance: "DEMO", Version: 7, Name: en("Test"),
		Schemes: []countersign.Scheme{{Name: "pin", Strip: " -", Upper: true, Pattern: "[0-9A-Z]{7}"}},
		Members: []countersign.Member{member("POP"), member("SOC"), member("POL"), member("MUN"), member("CLN"), member("VEH")},
		Categories: []countersign.Category{
			{Code: "identity", Class: "R"}, {Code: "residence", Class: "R"}, {Code: "family", Class: "R"}, {Code: "vehicles", Class: "R"},
			{Code: "health", Class: "C/W", Special: true}, {Code: "treatment", Class: "R", Special: true}, {Code: "education", Class: "C"},
			{Code: "location", Class: "W"}, {Code: "parcels", Class: "O"}, {Code: "psychiatric", Class: "N", Special: true},
		},
		Bases: []countersign.LegalBasis{{Code: "social-9"}, {Code: "crime-177"}, {Code: "city-21"}, {Code: "stat-11"}, {Code: "health-30"}},
		Purposes: []countersign.Purpose{
			{Code: "benefit", Bases: []countersign.BasisCode{"social-9"}, Assurance: 2, Retention: countersign.Duration(time.Hour), Case: true, Linkage: 6},
			{Code: "crime", Bases: []countersign.BasisCode{"crime-177"}, Assurance: 3, Retention: countersign.Duration(time.Hour)},
			{Code: "housing", Bases: []countersign.BasisCode{"city-21"}, Assurance: 1, Retention: countersign.Duration(time.Hour)},
			{Code: "open", Bases: []countersign.BasisCode{"stat-11"}, Assurance: 1, Retention: countersign.Duration(time.Hour)},
			{Code: "rescue", Bases: []countersign.BasisCode{"health-30"}, Assurance: 2, Retention: countersign.Duration(time.Hour), Mandates: kinds(emergency)},
		},
		Matrix: []countersign.Cell{
			{Purpose: "benefit", Category: "identity", Mandates: kinds(none, relation)},
			{Purpose: "benefit", Category: "residence", Mandates: kinds(relation)},
			{Purpose: "benefit", Category: "education", Mandates: kinds(consent)},
			{Purpose: "crime", Category: "identity", Mandates: kinds(none, warrant)},
			{Purpose: "crime", Category: "residence", Mandates: kinds(none)},
			{Purpose: "crime", Category: "vehicles", Mandates: kinds(none)},
			{Purpose: "crime", Category: "health", Mandates: kinds(warrant)},
			{Purpose: "crime", Category: "location", Mandates: kinds(warrant)},
			{Purpose: "housing", Category: "residence", Mandates: kinds(none, prog)},
			{Purpose: "open", Category: "parcels", Mandates: kinds(none)},
			{Purpose: "rescue", Category: "identity", Mandates: kinds(emergency)},
			{Purpose: "rescue", Category: "health", Mandates: kinds(emergency)},
		},
		Services: []countersign.Service{
			{
				ID: serviceID(people), Categories: []countersign.CategoryCode{"identity", "residence", "family"}, Subject: path, Endpoints: get, Assessment: &assessed,
				Fields: append(append(fieldsOf("identity", "/pin /name /born"), fieldsOf("residence", "/address/city /address/street")...), fieldsOf("family", "/spouse/pin")...),
				Grants: []countersign.Grant{
					{Purpose: "benefit", Clients: []string{welfare}, Fields: list("/pin /name /address/city /spouse/pin"), Methods: []string{"GET"}},
					{Purpose: "crime", Clients: []string{police}, Fields: list("/pin /name /born /address/city")},
					{Purpose: "crime", Clients: []string{police}, Writes: list("/address/city"), Fields: list("/pin"), Methods: []string{"PUT"}},
					{Purpose: "housing", Clients: []string{city}, Fields: list("/address/city")},
					{Purpose: "rescue", Clients: []string{"*"}, Fields: list("/name")},
				},
			},
			{
				ID: serviceID(health), Categories: []countersign.CategoryCode{"health", "treatment"}, Subject: path, Endpoints: get, Assessment: &assessed,
				Fields: append(fieldsOf("health", "/diagnosis /ward"), fieldsOf("treatment", "/open")...),
				Grants: []countersign.Grant{
					{Purpose: "crime", Clients: []string{police}, Fields: list("/diagnosis /ward /open")},
					{Purpose: "rescue", Clients: []string{"*"}, Fields: list("/diagnosis")},
					{Purpose: "benefit", Clients: []string{welfare}, Fields: list("/diagnosis")},
				},
			},
			{
				ID: serviceID(plates), Categories: []countersign.CategoryCode{"vehicles", "identity"}, Endpoints: []countersign.Endpoint{{Method: "GET", Path: "/{plate}"}},
				Subject: countersign.Selector{From: countersign.SubjectInAnswer, Scheme: "pin", Name: "/owners/*/pin"}, Assessment: &assessed,
				Fields: append(fieldsOf("vehicles", "/plate /make"), fieldsOf("identity", "/owners/*/pin /owners/*/name")...),
				Grants: []countersign.Grant{{Purpose: "crime", Clients: []string{police}, Fields: list("/make /owners/*/name /owners/*/pin")}},
			},
			{
				ID: serviceID(parcels), Categories: []countersign.CategoryCode{"parcels"}, Subject: countersign.Selector{From: countersign.SubjectNone},
				Endpoints: []countersign.Endpoint{{Method: "GET", Path: "/**"}}, Grants: []countersign.Grant{{Purpose: "open", Clients: []string{"*"}, Methods: []string{"GET", "POST"}}},
			},
		},
		Standing: []countersign.StandingDeclaration{
			{Client: subsystem(welfare), Service: serviceID(parcels), Purpose: "open", Basis: "stat-11"},
			{Client: subsystem(city), Service: serviceID(people), Purpose: "housing", Basis: "city-21"},
		},
		Programmes: []countersign.Programme{{
			ID: "yearly", Client: subsystem(city), Service: serviceID(people), Purpose: "housing", Basis: "city-21", Fields: list("/address/city"),
			Population: "the list", PerHour: 500, From: now.Add(-time.Hour), Until: now.Add(time.Hour),
		}},
	}
}

func compiled(t testing.TB, d *countersign.Directory) *Policy {
	t.Helper()
	p, err := Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	person   = countersign.SubjectID{Scheme: "pin", Value: "1ABCD23"}
	other    = countersign.SubjectID{Scheme: "pin", Value: "9ZZZZ99"}
	clerk    = countersign.Official{Pseudonym: "clerk", Assurance: countersign.AssuranceAsserted}
	known    = countersign.Official{Pseudonym: "detective", Assurance: countersign.AssuranceVerified}
	machine  = countersign.Official{Assurance: countersign.AssuranceAutomated}
	pastCell = countersign.Digest{2}
)

func benefitQuestion() *Question {
	return &Question{Consumer: subsystem(welfare), Service: serviceID(people), Method: "GET", Subject: person, Purpose: "benefit", Basis: "social-9",
		Case: "SOC-1", Official: clerk, At: now}
}

func crimeQuestion(service string) *Question {
	return &Question{Consumer: subsystem(police), Service: serviceID(service), Method: "GET", Subject: person, Purpose: "crime", Basis: "crime-177", Official: known, At: now}
}

// held is a mandate that fits the question, as the Verify functions make them.
func held(q *Question, kind countersign.MandateKind, fields string) Mandate {
	m := Mandate{Kind: kind, ID: "m-1", Digest: pastCell, Consumer: q.Consumer, Service: q.Service, Fields: list(fields), Purpose: q.Purpose, Subject: q.Subject,
		NotBefore: q.At.Add(-time.Hour), NotAfter: q.At.Add(time.Hour), verified: true}
	if kind == countersign.MandateWarrant {
		m.Uses = 2
	}
	return m
}
