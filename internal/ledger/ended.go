package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// Ended is a log that the configured one has taken over from, with what is left of its store. It is read and served, and never written.
type Ended struct {
	Store  Store // opened for reading by the caller, who closes it after the log
	Origin countersign.LogOrigin
}

// endedLog answers for an ended log.
type endedLog struct {
	*Log
	number int // from 1 for the oldest
	edge   tiles.Edge
	shown  CheckpointRow // the newest of its own checkpoints that its leaves reach
}

// openEnded opens what is left of the ended logs, oldest first. They share keys and month keys with the present one: a month that is destroyed is
// destroyed in all.
func (l *Log) openEnded(ctx context.Context, cfg Config) error {
	for i, e := range cfg.Ended {
		sub := cfg
		sub.Store, sub.Origin, sub.Ended = e.Store, e.Origin, nil
		old, err := sub.assemble()
		if err != nil {
			return err
		}
		old.vault = l.vault
		out := &endedLog{Log: old, number: i + 1}
		if out.edge, _, err = old.examine(ctx); err != nil {
			return fmt.Errorf("the ended log %s: %w", e.Origin, err)
		}
		for _, kind := range []CheckpointKind{CheckpointCosigned, CheckpointSigned} {
			row, err := e.Store.LatestCheckpoint(ctx, kind)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if row.Size <= out.edge.Size() && row.Size > out.shown.Size && (out.shown.Note == nil || kind == CheckpointCosigned) {
				out.shown = row
			}
		}
		l.ended = append(l.ended, out)
	}
	return nil
}

// at finds the log of a place: the present one for nil.
func (l *Log) at(place uint64) (*endedLog, uint64, error) {
	n, index := countersign.SplitPlace(place)
	if n == 0 {
		return nil, index, nil
	}
	if n > len(l.ended) {
		return nil, 0, ErrNotFound
	}
	return l.ended[n-1], index, nil
}

// pages reads a page of a list that goes on in the ended logs, newest first, where the present one has no more.
func (l *Log) pages(page Page, read func(s Store, before uint64, limit int) ([]*EntryRow, error)) ([]*Stored, error) {
	before, limit := page.bounds()
	var out []*Stored
	n, index := countersign.SplitPlace(before)
	if page.Before == 0 {
		n, index = 0, ^uint64(0)
	}
	if n > len(l.ended) {
		return nil, nil
	}
	for {
		from := l
		if n > 0 {
			from = l.ended[n-1].Log
		}
		rows, err := read(from.store, min(index, from.durable()), limit-len(out))
		if err != nil {
			return nil, err
		}
		opened, err := from.opened(rows, nil)
		if err != nil {
			return nil, err
		}
		for _, s := range opened {
			s.Index = countersign.PlaceOf(n, s.Index)
		}
		out = append(out, opened...)
		if n == 0 && len(out) == limit && limit > 1 && len(l.ended) > 0 && out[limit-1].Index == 0 {
			return out[:limit-1], nil // after place 0 a caller could not ask for what is older
		}
		// From the present log to the newest ended one, and on to the oldest.
		if n--; n < 0 {
			n = len(l.ended)
		}
		if n == 0 || len(out) == limit {
			return out, nil
		}
		index = ^uint64(0)
	}
}

// endedView shows an ended log as far as its leaves are left.
type endedView struct{ log *endedLog }

// Checkpoint implements tiles.View.
func (v endedView) Checkpoint(context.Context) ([]byte, uint64, error) {
	if v.log.shown.Note == nil {
		return nil, 0, fmt.Errorf("nothing is left of this log: %w", fs.ErrNotExist)
	}
	return v.log.shown.Note, v.log.shown.Size, nil
}

// Hashes implements tiles.View.
func (v endedView) Hashes(ctx context.Context, id tiles.ID, width int) ([]byte, error) {
	return (&tree{v.log.store, v.log.edge}).tile(ctx, id, width)
}

// Leaves implements tiles.View.
func (v endedView) Leaves(ctx context.Context, first uint64, count int) ([][]byte, error) {
	leaves, err := v.log.store.Leaves(ctx, first, count)
	if err == nil && len(leaves) != count {
		err = fmt.Errorf("leaf %d: %w", first+uint64(len(leaves)), ErrNotFound)
	}
	return leaves, err
}

// EndedPath is where the nth ended log is served, relative to the present one.
func EndedPath(n int) string { return "/ended/" + strconv.Itoa(n) }

// withEnded serves the ended logs beside the present one.
func (l *Log) withEnded(present http.Handler) http.Handler {
	if len(l.ended) == 0 {
		return present
	}
	mux := http.NewServeMux()
	mux.Handle("/", present)
	for _, e := range l.ended {
		mux.Handle(EndedPath(e.number)+"/", http.StripPrefix(EndedPath(e.number), tiles.Handler(endedView{e})))
	}
	return mux
}
