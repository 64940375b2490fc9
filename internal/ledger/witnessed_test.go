package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/witness"
)

// body is an organisation that runs one witness.
type body struct {
	*witness.Witness
	server *httptest.Server
	// before, where set, is run before each request is handled; what it returns, if not nil, handles it instead.
	before atomic.Pointer[func() http.Handler]
	// off is how far its clock stands from the member's, in nanoseconds.
	off   atomic.Int64
	clock clock.Clock
}

// Now implements clock.Clock: the organisation's own.
func (b *body) Now() time.Time { return b.clock.Now().Add(time.Duration(b.off.Load())) }

func (b *body) behave(f func() http.Handler) { b.before.Store(&f) }

// witnesses starts n witnesses of n organisations that know the member's log.
func witnesses(t *testing.T, m *member, n int) (bodies []*body, policy []byte) {
	t.Helper()
	vkey := vkeyOf(t, m.key)
	var text strings.Builder
	fmt.Fprintf(&text, "log %s\n", vkey)
	names := ""
	for i := range n {
		key, err := keys.Generate(countersign.AlgorithmEd25519)
		if err != nil {
			t.Fatal(err)
		}
		b := &body{clock: m.clock}
		w, err := witness.Open(witness.Config{Name: fmt.Sprintf("witness%d.example/w", i), Key: key, Dir: t.TempDir(), Clock: b,
			Logs: func(o countersign.LogOrigin) (witness.KnownLog, bool) {
				return witness.KnownLog{Origin: origin, VKeys: []string{vkey}}, o == origin
			}})
		if err != nil {
			t.Fatal(err)
		}
		b.Witness = w
		h := w.Handler()
		b.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if f := b.before.Load(); f != nil {
				if other := (*f)(); other != nil {
					other.ServeHTTP(rw, r)
					return
				}
			}
			h.ServeHTTP(rw, r)
		}))
		t.Cleanup(func() {
			b.server.CloseClientConnections()
			b.server.Close()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
		bodies = append(bodies, b)
		fmt.Fprintf(&text, "witness w%d %s %s\ngroup org%d 1 w%d\n", i, w.VerifierKey(), b.server.URL, i, i)
		names += fmt.Sprintf(" org%d", i)
	}
	fmt.Fprintf(&text, "group quorum-group %d%s\nquorum quorum-group\n", n/2+1, names)
	return bodies, []byte(text.String())
}

func vkeyOf(t testing.TB, key keys.Signer) string {
	t.Helper()
	m := &member{key: key}
	vkey, err := ledger.VerifierKey(origin, public(t, m.key))
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (m *member) append(t *testing.T) (*ledger.Placed, ledger.Entry) {
	t.Helper()
	e := m.entry(countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"})
	p, err := m.log.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return p, e
}

func TestReceiptWithProofVerifiesOffline(t *testing.T) {
	m := begin(t)
	_, m.cfg.Policy = witnesses(t, m, 3)
	l := m.open()
	policy, err := countersign.ParsePolicy(m.cfg.Policy)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		for range i * 130 {
			m.append(t)
		}
		p, e := m.append(t)
		if _, err := l.Proof(t.Context(), p.Index); countersign.CodeOf(err) != countersign.CodeNoQuorum {
			t.Fatalf("a proof before any witness saw the leaf: %v", err)
		}
		if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
			t.Fatal(err)
		}
		r := p.Receipt(e.Record.Statement, e.Record.Salt[:])
		if r.Proof, err = l.Proof(t.Context(), p.Index); err != nil {
			t.Fatal(err)
		}
		f, err := policy.Verify(r)
		if err != nil || !f.Cosigned {
			t.Fatalf("receipt of leaf %d: %+v, %v", p.Index, f, err)
		}
		// Leaf 0 is proved by the same checkpoint.
		first, err := l.Proof(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := l.Leaf(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.VerifyProof(first, origin, 0, countersign.LeafHash(stored.LeafBytes)); err != nil {
			t.Fatal(err)
		}
		if _, err := policy.VerifyProof(first, origin, 1, countersign.LeafHash(stored.LeafBytes)); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Fatalf("a proof for another index: %v", err)
		}
	}
	if s := l.Staleness(); s != 0 {
		t.Fatalf("stale by %s though all is cosigned", s)
	}
}

// hang answers when the test ends, or the client leaves.
func hang(t *testing.T) func() http.Handler {
	return func() http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the server sees a client leave once the body is read
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
		})
	}
}

