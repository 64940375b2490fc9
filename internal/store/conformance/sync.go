package conformance

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// An index beyond the log's end is refused, with all of its batch, and the store works on.
func gap(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		fill(t, s, 3)
		for name, b := range map[string]*ledger.Batch{
			"a gap before the batch": {Now: noon, Claims: []*ledger.Claim{{Exchange: id(1), Until: noon.Add(time.Hour)}}, Entries: []*ledger.EntryRow{row(4)}},
			"a gap within the batch": {Now: noon, Claims: []*ledger.Claim{{Exchange: id(1), Until: noon.Add(time.Hour)}}, Entries: []*ledger.EntryRow{row(3), row(5)}},
			"one index twice":        {Now: noon, Claims: []*ledger.Claim{{Exchange: id(1), Until: noon.Add(time.Hour)}}, Entries: []*ledger.EntryRow{row(3), row(3)}},
		} {
			if err := s.Commit(t.Context(), b); countersign.CodeOf(err) != countersign.CodeStore {
				t.Fatalf("%s: %v", name, err)
			}
			if n, err := s.Size(t.Context()); err != nil || n != 3 {
				t.Fatalf("%s: %d leaves, %v", name, n, err)
			}
		}
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Entries: []*ledger.EntryRow{row(3)}}))
		if err := claim(t, s, noon, &ledger.Claim{Exchange: id(1)}); err != nil {
			t.Fatalf("a failed batch's claim was kept: %v", err)
		}
	})
	with(t, open, func(s ledger.Store) {
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Entries: []*ledger.EntryRow{row(4)}}))
	})
}

// What was committed without a wait is there after Sync, whoever has committed it: also where the holder before has gone. Sync of a store to
// which nothing was written is no error.
func syncCovers(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		must(t, s.Sync(t.Context()))
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Entries: []*ledger.EntryRow{row(0), row(1)}, Claims: []*ledger.Claim{{Exchange: id(1), Until: noon.Add(time.Hour)}}}))
		must(t, s.Sync(t.Context()))
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Entries: []*ledger.EntryRow{row(2)}}))
	})
	with(t, open, func(s ledger.Store) {
		must(t, s.Sync(t.Context()))
		for i := range uint64(3) {
			if e, err := s.Entry(t.Context(), i); err != nil || !bytes.Equal(e.Leaf, row(i).Leaf) {
				t.Fatalf("entry %d: %+v, %v", i, e, err)
			}
		}
		if err := claim(t, s, noon, &ledger.Claim{Exchange: id(1)}); countersign.CodeOf(err) != countersign.CodeReplay {
			t.Fatalf("the claim is forgotten: %v", err)
		}
	})
}

// Commits come from one goroutine; any number of others may wait for the disk meanwhile.
func commitBesideSync(t *testing.T, open Opener) {
	const commits, waiters = 200, 4
	with(t, open, func(s ledger.Store) {
		done := make(chan struct{})
		var wg sync.WaitGroup
		for range waiters {
			wg.Go(func() {
				for {
					if err := s.Sync(t.Context()); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for i := range uint64(commits) {
			if err := s.Commit(t.Context(), &ledger.Batch{Now: noon, Durable: i%7 == 0, Entries: []*ledger.EntryRow{row(i)}}); err != nil {
				t.Error(err)
				break
			}
		}
		close(done)
		wg.Wait()
		must(t, s.Sync(t.Context()))
	})
	with(t, open, func(s ledger.Store) {
		if n, err := s.Size(t.Context()); err != nil || n != commits {
			t.Fatalf("%d leaves, %v", n, err)
		}
	})
}
