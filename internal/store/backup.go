package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/lockfile"
)

// Backup copies the store in the file from to the new file to, as it is at one moment, while another process may go on writing to it. The copy
// is marked: a log that is opened from it waits for its witnesses (ledger.MarkRestored). It is whole and durable under its name, or not there.
//
// What it copies is durable in the store that it comes from: a copy must not know of leaves that a loss of power takes from the log, which would then
// give their places to others.
func Backup(ctx context.Context, from, to string, now time.Time) error {
	return backup(ctx, from, to, now, datasync)
}

func backup(ctx context.Context, from, to string, now time.Time, sync func(*os.File) error) (err error) {
	if _, err := os.Stat(from); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the store %s cannot be read", from)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "%s is there already: name a new file; no backup is overwritten", to)
	}
	work, err := os.MkdirTemp(filepath.Dir(to), ".backup-") // mode 0700
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the folder of %s cannot be written", to)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	part := filepath.Join(work, "store.db")
	if err := vacuumInto(ctx, from, part); err != nil {
		return err
	}
	if err := reachDisk(from, sync); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "what was copied of the store %s does not reach its disk", from)
	}
	if err := mark(ctx, part, now); err != nil {
		return err
	}
	if err := settle(ctx, part); err != nil {
		return err
	}
	if err := os.Link(part, to); err != nil { // unlike a rename it overwrites nothing
		return countersign.RefuseBecause(countersign.CodeStore, err, "the backup cannot be put at %s", to)
	}
	return syncFolder(filepath.Dir(to))
}

// reachDisk waits for what stands in the write-ahead log beside a store, whoever writes it. What was moved into the database before is durable.
func reachDisk(store string, sync func(*os.File) error) error {
	f, err := os.Open(store + "-wal") //nolint:gosec // beside the file that the operator names
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the write-ahead log: %w", err)
	}
	if err := errors.Join(sync(f), f.Close()); err != nil {
		return fmt.Errorf("syncing the write-ahead log: %w", err)
	}
	return nil
}

func vacuumInto(ctx context.Context, from, to string) (err error) {
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: from, RawQuery: q.Encode()}).String())
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return refuse(err, "copying the store")
	}
	return nil
}

func mark(ctx context.Context, file string, now time.Time) (err error) {
	s, err := OpenSQLite(ctx, file, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return ledger.MarkRestored(ctx, s, now)
}

// settle makes a closed database one file of our own mode, on the disk: nothing of it is left in a write-ahead log beside it.
func settle(ctx context.Context, file string) (err error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: file}).String())
	if err != nil {
		return fmt.Errorf("settling the copy: %w", err)
	}
	var mode string
	err = db.QueryRowContext(ctx, "PRAGMA journal_mode = DELETE").Scan(&mode)
	if err = errors.Join(err, db.Close()); err != nil || mode != "delete" {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the copy did not settle into one file")
	}
	if err := os.Chmod(file, 0o600); err != nil {
		return fmt.Errorf("settling the copy: %w", err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0) //nolint:gosec // made here
	if err != nil {
		return fmt.Errorf("settling the copy: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncFolder(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("syncing a folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Restore puts a copy in the place of the store in the file to, which no process may use. What stood there is kept beside it, under the name
// that is returned; empty where nothing stood there. The copy is marked as Backup's are.
func Restore(ctx context.Context, from, to string, now time.Time) (aside string, err error) {
	lock, err := lockfile.Acquire(to + ".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	part := to + ".restoring"
	if err := errors.Join(ignoreMissing(os.Remove(part)), Backup(ctx, from, part, now)); err != nil {
		return "", err
	}
	aside = to + ".replaced-" + now.UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(to, aside); errors.Is(err, fs.ErrNotExist) {
		aside = ""
	} else if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeStore, err, "the old store cannot be put aside")
	}
	for _, tail := range []string{"-wal", "-shm"} { // they belong to the old store, and would spoil the new one
		if aside == "" {
			err = os.Remove(to + tail)
		} else {
			err = os.Rename(to+tail, aside+tail)
		}
		if err := ignoreMissing(err); err != nil {
			return "", countersign.RefuseBecause(countersign.CodeStore, err, "the old store cannot be put aside")
		}
	}
	if err := os.Rename(part, to); err != nil {
		return "", countersign.RefuseBecause(countersign.CodeStore, err, "the copy cannot be put in the store's place")
	}
	return aside, syncFolder(filepath.Dir(to))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
