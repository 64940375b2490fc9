package register

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/countersign"
)

// Question is what a selector looks at: the request as the provider's gateway verified it.
type Question struct {
	// Var is the variable of the endpoint's pattern that the selector names, from the decoded, cleaned path; empty for none.
	Var    string
	Query  string // raw, without '?'
	Header http.Header
	Body   []byte
}

// Selector finds the one person that a question is about.
type Selector struct {
	rule    countersign.Selector
	pointer []string // tokens of a body's JSON pointer
	people  *People
}

// CompileSelector reads a service's selector; class is the strictest of its categories. It refuses with CodeBadRequest a personal
// service without a selector, and a selector that cannot find exactly one person in each of the service's endpoints (A02).
func CompileSelector(s *countersign.Service, class countersign.Class) (*Selector, error) {
	bad := func(format string, args ...any) (*Selector, error) {
		r := countersign.Refuse(countersign.CodeBadRequest, format, args...)
		return nil, countersign.Refuse(countersign.CodeBadRequest, "service %s, subject: %s", s.ID, r.Message)
	}
	sel := &Selector{rule: s.Subject}
	switch none := s.Subject.From == countersign.SubjectNone; {
	case none && class.Rank() != countersign.ClassOpen.Rank():
		return bad("%q is only for services of class O: say where the person is found", s.Subject.From)
	case !none && s.Subject.Scheme == "":
		return bad("scheme is missing: name the scheme of the person's identifier")
	}
	switch s.Subject.From {
	case countersign.SubjectNone:
		if s.Subject.In != "" || s.Subject.Name != "" || s.Subject.Scheme != "" {
			return bad("a service without a subject has no in, name or scheme")
		}
		return sel, nil
	case countersign.SubjectInAnswer:
		if s.Subject.In != "" {
			return bad("a subject in the answer has no in: name is the field path of every person in it")
		}
		var err error
		if sel.people, err = CompilePeople([]countersign.FieldPath{countersign.FieldPath(s.Subject.Name)}); err != nil {
			return bad("name: %s", countersign.MessageOf(err))
		}
		return sel, nil
	case countersign.SubjectInRequest:
	default:
		return bad("from is %q: it is request, answer or none", s.Subject.From)
	}

	name := s.Subject.Name
	if name == "" {
		return bad("name is missing")
	}
	switch s.Subject.In {
	case "path":
		if len(s.Endpoints) == 0 {
			return bad("the service has no endpoint whose path could hold {%s}", name)
		}
		for _, e := range s.Endpoints {
			if n := strings.Count("/"+e.Path+"/", "/{"+name+"}/"); n != 1 {
				return bad("endpoint %s %s holds the segment {%s} %d times: it is once", e.Method, e.Path, name, n)
			}
		}
	case "query":
	case "header":
		if sel.rule.Name = textproto.CanonicalMIMEHeaderKey(name); strings.ContainsAny(sel.rule.Name, " \t\r\n:") {
			return bad("name is not the name of a header")
		}
	case "body":
		p := jsontext.Pointer(name)
		if !p.IsValid() {
			return bad("name is not a JSON pointer (RFC 6901)")
		}
		for t := range p.Tokens() {
			if t == "*" {
				return bad("name holds *: a request names one person")
			}
			sel.pointer = append(sel.pointer, t)
		}
		for _, e := range s.Endpoints {
			switch e.Method {
			case http.MethodPost, http.MethodPut, http.MethodPatch:
			default:
				return bad("endpoint %s %s has no body that could name a person", e.Method, e.Path)
			}
		}
	default:
		return bad("in is %q: it is path, query, header or body", s.Subject.In)
	}
	return sel, nil
}

// From says where the person is found.
func (s *Selector) From() countersign.SelectorFrom { return s.rule.From }

// Scheme is the scheme of the identifier, empty where there is no person.
func (s *Selector) Scheme() countersign.SchemeName { return s.rule.Scheme }

// Subject gives the identifier of the one person that a request names, as it is spelled there: Scheme.Normalise makes it canonical. It is
// empty for selectors other than request. A request that names nobody, several, or that two readers could understand differently, is a
// CodeNoSubject refusal, which does not repeat the value.
func (s *Selector) Subject(q *Question) (string, error) {
	if s.rule.From != countersign.SubjectInRequest {
		return "", nil
	}
	var value string
	var err error
	switch s.rule.In {
	case "path":
		value = q.Var
	case "query":
		value, err = fromQuery(q.Query, s.rule.Name)
	case "header":
		value, err = fromHeader(q.Header, s.rule.Name)
	case "body":
		value, err = s.fromBody(q)
	}
	if err != nil {
		return "", err
	}
	if why := notOnePerson(value); why != "" {
		return "", s.refuse(why)
	}
	return value, nil
}

