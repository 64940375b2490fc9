package mandate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

const courtLog = "court.example/log"

func keyText(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	text, err := keys.EncodePublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// judicial is the fixture with a court, and with gateways' keys.
func judicial(t testing.TB) *countersign.Directory {
	d := fixture()
	court := countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "CRT"}
	d.Members = append(d.Members, countersign.Member{ID: court, Roles: []countersign.Role{countersign.RoleCourt}, Subsystems: []countersign.Subsystem{{Code: "desk"}}})
	d.Courts = []countersign.Court{{Name: "first", Member: court, Keys: []string{keyText(t, public(testKey("court")))}, Log: countersign.Log{VKey: vkey(courtLog, 1, testKey(courtLog))}}}
	for i := range d.Members {
		d.Members[i].Gateways = []countersign.Gateway{{Name: "one", Sign: []string{keyText(t, public(testKey("gateway "+d.Members[i].ID.Code)))}}}
	}
	cases := serviceID("DEMO/GOV/SOC/registry/cases")
	d.Categories = append(d.Categories, countersign.Category{Code: "case-register", Class: "R"})
	d.Services = append(d.Services, countersign.Service{
		ID: cases, Categories: []countersign.CategoryCode{"case-register"}, Assessment: &countersign.Digest{1},
		Subject:   countersign.Selector{From: "request", Scheme: "pin", In: "query", Name: "pin"},
		Endpoints: []countersign.Endpoint{{Method: "GET", Path: "/{case}"}}, Fields: fieldsOf("case-register", "/open"),
	})
	d.Purposes[0].CaseRegister = &cases
	return d
}

type registered struct {
	log   countersign.LogOrigin
	since time.Time
	err   error
}

// Registered says what the test wants.
func (r registered) Registered(countersign.Digest) (countersign.LogOrigin, time.Time, error) {
	return r.log, r.since, r.err
}

type statusText struct {
	text string
	err  error
}

// StatusList gives what the test has.
func (s statusText) StatusList(string) (string, error) { return s.text, s.err }

const statusURI = "https://court.example/status/1"

func terms() *Warrant {
	return &Warrant{
		Scope: Scope{ID: "W-1", Subject: person.Canonical(), Client: subsystem(police), Service: serviceID(health), Fields: list("/diagnosis"), Purpose: "crime",
			Basis: "crime-177", Case: "POL-1", Issued: SecondsOf(now.Add(-time.Hour)), From: SecondsOf(now.Add(-30 * time.Minute)), Until: SecondsOf(now.Add(24 * time.Hour))},
		Court: "first", Judge: "J-17", Uses: 2, Ground: "The wound must be compared.", Facts: countersign.Digest{9}, Privilege: "none", Status: NewStatusRef(statusURI, 11),
	}
}

type warrantCase struct {
	token    func(t *testing.T, w *Warrant) string // nil for the court's own signature
	terms    func(w *Warrant)
	proof    Registration
	statuses StatusSource
	rights   Suspensions // nothing is overdue where nil
	d        func(d *countersign.Directory)
	want     string // part of the refusal; "" for valid
}

func (c *warrantCase) verify(t *testing.T) (Mandate, *Warrant, error) {
	t.Helper()
	d := judicial(t)
	if c.d != nil {
		c.d(d)
	}
	w := terms()
	if c.terms != nil {
		c.terms(w)
	}
	if c.token == nil {
		c.token = func(t *testing.T, w *Warrant) string { return signed(t, "court", w) }
	}
	if c.proof == nil {
		c.proof = registered{log: courtLog, since: now.Add(-45 * time.Minute)}
	}
	if c.statuses == nil {
		c.statuses = status(t, "court", statusURI, now, 5)
	}
	if c.rights == nil {
		c.rights = rights{}
	}
	return compiled(t, d).VerifyWarrant(c.token(t, w), now, c.proof, c.statuses, c.rights)
}

