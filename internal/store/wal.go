package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
)

// The write-ahead log beside the database is made durable by the writer itself.
//
// SQLite in WAL mode appends each commit to that file, and with synchronous=NORMAL leaves it to the operating system, so that a commit survives
// kill -9 but not a loss of power. With synchronous=FULL it would call fsync for each, which on Linux also makes the file system write down
// when the file was last changed. The writer calls fdatasync instead, on the same file and after the same bytes, and tells nobody of a commit before
// that has returned; a commit that need not wait for the disk goes without.
//
// SPEC: https://www.sqlite.org/pragma.html#pragma_synchronous, https://www.sqlite.org/wal.html

// openWAL opens the write-ahead log of a connection that has read its database. It stays the same file for as long as that connection is open,
// and carries none of SQLite's locks: closing it gives none up.
func openWAL(path string) (*os.File, error) {
	f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0) //nolint:gosec // the store's own file
	if err != nil {
		return nil, fmt.Errorf("opening the write-ahead log: %w", err)
	}
	return f, nil
}

// run makes one transaction of f and, where it must be durable, waits for the disk, before which it calls stored, if there is one. It is called
// with mu held. After an error the writer is to be dropped; what f did may be stored all the same.
func (s *SQLite) run(w *writer, durable bool, stored func(), f func() error) error {
	if err := w.conn.Raw(func(any) error { return w.transact(f) }); err != nil {
		return err //nolint:wrapcheck // wrapped by transact
	}
	if !durable {
		return nil
	}
	if stored != nil {
		stored()
	}
	if err := s.sync(w.wal); err != nil {
		s.torn = true
		return fmt.Errorf("syncing the write-ahead log: %w", err)
	}
	return nil
}

// errTorn reports a write-ahead log that could not be mended.
var errTorn = errors.New("after a failure of the disk, a reader keeps the write-ahead log from being moved into the database")

// mend makes commits durable again after a sync has failed. What the system then wrote of the file is unknown, and SQLite reads it only up to
// the first gap: nothing appended to it would be safe. So all of it is moved into the database and the file starts over, with SQLite's own care
// for the order of writes.
func (w *writer) mend() error {
	st, err := w.prepare("PRAGMA wal_checkpoint(TRUNCATE)", 0)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // what it did has been read
	return st.rows(func(row []driver.Value) error {
		if busy, ok := row[0].(int64); !ok || busy != 0 {
			return errTorn
		}
		return nil
	})
}
