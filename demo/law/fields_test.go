package law_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/registers"
)

// described collects the paths of all scalars and lists that a service's description promises, errors included.
func described(t *testing.T, r registers.Service) []countersign.FieldPath {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(registers.OpenAPI(r.Agency, r.Code))
	if err != nil {
		t.Fatal(err)
	}
	found := map[countersign.FieldPath]bool{}
	var walk func(ref *openapi3.SchemaRef, at string)
	walk = func(ref *openapi3.SchemaRef, at string) {
		switch s := ref.Value; {
		case len(s.OneOf) > 0:
			for _, one := range s.OneOf {
				walk(one, at+"["+one.Value.Properties["resourceType"].Value.Enum[0].(string)+"]")
			}
		case s.Type.Is("object"):
			for name, property := range s.Properties {
				// The member that a guard is judged by passes with it.
				if !strings.HasSuffix(at, "]") || name != "resourceType" {
					walk(property, at+"/"+name)
				}
			}
		case s.Type.Is("array"):
			if at != "" {
				found[countersign.FieldPath(at)] = true
			}
			walk(s.Items, at+"/*")
		default:
			found[countersign.FieldPath(at)] = true
		}
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, res := range op.Responses.Map() {
				for _, media := range res.Value.Content {
					walk(media.Schema, "")
				}
			}
		}
	}
	var out []countersign.FieldPath
	for p := range found {
		out = append(out, p)
	}
	return countersign.SortFields(out)
}

// The catalogue declares every field that a register's description promises, and none that it does not, but for those of request bodies.
func TestCatalogueMatchesTheDescriptions(t *testing.T) {
	d := law.Document(at)
	for _, r := range registers.Services() {
		i := slices.IndexFunc(d.Services, func(s countersign.Service) bool { return s.ID == law.Service(string(r.Agency), r.Code) })
		if i < 0 {
			continue // another test tells
		}
		s := &d.Services[i]
		var declared, written []countersign.FieldPath
		for _, f := range s.Fields {
			declared = append(declared, f.Path)
		}
		for _, g := range s.Grants {
			written = append(written, g.Writes...)
		}
		promised := described(t, r)
		for _, p := range promised {
			if !slices.Contains(declared, p) {
				t.Errorf("%s: the register answers %s, which is not declared", s.ID, p)
			}
		}
		for _, p := range declared {
			problem := slices.Contains([]countersign.FieldPath{"/type", "/title", "/status", "/detail"}, p) // RFC 9457, declared everywhere
			if !problem && !slices.Contains(promised, p) && !slices.Contains(written, p) {
				t.Errorf("%s: %s is declared, and the register does not answer it", s.ID, p)
			}
		}
	}
}
