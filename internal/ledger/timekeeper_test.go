package ledger_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// settle ticks until the log says what is due of its clock, and no longer than a while.
func settle(t *testing.T, m *member, l *ledger.Log, wrong bool) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for (l.Healthy() != nil) != wrong {
		if ctx.Err() != nil {
			t.Fatalf("the log says %v, and wrong is %v", l.Healthy(), wrong)
		}
		m.clock.Add(5 * time.Second)
		l.Tick(ctx)
		if _, err := l.Append(ctx, m.entry(countersign.SubjectID{})); err == nil {
			l.Tick(ctx) // a checkpoint, and with it a reading
		}
		wait(ctx, 5*time.Millisecond)
	}
}

func wait(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// cosign has the log's newest leaf cosigned by the whole of a few witnesses' quorum.
func (m *member) cosign(t *testing.T, l *ledger.Log) {
	t.Helper()
	p, _ := m.append(t)
	l.Tick(t.Context())
	if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
		t.Fatal(err)
	}
}

// A clock that stands outside the tolerance of its witnesses' time takes no record, at the start and later, and goes on once it is right.
func TestAWrongClockTakesNoRecords(t *testing.T) {
	for name, off := range map[string]time.Duration{"behind": 20 * time.Second, "ahead of": -20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			m := begin(t)
			bodies, policy := witnesses(t, m, 3)
			m.cfg.Policy, m.cfg.Confirm = policy, true
			l := m.open()
			m.cosign(t, l)
			for _, b := range bodies {
				b.off.Store(int64(off))
			}
			settle(t, m, l, true)
			_, err := l.Append(t.Context(), m.entry(countersign.SubjectID{}))
			if !errors.Is(err, countersign.CodeMaintenance) || !strings.Contains(err.Error(), "clock is") || !strings.Contains(err.Error(), name) {
				t.Fatalf("a clock that is %s the witnesses' time: %v", name, err)
			}
			if err := l.Reserve(t.Context(), ledger.Reservation{Exchange: countersign.NewExchangeID(m.clock.Now()), Until: m.clock.Now().Add(time.Hour)}); !errors.Is(err, countersign.CodeMaintenance) {
				t.Fatalf("a question is taken: %v", err)
			}
			m.shut()
			l = m.open()
			if !errors.Is(l.Healthy(), countersign.CodeMaintenance) {
				t.Fatalf("it starts on a wrong clock: %v", l.Healthy())
			}
			for _, b := range bodies {
				b.off.Store(0)
			}
			settle(t, m, l, false)
			m.cosign(t, l)
		})
	}
}

// A new log, which no witness has cosigned yet, finds out before its first record too.
func TestAWrongClockIsFoundOutAtTheFirstStart(t *testing.T) {
	m := begin(t)
	bodies, policy := witnesses(t, m, 3)
	m.cfg.Policy, m.cfg.Confirm = policy, true
	for _, b := range bodies {
		b.off.Store(int64(time.Minute))
	}
	if l := m.open(); !errors.Is(l.Healthy(), countersign.CodeMaintenance) {
		t.Fatalf("a log begins on a wrong clock: %v", l.Healthy())
	}
}

// Witnesses that are no quorum decide nothing about the clock: one that lies, two that disagree, one that keeps the others' time to the tolerance.
func TestTheClockIsJudgedByAQuorum(t *testing.T) {
	for name, off := range map[string][3]time.Duration{
		"one lies":                   {time.Hour, 0, 0},
		"two contradict each other":  {time.Hour, -time.Hour, 0},
		"all within the tolerance":   {4 * time.Second, 4 * time.Second, 4 * time.Second},
		"one lies and one is little": {-time.Hour, -4 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := begin(t)
			bodies, policy := witnesses(t, m, 3)
			m.cfg.Policy, m.cfg.Confirm = policy, true
			l := m.open()
			for i, b := range bodies {
				b.off.Store(int64(off[i]))
			}
			for range 5 {
				m.cosign(t, l)
			}
			m.shut()
			if l = m.open(); l.Healthy() != nil {
				t.Fatalf("the log stops: %v", l.Healthy())
			}
			m.cosign(t, l)
		})
	}
}
