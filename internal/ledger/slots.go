package ledger

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"countersign.dev/countersign"
)

// slots appends one sealed slot each minute, used or empty: nobody can tell from the log whether, or when, something was sealed.
type slots struct {
	log *Log

	mu      sync.Mutex
	closed  bool
	waiting []*sealing
	minute  int64 // of the newest slot, since 1970
}

type sealing struct {
	entry Entry
	done  chan struct{}
	place *Placed
	err   error
}

func newSlots(l *Log) *slots { return &slots{log: l} }

// sealedLeaf is a slot's leaf. Its size does not depend on what it seals: kind, hour and 32 bytes.
func sealedLeaf(now time.Time, c countersign.Commitment) *countersign.Leaf {
	return &countersign.Leaf{Kind: countersign.LeafSealed, Hour: countersign.HourOf(now), Commitment: c}
}

// AppendSealed records a commitment in the next sealed slot: it waits up to a minute, more where others wait already, and what depends on
// it waits with it. The entry's leaf is ignored but for its commitment. Errors are Append's.
func (l *Log) AppendSealed(ctx context.Context, e Entry) (*Placed, error) {
	if e.Leaf == nil {
		return nil, countersign.Refuse(countersign.CodeInternal, "an entry lacks its leaf")
	}
	s := &sealing{entry: e, done: make(chan struct{})}
	l.slots.mu.Lock()
	if l.slots.closed {
		l.slots.mu.Unlock()
		return nil, countersign.Refuse(countersign.CodeMaintenance, "the gateway is stopping and records no more")
	}
	if len(l.slots.waiting) >= maxWaiting {
		l.slots.mu.Unlock()
		return nil, countersign.Refuse(countersign.CodeBusy, "%d sealed records wait for a slot already: ask again later", maxWaiting)
	}
	l.slots.waiting = append(l.slots.waiting, s)
	l.slots.mu.Unlock()
	select {
	case <-s.done:
		return s.place, s.err
	case <-ctx.Done():
		return nil, countersign.RefuseBecause(countersign.CodeBusy, ctx.Err(), "the caller left before the record was durable")
	}
}

// maxWaiting bounds the queue: two hours of slots.
const maxWaiting = 120

// tick fills the slot of a minute that has begun.
func (s *slots) tick(ctx context.Context) error {
	now := s.log.clock.Now()
	minute := now.Unix() / 60
	s.mu.Lock()
	if minute == s.minute || s.closed || len(s.waiting) == 0 && s.log.suspended() != nil {
		s.mu.Unlock()
		return nil //nolint:nilerr // a suspended log appends nothing, and has said so
	}
	var next *sealing
	if len(s.waiting) > 0 {
		next, s.waiting = s.waiting[0], s.waiting[1:]
	}
	s.mu.Unlock()

	entry := Entry{}
	if next != nil {
		entry = next.entry
		entry.Leaf = sealedLeaf(now, next.entry.Leaf.Commitment)
	} else {
		var nothing countersign.Commitment
		_, _ = rand.Read(nothing[:]) // crypto/rand.Read never fails (Go 1.24)
		entry.Leaf = sealedLeaf(now, nothing)
	}
	place, err := s.log.Append(ctx, entry)
	if next != nil {
		next.place, next.err = place, err
		close(next.done)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.minute = minute
	s.mu.Unlock()
	return nil
}

// close refuses whoever still waits.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, w := range s.waiting {
		w.err = countersign.Refuse(countersign.CodeMaintenance, "the gateway is stopping and records no more")
		close(w.done)
	}
	s.waiting = nil
}
