package ledger_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// faultyExpiry fails the n-th step of an expiry, before it is stored or after.
type faultyExpiry struct {
	ledger.Store
	step      func() (before, after bool)
	destroyed atomic.Bool // a destruction stands in the store and waits for the disk
}

func (f *faultyExpiry) fault(do func() error) error {
	before, after := f.step()
	if before {
		return errDisk
	}
	if err := do(); err != nil {
		return err
	}
	if after {
		return errDisk
	}
	return nil
}

func (f *faultyExpiry) Commit(ctx context.Context, b *ledger.Batch) error {
	if b.Destroyed == nil {
		return f.Store.Commit(ctx, b)
	}
	f.destroyed.Store(true)
	return f.fault(func() error { return f.Store.Commit(ctx, b) })
}

func (f *faultyExpiry) Sync(ctx context.Context) error {
	if !f.destroyed.CompareAndSwap(true, false) {
		return f.Store.Sync(ctx)
	}
	return f.fault(func() error { return f.Store.Sync(ctx) })
}

func (f *faultyExpiry) Empty(ctx context.Context, month ledger.Month, limit int) (m ledger.MonthRow, err error) {
	err = f.fault(func() (err error) { m, err = f.Store.Empty(ctx, month, limit); return err })
	return m, err
}

func (f *faultyExpiry) Keep(ctx context.Context, month ledger.Month, rows []*ledger.EntryRow) error {
	return f.fault(func() error { return f.Store.Keep(ctx, month, rows) })
}

func (f *faultyExpiry) Forget(ctx context.Context, month ledger.Month) error {
	return f.fault(func() error { return f.Store.Forget(ctx, month) })
}

// Whatever step of an expiry fails, stored or not, and whether the log goes on or is opened anew: in the end each month was destroyed once.
func TestFaultsAtEachStepOfExpiry(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			steps := 1
			for n := 1; n <= steps; n++ {
				steps = expireWithFault(t, n, after, reopen)
				if n == 1 && steps < 5 {
					t.Fatalf("an expiry has %d steps", steps)
				}
			}
			t.Logf("reopened %t, stored %t: each of %d steps failed once", reopen, after, steps)
		}
	}
}

func expireWithFault(t *testing.T, n int, after, reopen bool) (steps int) {
	t.Helper()
	at := fmt.Sprintf("step %d, stored %t, reopened %t", n, after, reopen)
	m := begin(t)
	struck := false
	step := func() (bool, bool) {
		steps++
		strike := steps == n && !struck
		struck = struck || strike
		return strike && !after, strike && after
	}
	m.wrap = func(s ledger.Store) ledger.Store { return &faultyExpiry{Store: s, step: step} }
	var disputed []countersign.ExchangeID
	m.cfg.Disputed = func(context.Context) ([]countersign.ExchangeID, error) { return disputed, nil }
	open := func() {
		m.open().SetErase(func(erase func(string) error) func(string) error {
			return func(path string) error {
				before, after := step()
				if before {
					return errDisk
				}
				if after {
					// The zeros were written, and the machine stopped before the file was removed.
					if info, err := os.Stat(path); err == nil {
						if err := os.WriteFile(path, make([]byte, info.Size()), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					return errDisk
				}
				return erase(path)
			}
		})
	}
	open()
	month := m.month()
	var placed []*ledger.Placed
	for range 200 {
		p, _ := m.ending(aDay)
		placed = append(placed, p)
	}
	long, _ := m.ending(300 * aDay)
	kept, e := m.ending(aDay)
	disputed = append(disputed, e.Exchange)
	m.pass(month)
	err := m.log.Expire(t.Context())
	if struck != (err != nil) {
		t.Fatalf("%s: %v", at, err)
	}
	for _, p := range placed[:3] { // whatever is left of it, nobody is told that something is broken
		if s, err := m.log.Leaf(t.Context(), p.Index); err != nil || s.Record == nil && !s.Destroyed {
			t.Fatalf("%s: %+v, %v", at, s, err)
		}
	}
	if reopen {
		m.shut()
		open()
	}
	if err := m.log.Expire(t.Context()); err != nil {
		t.Fatalf("%s: then: %v", at, err)
	}
	m.log.Tick(t.Context()) // the next append finds out what a commit that failed has stored
	got := destructions(t, m.log)
	if want := (countersign.Destruction{Month: month, Records: 200, First: placed[0].Index, Last: placed[199].Index, Kept: 1}); len(got) != 1 || got[0] != want {
		t.Fatalf("%s: %+v", at, got)
	}
	gone(t, keyFile(m, month))
	if history, err := m.log.History(t.Context(), m.log.TagsOf(alma), ledger.Page{}); err != nil || len(history) != 2 || history[0].Index != kept.Index || history[1].Index != long.Index || history[0].Record == nil {
		t.Fatalf("%s: %d entries, %v", at, len(history), err)
	}
	if r := check(t, m, false); r.Broken() || r.Destroyed != 200 {
		t.Fatalf("%s: %+v", at, r)
	}
	return steps
}
