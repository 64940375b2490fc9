package federation_test

import (
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

func TestCheckAccepts(t *testing.T) {
	if err := federation.Check(document()); err != nil {
		t.Fatal(err)
	}
	if err := federation.Check(nil); countersign.CodeOf(err) != countersign.CodeBadRequest {
		t.Errorf("no document: %v", err)
	}
}

// Each row breaks one thing in a good document and names the field that the error must name.
func TestCheckRefuses(t *testing.T) {
	const hour = countersign.Duration(time.Hour)
	type row struct {
		name  string
		field string // where the error says the problem is
		spoil func(d *countersign.Directory)
	}
	rows := []row{
		{"format", "format: ", func(d *countersign.Directory) { d.Format = 2 }},
		{"no version", "version: ", func(d *countersign.Directory) { d.Version = 0 }},
		{"no name", "name: ", func(d *countersign.Directory) { d.Name = nil }},
		{"instance with a slash", "instance: ", func(d *countersign.Directory) { d.Instance = "DE/MO" }},
		{"no bodies", "bodies: ", func(d *countersign.Directory) { d.Bodies = nil }},
		{"two bodies with one key", "bodies[1].key: ", func(d *countersign.Directory) { d.Bodies[1].Key = d.Bodies[0].Key }},
		{"two bodies with one name", "bodies[1].name: ", func(d *countersign.Directory) { d.Bodies[1].Name = d.Bodies[0].Name }},
		{"body's key", "bodies[2].key: ", func(d *countersign.Directory) { d.Bodies[2].Key = "AAAA" }},
		{"directory's log key", "log.vkey: ", func(d *countersign.Directory) { d.Log.VKey = "log.example" }},
		{"log key with another's hash", "log.vkey: ", func(d *countersign.Directory) {
			d.Log.VKey = strings.Replace(d.Log.VKey, "log.example", "lag.example", 1)
		}},
		{"log url", "log.url: ", func(d *countersign.Directory) { d.Log.URL = "ftp://directory.example" }},
		{"log url with a password", "log.url: ", func(d *countersign.Directory) { d.Log.URL = "https://a:b@directory.example" }},

		{"scheme's pattern", "schemes[0].pattern: ", func(d *countersign.Directory) { d.Schemes[0].Pattern = "[A-" }},
		{"scheme that matches nothing at all", "schemes[0].pattern: ", func(d *countersign.Directory) { d.Schemes[0].Pattern = "[0-9]*" }},
		{"scheme without pattern", "schemes[0].pattern: ", func(d *countersign.Directory) { d.Schemes[0].Pattern = "" }},
		{"scheme twice", "schemes[1].name: ", func(d *countersign.Directory) { d.Schemes = append(d.Schemes, d.Schemes[0]) }},

		{"member twice", "members[3].id: ", func(d *countersign.Directory) { d.Members = append(d.Members, d.Members[2]) }},
		{"member of another instance", "members[2].id: ", func(d *countersign.Directory) { d.Members[2].ID.Instance = "EE" }},
		{"member with a percent sign", "members[2].id: ", func(d *countersign.Directory) { d.Members[2].ID.Code = "2%31" }},
		{"no role", "members[0].roles: ", func(d *countersign.Directory) { d.Members[0].Roles = nil }},
		{"unknown role", "members[1].roles: ", func(d *countersign.Directory) { d.Members[1].Roles[1] = "king" }},
		{"subsystem twice", "members[1].subsystems[1].code: ", func(d *countersign.Directory) { d.Members[1].Subsystems[1].Code = "permits" }},
		{"gateway without TLS key", "members[0].gateways[0].tls: ", func(d *countersign.Directory) { d.Members[0].Gateways[0].TLS = nil }},
		{"gateway's pin", "members[0].gateways[0].tls[0]: ", func(d *countersign.Directory) { d.Members[0].Gateways[0].TLS[0] += "A" }},
		{"two gateways with one TLS key", "members[1].gateways[0].tls[0]: ", func(d *countersign.Directory) { d.Members[1].Gateways[0].TLS = d.Members[0].Gateways[0].TLS }},
		{"two gateways with one signing key", "members[1].gateways[0].sign[0]: ", func(d *countersign.Directory) { d.Members[1].Gateways[0].Sign = d.Members[0].Gateways[0].Sign }},
		{"two gateways with one log", "members[0].gateways[1].log.vkey: ", func(d *countersign.Directory) { d.Members[0].Gateways[1].Log = d.Members[0].Gateways[0].Log }},
		{"gateway without signing key", "members[0].gateways[0].sign: ", func(d *countersign.Directory) { d.Members[0].Gateways[0].Sign = nil }},
		{"gateway's signing key", "members[0].gateways[0].sign[0]: ", func(d *countersign.Directory) { d.Members[0].Gateways[0].Sign[0] = "MCowBQYDK2VwAyEA" }},
		{"gateway over plain HTTP", "members[0].gateways[0].url: ", func(d *countersign.Directory) { d.Members[0].Gateways[0].URL = "http://pop-1.example" }},

		{"unknown class", "categories[0].class: ", func(d *countersign.Directory) { d.Categories[0].Class = "X" }},
		{"no class", "categories[0].class: ", func(d *countersign.Directory) { d.Categories[0].Class = "" }},
		{"risk score as a category", "categories[1].class: ", func(d *countersign.Directory) { d.Categories[1].Text = en("Risk score of a person") }},
		{"prediction as a category", "categories[0].code", func(d *countersign.Directory) { d.Categories[0].Code = "prediction of crime" }},
		{"loyalty as a category", "categories[1].class: ", func(d *countersign.Directory) {
			d.Categories[1].Text = countersign.Text{"en": "Residence", "ru": "loyaltyCategory"}
		}},
		{"category twice", "categories[7].code: ", func(d *countersign.Directory) { d.Categories = append(d.Categories, d.Categories[0]) }},
		{"category with an empty sentence", "categories[0].text: ", func(d *countersign.Directory) { d.Categories[0].Text["az"] = " " }},

		{"purpose without basis", "purposes[0].bases: ", func(d *countersign.Directory) { d.Purposes[0].Bases = nil }},
		{"purpose with an unknown basis", "purposes[0].bases: ", func(d *countersign.Directory) { d.Purposes[0].Bases = []countersign.BasisCode{"no-law"} }},
		{"purpose without assurance", "purposes[0].assurance: ", func(d *countersign.Directory) { d.Purposes[0].Assurance = 0 }},
		{"purpose without retention", "purposes[0].retention: ", func(d *countersign.Directory) { d.Purposes[0].Retention = 0 }},
		{"purpose without a sentence", "purposes[0].text: ", func(d *countersign.Directory) { d.Purposes[0].Text = en("") }},
		{"the built-in purpose", "purposes[0].code: ", func(d *countersign.Directory) { d.Purposes[0].Code = federation.PurposeMetadata }},
		{"purpose with free text for a code", "purposes[0].code: ", func(d *countersign.Directory) { d.Purposes[0].Code = "because I say so" }},
		{"polling of nothing", "purposes[0].polling: ", func(d *countersign.Directory) { d.Purposes[0].Polling.PerDay = 0 }},
		{"basis without article", "bases[0].article: ", func(d *countersign.Directory) { d.Bases[0].Article = "" }},

		{"cell twice", "matrix[5]: ", func(d *countersign.Directory) { d.Matrix = append(d.Matrix, d.Matrix[0]) }},
		{"cell of no purpose", "matrix[0].purpose: ", func(d *countersign.Directory) { d.Matrix[0].Purpose = "none" }},
		{"cell of no category", "matrix[3].category: ", func(d *countersign.Directory) { d.Matrix[3].Category = "none" }},
		{"cell without mandates", "matrix[3].mandates: ", func(d *countersign.Directory) { d.Matrix[3].Mandates = nil }},
		{"cell of class N", "matrix[3]: ", func(d *countersign.Directory) { d.Matrix[3].Category = "face-templates" }},
		{"class W on consent", "matrix[3].mandates: ", func(d *countersign.Directory) {
			d.Matrix[3].Mandates = []countersign.MandateKind{countersign.MandateWarrant, countersign.MandateConsent}
		}},
		{"class W in an emergency", "matrix[3].mandates: ", func(d *countersign.Directory) {
			d.Matrix[3].Mandates = []countersign.MandateKind{countersign.MandateEmergency}
		}},
		{"class C/W on a relation", "matrix[4].mandates: ", func(d *countersign.Directory) {
			d.Matrix[4].Mandates = []countersign.MandateKind{countersign.MandateRelation}
		}},
		{"class C on a warrant", "matrix[3].mandates: ", func(d *countersign.Directory) { d.Matrix[3].Category = "diplomas" }},
		{"class C/W on nothing", "matrix[4].mandates: ", func(d *countersign.Directory) {
			d.Matrix[4].Mandates = []countersign.MandateKind{countersign.MandateNone}
		}},

		{"service of nobody", "services[0].id: ", func(d *countersign.Directory) { d.Services[0].ID.Code = "4711" }},
		{"service of no subsystem", "services[0].id: ", func(d *countersign.Directory) { d.Services[0].ID.Subsystem = "other" }},
		{"service of a court", "services[1].id: ", func(d *countersign.Directory) {
			d.Members[2].Subsystems = d.Members[0].Subsystems
			d.Services[1].ID.MemberID = courtMember
		}},
		{"service twice", "services[2].id: ", func(d *countersign.Directory) { d.Services = append(d.Services, d.Services[1]) }},
		{"service without categories", "services[1].categories: ", func(d *countersign.Directory) { d.Services[1].Categories = nil }},
		{"service of class N", "services[1].categories: ", func(d *countersign.Directory) {
			d.Services[1].Categories = []countersign.CategoryCode{"face-templates"}
		}},
		{"service of an unknown category", "services[1].categories: ", func(d *countersign.Directory) { d.Services[1].Categories = []countersign.CategoryCode{"gossip"} }},
		{"service named riskScore", "services[1]: ", func(d *countersign.Directory) { d.Services[1].ID.Service = "riskScore" }},
		{"field named riskScore", "services[0].fields[1].path: ", func(d *countersign.Directory) { d.Services[0].Fields[1].Path = "/person/risk_score" }},
		{"personal service without selector", "services[0].subject.from: ", func(d *countersign.Directory) {
			d.Services[0].Subject = countersign.Selector{From: countersign.SubjectNone}
		}},
		{"service with an empty selector", "services[0].subject.from: ", func(d *countersign.Directory) { d.Services[0].Subject = countersign.Selector{} }},
		{"selector of an unknown scheme", "services[0].subject.scheme: ", func(d *countersign.Directory) { d.Services[0].Subject.Scheme = "passport" }},
		{"selector's variable in no path", "services[0].subject.name: ", func(d *countersign.Directory) { d.Services[0].Endpoints[1].Path = "/people/check" }},
		{"selector in the body of a GET", "services[0].subject.in: ", func(d *countersign.Directory) {
			d.Services[0].Subject = countersign.Selector{From: countersign.SubjectInRequest, In: "body", Name: "/pin", Scheme: "pin"}
		}},
		{"selector of many in a body", "services[0].subject.name: ", func(d *countersign.Directory) {
			d.Services[0].Subject = countersign.Selector{From: countersign.SubjectInRequest, In: "body", Name: "/pins/*", Scheme: "pin"}
		}},
		{"selector in a cookie", "services[0].subject.in: ", func(d *countersign.Directory) { d.Services[0].Subject.In = "cookie" }},
		{"selector of the answer with a place", "services[0].subject.in: ", func(d *countersign.Directory) {
			d.Services[0].Subject = countersign.Selector{From: countersign.SubjectInAnswer, In: "query", Name: "/pin", Scheme: "pin"}
		}},
		{"no endpoints", "services[1].endpoints: ", func(d *countersign.Directory) { d.Services[1].Endpoints = nil }},
		{"unknown method", "services[1].endpoints[0].method: ", func(d *countersign.Directory) { d.Services[1].Endpoints[0].Method = "TRACE" }},
		{"path without slash", "services[1].endpoints[0].path: ", func(d *countersign.Directory) { d.Services[1].Endpoints[0].Path = "list" }},
		{"path with dots", "services[1].endpoints[0].path: ", func(d *countersign.Directory) { d.Services[1].Endpoints[0].Path = "/a/../b" }},
		{"path with a nameless variable", "services[1].endpoints[0].path: ", func(d *countersign.Directory) { d.Services[1].Endpoints[0].Path = "/{}/b" }},
		{"path with a variable twice", "services[1].endpoints[0].path: ", func(d *countersign.Directory) { d.Services[1].Endpoints[0].Path = "/{a}/{a}" }},
		{"endpoint twice", "services[0].endpoints[1]: ", func(d *countersign.Directory) { d.Services[0].Endpoints[1] = d.Services[0].Endpoints[0] }},
		{"personal service without fields", "services[0].fields: ", func(d *countersign.Directory) { d.Services[0].Fields = nil }},
		{"field twice", "services[0].fields[1].path: ", func(d *countersign.Directory) { d.Services[0].Fields[1].Path = "/address" }},
		{"field without slash", "services[0].fields[1].path: ", func(d *countersign.Directory) { d.Services[0].Fields[1].Path = "since" }},
		{"field with half a star", "services[0].fields[1].path: ", func(d *countersign.Directory) { d.Services[0].Fields[1].Path = "/a*/b" }},
		{"field with a broken escape", "services[0].fields[1].path: ", func(d *countersign.Directory) { d.Services[0].Fields[1].Path = "/a~2b" }},
		{"field of a category that the service does not hold", "services[0].fields[1].category: ", func(d *countersign.Directory) { d.Services[0].Fields[1].Category = "streets" }},
		{"relative who is no sibling", "services[0].fields[2].related: ", func(d *countersign.Directory) { d.Services[0].Fields[2].Related = "/pin" }},
		{"nobody granted", "services[1].grants: ", func(d *countersign.Directory) { d.Services[1].Grants = nil }},
		{"grant of an unknown purpose", "services[1].grants[0].purpose: ", func(d *countersign.Directory) { d.Services[1].Grants[0].Purpose = "curiosity" }},
		{"grant to an unknown client", "services[0].grants[0].clients: ", func(d *countersign.Directory) { d.Services[0].Grants[0].Clients[1] = "DEMO/GOV/1002/roads" }},
		{"grant to a client in two parts", "services[0].grants[0].clients: ", func(d *countersign.Directory) { d.Services[0].Grants[0].Clients[1] = "DEMO/GOV" }},
		{"grant to nobody", "services[0].grants[0].clients: ", func(d *countersign.Directory) { d.Services[0].Grants[0].Clients = nil }},
		{"grant of no field", "services[0].grants[0].fields: ", func(d *countersign.Directory) { d.Services[0].Grants[0].Fields = nil }},
		{"grant of an undeclared field", "services[0].grants[0].fields: ", func(d *countersign.Directory) { d.Services[0].Grants[0].Fields[0] = "/phone" }},
		{"grant of every field of a personal service", "services[0].grants[0].fields: ", func(d *countersign.Directory) { d.Services[0].Grants[0].Fields = []countersign.FieldPath{"*"} }},
		{"grant of a field with a blank cell", "services[0].grants[0].fields: ", func(d *countersign.Directory) { d.Matrix[2].Purpose = "criminal-case" }},
		{"class O with a blank cell", "services[1].grants[0].purpose: ", func(d *countersign.Directory) { d.Matrix[0].Purpose = "criminal-case" }},
		{"grant of a method of no endpoint", "services[0].grants[1].methods: ", func(d *countersign.Directory) { d.Services[0].Grants[1].Methods = []string{"DELETE"} }},
		{"grant of an odd field to write", "services[0].grants[1].writes: ", func(d *countersign.Directory) { d.Services[0].Grants[1].Writes[0] = "note" }},
		{"description with a document's name", "services[0].openapi: ", func(d *countersign.Directory) { d.Services[0].OpenAPI = "federation.7.json" }},
		{"description in another folder", "services[0].openapi: ", func(d *countersign.Directory) { d.Services[0].OpenAPI = "../person.yaml" }},
		{"time-out", "services[0].timeout: ", func(d *countersign.Directory) { d.Services[0].Timeout = hour }},

		{"standing declaration of an unknown client", "standing[0].client: ", func(d *countersign.Directory) { d.Standing[0].Client.Subsystem = "roads" }},
		{"standing declaration for an unknown service", "standing[0].service: ", func(d *countersign.Directory) { d.Standing[0].Service.Service = "persons" }},
		{"standing declaration on a foreign basis", "standing[0].basis: ", func(d *countersign.Directory) { d.Standing[0].Basis = "criminal-3" }},
		{"standing declaration without a grant", "standing[0].service: ", func(d *countersign.Directory) {
			d.Standing[0].Purpose, d.Standing[0].Basis = "criminal-case", "criminal-3"
		}},
		{"standing declaration twice", "standing[1]: ", func(d *countersign.Directory) { d.Standing = append(d.Standing, d.Standing[0]) }},
		{"standing declaration of a purpose with a case", "standing[0].purpose: ", func(d *countersign.Directory) { d.Purposes[0].Case = true }},
		{"standing declaration of a purpose with an official", "standing[0].purpose: ", func(d *countersign.Directory) { d.Purposes[0].Assurance = countersign.AssuranceAsserted }},
		{"standing declaration for class C", "standing[0].service: ", func(d *countersign.Directory) {
			d.Services[0].Categories = append(d.Services[0].Categories, "diplomas")
		}},

		{"programme without end", "programmes[0].until: ", func(d *countersign.Directory) { d.Programmes[0].Until = time.Time{} }},
		{"programme that ends before it begins", "programmes[0].until: ", func(d *countersign.Directory) { d.Programmes[0].Until = d.Programmes[0].From.Add(-1) }},
		{"programme without rate", "programmes[0].perHour: ", func(d *countersign.Directory) { d.Programmes[0].PerHour = 0 }},
		{"programme without population", "programmes[0].population: ", func(d *countersign.Directory) { d.Programmes[0].Population = "" }},
		{"programme without fields", "programmes[0].fields: ", func(d *countersign.Directory) { d.Programmes[0].Fields = nil }},
		{"programme with a field that is not granted", "programmes[0].fields: ", func(d *countersign.Directory) { d.Programmes[0].Fields = []countersign.FieldPath{"/since"} }},
		{"programme for an unknown purpose", "programmes[0].purpose: ", func(d *countersign.Directory) { d.Programmes[0].Purpose = "curiosity" }},

		{"rule twice", "rules[1].id: ", func(d *countersign.Directory) { d.Rules = append(d.Rules, d.Rules[0]) }},
		{"empty rule", "rules[0].policy: ", func(d *countersign.Directory) { d.Rules[0].Policy = " " }},
		{"court that is no member", "courts[0].member: ", func(d *countersign.Directory) { d.Courts[0].Member.Code = "9" }},
		{"court that is an agency", "courts[0].member: ", func(d *countersign.Directory) { d.Courts[0].Member = population }},
		{"ended log without its own checkpoint", "log.before[0].checkpoint: ", func(d *countersign.Directory) {
			d.Members[0].Gateways[1].Log.Before[0].Checkpoint = endedLog("another").Checkpoint
		}},
		{"ended log without a date", "log.before[0].from: ", func(d *countersign.Directory) { d.Members[0].Gateways[1].Log.Before[0].From = time.Time{} }},
		{"ended log that is still another's", "log.before[0].vkey: ", func(d *countersign.Directory) { d.Members[0].Gateways[1].Log.Before[0].VKey = logOf("pop-1").VKey }},
		{"court without keys", "courts[0].keys: ", func(d *countersign.Directory) { d.Courts[0].Keys = nil }},
		{"court with a gateway's key", "courts[0].keys[0]: ", func(d *countersign.Directory) { d.Courts[0].Keys[0] = d.Members[0].Gateways[0].Sign[0] }},

		{"case register that is no service", "purposes[1].caseRegister: ", func(d *countersign.Directory) { d.Purposes[1].CaseRegister.Service = "none" }},
		{"issuer over plain HTTP", "issuers[0].url: ", func(d *countersign.Directory) { d.Issuers[0].URL = "http://id.example" }},
		{"issuer twice", "issuers[3]: ", func(d *countersign.Directory) { d.Issuers = append(d.Issuers, d.Issuers[1]) }},
		{"issuer for nobody", "issuers[0].for: ", func(d *countersign.Directory) { d.Issuers[0].For = nil }},
		{"issuer for kings", "issuers[0].for: ", func(d *countersign.Directory) { d.Issuers[0].For[0] = "king" }},
		{"issuer of any audience", "issuers[0].audience: ", func(d *countersign.Directory) { d.Issuers[0].Audience = nil }},
		{"issuer whose logins for consents may be others too", "issuers[0].consents: ", func(d *countersign.Directory) { d.Issuers[0].Consents = d.Issuers[0].Audience }},
		{"issuer of officials who consent", "issuers[1].consents: ", func(d *countersign.Directory) { d.Issuers[1].Consents = []string{"consent"} }},
		{"issuer for persons without scheme", "issuers[0].scheme: ", func(d *countersign.Directory) { d.Issuers[0].Scheme = "" }},
		{"issuer for officials of nobody", "issuers[1].member: ", func(d *countersign.Directory) { d.Issuers[1].Member = nil }},
		{"issuer of an unknown member", "issuers[1].member: ", func(d *countersign.Directory) { d.Issuers[1].Member.Code = "9" }},
		{"an agency's issuer that makes judges", "issuers[1].member: ", func(d *countersign.Directory) { d.Issuers[1].For = append(d.Issuers[1].For, countersign.IssuerJudge) }},
		{"witness without organisation", "witnesses[0].organisation: ", func(d *countersign.Directory) { d.Witnesses[0].Organisation = "" }},
		{"witness's key", "witnesses[0].vkey: ", func(d *countersign.Directory) { d.Witnesses[0].VKey = "w1+00+AA" }},
		{"witness with the name of a keyword", "witnesses[0].name: ", func(d *countersign.Directory) { d.Witnesses[0].Name = "quorum" }},
		{"two witnesses with one key", "witnesses[1].vkey: ", func(d *countersign.Directory) { d.Witnesses[1].VKey = d.Witnesses[0].VKey }},
		{"witness with an address that breaks the policy's line", "witnesses[0].url: ", func(d *countersign.Directory) { d.Witnesses[0].URL = "https://w1.example/a b" }},
		{"quorum of nobody", "quorum: ", func(d *countersign.Directory) { d.Quorum = 0 }},
		// A42: four witnesses, but three organisations.
		{"quorum of witnesses of one organisation", "quorum: ", func(d *countersign.Directory) { d.Quorum = 4 }},

		{"looser delay of notice", "caps.noticeDelay: ", func(d *countersign.Directory) { d.Caps.NoticeDelay = 91 * 24 * hour }},
		{"looser cap on delay", "caps.noticeCap: ", func(d *countersign.Directory) { d.Caps.NoticeCap = 731 * 24 * hour }},
		{"looser life of warrants", "caps.warrantLife: ", func(d *countersign.Directory) { d.Caps.WarrantLife = 31 * 24 * hour }},
		{"later review", "caps.emergencyReview: ", func(d *countersign.Directory) { d.Caps.EmergencyReview = 73 * hour }},
		{"later review of warrants", "caps.warrantReview: ", func(d *countersign.Directory) { d.Caps.WarrantReview = 31 * 24 * hour }},
		{"records that are forgotten before their notice", "caps.recordLife: ", func(d *countersign.Directory) { d.Caps.RecordLife = 700 * 24 * hour }},
		{"records kept longer", "caps.recordLife: ", func(d *countersign.Directory) { d.Caps.RecordLife = 4000 * 24 * hour }},
		{"shorter wait", "caps.waitingPeriod: ", func(d *countersign.Directory) { d.Caps.WaitingPeriod = 13 * 24 * hour }},
		{"more people per official", "caps.peoplePerOfficialHour: ", func(d *countersign.Directory) { d.Caps.PeopleOfficial = 61 }},
		{"more people per member", "caps.peoplePerMemberHour: ", func(d *countersign.Directory) { d.Caps.PeopleMember = 2001 }},
		{"more registers", "caps.registersPerPersonDay: ", func(d *countersign.Directory) { d.Caps.Linkage = 5 }},
		{"more emergencies", "caps.emergenciesPerMemberDay: ", func(d *countersign.Directory) { d.Caps.EmergencyQuota = -1 }},
	}
	for _, roles := range [][2]countersign.Role{
		{countersign.RoleAgency, countersign.RoleOperator}, {countersign.RoleAgency, countersign.RoleOverseer}, {countersign.RoleAgency, countersign.RoleCourt},
		{countersign.RoleOperator, countersign.RoleOverseer}, {countersign.RoleOperator, countersign.RoleCourt}, {countersign.RoleOverseer, countersign.RoleCourt},
	} {
		rows = append(rows, row{"joint roles " + string(roles[0]) + " and " + string(roles[1]), "members[2].roles: ", func(d *countersign.Directory) { d.Members[2].Roles = roles[:] }})
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			d := document()
			r.spoil(d)
			err := federation.Check(d)
			if countersign.CodeOf(err) != countersign.CodeBadRequest || err == nil {
				t.Fatalf("accepted: %v", err)
			}
			if !strings.Contains(err.Error(), r.field) {
				t.Errorf("the error does not name %q:\n%v", r.field, err)
			}
		})
	}
}

