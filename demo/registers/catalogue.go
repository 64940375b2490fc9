package registers

import (
	"net/http"
	"slices"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
)

// Services lists every service of every register, agency by agency.
func Services() []Service {
	return slices.Concat(populationServices(), vehicleServices(), socialServices(), clinicServices(), municipalServices(), policeServices())
}

// The selectors that occur.
var (
	byPath     = countersign.Selector{From: countersign.SubjectInRequest, Scheme: country.PINScheme, In: "path", Name: "pin"}
	byQuery    = countersign.Selector{From: countersign.SubjectInRequest, Scheme: country.PINScheme, In: "query", Name: "pin"}
	byBody     = countersign.Selector{From: countersign.SubjectInRequest, Scheme: country.PINScheme, In: "body", Name: "/pin"}
	byOwner    = countersign.Selector{From: countersign.SubjectInAnswer, Scheme: country.PINScheme, Name: "/owners/*/pin"}
	withoutOne = countersign.Selector{From: countersign.SubjectNone}
)

func reading(path string) []countersign.Endpoint {
	return []countersign.Endpoint{{Method: http.MethodGet, Path: path}}
}

// group declares fields of one category below one place of the answer. names are separated by spaces.
type group struct {
	category countersign.CategoryCode
	below    string // a field path, or nothing for the top
	names    string
	related  string // sibling that holds the relative's code
}

// problemMembers are the members of a problem document (RFC 9457). They say nothing about the person.
const problemMembers = "type title status detail"

const addressMembers = "region city street house flat postcode"

