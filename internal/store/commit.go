package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/tiles"
)

var errEOF = io.EOF

// Commit implements ledger.Store.
//
// Each commit appends to one file, and a commit that waits for the disk makes every earlier one durable with it; one that does not wait survives
// kill -9 all the same.
func (s *SQLite) Commit(ctx context.Context, b *ledger.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.writerLocked(ctx)
	if err != nil {
		return err
	}
	err = s.run(w, b.Durable, func() error { return s.apply(w, b) })
	if err != nil {
		s.budgets, s.months = newBudgetCache(), nil
		return errors.Join(refuse(err, "committing"), s.dropWriter())
	}
	w.next += uint64(len(b.Entries))
	s.budgets.settle()
	s.maintain(w)
	return nil
}

// errNotNext reports an entry that would leave a gap in the log or stand where another stands.
var errNotNext = errors.New("the next entry of the log is")

// readNext finds where the log ends.
func (w *writer) readNext() error {
	var next int64
	if _, err := w.one("SELECT max(idx) + 1 FROM entries", []*int64{&next}); err != nil {
		return fmt.Errorf("reading the log's size: %w", err)
	}
	w.next = uint64(next) //nolint:gosec // indexes are not negative
	return nil
}

func (w *writer) transact(f func() error) error {
	if _, err := w.begin.exec(); err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	if err := f(); err != nil {
		return errors.Join(err, w.rollBack())
	}
	if _, err := w.commit.exec(); err != nil {
		return errors.Join(fmt.Errorf("committing: %w", err), w.rollBack())
	}
	return nil
}

// rollBack undoes a transaction that failed. SQLite has undone it by itself after some errors, and then refuses; the connection is
// thrown away in either case, which undoes it for certain.
func (w *writer) rollBack() error {
	_, err := w.rollback.exec()
	return err
}

func (s *SQLite) apply(w *writer, b *ledger.Batch) error {
	for _, c := range b.Claims {
		if err := s.claim(w, b.Now, c); err != nil {
			return err
		}
	}
	for i, e := range b.Entries {
		if e.Index != w.next+uint64(i) {
			return fmt.Errorf("entry %d: %w %d", e.Index, errNotNext, w.next+uint64(i))
		}
		if err := w.insertEntry(e); err != nil {
			return err
		}
		if e.Expires != 0 {
			if err := s.account(w, e.Expires, e.Index); err != nil {
				return err
			}
		}
	}
	if b.Destroyed != nil {
		if err := s.settleMonth(w, b.Destroyed); err != nil {
			return err
		}
	}
	for _, x := range b.Closed {
		if _, err := w.closeIntent.exec(x[:]); err != nil {
			return fmt.Errorf("closing an intent: %w", err)
		}
	}
	for _, t := range b.Tiles {
		if _, err := w.tile.exec(tileID(t.ID), t.Hashes); err != nil {
			return fmt.Errorf("storing a tile: %w", err)
		}
	}
	return s.budgets.flush(func(r budgetRow, uses int64, until countersign.Millis) error {
		_, err := w.budget.exec(r.key[:], r.period.Milliseconds(), memberBytes(r.member), r.step, uses, int64(until))
		if err != nil {
			return fmt.Errorf("counting a budget: %w", err)
		}
		return nil
	})
}

func tileID(id tiles.ID) int64 { return int64(id.Level)<<48 | int64(id.Number) } //nolint:gosec // numbers of C2SP tiles are below 2^48

func memberBytes(m ledger.BudgetMember) []byte {
	if m.IsZero() {
		return []byte{}
	}
	return m[:]
}

// notNull writes an empty text as that, not as NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (w *writer) insertEntry(e *ledger.EntryRow) error {
	var exchange, tag, expires, record driver.Value
	if e.Exchange != (countersign.ExchangeID{}) {
		exchange = e.Exchange[:]
	}
	if e.Tag != (countersign.SubjectTag{}) {
		tag = e.Tag[:]
	}
	if e.Expires != 0 {
		expires, record = int64(e.Expires), e.Record
	}
	if _, err := w.entry.exec(int64(e.Index), e.Leaf, int64(e.At), exchange, tag, expires, record); err != nil { //nolint:gosec // sizes of C2SP logs are below 2^63
		return fmt.Errorf("storing entry %d: %w", e.Index, err)
	}
	return nil
}

