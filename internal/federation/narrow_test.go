package federation_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

// Nothing changed, nothing narrowed.
func TestNarrowOfItself(t *testing.T) {
	d := document()
	if diff := cmp.Diff(d, federation.Narrow(d, d), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// leaves calls f with each scalar of a document and the path to it.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			leaves(v.Elem(), path, f)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			f(path, v)
			return
		}
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
		f(path+" (length)", v)
	default:
		f(path, v)
	}
}

// unused lists the fields of the form that no part of a value fills: what a test that walks the value would not see.
func unused(v reflect.Value) []string {
	all, filled := map[string]bool{}, map[string]bool{}
	var types func(t reflect.Type)
	types = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice:
			types(t.Elem())
		case reflect.Struct:
			if t == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range t.NumField() {
				f := t.Field(i)
				if f.Type.Kind() == reflect.Pointer || f.Type.Kind() == reflect.Slice {
					all[t.Name()+"."+f.Name] = true
				}
				types(f.Type)
			}
		}
	}
	types(v.Type())
	var values func(v reflect.Value)
	values = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				values(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				values(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				f := v.Field(i)
				if f.Kind() == reflect.Pointer && !f.IsNil() || f.Kind() == reflect.Slice && f.Len() > 0 {
					filled[v.Type().Name()+"."+v.Type().Field(i).Name] = true
				}
				values(f)
			}
		}
	}
	values(v)
	var out []string
	for name := range all {
		if !filled[name] {
			out = append(out, name)
		}
	}
	return out
}

// change gives a scalar another value, and a list one element less.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Map:
		v.SetMapIndex(reflect.ValueOf("ru"), reflect.ValueOf("другое"))
	case reflect.Array:
		change(v.Index(0))
	case reflect.Struct:
		v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Hour)))
	case reflect.Slice:
		v.Set(v.Slice(0, v.Len()-1))
	default:
		panic("a document holds a " + v.Kind().String())
	}
}

// Whatever changes in a document, the list of changes shows it to those who sign.
func TestEveryChangeShows(t *testing.T) {
	if empty := unused(reflect.ValueOf(document())); len(empty) > 0 {
		t.Errorf("the test's document does not use %v: fill them, so that their changes are seen to show", empty)
	}
	var paths []string
	leaves(reflect.ValueOf(document()), "", func(path string, v reflect.Value) {
		if v.Kind() != reflect.Slice || v.Len() > 0 {
			paths = append(paths, path)
		}
	})
	if len(paths) < 300 {
		t.Fatalf("only %d scalars found: the walk is broken", len(paths))
	}
	for _, want := range paths {
		if want == ".Version" {
			continue
		}
		d := document()
		leaves(reflect.ValueOf(d), "", func(path string, v reflect.Value) {
			if path == want {
				change(v)
			}
		})
		if len(federation.Changes(document(), d)) == 0 {
			t.Errorf("a change of %s does not show", want)
		}
		if len(federation.Changes(d, document())) == 0 {
			t.Errorf("a change back of %s does not show", want)
		}
	}
}

