package tiles

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// The examples of C2SP tlog-tiles (https://c2sp.org/tlog-tiles).
func TestTheSpecificationsExamples(t *testing.T) {
	// SPEC: "index 1234067 will be encoded as x001/x234/067".
	if got := (ID{0, 1234067}).String(); got != "tile/8/0/x001/x234/067" {
		t.Errorf("tile 1234067: %s", got)
	}
	p, ok := parsePath("0/x001/x234/067")
	if !ok || p.Number != 1234067 || p.width != Width {
		t.Errorf("x001/x234/067: %+v, %t", p, ok)
	}
	// SPEC: "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one full level 1 tile, one
	// partial level 1 tile of width 17, and one partial level 2 tile of width 1. Note that a tree of size 256 will be represented by a full level 0
	// tile and a partial level 1 tile of width 1."
	for size, want := range map[uint64]struct {
		full    map[int]int
		partial []int
	}{
		70_000: {map[int]int{0: 273, 1: 1}, []int{112, 17, 1}},
		256:    {map[int]int{0: 1}, []int{0, 1}},
	} {
		full := map[int]int{}
		edge := Edge{}
		for n := uint64(0); n < size; n++ {
			next, tiles := edge.Extend([]tlog.Hash{{byte(n)}})
			edge = next
			for _, tile := range tiles {
				full[tile.ID.Level]++
			}
		}
		for level, n := range want.full {
			if full[level] != n {
				t.Errorf("size %d: %d full tiles of level %d, %d are due", size, full[level], level, n)
			}
		}
		for level, width := range want.partial {
			if got := len(edge.levels[level]) / tlog.HashSize; got != width {
				t.Errorf("size %d: the partial tile of level %d has %d hashes, %d are due", size, level, got, width)
			}
			number := size >> (Height * (level + 1))
			if width > 0 && !(tilePath{ID{level, number}, false, width}).within(size) || (tilePath{ID{level, number}, false, width + 1}).within(size) {
				t.Errorf("size %d: tile %d of level %d is served at another width than %d", size, number, level, width)
			}
		}
	}
}

// Whatever path is asked for, what is understood has one spelling, and nothing beyond the tree is served.
func FuzzTilePath(f *testing.F) {
	for _, s := range []string{"0/000", "0/x001/x234/067", "entries/000.p/17", "63/000", "1/x001/000.p/255", "0/00", "-1/000", "0/000.p/0", "0/x999/x999/x999/x999/x999/x999/999"} {
		f.Add(s, uint64(70_000))
	}
	f.Fuzz(func(t *testing.T, path string, size uint64) {
		p, ok := parsePath(path)
		if !ok {
			return
		}
		tile := tlog.Tile{H: Height, L: p.Level, N: int64(p.Number), W: p.width}
		want := tile.Path()[len("tile/8/"):]
		if p.entries {
			want = "entries/" + want[len("0/"):]
		}
		if path != want {
			t.Errorf("%q is understood as %q", path, want)
		}
		if p.within(size) && p.Level == 0 && p.Number*Width+uint64(p.width) > size {
			t.Errorf("%q is served of a tree of %d", path, size)
		}
	})
}
