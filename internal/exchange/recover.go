package exchange

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// How often open intents are taken up again: soon after one was left open, then more and more seldom, for as long as one is.
const (
	settleFirst = time.Second
	settleEvery = time.Minute
	// settleBatch is how many open intents one pass takes up. What a gateway had under way when a provider went away is a tenth of it.
	settleBatch = 10 * MaxInFlight
	// giveUpAfter is when an exchange is closed by the consumer's word alone, though its provider never said what became of it.
	giveUpAfter = 30 * 24 * time.Hour
	// forgottenAfter is the age at which an intent of this very process is taken up though nobody left it: no answer takes that long.
	forgottenAfter = 6 * time.Minute
)

// unsettled are the exchanges of this process that were left open, each with what went wrong.
type unsettled struct {
	mu   sync.Mutex
	why  map[countersign.ExchangeID]error
	wake chan struct{} // capacity 1
}

func newUnsettled() *unsettled {
	return &unsettled{why: map[countersign.ExchangeID]error{}, wake: make(chan struct{}, 1)}
}

// leave hands an exchange over to Recover.
func (u *unsettled) leave(id countersign.ExchangeID, why error) {
	u.mu.Lock()
	u.why[id] = why
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *unsettled) has(id countersign.ExchangeID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.why[id]
	return ok
}

func (u *unsettled) reason(id countersign.ExchangeID) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.why[id]
}

// ids are the exchanges that were left open so far.
func (u *unsettled) ids() []countersign.ExchangeID {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Collect(maps.Keys(u.why))
}

// keep forgets those of ids whose intent is closed: a store that fails may have taken a record all the same.
func (u *unsettled) keep(ids []countersign.ExchangeID, open func(countersign.ExchangeID) bool) {
	for _, id := range ids {
		if !open(id) {
			u.settled(id)
		}
	}
}

func (u *unsettled) settled(id countersign.ExchangeID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.why, id)
}

// Recover closes intents that a crash, a lost network or an answer that did not verify has left open, until ctx ends: the provider is asked what
// became of each, and asked again until it says. Intents of exchanges that are still under way here are left alone.
func (c *Consumer) Recover(ctx context.Context) {
	for tries := 0; ; tries++ {
		open, err := c.recoverOnce(ctx)
		if err != nil && ctx.Err() == nil {
			c.logFailure(ctx, "open intents could not be taken up", "", err)
		}
		wait := settleEvery
		if open > 0 || err != nil {
			wait = min(settleFirst<<min(tries, 6), settleEvery)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.unsettled.wake:
			timer.Reset(settleFirst)
			tries = -1
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
		case <-timer.C:
		}
	}
}

// recoverOnce takes up what is open and reports how much of it stays so. A provider that does not answer is asked once in a pass.
func (c *Consumer) recoverOnce(ctx context.Context) (open int, err error) {
	left := c.unsettled.ids()
	all, err := c.Log.OpenIntents(ctx, settleBatch)
	if err != nil {
		return 0, err
	}
	if len(all) < settleBatch {
		c.unsettled.keep(left, func(id countersign.ExchangeID) bool {
			return slices.ContainsFunc(all, func(o ledger.OpenIntent) bool { return o.Exchange == id })
		})
	}
	defer func() { c.Metrics.unsettled(open) }()
	silent := map[string]bool{}
	for i := range all {
		if !c.due(&all[i]) {
			continue
		}
		rules, err := c.rulebook()
		if err != nil {
			return open + 1, err
		}
		p, err := c.pendingOf(&all[i])
		if err == nil && silent[p.provider()] {
			open++
			continue
		}
		if err == nil {
			_, err = c.settle(ctx, rules, p)
		}
		if err != nil {
			open++
			c.logFailure(ctx, "an intent stays open", all[i].Exchange.String(), err)
			if p != nil && countersign.CodeOf(err) == countersign.CodeNetwork {
				silent[p.provider()] = true
			}
			continue
		}
		c.unsettled.settled(all[i].Exchange)
	}
	return open, nil
}

// due reports an intent that nobody in this process works on any more.
func (c *Consumer) due(o *ledger.OpenIntent) bool {
	return o.At.Before(c.started) || c.unsettled.has(o.Exchange) || c.now().Sub(o.At) > forgottenAfter
}