// Which changes act at once and which wait.
func TestNarrowing(t *testing.T) {
	gateway := func(d *countersign.Directory) *countersign.Gateway { return &d.Members[0].Gateways[0] }
	rows := []struct {
		name   string
		atOnce bool
		edit   func(d *countersign.Directory)
	}{
		{"a member goes", true, func(d *countersign.Directory) { d.Members, d.Issuers, d.Courts = d.Members[:2], d.Issuers[:2], nil }},
		{"a member comes", false, func(d *countersign.Directory) {
			d.Members = append(d.Members, countersign.Member{ID: countersign.MemberID{Instance: "DEMO", Class: "COM", Code: "7"}, Text: en("New"), Roles: []countersign.Role{countersign.RolePortal}})
		}},
		{"a gateway goes", true, func(d *countersign.Directory) { d.Members[0].Gateways = d.Members[0].Gateways[:1] }},
		{"a gateway comes", false, func(d *countersign.Directory) {
			d.Members[0].Gateways = append(d.Members[0].Gateways, gatewayOf("pop-3"))
		}},
		{"a TLS key is replaced", true, func(d *countersign.Directory) { gateway(d).TLS[0] = randomPin(1) }},
		{"a TLS key comes", false, func(d *countersign.Directory) { gateway(d).TLS = append(gateway(d).TLS, randomPin(1)) }},
		{"a signing key is replaced", true, func(d *countersign.Directory) { gateway(d).Sign[0] = spki("other") }},
		{"a signing key comes", false, func(d *countersign.Directory) { gateway(d).Sign = append(gateway(d).Sign, spki("other")) }},
		{"a log's key is replaced", true, func(d *countersign.Directory) { gateway(d).Log.VKey = logOf("other").VKey }},
		{"a log takes over from another", true, func(d *countersign.Directory) {
			gateway(d).Log = succeeding(gatewayOf("successor")).Log
			gateway(d).Log.URL = document().Members[0].Gateways[0].Log.URL
		}},
		{"an ended log is forgotten", false, func(d *countersign.Directory) { d.Members[0].Gateways[1].Log.Before = nil }},
		{"a gateway moves", false, func(d *countersign.Directory) { gateway(d).URL = "https://elsewhere.example" }},
		{"a court goes", true, func(d *countersign.Directory) { d.Courts = nil }},
		{"a court's key is replaced", true, func(d *countersign.Directory) { d.Courts[0].Keys[0] = spki("other") }},
		{"a court's key comes", false, func(d *countersign.Directory) { d.Courts[0].Keys = append(d.Courts[0].Keys, spki("other")) }},
		{"an issuer goes", true, func(d *countersign.Directory) { d.Issuers = d.Issuers[:2] }},
		{"an issuer comes", false, func(d *countersign.Directory) {
			x := d.Issuers[0]
			x.URL = "https://other.example"
			d.Issuers = append(d.Issuers, x)
		}},
		{"an issuer's client comes", false, func(d *countersign.Directory) { d.Issuers[0].Audience = append(d.Issuers[0].Audience, "other") }},
		{"an issuer's client goes", true, func(d *countersign.Directory) { d.Issuers[1].Audience = d.Issuers[1].Audience[:1] }},
		{"a case register goes", true, func(d *countersign.Directory) { d.Purposes[1].CaseRegister = nil }},
		{"a case register comes", false, func(d *countersign.Directory) { d.Purposes[0].CaseRegister = d.Purposes[1].CaseRegister }},
		{"a witness comes", false, func(d *countersign.Directory) { d.Witnesses = append(d.Witnesses, witnessOf("w5", "Embassy")) }},
		{"a witness goes", false, func(d *countersign.Directory) { d.Witnesses = d.Witnesses[:3] }},
		{"a witness's key is replaced", true, func(d *countersign.Directory) { d.Witnesses[0].VKey = witnessOf("w9", "").VKey }},
		{"the quorum rises", true, func(d *countersign.Directory) { d.Quorum = 3 }},
		{"the quorum falls", false, func(d *countersign.Directory) { d.Quorum = 1 }},
		{"a cell goes", true, func(d *countersign.Directory) { d.Matrix = d.Matrix[:4] }},
		{"a mandate goes from a cell", true, func(d *countersign.Directory) { d.Matrix[4].Mandates = d.Matrix[4].Mandates[:1] }},
		{"a mandate comes to a cell", false, func(d *countersign.Directory) {
			d.Matrix[2].Mandates = append(d.Matrix[2].Mandates, countersign.MandateNone)
		}},
		{"a class gets stricter", true, func(d *countersign.Directory) {
			d.Categories[2].Class = countersign.ClassConsent
			d.Matrix[2].Mandates = d.Matrix[2].Mandates[1:]
		}},
		{"a class gets looser", false, func(d *countersign.Directory) { d.Categories[5].Class = countersign.ClassRelation }},
		{"a purpose needs a case", true, func(d *countersign.Directory) { d.Purposes[0].Case = true }},
		{"a purpose needs no case", false, func(d *countersign.Directory) { d.Purposes[1].Case = false }},
		{"a purpose wants better known officials", true, func(d *countersign.Directory) { d.Purposes[0].Assurance = countersign.AssuranceVerified }},
		{"a purpose accepts less known officials", false, func(d *countersign.Directory) { d.Purposes[1].Assurance = countersign.AssuranceAsserted }},
		{"a purpose keeps shorter", true, func(d *countersign.Directory) { d.Purposes[0].Retention-- }},
		{"a purpose keeps longer", false, func(d *countersign.Directory) { d.Purposes[0].Retention++ }},
		{"a purpose takes any mandate", false, func(d *countersign.Directory) { d.Purposes[1].Mandates = nil }},
		{"a purpose takes one mandate alone", true, func(d *countersign.Directory) {
			d.Purposes[0].Mandates = []countersign.MandateKind{countersign.MandateNone}
		}},
		{"a purpose has a new basis", false, func(d *countersign.Directory) { d.Purposes[0].Bases = append(d.Purposes[0].Bases, "criminal-3") }},
		{"a purpose's sentence changes", false, func(d *countersign.Directory) { d.Purposes[0].Text = en("for reasons") }},
		{"polling gets rarer", true, func(d *countersign.Directory) { d.Purposes[0].Polling.PerDay = 3 }},
		{"polling gets denser", false, func(d *countersign.Directory) { d.Purposes[0].Polling.PerDay = 300 }},
		{"a service goes out of use", true, func(d *countersign.Directory) { d.Services[0].Disabled = true }},
		{"a service loses its assessment", true, func(d *countersign.Directory) { d.Services[0].Assessment = nil }},
		{"a service discloses officials", false, func(d *countersign.Directory) { d.Services[0].Disclose = true }},
		{"a service's leaves get coarse", false, func(d *countersign.Directory) { d.Services[0].Coarse = true }},
		{"a service finds its subject elsewhere", false, func(d *countersign.Directory) { d.Services[0].Subject.In = "header" }},
		{"an operation comes", false, func(d *countersign.Directory) {
			d.Services[1].Endpoints = append(d.Services[1].Endpoints, countersign.Endpoint{Method: "POST", Path: "/x"})
		}},
		{"an operation goes", true, func(d *countersign.Directory) { d.Services[0].Endpoints = d.Services[0].Endpoints[:1] }},
		{"a field is granted", false, func(d *countersign.Directory) { _ = addSchoolsGrant(d) }},
		{"a field is granted no more", true, func(d *countersign.Directory) { d.Services[0].Grants[0].Fields = d.Services[0].Grants[0].Fields[:1] }},
		{"a client comes to a grant", false, func(d *countersign.Directory) {
			d.Services[0].Grants[0].Clients = append(d.Services[0].Grants[0].Clients, "DEMO/GOV/1001/registry")
		}},
		{"a client goes from a grant", true, func(d *countersign.Directory) { d.Services[0].Grants[0].Clients = d.Services[0].Grants[0].Clients[:1] }},
		{"a grant to everybody shrinks to one", true, func(d *countersign.Directory) { d.Services[1].Grants[0].Clients = []string{permits.String()} }},
		{"a grant to one grows to everybody", false, func(d *countersign.Directory) { d.Services[0].Grants[0].Clients = []string{"*"} }},
		{"any method", false, func(d *countersign.Directory) { d.Services[0].Grants[1].Methods = nil }},
		{"a standing declaration goes", true, func(d *countersign.Directory) { d.Standing = nil }},
		{"a standing declaration comes", false, func(d *countersign.Directory) {
			d.Standing = append(d.Standing, countersign.StandingDeclaration{Client: permits, Service: openData, Purpose: "housing-permit", Basis: "housing-12"})
		}},
		{"a programme slows", true, func(d *countersign.Directory) { d.Programmes[0].PerHour = 1 }},
		{"a programme hurries", false, func(d *countersign.Directory) { d.Programmes[0].PerHour = 501 }},
		{"a programme ends earlier", true, func(d *countersign.Directory) { d.Programmes[0].Until = d.Programmes[0].Until.Add(-time.Hour) }},
		{"a programme ends later", false, func(d *countersign.Directory) { d.Programmes[0].Until = d.Programmes[0].Until.Add(time.Hour) }},
		{"a rule comes", true, func(d *countersign.Directory) {
			d.Rules = append(d.Rules, countersign.Rule{ID: "r2", Text: en("More"), Policy: "forbid (principal, action, resource);"})
		}},
		{"a rule goes", false, func(d *countersign.Directory) { d.Rules = nil }},
		{"a cap tightens", true, func(d *countersign.Directory) { d.Caps.Linkage = 2 }},
		{"a cap loosens", false, func(d *countersign.Directory) { d.Caps.PeopleOfficial = 60 }},
		{"records are kept shorter", false, func(d *countersign.Directory) { d.Caps.RecordLife = countersign.Duration(3000 * 24 * time.Hour) }},
		{"a scheme changes", false, func(d *countersign.Directory) { d.Schemes[0].Pattern = "[A-Z0-9]{1,7}" }},
		{"a body's key changes, as its root does", true, func(d *countersign.Directory) { d.Bodies[0].Key = spki("other") }},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			before, next := document(), document()
			r.edit(next)
			changes := federation.Changes(before, next)
			if len(changes) == 0 {
				t.Fatal("no change shows")
			}
			if got := !federation.Widens(changes); got != r.atOnce {
				t.Errorf("acts at once: %t, want %t:\n%v", got, r.atOnce, changes)
			}
			n := federation.Narrow(before, next)
			if r.atOnce {
				if left := federation.Changes(n, next); len(left) > 0 {
					t.Errorf("something was left to wait: %v", left)
				}
			} else if left := federation.Changes(n, next); len(left) == 0 {
				t.Error("it acted at once")
			}
		})
	}
}

