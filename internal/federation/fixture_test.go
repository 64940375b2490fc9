package federation_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
	"countersign.dev/countersign/internal/keys"
)

// The tests' keys come from names, so that a failure shows the same document each time.
func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func spki(name string) string {
	text, err := keys.EncodePublicKey(keyOf(name).Public())
	if err != nil {
		panic(err)
	}
	return string(text)
}

func pin(name string) countersign.Pin {
	id, err := countersign.KeyIDOf(keyOf(name).Public())
	if err != nil {
		panic(err)
	}
	return countersign.Pin(id)
}

func logOf(name string) countersign.Log {
	vkey, err := note.NewEd25519VerifierKey("log.example/"+name, keyOf("log "+name).Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return countersign.Log{VKey: vkey, URL: "https://" + name + ".example/log"}
}

// succeeding is a gateway whose log has taken over from another.
func succeeding(g countersign.Gateway) countersign.Gateway {
	g.Log.Before = []countersign.EndedLog{endedLog(string(g.Name) + "-lost")}
	return g
}

// endedLog ended with a checkpoint of seven leaves.
func endedLog(name string) countersign.EndedLog {
	l := logOf(name)
	root := sha256.Sum256([]byte("seven leaves"))
	text := fmt.Sprintf("log.example/%s\n7\n%s\n", name, base64.StdEncoding.EncodeToString(root[:]))
	v, err := note.NewVerifier(l.VKey)
	if err != nil {
		panic(err)
	}
	sig := binary.BigEndian.AppendUint32(nil, v.KeyHash())
	sig = append(sig, ed25519.Sign(keyOf("log "+name), []byte(text))...)
	return countersign.EndedLog{VKey: l.VKey, URL: l.URL, From: start, Checkpoint: text + "\n\u2014 " + v.Name() + " " + base64.StdEncoding.EncodeToString(sig) + "\n"}
}

func witnessOf(name, organisation string) countersign.Witness {
	vkey, err := note.NewEd25519VerifierKey("witness.example/"+name, keyOf("witness "+name).Public().(ed25519.PublicKey))
	if err == nil {
		vkey, err = cosignature.VKeyToCosignatureV1(vkey)
	}
	if err != nil {
		panic(err)
	}
	return countersign.Witness{Name: countersign.WitnessName(name), Organisation: organisation, VKey: vkey, URL: "https://" + name + ".example"}
}

func en(s string) countersign.Text { return countersign.Text{"en": s} }

func gatewayOf(name string) countersign.Gateway {
	return countersign.Gateway{Name: countersign.GatewayName(name), URL: "https://" + name + ".example:5500", TLS: []countersign.Pin{pin("tls " + name)},
		Sign: []string{spki("sign " + name)}, Log: logOf(name)}
}

var (
	population   = countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1001"}
	municipality = countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1002"}
	courtMember  = countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "2001"}
	personData   = countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: population, Subsystem: "registry"}, Service: "person"}
	openData     = countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: population, Subsystem: "registry"}, Service: "streets"}
	permits      = countersign.SubsystemID{MemberID: municipality, Subsystem: "permits"}
)

var bodyNames = []countersign.BodyName{"assembly", "bar", "ministry", "ombudsman", "university"}

