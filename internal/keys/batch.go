package keys

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"countersign.dev/countersign"
)

// MaxGroup is the most messages that BatchSigner puts under one signature.
const MaxGroup = 256

// Item is one message to be signed in its domain.
type Item struct {
	Domain  countersign.SignatureDomain
	Message []byte
}

// BatchSigner signs messages with the algorithm countersign-tree: messages that arrive together share one signature. When it is idle
// a message is signed at once. While a signature is being made, arrivals gather and share the next one.
//
// It is safe for concurrent use. It does not own its key: close the key after the BatchSigner.
type BatchSigner struct {
	key Signer

	mu      sync.Mutex
	queue   []*ticket
	running bool
	closed  bool
	work    sync.WaitGroup
}

// ticket is one caller's messages on their way into a group.
type ticket struct {
	leaves    []countersign.TreeLeaf
	withdrawn bool // under mu: the caller has left
	done      chan struct{}
	tree      *countersign.SignedTree // set before done is closed
	first     int
	err       error
}

// NewBatchSigner groups the signatures of a key, which must be of an algorithm that signs trees.
func NewBatchSigner(key Signer) (*BatchSigner, error) {
	if _, err := countersign.AlgorithmOf(key.Public()); err != nil {
		return nil, err
	}
	return &BatchSigner{key: key}, nil
}

// Algorithm is countersign-tree.
func (*BatchSigner) Algorithm() countersign.SignatureAlgorithm { return countersign.AlgorithmTree }

// KeyID names the key.
func (b *BatchSigner) KeyID() countersign.KeyID { return b.key.KeyID() }

// Sign signs one message and gives the wire form of its [countersign.TreeSignature]. The message may be changed once Sign has returned.
// A context that ends gives its error at once; the group goes on without this message.
func (b *BatchSigner) Sign(ctx context.Context, domain countersign.SignatureDomain, message []byte) ([]byte, error) {
	sigs, err := b.SignMany(ctx, []Item{{domain, message}})
	if err != nil {
		return nil, err
	}
	return sigs[0], nil
}

// SignMany signs 1 to MaxGroup messages of one caller under one signature, each with a wire form of its own, in order.
func (b *BatchSigner) SignMany(ctx context.Context, items []Item) ([][]byte, error) {
	if len(items) < 1 || len(items) > MaxGroup {
		return nil, countersign.Refuse(countersign.CodeInternal, "%d messages to sign at once: 1 to %d", len(items), MaxGroup)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("waiting for a signature: %w", err)
	}
	leaves, err := leavesOf(items)
	if err != nil {
		return nil, err
	}
	t := &ticket{leaves: leaves, done: make(chan struct{})}
	if err := b.enqueue(t); err != nil {
		return nil, err
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		b.mu.Lock()
		t.withdrawn = true
		b.mu.Unlock()
		return nil, fmt.Errorf("waiting for a signature: %w", ctx.Err())
	}
	if t.err != nil {
		return nil, t.err
	}
	return signatures(t.tree, t.first, len(items))
}

// SignGroup signs 1 to MaxGroup messages at once under one signature of their own, on the caller's time: for a caller who has gathered them already.
// Closing does not wait for it.
func (b *BatchSigner) SignGroup(items []Item) ([][]byte, error) {
	if len(items) < 1 || len(items) > MaxGroup {
		return nil, countersign.Refuse(countersign.CodeInternal, "%d messages to sign at once: 1 to %d", len(items), MaxGroup)
	}
	leaves, err := leavesOf(items)
	if err != nil {
		return nil, err
	}
	tree, err := countersign.SignTree(b.key, leaves)
	if err != nil {
		return nil, err
	}
	return signatures(tree, 0, len(items))
}

func leavesOf(items []Item) ([]countersign.TreeLeaf, error) {
	leaves := make([]countersign.TreeLeaf, len(items))
	for i, item := range items {
		leaf, err := countersign.NewTreeLeaf(item.Domain, item.Message)
		if err != nil {
			return nil, err
		}
		leaves[i] = leaf
	}
	return leaves, nil
}

// signatures are the wire forms of n leaves of a tree.
func signatures(tree *countersign.SignedTree, first, n int) ([][]byte, error) {
	sigs := make([][]byte, n)
	for i := range sigs {
		s, err := tree.Signature(first + i)
		if err != nil {
			return nil, err
		}
		if sigs[i], err = s.Marshal(); err != nil {
			return nil, err
		}
	}
	return sigs, nil
}

func (b *BatchSigner) enqueue(t *ticket) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return countersign.Refuse(countersign.CodeMaintenance, "the gateway is stopping and signs no more")
	}
	b.queue = append(b.queue, t)
	if !b.running {
		b.running = true
		b.work.Add(1)
		go b.run()
	}
	return nil
}

// run signs group after group until nobody waits.
func (b *BatchSigner) run() {
	defer b.work.Done()
	for {
		// Goroutines that are ready to run may be about to ask. An idle machine has none, and this returns at once.
		runtime.Gosched()
		group, leaves := b.take()
		if leaves == nil {
			return
		}
		tree, err := countersign.SignTree(b.key, leaves)
		first := 0
		for _, t := range group {
			t.tree, t.first, t.err = tree, first, err
			first += len(t.leaves)
			close(t.done)
		}
	}
}

// take removes the next group from the queue; no leaves means that nobody waits and run must end.
func (b *BatchSigner) take() ([]*ticket, []countersign.TreeLeaf) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var group []*ticket
	var leaves []countersign.TreeLeaf
	n := 0
	for _, t := range b.queue {
		if !t.withdrawn && len(leaves)+len(t.leaves) > MaxGroup {
			break
		}
		n++
		if t.withdrawn {
			continue
		}
		group = append(group, t)
		leaves = append(leaves, t.leaves...)
	}
	clear(b.queue[:n])
	b.queue = b.queue[n:]
	if len(b.queue) == 0 {
		b.queue = nil
	}
	if leaves == nil {
		b.running = false
	}
	return group, leaves
}

// Close refuses new messages and returns when those under way are signed, or with the context's error when it ends first (a key in
// hardware that hangs). It may be called twice.
func (b *BatchSigner) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	done := make(chan struct{})
	go func() {
		b.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the last signatures: %w", ctx.Err())
	}
}
