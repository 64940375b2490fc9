package ledger_test

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

// member is one member's log on disk, which a test closes and opens again.
type member struct {
	t     testing.TB
	dir   string
	key   keys.Signer
	tags  []ledger.TagKey
	clock *clocktest.Clock
	cfg   ledger.Config // what a test changes before opening
	wrap  func(ledger.Store) ledger.Store
	store *store.SQLite
	log   *ledger.Log
}

const origin = countersign.LogOrigin("demo.example/gov/1001")

// begin creates a log. Its background work waits for the test's own ticks.
func begin(t testing.TB) *member {
	t.Helper()
	m := &member{t: t, dir: t.TempDir(), tags: []ledger.TagKey{ledger.NewTagKey(1)}, clock: clocktest.At(time.Date(2026, 11, 22, 10, 20, 30, 0, time.UTC))}
	var err error
	if m.key, err = keys.Generate(countersign.AlgorithmEd25519); err != nil {
		t.Fatal(err)
	}
	m.connect(true)
	if err := ledger.Create(context.Background(), m.config(), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.shut)
	return m
}

func (m *member) connect(create bool) {
	m.t.Helper()
	var err error
	if m.store, err = store.OpenSQLite(context.Background(), filepath.Join(m.dir, "log.db"), store.Options{Create: create}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) config() ledger.Config {
	cfg := m.cfg
	cfg.Store, cfg.Origin, cfg.Key, cfg.TagKeys, cfg.MonthKeys, cfg.Clock = m.store, origin, m.key, m.tags, m.dir, m.clock
	if m.wrap != nil {
		cfg.Store = m.wrap(m.store)
	}
	if cfg.Tick == 0 {
		cfg.Tick = time.Hour
	}
	return cfg
}

// open opens the log, and its store where shut has closed it.
func (m *member) open() *ledger.Log {
	m.t.Helper()
	if m.store == nil {
		m.connect(false)
	}
	var err error
	for { // a disk that fails now and then keeps it from opening, as often as that happens
		if m.log, err = ledger.Open(context.Background(), m.config()); !errors.Is(err, errDisk) {
			break
		}
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return m.log
}

func (m *member) shut() {
	if m.log != nil {
		if err := m.log.Close(); err != nil {
			m.t.Error(err)
		}
	}
	if m.store != nil {
		if err := m.store.Close(); err != nil {
			m.t.Error(err)
		}
	}
	m.log, m.store = nil, nil
}

var (
	consumer = countersign.SubsystemID{MemberID: countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1002"}, Subsystem: "fund"}
	service  = countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1001"}, Subsystem: "people"}, Service: "person"}
)

// entry makes the provider's entry of a fresh exchange about a person.
func (m *member) entry(subject countersign.SubjectID) ledger.Entry {
	now := m.clock.Now()
	s := &countersign.Statement{
		Exchange: countersign.NewExchangeID(now), Consumer: consumer, Service: service, Subject: subject.Canonical(), Purpose: "benefit-decision",
		Basis: "social-act-12", Official: countersign.Official{Pseudonym: "b9k2", Role: "clerk", Assurance: countersign.AssuranceVerified},
		Fields: []countersign.FieldPath{"/name", "/residence"}, Outcome: countersign.OutcomeReleased, Asked: countersign.MillisOf(now),
		Answered: countersign.MillisOf(now), Directory: 7,
	}
	var salt countersign.Salt
	_, _ = rand.Read(salt[:])
	encoded := s.Encode()
	return ledger.Entry{
		Leaf:     countersign.ExchangeLeaf(s, countersign.SideProvider, s.Outcome, salt.Commit(encoded)),
		Record:   &ledger.Record{Statement: encoded, Salt: salt, Rules: []string{"benefit-decision×residence"}, Directory: 7, Official: s.Official, RequestSignature: make([]byte, 200), ResponseSignature: make([]byte, 200)},
		Exchange: s.Exchange, Expires: now.AddDate(2, 0, 0),
	}
}

func TestAppendSurvivesReopeningAndIsPromised(t *testing.T) {
	m := begin(t)
	l := m.open()
	who := countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"}
	var placed []*ledger.Placed
	var entries []ledger.Entry
	for range 300 {
		e := m.entry(who)
		e.Tag = l.TagOf(who)
		p, err := l.Append(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		placed, entries = append(placed, p), append(entries, e)
	}
	_, stranger, err := note.GenerateKey(rand.Reader, "witness.example/w")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := countersign.ParsePolicy([]byte("log " + l.VerifierKey() + "\nwitness w " + stranger + " http://witness.example/\nquorum w\n"))
	if err != nil {
		t.Fatal(err)
	}
	m.shut()
	l = m.open()
	for i, p := range placed {
		r := p.Receipt(entries[i].Record.Statement, entries[i].Record.Salt[:])
		if f, err := policy.Verify(r); err != nil || f.Promise.Index != p.Index || f.Statement.Subject != who.Canonical() {
			t.Fatalf("receipt %d: %+v, %v", i, f, err)
		}
		s, err := l.ByExchange(t.Context(), entries[i].Exchange)
		if err != nil || len(s) != 1 || s[0].Index != p.Index || string(s[0].Record.Statement) != string(entries[i].Record.Statement) {
			t.Fatalf("entry %d: %+v, %v", i, s, err)
		}
	}
	h, err := l.History(t.Context(), l.TagsOf(who), ledger.Page{Limit: 10})
	if err != nil || len(h) != 10 || h[0].Index != placed[299].Index || h[9].Index != placed[290].Index {
		t.Fatalf("history: %d entries, %v", len(h), err)
	}
}
