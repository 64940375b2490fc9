package registers

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"countersign.dev/countersign/demo/country"
)

// Service names one service of a register. What the federation says about it (who may ask for which fields, and why) is
// in the directory and no concern of the register.
type Service struct {
	Agency country.AgencyCode
	Code   string // also the first segment of its paths
}

// Agencies lists the member codes of the agencies that have a register.
func Agencies() []country.AgencyCode {
	return []country.AgencyCode{country.POP, country.VEH, country.SOC, country.CLN, country.MUN, country.POL}
}

// Services lists every service of every register, agency by agency.
func Services() []Service {
	return []Service{
		{country.POP, "person"}, {country.POP, "residence"}, {country.POP, "family"}, {country.POP, "check"},
		{country.VEH, "vehicles"}, {country.VEH, "plate"}, {country.VEH, "licence"}, {country.VEH, "statistics"},
		{country.SOC, "benefits"}, {country.SOC, "employment"}, {country.SOC, "aid"}, {country.SOC, "cases"},
		{country.CLN, "records"}, {country.CLN, "treatments"},
		{country.MUN, "property"}, {country.MUN, "permits"}, {country.MUN, "companies"}, {country.MUN, "opendata"},
		{country.POL, "cases"}, {country.POL, "wanted"},
	}
}

//go:embed openapi
var descriptions embed.FS

// OpenAPI returns the OpenAPI 3 description of a service as JSON, or nil where the agency has no such service. Its server
// is the service's own path (/person, for instance), so that whoever publishes the service puts its own in that place.
func OpenAPI(agency country.AgencyCode, service string) []byte {
	if !slices.Contains(Services(), Service{agency, service}) {
		return nil
	}
	doc, err := descriptions.ReadFile(fmt.Sprintf("openapi/%s/%s.json", strings.ToLower(string(agency)), service))
	if err != nil {
		return nil
	}
	return doc
}
