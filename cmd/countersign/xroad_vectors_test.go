package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/register/upstream"
	"countersign.dev/countersign/internal/xroad/vectors"
)

// TestXRoadVectors sends every protocol vector of docs/spec/vectors/xroad over sockets to a consumer's gateway, through a provider's gateway, to
// the echo. Four processes of this binary take part, and nothing knows that it is tested.
func TestXRoadVectors(t *testing.T) {
	set, err := vectors.Load(os.DirFS("../../docs/spec/vectors/xroad"))
	if err != nil {
		t.Fatal(err)
	}
	env := vectorFederation(t)
	for _, v := range set {
		t.Run(v.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for _, failure := range vectors.Run(ctx, env, v) {
				t.Error(failure)
			}
		})
	}
}

// echoService is one service of the vectors, as the README beside them describes it.
type echoService struct {
	code     string
	personal bool
	at       []string // operations; every verb everywhere where none are given
	in, name string   // the selector of a personal service
	declared bool     // a standing declaration lets MUN ask without stating a purpose
	disabled bool
	base     string // of its URL; empty where the gateway does not run it
}

func echoServices(down string) []echoService {
	return []echoService{
		{code: "open", declared: true, base: "/echo/open"},
		{code: "öäå", declared: true, base: "/echo/odd"},
		{code: "ruled", declared: true, at: []string{"GET /public/**", "GET /items/*"}, base: "/echo/ruled"},
		{code: "undeclared", base: "/echo/undeclared"},
		{code: "disabled", declared: true, disabled: true, base: "/echo/disabled"},
		{code: "down", declared: true, base: down},
		{code: "persons", personal: true, at: []string{"GET /persons/{pin}"}, in: "path", name: "pin", base: "/echo/about"},
		{code: "query", personal: true, at: []string{"POST /query"}, in: "body", name: "/pin", base: "/echo/query"},
	}
}

func (e echoService) id() countersign.ServiceID { return law.Service(law.POP, e.code) }

// service is the directory's entry.
func (e echoService) service() countersign.Service {
	s := countersign.Service{ID: e.id(), Text: countersign.Text{"en": "Echo"}, Disabled: e.disabled, Subject: countersign.Selector{From: countersign.SubjectNone}}
	verbs := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	grant := countersign.Grant{Purpose: "protocol-test", Clients: []string{"*"}, Fields: []countersign.FieldPath{"*"}}
	if e.at == nil {
		for _, v := range verbs {
			e.at = append(e.at, v+" ", v+" /**")
		}
	}
	for _, op := range e.at {
		method, path, _ := strings.Cut(op, " ")
		s.Endpoints = append(s.Endpoints, countersign.Endpoint{Method: method, Path: path})
		grant.Methods = append(grant.Methods, method)
	}
	slices.Sort(grant.Methods)
	grant.Methods = slices.Compact(grant.Methods)
	s.Categories = []countersign.CategoryCode{"test-open"}
	if e.personal {
		s.Categories = []countersign.CategoryCode{"test-personal"}
		s.Subject = countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin", In: e.in, Name: e.name}
		for _, f := range []countersign.FieldPath{"/family_name", "/given_name", "/pin", "/religion", "/residence/settlement", "/residence/street"} {
			s.Fields = append(s.Fields, countersign.Field{Path: f, Category: "test-personal"})
		}
		grant.Fields = []countersign.FieldPath{"/family_name", "/given_name", "/pin", "/residence/settlement"}
		grant.Writes = []countersign.FieldPath{"/pin"}
	}
	s.Grants = []countersign.Grant{grant}
	if e.personal {
		sum := countersign.Digest(sha256.Sum256(law.Assessment(&s)))
		s.Assessment = &sum
	}
	return s
}

// vectorFederation runs a federation whose law has the services of the vectors beside its own.
func vectorFederation(t *testing.T) vectors.Env {
	t.Helper()
	free, _, err := freeAddresses(1) // and nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	services := echoServices("http://" + free[0] + "/down")
	d, f, err := testFederation(t.Context(), t.TempDir(), demoPlan{agencies: []string{law.MUN, law.POP}, amend: func(doc *countersign.Directory) {
		for _, e := range services {
			doc.Services = append(doc.Services, e.service())
			if e.declared {
				doc.Standing = append(doc.Standing, countersign.StandingDeclaration{Client: law.Client(law.MUN), Service: e.id(), Purpose: "protocol-test", Basis: "demo-rules-1"})
			}
		}
		i := slices.IndexFunc(doc.Purposes, func(p countersign.Purpose) bool { return p.Code == "protocol-test" })
		doc.Purposes[i].Polling = &countersign.Polling{PerMinute: 1000, PerDay: 10000}
	}})
	if err != nil {
		t.Fatal(err)
	}
	err = editConfig(d.Members[law.POP].Config, func(c *gatewayConfig) {
		for _, e := range services {
			base := e.base
			if strings.HasPrefix(base, "/") {
				base = d.Echo.URL + base
			}
			c.Services[e.id().String()] = serviceConfig{HTTP: &upstream.Config{URL: base}}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.stop()
		if err := checkParts(d); err != nil {
			t.Error(err)
		}
	})
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return vectorEnv(t, d)
}

func vectorEnv(t *testing.T, d *demoFile) vectors.Env {
	t.Helper()
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	token, err := readLine(d.Members[law.MUN].TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	provider := law.Service(law.POP, "x").SubsystemID.String()
	return vectors.Env{
		Gateway:  parse(d.Members[law.MUN].Client),
		Upstream: vectors.Remote{URL: parse(d.Echo.URL + "/inspect"), Client: storyClient},
		Vars: map[string]string{
			"INSTANCE": law.Instance, "CLIENT": law.Client(law.MUN).String(), "TOKEN": token, "STRANGER": law.Service(law.MUN, "x").SubsystemID.String(),
			"PROVIDER": provider, "SERVER": law.Member(law.POP).String() + "/gw1", "UPSTREAM_HOST": address(d.Echo.URL),
			"OPEN": provider + "/open", "OPEN_BASE": "/echo/open", "OPEN_ODD": provider + "/%C3%B6%C3%A4%C3%A5",
			"RULED": provider + "/ruled", "RULED_BASE": "/echo/ruled", "UNDECLARED": provider + "/undeclared", "OPEN_PURPOSE": "protocol-test", "OPEN_BASIS": "demo-rules-1",
			"DISABLED": provider + "/disabled", "DOWN": provider + "/down", "PERSONAL": provider + "/persons", "PERSONAL_BASE": "/echo/about",
			"PERSONAL_BODY": provider + "/query", "OPENAPI_CODE": "person", "PIN": "7ABC23D", "PURPOSE": "protocol-test", "BASIS": "demo-rules-1",
			"CASE": "CASE-1", "OFFICIAL": "clerk-7", "BLANK_PURPOSE": "property-tax",
		},
	}
}

// checkParts fails where a part of the federation met a data race or crashed.
func checkParts(d *demoFile) error {
	return checkOutput(d, func(file string, text []byte) error {
		if at := alarm.FindIndex(text); at != nil {
			return fmt.Errorf("%s:\n%s", file, text[at[0]:min(len(text), at[0]+4000)])
		}
		return nil
	})
}
