package law_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/registers"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/mandate"
)

var at = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// complete fills in what Document leaves to each machine.
func complete(t *testing.T, d *countersign.Directory) {
	t.Helper()
	key := func() string {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text, err := keys.EncodePublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	vkey := func(name string) string {
		_, v, err := note.GenerateKey(rand.Reader, name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	log := func(name string) countersign.Log {
		return countersign.Log{VKey: vkey(name + ".demo.example/log"), URL: "http://127.0.0.1/" + name}
	}
	for i := range d.Bodies {
		d.Bodies[i].Key = key()
	}
	for i := range d.Members {
		m := &d.Members[i]
		pin := sha256.Sum256([]byte(m.ID.String()))
		m.Gateways = []countersign.Gateway{{
			Name: "one", URL: "https://127.0.0.1:1", TLS: []countersign.Pin{countersign.Pin(base64.RawURLEncoding.EncodeToString(pin[:]))},
			Sign: []string{key()}, Log: log(strings.ToLower(m.ID.Code)),
		}}
	}
	for i := range d.Witnesses {
		w := &d.Witnesses[i]
		skey, _, err := note.GenerateKey(rand.Reader, string(w.Name)+".demo.example")
		if err != nil {
			t.Fatal(err)
		}
		signer, err := cosignature.NewSignerForCosignatureV1(skey)
		if err != nil {
			t.Fatal(err)
		}
		w.VKey, w.URL = vkeyOf(t, skey, signer), "http://127.0.0.1/"+string(w.Name)
	}
	d.Log = log("directory")
}

// vkeyOf gives the verifier key of a cosigner: the same key under the cosignature algorithm's byte.
func vkeyOf(t *testing.T, skey string, signer *cosignature.Signer) string {
	t.Helper()
	v := signer.Verifier()
	parts := strings.SplitN(skey, "+", 5)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil {
		t.Fatal(err)
	}
	pub := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	return fmt.Sprintf("%s+%08x+%s", v.Name(), v.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{4}, pub...)))
}

func TestDocumentIsSound(t *testing.T) {
	d := law.Document(at)
	complete(t, d)
	for _, err := range mandate.Check(d) {
		t.Error(err)
	}
	if _, err := mandate.Compile(d); err != nil {
		t.Error(err)
	}
	if err := federation.Check(d); err != nil {
		t.Error(err)
	}
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := countersign.ParseDirectory(raw); err != nil {
		t.Error(err)
	}
}

// Every text that a person may read is there in three languages.
func TestThreeLanguages(t *testing.T) {
	d := law.Document(at)
	check := func(what string, text countersign.Text) {
		for _, lang := range []string{"az", "en", "ru"} {
			if strings.TrimSpace(text[lang]) == "" {
				t.Errorf("%s has no text in %s", what, lang)
			}
		}
	}
	for _, c := range d.Categories {
		check("category "+string(c.Code), c.Text)
	}
	for _, p := range d.Purposes {
		check("purpose "+string(p.Code), p.Text)
	}
	for _, b := range d.Bases {
		check("basis "+string(b.Code), b.Law)
	}
	for i := range d.Services {
		check("service "+d.Services[i].ID.String(), d.Services[i].Text)
	}
	for _, p := range d.Programmes {
		check("programme "+string(p.ID), p.Text)
	}
	for _, m := range d.Members {
		check("member "+m.ID.String(), m.Text)
	}
}

// Every category but the never-exchanged can be asked for by some purpose; those cannot by any.
func TestMatrixCoversTheCategories(t *testing.T) {
	d := law.Document(at)
	for _, c := range d.Categories {
		touched := slices.ContainsFunc(d.Matrix, func(cell countersign.Cell) bool { return cell.Category == c.Code })
		if never := c.Class == countersign.ClassNever; touched == never {
			t.Errorf("category %s of class %s: touched by the matrix is %v", c.Code, c.Class, touched)
		}
	}
}

// DATA-CLASSES, line by line: class and special mark of everything that it lists.
func TestClassesAreThoseOfTheTable(t *testing.T) {
	table := map[string]string{
		"O":    "company religious-organisation tourism-licence radio-licence",
		"R":    "identity photo residence family civil-acts name-changes driving-licence vehicles stateless-identity citizenship residence-permits wanted weapons powers-of-attorney military-registration employment benefits taxpayer income drones property",
		"R*":   "health-treatment",
		"C":    "refugee-status martyr-family education civil-servant-career utility-subsidy",
		"C*":   "fitness-certificate",
		"C/W*": "convictions judgments health-records",
		"W":    "travel-bans migration-history border-crossings passenger-data regional-travel utilities guest-lists bank communications-metadata location",
		"W*":   "wanted-details criminal-cases",
		"N":    "online-activity risk-scores predictions loyalty-categories",
		"N*":   "live-video psychiatric narcological religious-membership face-templates",
	}
	got := map[string]string{}
	for _, c := range law.Document(at).Categories {
		class := string(c.Class)
		if c.Special {
			class += "*"
		}
		got[string(c.Code)] = class
	}
	for class, codes := range table {
		for code := range strings.FieldsSeq(codes) {
			if got[code] != class {
				t.Errorf("category %s has class %q, the table says %s", code, got[code], class)
			}
		}
	}
}

// Every service of every register is offered, and nothing that no register has but what is marked as demo only.
func TestRegistersAreOffered(t *testing.T) {
	d := law.Document(at)
	known := map[countersign.ServiceID]bool{}
	for _, r := range registers.Services() {
		known[law.Service(string(r.Agency), r.Code)] = true
	}
	for _, s := range d.Services {
		if !known[s.ID] && !strings.HasPrefix(s.Text["en"], "Demo only") {
			t.Errorf("%s is offered, and no register has it", s.ID)
		}
		delete(known, s.ID)
	}
	for id := range known {
		t.Errorf("%s is not offered", id)
	}
}

// What the demo plays: one question of each kind is allowed, and a few are not. Those that stand on a case are not, before its register has confirmed it.
func TestDemoQuestions(t *testing.T) {
	p, err := mandate.Compile(law.Document(at))
	if err != nil {
		t.Fatal(err)
	}
	person := countersign.SubjectID{Scheme: "pin", Value: "1ABCD23"}
	clerk := countersign.Official{Pseudonym: "o1", Assurance: countersign.AssuranceAsserted}
	machine := countersign.Official{Assurance: countersign.AssuranceAutomated}
	for _, c := range []struct {
		client, provider, service, method, purpose, basis, issue string
		official                                                 countersign.Official
		code                                                     countersign.Code
	}{
		{"SOC", "POP", "person", "GET", "benefit-decision", "social-act-9", "SOC-2025-000001", clerk, countersign.CodeNoMandate},
		{"SOC", "POP", "family", "GET", "benefit-decision", "social-act-9", "SOC-2025-000001", clerk, countersign.CodeNoMandate},
		{"SOC", "POP", "family", "GET", "benefit-decision", "social-act-9", "", clerk, countersign.CodeNoMandate},
		{"SOC", "VEH", "vehicles", "GET", "benefit-decision", "social-act-9", "SOC-2025-000001", clerk, countersign.CodeNoMandate},
		{"SOC", "MUN", "property", "GET", "benefit-decision", "social-act-9", "SOC-2025-000001", clerk, countersign.CodeNoMandate},
		{"MUN", "POP", "residence", "GET", "address-registration", "municipal-act-21", "", clerk, "ok"},
		{"MUN", "POP", "person", "PUT", "address-registration", "municipal-act-21", "", clerk, "ok"},
		{"MUN", "POP", "person", "PUT", "property-tax", "tax-code-202", "", clerk, countersign.CodeAccessDenied},
		{"MUN", "POP", "residence", "GET", "housing-check", "municipal-act-24", "", machine, "ok"},
		{"MUN", "POP", "benchperson", "GET", "bench", "demo-rules-1", "", machine, "ok"},
		{"SOC", "POP", "benchperson", "GET", "bench", "demo-rules-1", "", machine, countersign.CodeAccessDenied},
		{"POL", "VEH", "licence", "GET", "traffic-stop", "road-act-33", "", clerk, "ok"},
		{"MUN", "VEH", "licence", "GET", "traffic-stop", "road-act-33", "", clerk, countersign.CodeAccessDenied},
		{"POL", "POP", "person", "GET", "criminal-investigation", "criminal-procedure-177", "POL-2025-00001", clerk, countersign.CodeAssurance},
		{"POL", "CLN", "records", "GET", "criminal-investigation", "criminal-procedure-177", "POL-2025-00001", clerk, countersign.CodeAssurance},
		{"POL", "CLN", "records", "GET", "traffic-stop", "road-act-33", "", clerk, countersign.CodeForbiddenCell},
		{"CLN", "POP", "person", "GET", "treatment", "health-act-26", "", clerk, "ok"},
		{"CLN", "CLN", "records", "GET", "treatment", "health-act-26", "", clerk, countersign.CodeNoMandate},
		{"CLN", "POP", "check", "POST", "identity-check", "population-act-14", "", clerk, "ok"},
		{"VEH", "POP", "person", "GET", "vehicle-registration", "road-act-12", "", clerk, "ok"},
		{"POP", "MUN", "permits", "GET", "residence-permit", "migration-code-45", "", clerk, "ok"},
		{"SOC", "POP", "echo-personal", "POST", "protocol-test", "demo-rules-1", "", clerk, "ok"},
	} {
		name := fmt.Sprint(c.client, " asks ", c.provider, "/", c.service, " for ", c.purpose)
		q := &mandate.Question{
			Consumer: law.Client(c.client), Service: law.Service(c.provider, c.service), Method: c.method, Subject: person,
			Purpose: countersign.PurposeCode(c.purpose), Basis: countersign.BasisCode(c.basis), Case: countersign.CaseRef(c.issue), Official: c.official, At: at,
		}
		d := p.Decide(q)
		switch {
		case c.code == "ok" && !d.Allowed():
			t.Errorf("%s: refused: %v", name, d.Err())
		case c.code != "ok" && d.Allowed():
			t.Errorf("%s: allowed", name)
		case c.code != "ok" && d.Codes()[0] != c.code:
			t.Errorf("%s: refused for %v, expected %s first", name, d.Codes(), c.code)
		}
	}
}

func TestStandingReachesOpenData(t *testing.T) {
	p, err := mandate.Compile(law.Document(at))
	if err != nil {
		t.Fatal(err)
	}
	s, ok := p.StandingFor(law.Client(law.SOC), law.Service(law.MUN, "opendata"))
	if !ok {
		t.Fatal("no standing declaration")
	}
	q := &mandate.Question{
		Consumer: s.Client, Service: s.Service, Method: "GET", Purpose: s.Purpose, Basis: s.Basis, Standing: true,
		Official: countersign.Official{Assurance: countersign.AssuranceAutomated}, At: at,
	}
	d := p.Decide(q)
	if !d.Allowed() || !slices.Equal(d.Fields, []countersign.FieldPath{"*"}) || d.Personal || len(d.Budgets) > 0 {
		t.Errorf("%+v: %v", d, d.Err())
	}
}
