package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
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
	// maxFlights is how many batches may be stored and not told: one that waits for the disk, and one that comes after it.
	maxFlights = 2
)

// op is one operation on its way into a transaction: a claim or an entry.
type op struct {
	claim   *Claim
	durable bool // a claim that must survive a power failure by itself

	row        *EntryRow
	hash       tlog.Hash
	closes     bool
	placed     Placed
	unsigned   error // an intent's: why what was to be signed with it is not
	unpromised bool
	also       []keys.Item // signed with the promise, or while an intent goes to the disk

	destroys *DestructionRow // the month that is destroyed with this entry, or whose destruction stands in the log already where there is none

	done chan error // capacity 1
}

// flight is a batch that is stored and has not reached the disk.
type flight struct {
	ops      []*op // those that wait for the disk
	size     int   // of the batch
	edge     tiles.Edge
	started  time.Time
	unsigned error // why what was to be signed with it is not
}

// committer is the one goroutine that writes. It takes what has gathered and stores it in one transaction. A second goroutine waits for the disk, for
// the batch that has just been stored while the next one is made; a third signs the batch's promises, and what is to be signed with it, meanwhile. What is signed
// leaves only when the disk has it.
type committer struct {
	log *Log

	mu     sync.Mutex
	queue  []*op
	closed bool
	wake   chan struct{} // capacity 1
	spare  []*op         // an empty queue to be used again

	room    chan struct{} // held from the taking of a batch until the disk is waited for on its behalf
	flights chan *flight
	signing chan *flight
	signed  chan *flight // in the order of flights
	workers sync.WaitGroup

	stale atomic.Bool // a batch failed: what is stored must be read before the next

	// The committer's alone:
	ahead tiles.Edge // of what is stored
	last  countersign.Millis

	edgeMu sync.RWMutex
	edge   tiles.Edge // of what is durable
}

func newCommitter(l *Log, edge tiles.Edge, last countersign.Millis) *committer {
	c := &committer{
		log: l, wake: make(chan struct{}, 1),
		room: make(chan struct{}, 1), flights: make(chan *flight, maxFlights), signing: make(chan *flight, maxFlights), signed: make(chan *flight, maxFlights),
		ahead: edge, edge: edge, last: last,
	}
	c.workers.Go(c.run)
	c.workers.Go(c.land)
	c.workers.Go(c.sign)
	return c
}

// current is the edge of what is durable.
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
	first := len(c.queue) == 1
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
	defer close(c.flights)
	defer close(c.signing)
	for {
		c.room <- struct{}{} // a batch that is stored and waits for the disk is enough: what comes meanwhile shares the next
		// Whoever is ready to run may be about to ask, and shares this one; an idle machine has nobody, and this returns at once.
		runtime.Gosched()
		ops, more := c.take()
		if len(ops) > 0 {
			c.commit(ops)
			continue
		}
		<-c.room
		if !more {
			return
		}
		<-c.wake
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
	rest := append(c.queue[:0], c.queue[maxBatch:]...)
	clear(c.queue[len(rest):]) // what was told is not to be kept in memory
	c.queue = rest
	return ops, more
}

// commit makes one transaction of the operations. Those that need not wait for the disk are told their end; the others take off.
func (c *committer) commit(ops []*op) {
	f := &flight{size: len(ops), started: c.log.clock.Now()}
	var err error
	if f.edge, err = c.store(ops, f.started); err != nil {
		<-c.room
		c.fail(ops, err)
		return
	}
	// A reservation need not wait for the records that share its batch: nothing leaves before its own record is on the disk, and that brings it there.
	f.ops = ops[:0]
	for _, o := range ops {
		if o.claim != nil && !o.durable {
			o.done <- o.claim.Refused
			continue
		}
		f.ops = append(f.ops, o)
	}
	clear(ops[len(f.ops):])
	c.ahead = f.edge
	if len(f.ops) == 0 {
		<-c.room
		c.committed(f)
		return
	}
	c.signing <- f
	c.flights <- f
}

