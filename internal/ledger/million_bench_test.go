package ledger_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/ledger"
)

// million is how many records the figures of docs/design/ledger.md are about; a tenth with -short.
var million = uint64(1_000_000)

// The people of the million: one who has been asked about 50 times, one who has half of all records, and everybody else once.
var (
	seldom = countersign.SubjectTag{1, 's'}
	often  = countersign.SubjectTag{1, 'o'}
)

// recordsOf makes rows as an exchange leaves them behind: with leaves of their own, a record of the usual size, and both indexes.
func recordsOf(m *member, expires ledger.Month) func(index uint64) *ledger.EntryRow {
	at := m.clock.Now()
	l := *m.entry(alma).Leaf
	sealed := make([]byte, usualRecord)
	return func(index uint64) *ledger.EntryRow {
		binary.BigEndian.PutUint64(l.Commitment[:], index)
		r := &ledger.EntryRow{Leaf: l.Encode(), At: countersign.MillisOf(at.Add(time.Duration(index))), Record: sealed, Expires: expires}
		r.Exchange = countersign.NewExchangeID(at)
		switch {
		case index%(million/50) == 1:
			r.Tag = seldom
		case index%2 == 0:
			r.Tag = often
		default: // spread over the index as tags are
			binary.BigEndian.PutUint64(r.Tag[1:], index*0x9e3779b97f4a7c15)
			r.Tag[0] = 1
		}
		return r
	}
}

// usualRecord is about the size of a sealed record; see BenchmarkBytesOfAnExchange.
const usualRecord = 900

// quantiles reports times as p50, p99 and the longest.
func quantiles(b *testing.B, took []time.Duration, name string) map[string]float64 {
	b.Helper()
	if len(took) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	return map[string]float64{"p50-ms-" + name: at(0.50), "p99-ms-" + name: at(0.99), "max-ms-" + name: at(1)}
}

func report(b *testing.B, figures map[string]float64) {
	b.Helper()
	for unit, n := range figures {
		b.ReportMetric(n, unit)
	}
}

// BenchmarkDurable is the time from an append until it is durable and promised, and how many there are in a second.
func BenchmarkDurable(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			m, l := openReal(b)
			l.SetRecordLife(0)
			var mu sync.Mutex
			var all []time.Duration
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range n {
				wg.Go(func() {
					var mine []time.Duration
					for left.Add(-1) >= 0 {
						e := m.entry(alma)
						e.Tag = l.TagOf(alma)
						started := time.Now()
						if _, err := l.Append(context.Background(), e); err != nil {
							b.Error(err)
							return
						}
						mine = append(mine, time.Since(started))
					}
					mu.Lock()
					all = append(all, mine...)
					mu.Unlock()
				})
			}
			wg.Wait()
			b.StopTimer()
			report(b, quantiles(b, all, "durable"))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
		})
	}
}

// BenchmarkDurableAtRest is the same for a log that has nothing else to do: one append every 20 ms.
func BenchmarkDurableAtRest(b *testing.B) {
	m, l := openReal(b)
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	var all []time.Duration
	for b.Loop() {
		<-every.C
		e := m.entry(alma)
		started := time.Now()
		if _, err := l.Append(context.Background(), e); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(started))
	}
	report(b, quantiles(b, all, "durable"))
}

