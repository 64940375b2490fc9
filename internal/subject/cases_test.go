package subject_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/subject"
)

// court is a portal's cases with a desk on a socket, and members that act on them.
type court struct {
	t     *testing.T
	clock *clocktest.Clock
	log   *ledger.Log
	cases *subject.Cases
	url   string
	keys  map[string]keys.Signer
	certs map[string]tls.Certificate
}

func newCourt(t *testing.T) *court {
	t.Helper()
	c := &court{t: t, clock: clocktest.At(time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC)), keys: map[string]keys.Signer{}, certs: map[string]tls.Certificate{}}
	logKey := newKey(t)
	c.log = newLog(t, c.clock, "POR.example/log", logKey)
	c.reopen()
	doc := &countersign.Directory{Format: 1, Instance: "T", Version: 1}
	for name, role := range map[string]countersign.Role{"POR": countersign.RolePortal, "POP": countersign.RoleAgency, "MUN": countersign.RoleAgency, "DPA": countersign.RoleOverseer} {
		sign, tlsKey := newKey(t), newKey(t)
		cert, err := keys.SelfSigned(tlsKey)
		if err != nil {
			t.Fatal(err)
		}
		text, err := keys.EncodePublicKey(sign.Public())
		if err != nil {
			t.Fatal(err)
		}
		c.keys[name], c.certs[name] = sign, cert
		doc.Members = append(doc.Members, countersign.Member{ID: code(name), Roles: []countersign.Role{role}, Gateways: []countersign.Gateway{{
			Name: "gw1", TLS: []countersign.Pin{countersign.Pin(tlsKey.KeyID())}, Sign: []string{string(text)}, Log: countersign.Log{VKey: c.log.VerifierKey()},
		}}})
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.url = "https://" + socket.Addr().String() + subject.PathCases
	mux := http.NewServeMux()
	serve := func(w http.ResponseWriter, r *http.Request) {
		subject.NewCaseDesk(c.cases, func() (*countersign.Directory, error) { return doc, nil }).ServeHTTP(w, r)
	}
	mux.HandleFunc(subject.PathCases, serve)
	mux.HandleFunc(subject.PathCases+"/{number}", serve)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		_ = server.Serve(tls.NewListener(socket, keys.PinnedServer(c.certs["POR"], func(keys.SPKIDigest) error { return nil })))
	}()
	t.Cleanup(func() { _ = server.Close() })
	return c
}

// reopen reads the cases out of the log again, as a restart does.
func (c *court) reopen() {
	c.t.Helper()
	var err error
	if c.cases, err = subject.OpenCases(c.t.Context(), c.log, c.clock, slog.New(slog.DiscardHandler)); err != nil {
		c.t.Fatal(err)
	}
}

// call speaks to the desk as a member.
func (c *court) call(as, method, path string, body, into any) countersign.Code {
	c.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			c.t.Fatal(err)
		}
	}
	tr := &http.Transport{TLSClientConfig: keys.PinnedClient(c.certs[as], func(keys.SPKIDigest) error { return nil })}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var p struct{ Code countersign.Code }
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
			c.t.Fatal(err)
		}
		return p.Code
	}
	if into != nil {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			c.t.Fatal(err)
		}
	}
	return ""
}

// act signs an act as one member and sends it over another's connection.
func (c *court) act(signer, sender string, a subject.Act) countersign.Code {
	c.t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := keys.NewBatchSigner(c.keys[signer])
	if err != nil {
		c.t.Fatal(err)
	}
	sig, err := b.Sign(c.t.Context(), subject.DomainAct, text)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.call(sender, http.MethodPost, "/"+string(a.Case), subject.SignedAct{Act: text, Key: b.KeyID(), Signature: sig}, nil)
}

// answer is an act of a member on a case as it stands.
func (c *court) answer(as string, number subject.CaseNumber, kind subject.StepKind, change ...func(*subject.Act)) countersign.Code {
	c.t.Helper()
	now := c.state(number)
	a := subject.Act{Case: number, Follows: now.Steps() - 1, Member: code(as), Kind: kind, Official: "A. Clerk", Role: "registrar", Text: "because"}
	for _, f := range change {
		f(&a)
	}
	return c.act(as, as, a)
}

