// Package conformance is the one test of what ledger.Store promises. Every store runs it.
package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// Opener opens the same store again and again: what one holder has committed the next one reads. The suite closes each before it opens the
// next.
type Opener func(t *testing.T) (s ledger.Store, closeStore func())

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// id is the n-th exchange's: later ones sort later.
func id(n int) (x countersign.ExchangeID) {
	binary.BigEndian.PutUint32(x[2:], uint32(n)) //nolint:gosec // a test's own small numbers
	x[6], x[15] = 0x70, 1
	return x
}

func fixed(n byte) (x countersign.ExchangeID) {
	x[0], x[15] = n, n
	return x
}

// Run runs the suite. fresh makes a new, empty store each time that it is called.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, open Opener)
	}{
		{"Meta", meta},
		{"EntriesInOrder", entries},
		{"IndexNeverTwice", twice},
		{"NoGapInTheLog", gap},
		{"SyncCoversWhatWasCommitted", syncCovers},
		{"CommitsGoOnBesideSync", commitBesideSync},
		{"ReplayIsRefusedForEver", replay},
		{"RefusedClaimKeepsNothing", nothingKept},
		{"WindowSlides", window},
		{"DistinctMembers", distinct},
		{"MandateUses", uses},
		{"BudgetsWithinOneBatch", withinBatch},
		{"BudgetsAreExactInParallel", parallel},
		{"IntentsStayUntilClosed", intents},
		{"PruneForgetsOnlyWhatEnded", prune},
		{"Tiles", tileRows},
		{"Checkpoints", checkpoints},
		{"MonthsEnd", monthsEnd},
		{"DestructionEndsAnAccount", destruction},
		{"KeptRecordsEndLater", kept},
		{"IntentsEndWithTheirMonth", intentsEnd},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// with runs f on the store, opened for it alone.
func with(t *testing.T, open Opener, f func(s ledger.Store)) {
	t.Helper()
	s, closeStore := open(t)
	defer closeStore()
	f(s)
}

func claim(t *testing.T, s ledger.Store, now time.Time, c *ledger.Claim) error {
	t.Helper()
	if c.Until.IsZero() {
		c.Until = now.Add(time.Hour)
	}
	must(t, s.Commit(t.Context(), &ledger.Batch{Now: now, Claims: []*ledger.Claim{c}}))
	return c.Refused
}

func row(n uint64) *ledger.EntryRow {
	e := &ledger.EntryRow{Index: n, Leaf: fmt.Appendf(nil, "leaf %d", n), At: countersign.MillisOf(noon.Add(time.Duration(n) * time.Millisecond))} //nolint:gosec // a test's own small numbers
	if n%2 == 0 {
		e.Exchange, e.Tag, e.Expires, e.Record = fixed(byte(n/4+1)), countersign.SubjectTag{1, byte(n % 3)}, ledger.MonthOf(noon), []byte{byte(n)} //nolint:gosec // as above
	}
	return e
}

func meta(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		if _, err := s.Meta(t.Context(), "origin"); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("unset: %v", err)
		}
		must(t, s.SetMeta(t.Context(), map[string][]byte{"origin": []byte("a"), "key": []byte("k")}))
		must(t, s.SetMeta(t.Context(), map[string][]byte{"origin": []byte("b")}))
	})
	with(t, open, func(s ledger.Store) {
		if v, err := s.Meta(t.Context(), "origin"); err != nil || string(v) != "b" {
			t.Fatalf("%q, %v", v, err)
		}
	})
}

func fill(t *testing.T, s ledger.Store, n int) {
	t.Helper()
	b := &ledger.Batch{Now: noon, Durable: true}
	for i := range n {
		b.Entries = append(b.Entries, row(uint64(i)))
	}
	must(t, s.Commit(t.Context(), b))
}