// BenchmarkMillion are the figures of a log of a million records: opening it, a person's history in it, proofs, and the end of all of them.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		million = 100_000
	}
	m := begin(b)
	month := m.month()
	started := time.Now()
	fill(b, m, million, recordsOf(m, month))
	b.Logf("filled in %s", time.Since(started).Round(time.Millisecond))
	policy := witnessOn(b, m)
	l := m.open()
	l.Tick(b.Context())
	for deadline := time.Now().Add(30 * time.Second); l.CosignedCheckpoint() == nil && time.Now().Before(deadline); {
		l.Tick(b.Context())
	}
	m.shut()
	if info, err := os.Stat(filepath.Join(m.dir, "log.db")); err == nil {
		b.Logf("%d bytes a record", uint64(info.Size())/million)
	}

	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			m.connect(false)
			m.open()
			m.shut()
		}
	})
	m.connect(false)
	l = m.open()
	for _, c := range []struct {
		name string
		tags []countersign.SubjectTag
		page ledger.Page
	}{
		{"history/of-50", []countersign.SubjectTag{seldom}, ledger.Page{Limit: 200}},
		{"history/of-50-over-two-epochs", []countersign.SubjectTag{seldom, {2, 's'}}, ledger.Page{Limit: 200}},
		{"history/of-500000", []countersign.SubjectTag{often}, ledger.Page{Limit: 200}},
		{"history/of-500000-over-two-epochs", []countersign.SubjectTag{often, {2, 'o'}}, ledger.Page{Limit: 200}},
		{"history/of-500000-in-the-middle", []countersign.SubjectTag{often, {2, 'o'}}, ledger.Page{Before: million / 2, Limit: 200}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				rows, err := m.store.EntriesTagged(b.Context(), c.tags, c.page.Before-1, c.page.Limit)
				if err != nil || len(rows) < 50 {
					b.Fatal(len(rows), err)
				}
			}
		})
	}
	b.Run("prove", func(b *testing.B) {
		i := uint64(0)
		for b.Loop() {
			i = (i + 7919*101) % million
			if _, err := l.Proof(b.Context(), i); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check", func(b *testing.B) { checkProofs(b, l, policy) })
	var figures map[string]float64
	b.Run("sweep", func(b *testing.B) {
		if figures == nil { // the million ends once, however often it is asked for
			figures = sweep(b, m, month)
		}
		report(b, figures)
	})
}

// checkProofs verifies a receipt with its proof, as anybody does offline.
func checkProofs(b *testing.B, l *ledger.Log, policy *countersign.Policy) {
	b.Helper()
	s, err := l.Leaf(b.Context(), million-1)
	if err != nil {
		b.Fatal(err)
	}
	placed, err := l.Promise(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	receipt := placed.Receipt(nil, nil)
	if receipt.Proof, err = l.Proof(b.Context(), s.Index); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if f, err := policy.Verify(receipt); err != nil || !f.Cosigned {
			b.Fatal(err)
		}
	}
}

// sweep destroys the million while exchanges go on, and holds their times against those without.
func sweep(b *testing.B, m *member, month ledger.Month) map[string]float64 {
	b.Helper()
	m.shut()
	m.connect(false)
	cfg := m.config()
	cfg.Policy, cfg.Clock, cfg.Tick = nil, &ahead{by: time.Until(month.End().Add(time.Hour))}, time.Second
	l, err := ledger.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	m.log = l
	m.clock.Add(month.End().Add(time.Hour).Sub(m.clock.Now()))
	alone := exchanges(b, m, l, func(begun time.Time) bool { return time.Since(begun) < 10*time.Second })
	var done atomic.Bool
	var took time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		begun := time.Now()
		if err := l.Expire(context.Background()); err != nil {
			b.Error(err)
		}
		took = time.Since(begun)
	})
	during := exchanges(b, m, l, func(time.Time) bool { return !done.Load() })
	wg.Wait()
	figures := quantiles(b, alone, "alone")
	maps.Copy(figures, quantiles(b, during, "during"))
	figures["s-sweep"] = took.Seconds()
	months, err := l.Destructions(b.Context())
	if err != nil || len(months) == 0 || months[0].Records < million-1 {
		b.Fatalf("%+v, %v", months, err)
	}
	return figures
}

// exchanges has 16 parties take a provider's two durable steps, 100 times a second together, for as long as on says.
func exchanges(b *testing.B, m *member, l *ledger.Log, on func(begun time.Time) bool) (all []time.Duration) {
	b.Helper()
	begun := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			every := time.NewTicker(160 * time.Millisecond)
			defer every.Stop()
			for on(begun) {
				<-every.C
				e := m.entry(alma)
				e.Tag = l.TagOf(alma)
				started := time.Now()
				err := l.Reserve(context.Background(), ledger.Reservation{Exchange: e.Exchange, Consumer: consumer, Until: m.clock.Now().Add(time.Hour)})
				if err == nil {
					_, err = l.Append(context.Background(), e)
				}
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				all = append(all, time.Since(started))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

// ahead is the machine's clock, and a while.
type ahead struct{ by time.Duration }

func (a *ahead) Now() time.Time { return clock.System{}.Now().Add(a.by) }

// BenchmarkBytesOfAnExchange is what one exchange adds to a provider's store, reservation and tiles included, and how large its sealed record is.
func BenchmarkBytesOfAnExchange(b *testing.B) {
	m, l := openReal(b)
	var last uint64
	n := 0
	for b.Loop() {
		e := m.entry(subject(int64(n) * 7919))
		e.Tag = l.TagOf(subject(int64(n) * 7919))
		if err := l.Reserve(b.Context(), ledger.Reservation{Exchange: e.Exchange, Consumer: consumer, Until: m.clock.Now().Add(time.Hour)}); err != nil {
			b.Fatal(err)
		}
		p, err := l.Append(b.Context(), e)
		if err != nil {
			b.Fatal(err)
		}
		last, n = p.Index, n+1
	}
	row, err := m.store.Entry(b.Context(), last)
	if err != nil {
		b.Fatal(err)
	}
	m.shut()
	info, err := os.Stat(filepath.Join(m.dir, "log.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(n), "B-store/op")
	b.ReportMetric(float64(len(row.Record)), "B-record")
	b.ReportMetric(float64(len(row.Leaf)), "B-leaf")
}
