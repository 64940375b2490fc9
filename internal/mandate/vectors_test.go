package mandate

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"countersign.dev/countersign"
)

const vectors = "../../docs/spec/vectors/policy"

type vectorFile struct {
	About    string         `json:"about"`
	Defaults map[string]any `json:"defaults"`
	Cases    []struct {
		Name     string         `json:"name"`
		Question map[string]any `json:"question"` // over the defaults; null takes one away
		Expect   vectorExpect   `json:"expect"`
	} `json:"cases"`
}

type vectorExpect struct {
	Decision    string                   `json:"decision"` // allow, ask (the subject is in the answer) or refuse
	Codes       []countersign.Code       `json:"codes"`
	Fields      *[]countersign.FieldPath `json:"fields"`
	Writes      *[]countersign.FieldPath `json:"writes"`
	Mandate     *countersign.MandateKind `json:"mandate"`
	Class       *countersign.Class       `json:"class"`
	Special     *bool                    `json:"special"`
	NeedsQuorum *bool                    `json:"needsQuorum"`
	Budgets     *[]string                `json:"budgets"`
	Rules       []string                 `json:"rules"`
}

type vectorQuestion struct {
	Consumer        countersign.SubsystemID `json:"consumer"`
	Service         countersign.ServiceID   `json:"service"`
	Method          string                  `json:"method"`
	Subject         string                  `json:"subject"`
	Purpose         countersign.PurposeCode `json:"purpose"`
	Basis           countersign.BasisCode   `json:"basis"`
	Case            countersign.CaseRef     `json:"case"`
	OnBehalfOf      []string                `json:"onBehalfOf"`
	Official        countersign.Official    `json:"official"`
	OfficialSubject string                  `json:"officialSubject"`
	Standing        bool                    `json:"standing"`
	At              time.Time               `json:"at"`
	Mandates        []vectorMandate         `json:"mandates"`
}

type vectorMandate struct {
	Kind      countersign.MandateKind `json:"kind"`
	ID        countersign.MandateID   `json:"id"`
	Digest    countersign.Digest      `json:"digest"`
	Consumer  countersign.SubsystemID `json:"consumer"`
	Service   countersign.ServiceID   `json:"service"`
	Fields    []countersign.FieldPath `json:"fields"`
	Purpose   countersign.PurposeCode `json:"purpose"`
	Basis     countersign.BasisCode   `json:"basis"`
	Subject   string                  `json:"subject"`
	Case      countersign.CaseRef     `json:"case"`
	NotBefore time.Time               `json:"notBefore"`
	NotAfter  time.Time               `json:"notAfter"`
	Uses      int                     `json:"uses"`
	Used      int                     `json:"used"`
}

func strict(t *testing.T, b []byte, to any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		t.Fatal(err)
	}
}

func subjectOf(t *testing.T, text string) countersign.SubjectID {
	t.Helper()
	if text == "" {
		return countersign.SubjectID{}
	}
	id, err := countersign.ParseSubjectID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (v *vectorQuestion) question(t *testing.T) *Question {
	q := &Question{
		Consumer: v.Consumer, Service: v.Service, Method: v.Method, Subject: subjectOf(t, v.Subject), Purpose: v.Purpose, Basis: v.Basis, Case: v.Case,
		OnBehalfOf: v.OnBehalfOf, Official: v.Official, OfficialSubject: subjectOf(t, v.OfficialSubject), Standing: v.Standing, At: v.At,
	}
	for _, m := range v.Mandates {
		q.Mandates = append(q.Mandates, Mandate{
			Kind: m.Kind, ID: m.ID, Digest: m.Digest, Consumer: m.Consumer, Service: m.Service, Fields: m.Fields, Purpose: m.Purpose, Basis: m.Basis,
			Subject: subjectOf(t, m.Subject), Case: m.Case, NotBefore: m.NotBefore, NotAfter: m.NotAfter, Uses: m.Uses, Used: m.Used, verified: true,
		})
	}
	return q
}

func TestVectors(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(vectors, "directory.json"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := countersign.ParseDirectory(raw)
	if err != nil {
		t.Fatal(err)
	}
	p := compiled(t, d)
	files, err := filepath.Glob(filepath.Join(vectors, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, name := range files {
		if filepath.Base(name) == "directory.json" {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f vectorFile
		strict(t, raw, &f)
		for _, c := range f.Cases {
			cases++
			t.Run(filepath.Base(name)+"/"+c.Name, func(t *testing.T) {
				whole := maps.Clone(f.Defaults)
				maps.Copy(whole, c.Question)
				maps.DeleteFunc(whole, func(_ string, v any) bool { return v == nil })
				raw, err := json.Marshal(whole)
				if err != nil {
					t.Fatal(err)
				}
				var q vectorQuestion
				strict(t, raw, &q)
				got := p.Decide(q.question(t))
				c.Expect.check(t, &got)
			})
		}
	}
	if cases < 40 {
		t.Errorf("%d cases: vectors are missing", cases)
	}
}

func (e *vectorExpect) check(t *testing.T, got *Decision) {
	t.Helper()
	decision := "refuse"
	switch {
	case got.Allowed():
		decision = "allow"
	case got.MayAsk():
		decision = "ask"
	}
	if decision != e.Decision || !slices.Equal(got.Codes(), e.Codes) {
		t.Fatalf("%s %v, want %s %v: %v", decision, got.Codes(), e.Decision, e.Codes, got.Err())
	}
	if e.Fields != nil && !slices.Equal(got.Fields, *e.Fields) {
		t.Errorf("fields %v, want %v", got.Fields, *e.Fields)
	}
	if e.Writes != nil && !slices.Equal(got.Writes, *e.Writes) {
		t.Errorf("writes %v, want %v", got.Writes, *e.Writes)
	}
	if e.Mandate != nil && got.Mandate.Kind != *e.Mandate {
		t.Errorf("mandate %s, want %s", got.Mandate.Kind, *e.Mandate)
	}
	if e.Class != nil && got.Class != *e.Class {
		t.Errorf("class %s, want %s", got.Class, *e.Class)
	}
	if e.Special != nil && got.Special != *e.Special {
		t.Errorf("special %v, want %v", got.Special, *e.Special)
	}
	if e.NeedsQuorum != nil && got.NeedsQuorum != *e.NeedsQuorum {
		t.Errorf("needsQuorum %v, want %v", got.NeedsQuorum, *e.NeedsQuorum)
	}
	if e.Budgets != nil {
		names := []string{}
		for _, b := range got.Budgets {
			names = append(names, b.Name)
		}
		if !slices.Equal(names, *e.Budgets) {
			t.Errorf("budgets %v, want %v", names, *e.Budgets)
		}
	}
	if !slices.Equal(got.Rules, e.Rules) {
		t.Errorf("rules %v, want %v", got.Rules, e.Rules)
	}
}