func entries(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) { fill(t, s, 30) })
	with(t, open, func(s ledger.Store) {
		if n, err := s.Size(t.Context()); err != nil || n != 30 {
			t.Fatalf("size %d, %v", n, err)
		}
		for i := range 30 {
			got, err := s.Entry(t.Context(), uint64(i))
			must(t, err)
			want := row(uint64(i))
			if got.Index != want.Index || !bytes.Equal(got.Leaf, want.Leaf) || got.At != want.At || got.Exchange != want.Exchange || got.Tag != want.Tag || got.Expires != want.Expires || !bytes.Equal(got.Record, want.Record) {
				t.Fatalf("entry %d: %+v, want %+v", i, got, want)
			}
		}
		if _, err := s.Entry(t.Context(), 30); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("beyond the end: %v", err)
		}
		leaves, err := s.Leaves(t.Context(), 28, 10)
		if err != nil || len(leaves) != 2 || string(leaves[1]) != "leaf 29" {
			t.Fatalf("leaves %q, %v", leaves, err)
		}
		of, err := s.EntriesOf(t.Context(), fixed(2))
		if err != nil || len(of) != 2 || of[0].Index != 4 || of[1].Index != 6 {
			t.Fatalf("of an exchange: %+v, %v", of, err)
		}
		tagged, err := s.EntriesTagged(t.Context(), []countersign.SubjectTag{{1, 0}, {1, 1}}, 22, 3)
		if err != nil || len(tagged) != 3 || tagged[0].Index != 18 || tagged[1].Index != 16 || tagged[2].Index != 12 {
			t.Fatalf("tagged: %+v, %v", tagged, err)
		}
		newest, err := s.EntriesBefore(t.Context(), ^uint64(0), 2)
		if err != nil || len(newest) != 2 || newest[0].Index != 29 || newest[1].Index != 28 {
			t.Fatalf("newest: %+v, %v", newest, err)
		}
	})
}

func twice(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		fill(t, s, 3)
		other := &ledger.Batch{Now: noon, Durable: true, Claims: []*ledger.Claim{{Exchange: id(1), Until: noon.Add(time.Hour)}},
			Entries: []*ledger.EntryRow{{Index: 2, Leaf: []byte("other")}}}
		if err := s.Commit(t.Context(), other); countersign.CodeOf(err) != countersign.CodeStore {
			t.Fatalf("an index was overwritten: %v", err)
		}
		if got, err := s.Entry(t.Context(), 2); err != nil || string(got.Leaf) != "leaf 2" {
			t.Fatalf("%q, %v", got.Leaf, err)
		}
		// Nothing of a batch that failed is kept, and the store works on.
		if err := claim(t, s, noon, &ledger.Claim{Exchange: id(1)}); err != nil {
			t.Fatalf("the failed batch's claim was kept: %v", err)
		}
	})
}

func replay(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(1), By: "DEMO/GOV/1/x"}))
		if err := claim(t, s, noon, &ledger.Claim{Exchange: id(1)}); countersign.CodeOf(err) != countersign.CodeReplay {
			t.Fatalf("again: %v", err)
		}
		// A consumer's intent of the same id is another thing: a member may ask itself.
		must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(1), Intent: true, Sealed: []byte("s")}))
		b := &ledger.Batch{Now: noon, Claims: []*ledger.Claim{{Exchange: id(2), Until: noon.Add(time.Hour)}, {Exchange: id(2), Until: noon.Add(time.Hour)}, {Exchange: id(3), Until: noon.Add(time.Hour)}}}
		must(t, s.Commit(t.Context(), b))
		if b.Claims[0].Refused != nil || countersign.CodeOf(b.Claims[1].Refused) != countersign.CodeReplay || b.Claims[2].Refused != nil {
			t.Fatalf("within a batch: %v, %v, %v", b.Claims[0].Refused, b.Claims[1].Refused, b.Claims[2].Refused)
		}
	})
	with(t, open, func(s ledger.Store) {
		for n := 1; n <= 3; n++ {
			if err := claim(t, s, noon, &ledger.Claim{Exchange: id(n)}); countersign.CodeOf(err) != countersign.CodeReplay {
				t.Fatalf("after reopening: %v", err)
			}
		}
		if err := claim(t, s, noon, &ledger.Claim{Exchange: id(1), Intent: true}); countersign.CodeOf(err) != countersign.CodeReplay {
			t.Fatalf("an intent again: %v", err)
		}
	})
}