// permissions are what a document permits, one string each: whatever is not among them is refused.
func permissions(d *countersign.Directory) map[string]bool {
	out := map[string]bool{}
	v, err := federation.NewViewUnchecked(d)
	if err != nil {
		panic(err)
	}
	for _, m := range d.Members {
		out["member "+m.ID.String()] = true
		for _, g := range v.Gateways(m.ID) {
			out["gateway "+m.ID.String()+" "+string(g.Name)] = true
		}
	}
	for _, s := range d.Services {
		s, _ := v.Service(s.ID)
		if !s.Active {
			continue
		}
		clients := []countersign.SubsystemID{}
		for _, m := range d.Members {
			clients = append(clients, countersign.SubsystemID{MemberID: m.ID})
			for _, x := range m.Subsystems {
				clients = append(clients, countersign.SubsystemID{MemberID: m.ID, Subsystem: x.Code})
			}
		}
		for _, p := range d.Purposes {
			for _, c := range clients {
				for _, g := range s.Grants(c, p.Code) {
					for _, f := range g.Fields {
						if f == "*" {
							out[fmt.Sprintf("%s %s %s *", s.ID, c, p.Code)] = true
							continue
						}
						category, _ := s.Category(f)
						cell, ok := v.Cell(p.Code, category)
						if !ok {
							continue
						}
						for _, k := range cell.Mandates {
							if len(p.Mandates) > 0 && !slices.Contains(p.Mandates, k) {
								continue
							}
							for _, b := range p.Bases {
								out[fmt.Sprintf("%s %s %s %s %s %s", s.ID, c, p.Code, b, f, k)] = true
							}
						}
					}
				}
			}
		}
	}
	for _, s := range d.Standing {
		out[fmt.Sprintf("standing %v", s)] = true
	}
	for _, p := range d.Programmes {
		out["programme "+string(p.ID)] = true
	}
	for _, c := range d.Courts {
		out["court "+string(c.Name)] = true
	}
	return out
}

