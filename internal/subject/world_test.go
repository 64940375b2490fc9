package subject_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/identity/issuertest"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/subject"
)

// world is a federation of one portal and some agencies, each with a log and a desk behind TLS on a socket of its own.
type world struct {
	clock   *clocktest.Clock
	issuer  *issuertest.Issuer
	doc     *countersign.Directory
	members map[string]*member
	portal  *subject.Portal
}

// member is one gateway.
type member struct {
	id     countersign.MemberID
	log    *ledger.Log
	cert   tls.Certificate
	server *http.Server
	front  func(http.Handler) http.Handler // put before the desk by a test
	url    string
}

// patience is long, so that a busy machine is no slow gateway.
const patience = time.Minute

func code(c string) countersign.MemberID {
	return countersign.MemberID{Instance: "T", Class: "GOV", Code: c}
}

func newWorld(t testing.TB, agencies ...string) *world {
	t.Helper()
	w := &world{clock: clocktest.At(time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC)), members: map[string]*member{}}
	w.issuer = issuertest.New(t, w.clock)
	w.doc = &countersign.Directory{
		Format: 1, Instance: "T", Version: 7, Schemes: []countersign.Scheme{{Name: "pin", Strip: " -", Upper: true, Pattern: `[0-9A-Z]{7}`}},
		Issuers:    []countersign.Issuer{{URL: w.issuer.URL, For: []countersign.IssuerRole{countersign.IssuerPerson}, Audience: []string{"portal"}, Scheme: "pin"}},
		Categories: []countersign.Category{{Code: "residence", Class: countersign.ClassRelation}},
	}
	for _, a := range append([]string{"POR"}, agencies...) {
		w.join(t, a)
	}
	w.wait(patience)
	return w
}

// wait gives the portal another patience.
func (w *world) wait(d time.Duration) {
	p := w.members["POR"]
	w.portal = subject.NewPortal(subject.PortalOptions{
		Member: p.id, Cert: p.cert, Directory: w.directory, Log: p.log, Verifier: w.verifier(), Clock: w.clock, Logger: slog.New(slog.DiscardHandler), Patience: d,
	})
}

func (w *world) directory() (*countersign.Directory, error) { return w.doc, nil }

func (w *world) verifier() *identity.Verifier {
	return identity.NewVerifier(func() ([]countersign.Issuer, error) { return w.doc.Issuers, nil }, nil, w.clock)
}

func newKey(t testing.TB) keys.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := keys.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// join gives a member keys, a log, a desk and a place in the directory.
func (w *world) join(t testing.TB, name string) {
	t.Helper()
	m := &member{id: code(name), front: func(h http.Handler) http.Handler { return h }}
	w.members[name] = m
	logKey, signKey, tlsKey := newKey(t), newKey(t), newKey(t)
	origin := countersign.LogOrigin(name + ".example/log")
	m.log = newLog(t, w.clock, origin, logKey)
	var err error
	if m.cert, err = keys.SelfSigned(tlsKey); err != nil {
		t.Fatal(err)
	}
	signer, err := keys.NewBatchSigner(signKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = signer.Close(context.Background()) })
	desk := subject.NewDesk(subject.DeskOptions{
		Member: m.id, Gateway: "gw1", Directory: w.directory, Log: m.log, Verifier: w.verifier(), Signer: signer, Clock: w.clock, Logger: slog.New(slog.DiscardHandler),
	})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.url = "https://" + socket.Addr().String()
	// Whoever has a key gets as far as the desk: what is tested is the desk's own refusal.
	config := keys.PinnedServer(m.cert, func(keys.SPKIDigest) error { return nil })
	m.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { m.front(desk).ServeHTTP(rw, r) }), ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() { _ = m.server.Serve(tls.NewListener(socket, config)) }()
	t.Cleanup(func() { _ = m.server.Close() })
	sign, err := keys.EncodePublicKey(signKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	role := countersign.RoleAgency
	if name == "POR" {
		role = countersign.RolePortal
	}
	next := *w.doc
	next.Members = append(append([]countersign.Member{}, w.doc.Members...), countersign.Member{
		ID: m.id, Text: countersign.Text{"en": "Agency " + name}, Roles: []countersign.Role{role},
		Gateways: []countersign.Gateway{{Name: "gw1", URL: m.url, TLS: []countersign.Pin{countersign.Pin(tlsKey.KeyID())}, Sign: []string{string(sign)}, Log: countersign.Log{VKey: m.log.VerifierKey()}}},
	})
	next.Services = append(append([]countersign.Service{}, w.doc.Services...), countersign.Service{
		ID: service(name), Text: countersign.Text{"en": "Residence"}, Categories: []countersign.CategoryCode{"residence"}, Subject: countersign.Selector{From: countersign.SubjectInRequest},
		Fields: []countersign.Field{{Path: "/address", Category: "residence"}},
	})
	w.doc = &next
}

