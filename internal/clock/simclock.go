//go:build simclock

package clock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Simulated says whether this program keeps simulated time.
const Simulated = true

// FileVariable is the environment variable that names the file of the simulated clock. All parts that are given the same file keep the same time;
// without it a part keeps the machine's.
const FileVariable = "COUNTERSIGN_SIMCLOCK"

// Default is the clock that every part of this program takes its time from: the machine's, ahead by what the file says.
func Default() Clock { return Ahead{File: os.Getenv(FileVariable)} }

// Ahead is a clock that runs as the machine's does and is ahead of it by what its file says. The file is read at each look, so that an advance is
// seen by every process at once.
type Ahead struct{ File string }

// Now returns the simulated time in UTC. It panics where the file holds no duration: a part that cannot know the time must not go on.
func (a Ahead) Now() time.Time {
	by, err := a.read()
	if err != nil {
		panic(err)
	}
	return time.Now().UTC().Add(by)
}

func (a Ahead) read() (time.Duration, error) {
	if a.File == "" {
		return 0, nil
	}
	text, err := os.ReadFile(a.File)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the simulated clock: %w", err)
	}
	by, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the simulated clock %s: %w", a.File, err)
	}
	return by, nil
}

// Advance lets time pass for every part that keeps this clock, and returns the time that it is now. Time does not run back. One process at a time advances a clock.
func (a Ahead) Advance(by time.Duration) (time.Time, error) {
	if a.File == "" {
		return time.Time{}, fmt.Errorf("no simulated clock is set: name its file in %s", FileVariable)
	}
	if by < 0 {
		return time.Time{}, fmt.Errorf("time does not run back: advance by a positive duration, not %s", by)
	}
	before, err := a.read()
	if err != nil {
		return time.Time{}, err
	}
	next, err := os.CreateTemp(filepath.Dir(a.File), ".simclock-*")
	if err != nil {
		return time.Time{}, fmt.Errorf("advancing the simulated clock: %w", err)
	}
	_, err = next.WriteString((before + by).String() + "\n")
	if err := errors.Join(err, next.Close()); err != nil {
		return time.Time{}, fmt.Errorf("advancing the simulated clock: %w", err)
	}
	// Readers see the old file or the new one, never half of one.
	if err := os.Rename(next.Name(), a.File); err != nil {
		return time.Time{}, fmt.Errorf("advancing the simulated clock: %w", err)
	}
	return a.Now(), nil
}
