//go:build !simclock

package clock_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign/internal/clock"
)

// Nothing that the ordinary program could be given advances its clock.
func TestDefaultIsTheMachines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(file, []byte("1000h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COUNTERSIGN_SIMCLOCK", file)
	before := time.Now()
	now := clock.Default().Now()
	if now.Before(before) || now.After(time.Now()) || clock.Simulated {
		t.Errorf("the default clock says %s at %s", now, before)
	}
}
