package ledger_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// outcome is what becomes of one call that writes.
type outcome int

const (
	well        outcome = iota
	failsBefore         // nothing is done
	failsAfter          // it is done, and nobody is told
)

// power is a store on a disk that forgets, at a loss of power, whatever no successful wait has covered. It keeps a copy of the database as it stood when the
// last such wait began.
type power struct {
	ledger.Store
	files []string

	mu       sync.Mutex // held by every call that writes, and not while the disk is waited for
	outcomes []outcome
	calls    int
	failsAt  int // the call from which on there is no power; 0 for none
	begun    int
	kept     int // the wait that the copy is of
	image    map[string][]byte
}

// next takes the outcome of a call. It is called with mu held.
func (p *power) next() outcome {
	p.calls++
	switch {
	case p.failsAt > 0 && p.calls >= p.failsAt:
		return failsBefore
	case p.calls <= len(p.outcomes):
		return p.outcomes[p.calls-1]
	}
	return well
}

func (p *power) copied() map[string][]byte {
	out := map[string][]byte{}
	for _, f := range p.files {
		if b, err := os.ReadFile(f); err == nil {
			out[f] = b
		}
	}
	return out
}

// write makes one transaction, and keeps it where it is durable by itself.
func (p *power) write(durable bool, do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.next()
	if o == failsBefore {
		return errDisk
	}
	if err := do(); err != nil {
		return err
	}
	if durable {
		p.begun++
		p.kept, p.image = p.begun, p.copied()
	}
	if o == failsAfter {
		return errDisk
	}
	return nil
}

func (p *power) Commit(ctx context.Context, b *ledger.Batch) error {
	return p.write(b.Durable, func() error { return p.Store.Commit(ctx, b) })
}

func (p *power) PutCheckpoint(ctx context.Context, c ledger.CheckpointRow) error {
	return p.write(c.Kind != ledger.CheckpointCosigned, func() error { return p.Store.PutCheckpoint(ctx, c) })
}

func (p *power) SetMeta(ctx context.Context, values map[string][]byte) error {
	return p.write(true, func() error { return p.Store.SetMeta(ctx, values) })
}

func (p *power) Prune(ctx context.Context, before time.Time) (out ledger.Pruned, err error) {
	err = p.write(false, func() (err error) { out, err = p.Store.Prune(ctx, before); return err })
	return out, err
}

