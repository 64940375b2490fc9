package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/witness"
)

var alma = countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"}

// ending appends a record about alma that ends within that time.
func (m *member) ending(within time.Duration) (*ledger.Placed, ledger.Entry) {
	m.t.Helper()
	e := m.entry(alma)
	e.Tag, e.Expires = m.log.TagOf(alma), m.clock.Now().Add(within)
	p, err := m.log.Append(context.Background(), e)
	if err != nil {
		m.t.Fatal(err)
	}
	return p, e
}

const aDay = 24 * time.Hour

// pass lets time pass until records of the month may be destroyed.
func (m *member) pass(month ledger.Month) {
	m.clock.Add(month.End().Add(11 * time.Minute).Sub(m.clock.Now()))
}

func (m *member) month() ledger.Month { return ledger.MonthOf(m.clock.Now()) }

// destructions reads the destruction leaves out of the log, as anybody could.
func destructions(t *testing.T, l *ledger.Log) (out []countersign.Destruction) {
	t.Helper()
	for i := range l.Size() {
		s, err := l.Leaf(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if s.Leaf.Kind != countersign.LeafDestruction {
			continue
		}
		d, err := s.Leaf.Destruction()
		if err != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
		out = append(out, *d)
	}
	return out
}

func keyFile(m *member, month ledger.Month) string {
	return filepath.Join(m.dir, month.String()+".key")
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is there still: %v", path, err)
	}
}

