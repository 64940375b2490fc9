package ledger_test

import (
	"context"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// fill lets a log grow to size leaves beneath the program, with the tiles that follow from them. Of each leaf after the inception row gives the rest.
func fill(t testing.TB, m *member, size uint64, row func(index uint64) *ledger.EntryRow) {
	t.Helper()
	first, err := m.store.Leaves(context.Background(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	edge, _ := tiles.Edge{}.Extend([]tlog.Hash{tlog.RecordHash(first[0])})
	for edge.Size() < size {
		b := &ledger.Batch{Now: m.clock.Now()}
		hashes := make([]tlog.Hash, 0, 4096)
		for index := edge.Size(); index < size && len(hashes) < 4096; index++ {
			e := row(index)
			e.Index = index
			b.Entries, hashes = append(b.Entries, e), append(hashes, tlog.RecordHash(e.Leaf))
		}
		var full []tiles.Tile
		edge, full = edge.Extend(hashes)
		for _, tile := range full {
			b.Tiles = append(b.Tiles, ledger.TileRow(tile))
		}
		b.Durable = edge.Size() == size
		if err := m.store.Commit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// reading counts what a log reads of its store.
type reading struct {
	ledger.Store
	leaves, tiles, rows int
}

func (r *reading) Leaves(ctx context.Context, first uint64, count int) ([][]byte, error) {
	out, err := r.Store.Leaves(ctx, first, count)
	r.leaves += len(out)
	return out, err
}

func (r *reading) Tile(ctx context.Context, id tiles.ID) ([]byte, error) {
	r.tiles++
	return r.Store.Tile(ctx, id)
}

func (r *reading) EntriesBefore(ctx context.Context, before uint64, limit int) ([]*ledger.EntryRow, error) {
	out, err := r.Store.EntriesBefore(ctx, before, limit)
	r.rows += len(out)
	return out, err
}

// A log opens by its right edge alone, however many leaves it has.
func TestAMillionLeavesOpenInTwoSeconds(t *testing.T) {
	size := uint64(1_000_000)
	if raceDetector {
		size = 50_000 // what is read is bounded alike; the time is measured without the detector
	}
	m := begin(t)
	leaf := (&countersign.Leaf{Kind: countersign.LeafSealed, Hour: countersign.HourOf(m.clock.Now())}).Encode()
	fill(t, m, size-1, func(uint64) *ledger.EntryRow {
		return &ledger.EntryRow{Leaf: leaf, At: countersign.MillisOf(m.clock.Now())}
	})
	l := m.open()
	l.Tick(t.Context()) // a leaf, and a checkpoint to hold the store to
	m.shut()

	var seen *reading
	m.wrap = func(s ledger.Store) ledger.Store {
		seen = &reading{Store: s}
		return seen
	}
	m.connect(false)
	started := time.Now()
	l = m.open()
	took := time.Since(started)
	t.Logf("%d leaves: opened in %s, %d leaves, %d tiles and %d rows read", l.Size(), took, seen.leaves, seen.tiles, seen.rows)
	if l.Size() != size || seen.leaves >= 2*tiles.Width || seen.tiles >= 3*tiles.Width || seen.rows > 1 {
		t.Errorf("%d leaves: %d leaves, %d tiles and %d rows were read, where the right edge would do", l.Size(), seen.leaves, seen.tiles, seen.rows)
	}
	if !raceDetector && took > 2*time.Second {
		t.Errorf("%d leaves open in %s", size, took)
	}
}
