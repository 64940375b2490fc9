package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"countersign.dev/countersign"
)

// Retire gives the store in the file from, which no process may use, another name, whole and in one file: a log that has ended is read from there
// and never written. Nothing is overwritten.
func Retire(ctx context.Context, from, to string) error {
	s, err := OpenSQLite(ctx, from, Options{}) // takes the lock, and brings it up to date for readers to come
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if err := settle(ctx, from); err != nil {
		return err
	}
	if err := os.Link(from, to); err != nil { // unlike a rename it overwrites nothing
		return countersign.RefuseBecause(countersign.CodeStore, err, "the ended store cannot be put at %s", to)
	}
	if err := os.Remove(from); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the ended store stands under two names: remove %s, and run this again", from)
	}
	return syncFolder(filepath.Dir(to))
}

// CarryOver copies what a member's counters and replay store held, and for which months it still has records to destroy, from an ended store into
// that of its successor, which has taken nothing yet. When it returns nil the copy survives a power failure.
func (s *SQLite) CarryOver(ctx context.Context, from string) error {
	if _, err := os.Stat(from); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the ended store %s cannot be read", from)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.write == nil {
		return s.errReadOnly()
	}
	if err := s.dropWriter(); err != nil {
		return err
	}
	s.budgets, s.months = newBudgetCache(), nil
	if err := s.carryOver(ctx, from); err != nil {
		return refuse(err, "carrying counters over")
	}
	if _, err := s.writerLocked(ctx); err != nil {
		return err
	}
	if err := s.journal.wait(); err != nil {
		return refuse(err, "waiting for the disk")
	}
	return nil
}

// carryOver copies on a connection of its own, which is thrown away with the ended store that hangs on it.
func (s *SQLite) carryOver(ctx context.Context, from string) (err error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	defer func() {
		gone := conn.Raw(func(any) error { return driver.ErrBadConn })
		err = errors.Join(err, ignoreDone(gone), ignoreDone(conn.Close()))
	}()
	old := (&url.URL{Scheme: "file", Path: from, RawQuery: url.Values{"mode": {"ro"}}.Encode()}).String()
	if _, err := conn.ExecContext(ctx, "ATTACH ? AS ended", old); err != nil {
		return err //nolint:wrapcheck // as above
	}
	for _, step := range []string{
		"BEGIN IMMEDIATE",
		"INSERT OR IGNORE INTO main.reservations SELECT * FROM ended.reservations",
		"INSERT OR IGNORE INTO main.budgets SELECT * FROM ended.budgets",
		// None of their rows are here: the month's key is what is to be destroyed.
		"INSERT OR IGNORE INTO main.months (month, first, until) SELECT month, 0, 0 FROM ended.months",
		"COMMIT",
	} {
		if _, err := conn.ExecContext(ctx, step); err != nil {
			return err //nolint:wrapcheck // as above; the transaction ends with its connection
		}
	}
	return nil
}

// EndedStores are the stores of the logs that came before the one in a folder, oldest first: ended-1.db, ended-2.db and so on.
func EndedStores(folder string) ([]string, error) {
	var out []string
	for {
		next := EndedStore(folder, len(out)+1)
		if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("looking for ended logs: %w", err)
		}
		out = append(out, next)
	}
}

// EndedStore is the name of the nth ended log's store in a folder.
func EndedStore(folder string, n int) string {
	return filepath.Join(folder, fmt.Sprintf("ended-%d.db", n))
}
