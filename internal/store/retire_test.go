package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// What an ended store had counted and reserved goes on in its successor's; the ended store keeps its leaves under its new name and is never overwritten.
func TestRetireAndCarryOver(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	from := filepath.Join(dir, "store.db")
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	s, err := OpenSQLite(ctx, from, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	asked := countersign.NewExchangeID(now)
	spent := ledger.Budget{Key: ledger.BudgetKey{1}, Limit: 1, Kept: now.AddDate(0, 1, 0), Code: countersign.CodeMandateSpent}
	claim := func(s *SQLite, x countersign.ExchangeID, b ...ledger.Budget) error {
		c := &ledger.Claim{Exchange: x, By: "DEMO/GOV/1002/fund", Until: now.Add(time.Hour), Budgets: b}
		if err := s.Commit(ctx, &ledger.Batch{Now: now, Durable: true, Claims: []*ledger.Claim{c}}); err != nil {
			t.Fatal(err)
		}
		return c.Refused
	}
	if err := claim(s, asked, spent); err != nil {
		t.Fatal(err)
	}
	month := ledger.MonthOf(now.AddDate(1, 0, 0))
	row := &ledger.EntryRow{Leaf: []byte("leaf"), At: countersign.MillisOf(now), Expires: month, Record: []byte("sealed")}
	if err := s.Commit(ctx, &ledger.Batch{Now: now, Durable: true, Entries: []*ledger.EntryRow{row}}); err != nil {
		t.Fatal(err)
	}
	if err := Retire(ctx, from, EndedStore(dir, 1)); !errors.Is(err, countersign.CodeStore) {
		t.Fatalf("a store in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Retire(ctx, from, EndedStore(dir, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(from); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the store stands where it stood: %v", err)
	}
	ended, err := EndedStores(dir)
	if err != nil || len(ended) != 1 {
		t.Fatalf("%v, %v", ended, err)
	}
	old, err := OpenSQLiteReader(ctx, ended[0])
	if err != nil {
		t.Fatal(err)
	}
	if e, err := old.Entry(ctx, 0); err != nil || string(e.Record) != "sealed" {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := errors.Join(old.CarryOver(ctx, ended[0]), old.Close()); !errors.Is(err, countersign.CodeStore) {
		t.Fatalf("a store that was opened for reading: %v", err)
	}
	next, err := OpenSQLite(ctx, from, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 { // a crash in between is mended by the same again
		if err := next.CarryOver(ctx, ended[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := claim(next, asked); !errors.Is(err, countersign.CodeReplay) {
		t.Fatalf("a question that the ended store had taken: %v", err)
	}
	if err := claim(next, countersign.NewExchangeID(now), spent); !errors.Is(err, countersign.CodeMandateSpent) {
		t.Fatalf("a mandate that was used up there: %v", err)
	}
	months, err := next.Months(ctx)
	if err != nil || len(months) != 1 || months[0].Month != month {
		t.Fatalf("months whose keys are to be destroyed: %+v, %v", months, err)
	}
	if m, err := next.Empty(context.WithoutCancel(ctx), month, 100); err != nil || m.Next < m.Until {
		t.Fatalf("a month without rows here cannot be ended: %+v, %v", m, err)
	}
	if err := next.CarryOver(ctx, filepath.Join(dir, "none.db")); !errors.Is(err, countersign.CodeStore) {
		t.Fatalf("an ended store that is not there: %v", err)
	}
	if err := os.WriteFile(EndedStore(dir, 2), []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	o, err := OpenSQLite(ctx, other, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Retire(ctx, other, EndedStore(dir, 2)); !errors.Is(err, countersign.CodeStore) {
		t.Fatalf("another ended store is overwritten: %v", err)
	}
}
