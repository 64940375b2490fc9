package register

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"countersign.dev/countersign"
)

func service(from countersign.SelectorFrom, in, name string, endpoints ...countersign.Endpoint) *countersign.Service {
	s := &countersign.Service{Subject: countersign.Selector{From: from, In: in, Name: name}, Endpoints: endpoints}
	if from != countersign.SubjectNone {
		s.Subject.Scheme = "pin"
	}
	return s
}

func get(path string) countersign.Endpoint { return countersign.Endpoint{Method: "GET", Path: path} }

func post(path string) countersign.Endpoint { return countersign.Endpoint{Method: "POST", Path: path} }

// A02: a personal service that cannot say which one person a question is about cannot be registered.
func TestSelectorsThatCannotBeRegistered(t *testing.T) {
	withoutScheme := service("request", "path", "pin", get("/{pin}"))
	withoutScheme.Subject.Scheme = ""
	for name, s := range map[string]*countersign.Service{
		"zero":                {},
		"none":                service("none", "", ""),
		"unknown from":        service("both", "path", "pin", get("/{pin}")),
		"no scheme":           withoutScheme,
		"no name":             service("request", "path", "", get("/{pin}")),
		"unknown place":       service("request", "cookie", "pin"),
		"no endpoint":         service("request", "path", "pin"),
		"endpoint without it": service("request", "path", "pin", get("/persons/{pin}"), get("/persons")),
		"endpoint with two":   service("request", "path", "pin", get("/{pin}/and/{pin}")),
		"part of a segment":   service("request", "path", "pin", get("/persons/x{pin}")),
		"body by GET":         service("request", "body", "/pin", get("/persons")),
		"body not a pointer":  service("request", "body", "pin", post("/persons")),
		"body by star":        service("request", "body", "/people/*/pin", post("/persons")),
		"header name":         service("request", "header", "a b"),
		"answer with place":   service("answer", "body", "/owner/pin"),
		"answer not a path":   service("answer", "", "owner"),
		"answer without name": service("answer", "", "*"),
	} {
		if _, err := CompileSelector(s, countersign.ClassRelation); !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, class := range []countersign.Class{"", countersign.ClassRelation, countersign.ClassConsent, countersign.ClassConsentWarrant, countersign.ClassWarrant, countersign.ClassNever, "X"} {
		if _, err := CompileSelector(service("none", "", ""), class); !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("none in class %q: %v", class, err)
		}
	}
	sel, err := CompileSelector(service("none", "", ""), countersign.ClassOpen)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := sel.Subject(&Question{}); who != "" || err != nil || sel.From() != countersign.SubjectNone {
		t.Errorf("class O: %q %v", who, err)
	}
}

