package ledger_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
)

func public(t testing.TB, key keys.Signer) ed25519.PublicKey {
	t.Helper()
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("not Ed25519")
	}
	return pub
}

// snapshot copies the files of a store that is shut; restore puts them back, as from a backup.
func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log.db*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		if out[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func restore(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for f := range snapshot(t, dir) {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	for f, b := range files {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// faulty fails commits and waits for the disk: before they have done anything, or after.
type faulty struct {
	ledger.Store
	before, after func() bool
}

var errDisk = errors.New("no space left on device")

func (f *faulty) Commit(ctx context.Context, b *ledger.Batch) error {
	return f.around(func() error { return f.Store.Commit(ctx, b) })
}

func (f *faulty) Sync(ctx context.Context) error {
	return f.around(func() error { return f.Store.Sync(ctx) })
}

func (f *faulty) around(do func() error) error {
	if f.before() {
		return errDisk
	}
	if err := do(); err != nil {
		return err
	}
	if f.after() {
		return errDisk
	}
	return nil
}

// Whatever fails, stored or not: what was acknowledged stays, in its place, and the log never forks.
func TestFaultsAtCommitLoseNothingAndForkNothing(t *testing.T) {
	m := begin(t)
	var n atomic.Int64
	m.wrap = func(s ledger.Store) ledger.Store {
		return &faulty{s, func() bool { return n.Add(1)%5 == 2 }, func() bool { return n.Load()%5 == 4 }}
	}
	_, m.cfg.Policy = witnesses(t, m, 1)
	l := m.open()
	var mu sync.Mutex
	acknowledged := map[uint64]ledger.Entry{}
	refused := 0
	var heads [][]byte
	for round := range 3 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 60 {
					e := m.entry(countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"})
					p, err := l.Append(t.Context(), e)
					mu.Lock()
					switch {
					case err == nil:
						if _, twice := acknowledged[p.Index]; twice {
							t.Errorf("index %d was promised twice", p.Index)
						}
						acknowledged[p.Index] = e
					case countersign.CodeOf(err) == countersign.CodeStore:
						refused++
					default:
						t.Errorf("append: %v", err)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(acknowledged) < (round+1)*100 {
			t.Fatalf("%d appends were acknowledged in %d rounds: the log did not resume by itself", len(acknowledged), round+1)
		}
		l.Tick(t.Context())
		heads = append(heads, l.SignedCheckpoint())
		m.shut()
		l = m.open()
		if round == 0 && (refused == 0 || len(acknowledged) == 0) {
			t.Fatalf("%d refused, %d acknowledged: the faults did not strike", refused, len(acknowledged))
		}
	}
	for index, e := range acknowledged {
		s, err := l.Leaf(t.Context(), index)
		if err != nil || s.Exchange != e.Exchange || string(s.Record.Statement) != string(e.Record.Statement) {
			t.Fatalf("leaf %d was acknowledged and is another one, or gone: %v", index, err)
		}
	}
	if l.Size() < uint64(len(acknowledged)) {
		t.Fatalf("%d leaves, %d acknowledged", l.Size(), len(acknowledged))
	}
	if l.Healthy() != nil {
		t.Fatal(l.Healthy())
	}
	report := check(t, m, false)
	if report.Broken() || report.Leaves != int(l.Size()) {
		t.Fatalf("%+v", report)
	}
	if len(heads) != 3 || heads[2] == nil {
		t.Fatalf("%d heads", len(heads))
	}
}

func check(t *testing.T, m *member, repair bool) *ledger.Report {
	t.Helper()
	report, err := ledger.Check(t.Context(), ledger.CheckConfig{Store: m.store, Origin: origin, VKey: vkeyOf(t, m.key), MonthKeys: m.dir, Repair: repair})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestReplayAndBudgetsSurviveReopening(t *testing.T) {
	m := begin(t)
	l := m.open()
	now := m.clock.Now()
	r := ledger.Reservation{Exchange: countersign.NewExchangeID(now), Consumer: consumer, Until: now.Add(time.Hour),
		Budgets: []ledger.Budget{{Key: l.BudgetKeyOf("people per official and hour", "DEMO", "k1"), Window: time.Hour, Limit: 1, Member: l.BudgetMemberOf("person", "pin:1")}},
		Uses:    []ledger.Use{{Mandate: "W-1", Limit: 2, Ends: now.AddDate(0, 1, 0)}}}
	if err := l.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	m.shut()
	l = m.open()
	if err := l.Reserve(t.Context(), r); countersign.CodeOf(err) != countersign.CodeReplay {
		t.Fatalf("a replay: %v", err)
	}
	other := r
	other.Exchange = countersign.NewExchangeID(now)
	other.Budgets = []ledger.Budget{r.Budgets[0]}
	other.Budgets[0].Member = l.BudgetMemberOf("person", "pin:2")
	if err := l.Reserve(t.Context(), other); countersign.CodeOf(err) != countersign.CodeBudget {
		t.Fatalf("a second person: %v", err)
	}
	other.Budgets[0].Member = r.Budgets[0].Member
	if err := l.Reserve(t.Context(), other); err != nil {
		t.Fatalf("the same person again: %v", err)
	}
	other.Exchange = countersign.NewExchangeID(now)
	if err := l.Reserve(t.Context(), other); countersign.CodeOf(err) != countersign.CodeMandateSpent {
		t.Fatalf("a third use: %v", err)
	}
}

func TestIntentsAreClosedByTheirEntry(t *testing.T) {
	m := begin(t)
	l := m.open()
	first, second := m.entry(countersign.SubjectID{}), m.entry(countersign.SubjectID{})
	for _, e := range []ledger.Entry{first, second} {
		if _, err := l.Intend(t.Context(), ledger.Intent{Exchange: e.Exchange, Body: []byte("about " + e.Exchange.String())}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Intend(t.Context(), ledger.Intent{Exchange: first.Exchange}); countersign.CodeOf(err) != countersign.CodeReplay {
		t.Fatalf("an intent twice: %v", err)
	}
	first.CloseIntent = true
	if _, err := l.Append(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	m.shut()
	for name, b := range snapshot(t, m.dir) {
		if strings.Contains(string(b), "about "+second.Exchange.String()) {
			t.Fatalf("%s holds an intent in the clear", name)
		}
	}
	l = m.open()
	open, err := l.OpenIntents(t.Context(), 10)
	if err != nil || len(open) != 1 || open[0].Exchange != second.Exchange || string(open[0].Body) != "about "+second.Exchange.String() {
		t.Fatalf("%+v, %v", open, err)
	}
}

func TestBudgetsAreExactThroughTheQueue(t *testing.T) {
	m := begin(t)
	l := m.open()
	key := l.BudgetKeyOf("programme", "P-1")
	var granted, refused atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				err := l.Reserve(t.Context(), ledger.Reservation{Exchange: countersign.NewExchangeID(m.clock.Now()), Consumer: consumer, Until: m.clock.Now().Add(time.Minute),
					Budgets: []ledger.Budget{{Key: key, Window: time.Hour, Limit: 100}}})
				switch countersign.CodeOf(err) {
				case countersign.CodeBudget:
					refused.Add(1)
				default:
					if err != nil {
						t.Error(err)
					}
					granted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if granted.Load() != 100 || refused.Load() != 540 {
		t.Fatalf("%d granted, %d refused of 640 where 100 are allowed", granted.Load(), refused.Load())
	}
}

func TestUnsafeStartsOfALog(t *testing.T) {
	m := begin(t)
	if err := ledger.Create(t.Context(), m.config(), "again"); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("a second inception: %v", err)
	}
	other := m.config()
	other.Origin = "demo.example/gov/9999"
	if _, err := ledger.Open(t.Context(), other); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("another log's store: %v", err)
	}
	stranger, err := keys.Generate(countersign.AlgorithmEd25519)
	if err != nil {
		t.Fatal(err)
	}
	other = m.config()
	other.Key = stranger
	if _, err := ledger.Open(t.Context(), other); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("another key: %v", err)
	}
	empty := &member{t: t, dir: t.TempDir(), key: m.key, tags: m.tags, clock: m.clock}
	empty.connect(true)
	defer empty.shut()
	if _, err := ledger.Open(t.Context(), empty.config()); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("an empty store: %v", err)
	}
	// An inception that was stopped between its two steps is finished by the next call.
	if err := empty.store.Commit(t.Context(), &ledger.Batch{Now: m.clock.Now(), Durable: true, Entries: []*ledger.EntryRow{{Leaf: (&countersign.Leaf{Kind: countersign.LeafInception}).Encode()}}}); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Create(t.Context(), empty.config(), "resumed"); err != nil {
		t.Fatal(err)
	}
	if l := empty.open(); l.Size() != 1 {
		t.Fatalf("%d leaves", l.Size())
	}
}

// Leaves that were changed or cut off beneath a signed checkpoint are found at the start.
func TestChangedStoresAreRefused(t *testing.T) {
	for name, change := range map[string]string{
		"a leaf rewritten":   "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE idx = 1) WHERE idx = 2",
		"the newest cut off": "DELETE FROM entries WHERE idx >= 7",
		"one in the middle":  "DELETE FROM entries WHERE idx = 3",
	} {
		t.Run(name, func(t *testing.T) {
			m := begin(t)
			l := m.open()
			for range 9 {
				m.append(t)
			}
			l.Tick(t.Context())
			l.Tick(t.Context())
			m.shut()
			tamper(t, m, change)
			m.connect(false)
			if _, err := ledger.Open(t.Context(), m.config()); countersign.CodeOf(err) != countersign.CodeStore {
				t.Fatalf("opened all the same: %v", err)
			}
			if r := check(t, m, true); !r.Broken() {
				t.Fatalf("fsck finds nothing: %+v", r)
			}
		})
	}
}

func TestCheckRepairsWhatIsDerived(t *testing.T) {
	m := begin(t)
	m.open()
	for range 600 {
		m.append(t)
	}
	m.shut()
	tamper(t, m, "DELETE FROM tiles WHERE id = 0; UPDATE tiles SET hashes = zeroblob(8192) WHERE id = 1")
	m.open() // tiles are derived: a missing one stops nothing
	m.append(t)
	r := check(t, m, true)
	if len(r.Problems) != 2 || r.Broken() || r.Records != 601 || r.Tiles != 2 {
		t.Fatalf("%+v", r)
	}
	if r := check(t, m, false); len(r.Problems) != 0 {
		t.Fatalf("after the repair: %+v", r)
	}
}

// A month whose key is no more cannot be read by anybody; its leaves stay provable.
func TestRecordsEndWithTheirMonthsKey(t *testing.T) {
	m := begin(t)
	l := m.open()
	p, e := m.append(t)
	month := ledger.MonthOf(e.Expires)
	if info, err := os.Stat(filepath.Join(m.dir, month.String()+".key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the month's key: %v, %v", info, err)
	}
	if err := l.Destroy(month); err != nil {
		t.Fatal(err)
	}
	m.shut()
	l = m.open()
	s, err := l.Leaf(t.Context(), p.Index)
	if err != nil || !s.Destroyed || s.Record != nil {
		t.Fatalf("%+v, %v", s, err)
	}
	if r := check(t, m, false); r.Broken() || r.Destroyed != 1 {
		t.Fatalf("%+v", r)
	}
}

// A full queue pushes back; a caller that leaves is told; a log that stops takes nothing more.
func TestPushbackAndStopping(t *testing.T) {
	m := begin(t)
	gate := make(chan struct{})
	var held atomic.Bool
	m.wrap = func(s ledger.Store) ledger.Store {
		return &faulty{s, func() bool {
			if held.Load() {
				<-gate
			}
			return false
		}, func() bool { return false }}
	}
	l := m.open()
	held.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	var busy, done atomic.Int64
	var wg sync.WaitGroup
	for range 5000 {
		wg.Go(func() {
			err := l.Reserve(ctx, ledger.Reservation{Exchange: countersign.NewExchangeID(m.clock.Now()), Consumer: consumer, Until: m.clock.Now().Add(time.Minute)})
			switch countersign.CodeOf(err) {
			case countersign.CodeBusy:
				busy.Add(1)
			default:
				done.Add(1)
			}
		})
	}
	eventually(t, func() bool { return busy.Load() > 0 })
	cancel()
	eventually(t, func() bool { return busy.Load()+done.Load() == 5000 })
	wg.Wait()
	held.Store(false)
	close(gate)
	eventually(t, func() bool { // the queue empties first: busy says to ask again
		_, err := l.Append(t.Context(), m.entry(countersign.SubjectID{}))
		if err != nil && countersign.CodeOf(err) != countersign.CodeBusy {
			t.Fatalf("after the stall: %v", err)
		}
		return err == nil
	})
	m.shut()
	if _, err := l.Append(t.Context(), m.entry(countersign.SubjectID{})); countersign.CodeOf(err) != countersign.CodeMaintenance {
		t.Fatalf("after the end: %v", err)
	}
}