func nothingKept(t *testing.T, open Opener) {
	wide := ledger.Budget{Key: ledger.BudgetKey{1}, Window: time.Hour, Limit: 2}
	none := ledger.Budget{Key: ledger.BudgetKey{2}, Window: time.Hour, Limit: 0}
	people := ledger.Budget{Key: ledger.BudgetKey{3}, Window: time.Hour, Limit: 1, Member: ledger.BudgetMember{7}}
	with(t, open, func(s ledger.Store) {
		for n := range 5 {
			c := &ledger.Claim{Exchange: id(1), Budgets: []ledger.Budget{wide, people, none}, Intent: n%2 == 1, Sealed: []byte("s")}
			if err := claim(t, s, noon, c); countersign.CodeOf(err) != countersign.CodeBudget {
				t.Fatalf("attempt %d: %v", n, err)
			}
		}
		open, err := s.Intents(t.Context(), 10)
		if err != nil || len(open) != 0 {
			t.Fatalf("intents of refused claims: %+v, %v", open, err)
		}
	})
	with(t, open, func(s ledger.Store) {
		// Neither the id nor a use of the budgets before the refusing one was kept.
		must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(1), Budgets: []ledger.Budget{wide}}))
		must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(2), Budgets: []ledger.Budget{wide}}))
		other := people
		other.Member = ledger.BudgetMember{8}
		must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(3), Budgets: []ledger.Budget{other}}))
		if err := claim(t, s, noon, &ledger.Claim{Exchange: id(4), Budgets: []ledger.Budget{people}}); countersign.CodeOf(err) != countersign.CodeBudget {
			t.Fatalf("one person was to fit: %v", err)
		}
	})
}

func window(t *testing.T, open Opener) {
	b := ledger.Budget{Key: ledger.BudgetKey{9}, Window: time.Hour, Limit: 3}
	var taken []time.Time
	with(t, open, func(s ledger.Store) {
		n := 0
		for at := noon; at.Before(noon.Add(4 * time.Hour)); at = at.Add(97 * time.Second) {
			n++
			if err := claim(t, s, at, &ledger.Claim{Exchange: id(n), Budgets: []ledger.Budget{b}}); err == nil {
				taken = append(taken, at)
			} else if countersign.CodeOf(err) != countersign.CodeBudget {
				t.Fatal(err)
			}
		}
	})
	for i := 3; i < len(taken); i++ {
		if gap := taken[i].Sub(taken[i-3]); gap < time.Hour {
			t.Fatalf("four uses within %s", gap)
		}
	}
	if len(taken) < 9 {
		t.Fatalf("%d uses in four hours: the window does not slide", len(taken))
	}
	with(t, open, func(s ledger.Store) {
		last := taken[len(taken)-1]
		for n := 900; n < 904; n++ {
			if err := claim(t, s, last.Add(time.Second), &ledger.Claim{Exchange: id(n), Budgets: []ledger.Budget{b}}); err == nil {
				taken = append(taken, last.Add(time.Second))
			}
		}
		for i := 3; i < len(taken); i++ {
			if gap := taken[i].Sub(taken[i-3]); gap < time.Hour {
				t.Fatalf("four uses within %s after reopening", gap)
			}
		}
	})
}

func distinct(t *testing.T, open Opener) {
	budget := func(member byte) []ledger.Budget {
		return []ledger.Budget{{Key: ledger.BudgetKey{4}, Window: time.Hour, Limit: 2, Member: ledger.BudgetMember{member}}}
	}
	with(t, open, func(s ledger.Store) {
		for n, member := range []byte{1, 2, 1, 2, 2} {
			must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(n), Budgets: budget(member)}))
		}
		if err := claim(t, s, noon, &ledger.Claim{Exchange: id(10), Budgets: budget(3)}); countersign.CodeOf(err) != countersign.CodeBudget {
			t.Fatalf("a third person: %v", err)
		}
		// The second person is asked about again later, the first is not.
		must(t, claim(t, s, noon.Add(50*time.Minute), &ledger.Claim{Exchange: id(11), Budgets: budget(2)}))
	})
	with(t, open, func(s ledger.Store) {
		later := noon.Add(70 * time.Minute)
		must(t, claim(t, s, later, &ledger.Claim{Exchange: id(12), Budgets: budget(3)}))
		if err := claim(t, s, later, &ledger.Claim{Exchange: id(13), Budgets: budget(1)}); countersign.CodeOf(err) != countersign.CodeBudget {
			t.Fatalf("a third person within the hour: %v", err)
		}
	})
}

