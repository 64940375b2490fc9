package httpsig

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"
)

// FieldKind is the type of a structured field, which its name implies and its value does not always show.
type FieldKind int

// The three kinds of RFC 9651. The zero value is a field that is not known to be structured.
const (
	Unstructured FieldKind = iota
	ItemField
	ListField
	DictionaryField
)

// Source is a message as the whole of RFC 9421 sees it. [Profile] needs only a [Message]; Source serves [Base].
type Source struct {
	Method    string
	Scheme    string // lower case
	Authority string // as the Host header or :authority has it
	Target    string // the request target as it travels
	Path      string // percent-encoded
	Query     string // without the question mark
	Status    int    // of a response
	Header    http.Header
	Trailer   http.Header
	Request   *Source              // the request that a response answers, for components with the req parameter
	Kinds     map[string]FieldKind // of structured fields, by lower-case name
}

// Base makes the signature base of RFC 9421 for any list of covered components with its parameters: every derived component and every component
// parameter of the RFC. It is the plain, slow reading of the standard against which the profile's fast path is tested and by which signatures
// of other software are examined; messages between gateways go through [Profile] alone.
func Base(input httpsfv.InnerList, s *Source) ([]byte, error) {
	var b []byte
	seen := map[string]bool{}
	for _, item := range input.Items {
		if item.Params == nil {
			item.Params = httpsfv.NewParams()
		}
		id, err := httpsfv.Marshal(item)
		if err != nil {
			return nil, refuse("a component identifier cannot be written: %s", err)
		}
		// SPEC: RFC 9421 2.5: each covered component identifier occurs only once. Parameters in another order make no other component.
		key := identity(item)
		if seen[key] {
			return nil, refuse("component %s is covered twice", id)
		}
		seen[key] = true
		value, err := s.component(item)
		if err != nil {
			return nil, err
		}
		if err := checkValue([]byte(value), id); err != nil {
			return nil, err
		}
		b = append(b, id+": "+value+"\n"...)
	}
	if input.Params == nil {
		input.Params = httpsfv.NewParams()
	}
	params, err := httpsfv.Marshal(httpsfv.List{input})
	if err != nil {
		return nil, refuse("the signature parameters cannot be written: %s", err)
	}
	return append(b, `"@signature-params": `+params...), nil
}

func identity(item httpsfv.Item) string {
	name, _ := item.Value.(string)
	flags := []string{name}
	for _, p := range []string{"bs", "key", "name", "req", "sf", "tr"} {
		if v, ok := item.Params.Get(p); ok {
			text, _ := v.(string)
			flags = append(flags, p+"="+text)
		}
	}
	return strings.Join(flags, "\x00")
}

// component finds one component's value.
func (s *Source) component(item httpsfv.Item) (string, error) {
	name, ok := item.Value.(string)
	if !ok || name == "" || name != strings.ToLower(name) {
		return "", refuse("a component identifier is a string in lower case")
	}
	var p componentParams
	if err := p.read(name, item.Params); err != nil {
		return "", err
	}
	if p.req {
		if s.Request == nil {
			return "", refuse("component %q is of the request, and there is none", name)
		}
		s = s.Request
	}
	if strings.HasPrefix(name, "@") {
		return s.derived(name, &p)
	}
	return s.field(name, &p)
}

// componentParams are the parameters of RFC 9421 2.1 and 2.2.8, 2.4.
type componentParams struct {
	sf, bs, tr, req bool
	key, name       *string
}

// SPEC: RFC 9421 2.5: a component parameter that is not understood, or does not belong to the component, is an error.
func (p *componentParams) read(component string, params *httpsfv.Params) error {
	for _, k := range params.Names() {
		v, _ := params.Get(k)
		text, isText := v.(string)
		flag, isFlag := v.(bool)
		isFlag = isFlag && flag
		field := !strings.HasPrefix(component, "@")
		switch {
		case k == "req" && isFlag:
			p.req = true
		case k == "sf" && isFlag && field:
			p.sf = true
		case k == "bs" && isFlag && field:
			p.bs = true
		case k == "tr" && isFlag && field:
			p.tr = true
		case k == "key" && isText && field:
			p.key = &text
		case k == "name" && isText && component == "@query-param":
			p.name = &text
		default:
			return refuse("component %q does not take the parameter %s", component, k)
		}
	}
	// SPEC: RFC 9421 2.1: bs is incompatible with sf and key.
	if p.bs && (p.sf || p.key != nil) {
		return refuse("component %q: bs excludes sf and key", component)
	}
	return nil
}

