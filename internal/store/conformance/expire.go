package conformance

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

var (
	soon  = ledger.MonthOf(noon)
	later = soon + 3
)

// endings fills a log whose rows end by turns soon, later and never.
func endings(t *testing.T, s ledger.Store, n int) {
	t.Helper()
	b := &ledger.Batch{Now: noon, Durable: true}
	for i := range n {
		e := &ledger.EntryRow{Index: uint64(i), Leaf: []byte{byte(i)}, At: countersign.Millis(i)}
		if i%3 > 0 {
			e.Exchange, e.Tag, e.Record, e.Expires = id(i), countersign.SubjectTag{1, byte(i)}, []byte("record"), soon
		}
		if i%3 == 2 {
			e.Expires = later
		}
		b.Entries = append(b.Entries, e)
	}
	must(t, s.Commit(t.Context(), b))
}

func drain(t *testing.T, s ledger.Store, month ledger.Month, limit int) (m ledger.MonthRow, steps int) {
	t.Helper()
	for {
		was := m.Emptied
		var err error
		m, err = s.Empty(t.Context(), month, limit)
		must(t, err)
		if steps++; m.Emptied-was > uint64(limit) { //nolint:gosec // a test's own small numbers
			t.Fatalf("one step emptied %d rows where %d are its bound", m.Emptied-was, limit)
		}
		if m.Done {
			return m, steps
		}
	}
}

// What ends is emptied step by step, and nothing else; a half-done month goes on where it was, in another life of the store.
func monthsEnd(t *testing.T, open Opener) {
	const n = 100
	with(t, open, func(s ledger.Store) {
		endings(t, s, n)
		months, err := s.Months(t.Context())
		if err != nil || len(months) != 2 || months[0].Month != soon || months[1].Month != later || months[0].First != 1 || months[0].Until < 98 || months[0].Done {
			t.Fatalf("%+v, %v", months, err)
		}
		for range 2 {
			m, err := s.Empty(t.Context(), soon, 10)
			if err != nil || m.Done {
				t.Fatalf("%+v, %v", m, err)
			}
		}
	})
	with(t, open, func(s ledger.Store) {
		m, steps := drain(t, s, soon, 10)
		if m.Emptied != 33 || m.Low != 1 || m.High != 97 || steps < 8 {
			t.Fatalf("%+v in %d steps", m, steps)
		}
	})
	with(t, open, func(s ledger.Store) {
		for i := range n {
			e, err := s.Entry(t.Context(), uint64(i))
			must(t, err)
			ended := i%3 == 1
			if !bytes.Equal(e.Leaf, []byte{byte(i)}) || e.At != countersign.Millis(i) || (e.Expires == soon) != ended {
				t.Fatalf("row %d: %+v", i, e)
			}
			if full := len(e.Record) > 0 && e.Exchange != (countersign.ExchangeID{}) && e.Tag != (countersign.SubjectTag{}); full != (i%3 == 2) {
				t.Fatalf("row %d: %+v", i, e)
			}
		}
		if rows, err := s.EntriesTagged(t.Context(), []countersign.SubjectTag{{1, 4}}, n, 10); err != nil || len(rows) != 0 {
			t.Fatalf("a person's index leads to %d emptied rows, %v", len(rows), err)
		}
		if rows, err := s.EntriesOf(t.Context(), id(4)); err != nil || len(rows) != 0 {
			t.Fatalf("an exchange's index leads to %d emptied rows, %v", len(rows), err)
		}
	})
}