// document is a small federation that uses every part of the form.
func document() *countersign.Directory {
	assessment := countersign.Digest{1}
	staffOf, judgesOf, cases := municipality, courtMember, personData
	d := &countersign.Directory{
		Format: 1, Instance: "DEMO", Version: 1, Demo: true, Name: en("Fictional federation"),
		Schemes: []countersign.Scheme{{Name: "pin", Text: en("personal code"), Strip: " -", Upper: true, Pattern: `[A-Z0-9]{7}`}},
		Members: []countersign.Member{
			{ID: population, Text: en("Population register"), Roles: []countersign.Role{countersign.RoleAgency},
				Subsystems: []countersign.Subsystem{{Code: "registry", Text: en("Registry")}}, Gateways: []countersign.Gateway{gatewayOf("pop-1"), succeeding(gatewayOf("pop-2"))}},
			{ID: municipality, Text: en("Municipality"), Roles: []countersign.Role{countersign.RoleAgency, countersign.RolePortal},
				Subsystems: []countersign.Subsystem{{Code: "permits", Text: en("Permits")}, {Code: "schools", Text: en("Schools")}}, Gateways: []countersign.Gateway{gatewayOf("mun-1")}},
			{ID: courtMember, Text: en("District court"), Roles: []countersign.Role{countersign.RoleCourt}},
		},
		Categories: []countersign.Category{
			{Code: "streets", Text: en("Street names"), Class: countersign.ClassOpen},
			{Code: "residence", Text: en("Residence"), Class: countersign.ClassRelation},
			{Code: "family", Text: en("Family"), Class: countersign.ClassRelation},
			{Code: "diplomas", Text: en("Diplomas"), Class: countersign.ClassConsent},
			{Code: "convictions", Text: en("Convictions"), Class: countersign.ClassConsentWarrant, Special: true},
			{Code: "judgments", Text: en("Sealed judgments"), Class: countersign.ClassWarrant},
			{Code: "face-templates", Text: en("Face templates"), Class: countersign.ClassNever, Special: true},
		},
		Bases: []countersign.LegalBasis{{Code: "housing-12", Law: en("Housing act"), Article: "12", URL: "https://law.example/12"}, {Code: "criminal-3", Law: en("Criminal code"), Article: "3"}},
		Purposes: []countersign.Purpose{
			{Code: "housing-permit", Text: en("to decide on a housing permit"), Bases: []countersign.BasisCode{"housing-12"}, Assurance: countersign.AssuranceAutomated,
				Retention: countersign.Duration(30 * 24 * time.Hour), Polling: &countersign.Polling{PerMinute: 2, PerDay: 30}, Linkage: 6},
			{Code: "criminal-case", Text: en("to investigate a crime"), Bases: []countersign.BasisCode{"criminal-3"}, Assurance: countersign.AssuranceVerified,
				Retention: countersign.Duration(365 * 24 * time.Hour), Mandates: []countersign.MandateKind{countersign.MandateWarrant}, Case: true, CaseRegister: &cases},
		},
		Matrix: []countersign.Cell{
			{Purpose: "housing-permit", Category: "streets", Mandates: []countersign.MandateKind{countersign.MandateNone}},
			{Purpose: "housing-permit", Category: "residence", Mandates: []countersign.MandateKind{countersign.MandateNone, countersign.MandateProgramme}},
			{Purpose: "housing-permit", Category: "family", Mandates: []countersign.MandateKind{countersign.MandateRelation, countersign.MandateEmergency}},
			{Purpose: "criminal-case", Category: "judgments", Mandates: []countersign.MandateKind{countersign.MandateWarrant}},
			{Purpose: "criminal-case", Category: "convictions", Mandates: []countersign.MandateKind{countersign.MandateConsent, countersign.MandateWarrant}},
		},
		Services: []countersign.Service{
			{ID: personData, Text: en("One person's residence"), Categories: []countersign.CategoryCode{"residence", "family"},
				Subject:   countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin", In: "path", Name: "pin"},
				Endpoints: []countersign.Endpoint{{Method: "GET", Path: "/people/{pin}"}, {Method: "POST", Path: "/people/{pin}/check"}},
				Fields:    []countersign.Field{{Path: "/address", Category: "residence"}, {Path: "/since", Category: "residence"}, {Path: "/children/*/name", Category: "family", Related: "/children/*/pin"}},
				Grants: []countersign.Grant{{Purpose: "housing-permit", Clients: []string{permits.String(), "DEMO/GOV/1002/schools"}, Fields: []countersign.FieldPath{"/address", "/children/*/name"}},
					{Purpose: "housing-permit", Clients: []string{"*"}, Fields: []countersign.FieldPath{"/since"}, Writes: []countersign.FieldPath{"/note"}, Methods: []string{"GET"}}},
				OpenAPI: "person.yaml", Assessment: &assessment, Timeout: countersign.Duration(20 * time.Second)},
			{ID: openData, Text: en("Street names"), Categories: []countersign.CategoryCode{"streets"}, Subject: countersign.Selector{From: countersign.SubjectNone},
				Endpoints: []countersign.Endpoint{{Method: "GET", Path: "/**"}},
				Grants:    []countersign.Grant{{Purpose: "housing-permit", Clients: []string{"*"}, Fields: []countersign.FieldPath{"*"}}}},
		},
		Standing: []countersign.StandingDeclaration{{Client: permits, Service: personData, Purpose: "housing-permit", Basis: "housing-12"}},
		Programmes: []countersign.Programme{{ID: "yearly-review", Text: en("Yearly review"), Client: permits, Service: personData, Purpose: "housing-permit", Basis: "housing-12",
			Fields: []countersign.FieldPath{"/address"}, Population: "holders of a permit", PerHour: 500, From: start, Until: start.Add(365 * 24 * time.Hour)}},
		Rules:  []countersign.Rule{{ID: "no-night", Text: en("Nothing at night"), Policy: "forbid (principal, action, resource);"}},
		Courts: []countersign.Court{{Name: "district", Member: courtMember, Text: en("District court"), Keys: []string{spki("court")}, Log: logOf("court")}},
		Issuers: []countersign.Issuer{
			{URL: "https://id.example", For: []countersign.IssuerRole{countersign.IssuerPerson}, Audience: []string{"portal"}, Consents: []string{"portal-consent"}, Scheme: "pin", Claim: "pin"},
			{URL: "https://staff.example", For: []countersign.IssuerRole{countersign.IssuerOfficial}, Member: &staffOf, Audience: []string{"gateway", "desk"}},
			{URL: "https://staff.example", For: []countersign.IssuerRole{countersign.IssuerJudge}, Member: &judgesOf, Audience: []string{"bench"}},
		},
		Witnesses: []countersign.Witness{witnessOf("w1", "University"), witnessOf("w2", "Bar association"), witnessOf("w3", "Bar association"), witnessOf("w4", "Press council")},
		Quorum:    2, Log: logOf("directory"),
		Caps: countersign.Caps{PeopleOfficial: 30},
	}
	for _, n := range bodyNames {
		d.Bodies = append(d.Bodies, countersign.Body{Name: n, Text: en("Body " + string(n)), Key: spki("body " + string(n))})
	}
	return d
}