func TestSubjectOfARequest(t *testing.T) {
	const pin = "4B7QX2Z"
	path := service("request", "path", "pin", get("/persons/{pin}"))
	query := service("request", "query", "pin")
	header := service("request", "header", "x-person")
	body := service("request", "body", "/about/person~1pin", post("/search"))
	vars := func(v string) *Question { return &Question{Var: v} }
	q := func(raw string) *Question { return &Question{Query: raw} }
	h := func(v ...string) *Question { return &Question{Header: http.Header{"X-Person": v}} }
	json := http.Header{"Content-Type": {"application/json"}}
	b := func(raw string) *Question { return &Question{Header: json, Body: []byte(raw)} }
	typed := func(raw string, types ...string) *Question {
		return &Question{Header: http.Header{"Content-Type": types}, Body: []byte(raw)}
	}
	for _, c := range []struct {
		service *countersign.Service
		q       *Question
		want    string // empty: CodeNoSubject
		code    countersign.Code
	}{
		{path, vars(pin), pin, ""},
		{path, vars("4b7-qx2z"), "4b7-qx2z", ""}, // the scheme normalises
		{path, vars("ə_1"), "ə_1", ""},
		{path, &Question{}, "", ""},
		{path, vars(""), "", ""},
		{path, vars("*"), "", ""},
		{path, vars("4B7*"), "", ""},
		{path, vars("4B7%"), "", ""},
		{path, vars("_"), "", ""},
		{path, vars("____"), "", ""},
		{path, vars("4B7QX2?"), "", ""},
		{path, vars(pin + "," + pin), "", ""},
		{path, vars(pin + " " + pin), "", ""},
		{path, vars(pin + ";" + pin), "", ""},
		{path, vars(pin + "|" + pin), "", ""},
		{path, vars(pin + "\u00a0" + pin), "", ""},
		{path, vars(pin + "\n"), "", ""},
		{path, vars(pin + "\u200b"), "", ""},
		{path, vars(pin + "\x00"), "", ""},
		{path, vars("\xff"), "", ""},
		{path, vars(strings.Repeat("4", 129)), "", ""},

		{query, q("pin=" + pin), pin, ""},
		{query, q("a=b&pin=4B7%51X2Z&c"), pin, ""},
		{query, q("p%69n=" + pin), pin, ""},
		{query, q("pinned=1&pin=" + pin), pin, ""},
		{query, q(""), "", ""},
		{query, q("pin"), "", ""},
		{query, q("pin="), "", ""},
		{query, q("pin=" + pin + "&pin=" + pin), "", ""},
		{query, q("pin=" + pin + "&p%69n=x"), "", ""},
		{query, q("pin=" + pin + "&PIN=x"), "", ""},
		{query, q("pin=" + pin + "&pin[]=x"), "", ""},
		{query, q("pin=" + pin + "&pin%5B0%5D=x"), "", ""},
		{query, q("pin=" + pin + "&pin.or=x"), "", ""},
		{query, q("pin=" + pin + "&pin%20=x"), "", ""},
		{query, q("pin=" + pin + ";pin=x"), "", ""},
		{query, q("pin=" + pin + "%2Cx"), "", ""},
		{query, q("pin=" + pin + "+x"), "", ""},
		{query, q("pin=%"), "", ""},
		{query, q("%=1&pin=" + pin), "", ""},
		{query, q("pin=%2A"), "", ""},

		{header, h(pin), pin, ""},
		{header, h(), "", ""},
		{header, h(""), "", ""},
		{header, h(pin, pin), "", ""},
		{header, h(pin + ", " + pin), "", ""},

		{body, b(`{"about":{"person/pin":"4B7QX2Z","x":[1]},"y":2}`), pin, ""},
		{body, b(`{"about":{"person\/p\u0069n":"4B7\u0051X2Z"}}`), pin, ""},
		{body, b(``), "", ""},
		{body, b(`{}`), "", ""},
		{body, b(`{"about":null}`), "", ""},
		{body, b(`{"about":[{"person/pin":"4B7QX2Z"}]}`), "", ""},
		{body, b(`[{"about":{"person/pin":"4B7QX2Z"}}]`), "", ""},
		{body, b(`{"about":{"person/pin":["4B7QX2Z"]}}`), "", ""},
		{body, b(`{"about":{"person/pin":4}}`), "", ""},
		{body, b(`{"about":{"person/pin":{"$ne":""}}}`), "", ""},
		{body, b(`{"about":{"person/pin":"*"}}`), "", ""},
		{body, b(`{"about":{"person/pin":"4B7QX2Z","person/pin":"x"}}`), "", ""},
		{body, b(`{"about":{"person/pin":"4B7QX2Z"},"about":{}}`), "", ""},
		{body, b(`{"about":{"person/pin":"4B7QX2Z"},"z":{"k":1,"k":2}}`), "", ""},
		{body, b(`{"about":{"person/pin":"4B7QX2Z","Person/PIN":"x"}}`), "", ""},
		{body, b(`{"About":{"person/pin":"x"},"about":{"person/pin":"4B7QX2Z"}}`), "", ""},
		{body, b(`{"about":{"person/pin":"4B7QX2Z"}}{}`), "", ""},
		{body, b(`{"about":{"person/pin":"4B7QX2Z"}`), "", ""},
		{body, b(strings.Repeat(`{"about":`, 65) + "1" + strings.Repeat("}", 65)), "", ""},
		{body, typed(`{"about":{"person/pin":"4B7QX2Z"}}`), "", countersign.CodeUnsupportedMedia},
		{body, typed(`{"about":{"person/pin":"4B7QX2Z"}}`, "text/plain"), "", countersign.CodeUnsupportedMedia},
		{body, typed(`{"about":{"person/pin":"4B7QX2Z"}}`, "application/json", "text/plain"), "", countersign.CodeUnsupportedMedia},
	} {
		sel, err := CompileSelector(c.service, countersign.ClassRelation)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sel.Subject(c.q)
		if c.want != "" {
			if err != nil || got != c.want {
				t.Errorf("%s, %+v: %q %v", c.service.Subject.In, c.q, got, err)
			}
			continue
		}
		code := c.code
		if code == "" {
			code = countersign.CodeNoSubject
		}
		if countersign.CodeOf(err) != code || got != "" {
			t.Errorf("%s, %+v %s: got %q, %v, want %s", c.service.Subject.In, c.q.Var, c.q.Body, got, err, code)
		}
		if err != nil && (strings.Contains(err.Error(), "4B7") || strings.Contains(err.Error(), "4444")) {
			t.Errorf("the error names the person: %v", err)
		}
	}
}