// claim decides one claim. Whatever it has stored of a claim that is refused it takes back.
func (s *SQLite) claim(w *writer, now time.Time, c *ledger.Claim) error {
	c.Refused = nil
	var fresh int64
	var err error
	if c.Intent {
		fresh, err = w.intend.exec(c.Exchange[:], int64(countersign.MillisOf(now)), notNull(c.Sealed))
	} else {
		fresh, err = w.reserve.exec(c.Exchange[:], int64(countersign.MillisOf(c.Until)), c.By)
	}
	if err != nil {
		return fmt.Errorf("claiming an exchange: %w", err)
	}
	if fresh == 0 {
		c.Refused = countersign.Refuse(countersign.CodeReplay, "this exchange was seen before: its status is given, never a second answer")
		return nil
	}
	read := func(r budgetRow, f func(m ledger.BudgetMember, step, uses int64)) error {
		return w.readBudget.rows(func(row []driver.Value) error {
			var m ledger.BudgetMember
			raw, _ := row[0].([]byte)
			step, ok1 := row[1].(int64)
			uses, ok2 := row[2].(int64)
			if !ok1 || !ok2 || len(raw) != 0 && len(raw) != len(m) {
				return fmt.Errorf("a budget's row is malformed: %w", errDriver)
			}
			copy(m[:], raw)
			f(m, step, uses)
			return nil
		}, r.key[:], r.period.Milliseconds(), r.step)
	}
	if c.Refused, err = s.budgets.take(now, c.Budgets, read); err != nil {
		return fmt.Errorf("reading a budget: %w", err)
	}
	if c.Refused == nil {
		return nil
	}
	undo := w.unreserve
	if c.Intent {
		undo = w.unmean
	}
	if _, err := undo.exec(c.Exchange[:]); err != nil {
		return fmt.Errorf("taking a claim back: %w", err)
	}
	return nil
}

// The write-ahead log is moved into the database in the background once this much of it waits, and the writer finishes what came since,
// so that the log starts over instead of growing for ever and no commit waits for more than a few pages.
const (
	walPages = 4096 // 16 MiB
	walEvery = 64   // commits between two looks
)

// maintain is called with mu held, after a commit.
func (s *SQLite) maintain(w *writer) {
	if s.lagging.CompareAndSwap(true, false) {
		// Little is left to move: the next transaction then starts the log from its beginning.
		if _, err := w.walPages(w.checkpointPassive); err != nil {
			s.logger.Warn("moving the write-ahead log", "error", err)
		}
	}
	if s.commits++; s.commits < walEvery {
		return
	}
	s.commits = 0
	waiting, err := w.walPages(w.checkpointLook)
	if err != nil {
		s.logger.Warn("looking at the write-ahead log", "error", err)
		return
	}
	if waiting < walPages || s.closing.Err() != nil || !s.checkpointing.CompareAndSwap(false, true) {
		return
	}
	s.background.Go(func() {
		defer s.checkpointing.Store(false)
		var busy, log, moved int64
		if err := s.pool.QueryRowContext(s.closing, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &log, &moved); err != nil {
			if s.closing.Err() == nil {
				s.logger.Warn("moving the write-ahead log", "error", err)
			}
			return
		}
		s.lagging.Store(true)
	})
}

// walPages runs a checkpoint statement and reports how many pages still wait in the write-ahead log.
func (w *writer) walPages(st *statement) (waiting int64, err error) {
	err = w.conn.Raw(func(any) error {
		return st.rows(func(row []driver.Value) error {
			log, ok1 := row[1].(int64)
			moved, ok2 := row[2].(int64)
			if !ok1 || !ok2 {
				return errDriver
			}
			waiting = log - moved
			return nil
		})
	})
	return waiting, err
}