func answer(status int, text string) func() http.Handler {
	return func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		})
	}
}

func TestOneBadWitnessOfThreeBlocksNothing(t *testing.T) {
	for name, bad := range map[string]func() http.Handler{
		"hangs":             hang(t),
		"fails":             answer(500, "no"),
		"answers nothing":   answer(200, ""),
		"answers garbage":   answer(200, "— witness0.example/w AAAAAAAAAAAAAAAAAAAAAAAA\n"),
		"lies about size":   answer(409, "999999999\n"),
		"lies without size": answer(409, "many\n"),
		"says inconsistent": answer(422, "no"),
		"redirects":         func() http.Handler { return http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect) },
		"answers for ever":  endless,
		"closes connections": func() http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := begin(t)
			bodies, policy := witnesses(t, m, 3)
			bodies[0].behave(bad)
			m.cfg.Policy = policy
			l := m.open()
			for range 3 {
				p, _ := m.append(t)
				if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Healthy(); err != nil {
				t.Fatalf("the word of one witness stopped the log: %v", err)
			}
		})
	}
}

func endless() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat("a", 1<<10))); err != nil {
				return
			}
		}
	})
}

// Attackers take witnesses down: what needs a quorum is not released, what does not goes on, and the staleness shows.
func TestWithoutAQuorumNothingThatNeedsOneIsReleased(t *testing.T) {
	m := begin(t)
	bodies, policy := witnesses(t, m, 3)
	bodies[0].behave(hang(t))
	bodies[1].behave(answer(503, "down"))
	m.cfg.Policy = policy
	l := m.open()
	p, _ := m.append(t)
	if err := l.WaitCosigned(within(t, 300*time.Millisecond), p.Index); countersign.CodeOf(err) != countersign.CodeNoQuorum {
		t.Fatalf("one witness of three made a quorum: %v", err)
	}
	if _, err := l.Proof(t.Context(), p.Index); countersign.CodeOf(err) != countersign.CodeNoQuorum {
		t.Fatalf("a proof without a quorum: %v", err)
	}
	m.append(t)
	m.clock.Add(2 * time.Minute)
	l.Tick(t.Context())
	if s := l.Staleness(); s < time.Minute {
		t.Fatalf("stale by %s only", s)
	}
	none := func() http.Handler { return nil }
	bodies[1].behave(none)
	if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
		t.Fatalf("the witness is back: %v", err)
	}
	// A log without a policy has no quorum, ever.
	other := begin(t)
	alone := other.open()
	q, _ := other.append(t)
	if err := alone.WaitCosigned(t.Context(), q.Index); countersign.CodeOf(err) != countersign.CodeNoQuorum {
		t.Fatalf("no witnesses, yet cosigned: %v", err)
	}
}

// Two witnesses under one organisation count once.
func TestWitnessesOfOneOrganisationCountOnce(t *testing.T) {
	m := begin(t)
	bodies, _ := witnesses(t, m, 3)
	var text strings.Builder
	for i, b := range bodies {
		fmt.Fprintf(&text, "witness w%d %s %s\n", i, b.VerifierKey(), b.server.URL)
	}
	text.WriteString("group a 1 w0 w1\ngroup b 1 w2\ngroup two 2 a b\nquorum two\n")
	bodies[2].behave(answer(503, "down"))
	m.cfg.Policy = []byte(text.String())
	l := m.open()
	p, _ := m.append(t)
	if err := l.WaitCosigned(within(t, 300*time.Millisecond), p.Index); countersign.CodeOf(err) != countersign.CodeNoQuorum {
		t.Fatalf("one organisation made a quorum of two: %v", err)
	}
}

