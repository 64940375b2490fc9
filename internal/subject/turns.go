package subject

import (
	"context"
	"runtime"
	"time"

	"countersign.dev/countersign"
)

// turns bounds how many queries are worked on at once, for the memory that each takes, and how many wait for that. Whoever waits too long, or finds too many
// waiting, is told to ask again.
type turns struct {
	line chan struct{} // who is here, at work or waiting
	work chan struct{}
}

const (
	maxWaiting = 2048             // queries here at once
	maxWait    = 10 * time.Second // longer than portals have patience, unless their operator says so
)

// newTurns makes as many places of work as keep the processors busy while some wait for the disk.
func newTurns() *turns {
	return &turns{line: make(chan struct{}, maxWaiting), work: make(chan struct{}, 4*runtime.GOMAXPROCS(0))}
}

// take waits for a turn. Where the error is nil, done ends it.
func (t *turns) take(ctx context.Context) (done func(), err error) {
	busy := countersign.Refuse(countersign.CodeBusy, "the gateway has %d queries at work or waiting at most, each for %s: ask again", maxWaiting, maxWait)
	select {
	case t.line <- struct{}{}:
	default:
		return nil, busy
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case t.work <- struct{}{}:
		return func() { <-t.work; <-t.line }, nil
	case <-timer.C:
		err = busy
	case <-ctx.Done():
		err = countersign.RefuseBecause(countersign.CodeBusy, ctx.Err(), "whoever asked has gone")
	}
	<-t.line
	return nil, err
}
