package store_test

import (
	"context"
	"os"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("COUNTERSIGN_TEST_ABANDONED_STORE"); path != "" {
		if err := abandon(path); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// abandon is a process that commits to a store, says so, does not wait for the disk, and waits to be killed.
func abandon(path string) error {
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, path, store.Options{Create: true})
	if err != nil {
		return err
	}
	now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	if err := s.Commit(ctx, &ledger.Batch{Now: now, Entries: []*ledger.EntryRow{{Leaf: []byte("leaf"), At: countersign.MillisOf(now)}}}); err != nil {
		return err
	}
	_, _ = os.Stdout.WriteString("committed")
	select {}
}
