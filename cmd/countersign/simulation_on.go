//go:build simclock

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"countersign.dev/countersign/demo/scenario"
	"countersign.dev/countersign/internal/clock"
)

// simulation holds the commands of a program that keeps simulated time, for stories.
type simulation struct {
	Clock simClockCmd `cmd:"" hidden:""`
	Found simFoundCmd `cmd:"" hidden:"" name:"demo-found"`
}

// How often parts look at the directory: time flies here.
const (
	hostEvery     = 500 * time.Millisecond
	directoryPoll = time.Second
)

type simClockCmd struct {
	Advance simAdvanceCmd `cmd:"" help:"Let time pass for every part that keeps this clock."`
	Show    simShowCmd    `cmd:"" help:"Print the simulated time."`
}

type simAdvanceCmd struct {
	By time.Duration `arg:"" help:"How much time passes, for instance 20m."`
}

// Run advances the clock and prints the time that it is now.
func (c *simAdvanceCmd) Run(s streams) error {
	now, err := clock.Ahead{File: os.Getenv(clock.FileVariable)}.Advance(c.By)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, now.Format(time.RFC3339))
	return err
}

type simShowCmd struct{}

// Run prints the time.
func (*simShowCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, clock.Default().Now().Format(time.RFC3339))
	return err
}

type simFoundCmd struct {
	Dir      string   `required:"" type:"path"`
	People   int      `required:""`
	Agencies []string `arg:"" help:"Codes of the members that run gateways."`
}

// Run makes a federation on simulated time and starts nothing: a story starts its parts one by one.
func (c *simFoundCmd) Run(ctx context.Context, s streams) error {
	_, err := buildDemo(ctx, c.Dir, demoPlan{people: c.People, agencies: c.Agencies}, func(line string) { fmt.Fprintln(s.err, line) })
	return err
}

// beginTime founds a demo's federation a year ago, unless the clock is somebody else's already: the year that is played ends now.
func beginTime(dir string) error {
	if os.Getenv(clock.FileVariable) != "" {
		return nil
	}
	file, err := filepath.Abs(filepath.Join(dir, "clock"))
	if err != nil {
		return err
	}
	if err := os.Setenv(clock.FileVariable, file); err != nil {
		return err
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, []byte((-scenario.YearDays*24*time.Hour).String()+"\n"), 0o600)
}

// letTimePass advances the clock to an instant, and never beyond the present.
func letTimePass(to time.Time) (bool, error) {
	now := clock.Default()
	by := min(to.Sub(now.Now()), clock.Behind(now))
	if by <= 0 {
		return false, nil
	}
	_, err := clock.Ahead{File: os.Getenv(clock.FileVariable)}.Advance(by)
	return true, err
}
