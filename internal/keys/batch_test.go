package keys

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// slowKey signs when it is let, so that a test decides what gathers meanwhile.
type slowKey struct {
	Signer
	begun  chan struct{} // one for each signature that begins
	let    chan struct{} // one for each signature that may end
	count  atomic.Int64
	broken error
}

func newSlowKey(t testing.TB) *slowKey {
	return &slowKey{Signer: generate(t, countersign.AlgorithmEd25519), begun: make(chan struct{}, 1000), let: make(chan struct{}, 1000)}
}

func generate(t testing.TB, kind countersign.SignatureAlgorithm) Signer {
	t.Helper()
	key, err := Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (k *slowKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.count.Add(1)
	k.begun <- struct{}{}
	<-k.let
	if k.broken != nil {
		return nil, k.broken
	}
	return k.Signer.Sign(r, digest, opts)
}

func batch(t testing.TB, key Signer, window time.Duration) *BatchSigner {
	t.Helper()
	b, err := NewBatchSigner(key, clock.System{}, window)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkWire(t testing.TB, key Signer, domain countersign.SignatureDomain, message, wire []byte, size int) {
	t.Helper()
	if err := countersign.VerifyTree(key.Public(), domain, message, wire, nil); err != nil {
		t.Error(err)
	}
	s, err := countersign.ParseTreeSignature(wire)
	if err != nil {
		t.Fatal(err)
	}
	if size > 0 && s.Size != size {
		t.Errorf("a group of %d, want %d", s.Size, size)
	}
}

func TestAnIdleSignerSignsAtOnce(t *testing.T) {
	key := generate(t, countersign.AlgorithmP256)
	b := batch(t, key, time.Millisecond)
	for i := range 3 {
		message := fmt.Append(nil, "message ", i)
		wire, err := b.Sign(t.Context(), countersign.DomainRequest, message)
		if err != nil {
			t.Fatal(err)
		}
		checkWire(t, key, countersign.DomainRequest, message, wire, 1)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := b.Sign(t.Context(), countersign.DomainRequest, nil); countersign.CodeOf(err) != countersign.CodeMaintenance {
		t.Errorf("after closing: %v", err)
	}
}

// What arrives while a signature is being made shares the next one.
func TestArrivalsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSlowKey(t)
		b := batch(t, key, 0)
		var group sync.WaitGroup
		sign := func(message string, size int) {
			group.Go(func() {
				wire, err := b.Sign(t.Context(), countersign.DomainResponse, []byte(message))
				if err != nil {
					t.Error(err)
					return
				}
				checkWire(t, key, countersign.DomainResponse, []byte(message), wire, size)
			})
		}
		sign("first", 1)
		<-key.begun
		for i := range MaxGroup + 10 {
			sign(fmt.Sprint(i), 0)
		}
		synctest.Wait()
		for range 3 {
			key.let <- struct{}{}
		}
		group.Wait()
		if n := key.count.Load(); n != 3 {
			t.Errorf("%d signatures for 1, %d and 10 messages", n, MaxGroup)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSignManyIsOneGroup(t *testing.T) {
	key := generate(t, countersign.AlgorithmEd25519)
	b := batch(t, key, 0)
	items := []Item{{countersign.DomainResponse, []byte("answer")}, {countersign.DomainReceipt, []byte("promise")}, {countersign.DomainTrailer, nil}}
	wires, err := b.SignMany(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, item := range items {
		checkWire(t, key, item.Domain, item.Message, wires[i], len(items))
	}
	for _, n := range []int{0, MaxGroup + 1} {
		if _, err := b.SignMany(t.Context(), make([]Item, n)); err == nil {
			t.Errorf("%d messages are signed", n)
		}
	}
	if _, err := b.SignMany(t.Context(), []Item{{"", nil}}); err == nil {
		t.Error("no domain")
	}
	full := make([]Item, MaxGroup)
	for i := range full {
		full[i] = Item{countersign.DomainReceipt, fmt.Append(nil, i)}
	}
	if wires, err = b.SignMany(t.Context(), full); err != nil || len(wires) != MaxGroup {
		t.Fatal(err)
	}
	checkWire(t, key, countersign.DomainReceipt, full[77].Message, wires[77], MaxGroup)
}

// A caller's messages are never split, so a group may stay smaller.
func TestGroupsStayWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSlowKey(t)
		b := batch(t, key, 0)
		var group sync.WaitGroup
		many := func(n int) {
			group.Go(func() {
				items := make([]Item, n)
				for i := range items {
					items[i] = Item{countersign.DomainReceipt, fmt.Append(nil, i)}
				}
				wires, err := b.SignMany(t.Context(), items)
				if err != nil {
					t.Error(err)
					return
				}
				checkWire(t, key, countersign.DomainReceipt, items[n-1].Message, wires[n-1], n)
			})
			synctest.Wait()
		}
		many(1)
		many(200)
		many(100)
		for range 3 {
			key.let <- struct{}{}
		}
		group.Wait()
		if n := key.count.Load(); n != 3 {
			t.Errorf("%d signatures", n)
		}
	})
}

func TestCancelledCallersLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSlowKey(t)
		b := batch(t, key, time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				if _, err := b.Sign(ctx, countersign.DomainRequest, fmt.Append(nil, i)); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			synctest.Wait() // the first is being signed, the others wait
		}
		<-key.begun
		cancel()
		group.Wait() // although the key still hangs
		if _, err := b.Sign(ctx, countersign.DomainRequest, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := b.Close(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("closing while the key hangs: %v", err)
		}
		key.let <- struct{}{}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := key.count.Load(); n != 1 {
			t.Errorf("%d signatures for callers who left", n)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.running || b.queued != 0 || len(b.queue) != 0 {
			t.Errorf("left behind: %v %d %d", b.running, b.queued, len(b.queue))
		}
	})
}

func TestOneGroupsFailureIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSlowKey(t)
		key.broken = errors.New("session lost")
		b := batch(t, key, 0)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if _, err := b.Sign(t.Context(), countersign.DomainRequest, nil); !errors.Is(err, key.broken) {
					t.Error(err)
				}
			})
		}
		for range 5 {
			key.let <- struct{}{}
		}
		group.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		b = batch(t, key, 0)
		key.broken = nil
		for range 5 {
			key.let <- struct{}{}
		}
		if _, err := b.Sign(t.Context(), countersign.DomainRequest, nil); err != nil {
			t.Errorf("after the failure: %v", err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// With dense arrivals a window is kept, which ends when as many have come as were expected, or by time. The bubble's time makes both exact.
func TestTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 500 * time.Microsecond
		key := generate(t, countersign.AlgorithmEd25519)
		b := batch(t, key, window)
		var group sync.WaitGroup
		sizes := make(chan int, 10000)
		sign := func() {
			group.Go(func() {
				wire, err := b.Sign(t.Context(), countersign.DomainRequest, []byte("m"))
				if err != nil {
					t.Error(err)
					return
				}
				s, err := countersign.ParseTreeSignature(wire)
				if err != nil {
					t.Error(err)
					return
				}
				sizes <- s.Size
			})
		}
		// One every 20 microseconds: 25 in a window.
		for range 2000 {
			sign()
			<-time.After(20 * time.Microsecond)
		}
		group.Wait()
		close(sizes)
		largest, n, alone := 0, 0, 0
		for size := range sizes {
			n++
			largest = max(largest, size)
			if size == 1 {
				alone++
			}
		}
		if n != 2000 || largest < 20 || largest > 40 || alone > 300 {
			t.Errorf("%d messages, the largest group has %d, %d were alone", n, largest, alone)
		}
		// After a pause nothing is expected, and a message is signed at once.
		<-time.After(time.Second)
		sizes = make(chan int, 1)
		before := time.Now()
		sign()
		group.Wait()
		if took := time.Since(before); took != 0 || <-sizes != 1 {
			t.Errorf("an idle signer took %s", took)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestClosingEndsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := generate(t, countersign.AlgorithmEd25519)
		b := batch(t, key, time.Millisecond)
		b.mu.Lock()
		b.expected = 100
		b.mu.Unlock()
		var group sync.WaitGroup
		before := time.Now()
		group.Go(func() {
			if _, err := b.Sign(t.Context(), countersign.DomainRequest, nil); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		group.Wait()
		if took := time.Since(before); took != 0 {
			t.Errorf("closing took %s", took)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	key := generate(t, countersign.AlgorithmEd25519)
	b := batch(t, key, 300*time.Microsecond)
	roots := countersign.NewRootCache(1024)
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			for j := range 50 {
				message := bytes.Repeat([]byte{byte(i), byte(j)}, i+j)
				wire, err := b.Sign(t.Context(), countersign.DomainRequest, message)
				if err != nil {
					t.Error(err)
					return
				}
				if err := countersign.VerifyTree(key.Public(), countersign.DomainRequest, message, wire, roots); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBatchSignerChecksItsSettings(t *testing.T) {
	key := generate(t, countersign.AlgorithmEd25519)
	for _, window := range []time.Duration{-1, time.Millisecond + 1} {
		if _, err := NewBatchSigner(key, clock.System{}, window); countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", window, err)
		}
	}
}

func BenchmarkBatchSigner(b *testing.B) {
	for _, window := range []time.Duration{0, 300 * time.Microsecond} {
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("window=%s/callers=%d", window, callers), func(b *testing.B) {
				key := &countingKey{Signer: generate(b, countersign.AlgorithmEd25519)}
				signer := batch(b, key, window)
				message := bytes.Repeat([]byte("x"), 800)
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ResetTimer()
				var group sync.WaitGroup
				for range callers {
					group.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := signer.Sign(context.Background(), countersign.DomainRequest, message); err != nil {
								b.Error(err)
								return
							}
							burn(message) // the rest of an exchange
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/float64(key.n.Load()), "messages/signature")
			})
		}
	}
}

type countingKey struct {
	Signer
	n atomic.Int64
}

func (k *countingKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.n.Add(1)
	return k.Signer.Sign(r, digest, opts)
}

func burn(message []byte) {
	for range 50 {
		_, _ = countersign.NewTreeLeaf(countersign.DomainRequest, message)
	}
}
