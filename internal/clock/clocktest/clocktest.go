// Package clocktest has the clock of tests within one process: it stands until it is moved.
package clocktest

import (
	"sync"
	"time"

	"countersign.dev/countersign/internal/clock"
)

// Clock stands at an instant. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

var _ clock.Clock = (*Clock)(nil)

// At makes a clock that stands at an instant.
func At(now time.Time) *Clock { return &Clock{now: now} }

// Now is the instant at which it stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set moves it to an instant, earlier or later.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Add moves it by a duration, forwards or backwards.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
