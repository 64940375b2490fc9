package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger/tiles"
)

const (
	// maxBatch is the most operations of one transaction; it is also the most promises of one signature.
	maxBatch = keys.MaxGroup
	// maxQueue is how many operations may wait: beyond it the log pushes back.
	maxQueue = 16 * maxBatch
	// maxAlso is how many messages may be signed with one promise.
	maxAlso = 3
	// maxSigning is how many committed batches may wait for their signature.
	maxSigning = 16
)

// op is one operation on its way into a transaction: a claim or an entry.
type op struct {
	claim   *Claim
	durable bool // a claim that must survive a power failure by itself
	told    bool // its end was told before its batch had reached the disk

	row        *EntryRow
	hash       tlog.Hash
	closes     bool
	placed     Placed
	unpromised bool
	also       []keys.Item // signed with the promise

	destroys *DestructionRow // the month that is destroyed with this entry, or whose destruction stands in the log already where there is none

	done chan error // capacity 1
}

// committer is the one goroutine that writes. It takes what has gathered while the last commit was under way, commits it in one
// transaction, and leaves the signing of promises to a second goroutine, so that the next commit need not wait for it.
type committer struct {
	log *Log

	mu     sync.Mutex
	queue  []*op
	closed bool
	wake   chan struct{} // capacity 1
	target int           // operations that end the gathering early; 0 where nobody gathers
	ready  chan struct{} // told once when target is reached; capacity 1

	// For gathering: how many operations came since when, and how many a window would bring by that.
	arrived  int
	measured time.Time
	expected int

	signing chan []*op
	workers sync.WaitGroup

	// The committer's alone:
	spare []*op
	stale bool // the last commit failed: what is stored must be read before the next
	last  countersign.Millis

	edgeMu sync.RWMutex
	edge   tiles.Edge
}

func newCommitter(l *Log, edge tiles.Edge, last countersign.Millis) *committer {
	c := &committer{log: l, wake: make(chan struct{}, 1), ready: make(chan struct{}, 1), measured: l.clock.Now(), signing: make(chan []*op, maxSigning), edge: edge, last: last}
	c.workers.Go(c.run)
	c.workers.Go(c.sign)
	return c
}

// current is the edge of what is committed.
func (c *committer) current() tiles.Edge {
	c.edgeMu.RLock()
	defer c.edgeMu.RUnlock()
	return c.edge
}

// submit queues an operation and waits for its end. When the context ends first, its error is returned, and the operation may or may
// not have been committed.
func (c *committer) submit(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return countersign.RefuseBecause(countersign.CodeBusy, err, "the caller left before the record was durable")
	}
	o.done = make(chan error, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return countersign.Refuse(countersign.CodeMaintenance, "the gateway is stopping and records no more")
	}
	if len(c.queue) >= maxQueue {
		c.mu.Unlock()
		c.log.metrics.pushback.Inc()
		return countersign.Refuse(countersign.CodeBusy, "more records wait than the disk takes: ask again later")
	}
	c.queue = append(c.queue, o)
	c.arrived++
	first := len(c.queue) == 1
	if c.target > 0 && len(c.queue) >= c.target {
		c.endGathering()
	}
	c.mu.Unlock()
	if first {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return countersign.RefuseBecause(countersign.CodeBusy, ctx.Err(), "the caller left before the record was durable")
	}
}