func clone(t testing.TB, d *countersign.Directory) *countersign.Directory {
	t.Helper()
	out, err := countersign.ParseDirectory(encode(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t testing.TB, d *countersign.Directory) []byte {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// announcements is a log that remembers what it was told, and fails when told so.
type announcements struct {
	mu   sync.Mutex
	all  map[countersign.Digest]uint64
	fail error
}

func (a *announcements) Announce(_ context.Context, version uint64, digest countersign.Digest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return a.fail
	}
	a.all[digest] = version
	return nil
}

// world is a federation with a published directory, its host and an HTTP server.
type world struct {
	t      *testing.T
	clock  *clocktest.Clock
	folder federation.Folder
	host   *federation.Host
	log    *announcements
	server *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clocktest.At(start), folder: federation.Folder(filepath.Join(t.TempDir(), "repository")), log: &announcements{all: map[countersign.Digest]uint64{}}}
	bodies := document().Bodies
	w.must(ceremony.Init(w.folder, ceremony.InitOptions{Instance: "DEMO", Bodies: bodies, Snapshot: keyOf("snapshot").Public(), Timestamp: keyOf("timestamp").Public()}, w.clock.Now()))
	_, err := ceremony.Propose(w.folder, encode(t, document()), map[string][]byte{"person.yaml": []byte("openapi: 3.0.3\n")}, ceremony.Options{}, w.clock.Now())
	w.must(err)
	w.signAndPublish("assembly", "bar", "ministry")
	w.host = &federation.Host{Folder: w.folder, Snapshot: keyOf("snapshot"), Timestamp: keyOf("timestamp"), Clock: w.clock, Announcer: w.log, Log: slog.New(slog.DiscardHandler)}
	w.refresh()
	w.server = httptest.NewServer(federation.NewServer(w.folder, w.clock))
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) refresh() {
	w.t.Helper()
	w.must(w.host.Refresh(w.t.Context()))
}

func (w *world) sign(names ...countersign.BodyName) {
	w.t.Helper()
	for _, n := range names {
		_, err := ceremony.Sign(w.folder.Staged(), keyOf("body "+string(n)), ceremony.SignOptions{}, w.clock.Now())
		w.must(err)
	}
}

func (w *world) signAndPublish(names ...countersign.BodyName) {
	w.t.Helper()
	w.sign(names...)
	_, err := ceremony.Publish(w.folder, w.clock.Now())
	w.must(err)
}

// change publishes an edited document by three bodies and serves it.
func (w *world) change(edit func(*countersign.Directory)) *ceremony.Report {
	w.t.Helper()
	r, err := ceremony.Edit(w.folder, func(d *countersign.Directory) error { edit(d); return nil }, ceremony.Options{}, w.clock.Now())
	w.must(err)
	w.signAndPublish("bar", "ombudsman", "university")
	w.refresh()
	return r
}

func (w *world) root() []byte {
	w.t.Helper()
	raw, err := os.ReadFile(w.folder.FirstRoot())
	w.must(err)
	return raw
}

func (w *world) client(folder string) *federation.Client {
	w.t.Helper()
	c, err := federation.OpenClient(federation.ClientOptions{URL: w.server.URL, Root: w.root(), Folder: folder, Clock: w.clock})
	w.must(err)
	return c
}

// view polls, which must work, and gives what is in force.
func (w *world) view(c *federation.Client) *federation.View {
	w.t.Helper()
	w.must(c.Poll(w.t.Context()))
	v, err := c.Current()
	w.must(err)
	return v
}

func publicKey(name string) crypto.PublicKey { return keyOf(name).Public() }

func mustKeyID(t testing.TB, name string) countersign.KeyID {
	t.Helper()
	id, err := countersign.KeyIDOf(publicKey(name))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func randomPin(n int) countersign.Pin {
	sum := sha256.Sum256(fmt.Appendf(nil, "pin %d", n))
	return countersign.Pin(base64.RawURLEncoding.EncodeToString(sum[:]))
}

func encodeDates(t testing.TB, d federation.Dates) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// put writes a file without ceremony.
func put(path string, content []byte) error {
	return os.WriteFile(path, content, 0o600)
}
