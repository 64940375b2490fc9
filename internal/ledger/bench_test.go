package ledger_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/ledger"
)

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writers runs f b.N times on that many goroutines and reports the process's CPU time of one call.
func writers(b *testing.B, n int, f func() error) {
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func openReal(b *testing.B) (*member, *ledger.Log) {
	m := begin(b)
	cfg := m.config()
	cfg.Clock = clock.System{}
	cfg.Tick = time.Second
	l, err := ledger.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	m.log = l
	m.clock.Set(time.Now())
	return m, l
}

func subject(i int64) countersign.SubjectID {
	return countersign.SubjectID{Scheme: "pin", Value: fmt.Sprintf("P%08d", i%10_000)}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			m, l := openReal(b)
			var count atomic.Int64
			writers(b, n, func() error {
				e := m.entry(subject(count.Add(7919)))
				e.Tag = l.TagOf(subject(count.Load()))
				_, err := l.Append(b.Context(), e)
				return err
			})
		})
	}
}

// A provider's two durable steps of one exchange.
func BenchmarkProvider(b *testing.B) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			m, l := openReal(b)
			key := l.BudgetKeyOf("programme", "bench")
			var count atomic.Int64
			writers(b, n, func() error {
				e := m.entry(subject(count.Add(7919)))
				e.Tag = l.TagOf(subject(count.Load()))
				if err := l.Reserve(b.Context(), ledger.Reservation{Exchange: e.Exchange, Consumer: consumer, Until: m.clock.Now().Add(5 * time.Minute),
					Budgets: []ledger.Budget{{Key: key, Window: time.Hour, Limit: 1 << 30}}}); err != nil {
					return err
				}
				_, err := l.Append(b.Context(), e)
				return err
			})
		})
	}
}

// A consumer's two durable steps of one exchange.
func BenchmarkConsumer(b *testing.B) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			m, l := openReal(b)
			var count atomic.Int64
			body := make([]byte, 600)
			writers(b, n, func() error {
				e := m.entry(subject(count.Add(7919)))
				e.Tag = l.TagOf(subject(count.Load()))
				e.CloseIntent = true
				if _, err := l.Intend(b.Context(), ledger.Intent{Exchange: e.Exchange, Body: body}); err != nil {
					return err
				}
				_, err := l.Append(b.Context(), e)
				return err
			})
		})
	}
}
