package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"

	"countersign.dev/countersign/internal/ledger"
)

// monthBlock is how many rows an account of a month reaches ahead, so that few commits have to write to it.
const monthBlock = 4096

const upsertMonth = `INSERT INTO months (month, first, until) VALUES (?, ?, ?)
	ON CONFLICT DO UPDATE SET first = min(first, excluded.first), until = max(until, excluded.until)`

// account sees to it that the month's account covers a row that is being stored.
func (s *SQLite) account(w *writer, month ledger.Month, index uint64) error {
	if s.months[month] > index {
		return nil
	}
	until := (index/monthBlock + 1) * monthBlock
	if _, err := w.month.exec(int64(month), asInt(index), asInt(until)); err != nil {
		return fmt.Errorf("accounting for a month: %w", err)
	}
	if s.months == nil {
		s.months = map[ledger.Month]uint64{}
	}
	s.months[month] = until
	return nil
}

// settleMonth ends a month's account with the entry that puts its destruction on record.
func (s *SQLite) settleMonth(w *writer, d *ledger.DestructionRow) error {
	delete(s.months, d.Month)
	if err := w.run("DELETE FROM months WHERE month = ? AND next >= until", int64(d.Month)); err != nil {
		return err
	}
	return w.run("INSERT INTO destructions (month, idx, records, low, high, kept) VALUES (?, ?, ?, ?, ?, ?)",
		int64(d.Month), asInt(d.Index), asInt(d.Records), asInt(d.First), asInt(d.Last), int64(d.Kept))
}

// run prepares and runs a statement that is too rare to be kept.
func (w *writer) run(text string, values ...driver.Value) error {
	_, err := w.runCounting(text, values...)
	return err
}

func (w *writer) runCounting(text string, values ...driver.Value) (int64, error) {
	st, err := w.prepare(text, len(values))
	if err != nil {
		return 0, err
	}
	n, err := st.exec(values...)
	if err = errors.Join(err, st.Close()); err != nil {
		return 0, fmt.Errorf("%q: %w", text, err)
	}
	return n, nil
}

// one reads one row of integers; NULL is zero. It reports whether there was a row.
func (w *writer) one(text string, to []*int64, values ...driver.Value) (found bool, err error) {
	st, err := w.prepare(text, len(values))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	err = st.rows(func(row []driver.Value) error {
		found = true
		for i := range to {
			n, ok := row[i].(int64)
			if !ok && row[i] != nil {
				return errDriver
			}
			*to[i] = n
		}
		return nil
	}, values...)
	if err != nil {
		return false, fmt.Errorf("%q: %w", text, err)
	}
	return found, nil
}

const monthColumns = "SELECT month, first, until, next, emptied, low, high, kept FROM months "

// Months implements ledger.ExpiryStore.
func (s *SQLite) Months(ctx context.Context) (out []ledger.MonthRow, err error) {
	rows, err := s.pool.QueryContext(ctx, monthColumns+"ORDER BY month")
	if err != nil {
		return nil, refuse(err, "reading months")
	}
	defer rows.Close()
	for rows.Next() {
		var m ledger.MonthRow
		if err := rows.Scan(&m.Month, &m.First, &m.Until, &m.Next, &m.Emptied, &m.Low, &m.High, &m.Kept); err != nil {
			return nil, refuse(err, "reading months")
		}
		m.Done = m.Next >= m.Until
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		return nil, refuse(err, "reading months")
	}
	return out, nil
}

// Destructions implements ledger.ExpiryStore.
func (s *SQLite) Destructions(ctx context.Context) (out []ledger.DestructionRow, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT month, idx, records, low, high, kept FROM destructions ORDER BY month DESC")
	if err != nil {
		return nil, refuse(err, "reading destructions")
	}
	defer rows.Close()
	for rows.Next() {
		var d ledger.DestructionRow
		if err := rows.Scan(&d.Month, &d.Index, &d.Records, &d.First, &d.Last, &d.Kept); err != nil {
			return nil, refuse(err, "reading destructions")
		}
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, refuse(err, "reading destructions")
	}
	return out, nil
}

