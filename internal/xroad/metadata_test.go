package xroad

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign.dev/countersign"
)

func readTaxonomy(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../errors.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sameJSON compares two JSON texts as values.
func sameJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(w, g); d != "" {
		t.Error(d)
	}
}

func TestClientList(t *testing.T) {
	clients := []Client{
		{ID: countersign.SubsystemID{MemberID: testClient.MemberID}, Name: "Agency & Co"},
		{ID: testClient, Name: "Agency & Co", SubsystemName: "Portal"},
	}
	contentType, body, err := ClientList(header("Accept: text/html, application/json;q=0.5"), clients)
	if err != nil || contentType != "application/json;charset=utf-8" {
		t.Fatal(contentType, err)
	}
	sameJSON(t, body, `{"member":[
		{"id":{"object_type":"MEMBER","xroad_instance":"DEMO","member_class":"GOV","member_code":"1001"},"name":"Agency & Co"},
		{"id":{"object_type":"SUBSYSTEM","xroad_instance":"DEMO","member_class":"GOV","member_code":"1001","subsystem_code":"portal"},"name":"Agency & Co","subsystem_name":"Portal"}]}`)

	for _, accept := range []string{"Accept: */*", "Accept: application/xml", "X-None: 1", "Accept: application/json;q=0"} {
		contentType, body, err = ClientList(header(accept), clients)
		want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
			`<ns2:clientList xmlns:ns1="http://x-road.eu/xsd/identifiers" xmlns:ns2="http://x-road.eu/xsd/xroad.xsd">` +
			`<ns2:member><ns2:id ns1:objectType="MEMBER"><ns1:xRoadInstance>DEMO</ns1:xRoadInstance><ns1:memberClass>GOV</ns1:memberClass><ns1:memberCode>1001</ns1:memberCode></ns2:id><ns2:name>Agency &amp; Co</ns2:name></ns2:member>` +
			`<ns2:member><ns2:id ns1:objectType="SUBSYSTEM"><ns1:xRoadInstance>DEMO</ns1:xRoadInstance><ns1:memberClass>GOV</ns1:memberClass><ns1:memberCode>1001</ns1:memberCode><ns1:subsystemCode>portal</ns1:subsystemCode></ns2:id><ns2:name>Agency &amp; Co</ns2:name><ns2:subsystemName>Portal</ns2:subsystemName></ns2:member></ns2:clientList>`
		if err != nil || contentType != "text/xml;charset=utf-8" || string(body) != want {
			t.Errorf("%s: %s, %v\n%s", accept, contentType, err, body)
		}
	}
	if body, err = ClientListJSON(nil); err != nil || string(body) != `{"member":[]}` {
		t.Errorf("%s, %v", body, err)
	}
}

func TestMethodList(t *testing.T) {
	body, err := MethodList([]ServiceDetails{{
		ID: countersign.ServiceID{SubsystemID: testClient, Service: "persons"}, Type: ServiceOpenAPI,
		Endpoints: []Endpoint{{"GET", "/persons/{pin}"}, {"*", `/x\{y\}/**`}},
	}, {ID: countersign.ServiceID{SubsystemID: testClient, Service: "echo"}, Type: ServiceREST}})
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, body, `{"service":[
		{"member_class":"GOV","member_code":"1001","object_type":"SERVICE","service_code":"persons","service_type":"OPENAPI","subsystem_code":"portal","xroad_instance":"DEMO",
		 "endpoint_list":[{"method":"GET","path":"/persons/*"},{"method":"*","path":"/x\\{y\\}/**"}]},
		{"member_class":"GOV","member_code":"1001","object_type":"SERVICE","service_code":"echo","service_type":"REST","subsystem_code":"portal","xroad_instance":"DEMO","endpoint_list":[]}]}`)
	if body, err = MethodList(nil); err != nil || string(body) != `{"service":[]}` {
		t.Errorf("%s, %v", body, err)
	}
	for _, tc := range []struct {
		verb, service string
		want          bool
	}{{"GET", "listMethods", true}, {"GET", "allowedMethods", true}, {"GET", "getOpenAPI", true}, {"POST", "listMethods", false}, {"GET", "listmethods", false}, {"GET", "getWsdl", false}} {
		if got := IsMetadataService(tc.verb, tc.service); got != tc.want {
			t.Errorf("IsMetadataService(%s, %s) = %v", tc.verb, tc.service, got)
		}
	}
}

const openAPIJSON = `{"openapi":"3.0.3","info":{"title":"Firms","version":"1"},
	"servers":[{"url":"https://10.0.0.7:8443/firms/v1?x=1","description":"inside"},{"url":"https://{host}/v2/{stage}","variables":{"host":{"default":"db.internal"},"stage":{"default":"prod"}}},{"url":"/v3"}],
	"paths":{"/servers":{"servers":[{"url":"http://h1.internal"}],"get":{"servers":[{"url":"//h2.internal/x"}],
		"responses":{"200":{"description":"ok","content":{"application/json":{"example":{"servers":[{"url":"http://kept.example/"}]}}}}}}}}}`

