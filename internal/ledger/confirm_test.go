package ledger_test

import (
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// A log that asks its witnesses at the start learns that its store is older before it has taken a single record, or signed a checkpoint.
func TestAnOlderStoreIsFoundOutBeforeItsFirstRecord(t *testing.T) {
	m := begin(t)
	_, m.cfg.Policy = witnesses(t, m, 3)
	m.cfg.Confirm = true
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
	l = m.open()
	if countersign.CodeOf(l.Healthy()) != countersign.CodeMaintenance {
		t.Fatalf("an older store was opened: %v", l.Healthy())
	}
	if _, err := l.Append(t.Context(), m.entry(countersign.SubjectID{})); countersign.CodeOf(err) != countersign.CodeMaintenance {
		t.Fatalf("it takes a record: %v", err)
	}
}

// A store that a backup made takes nothing until so many witnesses have spoken that no quorum of the others could know more.
func TestARestoredStoreWaitsForItsWitnesses(t *testing.T) {
	m := begin(t)
	bodies, policy := witnesses(t, m, 3)
	m.cfg.Policy, m.cfg.Confirm = policy, true
	l := m.open()
	p, _ := m.append(t)
	if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
		t.Fatal(err)
	}
	if err := ledger.MarkRestored(t.Context(), m.store, m.clock.Now()); err != nil {
		t.Fatal(err)
	}
	m.shut()
	for _, b := range bodies[1:] {
		b.behave(answer(503, "down"))
	}
	l = m.open()
	refused := func() {
		t.Helper()
		m.clock.Add(time.Minute)
		l.Tick(t.Context())
		if _, err := l.Append(t.Context(), m.entry(countersign.SubjectID{})); countersign.CodeOf(err) != countersign.CodeStore || !countersign.CodeOf(err).Temporary() {
			t.Fatalf("a restored store takes a record while two of three witnesses are silent: %v", err)
		}
	}
	refused()
	// A liar's number stops nobody for good, and confirms nothing.
	bodies[1].behave(answer(409, "999999\n"))
	refused()
	bodies[1].behave(answer(200, "nonsense"))
	refused()
	bodies[2].before.Store(nil)
	m.clock.Add(time.Minute)
	l.Tick(t.Context())
	m.append(t)
	m.shut()
	m.open()
	m.append(t) // it is not asked for again
}
