package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// After a disk has failed once to sync, what stands in the write-ahead log may have a gap: nothing is acknowledged until all of it has been
// moved into the database.
func TestNothingIsAcknowledgedBehindATornLog(t *testing.T) {
	ctx := context.Background()
	s, err := OpenSQLite(ctx, filepath.Join(t.TempDir(), "log.db"), Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	n := 0
	commit := func() error {
		n++
		return s.Commit(ctx, &ledger.Batch{Now: now, Durable: true, Claims: []*ledger.Claim{{Exchange: countersign.NewExchangeID(now.Add(time.Duration(n) * time.Second)), Until: now.Add(time.Hour), By: "DEMO/GOV/MUN"}}})
	}
	synced := 0
	disk := s.journal.sync
	s.journal.sync = func(f *os.File) error {
		synced++
		return disk(f)
	}
	if err := commit(); err != nil || synced != 1 {
		t.Fatalf("a commit: %v, synced %d times", err, synced)
	}

	if err := s.PutCheckpoint(ctx, ledger.CheckpointRow{Kind: ledger.CheckpointSigned, Size: 1, Note: []byte("x")}); err != nil || synced != 2 {
		t.Fatalf("a signed checkpoint is kept: %v, synced %d times", err, synced)
	}

	failure := errors.New("the disk is ill")
	s.journal.sync = func(*os.File) error { return failure }
	if err := commit(); !errors.Is(err, failure) || countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("a commit that could not be synced was acknowledged: %v", err)
	}
	if !s.journal.torn.Load() {
		t.Fatal("the log is not known to be torn")
	}

	// A reader that stands on the log keeps it from starting over: still nothing is acknowledged.
	s.journal.sync = disk
	reader, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var count int
	if err := reader.QueryRowContext(ctx, "SELECT count(*) FROM reservations").Scan(&count); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.ExecContext(ctx, "PRAGMA busy_timeout(10)"); err != nil {
		t.Fatal(err)
	}
	if err := commit(); !errors.Is(err, errTorn) {
		t.Fatalf("a commit behind a torn log: %v", err)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := commit(); err != nil || s.journal.torn.Load() {
		t.Fatalf("the disk is well, and the store has not resumed: %v", err)
	}
	if err := s.pool.QueryRowContext(ctx, "SELECT count(*) FROM reservations").Scan(&count); err != nil || count < 2 || count > 3 {
		t.Fatalf("%d reservations are stored: %v", count, err)
	}
}
