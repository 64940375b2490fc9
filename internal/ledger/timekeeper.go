package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/transparency-dev/formats/witness"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/feed"
)

// A log whose clock is wrong would write false times and hours, take requests that have expired and refuse those that have not. Its witnesses
// sign the time with each cosignature, so that it is held to theirs.

// clockTolerance is how far the clock may stand from its witnesses'.
const clockTolerance = 5 * time.Second

// timekeeper holds the clock to the time of the witnesses. One witness that lies, or whose own clock is wrong, decides nothing: the clock is
// wrong where so many witnesses find it ahead, or so many behind, that they could make the quorum by themselves.
type timekeeper struct {
	log *Log

	mu       sync.Mutex
	readings map[string]feed.Reading // the newest of each witness, by URL
	spoken   map[string]bool         // witnesses that have answered or failed since the start
	changed  chan struct{}           // closed with each answer, and made anew
	asked    time.Time               // the tick's alone
}

func newTimekeeper(l *Log) *timekeeper {
	return &timekeeper{log: l, readings: map[string]feed.Reading{}, spoken: map[string]bool{}, changed: make(chan struct{})}
}

// heard takes the end of a submission: a reading, or nil where none came of it.
func (t *timekeeper) heard(group witness.Group, url string, r *feed.Reading) {
	t.mu.Lock()
	if r != nil {
		t.readings[url] = *r
	}
	t.spoken[url] = true
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()
	t.judge(group)
}

// judge refuses records while the clock is wrong, and lets them be taken again once it is right.
//
// SPEC: docs/spec/ledger.md, The clock: "A log takes no record while its clock stands more than 5 s from the time of its witnesses."
func (t *timekeeper) judge(group witness.Group) {
	l := t.log
	t.mu.Lock()
	ahead, aheadBy := t.agree(group, func(r feed.Reading) time.Duration { return -r.High })
	behind, behindBy := t.agree(group, func(r feed.Reading) time.Duration { return r.Low })
	t.mu.Unlock()
	var wrong error
	if ahead || behind {
		way, by := "ahead of", aheadBy
		if behind {
			way, by = "behind", behindBy
		}
		wrong = countersign.Refuse(countersign.CodeMaintenance, "this gateway's clock is %s %s its witnesses' time, and %s is tolerated: it takes no records until its clock is set right",
			by.Round(time.Second), way, clockTolerance)
	}
	l.haltMu.Lock()
	before := l.clockWrong
	l.clockWrong = wrong
	l.haltMu.Unlock()
	switch {
	case wrong != nil && before == nil:
		l.metrics.clockWrong.Set(1)
		l.logger.Error("the clock is wrong", slog.Any("error", wrong))
	case wrong == nil && before != nil:
		l.metrics.clockWrong.Set(0)
		l.logger.Info("the clock agrees with the witnesses again: the log goes on")
	}
}

// agree reports whether the witnesses that find the clock off by more than the tolerance, in one direction, could make the quorum, and the least
// by which any of them does. It is called with mu held.
func (t *timekeeper) agree(group witness.Group, off func(feed.Reading) time.Duration) (yes bool, by time.Duration) {
	for _, r := range t.readings {
		if d := off(r); d > clockTolerance && (by == 0 || d < by) {
			by = d
		}
	}
	return group.N > 0 && satisfiable(group, func(url string) bool {
		r, ok := t.readings[url]
		return ok && off(r) > clockTolerance
	}), by
}

// again has the witnesses asked for the time while the clock is wrong: a log that takes no records sends them nothing by itself.
func (t *timekeeper) again(context.Context) error {
	l := t.log
	l.haltMu.RLock()
	wrong := l.clockWrong != nil
	l.haltMu.RUnlock()
	if !wrong {
		return nil
	}
	// The clock is in doubt, and may be set back.
	if since := l.clock.Now().Sub(t.asked); since < 0 || since >= confirmEvery {
		t.asked = l.clock.Now()
		l.publisher.askTime()
	}
	return nil
}

// await waits until every witness has answered or failed, or the clock is found wrong, but no longer than confirmTime: what cannot be reached
// is no obstacle.
func (t *timekeeper) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	for {
		group := t.log.publisher.quorum()
		t.mu.Lock()
		missing := false
		for url := range group.Endpoints() {
			missing = missing || !t.spoken[url]
		}
		changed := t.changed
		t.mu.Unlock()
		if !missing || t.log.Healthy() != nil {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
