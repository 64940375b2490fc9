package ledger_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// broken fails the steps in which a log's checkpoints and settings reach its store, before they are stored or after.
type broken struct {
	ledger.Store
	strikes func() (before, after bool)
}

func (b *broken) PutCheckpoint(ctx context.Context, c ledger.CheckpointRow) error {
	return b.around(func() error { return b.Store.PutCheckpoint(ctx, c) })
}

func (b *broken) SetMeta(ctx context.Context, values map[string][]byte) error {
	return b.around(func() error { return b.Store.SetMeta(ctx, values) })
}

func (b *broken) Commit(ctx context.Context, batch *ledger.Batch) error {
	return b.around(func() error { return b.Store.Commit(ctx, batch) })
}

func (b *broken) Sync(ctx context.Context) error {
	return b.around(func() error { return b.Store.Sync(ctx) })
}

func (b *broken) around(do func() error) error {
	before, after := b.strikes()
	if before {
		return errDisk
	}
	if err := do(); err != nil {
		return err
	}
	if after {
		return errDisk
	}
	return nil
}

// lossy loses what goes to witnesses, what comes back, or the end of it.
type lossy struct{ turn atomic.Int64 }

var errWire = errors.New("connection reset by peer")

// RoundTrip implements http.RoundTripper.
func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	turn := l.turn.Add(1) % 13
	if turn == 1 {
		return nil, errWire // it never arrives
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch turn {
	case 5: // the witness has cosigned, and nobody hears of it
		_ = res.Body.Close()
		return nil, errWire
	case 9: // the answer is cut off
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		res.Body = io.NopCloser(io.MultiReader(strings.NewReader(string(text[:len(text)/2])), failing{}))
		return res, err
	}
	return res, nil
}

type failing struct{}

// Read implements io.Reader.
func (failing) Read([]byte) (int, error) { return 0, errWire }

// Whatever fails on the way of a record to its cosignature (the commit, the keeping of a checkpoint before or after it is stored, a submission that
// is lost, its answer that is lost or cut off), the log goes on by itself, its witnesses see one history, and nothing that was acknowledged is lost,
// through restarts.
func TestFaultsAtEachStepToACosignature(t *testing.T) {
	m := begin(t)
	var n atomic.Int64
	m.wrap = func(s ledger.Store) ledger.Store {
		return &broken{s, func() (bool, bool) { k := n.Add(1) % 7; return k == 3, k == 5 }}
	}
	wire := &lossy{}
	bodies, policy := witnesses(t, m, 3)
	m.cfg.Policy, m.cfg.Confirm, m.cfg.Client = policy, true, &http.Client{Transport: wire}
	acknowledged := map[uint64]countersign.ExchangeID{}
	refused := 0
	for round := range 4 {
		l := m.open()
		var newest uint64
		for range 40 {
			e := m.entry(countersign.SubjectID{})
			p, err := l.Append(t.Context(), e)
			if err != nil {
				if countersign.CodeOf(err) != countersign.CodeStore {
					t.Fatal(err)
				}
				refused++
				continue
			}
			if _, twice := acknowledged[p.Index]; twice {
				t.Fatalf("index %d was promised twice", p.Index)
			}
			acknowledged[p.Index], newest = e.Exchange, p.Index
		}
		ctx := within(t, 60*time.Second)
		for l.WaitCosigned(soon(ctx), newest) != nil {
			if ctx.Err() != nil {
				t.Fatalf("round %d: leaf %d is never cosigned", round, newest)
			}
			m.clock.Add(time.Second)
			l.Tick(ctx)
		}
		if l.Healthy() != nil {
			t.Fatal(l.Healthy())
		}
		m.shut()
	}
	if refused == 0 || wire.turn.Load() < 20 {
		t.Fatalf("%d records refused, %d submissions: the faults did not strike", refused, wire.turn.Load())
	}
	m.wrap = nil
	l := m.open()
	for index, x := range acknowledged {
		if s, err := l.Leaf(t.Context(), index); err != nil || s.Exchange != x {
			t.Fatalf("leaf %d was acknowledged and is another one, or gone: %v", index, err)
		}
	}
	var held []ledger.Held
	for _, b := range bodies {
		text, _, _, err := b.Latest(origin)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, ledger.Held{By: "a witness", Note: text})
	}
	r, err := ledger.Check(t.Context(), ledger.CheckConfig{Store: m.store, Origin: origin, VKey: vkeyOf(t, m.key), MonthKeys: m.dir, Held: held})
	if err != nil || r.Broken() || len(r.Problems) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func soon(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// diskChild is the mode of a child process whose disk is full.
const diskChild = "COUNTERSIGN_TEST_FULL_DISK"

// fullDisk appends, lets the disk be full and then not writable at all, and appends again: by itself, without a restart.
func fullDisk(dir string) error {
	signal.Ignore(syscall.SIGXFSZ) // writes beyond the limit fail instead
	l, m, err := openChild(dir)
	if err != nil {
		return err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	limit := func(bytes uint64) error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: before.Max})
	}
	ctx := context.Background()
	appended := func() error {
		e := m.entry(countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"})
		p, err := l.Append(ctx, e)
		if err == nil {
			tellLine("append %d %s", p.Index, e.Exchange)
		}
		return err
	}
	for range 50 {
		if err := appended(); err != nil {
			return err
		}
	}
	info, err := os.Stat(dir + "/log.db-wal")
	if err != nil {
		return err
	}
	for name, size := range map[string]uint64{"full": uint64(info.Size()) + 20_000, "read-only": 0} {
		if err := limit(size); err != nil {
			return err
		}
		failed := 0
		for range 200 {
			err := appended()
			if err != nil && countersign.CodeOf(err) != countersign.CodeStore {
				return err
			}
			if err != nil {
				failed++
			}
		}
		if failed == 0 || l.Healthy() != nil {
			return errors.New("the disk is " + name + " and nothing fails, or the log is suspended")
		}
		if err := limit(before.Cur); err != nil {
			return err
		}
		if err := appended(); err != nil {
			return err
		}
		tellLine("resumed %s %d", name, failed)
	}
	return l.Close()
}

// A full disk, and one that takes no write at all, refuse records with the store's code; the log resumes alone, and what was acknowledged is there.
func TestFullAndReadOnlyDisk(t *testing.T) {
	m := begin(t)
	told := runChild(t, m, diskChild)
	resumed := 0
	for _, line := range told {
		if strings.HasPrefix(line, "resumed ") {
			resumed++
		}
	}
	if resumed != 2 {
		t.Fatalf("the log resumed %d times of 2: %q", resumed, told)
	}
	l := m.open()
	checkAppended(t, l, told)
	l.Tick(t.Context())
	if r := check(t, m, false); r.Broken() || len(r.Problems) > 0 {
		t.Fatalf("%+v", r)
	}
}
