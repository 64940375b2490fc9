//go:build unix

// Package lockfile keeps a second process off a store: a lock that the operating system drops with the process that held it.
package lockfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"countersign.dev/countersign"
)

// Lock is a held lock. The zero value holds nothing.
type Lock struct{ file *os.File }

// Acquire takes the lock of path, creating the file where it is missing, and never waits: where another process holds it, the error is
// a CodeStore refusal. The file stays when the lock is released; removing it would let two processes lock two files of one name.
func Acquire(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("opening the lock %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		closeErr := f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, countersign.RefuseBecause(countersign.CodeStore, errors.Join(err, closeErr), "another process uses this store: it holds %s; stop it first", path)
		}
		return nil, fmt.Errorf("locking %s: %w", path, errors.Join(err, closeErr))
	}
	return &Lock{f}, nil
}

// Release gives the lock up. It may be called twice.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
