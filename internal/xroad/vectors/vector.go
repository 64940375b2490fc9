// Package vectors runs the protocol vectors of docs/spec/vectors/xroad against a running pair of gateways, over sockets and byte by byte:
// what a client sends, what it must get, and what the provider's service must have received.
package vectors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Vector is one request with its expectation. Texts may hold variables such as {{CLIENT}}; see [Env].
type Vector struct {
	Name   string `yaml:"name"`
	Proves string `yaml:"proves"` // the line of the protocol that the vector proves
	File   string `yaml:"-"`      // where it was loaded from

	Bare    bool     `yaml:"bare"`    // without the file's default headers
	Times   int      `yaml:"times"`   // how often it is sent, each time on a new connection; once where absent
	Request *Request `yaml:"request"` // either a request
	Raw     []Piece  `yaml:"raw"`     // or literal bytes on the wire
	Expect  Expect   `yaml:"expect"`

	defaults []string
}

// Request is a request that the runner writes as it stands: headers in order, duplicates and all. It adds Host, "Connection: close" and, for
// a body, Content-Length or Transfer-Encoding.
type Request struct {
	Method  string   `yaml:"method"`
	Target  string   `yaml:"target"`
	Headers []string `yaml:"headers"` // "Name: value"
	Body    []Piece  `yaml:"body"`
	Gzip    bool     `yaml:"gzip"`    // compress the body; the vector states Content-Encoding itself
	Chunked bool     `yaml:"chunked"` // send the body in chunks, without its length
}

// Piece is a text, repeated. A piece of raw bytes may hold any escape that YAML knows in double quotes.
type Piece struct {
	Text  string `yaml:"text"`
	Times int    `yaml:"times"` // once where absent
}

// Expect is what must come of a vector. What is absent is not checked, but for this: a vector never brings more answers than requests.
type Expect struct {
	Status         []int               `yaml:"status"`          // any of these
	Closed         bool                `yaml:"closed"`          // a connection closed without an answer will do as well
	Error          []string            `yaml:"error"`           // X-Road-Error, any of these; the body's type is the same, its detail a UUID
	Code           []string            `yaml:"code"`            // Countersign-Error, any of these
	NoError        bool                `yaml:"no_error"`        // the answer is the service's: no X-Road-Error
	Headers        map[string]string   `yaml:"headers"`         // equal
	HeadersMatch   map[string]string   `yaml:"headers_match"`   // match the whole value
	HeadersPresent []string            `yaml:"headers_present"` //
	HeadersAbsent  []string            `yaml:"headers_absent"`  //
	HeadersDiffer  []string            `yaml:"headers_differ"`  // between the times that it is sent
	HeadersValues  map[string][]string `yaml:"headers_values"`  // all values of a name, in order
	RequestHash    bool                `yaml:"request_hash"`    // the answer's hash is the one that the client computes itself
	JSON           any                 `yaml:"json"`            // a subset of the body; a text that begins with re: is a pattern
	Body           *string             `yaml:"body"`            // the whole body
	BodyMatch      string              `yaml:"body_match"`      // a pattern somewhere in the body
	BodyNoMatch    string              `yaml:"body_no_match"`   // a pattern nowhere in the body
	BodyLength     *int                `yaml:"body_length"`     // bytes
	Upstream       *Arrived            `yaml:"upstream"`        // what the service received under the vector's mark
	Alive          bool                `yaml:"alive"`           // afterwards the gateway answers an ordinary request
}

// Arrived is what the service must have received.
type Arrived struct {
	Count          *int                `yaml:"count"` // requests under the mark; as many as were sent where absent
	Mark           string              `yaml:"mark"`  // another mark than the vector's
	Method         string              `yaml:"method"`
	Target         string              `yaml:"target"` // path and query as they came over the wire
	Headers        map[string]string   `yaml:"headers"`
	HeadersMatch   map[string]string   `yaml:"headers_match"`
	HeadersPresent []string            `yaml:"headers_present"`
	HeadersAbsent  []string            `yaml:"headers_absent"`
	HeadersValues  map[string][]string `yaml:"headers_values"`
	Body           *string             `yaml:"body"`
	BodyLength     *int                `yaml:"body_length"`
}

type file struct {
	Defaults struct {
		Headers []string `yaml:"headers"`
	} `yaml:"defaults"`
	Vectors []Vector `yaml:"vectors"`
}

