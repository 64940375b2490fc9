package federation_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/witness"
	"pgregory.net/rapid"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

func viewOf(t testing.TB, d *countersign.Directory) *federation.View {
	t.Helper()
	v, err := federation.NewView(d, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func digestOfPin(t testing.TB, p countersign.Pin) keys.SPKIDigest {
	t.Helper()
	d, err := keys.ParseSPKIDigest(countersign.KeyID(p))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestViewRefusesWhatCheckRefuses(t *testing.T) {
	d := document()
	d.Quorum = 0
	if _, err := federation.NewView(d, start); countersign.CodeOf(err) != countersign.CodeBadRequest {
		t.Errorf("error %v", err)
	}
}

// Everything in the document is found by its name, and nothing else is.
func TestViewFinds(t *testing.T) {
	d := document()
	v := viewOf(t, d)
	for i := range d.Members {
		m := &d.Members[i]
		if got, ok := v.Member(m.ID); !ok || got != m {
			t.Errorf("member %s: %v", m.ID, got)
		}
		if !v.Client(countersign.SubsystemID{MemberID: m.ID}) {
			t.Errorf("member %s is no client", m.ID)
		}
		for _, s := range m.Subsystems {
			id := countersign.SubsystemID{MemberID: m.ID, Subsystem: s.Code}
			if got, ok := v.Subsystem(id); !ok || got.Code != s.Code || !v.Client(id) {
				t.Errorf("subsystem %s: %v", id, got)
			}
		}
		if len(v.Gateways(m.ID)) != len(m.Gateways) {
			t.Errorf("gateways of %s: %d", m.ID, len(v.Gateways(m.ID)))
		}
		for j, g := range v.Gateways(m.ID) {
			if g.Name != m.Gateways[j].Name || g.Member != m.ID || g.LogKey.VKey != g.Log.VKey {
				t.Errorf("gateway %+v", g)
			}
			if got, ok := v.GatewayByPin(digestOfPin(t, g.TLS[0])); !ok || got != g {
				t.Errorf("by pin: %v", got)
			}
			id := mustKeyID(t, "sign "+string(g.Name))
			if got, ok := v.GatewayBySignKey(id); !ok || got != g {
				t.Errorf("by signing key: %v", got)
			}
			if pub, ok := g.SignKey(id); !ok || !ed25519.PublicKey(keyOf("sign " + string(g.Name))[32:]).Equal(pub) {
				t.Errorf("signing key of %s", g.Name)
			}
			if l, ok := v.LogByOrigin(g.LogKey.Origin); !ok || l.Owner != m.ID || l.Gateway != g.Name {
				t.Errorf("log of %s: %+v", g.Name, l)
			}
		}
	}
	if _, ok := v.Member(countersign.MemberID{}); ok {
		t.Error("nobody is a member")
	}
	if _, ok := v.Subsystem(countersign.SubsystemID{MemberID: population}); ok {
		t.Error("a member is no subsystem")
	}
	if v.Client(countersign.SubsystemID{MemberID: population, Subsystem: "roads"}) {
		t.Error("an unknown subsystem is a client")
	}
	if _, ok := v.GatewayByPin(digestOfPin(t, randomPin(1))); ok {
		t.Error("an unknown pin is a gateway's")
	}
	if _, ok := v.GatewayByPin(keys.SPKIDigest{}); ok {
		t.Error("no key is a gateway's")
	}
	for _, c := range d.Matrix {
		if got, ok := v.Cell(c.Purpose, c.Category); !ok || len(got.Mandates) != len(c.Mandates) {
			t.Errorf("cell %v", got)
		}
	}
	if _, ok := v.Cell("housing-permit", "judgments"); ok {
		t.Error("a blank cell permits")
	}
	if s, ok := v.Standing(permits, personData); !ok || s.Purpose != "housing-permit" {
		t.Errorf("standing declaration %v", s)
	}
	if _, ok := v.Standing(permits, openData); ok {
		t.Error("a declaration that nobody made")
	}
	if c, ok := v.Court("district"); !ok || c.Keys[mustKeyID(t, "court")] == nil {
		t.Errorf("court %v", c)
	}
	if p, ok := v.Programme("yearly-review"); !ok || p.PerHour != 500 {
		t.Errorf("programme %v", p)
	}
	if p, ok := v.Purpose("criminal-case"); !ok || !p.Case {
		t.Errorf("purpose %v", p)
	}
	if b, ok := v.Basis("criminal-3"); !ok || b.Article != "3" {
		t.Errorf("basis %v", b)
	}
	if l, ok := v.LogByOrigin("log.example/directory"); !ok || !l.Owner.IsZero() {
		t.Errorf("the directory's log %v", l)
	}
	want := countersign.DefaultCaps()
	want.PeopleOfficial = 30
	if v.Caps() != want {
		t.Errorf("caps %+v", v.Caps())
	}
}

func TestViewOfService(t *testing.T) {
	d := document()
	v := viewOf(t, d)
	s, _ := v.Service(personData)
	if c, ok := s.Category("/children/*/name"); !ok || c != "family" {
		t.Errorf("category %q", c)
	}
	if _, ok := s.Category("/phone"); ok {
		t.Error("an undeclared field has a category")
	}
	if g := s.Grants(permits, "housing-permit"); len(g) != 2 {
		t.Errorf("%d grants to a named client, want its own and everybody's", len(g))
	}
	if g := s.Grants(countersign.SubsystemID{MemberID: courtMember}, "housing-permit"); len(g) != 1 || g[0].Fields[0] != "/since" {
		t.Errorf("grants to anybody: %v", g)
	}
	if g := s.Grants(permits, "criminal-case"); len(g) != 0 {
		t.Errorf("grants for another purpose: %v", g)
	}
	o, _ := v.Service(openData)
	if s.Class != countersign.ClassRelation || !s.Personal || !s.Active || o.Class != countersign.ClassOpen || o.Personal || !o.Active {
		t.Errorf("classes %s and %s", s.Class, o.Class)
	}
	// SAFEGUARDS 10: a personal service is inactive without a signed assessment.
	d.Services[0].Assessment, d.Services[1].Disabled = nil, true
	v = viewOf(t, d)
	s, _ = v.Service(personData)
	o, _ = v.Service(openData)
	if s.Active || o.Active {
		t.Error("a service without assessment or out of use is active")
	}
}

func TestNormalise(t *testing.T) {
	v := viewOf(t, document())
	for _, text := range []string{"pin:AB12345", "pin: ab-12 345", "pin:aB-1-2-3-4-5"} {
		id, err := v.NormaliseSubject(text)
		if err != nil || id.Canonical() != "pin:AB12345" {
			t.Errorf("%q: %q, %v", text, id.Canonical(), err)
		}
	}
	for _, text := range []string{"pin:AB1234", "pin:AB12345\n", "pin:*", "pin:", "AB12345", "passport:AB12345", "pin:AB12345,AB12346", "pin:АВ12345", "pin:" + strings.Repeat(" ", 300)} {
		id, err := v.NormaliseSubject(text)
		if err == nil || !id.IsZero() {
			t.Errorf("%q is taken for %q", text, id.Canonical())
		} else if code := countersign.CodeOf(err); code != countersign.CodeNoSubject && code != countersign.CodeBadRequest {
			t.Errorf("%q: code %s", text, code)
		} else if strings.Contains(err.Error(), "12345") {
			t.Errorf("the refusal repeats the value: %v", err)
		}
	}
}

// The compiled rule and the scheme's own agree, and one application is enough.
func TestNormaliseProperty(t *testing.T) {
	d := document()
	v := viewOf(t, d)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9 -]{5,12}`), rapid.String()).Draw(t, "value")
		a, errA := v.Normalise("pin", value)
		b, errB := d.Schemes[0].Normalise(value)
		if a != b || (errA == nil) != (errB == nil) {
			t.Fatalf("%q: %q %v, but %q %v", value, a.Canonical(), errA, b.Canonical(), errB)
		}
		if errA == nil {
			if again, err := v.Normalise("pin", a.Value); err != nil || again != a {
				t.Fatalf("%q is not stable: %q", value, again.Canonical())
			}
		}
	})
}

// The hot path's look-ups cost no memory.
func TestLookUpsDoNotAllocate(t *testing.T) {
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	pin := digestOfPin(t, pin("tls mun-1"))
	key := mustKeyID(t, "sign mun-1")
	var failed bool
	if n := testing.AllocsPerRun(200, func() {
		v, err := c.Current()
		g, ok1 := v.GatewayByPin(pin)
		_, ok2 := g.SignKey(key)
		s, ok3 := v.Service(personData)
		_, ok4 := v.Cell("housing-permit", "residence")
		_, ok5 := v.Standing(permits, personData)
		_, ok6 := s.Category("/address")
		_, ok7 := v.Purpose("housing-permit")
		id, errID := v.Normalise("pin", "AB12345")
		failed = failed || err != nil || errID != nil || id.IsZero() || !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || len(s.Grants(permits, "housing-permit")) == 0
	}); n != 0 || failed {
		t.Errorf("%v allocations, failed %t", n, failed)
	}
}

func BenchmarkCurrentAndLookUps(b *testing.B) {
	v := viewOf(b, document())
	pin := digestOfPin(b, pin("tls mun-1"))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := v.GatewayByPin(pin); !ok {
			b.Fatal("no gateway")
		}
		if s, ok := v.Service(personData); !ok || len(s.Grants(permits, "housing-permit")) == 0 {
			b.Fatal("no service")
		}
		if _, err := v.Normalise("pin", "AB12345"); err != nil {
			b.Fatal(err)
		}
	}
}

// A42: an organisation counts once. An independent parser reads the policy as we mean it.
func TestPolicyText(t *testing.T) {
	d := document()
	text := viewOf(t, d).PolicyText(d.Log)
	if !strings.HasPrefix(text, "log "+d.Log.VKey+" "+d.Log.URL+"\n") {
		t.Errorf("no log line:\n%s", text)
	}
	group, err := witness.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if group.N != 2 || len(group.Components) != 3 {
		t.Errorf("a quorum of %d among %d organisations, want 2 among 3", group.N, len(group.Components))
	}
	if n := len(group.Endpoints()); n != 4 {
		t.Errorf("%d witnesses", n)
	}
	// Names that collide with those that the policy makes up, and organisations that are spelt alike.
	d.Witnesses[0].Name, d.Witnesses[1].Organisation, d.Witnesses[2].Organisation = "organisations", "Bar Association", "bar association"
	if err := federation.Check(d); err != nil {
		t.Fatal(err)
	}
	if group, err = witness.ParsePolicy([]byte(federation.PolicyText(d))); err != nil || len(group.Components) != 4 || group.N != 2 {
		t.Errorf("%v:\n%s", err, federation.PolicyText(d))
	}
	d.Quorum = 5
	if _, err := witness.ParsePolicy([]byte(federation.PolicyText(d))); err == nil {
		t.Error("a quorum that nobody can reach makes a policy that a parser takes")
	}
}

func TestCheckTargets(t *testing.T) {
	d := document()
	if err := federation.CheckTargets(d, func(name string) bool { return name == "person.yaml" }); err != nil {
		t.Error(err)
	}
	err := federation.CheckTargets(d, func(string) bool { return false })
	if !errors.Is(err, countersign.CodeBadRequest) || !strings.Contains(err.Error(), "services[0].openapi") {
		t.Errorf("error %v", err)
	}
}