// People gives the identifiers of every person in an answer, for selectors of that kind. An answer in which nobody is found is a
// CodeUnfilterable refusal: it may not leave, and the question was in order.
func (s *Selector) People(body []byte) ([]string, error) {
	if s.people == nil {
		return nil, countersign.Refuse(countersign.CodeInternal, "the service's subject is not looked for in its answers")
	}
	found, err := s.people.Find(body)
	if err == nil && len(found) == 0 {
		return nil, unfilterable("the register's answer names no person, so nobody can be told about it")
	}
	return found, err
}

func (s *Selector) refuse(why string) error {
	return noSubject("the person in the request's %s %q: %s", s.rule.In, s.rule.Name, why)
}

func noSubject(format string, args ...any) error {
	return countersign.Refuse(countersign.CodeNoSubject, format, args...)
}

// notOnePerson tells why a value cannot be the identifier of one person, whatever the scheme.
func notOnePerson(v string) string {
	switch {
	case v == "":
		return "it is missing: a question names one person"
	case len(v) > 128:
		return "it is longer than 128 bytes"
	case !utf8.ValidString(v):
		return "it is not UTF-8"
	case strings.Trim(v, "_") == "", strings.ContainsAny(v, "*%?"):
		return "it holds a wildcard: a question names one person"
	case strings.ContainsAny(v, ",;|"), strings.ContainsFunc(v, unicode.IsSpace):
		return "it is a list: a question names one person"
	case strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it holds invisible characters"
	}
	return ""
}

func fromQuery(raw, name string) (string, error) {
	if strings.IndexByte(raw, ';') >= 0 {
		return "", noSubject("the query holds ';', which some readers take for '&': encode it")
	}
	var value string
	found := 0
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err != nil {
			return "", noSubject("the query cannot be read: its percent encoding is broken")
		}
		if key != name {
			// pin[]=, pin.x= and PIN= are the same parameter to some services.
			if len(key) >= len(name) && strings.EqualFold(key[:len(name)], name) &&
				(len(key) == len(name) || strings.ContainsRune("[. ", rune(key[len(name)]))) {
				return "", noSubject("the query parameter %q is given in another spelling as well", name)
			}
			continue
		}
		if value, err = url.QueryUnescape(v); err != nil {
			return "", noSubject("the query parameter %q cannot be read: its percent encoding is broken", name)
		}
		found++
	}
	if found > 1 {
		return "", noSubject("the query parameter %q is given %d times: a question names one person", name, found)
	}
	return value, nil
}

func fromHeader(h http.Header, name string) (string, error) {
	v := h[name]
	if len(v) > 1 {
		return "", noSubject("the header %q is given %d times: a question names one person", name, len(v))
	}
	if len(v) == 0 {
		return "", nil
	}
	return v[0], nil
}

// fromBody finds the string at the pointer. The whole body is read, so that a duplicate key anywhere refuses it.
func (s *Selector) fromBody(q *Question) (string, error) {
	if len(q.Body) == 0 {
		return "", s.refuse("there is no body")
	}
	if err := checkJSONRequest(q.Header); err != nil {
		return "", err
	}
	if err := checkDepth(q.Body); err != nil {
		return "", s.refuse(countersign.MessageOf(err))
	}
	r := readJSON(q.Body)
	defer r.release()
	value, err := s.at(&r.dec, s.pointer)
	if err != nil {
		if countersign.CodeOf(err) == countersign.CodeNoSubject {
			return "", err
		}
		return "", s.refuse(countersign.MessageOf(syntax(err)))
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return "", s.refuse("the body goes on after its JSON document")
	}
	return value, nil
}

func (s *Selector) at(d *jsontext.Decoder, tokens []string) (value string, err error) {
	kind := d.PeekKind()
	if len(tokens) == 0 {
		raw, err := d.ReadValue()
		if err != nil {
			return "", err
		}
		if kind != jsontext.KindString {
			return "", s.refuse("it is not one JSON string")
		}
		b, err := jsontext.AppendUnquote(nil, raw)
		return string(b), err
	}
	if kind != jsontext.KindBeginObject {
		if _, err := d.ReadValue(); err != nil {
			return "", err
		}
		return "", s.refuse("the body has no object on the way to it")
	}
	if _, err := d.ReadToken(); err != nil {
		return "", err
	}
	for d.PeekKind() != jsontext.KindEndObject {
		raw, err := d.ReadValue()
		if err != nil {
			return "", err
		}
		key := raw[1 : len(raw)-1]
		if bytes.IndexByte(raw, '\\') >= 0 {
			if key, err = jsontext.AppendUnquote(nil, raw); err != nil {
				return "", err
			}
		}
		switch {
		case string(key) == tokens[0]:
			if value, err = s.at(d, tokens[1:]); err != nil {
				return "", err
			}
			continue
		case strings.EqualFold(string(key), tokens[0]):
			return "", s.refuse("a key on the way to it is given in another spelling as well")
		}
		if _, err := d.ReadValue(); err != nil {
			return "", err
		}
	}
	_, err = d.ReadToken()
	return value, err
}
