package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// Size implements ledger.Store.
func (s *SQLite) Size(ctx context.Context) (uint64, error) {
	var size uint64
	if err := s.pool.QueryRowContext(ctx, "SELECT coalesce(max(idx) + 1, 0) FROM entries").Scan(&size); err != nil {
		return 0, refuse(err, "reading the log's size")
	}
	return size, nil
}

// found turns the absence of a row into ledger.ErrNotFound.
func found(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ledger.ErrNotFound
	}
	return refuse(err, doing)
}

// Meta implements ledger.Store.
func (s *SQLite) Meta(ctx context.Context, name string) (value []byte, err error) {
	err = s.pool.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&value)
	return value, found(err, "reading a setting")
}

// SetMeta implements ledger.Store.
func (s *SQLite) SetMeta(ctx context.Context, values map[string][]byte) error {
	return s.update(ctx, true, func(w *writer) error {
		st, err := w.prepare("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", 2)
		if err != nil {
			return err
		}
		defer st.Close() //nolint:errcheck // the transaction's own error is what counts
		for name, value := range values {
			if _, err := st.exec(name, value); err != nil {
				return fmt.Errorf("writing the setting %s: %w", name, err)
			}
		}
		return nil
	})
}

// update runs f in a transaction of its own.
func (s *SQLite) update(ctx context.Context, durable bool, f func(w *writer) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.writerLocked(ctx)
	if err != nil {
		return err
	}
	err = s.run(w, durable, func() error { return f(w) })
	if err != nil {
		return errors.Join(refuse(err, "updating"), s.dropWriter())
	}
	return nil
}

// Tile implements ledger.Store.
func (s *SQLite) Tile(ctx context.Context, id tiles.ID) (hashes []byte, err error) {
	err = s.pool.QueryRowContext(ctx, "SELECT hashes FROM tiles WHERE id = ?", tileID(id)).Scan(&hashes)
	return hashes, found(err, "reading a tile")
}

// PutTiles implements ledger.Store.
func (s *SQLite) PutTiles(ctx context.Context, rows []ledger.TileRow) error {
	return s.update(ctx, true, func(w *writer) error {
		st, err := w.prepare("INSERT INTO tiles (id, hashes) VALUES (?, ?) ON CONFLICT DO UPDATE SET hashes = excluded.hashes", 2)
		if err != nil {
			return err
		}
		defer st.Close() //nolint:errcheck // the transaction's own error is what counts
		for _, t := range rows {
			if _, err := st.exec(tileID(t.ID), t.Hashes); err != nil {
				return fmt.Errorf("storing a tile: %w", err)
			}
		}
		return nil
	})
}

// Leaves implements ledger.Store.
func (s *SQLite) Leaves(ctx context.Context, first uint64, count int) (out [][]byte, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT idx, leaf FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?", first, count)
	if err != nil {
		return nil, refuse(err, "reading leaves")
	}
	defer rows.Close()
	out = make([][]byte, 0, count)
	for rows.Next() {
		var index uint64
		var leaf []byte
		if err := rows.Scan(&index, &leaf); err != nil {
			return nil, refuse(err, "reading leaves")
		}
		if index != first+uint64(len(out)) {
			return nil, countersign.Refuse(countersign.CodeStore, "leaf %d is missing from the store: run fsck", first+uint64(len(out)))
		}
		out = append(out, leaf)
	}
	if err := rows.Err(); err != nil {
		return nil, refuse(err, "reading leaves")
	}
	return out, nil
}

const entryColumns = "SELECT idx, leaf, at, exchange, tag, expires, record FROM entries "

func (s *SQLite) entries(ctx context.Context, where string, args ...any) (out []*ledger.EntryRow, err error) {
	rows, err := s.pool.QueryContext(ctx, entryColumns+where, args...)
	if err != nil {
		return nil, refuse(err, "reading entries")
	}
	defer rows.Close()
	for rows.Next() {
		e := new(ledger.EntryRow)
		var exchange, tag []byte
		var expires sql.NullInt32
		if err := rows.Scan(&e.Index, &e.Leaf, &e.At, &exchange, &tag, &expires, &e.Record); err != nil {
			return nil, refuse(err, "reading entries")
		}
		copy(e.Exchange[:], exchange)
		copy(e.Tag[:], tag)
		e.Expires = ledger.Month(expires.Int32)
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, refuse(err, "reading entries")
	}
	return out, nil
}