func newLog(t testing.TB, now *clocktest.Clock, origin countersign.LogOrigin, key keys.Signer) *ledger.Log {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "store.db"), store.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	months := filepath.Join(dir, "expiry")
	if err := os.Mkdir(months, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := ledger.Config{Store: s, Origin: origin, Key: key, TagKeys: []ledger.TagKey{ledger.NewTagKey(1)}, MonthKeys: months, Clock: now, Tick: time.Hour}
	if err := ledger.Create(t.Context(), conf, "test"); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(context.WithoutCancel(t.Context()), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func service(name string) countersign.ServiceID {
	return countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: code(name), Subsystem: "registry"}, Service: "residence"}
}

func person(value string) countersign.SubjectID {
	return countersign.SubjectID{Scheme: "pin", Value: value}
}

// login gives a person at the portal, with the token and session behind it for tests that steal them.
func (w *world) login(t testing.TB, value string) (*subject.Person, *identity.Session, string) {
	t.Helper()
	s, err := identity.NewSession(code("POR"))
	if err != nil {
		t.Fatal(err)
	}
	token := w.issuer.Token(value, s.Nonce())
	p, err := w.portal.Login(t.Context(), s, token)
	if err != nil {
		t.Fatal(err)
	}
	return p, s, token
}

// exchanged is one exchange that a test records.
type exchanged struct {
	statement countersign.Statement
	salt      countersign.Salt
	notice    countersign.Millis
}

// exchange prepares an exchange now: consumer asks provider about somebody, and the address leaves.
func (w *world) exchange(provider, consumer, about string) *exchanged {
	now := countersign.MillisOf(w.clock.Now())
	e := &exchanged{statement: countersign.Statement{
		Exchange: countersign.NewExchangeID(w.clock.Now()), Consumer: countersign.SubsystemID{MemberID: code(consumer), Subsystem: "desk"}, Service: service(provider),
		Subject: person(about).Canonical(), Purpose: "property-tax", Basis: "tax-1", Official: countersign.Official{Pseudonym: "P", Assurance: countersign.AssuranceAsserted},
		Fields: []countersign.FieldPath{"/address"}, Outcome: countersign.OutcomeReleased, Asked: now, Answered: now, Answer: countersign.SaltedDigest{1}, Directory: 7,
	}}
	_, _ = rand.Read(e.salt[:])
	return e
}

// record puts one side of an exchange into a member's log.
func (w *world) record(t testing.TB, name string, side countersign.Side, outcome countersign.Outcome, e *exchanged) uint64 {
	t.Helper()
	text := e.statement.Encode()
	log := w.members[name].log
	var tag countersign.SubjectTag
	if e.statement.Subject != "" {
		id, err := countersign.ParseSubjectID(e.statement.Subject)
		if err != nil {
			t.Fatal(err)
		}
		tag = log.TagOf(id)
	}
	placed, err := log.Append(t.Context(), ledger.Entry{
		Leaf: countersign.ExchangeLeaf(&e.statement, side, outcome, e.salt.Commit(text)), Exchange: e.statement.Exchange, Tag: tag,
		Record: &ledger.Record{Statement: text, Salt: e.salt, Directory: 7, Notice: e.notice}, Expires: w.clock.Now().AddDate(10, 0, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	return placed.Index
}

// both records a whole exchange.
func (w *world) both(t testing.TB, provider, consumer, about string) *exchanged {
	t.Helper()
	e := w.exchange(provider, consumer, about)
	w.record(t, provider, countersign.SideProvider, countersign.OutcomeReleased, e)
	w.record(t, consumer, countersign.SideConsumer, countersign.OutcomeReceived, e)
	return e
}

func (w *world) history(t testing.TB, p *subject.Person, q subject.HistoryQuery) *subject.History {
	t.Helper()
	h, err := w.portal.History(t.Context(), p, q)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// exchanges leaves out the person's own views.
func exchanges(h *subject.History) (out []*subject.Use) {
	for _, u := range h.Uses {
		if u.Kind != countersign.LeafView {
			out = append(out, u)
		}
	}
	return out
}

func agencyNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("A%02d", i)
	}
	return out
}
