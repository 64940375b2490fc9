package registers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	gateway "countersign.dev/countersign/internal/register"
)

// TestFieldsAreThoseDescribed compares the declared fields with the answers that the OpenAPI description promises.
func TestFieldsAreThoseDescribed(t *testing.T) {
	for _, s := range Services() {
		doc := loadDescription(t, s.Agency, s.Code)
		described := map[countersign.FieldPath]bool{}
		for _, item := range doc.Paths.Map() {
			for _, op := range item.Operations() {
				for _, res := range op.Responses.Map() {
					for _, media := range res.Value.Content {
						fieldPaths(media.Schema, "", described)
					}
				}
			}
		}
		delete(described, "") // the answer itself
		if s.Agency == country.MUN && s.Code == "opendata" {
			delete(described, "/*")
		}
		want := make([]countersign.FieldPath, 0, len(described))
		for path := range described {
			want = append(want, path)
		}
		if diff := cmp.Diff(countersign.SortFields(want), countersign.SortFields(withoutProblems(s, described))); diff != "" {
			t.Errorf("%s %s (-described +declared):\n%s", s.Agency, s.Code, diff)
		}
	}
}

// withoutProblems leaves out the members of problem documents where the description has no error of its own.
func withoutProblems(s Service, described map[countersign.FieldPath]bool) []countersign.FieldPath {
	return slices.DeleteFunc(s.Paths(), func(p countersign.FieldPath) bool {
		return strings.Contains(" "+problemMembers+" ", " "+strings.TrimPrefix(string(p), "/")+" ") && !described[p]
	})
}

// fieldPaths collects the paths of scalars and lists under a schema.
func fieldPaths(ref *openapi3.SchemaRef, at string, into map[countersign.FieldPath]bool) {
	schema := ref.Value
	switch {
	case len(schema.OneOf) > 0:
		for _, one := range schema.OneOf {
			guard := "[" + one.Value.Properties["resourceType"].Value.Enum[0].(string) + "]"
			fieldPaths(one, at+guard, into)
			delete(into, countersign.FieldPath(at+guard+"/resourceType")) // passes with its guard
		}
	case schema.Type.Is("object"):
		for name, property := range schema.Properties {
			fieldPaths(property, at+"/"+name, into)
		}
	case schema.Type.Is("array"):
		if at != "" {
			into[countersign.FieldPath(at)] = true
		}
		fieldPaths(schema.Items, at+"/*", into)
	default:
		into[countersign.FieldPath(at)] = true
	}
}

// TestFilterLetsEveryFieldThrough runs the gateway's filter, with all declared fields, over what the registers answer.
func TestFilterLetsEveryFieldThrough(t *testing.T) {
	dir, atlas := buildFolder(t)
	bases, services := map[country.AgencyCode]string{}, map[string]Service{}
	for _, agency := range Agencies() {
		bases[agency] = serve(t, agency, dir)
	}
	for _, s := range Services() {
		services[string(s.Agency)+"/"+s.Code] = s
		for _, p := range s.Paths() {
			if err := gateway.CheckPath(p); err != nil {
				t.Errorf("%s %s: %v", s.Agency, s.Code, err)
			}
		}
	}
	for _, c := range calls(atlas.Cast) {
		s := services[string(c.agency)+"/"+c.service]
		got := request(t, c.method, bases[c.agency]+"/"+c.service+c.path, c.body)
		filter, err := gateway.CompileFilter(s.Paths())
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := filter.Apply(got.header.Get("Content-Type"), got.header, got.body)
		if err != nil {
			t.Fatalf("%s %s%s: %v", c.agency, c.service, c.path, err)
		}
		var whole bytes.Buffer
		if err := json.Compact(&whole, got.body); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, whole.Bytes()) {
			t.Errorf("%s %s %s: the filter withholds a declared field:\n%s\n%s", c.agency, c.method, c.service, out, whole.Bytes())
		}
	}
}

// TestSelectorsFindThePerson compiles every selector as a gateway does.
func TestSelectorsFindThePerson(t *testing.T) {
	dir, atlas := buildFolder(t)
	scheme := Scheme()
	for _, s := range Services() {
		entry := s.Directory("register")
		open := slices.ContainsFunc(Categories(), func(c countersign.Category) bool {
			return slices.Contains(entry.Categories, c.Code) && c.Class == countersign.ClassOpen
		})
		if len(entry.Categories) == 0 || open != (entry.Subject.From == countersign.SubjectNone) {
			t.Errorf("%s %s: categories %v with subject %q", s.Agency, s.Code, entry.Categories, entry.Subject.From)
		}
		class := countersign.ClassRelation
		if open {
			class = countersign.ClassOpen
		}
		if _, err := gateway.CompileSelector(&entry, class); err != nil {
			t.Errorf("%s %s: %v", s.Agency, s.Code, err)
		}
		for _, f := range s.Fields {
			if f.Related != "" && !slices.Contains(s.Paths(), f.Related) {
				t.Errorf("%s %s: %s is about %s, which is not declared", s.Agency, s.Code, f.Path, f.Related)
			}
		}
	}
	got := request(t, http.MethodGet, serve(t, country.VEH, dir)+"/plate/"+string(atlas.Cast.CoOwner.Plate), "")
	people, err := gateway.CompilePeople([]countersign.FieldPath{countersign.FieldPath(byOwner.Name)})
	if err != nil {
		t.Fatal(err)
	}
	found, err := people.Find(got.body)
	if err != nil || len(found) != 2 || !slices.Contains(found, string(atlas.Cast.CoOwner.PIN)) {
		t.Errorf("owners found: %d, %v", len(found), err)
	}
	for _, typed := range []string{" a-b c1-234", "ıBC1234", "ABC12345", "ABC123"} {
		id, err := scheme.Normalise(typed)
		normal := country.NormalisePIN(typed)
		if (err == nil) != (len(normal) == country.PINLength && !strings.Contains(normal, "ı")) || err == nil && id.Value != normal {
			t.Errorf("the scheme makes %q of %q, the register %q", id.Value, typed, normal)
		}
	}
}