// Load reads every *.yaml file of a folder, in the order of their names. Unknown keys, vectors without a name, a line proved or an
// expectation, and names used twice are errors.
func Load(fsys fs.FS) ([]Vector, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []Vector
	seen := map[string]string{}
	for _, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		var f file
		if err := yaml.UnmarshalWithOptions(b, &f, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, v := range f.Vectors {
			v.File, v.defaults = path.Base(name), f.Defaults.Headers
			if err := v.check(); err != nil {
				return nil, fmt.Errorf("%s: vector %q: %w", name, v.Name, err)
			}
			if other, ok := seen[v.Name]; ok {
				return nil, fmt.Errorf("%s: vector %q stands in %s already: name it otherwise", name, v.Name, other)
			}
			seen[v.Name] = name
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no vectors: the folder holds no *.yaml file with any")
	}
	return all, nil
}

func (v *Vector) check() error {
	e := &v.Expect
	switch {
	case v.Name == "":
		return errors.New("it has no name")
	case v.Proves == "":
		return errors.New("it proves no line of the protocol")
	case (v.Request == nil) == (len(v.Raw) == 0):
		return errors.New("give either request or raw")
	case v.Request != nil && (v.Request.Method == "" || v.Request.Target == ""):
		return errors.New("the request has no method or target")
	case len(e.Status) == 0 && !e.Closed:
		return errors.New("it expects no status")
	case len(e.HeadersDiffer) > 0 && v.Times < 2:
		return errors.New("headers_differ needs times: 2 or more")
	case e.RequestHash && v.Request == nil:
		return errors.New("request_hash needs a request, not raw bytes")
	}
	for _, patterns := range []map[string]string{e.HeadersMatch, upstreamOf(e).HeadersMatch, {"body_match": e.BodyMatch, "body_no_match": e.BodyNoMatch}} {
		for _, p := range patterns {
			if _, err := regexp.Compile(variable.ReplaceAllString(p, "x")); err != nil {
				return err
			}
		}
	}
	return nil
}

func upstreamOf(e *Expect) Arrived {
	if e.Upstream == nil {
		return Arrived{}
	}
	return *e.Upstream
}

var variable = regexp.MustCompile(`\{\{([A-Z][A-Z0-9_]*)\}\}`)

// Variables lists the variables that a set of vectors needs, {{MARK}} and {{HOST}} excepted, which the runner makes.
func Variables(set []Vector) []string {
	found := map[string]bool{}
	for _, v := range set {
		x := expander{vars: nil, missing: found}
		x.vector(v)
	}
	delete(found, "MARK")
	delete(found, "HOST")
	return slices.Sorted(maps.Keys(found))
}

// expander replaces variables and collects those that it does not know.
type expander struct {
	vars    map[string]string
	missing map[string]bool
}

func (x expander) replace(s string, quote func(string) string) string {
	if !strings.Contains(s, "{{") {
		return s
	}
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		value, ok := x.vars[m[2:len(m)-2]]
		if !ok {
			x.missing[m[2:len(m)-2]] = true
		}
		return quote(value)
	})
}

func (x expander) text(s string) string    { return x.replace(s, func(s string) string { return s }) }
func (x expander) pattern(s string) string { return x.replace(s, regexp.QuoteMeta) }

func (x expander) texts(in []string) []string { return mapped(in, x.text) }

func mapped(in []string, f func(string) string) []string {
	if in == nil {
		return nil
	}
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = f(s)
	}
	return out
}

func mappedValues(in map[string]string, f func(string) string) map[string]string {
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[k] = f(v)
	}
	return out
}

func (x expander) lists(in map[string][]string) map[string][]string {
	out := make(map[string][]string, len(in))
	for k, v := range in {
		out[k] = x.texts(v)
	}
	return out
}

func (x expander) pieces(in []Piece) []Piece {
	out := slices.Clone(in)
	for i := range out {
		out[i].Text = x.text(out[i].Text)
	}
	return out
}

func (x expander) whole(s *string) *string {
	if s == nil {
		return nil
	}
	t := x.text(*s)
	return &t
}

func (x expander) value(v any) any {
	switch v := v.(type) {
	case string:
		if p, ok := strings.CutPrefix(v, "re:"); ok {
			return "re:" + x.pattern(p)
		}
		return x.text(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = x.value(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = x.value(e)
		}
		return out
	}
	return v
}

func (x expander) vector(v Vector) Vector {
	v.Raw = x.pieces(v.Raw)
	v.defaults = x.texts(v.defaults)
	if v.Request != nil {
		r := *v.Request
		r.Method, r.Target, r.Headers, r.Body = x.text(r.Method), x.text(r.Target), x.texts(r.Headers), x.pieces(r.Body)
		v.Request = &r
	}
	e := &v.Expect
	e.Headers, e.HeadersMatch, e.HeadersValues = mappedValues(e.Headers, x.text), mappedValues(e.HeadersMatch, x.pattern), x.lists(e.HeadersValues)
	e.JSON, e.Body, e.BodyMatch, e.BodyNoMatch = x.value(e.JSON), x.whole(e.Body), x.pattern(e.BodyMatch), x.pattern(e.BodyNoMatch)
	if e.Upstream != nil {
		u := *e.Upstream
		u.Mark, u.Target, u.Headers, u.HeadersMatch, u.HeadersValues = x.text(u.Mark), x.text(u.Target), mappedValues(u.Headers, x.text), mappedValues(u.HeadersMatch, x.pattern), x.lists(u.HeadersValues)
		u.Body = x.whole(u.Body)
		e.Upstream = &u
	}
	return v
}