func signed(t testing.TB, key string, w *Warrant) string {
	t.Helper()
	token, err := SignWarrant(testKey(key), w)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// status is a list of 64 warrants in which some are withdrawn.
func status(t testing.TB, key, uri string, at time.Time, withdrawn ...int) StatusSource {
	t.Helper()
	list := make([]bool, 64)
	for _, i := range withdrawn {
		list[i] = true
	}
	text, err := SignStatusList(testKey(key), uri, list, at)
	if err != nil {
		t.Fatal(err)
	}
	return statusText{text: text}
}

// everlasting is a status list whose court claims a longer life for it than a gateway grants.
func everlasting(t testing.TB, at time.Time) StatusSource {
	t.Helper()
	c := statusClaims{URI: statusURI, Issued: SecondsOf(at)}
	c.List.Bits, c.List.List = 1, "eJxjYGBgAAAABAAB"
	text, err := signToken(testKey("court"), typeStatusList, &c)
	if err != nil {
		t.Fatal(err)
	}
	return statusText{text: text}
}

func TestWarrants(t *testing.T) {
	swap := func(header string) func(*testing.T, *Warrant) string {
		return func(t *testing.T, w *Warrant) string {
			parts := strings.Split(signed(t, "court", w), ".")
			parts[0] = base64.RawURLEncoding.EncodeToString([]byte(header))
			return strings.Join(parts, ".")
		}
	}
	for name, c := range map[string]*warrantCase{
		"valid":                     {},
		"back-dated (A20)":          {proof: registered{log: courtLog, since: now.Add(-10 * time.Minute)}, want: "back-dated"},
		"registered in the future":  {proof: registered{log: courtLog, since: now.Add(time.Hour)}, want: "lies in the future"},
		"not registered (A20)":      {proof: registered{err: countersign.Refuse(countersign.CodeMandateInvalid, "no such leaf")}, want: "no such leaf"},
		"registered in another log": {proof: registered{log: "police.example/log", since: now.Add(-45 * time.Minute)}, want: "its own court's log"},
		"no receipt":                {proof: ReceiptProof{}, want: "without the receipt"},
		"expired (A21)":             {terms: func(w *Warrant) { w.Until = SecondsOf(now) }, want: "has expired"},
		"ends before it begins":     {terms: func(w *Warrant) { w.From = w.Until }, want: "later end (exp)"},
		"issued in the future":      {terms: func(w *Warrant) { w.Issued = SecondsOf(now.Add(time.Minute)) }, want: "issued in the future"},
		"too long a life":           {terms: func(w *Warrant) { w.Until = SecondsOf(now.Add(31 * day)) }, want: "valid for longer than 720h0m0s"},
		"withdrawn (A22)":           {statuses: status(t, "court", statusURI, now, 11), want: "was withdrawn"},
		"stale status (A22)":        {statuses: status(t, "court", statusURI, now.Add(-6*time.Minute)), want: "not fresh"},
		"stale status that says it is good for ever (A22)": {statuses: everlasting(t, now.Add(-6*time.Minute)), want: "not fresh"},
		"status from the future":                           {statuses: status(t, "court", statusURI, now.Add(time.Minute)), want: "not fresh"},
		"status of another list":                           {statuses: status(t, "court", "https://court.example/status/2", now), want: "another one than the mandate names"},
		"status by another key":                            {statuses: status(t, "gateway POL", statusURI, now), want: "status list is not signed by its issuer"},
		"no status to be had (A22)":                        {statuses: statusText{err: errors.New("down")}, want: "cannot be had"},
		"no status named":                                  {terms: func(w *Warrant) { w.Status = StatusRef{} }, want: "names no status list"},
		"no place in the list":                             {terms: func(w *Warrant) { w.Status = NewStatusRef(statusURI, 64) }, want: "has no place"},
		"self-issued (A26)":                                {token: func(t *testing.T, w *Warrant) string { return signed(t, "gateway POL", w) }, want: "not signed by a key that the directory holds"},
		"no court (A26)":                                   {terms: func(w *Warrant) { w.Court = "prosecutor" }, want: "is of no court of the directory"},
		"key of a removed judge (A26)":                     {d: func(d *countersign.Directory) { d.Courts[0].Keys = []string{keyText(t, public(testKey("new judge")))} }, want: "not signed by a key that the directory holds"},
		"court that lost its role (A26)":                   {d: func(d *countersign.Directory) { d.Members[6].Roles = []countersign.Role{countersign.RoleOverseer} }, want: "is of no court"},
		"prosecutor as court (A26)":                        {d: func(d *countersign.Directory) { d.Courts[0].Member = subsystem(police).MemberID }, want: "is of no court"},
		"issuer asks":                                      {terms: func(w *Warrant) { w.Client = subsystem("DEMO/GOV/CRT/desk") }, want: "the requester is never the issuer"},
		"nobody (A27)":                                     {terms: func(w *Warrant) { w.Subject = "" }, want: "names no person"},
		"everybody (A27)":                                  {terms: func(w *Warrant) { w.Subject = "pin:*" }, want: "canonical identifier"},
		"two people (A27)":                                 {terms: func(w *Warrant) { w.Subject = "pin:1ABCD23,9ZZZZ99" }, want: "canonical identifier"},
		"another spelling":                                 {terms: func(w *Warrant) { w.Subject = "pin:1abcd23" }, want: "canonical identifier"},
		"no uses":                                          {terms: func(w *Warrant) { w.Uses = 0 }, want: "grants 0 uses"},
		"uses without end":                                 {terms: func(w *Warrant) { w.Uses = 1000 }, want: "grants 1000 uses"},
		"no fields":                                        {terms: func(w *Warrant) { w.Fields = nil }, want: "does not list its fields"},
		"fields twice":                                     {terms: func(w *Warrant) { w.Fields = list("/ward /ward") }, want: "does not list its fields"},
		"no ground":                                        {terms: func(w *Warrant) { w.Ground = " " }, want: "gives no ground"},
		"no judge":                                         {terms: func(w *Warrant) { w.Judge = "" }, want: "names no judge"},
		"no facts":                                         {terms: func(w *Warrant) { w.Facts = countersign.Digest{} }, want: "digest of the facts"},
		"no word on privilege":                             {terms: func(w *Warrant) { w.Privilege = "" }, want: "protected professions"},
		"delay":                                            {terms: func(w *Warrant) { w.Delay = countersign.Duration(day) }, want: "asks for a delay of notice, and this gateway has no sealing"},
		"delay, a review overdue":                          {terms: func(w *Warrant) { w.Delay = countersign.Duration(day) }, rights: rights{unreviewed: true}, want: "the review of an earlier use by the member is overdue"},
		"delay, reviews unknown":                           {terms: func(w *Warrant) { w.Delay = countersign.Duration(day) }, rights: rights{err: errors.New("down")}, want: "counts as overdue"},
		"delay beyond the cap":                             {terms: func(w *Warrant) { w.Delay = countersign.Duration(91 * day) }, want: "2160h0m0s at most"},
		"no signature": {token: func(t *testing.T, w *Warrant) string {
			p := strings.Split(signed(t, "court", w), ".")
			return p[0] + "." + p[1] + "."
		}, want: "not signed by a key"},
		"alg none":     {token: swap(`{"alg":"none","typ":"countersign-warrant+jwt"}`), want: "not a compact JWS"},
		"alg HS256":    {token: swap(`{"alg":"HS256","typ":"countersign-warrant+jwt"}`), want: "not a compact JWS"},
		"alg ES256":    {token: swap(`{"alg":"ES256","typ":"countersign-warrant+jwt"}`), want: "not signed by a key"},
		"another type": {token: swap(`{"alg":"EdDSA","typ":"countersign-consent+jwt"}`), want: "header must hold"},
		"no type":      {token: swap(`{"alg":"EdDSA"}`), want: "header must hold"},
		"key by URL":   {token: swap(`{"alg":"EdDSA","typ":"countersign-warrant+jwt","jku":"https://police.example/key"}`), want: "header must hold"},
		"altered": {token: func(t *testing.T, w *Warrant) string {
			p := strings.Split(signed(t, "court", w), ".")
			w.Uses = 99
			p[1] = strings.Split(signed(t, "court", w), ".")[1]
			return strings.Join(p, ".")
		}, want: "not signed by a key"},
		"too long": {terms: func(w *Warrant) { w.Ground = strings.Repeat("x", MaxTokenBytes) }, want: "longer than"},
		"unknown claim": {token: func(t *testing.T, _ *Warrant) string {
			token, err := signToken(testKey("court"), typeWarrant, map[string]any{"iss": "first", "sub": "pin:1ABCD23", "area": "everyone"})
			if err != nil {
				t.Fatal(err)
			}
			return token
		}, want: "claims cannot be read"},
	} {
		m, w, err := c.verify(t)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if m.Kind != countersign.MandateWarrant || m.Subject != person || m.Uses != 2 || w.Ground == "" || m.Digest.IsZero() {
				t.Errorf("%s: %+v", name, m)
			}
			continue
		}
		if m.verified || countersign.CodeOf(err) != countersign.CodeMandateInvalid || !strings.Contains(countersign.MessageOf(err), c.want) {
			t.Errorf("%s: %v, want a refusal with %q", name, err, c.want)
		}
		if strings.Contains(countersign.MessageOf(err), person.Value) {
			t.Errorf("%s: the refusal names the person", name)
		}
	}
}

func TestWarrantByHardwareKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	list, err := SignStatusList(key, statusURI, make([]bool, 16), now)
	if err != nil {
		t.Fatal(err)
	}
	c := &warrantCase{
		d:        func(d *countersign.Directory) { d.Courts[0].Keys = append(d.Courts[0].Keys, keyText(t, key.Public())) },
		statuses: statusText{text: list},
		token: func(t *testing.T, w *Warrant) string {
			token, err := SignWarrant(key, w)
			if err != nil {
				t.Fatal(err)
			}
			return token
		},
	}
	if _, _, err := c.verify(t); err != nil {
		t.Error(err)
	}
}

func TestVerifiedWarrantDecides(t *testing.T) {
	m, _, err := new(warrantCase).verify(t)
	if err != nil {
		t.Fatal(err)
	}
	p := compiled(t, judicial(t))
	q := crimeQuestion(health)
	q.Case, q.Mandates = "POL-1", []Mandate{m}
	if d := p.Decide(q); !d.Allowed() || !d.NeedsQuorum || d.Fields[0] != "/diagnosis" {
		t.Error(d.Err())
	}
	q.Subject = other
	if d := p.Decide(q); d.MayAsk() {
		t.Error("the warrant opens another person's records (A23)")
	}
}

func TestReceiptProof(t *testing.T) {
	token := signed(t, "court", terms())
	digest := sha256.Sum256([]byte(token))
	since := now.Add(-45 * time.Minute)
	policy := logPolicy(t, courtLog)
	leaf := &countersign.Leaf{Kind: countersign.LeafMandate, Commitment: countersign.Commitment(digest)}
	good := ReceiptProof{policy, receipt(t, courtLog, leaf, since, true)}
	log, at, err := good.Registered(digest)
	if err != nil || log != courtLog || !at.Equal(since) {
		t.Fatalf("%s %s %v", log, at, err)
	}
	if _, _, err := (&warrantCase{proof: good}).verify(t); err != nil {
		t.Error(err)
	}
	for name, r := range map[string]ReceiptProof{
		"not cosigned":    {policy, receipt(t, courtLog, leaf, since, false)},
		"another log":     {policy, receipt(t, "police.example/log", leaf, since, true)},
		"another mandate": {policy, receipt(t, courtLog, &countersign.Leaf{Kind: countersign.LeafMandate, Commitment: countersign.Commitment{1}}, since, true)},
		"another kind":    {policy, receipt(t, courtLog, &countersign.Leaf{Kind: countersign.LeafExchange, Commitment: countersign.Commitment(digest)}, since, true)},
		"nothing":         {},
	} {
		if _, _, err := r.Registered(digest); countersign.CodeOf(err) != countersign.CodeMandateInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRelations(t *testing.T) {
	const registerLog = "soc.example/log"
	p := compiled(t, judicial(t))
	for name, c := range map[string]struct {
		statement func(s *countersign.Statement)
		answer    string
		given     string // the answer that the evidence shows, if another
		relation  func(r *Relation)
		log       string
		at        time.Time
		want      string
	}{
		"valid":                      {},
		"valid treatment":            {answer: `{"treatment":"SOC-1","pin":"1ABCD23","open":true,"kind":"care"}`},
		"an invented case (A07)":     {relation: func(r *Relation) { r.Case = "SOC-2" }, want: "another case"},
		"no case":                    {relation: func(r *Relation) { r.Case = "" }, want: "of no case"},
		"closed":                     {answer: `{"case":"SOC-1","pin":"1ABCD23","open":false}`, want: "not open"},
		"not said to be open":        {answer: `{"case":"SOC-1","pin":"1ABCD23"}`, want: "not open"},
		"another person (A05)":       {answer: `{"case":"SOC-1","pin":"9ZZZZ99","open":true}`, want: "another person"},
		"two opinions":               {answer: `{"case":"SOC-1","pin":"1ABCD23","open":false,"open":true}`, want: "cannot be read"},
		"another answer":             {given: `{"case":"SOC-9","pin":"1ABCD23","open":true}`, want: "another answer than the case register gave"},
		"refused":                    {statement: func(s *countersign.Statement) { s.Outcome = countersign.OutcomeRefused }, want: "released nothing"},
		"another register":           {statement: func(s *countersign.Statement) { s.Service = serviceID(people) }, want: "than the case register that the directory names"},
		"told to another member":     {statement: func(s *countersign.Statement) { s.Consumer = subsystem(police) }, want: "to another member"},
		"about nobody":               {statement: func(s *countersign.Statement) { s.Subject = "" }, want: "about nobody"},
		"a purpose without register": {relation: func(r *Relation) { r.Purpose = "crime" }, want: "names no case register"},
		"a log that nobody pinned":   {log: "elsewhere.example/log", want: "does not hold"},
		"yesterday's":                {at: now.Add(25 * time.Hour), want: "more than a day ago"},
	} {
		if c.answer == "" {
			c.answer = `{"case":"SOC-1","pin":"1ABCD23","open":true}`
		}
		if c.given == "" {
			c.given = c.answer
		}
		if c.log == "" {
			c.log = registerLog
		}
		if c.at.IsZero() {
			c.at = now
		}
		salt := countersign.Salt{7}
		sum := sha256.Sum256([]byte(c.answer))
		st := &countersign.Statement{
			Exchange: countersign.NewExchangeID(now), Consumer: subsystem(welfare), Service: serviceID("DEMO/GOV/SOC/registry/cases"), Subject: person.Canonical(),
			Purpose: "confirm", Basis: "social-9", Outcome: countersign.OutcomeReleased, Asked: countersign.MillisOf(now), Answered: countersign.MillisOf(now),
			Answer: salt.Blind("answer", sum[:]), Fields: list("/open"),
		}
		if c.statement != nil {
			c.statement(st)
		}
		leaf := countersign.ExchangeLeaf(st, countersign.SideProvider, st.Outcome, salt.Commit(st.Encode()))
		r := receipt(t, c.log, leaf, now, true)
		r.Statement, r.Salt = st.Encode(), salt[:]
		evidence, err := json.Marshal(RelationEvidence{Receipt: r, Answer: []byte(c.given)})
		if err != nil {
			t.Fatal(err)
		}
		want := Relation{Client: subsystem(welfare), Service: serviceID(people), Purpose: "benefit", Case: "SOC-1"}
		if c.relation != nil {
			c.relation(&want)
		}
		m, err := p.VerifyRelation(evidence, want, c.at, logPolicy(t, registerLog))
		if c.want == "" {
			q := benefitQuestion()
			q.Mandates = []Mandate{m}
			if d := p.Decide(q); err != nil || !d.Allowed() || len(d.Fields) != 3 {
				t.Errorf("%s: %v, %v", name, err, d.Err())
			}
			continue
		}
		if m.verified || countersign.CodeOf(err) != countersign.CodeMandateInvalid || !strings.Contains(countersign.MessageOf(err), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
