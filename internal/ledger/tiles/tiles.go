// Package tiles holds a log's Merkle tree as C2SP tlog-tiles: the right edge in memory, full tiles in a store, and the HTTP paths under
// which both are read. It knows nothing of what leaves mean.
//
// Trusted? Full tiles and bundles are derived from leaves: their thief learns what is public, and whoever changes them breaks proofs but
// convinces nobody, for every reader checks them against a signed root.
package tiles

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Height is the height of a tile, and Width its number of hashes.
//
// SPEC: C2SP tlog-tiles: "Full tiles MUST be exactly 256 hashes wide, or 8,192 bytes."
const (
	Height   = 8
	Width    = 1 << Height
	TileSize = Width * tlog.HashSize
)

// ID names a tile by level and number within the level.
type ID struct {
	Level  int
	Number uint64
}

// String is the path of the full tile.
func (id ID) String() string {
	return tlog.Tile{H: Height, L: id.Level, N: int64(id.Number), W: Width}.Path() //nolint:gosec // numbers of tiles are below 2^55
}

// Tile is a full tile.
type Tile struct {
	ID     ID
	Hashes []byte
}

// Edge is the right edge of a tree: for each level the hashes of the tile that is not full yet. It is a value: Extend gives another
// edge and leaves this one as it was, so that a failed commit is forgotten by forgetting its edge. Only one line of descent may be
// extended at a time, for edges share memory.
type Edge struct {
	size   uint64
	levels [][]byte // levels[l] holds (size >> (8*l)) % 256 hashes
}

// Size is the number of leaves.
func (e Edge) Size() uint64 { return e.size }

// Extend appends leaf hashes and returns the new edge and the tiles that became full, lowest level first for each leaf.
func (e Edge) Extend(leaves []tlog.Hash) (Edge, []Tile) {
	out := Edge{size: e.size, levels: append(make([][]byte, 0, len(e.levels)+1), e.levels...)}
	var full []Tile
	for _, h := range leaves {
		full = out.push(0, h, full)
		out.size++
	}
	return out, full
}

// push adds a hash to a level's tile; a tile that fills is hashed into the level above. The size is that before the leaf.
func (e *Edge) push(level int, h tlog.Hash, full []Tile) []Tile {
	if level == len(e.levels) {
		e.levels = append(e.levels, nil)
	}
	t := e.levels[level]
	if t == nil {
		t = make([]byte, 0, TileSize)
	}
	t = append(t, h[:]...)
	e.levels[level] = t
	if len(t) < TileSize {
		return full
	}
	e.levels[level] = nil
	full = append(full, Tile{ID{level, e.size >> (Height * (level + 1))}, t})
	return e.push(level+1, Root(t), full)
}

// Partial returns the first width hashes of the tile that is not full yet, or nothing where id is not on the edge or has fewer.
func (e Edge) Partial(id ID, width int) []byte {
	if id.Level < 0 || id.Level >= len(e.levels) || id.Number != e.size>>(Height*(id.Level+1)) {
		return nil
	}
	t := e.levels[id.Level]
	if width < 1 || len(t) < width*tlog.HashSize {
		return nil
	}
	return t[:width*tlog.HashSize]
}

// Root is the RFC 6962 hash of a full tile's subtree.
func Root(tile []byte) tlog.Hash {
	nodes := make([]tlog.Hash, len(tile)/tlog.HashSize)
	for i := range nodes {
		copy(nodes[i][:], tile[i*tlog.HashSize:])
	}
	for len(nodes) > 1 {
		for i := range len(nodes) / 2 {
			nodes[i] = tlog.NodeHash(nodes[2*i], nodes[2*i+1])
		}
		nodes = nodes[:len(nodes)/2]
	}
	return nodes[0]
}

// Hash is the tree's root.
func (e Edge) Hash() (tlog.Hash, error) {
	root, err := tlog.TreeHash(int64(e.size), edgeReader{e}) //nolint:gosec // sizes of C2SP logs are below 2^63
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("hashing the right edge: %w", err)
	}
	return root, nil
}

// edgeReader gives the hashes that a root of the edge's own size needs: all of them lie in tiles that are not full, for the largest
// full subtrees end where those begin.
type edgeReader struct{ edge Edge }

// ReadHashes implements tlog.HashReader.
func (r edgeReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		tile := tlog.TileForIndex(Height, x)
		data := r.edge.Partial(ID{tile.L, uint64(tile.N)}, tile.W) //nolint:gosec // not negative
		if data == nil {
			return nil, fmt.Errorf("hash %d is not on the edge of a tree of %d leaves", x, r.edge.size)
		}
		h, err := tlog.HashFromTile(tile, data, x)
		if err != nil {
			return nil, fmt.Errorf("reading the right edge: %w", err)
		}
		out[i] = h
	}
	return out, nil
}

// Source gives what an edge is rebuilt from.
type Source interface {
	// Tile returns the 8,192 bytes of a full tile.
	Tile(id ID) ([]byte, error)
	// LeafHashes returns the hashes of leaves [first, first+count).
	LeafHashes(first uint64, count int) ([]tlog.Hash, error)
}

// Load rebuilds the edge of a tree of that many leaves: at most 255 leaves and 255 tiles of each level are read.
func Load(size uint64, src Source) (Edge, error) {
	e := Edge{size: size}
	for level := 0; size>>(Height*level) > 0; level++ {
		width := int(size >> (Height * level) % Width)
		if width == 0 {
			e.levels = append(e.levels, nil)
			continue
		}
		tile := make([]byte, 0, TileSize)
		first := size >> (Height * (level + 1)) * Width
		if level == 0 {
			hashes, err := src.LeafHashes(first, width)
			if err != nil {
				return Edge{}, fmt.Errorf("reading the newest leaves: %w", err)
			}
			if len(hashes) != width {
				return Edge{}, fmt.Errorf("the log has %d leaves from %d on where %d are due", len(hashes), first, width)
			}
			for _, h := range hashes {
				tile = append(tile, h[:]...)
			}
		} else {
			for n := range uint64(width) {
				below, err := src.Tile(ID{level - 1, first + n})
				if err != nil {
					return Edge{}, fmt.Errorf("reading tile %s: %w", ID{level - 1, first + n}, err)
				}
				if len(below) != TileSize {
					return Edge{}, fmt.Errorf("tile %s has %d bytes where %d are due", ID{level - 1, first + n}, len(below), TileSize)
				}
				h := Root(below)
				tile = append(tile, h[:]...)
			}
		}
		e.levels = append(e.levels, tile)
	}
	return e, nil
}