// edited makes a random number of random changes, most of which keep the document in shape.
func edited(t *rapid.T, d *countersign.Directory, label string) {
	for range rapid.IntRange(1, 6).Draw(t, label) {
		switch rapid.IntRange(0, 11).Draw(t, "kind") {
		case 0:
			d.Members = dropOne(t, d.Members)
		case 1:
			d.Matrix = dropOne(t, d.Matrix)
		case 2:
			d.Services = dropOne(t, d.Services)
		case 3:
			d.Purposes = dropOne(t, d.Purposes)
		case 4:
			d.Categories = dropOne(t, d.Categories)
		case 5:
			i := rapid.IntRange(0, max(len(d.Matrix)-1, 0)).Draw(t, "cell")
			if len(d.Matrix) > 0 {
				d.Matrix[i].Mandates = rapid.SliceOfDistinct(rapid.SampledFrom([]countersign.MandateKind{0, 1, 2, 3, 4, 5}), rapid.ID[countersign.MandateKind]).Draw(t, "mandates")
			}
		case 6:
			if len(d.Categories) > 0 {
				d.Categories[rapid.IntRange(0, len(d.Categories)-1).Draw(t, "category")].Class = rapid.SampledFrom([]countersign.Class{"O", "R", "C", "C/W", "W", "N"}).Draw(t, "class")
			}
		case 7:
			if len(d.Services) > 0 && len(d.Services[0].Grants) > 0 {
				d.Services[0].Grants[0].Fields = rapid.SliceOfDistinct(rapid.SampledFrom([]countersign.FieldPath{"/address", "/since", "/children/*/name"}), rapid.ID[countersign.FieldPath]).Draw(t, "fields")
			}
		case 8:
			if len(d.Services) > 0 && len(d.Services[0].Grants) > 0 {
				d.Services[0].Grants[0].Clients = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"*", permits.String(), "DEMO/GOV/1002/schools", "DEMO/GOV/1001/registry", "DEMO/GOV/1002"}), rapid.ID[string]).Draw(t, "clients")
			}
		case 9:
			if len(d.Purposes) > 0 {
				d.Purposes[0].Mandates = rapid.SliceOfDistinct(rapid.SampledFrom([]countersign.MandateKind{0, 1, 2, 3, 4, 5}), rapid.ID[countersign.MandateKind]).Draw(t, "mandates")
			}
		case 10:
			if len(d.Services) > 0 {
				d.Services[0].Fields = dropOne(t, d.Services[0].Fields)
				d.Services[0].Assessment = nil
			}
		case 11:
			d.Standing, d.Programmes, d.Courts = dropOne(t, d.Standing), dropOne(t, d.Programmes), dropOne(t, d.Courts)
		}
	}
}

