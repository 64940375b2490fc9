package countersign

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func sampleDirectory() *Directory {
	population, benefits := MemberID{"DEMO", "GOV", "1001"}, MemberID{"DEMO", "GOV", "1005"}
	residence := ServiceID{SubsystemID{population, "people"}, "residence"}
	assessment := Digest{7}
	return &Directory{
		Format: 1, Instance: "DEMO", Version: 17, Name: Text{"en": "Demo", "az": "Nümunə"},
		Bodies:  []Body{{Name: "parliament", Text: Text{"en": "Parliament"}, Key: "AA=="}},
		Schemes: []Scheme{{Name: "pin", Text: Text{"en": "PIN"}, Strip: " -", Upper: true, Pattern: "[0-9A-Z]{7}"}},
		Members: []Member{{ID: population, Text: Text{"en": "Population register"}, Roles: []Role{RoleAgency}, Subsystems: []Subsystem{{"people", Text{"en": "People"}}},
			Gateways: []Gateway{{Name: "gw1", URL: "https://127.0.0.1:1", TLS: []Pin{"abc"}, Sign: []string{"AA=="}, Log: Log{VKey: "population.example/log+00000000+AA==", URL: "https://x"}}}}},
		Categories: []Category{{"residence", Text{"en": "Residence"}, ClassRelation, false}},
		Bases:      []LegalBasis{{Code: "social-aid-12", Law: Text{"en": "Social aid act"}, Article: "12"}},
		Purposes:   []Purpose{{Code: "benefit-decision", Text: Text{"en": "To decide on a benefit"}, Bases: []BasisCode{"social-aid-12"}, Assurance: AssuranceAsserted, Retention: Duration(90 * day), Mandates: []MandateKind{MandateRelation}, Case: true, Polling: &Polling{1, 20}}},
		Matrix:     []Cell{{"benefit-decision", "residence", []MandateKind{MandateRelation, MandateConsent}}},
		Services: []Service{{ID: residence, Text: Text{"en": "Residence"}, Categories: []CategoryCode{"residence"}, Subject: Selector{SubjectInRequest, "pin", "path", "pin"},
			Endpoints: []Endpoint{{"GET", "/{pin}"}}, Fields: []Field{{Path: "/address/city", Category: "residence"}},
			Grants: []Grant{{Purpose: "benefit-decision", Clients: []string{SubsystemID{benefits, "benefits"}.String()}, Fields: []FieldPath{"/address/city"}}}, Assessment: &assessment, Timeout: Duration(5 * time.Second)}},
		Standing:  []StandingDeclaration{{SubsystemID{benefits, "benefits"}, residence, "benefit-decision", "social-aid-12"}},
		Witnesses: []Witness{{"archive-a", "National archive", vkey("archive-a", 4, testKey("archive-a")), "https://a.archive.example"}},
		Quorum:    1, Log: Log{VKey: "directory.example/log+00000000+AA==", URL: "https://x"}, Caps: DefaultCaps(),
	}
}

func TestDirectoryRoundTrip(t *testing.T) {
	d := sampleDirectory()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseDirectory(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, d) {
		t.Errorf("%s came back as %+v", text, got)
	}
}