// The entry that records a destruction ends the month's account with it, in one transaction, and a row that comes after all opens another.
func destruction(t *testing.T, open Opener) {
	record := &ledger.DestructionRow{Destruction: countersign.Destruction{Month: soon, Records: 3, First: 1, Last: 7, Kept: 2}, Index: 9}
	with(t, open, func(s ledger.Store) {
		if d, err := s.Destructions(t.Context()); err != nil || len(d) != 0 {
			t.Fatalf("%+v, %v", d, err)
		}
		endings(t, s, 9)
		drain(t, s, soon, 100)
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Durable: true, Destroyed: record, Entries: []*ledger.EntryRow{{Index: 9, Leaf: []byte("destroyed")}}}))
	})
	with(t, open, func(s ledger.Store) {
		if d, err := s.Destructions(t.Context()); err != nil || len(d) != 1 || d[0] != *record {
			t.Fatalf("%+v, %v", d, err)
		}
		again := &ledger.Batch{Now: noon, Durable: true, Destroyed: record, Entries: []*ledger.EntryRow{{Index: 10, Leaf: []byte("again")}}}
		if err := s.Commit(t.Context(), again); err == nil {
			t.Fatal("a month was destroyed twice")
		}
		months, err := s.Months(t.Context())
		if err != nil || len(months) != 1 || months[0].Month != later {
			t.Fatalf("%+v, %v", months, err)
		}
		late := &ledger.EntryRow{Index: 10, Leaf: []byte("late"), Tag: countersign.SubjectTag{7}, Expires: soon, Record: []byte("record")}
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Durable: true, Entries: []*ledger.EntryRow{late}}))
		if months, err := s.Months(t.Context()); err != nil || len(months) != 2 || months[0].Done {
			t.Fatalf("%+v, %v", months, err)
		}
		if m, _ := drain(t, s, soon, 100); m.Emptied != 1 || m.Low != 10 {
			t.Fatalf("%+v", m)
		}
		must(t, s.Forget(t.Context(), soon))
		if months, err := s.Months(t.Context()); err != nil || len(months) != 1 {
			t.Fatalf("%+v, %v", months, err)
		}
		if e, err := s.Entry(t.Context(), 10); err != nil || len(e.Record) != 0 || e.Tag != (countersign.SubjectTag{}) {
			t.Fatalf("%+v, %v", e, err)
		}
	})
}

// A record that was sealed anew ends with its new month.
func kept(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		endings(t, s, 30)
		must(t, s.Keep(t.Context(), soon, []*ledger.EntryRow{{Index: 4, Expires: soon + 1, Record: []byte("anew")}, {Index: 5, Expires: soon + 1, Record: []byte("of another month")}, {Index: 3, Expires: soon + 1, Record: []byte("of none")}}))
	})
	with(t, open, func(s ledger.Store) {
		m, _ := drain(t, s, soon, 7)
		if m.Emptied != 9 || m.Kept != 1 {
			t.Fatalf("%+v", m)
		}
		if e, err := s.Entry(t.Context(), 4); err != nil || string(e.Record) != "anew" || e.Expires != soon+1 || e.Tag == (countersign.SubjectTag{}) {
			t.Fatalf("%+v, %v", e, err)
		}
		if e, err := s.Entry(t.Context(), 5); err != nil || string(e.Record) != "record" || e.Expires != later {
			t.Fatalf("%+v, %v", e, err)
		}
		// Not of a month that has been emptied.
		must(t, s.Keep(t.Context(), soon, []*ledger.EntryRow{{Index: 7, Expires: soon + 1, Record: []byte("risen")}}))
		if e, err := s.Entry(t.Context(), 7); err != nil || len(e.Record) != 0 {
			t.Fatalf("%+v, %v", e, err)
		}
		if m, _ := drain(t, s, soon+1, 7); m.Emptied != 1 || m.Low != 4 || m.High != 4 {
			t.Fatalf("%+v", m)
		}
	})
}

// An open intent whose body was sealed under a month goes with it.
func intentsEnd(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		for n, month := range []ledger.Month{soon, later} {
			sealed := append(binary.BigEndian.AppendUint32(nil, uint32(month)), "body"...) //nolint:gosec // months are positive
			must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(n), Intent: true, Sealed: sealed, Until: noon.Add(time.Hour)}))
		}
		drain(t, s, soon, 10)
	})
	with(t, open, func(s ledger.Store) {
		got, err := s.Intents(t.Context(), 10)
		if err != nil || len(got) != 1 || got[0].Exchange != id(1) {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}
