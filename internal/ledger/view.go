package ledger

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"

	"countersign.dev/countersign/internal/ledger/tiles"
)

// View says for whom a log is served.
type View int

// The views. The zero View shows nothing.
const (
	ViewPublic View = 1 // advances on the hour
	ViewParty  View = 2 // live, for the parties of exchanges, monitors with their leave, and witnesses
)

// Handler serves a view of the log as C2SP tlog-tiles, relative to the root of its paths, and below EndedPath what is left of the logs before it.
func (l *Log) Handler(v View) http.Handler { return l.withEnded(tiles.Handler(&view{l, v})) }

type view struct {
	log  *Log
	kind View
}

// Checkpoint implements tiles.View.
func (v *view) Checkpoint(context.Context) ([]byte, uint64, error) {
	p := v.log.publisher
	p.mu.Lock()
	defer p.mu.Unlock()
	var row CheckpointRow
	switch v.kind {
	case ViewPublic:
		row = p.public
	case ViewParty:
		// A party reads what the log has signed even while witnesses are out of reach; cosignatures come with the newest that has them.
		if row = p.cosigned; row.Size < p.signed.Size && (p.group.N < 1 || p.broken()) {
			row = p.signed
		}
	}
	if row.Note == nil {
		return nil, 0, fmt.Errorf("no checkpoint is shown yet: %w", fs.ErrNotExist)
	}
	return row.Note, row.Size, nil
}

// Hashes implements tiles.View.
func (v *view) Hashes(ctx context.Context, id tiles.ID, width int) ([]byte, error) {
	return v.log.tree().tile(ctx, id, width)
}

// Leaves implements tiles.View.
func (v *view) Leaves(ctx context.Context, first uint64, count int) ([][]byte, error) {
	leaves, err := v.log.store.Leaves(ctx, first, count)
	if err == nil && len(leaves) != count {
		err = fmt.Errorf("leaf %d: %w", first+uint64(len(leaves)), ErrNotFound)
	}
	return leaves, err
}