func TestDirectoryRefusals(t *testing.T) {
	text, err := json.Marshal(sampleDirectory())
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	change := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("the document holds no %s", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, bad := range map[string]string{
		"nothing":                       "",
		"a list":                        "[]",
		"another format":                change(`"format":1`, `"format":2`),
		"no format":                     change(`"format":1,`, ``),
		"an unknown member":             change(`"format":1`, `"format":1,"override":true`),
		"an unknown member of a grant":  change(`"grants":[{`, `"grants":[{"unfiltered":true,`),
		"a free-text assurance":         change(`"assurance":"asserted"`, `"assurance":"trusted"`),
		"a free-text mandate":           change(`"mandates":["relation"]`, `"mandates":["order"]`),
		"an identifier of two parts":    change(`"id":"DEMO/GOV/1001"`, `"id":"DEMO/GOV"`),
		"a service without subsystem":   change(`"id":"DEMO/GOV/1001/people/residence"`, `"id":"DEMO/GOV/1001/residence"`),
		"a negative duration":           change(`"timeout":"5s"`, `"timeout":"-5s"`),
		"a duration that is a number":   change(`"timeout":"5s"`, `"timeout":5`),
		"a version that turns negative": change(`"version":17`, `"version":-1`),
		"half a digest":                 change(`"assessment":"0700`, `"assessment":"07`),
		"something after it":            good + good,
		"a brace after it":              good + "}",
		"a document cut off":            good[:len(good)-1],
	} {
		if d, err := ParseDirectory([]byte(bad)); d != nil || !errors.Is(err, CodeBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseDirectory(f *testing.F) {
	text, err := json.Marshal(sampleDirectory())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1,"caps":{"noticeDelay":"1h"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDirectory(b)
		if err != nil {
			if CodeOf(err) != CodeBadRequest {
				t.Errorf("%v", err)
			}
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			return // a zero identifier, say, has no text; internal/federation refuses it
		}
		again, err := ParseDirectory(text)
		if err != nil {
			return // as above
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(text) {
			t.Errorf("%s is written again as %s: %v", text, second, err)
		}
	})
}

func TestSchemeNormalise(t *testing.T) {
	pin := &Scheme{Name: "pin", Strip: " -", Upper: true, Pattern: "[0-9A-Z]{7}"}
	for in, want := range map[string]string{
		"7KQ2M9A": "7KQ2M9A", "7kq2m9a": "7KQ2M9A", " 7KQ-2M9A ": "7KQ2M9A", "7 k q 2 m 9 a": "7KQ2M9A",
	} {
		if got, err := pin.Normalise(in); err != nil || got != (SubjectID{"pin", want}) {
			t.Errorf("%q: %q, %v", in, got.Canonical(), err)
		}
	}
	for _, in := range []string{"", " ", "7KQ2M9", "7KQ2M9AB", "7KQ2M9A\n", "7KQ2M9%", "7KQ2M9*", "7ıQ2M9A", "7KQ2M9A,7KQ2M9B", "7KQ2M9A\x00", "٧KQ2M9A"} {
		got, err := pin.Normalise(in)
		if !errors.Is(err, CodeNoSubject) || !got.IsZero() {
			t.Errorf("%q: %q, %v", in, got.Canonical(), err)
		}
		if strings.TrimSpace(in) != "" && strings.Contains(err.Error(), in) {
			t.Errorf("the refusal repeats %q", in)
		}
	}
	// The pattern is anchored as a whole, whatever alternatives it has.
	either := &Scheme{Name: "number", Pattern: "1|2"}
	for _, in := range []string{"12", "21", "1x", "x2"} {
		if _, err := either.Normalise(in); !errors.Is(err, CodeNoSubject) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := (&Scheme{Pattern: "["}).Normalise("1"); CodeOf(err) != CodeInternal {
		t.Errorf("a pattern that cannot be read: %v", err)
	}
	if _, err := (&Scheme{Name: "any", Pattern: ".*"}).Normalise(strings.Repeat("1", 129)); !errors.Is(err, CodeNoSubject) {
		t.Errorf("129 characters: %v", err)
	}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`[0-9A-Za-z \-]{0,12}`).Draw(t, "value")
		once, err := pin.Normalise(in)
		if err != nil {
			return
		}
		if twice, err := pin.Normalise(once.Value); err != nil || twice != once {
			t.Fatalf("%q becomes %q, and then %q: %v", in, once.Value, twice.Value, err)
		}
	})
}

func TestClassRank(t *testing.T) {
	order := []Class{ClassOpen, ClassRelation, ClassConsent, ClassConsentWarrant, ClassWarrant, ClassNever}
	for i, c := range order {
		if c.Rank() != i {
			t.Errorf("%s ranks %d, not %d", c, c.Rank(), i)
		}
	}
	for _, c := range []Class{"", "o", "R ", "X"} {
		if c.Rank() != ClassNever.Rank() {
			t.Errorf("the unknown class %q ranks %d", c, c.Rank())
		}
	}
}

func TestTextIn(t *testing.T) {
	text := Text{"az": "bir", "en": "one"}
	if text.In("az") != "bir" || text.In("ru") != "one" || (Text{"ru": "один"}).In("az") != "один" || (Text{}).In("en") != "" {
		t.Errorf("%q %q", text.In("az"), text.In("ru"))
	}
}