// store assigns indexes, extends the edge and stores the batch.
func (c *committer) store(ops []*op, now time.Time) (tiles.Edge, error) {
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
	size := c.ahead.Size()
	for _, o := range ops {
		if o.claim != nil {
			b.Claims = append(b.Claims, o.claim)
			continue
		}
		if o.destroys != nil {
			b.Destroyed = o.destroys
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
		if o.closes {
			b.Closed = append(b.Closed, o.row.Exchange)
		}
	}
	edge, full := c.ahead.Extend(hashes)
	for _, t := range full {
		b.Tiles = append(b.Tiles, TileRow(t))
	}
	c.last = at // also where it fails: the entries may stand all the same
	if err := c.log.store.Commit(context.Background(), b); err != nil {
		c.stale.Store(true)
		return tiles.Edge{}, err
	}
	return edge, nil
}

// recover reads what is stored after a batch that failed: it may have been stored all the same, and then its leaves stand, although
// nobody was told.
func (c *committer) recover() error {
	if !c.stale.CompareAndSwap(true, false) { // before it reads: a batch that fails from here on is looked for again
		return nil
	}
	edge, err := loadEdge(context.Background(), c.log.store)
	if err == nil {
		err = c.continues(edge)
	}
	if err != nil {
		c.stale.Store(true)
		return err
	}
	c.ahead = edge
	return nil
}

// continues refuses what is stored where it does not go on from what was stored before the failure: a batch that waits for the disk stands on that, and
// so may a promise.
func (c *committer) continues(edge tiles.Edge) error {
	if edge.Size() < c.ahead.Size() {
		return countersign.Refuse(countersign.CodeStore, "the store has lost leaves: it has %d of %d; stop, and restore it", edge.Size(), c.ahead.Size())
	}
	root, err := (&tree{c.log.store, edge}).root(context.Background(), c.ahead.Size())
	if err != nil {
		return err
	}
	known, err := c.ahead.Hash()
	if err != nil {
		return err
	}
	if root != known {
		return countersign.Refuse(countersign.CodeStore, "the store's first %d leaves are others than this log has stored: stop, and restore it", c.ahead.Size())
	}
	return nil
}

// land waits for the disk and for the signatures, and tells the operations of a batch their end.
func (c *committer) land() {
	for f := range c.flights {
		<-c.room
		err := c.log.store.Sync(context.Background())
		<-c.signed // which is f: the operations are nobody else's from here on
		if err != nil {
			c.stale.Store(true)
			c.fail(f.ops, err)
			continue
		}
		c.edgeMu.Lock()
		c.edge = f.edge // before anybody is told: whoever is finds its leaf in the log
		c.edgeMu.Unlock()
		c.tell(f)
		c.committed(f)
	}
}

// tell ends the operations of a batch that is on the disk.
func (c *committer) tell(f *flight) {
	leaves := 0
	for _, o := range f.ops {
		switch {
		case o.row != nil && o.unpromised:
			o.placed = Placed{Index: o.row.Index, LeafHash: countersign.Digest(o.hash), Leaf: o.row.Leaf, Time: o.row.At}
			o.done <- nil
			leaves++
		case o.row != nil:
			o.done <- f.unsigned
			leaves++
		case o.claim != nil:
			o.unsigned = f.unsigned
			o.done <- o.claim.Refused
		default:
			o.done <- nil
		}
	}
	c.log.metrics.leaves.Add(float64(leaves))
}

// committed counts a batch whose end was told.
func (c *committer) committed(f *flight) {
	m := c.log.metrics
	m.commits.Inc()
	m.batch.Observe(float64(f.size))
	m.commitSeconds.Observe(c.log.clock.Now().Sub(f.started).Seconds())
	c.reuse(f.ops)
}

// reuse keeps a batch's list for operations to come.
func (c *committer) reuse(ops []*op) {
	clear(ops)
	c.mu.Lock()
	c.spare = ops[:0]
	c.mu.Unlock()
}

func (c *committer) fail(ops []*op, err error) {
	if countersign.CodeOf(err) == countersign.CodeInternal {
		err = countersign.RefuseBecause(countersign.CodeStore, err, "the record cannot be made durable: nothing leaves")
	}
	c.log.metrics.commitFailures.Inc()
	c.log.logger.Error("commit failed", slog.Int("operations", len(ops)), slog.Any("error", err), slog.Any("cause", countersign.CauseOf(err)))
	for _, o := range ops {
		o.done <- err
	}
	c.reuse(ops)
}

// sign makes the promises of stored entries, and signs what is to be signed with them and with intents, a batch under one signature.
func (c *committer) sign() {
	for f := range c.signing {
		if f.unsigned = c.signBatch(f.ops); f.unsigned != nil {
			c.log.logger.Error("signing promises", slog.Any("error", f.unsigned), slog.Any("cause", countersign.CauseOf(f.unsigned)))
		}
		c.signed <- f
	}
}

func (c *committer) signBatch(ops []*op) error {
	items := make([]keys.Item, 0, 2*len(ops))
	group := 0 // where the group of one signature begins
	for i, o := range ops {
		own := len(o.also)
		switch {
		case o.row != nil && !o.unpromised:
			own++
		case o.claim == nil || o.claim.Refused != nil:
			continue
		}
		if len(items)+own > keys.MaxGroup {
			if err := c.signGroup(ops[group:i], items); err != nil {
				return err
			}
			group, items = i, items[:0]
		}
		if o.row != nil {
			p := countersign.Promise{Origin: c.log.origin, Index: o.row.Index, Leaf: countersign.Digest(o.hash), Time: o.row.At}
			o.placed = Placed{Index: p.Index, LeafHash: p.Leaf, Leaf: o.row.Leaf, Time: p.Time, Promise: p.Encode()}
			items = append(items, keys.Item{Domain: countersign.DomainReceipt, Message: o.placed.Promise})
		}
		items = append(items, o.also...)
	}
	return c.signGroup(ops[group:], items)
}

// signGroup signs the items of some operations under one root, and gives each operation its own.
func (c *committer) signGroup(ops []*op, items []keys.Item) error {
	if len(items) == 0 {
		return nil
	}
	sigs, err := c.log.signer.SignGroup(items)
	if err != nil {
		return fmt.Errorf("the record is durable, but what was to be signed with it could not be: %w", err)
	}
	for _, o := range ops {
		switch {
		case o.row != nil && !o.unpromised:
			o.placed.Signature, sigs = sigs[0], sigs[1:]
		case o.claim == nil || o.claim.Refused != nil:
			continue
		}
		k := len(o.also)
		o.placed.Also, sigs = sigs[:k:k], sigs[k:]
	}
	return nil
}
