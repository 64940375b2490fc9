package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// destroy forgets the keys of the months up to this one and destroys the month's file. It may be called again.
//
// SPEC: docs/spec/ledger.md, Destruction: "The key is destroyed before anything else."
func (v *vault) destroy(m Month) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget(m)
	err := v.erase(v.path(m))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// forget is called with mu held.
func (v *vault) forget(until Month) {
	v.gone = max(v.gone, until)
	for known := range v.months {
		if known <= v.gone {
			delete(v.months, known)
		}
	}
}

// destroyUntil destroys every key file of the months up to this one, whoever put it back.
func (v *vault) destroyUntil(until Month) error {
	files, err := os.ReadDir(v.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no key was ever made
	}
	if err != nil {
		return fmt.Errorf("looking for keys of months that are over: %w", err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".key")
		if !ok {
			continue
		}
		m, err := ParseMonth(name)
		if err != nil || m > until {
			continue // another key
		}
		if err := v.erase(v.path(m)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("destroying the key of a month that is over: %w", err)
		}
	}
	return nil
}

// examineDestroyed learns which months are over, so that no key file that was put back opens a record again.
func (l *Log) examineDestroyed(ctx context.Context) error {
	done, err := l.store.Destructions(ctx)
	if err != nil || len(done) == 0 {
		return err
	}
	l.vault.mu.Lock()
	defer l.vault.mu.Unlock()
	l.vault.forget(done[0].Month)
	return nil
}

// Destructions are the months whose destruction is on record, newest first.
func (l *Log) Destructions(ctx context.Context) ([]DestructionRow, error) {
	return l.store.Destructions(ctx)
}