func uses(t *testing.T, open Opener) {
	ends := noon.AddDate(0, 1, 0)
	use := []ledger.Budget{{Key: ledger.BudgetKey{5}, Limit: 2, Kept: ends, Code: countersign.CodeMandateSpent}}
	with(t, open, func(s ledger.Store) {
		must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(1), Budgets: use}))
		must(t, claim(t, s, noon.AddDate(0, 0, 20), &ledger.Claim{Exchange: id(2), Budgets: use}))
	})
	with(t, open, func(s ledger.Store) {
		if err := claim(t, s, noon.AddDate(0, 0, 29), &ledger.Claim{Exchange: id(3), Budgets: use}); countersign.CodeOf(err) != countersign.CodeMandateSpent {
			t.Fatalf("a third use: %v", err)
		}
	})
}

func withinBatch(t *testing.T, open Opener) {
	b := ledger.Budget{Key: ledger.BudgetKey{6}, Window: time.Minute, Limit: 5}
	with(t, open, func(s ledger.Store) {
		batch := &ledger.Batch{Now: noon}
		for n := range 9 {
			c := &ledger.Claim{Exchange: id(n), Until: noon.Add(time.Hour), Budgets: []ledger.Budget{b}}
			if n == 8 {
				c.Budgets = append(c.Budgets, b) // the same budget twice counts twice
			}
			batch.Claims = append(batch.Claims, c)
		}
		must(t, s.Commit(t.Context(), batch))
		for n, c := range batch.Claims {
			if (c.Refused == nil) != (n < 5) {
				t.Fatalf("claim %d: %v", n, c.Refused)
			}
		}
	})
}

// Members ask through goroutines; commits come from one, as the contract says.
func parallel(t *testing.T, open Opener) {
	const limit, asked = 40, 400
	b := ledger.Budget{Key: ledger.BudgetKey{8}, Window: time.Hour, Limit: limit}
	with(t, open, func(s ledger.Store) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		granted := 0
		for n := range asked {
			wg.Go(func() {
				c := &ledger.Claim{Exchange: id(n), Until: noon.Add(time.Hour), Budgets: []ledger.Budget{b}}
				mu.Lock()
				defer mu.Unlock()
				if err := s.Commit(t.Context(), &ledger.Batch{Now: noon, Claims: []*ledger.Claim{c}}); err != nil {
					t.Error(err)
				} else if c.Refused == nil {
					granted++
				}
			})
		}
		wg.Wait()
		if granted != limit {
			t.Fatalf("%d of %d granted", granted, limit)
		}
	})
}

func intents(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		for n := range 4 {
			must(t, claim(t, s, noon, &ledger.Claim{Exchange: id(n), Intent: true, Sealed: []byte{byte(n)}}))
		}
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Durable: true, Entries: []*ledger.EntryRow{{Index: 0, Leaf: []byte("x"), Exchange: id(2)}}, Closed: []countersign.ExchangeID{id(2)}}))
	})
	with(t, open, func(s ledger.Store) {
		got, err := s.Intents(t.Context(), 10)
		must(t, err)
		if len(got) != 3 || got[0].Exchange != id(0) || got[1].Exchange != id(1) || got[2].Exchange != id(3) || !bytes.Equal(got[2].Sealed, []byte{3}) || got[0].At != countersign.MillisOf(noon) {
			t.Fatalf("%+v", got)
		}
	})
}