func (c *court) state(number subject.CaseNumber) subject.Case {
	c.t.Helper()
	one, _, err := c.cases.Thread(c.t.Context(), person(alma), number)
	if err != nil {
		c.t.Fatal(err)
	}
	return one
}

func (c *court) open(kind subject.CaseKind, against string) subject.CaseNumber {
	c.t.Helper()
	one, err := c.cases.Open(c.t.Context(), person(alma), subject.NewCase{Kind: kind, Against: code(against), Ground: "wrong", Text: "My street is another.", About: subject.About{Service: service("POP"), Field: "/address"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return one.Number
}

func (c *court) person(number subject.CaseNumber, kind subject.StepKind) error {
	_, err := c.cases.PersonStep(c.t.Context(), person(alma), number, kind, "text")
	return err
}

func (c *court) want(number subject.CaseNumber, state subject.CaseState) {
	c.t.Helper()
	if got := c.state(number).State; got != state {
		c.t.Errorf("the case is %s, want %s", got, state)
	}
}

func versions(a *subject.Act) { a.Before, a.After = countersign.Digest{1}, countersign.Digest{2} }

// TestAppealIsDecidedByTheBody (A51): the agency rejects, the person appeals, the agency can no longer close the case, the independent body does. Every step is a leaf.
func TestAppealIsDecidedByTheBody(t *testing.T) {
	c := newCourt(t)
	size := c.log.Size()
	n := c.open(subject.CaseCorrection, "POP")
	c.want(n, subject.CaseOpen)
	if code := c.answer("POP", n, subject.StepRejected); code != "" {
		t.Fatalf("the agency's answer: %s", code)
	}
	c.want(n, subject.CaseAnswered)
	if code := c.answer("DPA", n, subject.StepUpheld); code == "" {
		t.Error("the body decided before anybody appealed")
	}
	if err := c.person(n, subject.StepAppealed); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []subject.StepKind{subject.StepRejected, subject.StepDismissed, subject.StepUpheld, subject.StepCorrected, subject.StepSettled, subject.StepWithdrawn} {
		if code := c.answer("POP", n, kind, func(a *subject.Act) {
			if kind == subject.StepCorrected {
				versions(a)
			}
		}); code != countersign.CodeAccessDenied {
			t.Errorf("the agency closes an appeal by %s: %q", kind, code)
		}
	}
	c.want(n, subject.CaseAppealed)
	c.reopen()
	if code := c.answer("DPA", n, subject.StepUpheld); code != "" {
		t.Fatalf("the body's decision: %s", code)
	}
	c.want(n, subject.CaseUpheld)
	if err := c.person(n, subject.StepReplied); !errors.Is(err, countersign.CodeAccessDenied) {
		t.Errorf("a step after the end: %v", err)
	}
	_, steps, err := c.cases.Thread(t.Context(), person(alma), n)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.log.Size() - size; got != 4 || len(steps) != 4 {
		t.Errorf("%d leaves for %d steps", got, len(steps))
	}
	for _, s := range steps {
		leaf, err := countersign.ParseLeaf(s.Leaf)
		if err != nil || leaf.Kind != countersign.LeafCase || !s.Salt.Opens(leaf.Commitment, s.Document) {
			t.Errorf("step %d is not what its leaf commits to: %v", s.Number, err)
		}
	}
}

// TestSilenceEscalates: after thirty days without an answer the independent body has the case, and the agency's late answer is none.
func TestSilenceEscalates(t *testing.T) {
	c := newCourt(t)
	n := c.open(subject.CaseObjection, "MUN")
	c.clock.Add(subject.ReplyWithin - time.Second)
	if err := c.cases.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.want(n, subject.CaseOpen)
	c.clock.Add(time.Second)
	if code := c.answer("MUN", n, subject.StepRejected); code == "" {
		t.Error("an answer after the deadline closed the agency's part")
	}
	c.want(n, subject.CaseOverdue)
	c.reopen()
	c.want(n, subject.CaseOverdue)
	var list []subject.Case
	if code := c.call("DPA", http.MethodGet, "", nil, &list); code != "" || len(list) != 1 || list[0].Number != n {
		t.Errorf("the body sees %v, %s", list, code)
	}
	if code := c.answer("DPA", n, subject.StepDismissed); code != "" {
		t.Errorf("the body's decision: %s", code)
	}
	c.want(n, subject.CaseDismissed)
}

func TestAnswerStandsWithoutAppeal(t *testing.T) {
	c := newCourt(t)
	n := c.open(subject.CaseObjection, "MUN")
	if code := c.answer("MUN", n, subject.StepAccepted); code != "" {
		t.Fatal(code)
	}
	c.clock.Add(subject.AppealWithin)
	if err := c.person(n, subject.StepAppealed); !errors.Is(err, countersign.CodeAccessDenied) {
		t.Errorf("an appeal after the window: %v", err)
	}
	c.want(n, subject.CaseSettled)
	w := c.open(subject.CaseObjection, "MUN")
	if err := c.person(w, subject.StepWithdrawn); err != nil {
		t.Fatal(err)
	}
	c.want(w, subject.CaseWithdrawn)
}

// TestCorrectionGivesVersions (A52) and a named human (A19).
func TestCorrectionGivesVersions(t *testing.T) {
	c := newCourt(t)
	n := c.open(subject.CaseCorrection, "POP")
	for name, change := range map[string]func(*subject.Act){
		"no versions":      func(*subject.Act) {},
		"no later version": func(a *subject.Act) { a.Before = countersign.Digest{1} },
		"the same version": func(a *subject.Act) { a.Before, a.After = countersign.Digest{1}, countersign.Digest{1} },
		"no official":      func(a *subject.Act) { versions(a); a.Official = " " },
		"no role":          func(a *subject.Act) { versions(a); a.Role = "" },
		"no reasons":       func(a *subject.Act) { versions(a); a.Text = "" },
		"an old reading":   func(a *subject.Act) { versions(a); a.Follows = 7 },
	} {
		if code := c.answer("POP", n, subject.StepCorrected, change); code != countersign.CodeBadRequest {
			t.Errorf("%s: %q", name, code)
		}
	}
	if code := c.answer("POP", n, subject.StepAccepted); code != countersign.CodeBadRequest {
		t.Errorf("a correction that is accepted and not made: %q", code)
	}
	if code := c.answer("POP", n, subject.StepCorrected, versions); code != "" {
		t.Fatalf("the correction: %s", code)
	}
	_, steps, err := c.cases.Thread(t.Context(), person(alma), n)
	if err != nil || steps[1].Before != (countersign.Digest{1}) || steps[1].After != (countersign.Digest{2}) {
		t.Errorf("%+v, %v", steps, err)
	}
}

// TestActsOfOthers: nobody acts in another's name, sees another's case, or decides on a case against itself.
func TestActsOfOthers(t *testing.T) {
	c := newCourt(t)
	n := c.open(subject.CaseCorrection, "POP")
	act := subject.Act{Case: n, Member: code("POP"), Kind: subject.StepRejected, Official: "A", Role: "B", Text: "C"}
	if code := c.act("POR", "POR", act); code == "" {
		t.Error("the portal answered for the agency")
	}
	if code := c.act("POR", "POP", act); code != countersign.CodeSignature {
		t.Errorf("a signature of the portal's over the agency's connection: %q", code)
	}
	if code := c.act("POP", "MUN", act); code != countersign.CodeSignature {
		t.Errorf("an act that somebody else passes on: %q", code)
	}
	if code := c.answer("MUN", n, subject.StepRejected); code != countersign.CodeUnknownService {
		t.Errorf("another agency answers: %q", code)
	}
	if code := c.call("MUN", http.MethodGet, "/"+string(n), nil, nil); code != countersign.CodeUnknownService {
		t.Errorf("another agency reads: %q", code)
	}
	if _, _, err := c.cases.Thread(t.Context(), person(bahar), n); !errors.Is(err, countersign.CodeUnknownService) {
		t.Errorf("another person reads: %v", err)
	}
	if len(c.cases.Of(person(bahar))) != 0 {
		t.Error("another person lists")
	}
	if _, err := c.cases.PersonStep(t.Context(), person(bahar), n, subject.StepWithdrawn, ""); !errors.Is(err, countersign.CodeUnknownService) {
		t.Errorf("another person withdraws: %v", err)
	}
	own := c.open(subject.CaseObjection, "DPA")
	c.clock.Add(subject.ReplyWithin)
	if err := c.cases.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := c.answer("DPA", own, subject.StepDismissed); code == "" {
		t.Error("the body decided on a case against itself")
	}
	c.want(n, subject.CaseOverdue)
}