// witnessOn runs a witness by the member's own clock, and makes it the policy's only one.
func witnessOn(t testing.TB, m *member) *countersign.Policy {
	t.Helper()
	key, err := keys.Generate(countersign.AlgorithmEd25519)
	if err != nil {
		t.Fatal(err)
	}
	vkey := vkeyOf(t, m.key)
	w, err := witness.Open(witness.Config{Name: "witness.example/w", Key: key, Dir: t.TempDir(), Clock: m.clock, Logs: func(o countersign.LogOrigin) (witness.KnownLog, bool) {
		return witness.KnownLog{Origin: origin, VKeys: []string{vkey}}, o == origin
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	m.cfg.Policy = fmt.Appendf(nil, "log %s\nwitness w %s %s\nquorum w\n", vkey, w.VerifierKey(), server.URL)
	policy, err := countersign.ParsePolicy(m.cfg.Policy)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// Records end with their month, by themselves: key, rows and indexes go, a leaf says so, and everything that was proved before is proved still.
func TestRecordsEnd(t *testing.T) {
	m := begin(t)
	policy := witnessOn(t, m)
	l := m.open()
	month := m.month()
	var placed []*ledger.Placed
	var entries []ledger.Entry
	for i := range 300 {
		within := aDay
		if i%3 == 0 {
			within = 400 * aDay
		}
		p, e := m.ending(within)
		placed, entries = append(placed, p), append(entries, e)
	}
	l.Tick(t.Context())
	eventually(t, func() bool { return l.CosignedCheckpoint() != nil })
	receipt := placed[1].Receipt(entries[1].Record.Statement, entries[1].Record.Salt[:])
	var err error
	if receipt.Proof, err = l.Proof(t.Context(), placed[1].Index); err != nil {
		t.Fatal(err)
	}

	m.clock.Add(month.End().Sub(m.clock.Now()))
	if err := l.Expire(t.Context()); err != nil || len(destructions(t, l)) != 0 {
		t.Fatalf("at the stroke of the month's end, while what was sealed in it may be on its way: %v", err)
	}
	m.pass(month)
	eventually(t, func() bool { // a slot, which the witness cosigns in the new month
		l.Tick(t.Context())
		m.clock.Add(time.Second)
		return len(destructions(t, l)) > 0
	})
	if got := destructions(t, l); len(got) != 1 || got[0] != (countersign.Destruction{Month: month, Records: 200, First: placed[1].Index, Last: placed[299].Index}) {
		t.Fatalf("%+v", got)
	}
	gone(t, keyFile(m, month))

	history, err := l.History(t.Context(), l.TagsOf(alma), ledger.Page{})
	if err != nil || len(history) != 100 {
		t.Fatalf("%d entries are told of her, %v", len(history), err)
	}
	s, err := l.Leaf(t.Context(), placed[1].Index)
	if err != nil || !s.Destroyed || s.Record != nil || s.Tag != (countersign.SubjectTag{}) || s.Exchange != (countersign.ExchangeID{}) || s.Expires != month {
		t.Fatalf("%+v, %v", s, err)
	}
	if s, err = l.Leaf(t.Context(), placed[0].Index); err != nil || s.Destroyed || s.Record == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	// The receipt of before, and a fresh proof of the same leaf.
	if f, err := policy.Verify(receipt); err != nil || f.Statement == nil || !f.Cosigned {
		t.Fatalf("%+v, %v", f, err)
	}
	if receipt.Proof, err = l.Proof(t.Context(), placed[1].Index); err != nil {
		t.Fatal(err)
	}
	if f, err := policy.Verify(receipt); err != nil || !f.Cosigned {
		t.Fatalf("%+v, %v", f, err)
	}
	if r := check(t, m, false); r.Broken() || r.Destroyed != 200 || r.Records != 100 {
		t.Fatalf("%+v", r)
	}
}

// A log that was away for months makes up for them, a leaf for each, also for those in which nothing was due.
func TestRecordsEndAfterDowntime(t *testing.T) {
	m := begin(t)
	m.open()
	month := m.month()
	for range 5 {
		m.ending(aDay)
		m.ending(70 * aDay)
	}
	m.shut()
	m.clock.Add(150 * aDay)
	l := m.open()
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := destructions(t, l)
	if len(got) != int(m.month()-month) {
		t.Fatalf("%d destructions in %d months", len(got), m.month()-month)
	}
	for i, d := range got {
		want := uint64(0)
		if d.Month == month || d.Month == ledger.MonthOf(month.Start().AddDate(0, 0, 21).Add(70*aDay)) {
			want = 5
		}
		if d.Month != month+ledger.Month(i) || d.Records != want {
			t.Fatalf("%d: %+v", i, d)
		}
	}
	if err := l.Expire(t.Context()); err != nil || len(destructions(t, l)) != len(got) {
		t.Fatalf("again: %v", err)
	}
	if r := check(t, m, false); r.Broken() || r.Destroyed != 10 {
		t.Fatalf("%+v", r)
	}
}

// A copy of the store from before cannot bring a record back: what opened it is no more.
func TestABackupBringsNothingBack(t *testing.T) {
	m := begin(t)
	m.open()
	month := m.month()
	p, _ := m.ending(aDay)
	row, err := m.store.Entry(t.Context(), p.Index)
	if err != nil {
		t.Fatal(err)
	}
	m.shut()
	old := snapshot(t, m.dir)
	key, err := os.ReadFile(keyFile(m, month))
	if err != nil {
		t.Fatal(err)
	}
	m.open()
	m.pass(month)
	if err := m.log.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.shut()

	restore(t, m.dir, old)
	l := m.open()
	history, err := l.History(t.Context(), l.TagsOf(alma), ledger.Page{})
	if err != nil || len(history) != 1 || !history[0].Destroyed || history[0].Record != nil {
		t.Fatalf("%+v, %v", history, err)
	}
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if history, err = l.History(t.Context(), l.TagsOf(alma), ledger.Page{}); err != nil || len(history) != 0 {
		t.Fatalf("her tag is in the copy still: %d entries, %v", len(history), err)
	}
	// Not even where somebody kept the key, against all advice, and puts it back: the log remembers that the month is over, and destroys it again.
	if err := os.WriteFile(keyFile(m, month), key, 0o600); err != nil {
		t.Fatal(err)
	}
	m.shut()
	tamper(t, m, fmt.Sprintf("UPDATE entries SET record = x'%x' WHERE idx = %d", row.Record, p.Index))
	l = m.open()
	if s, err := l.Leaf(t.Context(), p.Index); err != nil || !s.Destroyed || s.Record != nil {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, keyFile(m, month))
	if got := destructions(t, l); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
}

// A case that is open keeps the record that it is about, for some months at a time; its end is on record as any other's.
func TestOpenCasesKeepTheirRecords(t *testing.T) {
	m := begin(t)
	var disputed []countersign.ExchangeID
	var away error
	m.cfg.Disputed = func(context.Context) ([]countersign.ExchangeID, error) { return disputed, away }
	l := m.open()
	month := m.month()
	p, e := m.ending(aDay)
	m.ending(aDay)
	disputed = append(disputed, e.Exchange, countersign.NewExchangeID(m.clock.Now()))

	away = errors.New("the portal does not answer")
	m.pass(month)
	if err := l.Expire(t.Context()); !errors.Is(err, away) || len(destructions(t, l)) != 0 {
		t.Fatalf("without word of cases: %v", err)
	}
	away = nil
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := destructions(t, l); len(got) != 1 || got[0].Records != 1 || got[0].Kept != 1 {
		t.Fatalf("%+v", got)
	}
	gone(t, keyFile(m, month))
	s, err := l.Leaf(t.Context(), p.Index)
	if err != nil || s.Record == nil || string(s.Record.Statement) != string(e.Record.Statement) || s.Expires <= month {
		t.Fatalf("%+v, %v", s, err)
	}
	if r := check(t, m, false); r.Broken() {
		t.Fatalf("%+v", r)
	}
	// Closed. Then the portal is away for good, and what is due waits for it for two days.
	disputed, away = nil, errors.New("the portal does not answer")
	m.clock.Add(s.Expires.End().Add(time.Hour).Sub(m.clock.Now()))
	if err := l.Expire(t.Context()); !errors.Is(err, away) {
		t.Fatalf("%v", err)
	}
	m.clock.Add(48 * time.Hour)
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := destructions(t, l)
	if last := got[len(got)-1]; last.Month != s.Expires || last.Records != 1 || last.First != p.Index || last.Kept != 0 {
		t.Fatalf("%+v", got)
	}
	if s, err := l.Leaf(t.Context(), p.Index); err != nil || !s.Destroyed {
		t.Fatalf("%+v, %v", s, err)
	}
}

// The directory's life of records is the longest, whatever the purpose's code says.
func TestTheDirectorysLifeOfRecords(t *testing.T) {
	m := begin(t)
	l := m.open()
	l.SetRecordLife(820 * aDay)
	for want, within := range map[time.Duration]time.Duration{10 * aDay: 10 * aDay, 820 * aDay: 3653 * aDay} {
		p, e := m.ending(within)
		s, err := l.Leaf(t.Context(), p.Index)
		if err != nil || s.Expires != ledger.MonthOf(e.Leaf.Hour.Time().Add(want)) {
			t.Fatalf("%s became %s, %v", within, s.Expires, err)
		}
	}
}

// A clock that runs ahead by itself destroys nothing: the witnesses have not seen the month end.
func TestWitnessesSeeTheMonthEnd(t *testing.T) {
	m := begin(t)
	witnessOn(t, m)
	l := m.open()
	month := m.month()
	p, _ := m.ending(aDay)
	l.Tick(t.Context())
	eventually(t, func() bool { return l.CosignedCheckpoint() != nil })
	m.pass(month)
	if err := l.Expire(t.Context()); countersign.CodeOf(err) != countersign.CodeMaintenance {
		t.Fatalf("on our own clock's word: %v", err)
	}
	if s, err := l.Leaf(t.Context(), p.Index); err != nil || s.Record == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	l.Tick(t.Context())
	eventually(t, func() bool { return l.Expire(t.Context()) == nil })
	if got := destructions(t, l); len(got) != 1 || got[0].Records != 1 {
		t.Fatalf("%+v", got)
	}
}

// What comes to stand in the log after its month was destroyed is emptied without a second leaf.
func TestLatecomersAreEmptied(t *testing.T) {
	m := begin(t)
	l := m.open()
	month := m.month()
	m.ending(aDay)
	m.pass(month)
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.shut()
	m.connect(false)
	size, err := m.store.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late := &ledger.EntryRow{Index: size, Leaf: (&countersign.Leaf{Kind: countersign.LeafExchange}).Encode(), Tag: l.TagOf(alma), Expires: month, Record: []byte("sealed under the key that is gone")}
	if err := m.store.Commit(t.Context(), &ledger.Batch{Now: m.clock.Now(), Durable: true, Entries: []*ledger.EntryRow{late}}); err != nil {
		t.Fatal(err)
	}
	l = m.open()
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := l.Leaf(t.Context(), size); err != nil || !s.Destroyed || s.Tag != (countersign.SubjectTag{}) {
		t.Fatalf("%+v, %v", s, err)
	}
	if months, err := m.store.Months(t.Context()); err != nil || len(months) != 0 {
		t.Fatalf("%+v, %v", months, err)
	}
	if got := destructions(t, l); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
}

// A check knows what has ended from what was lost, and names what should have ended.
func TestCheckKnowsTheEndFromALoss(t *testing.T) {
	m := begin(t)
	m.open()
	month := m.month()
	first, _ := m.ending(aDay)
	m.ending(aDay)
	long, _ := m.ending(70 * aDay)
	look := func(repair bool) *ledger.Report {
		t.Helper()
		r, err := ledger.Check(t.Context(), ledger.CheckConfig{Store: m.store, Origin: origin, VKey: vkeyOf(t, m.key), MonthKeys: m.dir, Repair: repair,
			Claims: &ledger.Claims{Reader: m.store, Now: m.clock.Now()}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := look(false); r.Broken() || len(r.Overdue) != 0 {
		t.Fatalf("%+v", r)
	}
	m.pass(month)
	want := ledger.OverdueMonth{Month: month, Rows: 2, First: first.Index}
	if r := look(false); r.Broken() || len(r.Overdue) != 1 || r.Overdue[0] != want {
		t.Fatalf("%+v", r)
	}
	m.clock.Add(countersign.DestructionWithin)
	want.Late = true
	if r := look(false); len(r.Overdue) != 1 || r.Overdue[0] != want {
		t.Fatalf("%+v", r)
	}
	key, err := os.ReadFile(keyFile(m, month))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.log.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := look(false); r.Broken() || len(r.Overdue) != 0 || r.Destroyed != 2 {
		t.Fatalf("%+v", r)
	}
	if err := os.WriteFile(keyFile(m, month), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := look(true); len(r.Problems) != 1 || !r.Problems[0].Repaired || r.Problems[0].Where != "key "+month.String() {
		t.Fatalf("%+v", r)
	}
	gone(t, keyFile(m, month))
	m.shut()
	tamper(t, m, fmt.Sprintf("UPDATE entries SET record = NULL, tag = NULL, exchange = NULL WHERE idx = %d", long.Index))
	m.connect(false)
	if r := look(true); len(r.Problems) != 1 || !r.Broken() || r.Problems[0].Where != fmt.Sprintf("record %d", long.Index) {
		t.Fatalf("%+v", r)
	}
	// A leaf that claims a destruction which the store does not show.
	tamper(t, m, fmt.Sprintf("UPDATE entries SET expires = expires + 1 WHERE idx = %d", first.Index))
	if r := look(false); len(r.Problems) < 2 || !r.Broken() {
		t.Fatalf("%+v", r)
	}
}
