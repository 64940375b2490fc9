package registers

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"countersign.dev/countersign/demo/country"
)

// Class is the protective class of a service's category of data.
type Class string

// The classes that occur in the demo.
const (
	Open     Class = "O" // open to services
	Relation Class = "R" // purpose and a relation to the person
)

// SubjectIn says where a service's data subject is found.
type SubjectIn string

// Where the person of a question stands.
const (
	InPath   SubjectIn = "path"   // Subject.At is the number of the path segment after the service, from 1
	InQuery  SubjectIn = "query"  // Subject.At is the parameter's name
	InBody   SubjectIn = "body"   // Subject.At is a JSON pointer into the request body
	InAnswer SubjectIn = "answer" // Subject.At is a JSON pointer into the answer; * stands for every element
	Nowhere  SubjectIn = "none"   // the service tells nothing about people
)

// Subject is the selector of a service's data subject. The value found is a bare personal code, without `pin:`.
type Subject struct {
	In SubjectIn
	At string
}

// Service is what an agency publishes in the federation's directory about one of its services.
type Service struct {
	Agency   country.AgencyCode
	Code     string // also the first segment of its paths
	Title    string
	Category string // of the data, in the words of the purpose matrix
	Class    Class
	Subject  Subject
}

// Agencies lists the member codes of the agencies that have a register.
func Agencies() []country.AgencyCode {
	return []country.AgencyCode{country.POP, country.VEH, country.SOC, country.CLN, country.MUN, country.POL}
}

// Services lists every service of every register, agency by agency.
func Services() []Service {
	path, query := Subject{InPath, "1"}, Subject{InQuery, "pin"}
	return []Service{
		{country.POP, "person", "Identity of a person", "identity", Relation, path},
		{country.POP, "residence", "Residence of a person", "residence", Relation, path},
		{country.POP, "family", "Spouse, children and parents of a person", "family", Relation, path},
		{country.POP, "check", "Does this surname belong to this code", "identity", Relation, Subject{InBody, "/pin"}},
		{country.VEH, "vehicles", "Vehicles of a person", "vehicles", Relation, path},
		{country.VEH, "plate", "Vehicle and owners by number plate", "vehicles", Relation, Subject{InAnswer, "/owners/*/pin"}},
		{country.VEH, "licence", "Driving licence of a person", "driving-licence", Relation, path},
		{country.VEH, "statistics", "Vehicles by make and model", "vehicle-statistics", Open, Subject{In: Nowhere}},
		{country.SOC, "benefits", "Pensions and benefits of a person", "benefits", Relation, path},
		{country.SOC, "employment", "Employment contracts of a person", "employment", Relation, path},
		{country.SOC, "cases", "Is this social case open for this person", "case-register", Relation, query},
		{country.CLN, "records", "Treatments and visits of a person", "health-records", Relation, path},
		{country.CLN, "treatments", "Is this treatment open for this person", "case-register", Relation, query},
		{country.MUN, "property", "Homes and land of a person", "property", Relation, path},
		{country.MUN, "permits", "Residence permits of a person", "residence-permits", Relation, path},
		{country.MUN, "companies", "Legal person by code", "company", Open, Subject{In: Nowhere}},
		{country.MUN, "opendata", "Land parcels, without owners", "parcels", Open, Subject{In: Nowhere}},
		{country.POL, "cases", "Is this police case open for this person", "case-register", Relation, query},
		{country.POL, "wanted", "Is this person wanted", "wanted", Relation, path},
	}
}

//go:embed openapi
var descriptions embed.FS

// OpenAPI returns the OpenAPI 3 description of a service as JSON, or nil where the agency has no such service. Its server
// is the service's own path (/person, for instance), so that whoever publishes the service puts its own in that place.
func OpenAPI(agency country.AgencyCode, service string) []byte {
	if !slices.ContainsFunc(Services(), func(s Service) bool { return s.Agency == agency && s.Code == service }) {
		return nil
	}
	doc, err := descriptions.ReadFile(fmt.Sprintf("openapi/%s/%s.json", strings.ToLower(string(agency)), service))
	if err != nil {
		return nil
	}
	return doc
}
