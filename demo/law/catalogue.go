package law

import (
	"net/http"
	"slices"
	"strings"

	"countersign.dev/countersign"
)

// entry is what a register's owner declares of one service: where the person is found, the operations, every field of the answers.
type entry struct {
	subject   countersign.Selector
	endpoints []countersign.Endpoint
	fields    []countersign.Field
}

// The selectors that occur.
var (
	byPath  = countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin", In: "path", Name: "pin"}
	byCase  = countersign.Selector{From: countersign.SubjectInRequest, Scheme: countersign.SchemeCase, In: "path", Name: "case"}
	byQuery = countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin", In: "query", Name: "pin"}
	byBody  = countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin", In: "body", Name: "/pin"}
	byOwner = countersign.Selector{From: countersign.SubjectInAnswer, Scheme: "pin", Name: "/owners/*/pin"}
	nobody  = countersign.Selector{From: countersign.SubjectNone}
)

// group declares fields of one category below one place of the answer. Lists stand in it beside their elements, so that an empty list can
// be told from a withheld one.
type group struct {
	category countersign.CategoryCode
	below    string // a field path, or nothing for the top
	names    string // separated by spaces
	related  string // sibling that holds the relative's code
}

// problemMembers are the members of a problem document (RFC 9457), with which a register says that a code is unknown. They say nothing
// about the person.
const problemMembers = "/type /title /status /detail"

const address = "region city street house flat postcode"

// declare writes out the groups, and the members of a problem document under the first group's category.
func declare(subject countersign.Selector, operations string, groups ...group) entry {
	e := entry{subject: subject}
	for op := range strings.SplitSeq(operations, ", ") {
		method, path, _ := strings.Cut(op, " ")
		e.endpoints = append(e.endpoints, countersign.Endpoint{Method: method, Path: path})
	}
	for _, g := range append(groups, group{groups[0].category, "", strings.ReplaceAll(problemMembers, "/", ""), ""}) {
		for name := range strings.FieldsSeq(g.names) {
			f := countersign.Field{Path: countersign.FieldPath(g.below + "/" + name), Category: g.category}
			if g.related != "" {
				f.Related = countersign.FieldPath(g.below + "/" + g.related)
			}
			if !slices.ContainsFunc(e.fields, func(x countersign.Field) bool { return x.Path == f.Path }) {
				e.fields = append(e.fields, f)
			}
		}
	}
	return e
}

