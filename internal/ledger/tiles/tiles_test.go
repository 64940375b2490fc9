package tiles

import (
	"encoding/binary"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

type memory struct {
	leaves []tlog.Hash
	tiles  map[ID][]byte
}

func (m *memory) Tile(id ID) ([]byte, error) { return m.tiles[id], nil }
func (m *memory) LeafHashes(first uint64, count int) ([]tlog.Hash, error) {
	return m.leaves[first : first+uint64(count)], nil
}

func leaf(i int) tlog.Hash { return tlog.RecordHash(binary.BigEndian.AppendUint64(nil, uint64(i))) }

// The library's own tree is the oracle: whatever way leaves are grouped, and after a reload at any size, the root is the same.
func TestEdgeHasTheLibrarysRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stored []tlog.Hash
		reader := tlog.HashReaderFunc(func(x []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(x))
			for i := range x {
				out[i] = stored[x[i]]
			}
			return out, nil
		})
		m := &memory{tiles: map[ID][]byte{}}
		var edge Edge
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 700), 1, 6).Draw(t, "groups") {
			group := make([]tlog.Hash, n)
			for i := range group {
				group[i] = leaf(len(m.leaves) + i)
				hashes, err := tlog.StoredHashesForRecordHash(int64(len(m.leaves)+i), group[i], reader)
				if err != nil {
					t.Fatal(err)
				}
				stored = append(stored, hashes...)
			}
			// A commit that failed leaves the edge as it was.
			if _, full := edge.Extend([]tlog.Hash{leaf(1 << 30), leaf(1 << 31)}); len(full) > 2 {
				t.Fatalf("two leaves filled %d tiles", len(full))
			}
			next, full := edge.Extend(group)
			for _, f := range full {
				m.tiles[f.ID] = f.Hashes
			}
			edge, m.leaves = next, append(m.leaves, group...)
			want, err := tlog.TreeHash(int64(len(m.leaves)), reader)
			if err != nil {
				t.Fatal(err)
			}
			got, err := edge.Hash()
			if err != nil || got != want {
				t.Fatalf("root at %d: %v, %v; want %v", len(m.leaves), got, err, want)
			}
			if edge, err = Load(uint64(len(m.leaves)), m); err != nil {
				t.Fatal(err)
			}
			if got, err = edge.Hash(); err != nil || got != want {
				t.Fatalf("root after reload at %d: %v, %v; want %v", len(m.leaves), got, err, want)
			}
		}
	})
}

func TestThirdLevel(t *testing.T) {
	const n = Width*Width + Width + 3
	m := &memory{tiles: map[ID][]byte{}}
	for i := range n {
		m.leaves = append(m.leaves, leaf(i))
	}
	edge, full := Edge{}.Extend(m.leaves)
	for _, f := range full {
		m.tiles[f.ID] = f.Hashes
	}
	if len(full) != Width+1+1 {
		t.Fatalf("%d tiles are full, want %d", len(full), Width+2)
	}
	again, err := Load(n, m)
	if err != nil {
		t.Fatal(err)
	}
	a, err := edge.Hash()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := again.Hash(); err != nil || a != b {
		t.Fatalf("after reload %v, %v; before %v", b, err, a)
	}
}