// A store that was restored from an older copy learns from a witness that it is behind, on our own signature, and stops.
func TestARestoredStoreIsStoppedByItsWitnesses(t *testing.T) {
	m := begin(t)
	_, m.cfg.Policy = witnesses(t, m, 3)
	m.open()
	m.append(t)
	m.shut()
	old := snapshot(t, m.dir)

	l := m.open()
	for range 5 {
		p, _ := m.append(t)
		if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
			t.Fatal(err)
		}
	}
	m.shut()
	restore(t, m.dir, old)
	l = m.open()
	l.Tick(t.Context())
	eventually(t, func() bool { return l.Healthy() != nil })
	_, err := l.Append(t.Context(), m.entry(countersign.SubjectID{}))
	if countersign.CodeOf(err) != countersign.CodeMaintenance {
		t.Fatalf("the log goes on after a rollback: %v", err)
	}
	if err := l.Reserve(t.Context(), ledger.Reservation{Exchange: countersign.NewExchangeID(m.clock.Now()), Consumer: consumer, Until: m.clock.Now().Add(time.Minute)}); countersign.CodeOf(err) != countersign.CodeMaintenance {
		t.Fatalf("the log reserves after a rollback: %v", err)
	}
}

// The same, where the restored log has meanwhile grown beyond what the witness holds: a fork.
func TestAForkIsStoppedByItsWitnesses(t *testing.T) {
	m := begin(t)
	bodies, policy := witnesses(t, m, 3)
	m.cfg.Policy = policy
	m.open()
	m.append(t)
	m.shut()
	old := snapshot(t, m.dir)
	l := m.open()
	p, _ := m.append(t)
	if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
		t.Fatal(err)
	}
	m.shut()
	restore(t, m.dir, old)
	for _, b := range bodies {
		b.behave(answer(503, "down"))
	}
	l = m.open()
	for range 9 {
		m.append(t)
	}
	l.Tick(t.Context())
	for _, b := range bodies {
		b.behave(func() http.Handler { return nil })
	}
	eventually(t, func() bool { return l.Healthy() != nil })
	if evidence, err := m.store.LatestCheckpoint(t.Context(), ledger.CheckpointEvidence); err != nil || len(evidence.Note) == 0 {
		eventually(t, func() bool {
			_, err := m.store.LatestCheckpoint(t.Context(), ledger.CheckpointEvidence)
			return err == nil
		})
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatal("it did not come to pass within 30 s")
		case <-tick.C:
		}
	}
}

func TestSealedSlotsLookAlike(t *testing.T) {
	m := begin(t)
	l := m.open()
	var wg sync.WaitGroup
	e := m.entry(countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"})
	var placed *ledger.Placed
	var err error
	l.Tick(t.Context()) // an empty slot
	l.Tick(t.Context()) // nothing more in the same minute
	started := make(chan struct{})
	wg.Go(func() {
		close(started)
		placed, err = l.AppendSealed(t.Context(), e)
	})
	<-started
	eventually(t, func() bool {
		m.clock.Add(time.Minute)
		l.Tick(t.Context())
		all, err := l.List(t.Context(), ledger.Page{})
		return err == nil && all[0].Record != nil
	})
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.List(t.Context(), ledger.Page{})
	if err != nil {
		t.Fatal(err)
	}
	slots := all[:len(all)-1] // without the inception
	if len(slots) < 2 {
		t.Fatalf("%d slots", len(slots))
	}
	for _, s := range slots {
		same := *s.Leaf
		same.Commitment = slots[0].Leaf.Commitment
		if s.Leaf.Kind != countersign.LeafSealed || len(s.LeafBytes) != len(slots[0].LeafBytes) || same != *slots[0].Leaf || (s.Index == placed.Index) != (s.Record != nil) {
			t.Fatalf("slots differ in more than their commitment: %+v and %+v", s.Leaf, slots[0].Leaf)
		}
	}
	m.shut()
	l = m.open()
	waiting := make(chan error, 1)
	go func() {
		_, err := l.AppendSealed(context.Background(), e)
		waiting <- err
	}()
	// Whether it waits already or comes too late, it is told.
	m.shut()
	if err := <-waiting; !errors.Is(err, countersign.CodeMaintenance) {
		t.Fatalf("a sealed record of a log that stops: %v", err)
	}
}