// Entry implements ledger.Store.
func (s *SQLite) Entry(ctx context.Context, index uint64) (*ledger.EntryRow, error) {
	rows, err := s.entries(ctx, "WHERE idx = ?", asInt(index))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ledger.ErrNotFound
	}
	return rows[0], nil
}

// asInt keeps "before everything" (the largest number) within SQLite's integers.
func asInt(index uint64) int64 { return int64(min(index, math.MaxInt64)) }

// EntriesOf implements ledger.Store.
func (s *SQLite) EntriesOf(ctx context.Context, exchange countersign.ExchangeID) ([]*ledger.EntryRow, error) {
	return s.entries(ctx, "WHERE exchange = ? ORDER BY idx", exchange[:])
}

// EntriesTagged implements ledger.Store. Each tag's rows stand in the index in the log's own order, and are read from the newest on; asked for several
// tags at once, SQLite sorts what it finds.
func (s *SQLite) EntriesTagged(ctx context.Context, tags []countersign.SubjectTag, before uint64, limit int) (out []*ledger.EntryRow, err error) {
	for i := range tags {
		rows, err := s.entries(ctx, "WHERE tag = ? AND idx < ? ORDER BY idx DESC LIMIT ?", tags[i][:], asInt(before), limit)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	slices.SortFunc(out, func(a, b *ledger.EntryRow) int { return cmp.Compare(b.Index, a.Index) })
	return out[:min(limit, len(out))], nil
}

// EntriesBefore implements ledger.Store.
func (s *SQLite) EntriesBefore(ctx context.Context, before uint64, limit int) ([]*ledger.EntryRow, error) {
	return s.entries(ctx, "WHERE idx < ? ORDER BY idx DESC LIMIT ?", asInt(before), limit)
}

// Intents implements ledger.Store.
func (s *SQLite) Intents(ctx context.Context, limit int) (out []ledger.IntentRow, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT exchange, at, sealed FROM intents ORDER BY exchange LIMIT ?", limit)
	if err != nil {
		return nil, refuse(err, "reading intents")
	}
	defer rows.Close()
	for rows.Next() {
		var r ledger.IntentRow
		var exchange []byte
		if err := rows.Scan(&exchange, &r.At, &r.Sealed); err != nil {
			return nil, refuse(err, "reading intents")
		}
		copy(r.Exchange[:], exchange)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, refuse(err, "reading intents")
	}
	return out, nil
}

// PutCheckpoint implements ledger.Store.
func (s *SQLite) PutCheckpoint(ctx context.Context, c ledger.CheckpointRow) error {
	passing := c.Kind == ledger.CheckpointSigned || c.Kind == ledger.CheckpointCosigned
	// What is signed must be on the disk before anyone sees it, and every leaf beneath it: one wait brings all of the write-ahead log there. A cosigned
	// checkpoint can be had again.
	return s.update(ctx, c.Kind != ledger.CheckpointCosigned, func(w *writer) error {
		for _, step := range []struct {
			text string
			skip bool
			args []driver.Value
		}{
			{"DELETE FROM checkpoints WHERE kind = ? AND size < ?", !passing, []driver.Value{int64(c.Kind), asInt(c.Size)}},
			{"INSERT INTO checkpoints (kind, size, at, note) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, note = excluded.note", false, []driver.Value{int64(c.Kind), asInt(c.Size), int64(c.At), c.Note}},
		} {
			if step.skip {
				continue
			}
			st, err := w.prepare(step.text, len(step.args))
			if err != nil {
				return err
			}
			_, err = st.exec(step.args...)
			if err = errors.Join(err, st.Close()); err != nil {
				return fmt.Errorf("keeping a checkpoint: %w", err)
			}
		}
		return nil
	})
}

const checkpointColumns = "SELECT kind, size, at, note FROM checkpoints "

func (s *SQLite) checkpoint(ctx context.Context, where string, args ...any) (c ledger.CheckpointRow, err error) {
	err = s.pool.QueryRowContext(ctx, checkpointColumns+where, args...).Scan(&c.Kind, &c.Size, &c.At, &c.Note)
	return c, found(err, "reading a checkpoint")
}

// LatestCheckpoint implements ledger.Store.
func (s *SQLite) LatestCheckpoint(ctx context.Context, kind ledger.CheckpointKind) (ledger.CheckpointRow, error) {
	return s.checkpoint(ctx, "WHERE kind = ? ORDER BY size DESC LIMIT 1", kind)
}

// CheckpointAtLeast implements ledger.Store.
func (s *SQLite) CheckpointAtLeast(ctx context.Context, kind ledger.CheckpointKind, size uint64) (ledger.CheckpointRow, error) {
	return s.checkpoint(ctx, "WHERE kind = ? AND size >= ? ORDER BY size LIMIT 1", kind, asInt(size))
}

// sweep is how far pruning has come in each table.
type sweep struct {
	reservation []byte
	budget      struct {
		key, member  []byte
		period, step int64
	}
	budgetsNext bool
}

// pruneStep is how many rows one step looks at: well under a millisecond.
const pruneStep = 200

// Prune implements ledger.Store. It walks through each table in the order of its key, a step at a time, so that no index by date costs
// every exchange something.
func (s *SQLite) Prune(ctx context.Context, before time.Time) (p ledger.Pruned, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.writerLocked(ctx)
	if err != nil {
		return p, err
	}
	err = s.run(w, false, func() (err error) {
		if s.sweep.budgetsNext {
			p, err = s.pruneBudgets(w, before)
		} else {
			p, err = s.pruneReservations(w, before)
		}
		return err
	})
	if err != nil {
		return p, errors.Join(refuse(err, "pruning"), s.dropWriter())
	}
	return p, nil
}

func (s *SQLite) pruneReservations(w *writer, before time.Time) (p ledger.Pruned, err error) {
	st, err := w.prepare("SELECT exchange, until FROM reservations WHERE exchange > ? ORDER BY exchange LIMIT ?", 2)
	if err != nil {
		return p, err
	}
	defer st.Close() //nolint:errcheck // a read
	from := s.sweep.reservation
	if from == nil {
		from = []byte{}
	}
	var due [][]byte
	err = st.rows(func(row []driver.Value) error {
		exchange, _ := row[0].([]byte)
		until, ok := row[1].(int64)
		if !ok {
			return errDriver
		}
		p.Looked++
		s.sweep.reservation = append([]byte{}, exchange...)
		if countersign.Millis(until) < countersign.MillisOf(before) {
			due = append(due, s.sweep.reservation)
		}
		return nil
	}, from, int64(pruneStep))
	if err != nil {
		return p, fmt.Errorf("looking for ended reservations: %w", err)
	}
	for _, exchange := range due {
		if _, err := w.unreserve.exec(exchange); err != nil {
			return p, fmt.Errorf("removing an ended reservation: %w", err)
		}
	}
	p.Removed = len(due)
	if p.Looked < pruneStep {
		s.sweep.reservation, s.sweep.budgetsNext = nil, true
	}
	return p, nil
}

func (s *SQLite) pruneBudgets(w *writer, before time.Time) (p ledger.Pruned, err error) {
	st, err := w.prepare("SELECT key, period, member, step, until FROM budgets WHERE (key, period, member, step) > (?, ?, ?, ?) ORDER BY key, period, member, step LIMIT ?", 5)
	if err != nil {
		return p, err
	}
	defer st.Close() //nolint:errcheck // a read
	del, err := w.prepare("DELETE FROM budgets WHERE key = ? AND period = ? AND member = ? AND step = ?", 4)
	if err != nil {
		return p, err
	}
	defer del.Close() //nolint:errcheck // its result has been looked at
	at := &s.sweep.budget
	if at.key == nil {
		at.key, at.member, at.period, at.step = []byte{}, []byte{}, -1, -1
	}
	var due [][]driver.Value
	err = st.rows(func(row []driver.Value) error {
		key, _ := row[0].([]byte)
		member, _ := row[2].([]byte)
		period, ok1 := row[1].(int64)
		step, ok2 := row[3].(int64)
		until, ok3 := row[4].(int64)
		if !ok1 || !ok2 || !ok3 {
			return errDriver
		}
		p.Looked++
		at.key, at.member, at.period, at.step = append([]byte{}, key...), append([]byte{}, member...), period, step
		if countersign.Millis(until) < countersign.MillisOf(before) {
			due = append(due, []driver.Value{at.key, period, at.member, step})
		}
		return nil
	}, at.key, at.period, at.member, at.step, int64(pruneStep))
	if err != nil {
		return p, fmt.Errorf("looking for ended budgets: %w", err)
	}
	for _, row := range due {
		if _, err := del.exec(row...); err != nil {
			return p, fmt.Errorf("removing an ended budget: %w", err)
		}
	}
	p.Removed = len(due)
	if p.Looked < pruneStep {
		at.key, s.sweep.budgetsNext, p.Wrapped = nil, false, true
	}
	return p, nil
}
