package store

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

var dawn = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

var errIll = errors.New("the disk is ill")

// opened opens a store that ends with the test.
func opened(t *testing.T, path string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// leaves stores n leaves more, without a wait for the disk.
func leaves(t *testing.T, s *SQLite, n int) {
	t.Helper()
	size, err := s.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &ledger.Batch{Now: dawn}
	for i := range n {
		b.Entries = append(b.Entries, &ledger.EntryRow{Index: size + uint64(i), Leaf: []byte("leaf"), At: countersign.MillisOf(dawn)})
	}
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// heldDisk is a disk whose waits end when the test says so, and how; it counts them.
type heldDisk struct {
	begun chan *os.File
	end   chan error
}

func hold(s *SQLite) *heldDisk {
	d := &heldDisk{make(chan *os.File), make(chan error)}
	s.journal.sync = func(f *os.File) error {
		d.begun <- f
		if err := <-d.end; err != nil {
			return err
		}
		return datasync(f)
	}
	return d
}

// Those who come while the disk is waited for share the next wait. One that fails is told to each whom it was to serve and to nobody else, and nobody
// succeeds behind it before the log is mended.
func TestWaitsAreShared(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "log.db"))
	leaves(t, s, 1)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	disk := hold(s)
	wait := func(to chan<- error) { go func() { to <- s.Sync(context.Background()) }() }

	first, second := make(chan error, 1), make(chan error, 5)
	wait(first)
	<-disk.begun
	leaves(t, s, 1) // while the disk is waited for
	came := s.journal.begun.Load()
	for range 5 { // as Sync does, from the moment on at which they have come
		go func() { second <- s.journal.waitFrom(came) }()
	}
	disk.end <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-disk.begun // one wait for all five
	select {
	case err := <-second:
		t.Fatalf("told before the disk had what was committed meanwhile: %v", err)
	default:
	}
	disk.end <- nil
	for range 5 {
		if err := <-second; err != nil {
			t.Fatal(err)
		}
	}

	// One fails: it, and whoever comes behind it.
	wait(first)
	<-disk.begun
	leaves(t, s, 1)
	came = s.journal.begun.Load()
	for range 5 {
		go func() { second <- s.journal.waitFrom(came) }()
	}
	disk.end <- errIll
	if err := <-first; !errors.Is(err, errIll) {
		t.Fatalf("the one that failed: %v", err)
	}
	for range 5 {
		if err := <-second; !errors.Is(err, errGap) {
			t.Fatalf("behind one that failed: %v", err)
		}
	}
	if err := s.journal.waitFrom(0); !errors.Is(err, errGap) {
		t.Fatalf("one who came before it began: %v", err)
	}
	s.journal.sync = datasync
	if err := s.Sync(t.Context()); !errors.Is(err, errGap) {
		t.Fatalf("before the log is mended: %v", err)
	}
	leaves(t, s, 1) // the next writer mends it
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Size(t.Context()); err != nil || n != 4 {
		t.Fatalf("%d leaves, %v", n, err)
	}
}