// dangling names a reference that resolves to nothing, or gives nothing.
func dangling(d *countersign.Directory) string {
	v, err := federation.NewViewUnchecked(d)
	if err != nil {
		return err.Error()
	}
	for _, c := range d.Matrix {
		_, purpose := v.Purpose(c.Purpose)
		if _, category := v.Category(c.Category); !purpose || !category {
			return fmt.Sprintf("cell %v", c)
		}
	}
	for _, s := range d.Services {
		if _, ok := v.Subsystem(s.ID.SubsystemID); !ok {
			return "service " + s.ID.String()
		}
		for _, f := range s.Fields {
			if _, ok := v.Category(f.Category); !ok {
				return fmt.Sprintf("field %v", f)
			}
		}
		for _, g := range s.Grants {
			if _, ok := v.Purpose(g.Purpose); !ok || len(g.Clients) == 0 {
				return fmt.Sprintf("grant %v", g)
			}
		}
	}
	for _, s := range d.Standing {
		_, service := v.Service(s.Service)
		if _, purpose := v.Purpose(s.Purpose); !service || !purpose || !v.Client(s.Client) {
			return fmt.Sprintf("standing declaration %v", s)
		}
	}
	for _, p := range d.Programmes {
		if _, ok := v.Service(p.Service); !ok || !v.Client(p.Client) {
			return fmt.Sprintf("programme %v", p)
		}
	}
	for _, c := range d.Courts {
		if _, ok := v.Member(c.Member); !ok {
			return fmt.Sprintf("court %v", c)
		}
	}
	return ""
}

func dropOne[T any](t *rapid.T, list []T) []T {
	if len(list) == 0 {
		return list
	}
	i := rapid.IntRange(0, len(list)-1).Draw(t, "drop")
	return slices.Delete(slices.Clone(list), i, i+1)
}

// While a version waits nothing is permitted that the one before did not permit, and nothing that the waiting one does not permit.
func TestNarrowPermitsNoMore(t *testing.T) {
	raw, err := json.Marshal(document())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var docs [2]*countersign.Directory
		for i := range docs {
			if docs[i], err = countersign.ParseDirectory(raw); err != nil {
				t.Fatal(err)
			}
			edited(t, docs[i], fmt.Sprintf("changes of document %d", i))
		}
		was, is := permissions(docs[0]), permissions(docs[1])
		n := federation.Narrow(docs[0], docs[1])
		for p := range permissions(n) {
			if !was[p] {
				t.Errorf("permitted at once, and not before: %s", p)
			}
			if !is[p] && !strings.HasPrefix(p, "gateway") {
				t.Errorf("still permitted, and no more in the next version: %s", p)
			}
		}
		if what := dangling(n); what != "" {
			t.Errorf("refers to something that went: %s", what)
		}
		again := federation.Narrow(n, docs[1])
		if a, b := permissions(n), permissions(again); !cmp.Equal(a, b) {
			t.Errorf("narrowing twice is not narrowing once: %s", cmp.Diff(a, b))
		}
	})
}
