//go:build !simclock

package main

import "time"

// simulation is empty: this program keeps real time, and has no command that could change that.
type simulation struct{}

// How often parts look at the directory: its host for newly approved versions and signatures to renew, all others for a newer one.
const (
	hostEvery     = 5 * time.Second
	directoryPoll = 20 * time.Second // removals act within a minute
)

// beginTime leaves the demo on the machine's clock.
func beginTime(string) error { return nil }

// letTimePass does nothing: real time passes by itself.
func letTimePass(time.Time) (bool, error) { return false, nil }