func TestRewriteServersJSON(t *testing.T) {
	got, err := RewriteServers([]byte(openAPIJSON))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		`"https://10.0.0.7:8443/firms/v1?x=1"`, `"/firms/v1"`,
		`"https://{host}/v2/{stage}"`, `"/v2/{stage}"`, `"host":{"default":"db.internal"},`, ``,
		`"http://h1.internal"`, `"/"`, `"//h2.internal/x"`, `"/x"`).Replace(openAPIJSON)
	sameJSON(t, got, want)
	if i, j := strings.Index(string(got), `"info"`), strings.Index(string(got), `"paths"`); i < 0 || j < i {
		t.Errorf("the order of members changed: %s", got)
	}
}

const openAPIYAML = `openapi: "3.0.0" # at db0.internal
info: {title: Firms, version: "1"}
servers:
  - url: https://10.0.0.7:8443/firms/v1
    description: inside
  - url: "https://{host}/v2/{stage}"
    variables:
      host: {default: db.internal}
      stage: {default: prod}
  - {url: 'http://h3.internal', variables: {port: {default: h4.internal}}}
paths:
  /servers:
    servers:
      - url: http://h1.internal
    get:
      servers: [{url: //h2.internal/x}]
      parameters:
        - name: servers
          in: query
      responses:
        "200": {description: "ok: http://kept.example/"}
`

func TestRewriteServersYAML(t *testing.T) {
	got, err := RewriteServers([]byte(openAPIYAML))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), "internal") || strings.Contains(string(got), "10.0.0.7") {
		t.Errorf("an address stays:\n%s", got)
	}
	for _, want := range []string{"url: /firms/v1\n", "/v2/{stage}", "stage:", "description: inside", "ok: http://kept.example/", "- name: servers"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is gone:\n%s", want, got)
		}
	}
	again, err := RewriteServers(got)
	if err != nil || string(again) != string(got) {
		t.Errorf("not stable: %v\n%s", err, again)
	}
}

func TestRewriteServersRefuses(t *testing.T) {
	for _, doc := range []string{
		"", "{", "[]", "x", `{"openapi":"2.0"}`, `{"swagger":"2.0"}`, "swagger: '2.0'", `{"openapi":"3.0.0","openapi":"3.0.0"}`,
		`{"openapi":"3.0.0","servers":[{"url":7}]}`, `{"openapi":"3.0.0","servers":[7]}`, `{"openapi":"3.0.0","servers":[{}]}`,
		"openapi: 3.0.0\nservers: &s\n  - url: http://a\n", "openapi: 3.0.0\nx: &s [{url: 'http://a'}]\nservers: *s\n",
		"openapi: 3.0.0\nx: &s {servers: [{url: 'http://a'}]}\n<<: *s\n", "openapi: 3.0.0\nx: &s {get: {servers: [{url: 'http://a'}]}}\npaths: {/a: *s}\n",
		"openapi: 3.0.0\nservers:\n  - url: [a]\n", "openapi: 3.0.0\n---\nopenapi: 3.0.0\n", "\x00", strings.Repeat("a", MaxOpenAPI+1),
	} {
		if got, err := RewriteServers([]byte(doc)); !errors.Is(err, countersign.CodeRegister) {
			t.Errorf("%.60q: %.200q, %v", doc, got, err)
		}
	}
}

// TestDeepDescriptionsAreBounded: nesting costs an error, not the process.
func TestDeepDescriptionsAreBounded(t *testing.T) {
	for _, piece := range []string{"[", "{a: ", "- ", `{"a":`, "? "} {
		for _, head := range []string{"openapi: 3.0.0\nx: ", `{"openapi":"3.0.0","x":`, "openapi: 3.0.0\nx:\n  "} {
			if _, err := RewriteServers([]byte(head + strings.Repeat(piece, 200_000))); !errors.Is(err, countersign.CodeRegister) {
				t.Errorf("%q %q: %v", head, piece, err)
			}
		}
	}
}

func TestPathOnly(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h/a": "/a", "https://h": "/", "//h/a": "/a", "/a?b#c": "/a", "": "", "v1": "v1", "./v1": "./v1", "/": "/", "h:80/x": "/x",
		"{base}/x": "/x", "{base}": "/", "https://u:p@h:1/{v}/x?y": "/{v}/x", "/v1?u=http://h/": "/v1", "a{b}/c": "/c", "/a:b": "/a:b",
	} {
		if got := pathOnly(raw); got != want {
			t.Errorf("pathOnly(%q) = %q, want %q", raw, got, want)
		}
	}
}

func FuzzRewriteServers(f *testing.F) {
	f.Add([]byte(openAPIJSON))
	f.Add([]byte(openAPIYAML))
	f.Add([]byte("openapi: 3.0.0\nservers: []\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if _, err := RewriteServers(doc); err != nil && countersign.CodeOf(err) != countersign.CodeRegister {
			t.Fatal(err)
		}
	})
}

func FuzzAcceptsJSON(f *testing.F) {
	f.Add("application/json;q=0.1,text/xml")
	f.Fuzz(func(t *testing.T, accept string) {
		if contentType, body, err := ClientList(http.Header{"Accept": {accept}}, nil); err != nil || contentType == "" || len(body) == 0 {
			t.Fatal(contentType, err)
		}
	})
}