// Empty implements ledger.ExpiryStore.
//
// What is emptied is overwritten with zeros in the pages that are written anyway (secure_delete = FAST). Pages that become free keep what they
// held until they are used again: records that nobody can decrypt any more.
func (s *SQLite) Empty(ctx context.Context, month ledger.Month, limit int) (m ledger.MonthRow, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.writerLocked(ctx)
	if err != nil {
		return m, err
	}
	err = w.conn.Raw(func(any) error {
		if err := w.pragma("PRAGMA secure_delete = FAST"); err != nil {
			return err
		}
		delete(s.months, month) // a row that comes after all is accounted for anew
		err := w.transact(func() (err error) {
			m, err = w.empty(month, limit)
			return err
		})
		return errors.Join(err, w.pragma("PRAGMA secure_delete = OFF"))
	})
	if err != nil {
		return m, errors.Join(refuse(err, "emptying records"), s.dropWriter())
	}
	s.maintain(w)
	return m, nil
}

func (w *writer) pragma(text string) error {
	ex, ok := w.dc.(driver.ExecerContext)
	if !ok {
		return errDriver
	}
	if _, err := ex.ExecContext(context.Background(), text, nil); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

func (w *writer) empty(month ledger.Month, limit int) (m ledger.MonthRow, err error) {
	var id, first, until, next, emptied, low, high, kept, end int64
	found, err := w.one(monthColumns+"WHERE month = ?", []*int64{&id, &first, &until, &next, &emptied, &low, &high, &kept}, int64(month))
	if err != nil {
		return m, err
	}
	if _, err := w.one("SELECT max(idx) + 1 FROM entries", []*int64{&end}); err != nil {
		return m, err
	}
	from, to := max(next, first), min(until, end)
	stop := min(from+int64(limit), to)
	if from < stop {
		var n, lowest, highest int64
		if _, err := w.one("SELECT count(*), min(idx), max(idx) FROM entries WHERE idx >= ? AND idx < ? AND expires = ?", []*int64{&n, &lowest, &highest}, from, stop, int64(month)); err != nil {
			return m, err
		}
		if n > 0 {
			if err := w.run("UPDATE entries SET record = NULL, tag = NULL, exchange = NULL WHERE idx >= ? AND idx < ? AND expires = ?", from, stop, int64(month)); err != nil {
				return m, err
			}
			if emptied == 0 {
				low = lowest
			}
			high, emptied = highest, emptied+n
		}
	}
	m = ledger.MonthRow{Month: month, First: uint64(first), Next: uint64(max(from, stop)), Until: uint64(until), Emptied: uint64(emptied), Low: uint64(low), High: uint64(high), Kept: uint32(kept), Done: stop >= to} //nolint:gosec // none is negative
	if m.Done {
		// The account ends where the rows end: one that comes after all opens it again.
		m.Until = m.Next
		if err := w.dropIntents(month); err != nil {
			return m, err
		}
	}
	if !found {
		return m, nil
	}
	return m, w.run("UPDATE months SET next = ?, until = ?, emptied = ?, low = ?, high = ? WHERE month = ?", asInt(m.Next), asInt(m.Until), emptied, low, high, int64(month))
}

// dropIntents removes the open intents whose bodies were sealed under the month: it stands before each body.
func (w *writer) dropIntents(month ledger.Month) error {
	return w.run("DELETE FROM intents WHERE substr(sealed, 1, 4) = ?", binary.BigEndian.AppendUint32(nil, uint32(month))) //nolint:gosec // months are positive
}

// Keep implements ledger.ExpiryStore.
func (s *SQLite) Keep(ctx context.Context, month ledger.Month, rows []*ledger.EntryRow) error {
	return s.update(ctx, true, func(w *writer) error {
		kept := int64(0)
		for _, e := range rows {
			n, err := w.runCounting("UPDATE entries SET expires = ?, record = ? WHERE idx = ? AND expires = ? AND record IS NOT NULL", int64(e.Expires), e.Record, asInt(e.Index), int64(month))
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			kept++
			delete(s.months, e.Expires)
			if err := w.run(upsertMonth, int64(e.Expires), asInt(e.Index), asInt(e.Index+1)); err != nil {
				return err
			}
		}
		return w.run("UPDATE months SET kept = kept + ? WHERE month = ?", kept, int64(month))
	})
}

// Forget implements ledger.ExpiryStore.
func (s *SQLite) Forget(ctx context.Context, month ledger.Month) error {
	return s.update(ctx, false, func(w *writer) error {
		delete(s.months, month)
		return w.run("DELETE FROM months WHERE month = ? AND next >= until", int64(month))
	})
}

var _ ledger.ExpiryStore = (*SQLite)(nil)
