package registers

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"

	"countersign.dev/countersign/demo/country"
)

// loadDescription parses and validates a service's OpenAPI description.
func loadDescription(t testing.TB, agency country.AgencyCode, service string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(OpenAPI(agency, service))
	if err != nil {
		t.Fatalf("%s %s: %v", agency, service, err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("%s %s: %v", agency, service, err)
	}
	return doc
}

func TestEveryServiceIsDescribed(t *testing.T) {
	dir, _ := buildFolder(t)
	bases := map[country.AgencyCode]string{}
	for _, agency := range Agencies() {
		bases[agency] = serve(t, agency, dir)
	}
	for _, s := range Services() {
		doc := loadDescription(t, s.Agency, s.Code)
		if len(doc.Servers) != 1 || doc.Servers[0].URL != "/"+s.Code {
			t.Errorf("%s %s: servers %v", s.Agency, s.Code, doc.Servers)
		}
		got := request(t, http.MethodGet, bases[s.Agency]+"/openapi/"+s.Code+".json", "")
		var want bytes.Buffer
		if err := json.Compact(&want, OpenAPI(s.Agency, s.Code)); err != nil {
			t.Fatal(err)
		}
		if got.status != http.StatusOK || !bytes.Equal(bytes.TrimSpace(got.body), want.Bytes()) {
			t.Errorf("%s %s: the register serves another description (%d)", s.Agency, s.Code, got.status)
		}
	}
	if OpenAPI(country.POP, "plate") != nil || OpenAPI(country.POP, "../pop/person") != nil {
		t.Error("a service that POP does not have is described")
	}
}

// call is one request to a register and what the answer must hold.
type call struct {
	agency  country.AgencyCode
	service string
	method  string
	path    string // after the service
	body    string
	status  int
	holds   string // JSON text that the compact answer contains
}

func calls(cast country.Cast) []call {
	get := func(agency country.AgencyCode, service, path string, status int, holds string) call {
		return call{agency, service, http.MethodGet, path, "", status, holds}
	}
	pin := func(r country.Role) string { return "/" + string(r.PIN) }
	at := func(id string, r country.Role) string { return "/" + id + "?pin=" + url.QueryEscape(string(r.PIN)) }
	unknown := country.Role{PIN: cast.UnknownPIN}
	a := cast.Applicant
	list := []call{
		get(country.POP, "person", pin(a), 200, `"pin":"`+string(a.PIN)+`","surname":"`+a.Surname+`"`),
		get(country.POP, "person", "/"+strings.ToLower(string(a.PIN[:3]))+"-"+string(a.PIN[3:]), 200, `"pin":"`+string(a.PIN)+`"`),
		get(country.POP, "person", "/"+cast.MistypedPIN, 400, `"type":"urn:countersign:demo:bad-pin"`),
		get(country.POP, "residence", pin(a), 200, `"householdSize":`),
		get(country.POP, "family", pin(cast.Child), 200, `"parents":[{"pin":`),
		get(country.POP, "family", pin(cast.Parent), 200, `"spouse":{"pin":`),
		{country.POP, "check", "POST", "/", `{"pin":"` + string(a.PIN) + `","surname":" ` + a.Surname + ` "}`, 200, `{"match":true}`},
		{country.POP, "check", "POST", "/", `{"pin":"` + string(a.PIN) + `","surname":"Başqası"}`, 200, `{"match":false}`},
		{country.POP, "check", "POST", "/", `{"pin":"` + string(unknown.PIN) + `","surname":"Başqası"}`, 200, `{"match":false}`},
		{country.POP, "check", "POST", "/", `{"pin":"` + cast.MistypedPIN + `","surname":"Başqası"}`, 400, `bad-pin`},
		{country.POP, "person", "PUT", pin(a) + "/address", `{"region":"R","city":"C","street":"S","house":"1","postcode":"P","since":"2026-01-01"}`, 200, `"householdSize":1`},
		{country.POP, "person", "PUT", pin(unknown) + "/address", `{"region":"R","city":"C","street":"S","house":"1","postcode":"P","since":"2026-01-01"}`, 404, `unknown-person`},
		{country.POP, "person", "PUT", pin(a) + "/address", `{"region":"R","city":"C","street":"S","house":"1","postcode":"P","since":"1900-01-01"}`, 400, `before the person's birth`},
		get(country.VEH, "vehicles", pin(cast.Driver), 200, `"plate":"`+string(cast.Driver.Plate)+`"`),
		get(country.VEH, "vehicles", pin(cast.Child), 404, `unknown-person`),
		get(country.VEH, "plate", "/"+string(cast.CoOwner.Plate), 200, `"share":50},{"pin":`),
		get(country.VEH, "plate", "/"+string(cast.FleetPlate), 200, `"owners":[],"company":{"code":`),
		get(country.VEH, "plate", "/"+string(cast.UnknownPlate), 404, `unknown-plate`),
		get(country.VEH, "licence", pin(cast.Driver), 200, `"held":true`),
		get(country.VEH, "statistics", "/models", 200, `"leastGroup":10`),
		get(country.SOC, "benefits", pin(a), 200, `"case":"`+string(a.Case)+`"`),
		get(country.SOC, "employment", pin(cast.Official), 200, `"position":"Municipal Officer"`),
		get(country.SOC, "aid", "/SOC-AID-2026-0001", 200, `"kind":"shelter"`), get(country.SOC, "aid", "/SOC-AID-1999-0001", 404, `unknown-case`),
		get(country.SOC, "cases", at(string(a.Case), a), 200, `"open":true`),
		get(country.SOC, "cases", at(string(cast.FormerApplicant.Case), cast.FormerApplicant), 200, `"open":false`),
		get(country.SOC, "cases", at(string(a.Case), cast.Neighbour), 404, `unknown-case`),
		get(country.SOC, "cases", at(string(cast.UnknownCase), a), 404, `unknown-case`),
		get(country.CLN, "records", pin(cast.Patient), 200, `"status":"active"`),
		get(country.CLN, "records", pin(cast.FormerPatient), 200, `"resourceType":"EpisodeOfCare"`),
		get(country.CLN, "treatments", at(string(cast.Patient.Treatment), cast.Patient), 200, `"open":true`),
		get(country.CLN, "treatments", at(string(cast.FormerPatient.Treatment), cast.FormerPatient), 200, `"open":false`),
		get(country.CLN, "treatments", at(string(cast.Patient.Treatment), cast.FormerPatient), 404, `unknown-case`),
		get(country.MUN, "property", pin(cast.Celebrity), 200, `"parcel":"`+string(cast.Celebrity.Parcel)+`"`),
		get(country.MUN, "permits", pin(cast.Foreigner), 200, `"number":"RP`),
		get(country.MUN, "permits", pin(a), 200, `"permits":[]`),
		get(country.MUN, "companies", "/"+string(cast.Company), 200, `"status":"active"`),
		get(country.MUN, "companies", "/9999999999", 404, `unknown-company`),
		get(country.MUN, "opendata", "/parcels?bytes=5000", 200, `"parcel":"LND-10000000"`),
		get(country.MUN, "opendata", "/parcels?bytes=1", 400, `bad-size`),
		get(country.POL, "cases", at(string(cast.Suspect.Case), cast.Suspect), 200, `"open":true`),
		get(country.POL, "cases", at(string(cast.Cleared.Case), cast.Cleared), 200, `"open":false`),
		get(country.POL, "cases", at(string(cast.Suspect.Case), cast.Bystander), 404, `unknown-case`),
		get(country.POL, "wanted", pin(cast.Wanted), 200, `{"wanted":true}`),
		get(country.POL, "wanted", pin(cast.Suspect), 200, `{"wanted":false}`),
	}
	for _, s := range []Service{{country.POP, "person"}, {country.POP, "residence"}, {country.POP, "family"}, {country.VEH, "vehicles"},
		{country.VEH, "licence"}, {country.SOC, "benefits"}, {country.SOC, "employment"}, {country.CLN, "records"}, {country.MUN, "property"},
		{country.MUN, "permits"}, {country.POL, "wanted"}} {
		list = append(list, get(s.Agency, s.Code, pin(unknown), 404, `unknown-person`))
	}
	return list
}

// TestCalls plays every call over HTTP and holds question and answer against the service's OpenAPI description.
func TestCalls(t *testing.T) {
	dir, atlas := buildFolder(t)
	bases := map[country.AgencyCode]string{}
	for _, agency := range Agencies() {
		bases[agency] = serve(t, agency, dir)
	}
	answered := map[string]bool{}
	for _, c := range calls(atlas.Cast) {
		t.Run(string(c.agency)+" "+c.method+" "+c.service+" "+c.holds, func(t *testing.T) {
			got := request(t, c.method, bases[c.agency]+"/"+c.service+c.path, c.body)
			if got.status != c.status || !bytes.Contains(got.body, []byte(c.holds)) {
				t.Fatalf("%d %s, want %d and %s", got.status, got.body, c.status, c.holds)
			}
			if c.status >= 400 {
				for _, pin := range append([]country.PIN{atlas.Cast.UnknownPIN, country.PIN(atlas.Cast.MistypedPIN)}, atlas.PINs...) {
					if bytes.Contains(got.body, []byte(pin)) {
						t.Error("the error names a person")
					}
				}
			}
			conforms(t, c, got)
		})
		answered[string(c.agency)+"/"+c.service] = answered[string(c.agency)+"/"+c.service] || c.status == http.StatusOK
	}
	for _, s := range Services() {
		if !answered[string(s.Agency)+"/"+s.Code] {
			t.Errorf("no call is answered by %s %s", s.Agency, s.Code)
		}
	}
}

func conforms(t *testing.T, c call, got reply) {
	t.Helper()
	router, err := legacy.NewRouter(loadDescription(t, c.agency, c.service))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(c.method, "/"+c.service+c.path, strings.NewReader(c.body))
	req.Header.Set("Content-Type", "application/json")
	route, params, err := router.FindRoute(req)
	if err != nil {
		t.Fatal(err)
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route}
	if c.status == http.StatusOK {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("the description refuses the question: %v", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: got.status, Header: got.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true}}
	if err := openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes(got.body)); err != nil {
		t.Errorf("the description refuses the answer: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	dir, atlas := buildFolder(t)
	a := atlas.Cast.Applicant
	pop, soc, mun := serve(t, country.POP, dir), serve(t, country.SOC, dir), serve(t, country.MUN, dir)
	for _, c := range []struct {
		name, method, url, body string
		status                  int
	}{
		{"no path", "GET", pop + "/", "", 404},
		{"unknown path", "GET", pop + "/people", "", 404},
		{"the list of a register", "GET", pop + "/person", "", 404},
		{"no code", "GET", pop + "/person/", "", 404},
		{"wildcard", "GET", pop + "/person/*", "", 400},
		{"encoded slash", "GET", pop + "/person/" + string(a.PIN) + "%2Faddress", "", 400},
		{"encoded dots", "GET", pop + "/person/%2e%2e/person/" + string(a.PIN), "", 404},
		{"double slash", "GET", pop + "//person/" + string(a.PIN), "", 404},
		{"trailing slash", "GET", pop + "/person/" + string(a.PIN) + "/", "", 404},
		{"another service's description", "GET", pop + "/openapi/plate.json", "", 404},
		{"method", "DELETE", pop + "/person/" + string(a.PIN), "", 405},
		{"method of the check", "GET", pop + "/check", "", 405},
		{"no body", "POST", pop + "/check", "", 400},
		{"repeated member", "POST", pop + "/check", `{"pin":"` + string(a.PIN) + `","pin":"` + string(atlas.Cast.Neighbour.PIN) + `","surname":"X"}`, 400},
		{"unknown member", "POST", pop + "/check", `{"pin":"` + string(a.PIN) + `","surname":"X","all":true}`, 400},
		{"no surname", "POST", pop + "/check", `{"pin":"` + string(a.PIN) + `"}`, 400},
		{"two values", "POST", pop + "/check", `{"pin":"` + string(a.PIN) + `","surname":"X"}{}`, 400},
		{"large body", "POST", pop + "/check", `{"pin":"` + strings.Repeat("A", bodyLimit) + `"}`, 413},
		{"half an address", "PUT", pop + "/person/" + string(a.PIN) + "/address", `{"city":"C","since":"2026-01-01"}`, 400},
		{"no date", "PUT", pop + "/person/" + string(a.PIN) + "/address", `{"region":"R","city":"C","street":"S","house":"1","postcode":"P"}`, 400},
		{"long field", "PUT", pop + "/person/" + string(a.PIN) + "/address", `{"region":"R","city":"` + strings.Repeat("ə", fieldLimit+1) + `","street":"S","house":"1","postcode":"P","since":"2026-01-01"}`, 400},
		{"case without person", "GET", soc + "/cases/" + string(a.Case), "", 400},
		{"case with two people", "GET", soc + "/cases/" + string(a.Case) + "?pin=" + string(a.PIN) + "&pin=" + string(atlas.Cast.Neighbour.PIN), "", 400},
		{"size that is no number", "GET", mun + "/opendata/parcels?bytes=many", "", 400},
		{"size too large", "GET", mun + "/opendata/parcels?bytes=1073741825", "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := request(t, c.method, c.url, c.body)
			var p problem
			if err := json.Unmarshal(got.body, &p); err != nil || got.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("not a problem document: %v, %s", err, got.header.Get("Content-Type"))
			}
			if got.status != c.status || p.Status != c.status || p.Type == "" {
				t.Errorf("%d %s, want %d", got.status, got.body, c.status)
			}
			if c.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
				t.Error("no method is named as allowed")
			}
		})
	}
}