func prune(t *testing.T, open Opener) {
	const many = 1000
	with(t, open, func(s ledger.Store) {
		b := &ledger.Batch{Now: noon}
		for n := range many {
			c := &ledger.Claim{Exchange: id(n), Until: noon.Add(time.Minute), Budgets: []ledger.Budget{{Key: ledger.BudgetKey{byte(n), byte(n >> 8), 1}, Window: time.Minute, Limit: 1}}}
			if n%10 == 0 {
				c.Until = noon.Add(time.Hour)
				c.Budgets = []ledger.Budget{{Key: ledger.BudgetKey{byte(n), byte(n >> 8), 2}, Limit: 1, Kept: noon.Add(time.Hour)}}
			}
			b.Claims = append(b.Claims, c)
		}
		must(t, s.Commit(t.Context(), b))
		removed, steps := 0, 0
		for wrapped := false; !wrapped; steps++ {
			p, err := s.Prune(t.Context(), noon.Add(30*time.Minute))
			must(t, err)
			if p.Looked > 1000 {
				t.Fatalf("one step looked at %d rows", p.Looked)
			}
			removed += p.Removed
			wrapped = p.Wrapped
		}
		if removed != 2*many*9/10 {
			t.Fatalf("%d rows removed in %d steps, want %d", removed, steps, 2*many*9/10)
		}
	})
	with(t, open, func(s ledger.Store) {
		for n := range many {
			c := &ledger.Claim{Exchange: id(n)}
			err := claim(t, s, noon.Add(31*time.Minute), c)
			if n%10 == 0 && countersign.CodeOf(err) != countersign.CodeReplay || n%10 != 0 && err != nil {
				t.Fatalf("claim %d after pruning: %v", n, err)
			}
		}
		spent := &ledger.Claim{Exchange: id(many), Budgets: []ledger.Budget{{Key: ledger.BudgetKey{0, 0, 2}, Limit: 1, Kept: noon.Add(time.Hour), Code: countersign.CodeMandateSpent}}}
		if err := claim(t, s, noon.Add(31*time.Minute), spent); countersign.CodeOf(err) != countersign.CodeMandateSpent {
			t.Fatalf("a living mandate's count was pruned: %v", err)
		}
	})
}

func tileRows(t *testing.T, open Opener) {
	one := ledger.TileRow{ID: tiles.ID{Level: 0, Number: 3}, Hashes: bytes.Repeat([]byte{1}, tiles.TileSize)}
	two := ledger.TileRow{ID: tiles.ID{Level: 2, Number: 3}, Hashes: bytes.Repeat([]byte{2}, tiles.TileSize)}
	with(t, open, func(s ledger.Store) {
		must(t, s.Commit(t.Context(), &ledger.Batch{Now: noon, Durable: true, Tiles: []ledger.TileRow{one, two}}))
	})
	with(t, open, func(s ledger.Store) {
		for _, want := range []ledger.TileRow{one, two} {
			if got, err := s.Tile(t.Context(), want.ID); err != nil || !bytes.Equal(got, want.Hashes) {
				t.Fatalf("tile %s: %d bytes, %v", want.ID, len(got), err)
			}
		}
		if _, err := s.Tile(t.Context(), tiles.ID{Level: 1, Number: 3}); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("a tile that is not full: %v", err)
		}
		one.Hashes = bytes.Repeat([]byte{9}, tiles.TileSize)
		must(t, s.PutTiles(t.Context(), []ledger.TileRow{one}))
		if got, err := s.Tile(t.Context(), one.ID); err != nil || got[0] != 9 {
			t.Fatalf("a repaired tile: %v", err)
		}
	})
}

func checkpoints(t *testing.T, open Opener) {
	with(t, open, func(s ledger.Store) {
		if _, err := s.LatestCheckpoint(t.Context(), ledger.CheckpointSigned); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatal(err)
		}
		for _, kind := range []ledger.CheckpointKind{ledger.CheckpointSigned, ledger.CheckpointPublic} {
			for _, size := range []uint64{5, 9, 7} {
				must(t, s.PutCheckpoint(t.Context(), ledger.CheckpointRow{Kind: kind, Size: size, At: 3, Note: fmt.Appendf(nil, "%d/%d", kind, size)}))
			}
		}
	})
	with(t, open, func(s ledger.Store) {
		for _, kind := range []ledger.CheckpointKind{ledger.CheckpointSigned, ledger.CheckpointPublic} {
			if c, err := s.LatestCheckpoint(t.Context(), kind); err != nil || c.Size != 9 || string(c.Note) != fmt.Sprintf("%d/9", kind) || c.Kind != kind || c.At != 3 {
				t.Fatalf("%+v, %v", c, err)
			}
		}
		if c, err := s.CheckpointAtLeast(t.Context(), ledger.CheckpointPublic, 6); err != nil || c.Size != 7 {
			t.Fatalf("%+v, %v", c, err)
		}
		if _, err := s.CheckpointAtLeast(context.Background(), ledger.CheckpointPublic, 10); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatal(err)
		}
	})
}
