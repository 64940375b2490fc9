package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

const successorOrigin = countersign.LogOrigin("demo.example/gov/1001/second")

// succession is a member whose first log has ended, with what is left of its store, and a second log in a store of its own.
type succession struct {
	*member
	old    *store.SQLite
	ended  countersign.EndedLog
	leaves []*ledger.Placed // of the first log
	began  time.Time
}

// succeed lets a log of seven records lose the last two, and begins its successor.
func succeed(t *testing.T) *succession {
	t.Helper()
	m := begin(t)
	_, policy := witnesses(t, m, 3)
	m.cfg.Policy = policy
	s := &succession{member: m}
	l := m.open()
	add := func() {
		p, _ := m.append(t)
		s.leaves = append(s.leaves, p)
	}
	for range 5 {
		add()
	}
	l.Tick(t.Context())
	if err := l.WaitCosigned(within(t, 20*time.Second), s.leaves[4].Index); err != nil {
		t.Fatal(err)
	}
	m.shut()
	left := snapshot(t, m.dir)
	l = m.open()
	add()
	add()
	l.Tick(t.Context())
	if err := l.WaitCosigned(within(t, 20*time.Second), s.leaves[6].Index); err != nil {
		t.Fatal(err)
	}
	vkey := l.VerifierKey()
	m.shut()
	restore(t, m.dir, left)
	head, err := ledger.WitnessedHead(t.Context(), http.DefaultClient, policy, vkey, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.clock.Add(time.Hour)
	s.began = m.clock.Now()
	s.ended = countersign.EndedLog{VKey: vkey, URL: "https://pop.example/ended/1", Checkpoint: string(head), From: s.began}
	if s.old, err = store.OpenSQLiteReader(t.Context(), filepath.Join(m.dir, "log.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.old.Close() })
	if m.store, err = store.OpenSQLite(t.Context(), filepath.Join(m.dir, "second.db"), store.Options{Create: true}); err != nil {
		t.Fatal(err)
	}
	if err := ledger.BeginSuccessor(t.Context(), s.config(), s.ended, "test"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *succession) config() ledger.Config {
	cfg := s.member.config()
	cfg.Origin, cfg.Policy = successorOrigin, nil
	cfg.Ended = []ledger.Ended{{Store: s.old, Origin: origin}}
	return cfg
}

func (s *succession) open() *ledger.Log {
	s.t.Helper()
	var err error
	if s.log, err = ledger.Open(context.Background(), s.config()); err != nil {
		s.t.Fatal(err)
	}
	return s.log
}

func (s *succession) entryOf(l *ledger.Log) countersign.Log {
	return countersign.Log{VKey: l.VerifierKey(), Before: []countersign.EndedLog{s.ended}}
}

// A successor takes nothing before the directory announces it with the end that it knows itself, and then no question while one that the lost
// store has answered could come again, and never a mandate whose uses the lost store had counted.
func TestASuccessorWaitsForTheDirectoryAndForOldQuestions(t *testing.T) {
	s := succeed(t)
	l := s.open()
	if _, err := l.Append(t.Context(), s.entry(countersign.SubjectID{})); !errors.Is(err, countersign.CodeMaintenance) {
		t.Fatalf("it takes a record before it is announced: %v", err)
	}
	other := s.entryOf(l)
	other.Before = []countersign.EndedLog{{VKey: s.ended.VKey, Checkpoint: "another end"}}
	l.Announce(other)
	l.Announce(countersign.Log{VKey: s.ended.VKey})
	if l.Healthy() == nil {
		t.Fatal("another announcement than its own lets it go on")
	}
	l.Announce(s.entryOf(l))
	s.append(t)
	ask := func(uses ...ledger.Use) error {
		return l.Reserve(t.Context(), ledger.Reservation{Exchange: countersign.NewExchangeID(s.clock.Now()), Consumer: consumer, Until: s.clock.Now().Add(time.Hour), Uses: uses})
	}
	if err := ask(); !errors.Is(err, countersign.CodeMaintenance) || l.Healthy() == nil {
		t.Fatalf("a question is taken at once: %v", err)
	}
	s.shutLog()
	s.clock.Add(6*time.Minute + time.Second)
	l = s.open()
	l.Announce(s.entryOf(l))
	if err := ask(); err != nil || l.Healthy() != nil {
		t.Fatalf("a question after the wait: %v, %v", err, l.Healthy())
	}
	ends := s.clock.Now().Add(24 * time.Hour)
	if err := ask(ledger.Use{Mandate: "w-1", Limit: 3, Begins: s.began.Add(-time.Minute), Ends: ends}); !errors.Is(err, countersign.CodeMandateSpent) {
		t.Fatalf("uses that were counted in the lost store are forgotten: %v", err)
	}
	if err := ask(ledger.Use{Mandate: "w-2", Limit: 3, Begins: s.began.Add(time.Minute), Ends: ends}); err != nil {
		t.Fatalf("a mandate that was granted since: %v", err)
	}
}

func (s *succession) shutLog() {
	if err := s.log.Close(); err != nil {
		s.t.Error(err)
	}
	s.log = nil
}

// Records of the ended log stay readable and provable beside those of its successor.
func TestEndedLogsStayReadable(t *testing.T) {
	s := succeed(t)
	l := s.open()
	l.Announce(s.entryOf(l))
	var second []*ledger.Placed
	for range 3 {
		p, _ := s.append(t)
		second = append(second, p)
	}
	left, err := s.old.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Newest first, across both logs, in pages of any size.
	for limit := 1; limit <= 10; limit++ {
		var got []uint64
		for page := (ledger.Page{Limit: limit}); ; {
			list, err := l.List(t.Context(), page)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				got = append(got, e.Index)
			}
			page.Before = got[len(got)-1]
			if page.Before == 0 {
				break // pages of one entry: what is older cannot be asked for
			}
		}
		if limit > 1 && (len(got) != 4+int(left) || got[0] != 3 || got[4] != countersign.PlaceOf(1, left-1) || got[len(got)-1] != countersign.PlaceOf(1, 0)) {
			t.Fatalf("pages of %d: %v", limit, got)
		}
	}
	place := countersign.PlaceOf(1, s.leaves[2].Index)
	e, err := l.Leaf(t.Context(), place)
	if err != nil || e.Record == nil || e.Origin != origin || e.Index != place {
		t.Fatalf("a record of the ended log: %+v, %v", e, err)
	}
	if all, err := l.ByExchange(t.Context(), e.Exchange); err != nil || len(all) != 1 || all[0].Index != place {
		t.Fatalf("its exchange: %v, %v", all, err)
	}
	placed, err := l.Promise(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	receipt := placed.Receipt(e.Record.Statement, e.Record.Salt[:])
	if receipt.Proof, err = l.Proof(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	policy, err := countersign.ParsePolicy(s.cfg.Policy) // names the ended log
	if err != nil {
		t.Fatal(err)
	}
	f, err := policy.Verify(receipt)
	if err != nil || !f.Cosigned || f.Promise.Origin != origin || f.Promise.Index != s.leaves[2].Index {
		t.Fatalf("its receipt: %+v, %v", f, err)
	}
	if _, err := l.Leaf(t.Context(), countersign.PlaceOf(2, 0)); !errors.Is(err, ledger.ErrNotFound) {
		t.Fatalf("a log that never was: %v", err)
	}
	if _, err := l.Proof(t.Context(), countersign.PlaceOf(2, 0)); countersign.CodeOf(err) != countersign.CodeNoQuorum {
		t.Fatalf("a proof in a log that never was: %v", err)
	}
	// Both are served, the ended one as far as its leaves are left.
	web := httptest.NewServer(l.Handler(ledger.ViewParty))
	defer web.Close()
	l.Tick(t.Context())
	for path, want := range map[string]string{"/checkpoint": string(successorOrigin) + "\n", ledger.EndedPath(1) + "/checkpoint": fmt.Sprintf("%s\n%d\n", origin, left)} {
		if text := fetch(t, web.URL+path); len(text) < len(want) || text[:len(want)] != want {
			t.Errorf("%s: %q", path, text)
		}
	}
	if text := fetch(t, web.URL+ledger.EndedPath(1)+fmt.Sprintf("/tile/entries/000.p/%d", left)); len(text) < int(left)*40 {
		t.Errorf("the leaves of the ended log: %d bytes", len(text))
	}
	if len(second) != 3 || second[2].Index != 3 {
		t.Errorf("the successor's places: %+v", second)
	}
	// A check knows whose successor it is.
	s.shutLog()
	r, err := ledger.Check(t.Context(), ledger.CheckConfig{Store: s.store, Origin: successorOrigin, VKey: s.entryOf(l).VKey, MonthKeys: s.dir})
	if err != nil || r.Broken() || r.Records != 3 {
		t.Fatalf("the successor's store: %+v, %v", r, err)
	}
}

// While witnesses are silent that could know of more, the end of a log is not known.
func TestTheEndOfALogIsAskedOfAQuorum(t *testing.T) {
	m := begin(t)
	bodies, policy := witnesses(t, m, 3)
	m.cfg.Policy = policy
	l := m.open()
	m.cosign(t, l)
	vkey := l.VerifierKey()
	own := l.SignedCheckpoint()
	for _, b := range bodies[1:] {
		b.behave(answer(503, "down"))
	}
	if _, err := ledger.WitnessedHead(t.Context(), http.DefaultClient, policy, vkey, own); !errors.Is(err, countersign.CodeNoQuorum) {
		t.Fatalf("one witness of three tells the end: %v", err)
	}
	bodies[1].behave(answer(200, "nonsense"))
	if _, err := ledger.WitnessedHead(t.Context(), http.DefaultClient, policy, vkey, own); !errors.Is(err, countersign.CodeNoQuorum) {
		t.Fatalf("a liar counts: %v", err)
	}
	bodies[1].before.Store(nil)
	head, err := ledger.WitnessedHead(t.Context(), http.DefaultClient, policy, vkey, own)
	if err != nil || len(head) < len(own) {
		t.Fatalf("%q, %v", head, err)
	}
}

// A restored store that nothing is missing from answers no question for as long as one that it has forgotten could come again.
func TestARestoredStoreAnswersNoOldQuestion(t *testing.T) {
	m := begin(t)
	_, policy := witnesses(t, m, 3)
	m.cfg.Policy, m.cfg.Confirm = policy, true
	l := m.open()
	m.cosign(t, l)
	if err := ledger.MarkRestored(t.Context(), m.store, m.clock.Now()); err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		return l.Reserve(t.Context(), ledger.Reservation{Exchange: countersign.NewExchangeID(m.clock.Now()), Consumer: consumer, Until: m.clock.Now().Add(time.Hour)})
	}
	for range 2 { // the wait is not begun anew by each start
		m.shut()
		l = m.open()
		m.append(t)
		if err := ask(); !errors.Is(err, countersign.CodeMaintenance) || l.Healthy() == nil {
			t.Fatalf("a question is taken at once: %v", err)
		}
		m.clock.Add(3*time.Minute + time.Second)
	}
	if err := ask(); err != nil || l.Healthy() != nil {
		t.Fatalf("a question after the wait: %v", err)
	}
}

// fetch reads what an address shows.
func fetch(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, res.Status, err)
	}
	return string(text)
}

// A gateway that comes to count after another of its member knows nothing of the uses that were counted there: mandates of before are spent, also after
// it has started again, and those granted since are counted.
func TestAGatewayThatComesToCountKnowsNoEarlierUses(t *testing.T) {
	m := begin(t)
	l := m.open()
	ctx := t.Context()
	ends := m.clock.Now().AddDate(0, 1, 0)
	ask := func(mandate countersign.MandateID, begins time.Time) error {
		return l.Reserve(ctx, ledger.Reservation{Exchange: countersign.NewExchangeID(m.clock.Now()), Consumer: consumer, Until: m.clock.Now().Add(time.Hour),
			Uses: []ledger.Use{{Mandate: mandate, Limit: 1, Begins: begins, Ends: ends}}})
	}
	counts := func(yes bool) {
		t.Helper()
		if err := l.Counts(ctx, yes); err != nil {
			t.Fatal(err)
		}
	}
	start := m.clock.Now()
	counts(true) // it always did: nothing is lost
	if err := ask("w-1", start.Add(-time.Hour)); err != nil {
		t.Fatalf("the only gateway there is: %v", err)
	}
	counts(false)
	if err := ask("w-2", start); !errors.Is(err, countersign.CodeMaintenance) {
		t.Fatalf("while another counts: %v", err)
	}
	m.shut()
	l = m.open()
	if err := ask("w-2", start); !errors.Is(err, countersign.CodeMaintenance) {
		t.Fatalf("while another counts, after a start: %v", err)
	}
	m.clock.Add(time.Hour)
	came := m.clock.Now()
	counts(true)
	for range 2 {
		counts(true) // the same again changes nothing
		if err := ask("w-2", came.Add(-time.Second)); !errors.Is(err, countersign.CodeMandateSpent) {
			t.Fatalf("a mandate of which another store may have counted uses: %v", err)
		}
		m.shut()
		l = m.open()
		m.clock.Add(time.Minute)
	}
	if err := ask("w-3", came); err != nil {
		t.Fatalf("a mandate since then: %v", err)
	}
	if err := ask("w-3", came); !errors.Is(err, countersign.CodeMandateSpent) {
		t.Fatalf("its second use of one: %v", err)
	}
}

// What cannot be noted has not happened: a gateway does not come to count while its store is unwell.
func TestComingToCountIsOnTheDiskFirst(t *testing.T) {
	m := begin(t)
	ill := false
	m.wrap = func(s ledger.Store) ledger.Store {
		return &broken{s, func() (bool, bool) { return ill, false }}
	}
	l := m.open()
	if err := l.Counts(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ill = true
	if err := l.Counts(t.Context(), true); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	ill = false
	ask := func(begins time.Time) error {
		return l.Reserve(t.Context(), ledger.Reservation{Exchange: countersign.NewExchangeID(m.clock.Now()), Consumer: consumer, Until: m.clock.Now().Add(time.Hour),
			Uses: []ledger.Use{{Mandate: "w-1", Limit: 1, Begins: begins, Ends: m.clock.Now().AddDate(0, 1, 0)}}})
	}
	if err := ask(m.clock.Now()); !errors.Is(err, countersign.CodeMaintenance) {
		t.Fatalf("it counts all the same: %v", err)
	}
	before := m.clock.Now()
	m.clock.Add(time.Minute)
	l.Tick(t.Context()) // it is noted by itself
	if err := ask(before); !errors.Is(err, countersign.CodeMandateSpent) {
		t.Fatalf("a mandate of before: %v", err)
	}
	if err := ask(m.clock.Now()); err != nil {
		t.Fatal(err)
	}
	// The other way it acts at once, noted or not.
	ill = true
	if err := l.Counts(t.Context(), false); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	ill = false
	if err := ask(m.clock.Now()); !errors.Is(err, countersign.CodeMaintenance) {
		t.Fatalf("it counts although another does: %v", err)
	}
}
