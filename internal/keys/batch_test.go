package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign.dev/countersign"
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

func batch(t testing.TB, key Signer) *BatchSigner {
	t.Helper()
	b, err := NewBatchSigner(key)
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
	b := batch(t, key)
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
		b := batch(t, key)
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
	b := batch(t, key)
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
		b := batch(t, key)
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
		b := batch(t, key)
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
		if b.running || len(b.queue) != 0 {
			t.Errorf("left behind: %v %d", b.running, len(b.queue))
		}
	})
}

func TestOneGroupsFailureIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSlowKey(t)
		key.broken = errors.New("session lost")
		b := batch(t, key)
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
		b = batch(t, key)
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

// Closing lets those who wait have their signatures, and nobody else.
func TestClosingSignsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSlowKey(t)
		b := batch(t, key)
		var group sync.WaitGroup
		for i := range 3 {
			group.Go(func() {
				message := fmt.Append(nil, i)
				wire, err := b.Sign(t.Context(), countersign.DomainRequest, message)
				if err != nil {
					t.Error(err)
					return
				}
				checkWire(t, key, countersign.DomainRequest, message, wire, 0)
			})
		}
		synctest.Wait() // one group is being signed
		closed := make(chan error, 1)
		go func() { closed <- b.Close(t.Context()) }()
		synctest.Wait()
		if _, err := b.Sign(t.Context(), countersign.DomainRequest, nil); countersign.CodeOf(err) != countersign.CodeMaintenance {
			t.Errorf("while closing: %v", err)
		}
		select {
		case err := <-closed:
			t.Errorf("closed before the last signature: %v", err)
		default:
		}
		close(key.let)
		group.Wait()
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

func TestSignGroup(t *testing.T) {
	for _, kind := range []countersign.SignatureAlgorithm{countersign.AlgorithmEd25519, countersign.AlgorithmP256} {
		t.Run(string(kind), func(t *testing.T) {
			key := &countingKey{Signer: generate(t, kind)}
			b := batch(t, key)
			for _, n := range []int{1, 2, 3, MaxGroup} {
				items := make([]Item, n)
				for i := range items {
					items[i] = Item{[]countersign.SignatureDomain{countersign.DomainReceipt, countersign.DomainResponse}[i%2], fmt.Append(nil, n, " ", i)}
				}
				before := key.n.Load()
				wires, err := b.SignGroup(items)
				if err != nil {
					t.Fatal(err)
				}
				if made := key.n.Load() - before; made != 1 || len(wires) != n {
					t.Fatalf("%d signatures of the key and %d wire forms for %d messages", made, len(wires), n)
				}
				for i, item := range items {
					checkWire(t, key, item.Domain, item.Message, wires[i], n)
				}
				if n == 1 {
					continue
				}
				if err := countersign.VerifyTree(key.Public(), items[0].Domain, items[0].Message, wires[1], nil); err == nil {
					t.Error("one message's signature holds for another")
				}
				if err := countersign.VerifyTree(key.Public(), items[1].Domain, items[0].Message, wires[0], nil); err == nil {
					t.Error("a signature holds in another domain")
				}
			}
		})
	}
}

func TestSignGroupRefuses(t *testing.T) {
	key := newSlowKey(t)
	close(key.let)
	b := batch(t, key)
	for _, n := range []int{0, MaxGroup + 1} {
		if _, err := b.SignGroup(make([]Item, n)); countersign.CodeOf(err) != countersign.CodeInternal {
			t.Errorf("%d messages: %v", n, err)
		}
	}
	if _, err := b.SignGroup([]Item{{countersign.DomainReceipt, nil}, {"", nil}}); err == nil {
		t.Error("no domain")
	}
	if n := key.count.Load(); n != 0 {
		t.Errorf("the key signed %d times for messages that were refused", n)
	}
	key.broken = errors.New("session lost")
	if wires, err := b.SignGroup([]Item{{countersign.DomainReceipt, []byte("promise")}}); !errors.Is(err, key.broken) || wires != nil {
		t.Errorf("a key that fails: %d signatures, %v", len(wires), err)
	}
}

// A group of its own does not wait for those that gather, nor they for it: it is signed on the caller's time.
func TestSignGroupWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSlowKey(t)
		b := batch(t, key)
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := b.Sign(t.Context(), countersign.DomainRequest, []byte("slow")); err != nil {
				t.Error(err)
			}
		})
		<-key.begun
		group.Go(func() {
			wires, err := b.SignGroup([]Item{{countersign.DomainReceipt, []byte("promise")}})
			if err != nil {
				t.Error(err)
				return
			}
			checkWire(t, key, countersign.DomainReceipt, []byte("promise"), wires[0], 1)
		})
		<-key.begun // although the first is not signed
		close(key.let)
		group.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	key := generate(t, countersign.AlgorithmEd25519)
	b := batch(t, key)
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

func TestBatchSignerChecksItsKey(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBatchSigner(otherKey{generate(t, countersign.AlgorithmEd25519), other.Public()}); countersign.CodeOf(err) != countersign.CodeSignature {
		t.Errorf("P-384: %v", err)
	}
}

// otherKey has a public key of another kind.
type otherKey struct {
	Signer
	public crypto.PublicKey
}

func (k otherKey) Public() crypto.PublicKey { return k.public }

func BenchmarkBatchSigner(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			key := &countingKey{Signer: generate(b, countersign.AlgorithmEd25519)}
			signer := batch(b, key)
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