func TestSubjectOfAnAnswer(t *testing.T) {
	sel, err := CompileSelector(service("answer", "", "/owners/*/pin"), countersign.ClassRelation)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := sel.Subject(&Question{Var: "x"}); who != "" || err != nil {
		t.Errorf("in the request: %q %v", who, err)
	}
	for body, want := range map[string][]string{
		`{"owners":[{"pin":"a"},{"pin":"b"},{"x":1},{"pin":null},{"pin":"a"}]}`: {"a", "b"},
		`{"owners":[{"pin":12345678901},{"pin":"\u0061"}]}`:                     {"12345678901", "a"},
	} {
		if who, err := sel.People([]byte(body)); err != nil || !slices.Equal(who, want) {
			t.Errorf("%s: %q %v", body, who, err)
		}
	}
	for body, code := range map[string]countersign.Code{
		``: countersign.CodeUnfilterable, `{}`: countersign.CodeUnfilterable, `{"owners":[]}`: countersign.CodeUnfilterable, `{"owners":[{"pin":null}]}`: countersign.CodeUnfilterable,
		`{"owners":[{"pin":["a"]}]}`: countersign.CodeUnfilterable, `{"owners":[{"pin":{"v":"a"}}]}`: countersign.CodeUnfilterable,
		`{"owners":[{"pin":1.5}]}`: countersign.CodeUnfilterable, `{"owners":[{"pin":-1}]}`: countersign.CodeUnfilterable, `{"owners":[{"pin":true}]}`: countersign.CodeUnfilterable,
		`{"owners":[{"pin":"a,b"}]}`: countersign.CodeUnfilterable, `{"owners":[{"pin":""}]}`: countersign.CodeUnfilterable,
		`{"owners":[{"pin":"a","pin":"b"}]}`: countersign.CodeUnfilterable, `{"owners":[{"pin":"a"}]} x`: countersign.CodeUnfilterable, `{"owners":`: countersign.CodeUnfilterable,
		`{"owners":[` + strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70) + `]}`: countersign.CodeUnfilterable,
	} {
		if who, err := sel.People([]byte(body)); countersign.CodeOf(err) != code || err == nil || who != nil {
			t.Errorf("%s: %q %v, want %s", body, who, err, code)
		}
	}
	var many strings.Builder
	for i := range maxPeople + 1 {
		many.WriteString(`{"pin":"p` + strings.Repeat("1", i%100) + strings.Repeat("2", i/100) + `"},`)
	}
	if _, err := sel.People([]byte(`{"owners":[` + strings.TrimSuffix(many.String(), ",") + `]}`)); !errors.Is(err, countersign.CodeUnfilterable) {
		t.Errorf("%d people: %v", maxPeople+1, err)
	}
	request, err := CompileSelector(service("request", "query", "pin"), countersign.ClassRelation)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := request.People([]byte(`{}`)); err == nil {
		t.Error("a selector of requests looked into an answer")
	}
}

func TestPeopleBehindGuards(t *testing.T) {
	p, err := CompilePeople([]countersign.FieldPath{"/entry/*/resource[Patient]/id", "/subject"})
	if err != nil {
		t.Fatal(err)
	}
	who, err := p.Find([]byte(`{"entry":[{"resource":{"id":"a","resourceType":"Patient"}},{"resource":{"id":"b","resourceType":"Observation"}}],"subject":"c"}`))
	if err != nil || !slices.Equal(who, []string{"a", "c"}) {
		t.Errorf("%q %v", who, err)
	}
	if _, err := CompilePeople(nil); !errors.Is(err, countersign.CodeBadRequest) {
		t.Errorf("no paths: %v", err)
	}
}