// declare writes out the groups and the members of a problem document, sorted by path.
func declare(groups ...group) []countersign.Field {
	var fields []countersign.Field
	declared := map[countersign.FieldPath]bool{}
	for _, g := range append(groups, group{category: groups[0].category, names: problemMembers}) {
		for name := range strings.FieldsSeq(g.names) {
			f := countersign.Field{Path: countersign.FieldPath(g.below + "/" + name), Category: g.category}
			if g.related != "" {
				f.Related = countersign.FieldPath(g.below + "/" + g.related)
			}
			if !declared[f.Path] {
				declared[f.Path] = true
				fields = append(fields, f)
			}
		}
	}
	slices.SortFunc(fields, func(a, b countersign.Field) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return fields
}

func populationServices() []Service {
	relative := "pin surname givenName birthDate sex"
	return []Service{
		{country.POP, "person", "Identity of a person", byPath,
			append(reading("/{pin}"), countersign.Endpoint{Method: http.MethodPut, Path: "/{pin}/address"}),
			declare(
				group{Identity, "", "pin surname givenName patronymic sex birthDate citizenship photoDigest", ""},
				group{Identity, "/birthplace", "region city", ""},
				group{Identity, "/document", "kind number issuedOn expiresOn issuer", ""},
				group{Family, "", "maritalStatus", ""},
				group{Residence, "/address", addressMembers, ""},
				group{Residence, "", "since householdSize", ""},
			)},
		{country.POP, "residence", "Residence of a person", byPath, reading("/{pin}"), declare(
			group{Residence, "", "pin since householdSize", ""},
			group{Residence, "/address", addressMembers, ""},
		)},
		{country.POP, "family", "Spouse, children and parents of a person", byPath, reading("/{pin}"), declare(
			group{Family, "", "pin children parents", ""},
			group{Family, "/spouse", relative + " since", "pin"},
			group{Family, "/children/*", relative, "pin"},
			group{Family, "/parents/*", relative, "pin"},
		)},
		{country.POP, "check", "Does this surname belong to this code", byBody,
			[]countersign.Endpoint{{Method: http.MethodPost, Path: "/"}}, declare(group{Identity, "", "match", ""})},
	}
}

func vehicleServices() []Service {
	vehicle := "plate vin make model year colour registeredOn"
	return []Service{
		{country.VEH, "vehicles", "Vehicles of a person", byPath, reading("/{pin}"), declare(
			group{Vehicles, "", "pin vehicles", ""},
			group{Vehicles, "/vehicles/*", vehicle + " share", ""},
		)},
		{country.VEH, "plate", "Vehicle and owners by number plate", byOwner, reading("/{plate}"), declare(
			group{Vehicles, "", vehicle + " owners", ""},
			group{Vehicles, "/owners/*", "pin surname givenName share", ""},
			group{Vehicles, "/company", "code name", ""},
		)},
		{country.VEH, "licence", "Driving licence of a person", byPath, reading("/{pin}"), declare(
			group{Licence, "", "pin held", ""},
			group{Licence, "/licence", "number categories issuedOn expiresOn status", ""},
			group{Licence, "/licence/categories", "*", ""},
		)},
		{country.VEH, "statistics", "Vehicles by make and model", withoutOne, reading("/models"), declare(
			group{VehicleSums, "", "asOf leastGroup models", ""},
			group{VehicleSums, "/models/*", "make model count", ""},
		)},
	}
}

func socialServices() []Service {
	return []Service{
		{country.SOC, "benefits", "Pensions and benefits of a person", byPath, reading("/{pin}"), declare(
			group{Benefits, "", "pin benefits", ""},
			group{Benefits, "/benefits/*", "case kind status openedOn closedOn", ""},
			group{Benefits, "/benefits/*/monthly", "amount currency", ""},
		)},
		{country.SOC, "employment", "Employment contracts of a person", byPath, reading("/{pin}"), declare(
			group{Employment, "", "pin contracts", ""},
			group{Employment, "/contracts/*", "position from to", ""},
			group{Employment, "/contracts/*/employer", "code name", ""},
		)},
		{country.SOC, "cases", "Is this social case open for this person", byQuery, reading("/{case}"),
			declare(group{CaseOpen, "", "case pin open kind", ""})},
	}
}

func clinicServices() []Service {
	const resource = "/entry/*/resource"
	return []Service{
		{country.CLN, "records", "Treatments and visits of a person", byPath, reading("/{pin}"), declare(
			group{Health, "", "resourceType type total entry", ""},
			group{Health, resource + "[Patient]", "id identifier gender birthDate", ""},
			group{Health, resource + "[Patient]/identifier/*", "system value", ""},
			group{Health, resource + "[EpisodeOfCare]", "id status type diagnosis", ""},
			group{Health, resource + "[EpisodeOfCare]/type/*", "text coding", ""},
			group{Health, resource + "[EpisodeOfCare]/type/*/coding/*", "system code display", ""},
			group{Health, resource + "[EpisodeOfCare]/diagnosis/*/condition", "reference", ""},
			group{Health, resource + "[EpisodeOfCare]/patient", "reference", ""},
			group{Health, resource + "[EpisodeOfCare]/period", "start end", ""},
			group{Health, resource + "[Condition]", "id", ""},
			group{Health, resource + "[Condition]/clinicalStatus", "text coding", ""},
			group{Health, resource + "[Condition]/clinicalStatus/coding/*", "system code display", ""},
			group{Health, resource + "[Condition]/code", "text coding", ""},
			group{Health, resource + "[Condition]/code/coding/*", "system code display", ""},
			group{Health, resource + "[Condition]/subject", "reference", ""},
			group{Health, resource + "[Encounter]", "id status reasonCode episodeOfCare", ""},
			group{Health, resource + "[Encounter]/class", "system code display", ""},
			group{Health, resource + "[Encounter]/subject", "reference", ""},
			group{Health, resource + "[Encounter]/episodeOfCare/*", "reference", ""},
			group{Health, resource + "[Encounter]/period", "start end", ""},
			group{Health, resource + "[Encounter]/reasonCode/*", "text coding", ""},
			group{Health, resource + "[Encounter]/reasonCode/*/coding/*", "system code display", ""},
		)},
		{country.CLN, "treatments", "Is this treatment open for this person", byQuery, reading("/{id}"),
			declare(group{CaseOpen, "", "treatment pin open kind", ""})},
	}
}

func municipalServices() []Service {
	return []Service{
		{country.MUN, "property", "Homes and land of a person", byPath, reading("/{pin}"), declare(
			group{Property, "", "pin properties", ""},
			group{Property, "/properties/*", "parcel kind areaSquareMetres since share", ""},
			group{Property, "/properties/*/address", addressMembers, ""},
		)},
		{country.MUN, "permits", "Residence permits of a person", byPath, reading("/{pin}"), declare(
			group{Permits, "", "pin permits", ""},
			group{Permits, "/permits/*", "number kind issuedOn expiresOn status", ""},
		)},
		{country.MUN, "companies", "Legal person by code", withoutOne, reading("/{code}"), declare(
			group{Companies, "", "code name form activity registeredOn status", ""},
			group{Companies, "/address", addressMembers, ""},
		)},
		{country.MUN, "opendata", "Land parcels, without owners", withoutOne, reading("/parcels"), declare(
			group{Parcels, "/*", "parcel zone landUse areaSquareMetres", ""},
			group{Parcels, "/*/centre", "east north", ""},
		)},
	}
}

func policeServices() []Service {
	return []Service{
		{country.POL, "cases", "Is this police case open for this person", byQuery, reading("/{case}"),
			declare(group{CaseOpen, "", "case pin open kind", ""})},
		{country.POL, "wanted", "Is this person wanted", byPath, reading("/{pin}"), declare(group{Wanted, "", "wanted", ""})},
	}
}
