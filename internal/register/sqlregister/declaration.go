// Package sqlregister makes a REST service of one declared query on an SQLite database: a register without a service of its own joins by
// a few lines of YAML, and no code.
package sqlregister

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"countersign.dev/countersign"
)

// Type is the JSON type of a field.
type Type string

// The types. A date is text in RFC 3339's form, with or without the time of day.
const (
	TypeString   Type = "string"
	TypeInteger  Type = "integer"
	TypeNumber   Type = "number"
	TypeBoolean  Type = "boolean" // 0 or 1 in SQLite
	TypeDate     Type = "date"
	TypeDateTime Type = "date-time"
)

// Shape says what an answer looks like.
type Shape string

// The shapes.
const (
	ShapeOne  Shape = "one"  // an object; 404 when there is no row, an error when there are several
	ShapeList Shape = "list" // an array of objects, empty when there is no row
)

// Column gives a column of the query its place in the answer.
type Column struct {
	Column      string `yaml:"column"`          // the query's name for it (AS)
	Field       string `yaml:"field,omitempty"` // its key in the answer; the column's name when empty
	Type        Type   `yaml:"type"`
	Description string `yaml:"description,omitempty"`
}

// Declaration is a service made of a query.
//
// The path has one variable, and the query one named parameter of the same name: SELECT … WHERE pin = :subject for /persons/{subject}.
// Without Key the parameter is the data subject, in the canonical form that the gateway decided on, and Person names the column that holds
// the person: each row must hold that very person, or nothing is answered. A query that forgets its WHERE thus gives nobody away.
// With Key, a pattern, the variable is a key of a thing (a plate, a parcel): the service's subject is in the answer, and Person is one of
// the columns that leave, so that each person can be decided on.
type Declaration struct {
	Service     countersign.ServiceID `yaml:"service"`
	Title       string                `yaml:"title"`
	Description string                `yaml:"description,omitempty"`
	Path        string                `yaml:"path"`
	Key         string                `yaml:"key,omitempty"` // RE2, anchored by us
	Query       string                `yaml:"query"`
	Person      string                `yaml:"person"`
	Shape       Shape                 `yaml:"shape"`
	Columns     []Column              `yaml:"columns"`
	MaxRows     int                   `yaml:"maxRows,omitempty"` // of a list; 1000 when zero
	Timeout     countersign.Duration  `yaml:"timeout,omitempty"` // 60 s when zero, 300 s at most
}

const (
	defaultRows    = 1000
	defaultTimeout = 60 * time.Second
	maxTimeout     = 300 * time.Second
	maxDeclaration = 64 << 10
)

var (
	variable   = regexp.MustCompile(`\{([a-z][A-Za-z0-9_]*)\}`)
	pathShape  = regexp.MustCompile(`\A(?:/(?:[A-Za-z0-9._~-]+|\{[a-z][A-Za-z0-9_]*\}))+\z`)
	fieldShape = regexp.MustCompile(`\A[A-Za-z][A-Za-z0-9_-]{0,63}\z`)
)

func bad(field, format string, args ...any) error {
	r := countersign.Refuse(countersign.CodeBadRequest, format, args...)
	return countersign.Refuse(countersign.CodeBadRequest, "SQL service, %s: %s", field, r.Message)
}

// ParseDeclaration reads YAML and refuses unknown keys. The query is checked by Open, against its database.
func ParseDeclaration(b []byte) (*Declaration, error) {
	if len(b) > maxDeclaration {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the declaration of an SQL service has %d bytes: %d at most", len(b), maxDeclaration)
	}
	var d Declaration
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&d); err != nil {
		var y yaml.Error
		if errors.As(err, &y) {
			return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the declaration of an SQL service, line %d: %s",
				y.GetToken().Position.Line, y.GetMessage())
		}
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the declaration of an SQL service cannot be read: %s", err)
	}
	return &d, d.check()
}

func (d *Declaration) check() error {
	if d.Service.Service == "" {
		return bad("service", "it is missing")
	}
	if d.Title == "" {
		return bad("title", "it is missing: say what the service answers")
	}
	if !pathShape.MatchString(d.Path) || leavesPath(d.Path) {
		return bad("path", "write plain segments and one variable, like /persons/{subject}")
	}
	if n := len(variable.FindAllString(d.Path, -1)); n != 1 {
		return bad("path", "it has %d variables: one question has one", n)
	}
	if d.Key != "" {
		if _, err := regexp.Compile(d.Key); err != nil {
			return bad("key", "the pattern cannot be read")
		}
	}
	if strings.TrimSpace(d.Query) == "" {
		return bad("query", "it is missing")
	}
	if d.Shape != ShapeOne && d.Shape != ShapeList {
		return bad("shape", "it is one or list")
	}
	if d.MaxRows < 0 || d.MaxRows > 0 && d.Shape == ShapeOne {
		return bad("maxRows", "it bounds a list, and is positive")
	}
	if t := time.Duration(d.Timeout); t > maxTimeout {
		return bad("timeout", "%s is longer than %s", t, maxTimeout)
	}
	return d.checkColumns()
}

func leavesPath(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

func (d *Declaration) checkColumns() error {
	if len(d.Columns) == 0 {
		return bad("columns", "list the columns that may leave")
	}
	fields, names := make(map[string]bool), make(map[string]bool)
	for i := range d.Columns {
		c := &d.Columns[i]
		if c.Field == "" {
			c.Field = c.Column
		}
		switch {
		case c.Column == "" || names[c.Column]:
			return bad("columns", "column %q is empty or listed twice", c.Column)
		case !fieldShape.MatchString(c.Field) || fields[c.Field]:
			return bad("columns", "field %q is not a plain name, or is listed twice", c.Field)
		}
		switch c.Type {
		case TypeString, TypeInteger, TypeNumber, TypeBoolean, TypeDate, TypeDateTime:
		default:
			return bad("columns", "column %q: the type is string, integer, number, boolean, date or date-time", c.Column)
		}
		fields[c.Field], names[c.Column] = true, true
	}
	switch {
	case d.Person == "":
		return bad("person", "name the column that holds the person whom a row is about")
	case d.Key != "" && !names[d.Person]:
		return bad("person", "with key, the person is found in the answer: list %q among the columns", d.Person)
	}
	return nil
}

// Variable is the name of the path's variable and of the query's parameter.
func (d *Declaration) Variable() string { return variable.FindStringSubmatch(d.Path)[1] }

// Fields gives the field paths of the answer, in the declaration's order, for the directory's entry.
func (d *Declaration) Fields() []countersign.FieldPath {
	prefix := "/"
	if d.Shape == ShapeList {
		prefix = "/*/"
	}
	out := make([]countersign.FieldPath, len(d.Columns))
	for i, c := range d.Columns {
		out[i] = countersign.FieldPath(prefix + c.Field)
	}
	return out
}

// Selector gives the service's subject selector for the directory's entry.
func (d *Declaration) Selector(scheme countersign.SchemeName) countersign.Selector {
	if d.Key == "" {
		return countersign.Selector{From: countersign.SubjectInRequest, Scheme: scheme, In: "path", Name: d.Variable()}
	}
	i := slices.IndexFunc(d.Columns, func(c Column) bool { return c.Column == d.Person })
	return countersign.Selector{From: countersign.SubjectInAnswer, Scheme: scheme, Name: string(d.Fields()[i])}
}

// Endpoints gives the service's operations for the directory's entry.
func (d *Declaration) Endpoints() []countersign.Endpoint {
	return []countersign.Endpoint{{Method: "GET", Path: d.Path}, {Method: "HEAD", Path: d.Path}}
}
