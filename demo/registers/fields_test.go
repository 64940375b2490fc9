package registers

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	gateway "countersign.dev/countersign/internal/register"
)

// answerFields collects the paths of all scalars and lists that a service's description promises, errors included.
func answerFields(t testing.TB, agency country.AgencyCode, service string) []countersign.FieldPath {
	t.Helper()
	found := map[countersign.FieldPath]bool{}
	for _, item := range loadDescription(t, agency, service).Paths.Map() {
		for _, op := range item.Operations() {
			for _, res := range op.Responses.Map() {
				for _, media := range res.Value.Content {
					fieldPaths(media.Schema, "", found)
				}
			}
		}
	}
	var fields []countersign.FieldPath
	for path := range found {
		fields = append(fields, path)
	}
	return countersign.SortFields(fields)
}

func fieldPaths(ref *openapi3.SchemaRef, at string, into map[countersign.FieldPath]bool) {
	schema := ref.Value
	switch {
	case len(schema.OneOf) > 0:
		for _, one := range schema.OneOf {
			fieldPaths(one, at+"["+one.Value.Properties["resourceType"].Value.Enum[0].(string)+"]", into)
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

// TestAnswersPassTheFilter runs a gateway's filter over what the registers answer: with all described fields nothing is
// withheld, and with none everything is.
func TestAnswersPassTheFilter(t *testing.T) {
	dir, atlas := buildFolder(t)
	bases := map[country.AgencyCode]string{}
	for _, agency := range Agencies() {
		bases[agency] = serve(t, agency, dir)
	}
	for _, c := range calls(atlas.Cast) {
		got := request(t, c.method, bases[c.agency]+"/"+c.service+c.path, c.body)
		all, err := gateway.CompileFilter(answerFields(t, c.agency, c.service))
		if err != nil {
			t.Fatalf("%s %s: %v", c.agency, c.service, err)
		}
		var whole bytes.Buffer
		if err := json.Compact(&whole, got.body); err != nil {
			t.Fatal(err)
		}
		out, _, err := all.Apply(got.header.Get("Content-Type"), got.header, got.body)
		if err != nil || !bytes.Equal(out, whole.Bytes()) {
			t.Errorf("%s %s %s (%v): the filter withholds something:\n%s\n%s", c.agency, c.method, c.service, err, out, &whole)
		}
		var none gateway.Filter
		if out, _, err := none.Apply(got.header.Get("Content-Type"), got.header, got.body); err != nil || len(out) > len("{}") {
			t.Errorf("%s %s %s (%v): the empty filter lets %d bytes through", c.agency, c.method, c.service, err, len(out))
		}
	}
}