// close refuses new operations, commits what is queued, and returns when all is signed.
func (c *committer) close() {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.endGathering()
	c.mu.Unlock()
	if !closed {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	c.workers.Wait()
}

func (c *committer) run() {
	defer close(c.signing)
	for {
		c.gather()
		ops, more := c.take()
		if len(ops) > 0 {
			c.commit(ops)
			continue
		}
		if !more {
			return
		}
		<-c.wake
		// Whoever is ready to run may be about to ask; an idle machine has nobody, and this returns at once.
		runtime.Gosched()
	}
}

// worthGathering is how many operations a window must promise before it is worth waiting for: below that, the wait costs more than the
// commits that it saves.
const worthGathering = 3

// measureFor is the shortest time over which arrivals are counted.
const measureFor = 5 * time.Millisecond

// gather waits for company where operations come so densely that one commit can serve several. Each commit costs an fsync, two switches of
// threads and some pages, whatever its size. An idle log never waits.
func (c *committer) gather() {
	window := c.log.commitWindow
	c.mu.Lock()
	if now := c.log.clock.Now(); now.Sub(c.measured) >= measureFor {
		c.expected = int(float64(c.arrived) * float64(window) / float64(now.Sub(c.measured)))
		c.arrived, c.measured = 0, now
	}
	if window == 0 || c.closed || len(c.queue) == 0 || c.expected < worthGathering || len(c.queue) >= c.expected {
		c.mu.Unlock()
		return
	}
	c.target = min(c.expected, maxBatch)
	select { // a signal left over from a window that ended by time
	case <-c.ready:
	default:
	}
	c.mu.Unlock()

	t := time.NewTimer(window)
	select {
	case <-c.ready:
	case <-t.C:
	}
	t.Stop()
	c.mu.Lock()
	c.target = 0
	c.mu.Unlock()
}

// endGathering is called with mu held.
func (c *committer) endGathering() {
	c.target = 0
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// take removes up to maxBatch operations from the queue; more tells whether others may come.
func (c *committer) take() (ops []*op, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	more = !c.closed
	if len(c.queue) <= maxBatch {
		ops, c.queue, c.spare = c.queue, c.spare[:0], nil
		return ops, more
	}
	ops = append(ops, c.queue[:maxBatch]...)
	c.queue = append(c.queue[:0], c.queue[maxBatch:]...)
	return ops, more
}

// commit makes one transaction of the operations and tells each its end.
func (c *committer) commit(ops []*op) {
	l := c.log
	started := l.clock.Now()
	edge, err := c.prepare(ops, started)
	if err != nil {
		c.fail(ops, err)
		return
	}
	c.edgeMu.Lock()
	c.edge = edge // before anybody is told: whoever is finds its leaf in the log
	c.edgeMu.Unlock()
	entries := ops[:0:0]
	leaves := 0
	for _, o := range ops {
		switch {
		case o.told:
		case o.row != nil && o.unpromised:
			o.placed = Placed{Index: o.row.Index, LeafHash: countersign.Digest(o.hash), Leaf: o.row.Leaf, Time: o.row.At}
			o.done <- nil
			leaves++
		case o.row != nil:
			entries = append(entries, o)
			leaves++
		case o.claim != nil:
			o.done <- o.claim.Refused
		default:
			o.done <- nil
		}
	}
	l.metrics.commits.Inc()
	l.metrics.batch.Observe(float64(len(ops)))
	l.metrics.commitSeconds.Observe(l.clock.Now().Sub(started).Seconds())
	l.metrics.leaves.Add(float64(leaves))
	if len(entries) > 0 {
		c.signing <- entries
	}
	clear(ops)
	c.spare = ops[:0]
}

// prepare assigns indexes, extends the edge and commits.
func (c *committer) prepare(ops []*op, now time.Time) (tiles.Edge, error) {
	if err := c.recover(); err != nil {
		return tiles.Edge{}, err
	}
	if err := c.log.suspended(); err != nil {
		return tiles.Edge{}, err
	}
	// Promises tell times that never run backwards within a log, whatever the clock does.
	at := max(countersign.MillisOf(now), c.last)
	b := &Batch{Now: now}
	hashes := make([]tlog.Hash, 0, len(ops))
	size := c.edge.Size()
	for _, o := range ops {
		if o.claim != nil {
			b.Claims = append(b.Claims, o.claim)
			b.Durable = b.Durable || o.durable
			continue
		}
		if o.destroys != nil {
			b.Destroyed, b.Durable = o.destroys, true
		}
		if o.row == nil {
			continue
		}
		o.row.Index, o.row.At = size+uint64(len(hashes)), at
		if o.destroys != nil {
			o.destroys.Index = o.row.Index
		}
		if loses(o) {
			continue
		}
		hashes = append(hashes, o.hash)
		b.Entries = append(b.Entries, o.row)
		b.Durable = true
		if o.closes {
			b.Closed = append(b.Closed, o.row.Exchange)
		}
	}
	edge, full := c.edge.Extend(hashes)
	for _, t := range full {
		b.Tiles = append(b.Tiles, TileRow(t))
	}
	// A reservation need not wait for the records that share its batch: nothing leaves before its own record is on the disk, and that brings it there.
	b.Stored = func() {
		for _, o := range ops {
			if o.claim != nil && !o.durable {
				o.told = true
				o.done <- o.claim.Refused
			}
		}
	}
	if err := c.log.store.Commit(context.Background(), b); err != nil {
		c.stale = true
		return tiles.Edge{}, err
	}
	c.last = at
	return edge, nil
}

// recover reads what is stored after a commit that failed: it may have been stored all the same, and then its leaves stand, although
// nobody was told.
func (c *committer) recover() error {
	if !c.stale {
		return nil
	}
	ctx := context.Background()
	edge, err := loadEdge(ctx, c.log.store)
	if err != nil {
		return err
	}
	if edge.Size() < c.edge.Size() {
		return countersign.Refuse(countersign.CodeStore, "the store has lost leaves that were promised: it has %d of %d; stop, and restore it", edge.Size(), c.edge.Size())
	}
	c.edgeMu.Lock()
	c.edge = edge
	c.edgeMu.Unlock()
	c.stale = false
	return nil
}

func (c *committer) fail(ops []*op, err error) {
	if countersign.CodeOf(err) == countersign.CodeInternal {
		err = countersign.RefuseBecause(countersign.CodeStore, err, "the record cannot be made durable: nothing leaves")
	}
	c.log.metrics.commitFailures.Inc()
	c.log.logger.Error("commit failed", slog.Int("operations", len(ops)), slog.Any("error", err), slog.Any("cause", causeOf(err)))
	for _, o := range ops {
		if !o.told {
			o.done <- err
		}
	}
	clear(ops)
	c.spare = ops[:0]
}

// causeOf finds what lies beneath a refusal, for the operator's log.
func causeOf(err error) error {
	if r, ok := errors.AsType[*countersign.Refusal](err); ok {
		return r.Cause()
	}
	return nil
}

// sign makes the promises of committed entries, a batch under one signature.
func (c *committer) sign() {
	for ops := range c.signing {
		for len(ops) > 0 {
			var items []keys.Item
			n := 0
			for n < len(ops) && len(items)+1+len(ops[n].also) <= keys.MaxGroup {
				o := ops[n]
				p := countersign.Promise{Origin: c.log.origin, Index: o.row.Index, Leaf: countersign.Digest(o.hash), Time: o.row.At}
				o.placed = Placed{Index: p.Index, LeafHash: p.Leaf, Leaf: o.row.Leaf, Time: p.Time, Promise: p.Encode()}
				items = append(append(items, keys.Item{Domain: countersign.DomainReceipt, Message: o.placed.Promise}), o.also...)
				n++
			}
			c.signGroup(ops[:n], items)
			ops = ops[n:]
		}
	}
}

// signGroup signs the promises of some entries, and what is to be signed with them, under one root.
func (c *committer) signGroup(ops []*op, items []keys.Item) {
	sigs, err := c.log.signer.SignMany(context.Background(), items)
	if err != nil {
		err = fmt.Errorf("the record is durable, but its promise could not be signed: %w", err)
		c.log.logger.Error("signing promises", slog.Any("error", err), slog.Any("cause", causeOf(err)))
	}
	for _, o := range ops {
		if err == nil {
			k := 1 + len(o.also)
			o.placed.Signature, o.placed.Also = sigs[0], sigs[1:k:k]
			sigs = sigs[k:]
		}
		o.done <- err
	}
}