// catalogue declares the registers' services as they answer, by agency and service code.
func catalogue() map[string]entry {
	const get = http.MethodGet + " "
	relative := "pin surname givenName birthDate sex"
	vehicle := "plate vin make model year colour registeredOn"
	const resource = "/entry/*/resource"
	cases := func(name string) entry {
		return declare(byQuery, get+"/{"+name+"}", group{"case-register", "", strings.Replace(name, "id", "treatment", 1) + " pin open kind", ""})
	}
	return map[string]entry{
		"POP/person": declare(byPath, "GET /{pin}, PUT /{pin}/address",
			group{"identity", "", "pin surname givenName patronymic sex birthDate", ""},
			group{"identity", "/birthplace", "region city", ""},
			group{"identity", "/document", "kind number issuedOn expiresOn issuer", ""},
			group{"citizenship", "", "citizenship", ""},
			group{"photo", "", "photoDigest", ""},
			group{"civil-acts", "", "maritalStatus", ""},
			group{"residence", "/address", address, ""},
			group{"residence", "", "since householdSize " + address, ""}, // the address itself is the body of PUT
		),
		"POP/residence": declare(byPath, get+"/{pin}",
			group{"residence", "", "pin since householdSize", ""}, group{"residence", "/address", address, ""}),
		"POP/family": declare(byPath, get+"/{pin}",
			group{"family", "", "pin children parents", ""}, group{"family", "/spouse", relative + " since", "pin"},
			group{"family", "/children/*", relative, "pin"}, group{"family", "/parents/*", relative, "pin"}),
		"POP/check": declare(byBody, "POST , POST /",
			group{"identity", "", "match pin surname", ""}), // code and surname are the body of the question
		"VEH/vehicles": declare(byPath, get+"/{pin}",
			group{"vehicles", "", "pin vehicles", ""}, group{"vehicles", "/vehicles/*", vehicle + " share", ""}),
		"VEH/plate": declare(byOwner, get+"/{plate}",
			group{"vehicles", "", vehicle + " owners", ""}, group{"vehicles", "/owners/*", "share", ""},
			group{"identity", "/owners/*", "pin surname givenName", ""}, group{"company", "/company", "code name", ""}),
		"VEH/licence": declare(byPath, get+"/{pin}",
			group{"driving-licence", "", "pin held", ""}, group{"driving-licence", "/licence", "number categories categories/* issuedOn expiresOn status", ""}),
		"VEH/statistics": declare(nobody, get+"/models",
			group{"vehicle-statistics", "", "asOf leastGroup models", ""}, group{"vehicle-statistics", "/models/*", "make model count", ""}),
		"SOC/benefits": declare(byPath, get+"/{pin}",
			group{"benefits", "", "pin benefits", ""}, group{"benefits", "/benefits/*", "case kind status openedOn closedOn monthly/amount monthly/currency", ""}),
		"SOC/employment": declare(byPath, get+"/{pin}",
			group{"employment", "", "pin contracts", ""}, group{"employment", "/contracts/*", "position from to employer/code employer/name", ""}),
		"SOC/aid": declare(byCase, get+"/{case}",
			group{"benefits", "", "case kind status openedOn closedOn monthly/amount monthly/currency", ""}),
		"SOC/cases": cases("case"),
		"CLN/records": declare(byPath, get+"/{pin}",
			group{"health-records", "", "resourceType type total entry", ""},
			group{"health-records", resource + "[Patient]", "id identifier identifier/*/system identifier/*/value gender birthDate", ""},
			group{"health-records", resource + "[EpisodeOfCare]", "id status type type/*/text type/*/coding type/*/coding/*/system type/*/coding/*/code type/*/coding/*/display diagnosis diagnosis/*/condition/reference patient/reference period/start period/end", ""},
			group{"health-records", resource + "[Condition]", "id subject/reference", ""},
			group{"health-records", resource + "[Condition]/clinicalStatus", "text coding coding/*/system coding/*/code coding/*/display", ""},
			group{"health-records", resource + "[Condition]/code", "text coding coding/*/system coding/*/code coding/*/display", ""},
			group{"health-records", resource + "[Encounter]", "id status subject/reference period/start period/end class/system class/code class/display", ""},
			group{"health-records", resource + "[Encounter]", "episodeOfCare episodeOfCare/*/reference reasonCode reasonCode/*/text reasonCode/*/coding reasonCode/*/coding/*/system reasonCode/*/coding/*/code reasonCode/*/coding/*/display", ""}),
		"CLN/treatments": cases("id"),
		"MUN/property": declare(byPath, get+"/{pin}",
			group{"property", "", "pin properties", ""}, group{"property", "/properties/*", "parcel kind areaSquareMetres since share", ""},
			group{"property", "/properties/*/address", address, ""}),
		"MUN/permits": declare(byPath, get+"/{pin}",
			group{"residence-permits", "", "pin permits", ""}, group{"residence-permits", "/permits/*", "number kind issuedOn expiresOn status", ""}),
		"MUN/companies": declare(nobody, get+"/{code}",
			group{"company", "", "code name form activity registeredOn status", ""}, group{"company", "/address", address, ""}),
		"MUN/opendata": declare(nobody, "GET /parcels, HEAD /parcels",
			group{"parcels", "/*", "parcel zone landUse areaSquareMetres centre/east centre/north", ""}),
		"POL/cases":  cases("case"),
		"POL/wanted": declare(byPath, get+"/{pin}", group{"wanted", "", "wanted", ""}),
	}
}
