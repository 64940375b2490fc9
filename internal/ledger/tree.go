package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// loadEdge rebuilds the right edge from the store. Tiles that are missing are computed from those below them, so that a store restored
// without derived rows opens all the same.
func loadEdge(ctx context.Context, s Store) (tiles.Edge, error) {
	size, err := s.Size(ctx)
	if err != nil {
		return tiles.Edge{}, err
	}
	return tiles.Load(size, &storedTree{ctx, s})
}

// storedTree reads tiles and leaf hashes of one store for one call.
type storedTree struct {
	ctx   context.Context //nolint:containedctx // of the call that this value serves and ends with
	store Store
}

// Tile implements tiles.Source.
func (t *storedTree) Tile(id tiles.ID) ([]byte, error) {
	hashes, err := t.store.Tile(t.ctx, id)
	if !errors.Is(err, ErrNotFound) {
		return hashes, err
	}
	out := make([]byte, 0, tiles.TileSize)
	if id.Level == 0 {
		leaves, err := t.LeafHashes(id.Number*tiles.Width, tiles.Width)
		if err != nil {
			return nil, err
		}
		for _, h := range leaves {
			out = append(out, h[:]...)
		}
		return out, nil
	}
	for n := range uint64(tiles.Width) {
		below, err := t.Tile(tiles.ID{Level: id.Level - 1, Number: id.Number*tiles.Width + n})
		if err != nil {
			return nil, err
		}
		if len(below) != tiles.TileSize {
			return nil, countersign.Refuse(countersign.CodeStore, "tile %s is not whole: run fsck", tiles.ID{Level: id.Level - 1, Number: id.Number*tiles.Width + n})
		}
		h := tiles.Root(below)
		out = append(out, h[:]...)
	}
	return out, nil
}

// LeafHashes implements tiles.Source.
func (t *storedTree) LeafHashes(first uint64, count int) ([]tlog.Hash, error) {
	leaves, err := t.store.Leaves(t.ctx, first, count)
	if err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(leaves))
	for i, leaf := range leaves {
		out[i] = tlog.RecordHash(leaf)
	}
	return out, nil
}

// tree is the log's tree as of an edge, for roots and proofs of that size and every smaller one.
type tree struct {
	store Store
	edge  tiles.Edge
}

// tile reads the first width hashes of a tile.
func (t *tree) tile(ctx context.Context, id tiles.ID, width int) ([]byte, error) {
	if part := t.edge.Partial(id, width); part != nil {
		return part, nil
	}
	full, err := (&storedTree{ctx, t.store}).Tile(id)
	if err != nil {
		return nil, err
	}
	if len(full) != tiles.TileSize || width > tiles.Width {
		return nil, countersign.Refuse(countersign.CodeStore, "tile %s is not whole: run fsck", id)
	}
	return full[:width*tlog.HashSize], nil
}

func (t *tree) reader(ctx context.Context) tlog.HashReader {
	cache := map[tiles.ID][]byte{}
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			tile := tlog.TileForIndex(tiles.Height, x)
			id := tiles.ID{Level: tile.L, Number: uint64(tile.N)} //nolint:gosec // not negative
			data := cache[id]
			if len(data) < tile.W*tlog.HashSize {
				var err error
				if data, err = t.tile(ctx, id, tile.W); err != nil {
					return nil, err
				}
				cache[id] = data
			}
			h, err := tlog.HashFromTile(tile, data[:tile.W*tlog.HashSize], x)
			if err != nil {
				return nil, fmt.Errorf("reading tile %s: %w", id, err)
			}
			out[i] = h
		}
		return out, nil
	})
}

// root is the root of the first size leaves.
func (t *tree) root(ctx context.Context, size uint64) (tlog.Hash, error) {
	if size == t.edge.Size() {
		return t.edge.Hash()
	}
	root, err := tlog.TreeHash(int64(size), t.reader(ctx)) //nolint:gosec // sizes of C2SP logs are below 2^63
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("the root at size %d: %w", size, err)
	}
	return root, nil
}

// inclusion proves that a leaf stands in the first size leaves.
func (t *tree) inclusion(ctx context.Context, index, size uint64) (tlog.RecordProof, error) {
	p, err := tlog.ProveRecord(int64(size), int64(index), t.reader(ctx)) //nolint:gosec // sizes of C2SP logs are below 2^63
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d at size %d: %w", index, size, err)
	}
	return p, nil
}

// consistency proves that the first old leaves are a beginning of the first size leaves.
func (t *tree) consistency(ctx context.Context, old, size uint64) (tlog.TreeProof, error) {
	if old == 0 || old == size {
		return nil, nil
	}
	p, err := tlog.ProveTree(int64(size), int64(old), t.reader(ctx)) //nolint:gosec // sizes of C2SP logs are below 2^63
	if err != nil {
		return nil, fmt.Errorf("proving size %d from %d: %w", size, old, err)
	}
	return p, nil
}
