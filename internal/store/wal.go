package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// journal is the write-ahead log beside the database, as it reaches the disk.
//
// SQLite in WAL mode appends each commit to that file, and with synchronous=NORMAL leaves it to the operating system, so that a commit survives
// kill -9 but not a loss of power. With synchronous=FULL it would call fsync for each, within the commit; on Linux that also makes the file system
// write down when the file was last changed, and the next commit waits for it. The store calls fdatasync instead, on the same file and after
// the same bytes, and tells nobody of a commit that must be durable before that has returned. The next transaction is made meanwhile, and one
// wait covers all commits that stand in the file when it begins.
//
// SPEC: https://www.sqlite.org/pragma.html#pragma_synchronous, https://www.sqlite.org/wal.html
type journal struct {
	// mu is held while the disk is waited for: the system tells a failure once for each open file, so that only one may ask at a time, and the next
	// has to know what it was told.
	mu   sync.Mutex
	file *os.File
	sync func(*os.File) error // datasync; another in tests of failing disks

	// begun counts waits as they begin, with mu held: whoever came before one began is served by it.
	begun atomic.Uint64

	// torn says that a wait failed: see mend. It is set with mu held.
	torn atomic.Bool
}

// errGap reports commits that may not be durable because a wait for the disk failed and nothing was mended since.
var errGap = errors.New("after a failure of the disk, the write-ahead log may have a gap")

// errClosed reports that there is no file to wait for: the store is closed, or its writer could not be opened.
var errClosed = errors.New("the write-ahead log is not open")

// wait returns when every commit that stood in the file is durable. Those who come while the disk is waited for share the next wait.
func (j *journal) wait() error { return j.waitFrom(j.begun.Load()) }

// waitFrom is wait for one who came when that many waits had begun.
func (j *journal) waitFrom(came uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.torn.Load() && j.begun.Load() > came {
		return nil // it ended well, or all that stood in the file was moved into the database since
	}
	return j.waitLocked()
}

func (j *journal) waitLocked() error {
	if j.torn.Load() {
		return errGap
	}
	if j.file == nil {
		return errClosed
	}
	j.begun.Add(1)
	if err := j.sync(j.file); err != nil {
		j.torn.Store(true)
		return fmt.Errorf("syncing the write-ahead log: %w", err)
	}
	return nil
}

// reopen opens the write-ahead log of a new connection that has read its database: it is the same file for as long as that connection is open. What
// an earlier connection left is waited for first, for a failure may be told to that open file alone. mend is called where a wait has failed
// since the last. No wait for the disk begins before it has returned.
func (j *journal) reopen(path string, mend func() error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		_ = j.waitLocked() // what fails leaves the log torn, and is mended below
	}
	// The file carries none of SQLite's locks: closing it gives none up.
	if err := j.closeLocked(); err != nil {
		return err
	}
	f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0) //nolint:gosec // the store's own file
	if err != nil {
		return fmt.Errorf("opening the write-ahead log: %w", err)
	}
	j.file = f
	if !j.torn.Load() {
		return nil
	}
	if err := mend(); err != nil {
		return err
	}
	j.torn.Store(false)
	return nil
}

// opened tells whether there is a file to wait for.
func (j *journal) opened() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file != nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closeLocked()
}

func (j *journal) closeLocked() error {
	if j.file == nil {
		return nil
	}
	f := j.file
	j.file = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("closing the write-ahead log: %w", err)
	}
	return nil
}

// Sync implements ledger.Store.
func (s *SQLite) Sync(ctx context.Context) error {
	if !s.journal.opened() { // nothing was committed since the store was opened; what an earlier process left is waited for all the same
		s.mu.Lock()
		_, err := s.writerLocked(ctx)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if err := s.journal.wait(); err != nil {
		return refuse(err, "waiting for the disk")
	}
	return nil
}

// run makes one transaction of f and, where it must be durable, waits for the disk. It is called with mu held. After an error the writer is to be
// dropped; what f did may be stored all the same.
func (s *SQLite) run(w *writer, durable bool, f func() error) error {
	if err := w.conn.Raw(func(any) error { return w.transact(f) }); err != nil {
		return err //nolint:wrapcheck // wrapped by transact
	}
	if !durable {
		return nil
	}
	return s.journal.wait()
}

// errTorn reports a write-ahead log that could not be mended.
var errTorn = errors.New("after a failure of the disk, a reader keeps the write-ahead log from being moved into the database")

// mend makes commits durable again after a wait has failed. What the system then wrote of the file is unknown, and SQLite reads it only up to
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
