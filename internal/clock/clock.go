// Package clock is the one place where Countersign reads the time of day. Every part takes a [Clock], so that stories can
// run a whole federation on simulated time (see simclock.go, compiled only under the build tag of that name).
package clock

import "time"

// Clock tells the time. Implementations are safe for concurrent use.
type Clock interface {
	// Now returns the current time in UTC, with a monotonic reading where the clock has one.
	Now() time.Time
}

// System is the machine's clock.
type System struct{}

// Now returns the machine's time in UTC.
func (System) Now() time.Time { return time.Now().UTC() }

// Fixed always tells the same time. It serves vectors and offline checks, which name the instant that they judge at.
type Fixed time.Time

// Now returns the fixed instant.
func (f Fixed) Now() time.Time { return time.Time(f) }

// Behind is how far a clock lags behind the machine's: nothing, but on simulated time. It is for what must allow for libraries and programs that read
// the machine's clock themselves.
func Behind(c Clock) time.Duration { return System{}.Now().Sub(c.Now()).Round(time.Second) }
