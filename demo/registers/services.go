package registers

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
)

// Service is what an agency publishes in the federation's directory about one of its services. Whoever makes the
// directory adds the subsystem, the grants and the name of the description.
type Service struct {
	Agency    country.AgencyCode
	Code      string // also the first segment of its paths
	Title     string
	Subject   countersign.Selector
	Endpoints []countersign.Endpoint
	// Fields are all fields of its answers, those of its problem documents too, sorted by path. Lists stand in it beside
	// their elements, so that an empty list can be told from a withheld one.
	Fields []countersign.Field
}

// Categories lists the categories of the service's data, each once, in the order of [Categories].
func (s Service) Categories() []countersign.CategoryCode {
	var codes []countersign.CategoryCode
	for _, c := range Categories() {
		if slices.ContainsFunc(s.Fields, func(f countersign.Field) bool { return f.Category == c.Code }) {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

// Paths lists the service's field paths of the given categories, or all of them.
func (s Service) Paths(of ...countersign.CategoryCode) []countersign.FieldPath {
	var paths []countersign.FieldPath
	for _, f := range s.Fields {
		if len(of) == 0 || slices.Contains(of, f.Category) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// Directory is the service's entry in a directory, under the agency's subsystem. It still lacks the grants, without
// which nobody may use it, and the assessment, without which a personal service is inactive.
func (s Service) Directory(subsystem string) countersign.Service {
	return countersign.Service{
		ID:   countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: Member(s.Agency), Subsystem: subsystem}, Service: s.Code},
		Text: countersign.Text{"en": s.Title}, Categories: s.Categories(), Subject: s.Subject, Endpoints: s.Endpoints, Fields: s.Fields,
	}
}

// Member is an agency's identifier in the federation.
func Member(agency country.AgencyCode) countersign.MemberID {
	return countersign.MemberID{Instance: country.Instance, Class: country.MemberClass, Code: string(agency)}
}

// Scheme is the entry of the country's personal codes in a directory. It normalises like [country.NormalisePIN]; the
// check character is the register's to check.
func Scheme() countersign.Scheme {
	return countersign.Scheme{Name: country.PINScheme, Text: countersign.Text{"en": "Personal code", "az": "Fərdi kod"},
		Strip: " -", Upper: true, Pattern: country.PINPattern}
}

// Agencies lists the member codes of the agencies that have a register.
func Agencies() []country.AgencyCode {
	return []country.AgencyCode{country.POP, country.VEH, country.SOC, country.CLN, country.MUN, country.POL}
}

// The categories of the registers' data.
const (
	Identity    countersign.CategoryCode = "identity"
	Residence   countersign.CategoryCode = "residence"
	Family      countersign.CategoryCode = "family"
	Vehicles    countersign.CategoryCode = "vehicles"
	Licence     countersign.CategoryCode = "driving-licence"
	Benefits    countersign.CategoryCode = "benefits"
	Employment  countersign.CategoryCode = "employment"
	CaseOpen    countersign.CategoryCode = "case-register"
	Health      countersign.CategoryCode = "health"
	Property    countersign.CategoryCode = "property"
	Permits     countersign.CategoryCode = "residence-permits"
	Wanted      countersign.CategoryCode = "wanted"
	VehicleSums countersign.CategoryCode = "vehicle-statistics"
	Companies   countersign.CategoryCode = "company"
	Parcels     countersign.CategoryCode = "parcels"
)

// Categories lists every category with its class.
//
// LAW: DATA-CLASSES: identity, residence, family, vehicles, licence, benefits, employment, property, permits and the yes or no of wanted
// are R; health records are R within a treatment; company data are O.
func Categories() []countersign.Category {
	category := func(code countersign.CategoryCode, class countersign.Class, text string) countersign.Category {
		return countersign.Category{Code: code, Text: countersign.Text{"en": text}, Class: class, Special: code == Health || code == Wanted}
	}
	return []countersign.Category{
		category(Identity, countersign.ClassRelation, "Identity and photo"),
		category(Residence, countersign.ClassRelation, "Residence"),
		category(Family, countersign.ClassRelation, "Family, one hop"),
		category(Vehicles, countersign.ClassRelation, "Vehicles"),
		category(Licence, countersign.ClassRelation, "Driving licence"),
		category(Benefits, countersign.ClassRelation, "Pensions and benefits"),
		category(Employment, countersign.ClassRelation, "Employment contracts"),
		category(CaseOpen, countersign.ClassRelation, "Confirmation that a case is open"),
		category(Health, countersign.ClassRelation, "Health records"),
		category(Property, countersign.ClassRelation, "Property"),
		category(Permits, countersign.ClassRelation, "Residence permits"),
		category(Wanted, countersign.ClassRelation, "Wanted: yes or no"),
		category(VehicleSums, countersign.ClassOpen, "Vehicle statistics"),
		category(Companies, countersign.ClassOpen, "Company data"),
		category(Parcels, countersign.ClassOpen, "Land parcels, without owners"),
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