// All problems are told at once.
func TestCheckTellsAll(t *testing.T) {
	d := document()
	d.Quorum, d.Version, d.Members[0].Roles, d.Caps.Linkage = 0, 0, nil, 9
	err := federation.Check(d)
	for _, field := range []string{"quorum: ", "version: ", "members[0].roles: ", "caps.registersPerPersonDay: "} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%q is not told of:\n%v", field, err)
		}
	}
}

// What the classes allow, the check allows.
func TestCheckAcceptsMore(t *testing.T) {
	for name, change := range map[string]func(*countersign.Directory){
		"class R on nothing, relation, consent, warrant or in an emergency": func(d *countersign.Directory) {
			d.Matrix[1].Mandates = []countersign.MandateKind{countersign.MandateNone, countersign.MandateRelation, countersign.MandateConsent, countersign.MandateWarrant, countersign.MandateEmergency}
		},
		"class C in an emergency": func(d *countersign.Directory) {
			d.Matrix[3] = countersign.Cell{Purpose: "criminal-case", Category: "diplomas", Mandates: []countersign.MandateKind{countersign.MandateConsent, countersign.MandateEmergency}}
		},
		"class C/W in an emergency": func(d *countersign.Directory) {
			d.Matrix[4].Mandates = []countersign.MandateKind{countersign.MandateEmergency}
		},
		"a certificate of fitness": func(d *countersign.Directory) {
			d.Categories[1].Text = en("Psychiatric fitness certificate (fit or unfit)")
		},
		"a forbidden word in class N": func(d *countersign.Directory) {
			d.Categories = append(d.Categories, countersign.Category{Code: "risk-scores", Text: en("Risk scores"), Class: countersign.ClassNever})
		},
		"a service without assessment, which is inactive": func(d *countersign.Directory) { d.Services[0].Assessment = nil },
		"a disabled service without grants":               func(d *countersign.Directory) { d.Services[1].Grants, d.Services[1].Disabled = nil, true },
		"the subject in the answer": func(d *countersign.Directory) {
			d.Services[0].Subject = countersign.Selector{From: countersign.SubjectInAnswer, Scheme: "pin", Name: "/owners/*/pin"}
		},
		"an issuer on this machine": func(d *countersign.Directory) { d.Issuers[0].URL = "http://127.0.0.1:9999" },
		"a portal that is the operator": func(d *countersign.Directory) {
			d.Members[2].Roles = []countersign.Role{countersign.RoleOperator, countersign.RolePortal}
			d.Courts, d.Issuers = nil, nil
		},
	} {
		d := document()
		change(d)
		if err := federation.Check(d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