// TestHead asks for the headers alone.
func TestHead(t *testing.T) {
	dir, atlas := buildFolder(t)
	got := request(t, http.MethodHead, serve(t, country.POP, dir)+"/person/"+string(atlas.PINs[0]), "")
	if got.status != http.StatusOK || len(got.body) != 0 || got.length < 100 || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %d bytes of %d", got.status, len(got.body), got.length)
	}
}

// TestFailureNamesNobody breaks the database under a running register.
func TestFailureNamesNobody(t *testing.T) {
	var logged bytes.Buffer
	dir, atlas := buildFolder(t)
	db, err := openDB(t.Context(), DBPath(dir, country.POP))
	if err != nil {
		t.Fatal(err)
	}
	handler, err := Handler(t.Context(), country.POP, db, WithLogger(slog.New(slog.NewJSONHandler(&logged, nil))))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	pin := string(atlas.PINs[0])
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/person/"+pin, nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "sql") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if logged.Len() == 0 || strings.Contains(logged.String(), pin) {
		t.Errorf("the log is empty or names the person: %s", &logged)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	dir, _ := buildFolder(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, country.POL, DBPath(dir, country.POL), listener) }()
	address := listener.Addr().String()
	if got := request(t, http.MethodGet, "http://"+address+"/healthz", ""); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ending: %v", err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("the listener is still open")
	}
}