// derived finds a derived component. SPEC: RFC 9421 2.2.
func (s *Source) derived(name string, p *componentParams) (string, error) {
	request := s.Method != ""
	switch {
	case name == "@status" && !request && s.Status >= 100 && s.Status <= 999:
		return strconv.Itoa(s.Status), nil
	case !request:
	case name == "@method":
		return s.Method, nil
	case name == "@target-uri":
		uri := s.Scheme + "://" + s.authority() + s.path()
		if s.Query != "" {
			uri += "?" + s.Query
		}
		return uri, nil
	case name == "@authority":
		return s.authority(), nil
	case name == "@scheme":
		return strings.ToLower(s.Scheme), nil
	case name == "@request-target":
		return s.Target, nil
	case name == "@path":
		return s.path(), nil
	case name == "@query":
		return "?" + s.Query, nil
	case name == "@query-param" && p.name != nil:
		return s.queryParam(*p.name)
	}
	return "", refuse("component %q does not belong to this message", name)
}

func (s *Source) path() string {
	if s.Path == "" {
		return "/"
	}
	return s.Path
}

// SPEC: RFC 9421 2.2.3: the host is in lower case and the default port is omitted.
func (s *Source) authority() string {
	a := strings.ToLower(s.Authority)
	switch strings.ToLower(s.Scheme) {
	case "https":
		return strings.TrimSuffix(a, ":443")
	case "http":
		return strings.TrimSuffix(a, ":80")
	}
	return a
}

// SPEC: RFC 9421 2.2.8: names and values are parsed as HTML forms and percent-encoded anew; a name that occurs several times cannot be covered.
func (s *Source) queryParam(name string) (string, error) {
	found, value := 0, ""
	for pair := range strings.SplitSeq(s.Query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		key, err1 := url.QueryUnescape(k)
		val, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			return "", refuse("component @query-param: the query is not percent-encoded")
		}
		if pair != "" && formEncode(key) == name {
			found, value = found+1, formEncode(val)
		}
	}
	if found != 1 {
		return "", refuse("component @query-param: %q occurs %d times: once is due", name, found)
	}
	return value, nil
}

// formEncode percent-encodes by the URL standard's application/x-www-form-urlencoded set, with %20 for a space.
func formEncode(s string) string {
	return strings.NewReplacer("+", "%20", "~", "%7E", "%2A", "*").Replace(url.QueryEscape(s))
}

// field finds the value of a header or trailer field. SPEC: RFC 9421 2.1.
func (s *Source) field(name string, p *componentParams) (string, error) {
	header := s.Header
	if p.tr {
		header = s.Trailer
	}
	lines := header[textproto.CanonicalMIMEHeaderKey(name)]
	if len(lines) == 0 {
		return "", refuse("component %q: the message has no such field", name)
	}
	values := make([]string, len(lines))
	for i, line := range lines {
		values[i] = strings.Trim(line, " \t")
	}
	switch {
	case p.bs:
		for i, v := range values {
			values[i] = ":" + base64.StdEncoding.EncodeToString([]byte(v)) + ":"
		}
	case p.key != nil:
		return member(name, *p.key, values)
	case p.sf:
		return s.structured(name, values)
	}
	return strings.Join(values, ", "), nil
}

// member serialises one member of a dictionary. SPEC: RFC 9421 2.1.2.
func member(name, key string, values []string) (string, error) {
	dictionary, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return "", refuse("component %q: the field is no dictionary", name)
	}
	value, ok := dictionary.Get(key)
	if !ok {
		return "", refuse("component %q: the dictionary has no member %q", name, key)
	}
	var text string
	switch v := value.(type) {
	case httpsfv.Item:
		text, err = httpsfv.Marshal(v)
	case httpsfv.InnerList:
		text, err = httpsfv.Marshal(httpsfv.List{v})
	}
	if err != nil {
		return "", refuse("component %q: the member %q cannot be written", name, key)
	}
	return text, nil
}

// structured serialises a whole structured field strictly. SPEC: RFC 9421 2.1.1: its type must be known.
func (s *Source) structured(name string, values []string) (string, error) {
	var parsed httpsfv.StructuredFieldValue
	var err error
	switch s.Kinds[name] {
	case ItemField:
		parsed, err = httpsfv.UnmarshalItem(values)
	case ListField:
		parsed, err = httpsfv.UnmarshalList(values)
	case DictionaryField:
		parsed, err = httpsfv.UnmarshalDictionary(values)
	case Unstructured:
		return "", refuse("component %q: sf needs a field that is known to be structured", name)
	}
	if err != nil {
		return "", refuse("component %q: the field is not of its structured type", name)
	}
	text, err := httpsfv.Marshal(parsed)
	if err != nil {
		return "", refuse("component %q: the field cannot be written", name)
	}
	return text, nil
}