// A writer that is dropped leaves commits that nobody has waited for. The next one waits for them on the file in which they were made: a failure
// is told to that one alone.
func TestADroppedWriterLeavesNothingUnwaited(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "log.db"))
	leaves(t, s, 1)
	old := s.journal.file
	var asked []*os.File
	ill := true
	s.journal.sync = func(f *os.File) error {
		asked = append(asked, f)
		if f == old && ill {
			return errIll
		}
		return datasync(f)
	}
	drop := func() {
		t.Helper()
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.dropWriter(); err != nil {
			t.Fatal(err)
		}
	}
	drop()
	leaves(t, s, 1)
	if len(asked) != 1 || asked[0] != old {
		t.Fatalf("the next writer has waited for %d files", len(asked))
	}
	if s.journal.torn.Load() {
		t.Fatal("the failure was not mended")
	}
	if wal, err := os.Stat(s.path + "-wal"); err != nil || wal.Size() > 16<<10 {
		t.Fatalf("what the first writer left was not moved into the database: the write-ahead log has %d bytes, %v", wal.Size(), err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Without a failure nothing is to be mended, and what was left is waited for as well.
	ill, old, asked = false, s.journal.file, nil
	leaves(t, s, 1)
	drop()
	leaves(t, s, 1)
	if len(asked) != 1 || asked[0] != old {
		t.Fatalf("the next writer has waited for %d files", len(asked))
	}
	if n, err := s.Size(t.Context()); err != nil || n != 4 {
		t.Fatalf("%d leaves, %v", n, err)
	}
}

// A store that is closed has no disk to wait for, and says so.
func TestAClosedStoreDoesNotSync(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "log.db"), Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	leaves(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.journal.wait(); !errors.Is(err, errClosed) {
		t.Fatalf("a wait on nothing: %v", err)
	}
	if err := s.Sync(t.Context()); err == nil {
		t.Fatal("a closed store was synced")
	}
	r, err := OpenSQLiteReader(t.Context(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Sync(t.Context()), r.Close()); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("a store that was opened for reading: %v", err)
	}
}

// abandoned names the store in which a child of this test leaves a commit that it has not waited for: see abandon.
const abandoned = "COUNTERSIGN_TEST_ABANDONED_STORE"

// What a process that was killed between its transaction and the disk has left is there for the next one, whose first Sync waits for it.
func TestTheNextProcessWaitsForWhatAKilledOneLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), abandoned+"="+path)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, len("committed"))
	if _, err := out.Read(word); err != nil || string(word) != "committed" {
		t.Fatalf("%q, %v: %s", word, err, complaint.String())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}

	s := opened(t, path)
	var waited []string
	s.journal.sync = func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		named, err := os.Stat(path + "-wal")
		if err != nil {
			return err
		}
		if !os.SameFile(info, named) || info.Size() == 0 {
			t.Errorf("another file is waited for than the write-ahead log, or an empty one (%d bytes)", info.Size())
		}
		waited = append(waited, f.Name())
		return datasync(f)
	}
	if n, err := s.Size(t.Context()); err != nil || n != 1 {
		t.Fatalf("%d leaves, %v", n, err)
	}
	if err := s.Sync(t.Context()); err != nil || len(waited) != 1 {
		t.Fatalf("%d waits, %v", len(waited), err)
	}
}

// Carrying counters over and copying a store wait for the disk, and fail where it does.
func TestCopiesWaitForTheDisk(t *testing.T) {
	dir := t.TempDir()
	old := opened(t, filepath.Join(dir, "old.db"))
	x := countersign.NewExchangeID(dawn)
	if err := old.Commit(t.Context(), &ledger.Batch{Now: dawn, Claims: []*ledger.Claim{{Exchange: x, Until: dawn.Add(time.Hour), By: "DEMO/GOV/MUN"}}}); err != nil {
		t.Fatal(err)
	}
	next := opened(t, filepath.Join(dir, "next.db"))
	waits := 0
	next.journal.sync = func(*os.File) error { waits++; return errIll }
	if err := next.CarryOver(t.Context(), old.path); !errors.Is(err, errIll) || countersign.CodeOf(err) != countersign.CodeStore || waits != 1 {
		t.Fatalf("carried over, though the disk has failed: %v, %d waits", err, waits)
	}
	next.journal.sync = func(f *os.File) error { waits++; return datasync(f) }
	if err := next.CarryOver(t.Context(), old.path); err != nil || waits != 2 {
		t.Fatalf("again: %v, %d waits", err, waits)
	}

	var mu sync.Mutex
	var waited string
	failing := func(f *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		waited = f.Name()
		return errIll
	}
	copied := filepath.Join(dir, "copy.db")
	if err := backup(t.Context(), old.path, copied, dawn, failing); !errors.Is(err, errIll) || waited != old.path+"-wal" {
		t.Fatalf("a copy of what may not be on the disk: %v, waited for %q", err, waited)
	}
	if _, err := os.Stat(copied); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the copy is there all the same: %v", err)
	}
	if err := Backup(t.Context(), old.path, copied, dawn); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), copied, filepath.Join(dir, "again.db"), dawn); err != nil { // one file, without a log beside it
		t.Fatal(err)
	}
}
