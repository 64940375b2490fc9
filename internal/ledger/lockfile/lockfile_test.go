//go:build unix

package lockfile_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/lockfile"
)

const childFile = "COUNTERSIGN_TEST_LOCK"

func TestMain(m *testing.M) {
	path := os.Getenv(childFile)
	if path == "" {
		os.Exit(m.Run())
	}
	lock, err := lockfile.Acquire(path)
	fmt.Fprintln(os.Stdout, err == nil) // the parent waits for it
	if err == nil {
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is killed
		_ = lock.Release()
	}
}

// A lock keeps everybody else out, ends with the process that holds it, however that ends, and its file stays.
func TestALockEndsWithItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db.lock")
	child := func() (*exec.Cmd, string) {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
		cmd.Env = append(os.Environ(), childFile+"="+path)
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var got string
		if _, err := fmt.Fscanln(out, &got); err != nil {
			t.Fatal(err)
		}
		return cmd, got
	}
	holder, got := child()
	if got != "true" {
		t.Fatal("a free lock is refused")
	}
	if _, err := lockfile.Acquire(path); !errors.Is(err, countersign.CodeStore) {
		t.Fatalf("a held lock: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // killed
	lock, err := lockfile.Acquire(path)
	if err != nil {
		t.Fatalf("after its holder was killed: %v", err)
	}
	if other, got := child(); got != "false" {
		_ = other.Process.Kill()
		t.Fatal("a second process takes the lock")
	}
	for range 2 {
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if (*lockfile.Lock)(nil).Release() != nil {
		t.Fatal("a lock that was never taken")
	}
	if _, err := lockfile.Acquire(filepath.Join(path, "below a file")); err == nil || errors.Is(err, countersign.CodeStore) {
		t.Fatalf("a place that cannot be: %v", err)
	}
}