func (p *power) Sync(ctx context.Context) error {
	p.mu.Lock()
	o := p.next()
	p.begun++
	begun, image := p.begun, p.copied()
	p.mu.Unlock()
	if o == failsBefore {
		return errDisk
	}
	if err := p.Store.Sync(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failsAt > 0 && p.calls >= p.failsAt { // the power failed meanwhile
		return errDisk
	}
	if begun > p.kept {
		p.kept, p.image = begun, image
	}
	if o == failsAfter {
		return errDisk
	}
	return nil
}

// told is what somebody was told, shown or promised.
type told struct {
	mu      sync.Mutex
	begun   []countersign.ExchangeID
	at      map[uint64]countersign.ExchangeID
	claimed map[countersign.ExchangeID]bool
	intends map[countersign.ExchangeID]bool
	heads   []ledger.Held
	wrong   string
}

func (x *told) leaf(index uint64, id countersign.ExchangeID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if was, ok := x.at[index]; ok && was != id {
		x.wrong = "index " + id.String() + " was given twice"
	}
	x.at[index] = id
}

// appends records, reserves and intends; what is refused is asked no more.
func (x *told) appends(m *member, l *ledger.Log, n int) {
	ctx := context.Background()
	for i := range n {
		e := m.entry(countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"})
		x.mu.Lock()
		x.begun = append(x.begun, e.Exchange)
		x.mu.Unlock()
		switch i % 3 {
		case 0:
			r := ledger.Reservation{Exchange: e.Exchange, Consumer: consumer, Until: m.clock.Now().Add(time.Hour), Durable: i%2 == 0}
			if l.Reserve(ctx, r) == nil && r.Durable {
				x.mu.Lock()
				x.claimed[e.Exchange] = true
				x.mu.Unlock()
			}
		case 1:
			if _, err := l.Intend(ctx, ledger.Intent{Exchange: e.Exchange, Body: []byte("x")}); err == nil {
				x.mu.Lock()
				x.intends[e.Exchange] = true
				x.mu.Unlock()
			}
		}
		if p, err := l.Append(ctx, e); err == nil {
			x.leaf(p.Index, e.Exchange)
		}
	}
}

// reads asks for what is on its way, for the newest list and for the newest checkpoint.
func (x *told) reads(l *ledger.Log) {
	ctx := context.Background()
	x.mu.Lock()
	begun := append([]countersign.ExchangeID{}, x.begun[max(0, len(x.begun)-4):]...)
	x.mu.Unlock()
	for _, id := range begun {
		found, err := l.ByExchange(ctx, id)
		if err != nil {
			continue
		}
		for _, s := range found {
			x.leaf(s.Index, id)
			if p, err := l.Promise(ctx, s); err == nil {
				x.leaf(p.Index, id)
			}
		}
	}
	if list, err := l.List(ctx, ledger.Page{Limit: 10}); err == nil {
		for _, s := range list {
			x.leaf(s.Index, s.Exchange)
		}
	}
	l.Tick(ctx)
	if head := l.SignedCheckpoint(); head != nil {
		x.mu.Lock()
		x.heads = append(x.heads, ledger.Held{By: "a reader", Note: head})
		x.mu.Unlock()
	}
}

// Whatever fails, in whatever order, and whenever the power is lost: what was acknowledged, promised, shown or signed is in its place afterwards, the log
// does not fork, and goes on by itself.
func TestNothingOutrunsTheDisk(t *testing.T) {
	first := begin(t)
	first.shut()
	empty := snapshot(t, first.dir)
	rapid.Check(t, func(rt *rapid.T) {
		m := &member{t: t, dir: t.TempDir(), key: first.key, tags: first.tags, clock: first.clock}
		defer m.shut()
		begun := map[string][]byte{}
		for f, b := range empty {
			begun[filepath.Join(m.dir, filepath.Base(f))] = b
		}
		restore(t, m.dir, begun)
		x := &told{at: map[uint64]countersign.ExchangeID{}, claimed: map[countersign.ExchangeID]bool{}, intends: map[countersign.ExchangeID]bool{}}
		image := begun
		for range rapid.IntRange(1, 4).Draw(rt, "lives") {
			p := &power{
				image:    image,
				files:    []string{filepath.Join(m.dir, "log.db"), filepath.Join(m.dir, "log.db-wal")},
				outcomes: rapid.SliceOfN(rapid.SampledFrom([]outcome{well, well, well, failsBefore, failsAfter}), 0, 40).Draw(rt, "outcomes"),
			}
			m.wrap = func(s ledger.Store) ledger.Store { p.Store = s; return p }
			l := m.open()
			p.mu.Lock()
			if lost := rapid.IntRange(0, 40).Draw(rt, "power lost after"); lost > 0 {
				p.failsAt = p.calls + lost
			}
			p.mu.Unlock()
			var wg sync.WaitGroup
			writers, each := rapid.IntRange(1, 4).Draw(rt, "writers"), rapid.IntRange(1, 6).Draw(rt, "each")
			for range writers {
				wg.Go(func() { x.appends(m, l, each) })
			}
			done := make(chan struct{})
			var reader sync.WaitGroup
			reader.Go(func() {
				for {
					x.reads(l)
					select {
					case <-done:
						return
					default:
					}
				}
			})
			wg.Wait()
			close(done)
			reader.Wait()
			if l.Healthy() != nil {
				rt.Fatalf("the log is suspended: %v", l.Healthy())
			}
			p.mu.Lock()
			dark := p.failsAt > 0
			if !dark {
				p.outcomes = nil
			}
			p.mu.Unlock()
			if dark {
				m.shut()
				image = p.image
				restore(t, m.dir, image)
				x.check(rt, m)
				continue
			}
			if placed, err := l.Append(t.Context(), m.entry(countersign.SubjectID{})); err != nil || placed.Index+1 != l.Size() {
				rt.Fatalf("the disk is well, and the log has not resumed: %v", err)
			}
			if rapid.Bool().Draw(rt, "killed") {
				// Between a transaction and the disk: what is stored is there for the next process, and what it may lose is what no wait has covered.
				p.mu.Lock()
				p.outcomes, p.calls = []outcome{well, failsBefore, well, failsBefore}, 0
				p.mu.Unlock()
				x.appends(m, l, 1)
				left := p.copied()
				m.shut()
				image = p.image
				restore(t, m.dir, left)
				continue
			}
			m.shut()
			x.check(rt, m)
			image = snapshot(t, m.dir)
		}
		x.check(rt, m)
	})
}

// check holds the log that is left to all that anybody was told.
func (x *told) check(rt *rapid.T, m *member) {
	m.wrap = nil
	l := m.open()
	if x.wrong != "" {
		rt.Fatal(x.wrong)
	}
	ctx := context.Background()
	for index, id := range x.at {
		if s, err := l.Leaf(ctx, index); err != nil || s.Exchange != id {
			rt.Fatalf("leaf %d was told of and is another one, or gone: %v", index, err)
		}
	}
	for id := range x.claimed {
		r := ledger.Reservation{Exchange: id, Consumer: consumer, Until: m.clock.Now().Add(time.Hour)}
		if err := l.Reserve(ctx, r); countersign.CodeOf(err) != countersign.CodeReplay {
			rt.Fatalf("a durable reservation is forgotten: %v", err)
		}
	}
	for id := range x.intends {
		if _, err := l.Intend(ctx, ledger.Intent{Exchange: id}); countersign.CodeOf(err) != countersign.CodeReplay {
			rt.Fatalf("an intent is forgotten: %v", err)
		}
	}
	r, err := ledger.Check(ctx, ledger.CheckConfig{Store: m.store, Origin: origin, VKey: vkeyOf(m.t, m.key), MonthKeys: m.dir, Held: x.heads})
	if err != nil || r.Broken() {
		rt.Fatalf("%+v, %v", r, err)
	}
	m.shut()
}
