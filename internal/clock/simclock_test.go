//go:build simclock

package clock_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign/internal/clock"
)

func TestAhead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	t.Setenv(clock.FileVariable, file)
	mine, theirs := clock.Default(), clock.Default()
	begun := mine.Now()
	if d := begun.Sub(clock.System{}.Now()); d < -time.Second || d > time.Second {
		t.Errorf("a clock that nobody advanced is %s ahead", d)
	}
	for range 2 {
		if _, err := (clock.Ahead{File: file}).Advance(20 * time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if d := theirs.Now().Sub(begun); d < 40*time.Minute || d > 41*time.Minute {
		t.Errorf("after two advances of 20 min another reader sees %s pass", d)
	}
	if _, err := (clock.Ahead{File: file}).Advance(-time.Minute); err == nil {
		t.Error("time ran back")
	}
	if _, err := (clock.Ahead{}).Advance(time.Minute); err == nil {
		t.Error("a clock without a file was advanced")
	}
}

func TestAheadStopsWhereItCannotKnow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(file, []byte("later\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a clock that holds no duration told a time")
		}
	}()
	clock.Ahead{File: file}.Now()
}
