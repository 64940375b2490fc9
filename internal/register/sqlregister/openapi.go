package sqlregister

import (
	"bytes"
	"encoding/json"

	"github.com/getkin/kin-openapi/openapi3"

	"countersign.dev/countersign"
)

// OpenAPI describes the service for its directory entry and for getOpenAPI: OpenAPI 3.0 in JSON, the same bytes for the same declaration.
func (d *Declaration) OpenAPI() ([]byte, error) {
	row := openapi3.NewObjectSchema().WithoutAdditionalProperties()
	for _, c := range d.Columns {
		s := schema(c.Type).WithNullable()
		s.Description = c.Description
		row.WithProperty(c.Field, s)
	}
	body := row
	if d.Shape == ShapeList {
		body = openapi3.NewArraySchema().WithItems(row)
	}
	value := openapi3.NewStringSchema()
	about := "Identifier of the person"
	if d.Key != "" {
		value, about = value.WithPattern("^(?:"+d.Key+")$"), "Key of the entry"
	}
	responses := openapi3.NewResponses(
		openapi3.WithStatus(200, &openapi3.ResponseRef{Value: openapi3.NewResponse().WithDescription("What the register holds").WithJSONSchema(body)}),
	)
	if d.Shape == ShapeOne {
		responses.Set("404", &openapi3.ResponseRef{Value: openapi3.NewResponse().WithDescription("The register has no such entry")})
	}
	parameter := openapi3.NewPathParameter(d.Variable()).WithSchema(value).WithDescription(about)
	t := &openapi3.T{
		OpenAPI: "3.0.3",
		Info:    &openapi3.Info{Title: d.Title, Description: d.Description, Version: "1"},
		Servers: openapi3.Servers{{URL: "/r1/" + d.Service.String()}},
		Paths: openapi3.NewPaths(openapi3.WithPath(d.Path, &openapi3.PathItem{Get: &openapi3.Operation{
			OperationID: d.Service.Service, Summary: d.Title,
			Parameters: openapi3.Parameters{{Value: parameter}}, Responses: responses,
		}})),
	}
	b, err := t.MarshalJSON()
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the OpenAPI description cannot be written")
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the OpenAPI description cannot be written")
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func schema(t Type) *openapi3.Schema {
	switch t {
	case TypeInteger:
		return openapi3.NewInt64Schema()
	case TypeNumber:
		return openapi3.NewFloat64Schema()
	case TypeBoolean:
		return openapi3.NewBoolSchema()
	case TypeDate:
		return openapi3.NewStringSchema().WithFormat("date")
	case TypeDateTime:
		return openapi3.NewDateTimeSchema()
	}
	return openapi3.NewStringSchema()
}
