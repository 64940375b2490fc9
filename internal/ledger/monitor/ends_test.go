package monitor

import (
	"testing"
	"time"

	"countersign.dev/countersign"
)

// judged plays leaves to a monitor's account of the end of records and gives what it finds at that time.
func judged(at time.Time, life time.Duration, leaves ...*countersign.Leaf) []Finding {
	l := &logState{cfg: Source{Origin: "demo.example/gov/1001"}, ends: newEnds()}
	for i, leaf := range leaves {
		l.ends.take(l, uint64(i), leaf)
	}
	r := &Report{At: at}
	l.ends.judge(l, r, life)
	return append(l.foreign, r.Findings...)
}

func TestTheEndOfRecordsIsWatched(t *testing.T) {
	begun := time.Date(2026, 11, 22, 10, 20, 0, 0, time.UTC)
	month := countersign.MonthOf(begun)
	const life = 100 * 24 * time.Hour
	ends := month + 4 // of what is recorded on the first day, in March
	leaf := func(kind countersign.LeafKind, at time.Time) *countersign.Leaf {
		return &countersign.Leaf{Kind: kind, Hour: countersign.HourOf(at)}
	}
	told := func(m countersign.Month, records, first, last uint64, kept uint32) *countersign.Leaf {
		d := countersign.Destruction{Month: m, Records: records, First: first, Last: last, Kept: kept}
		return d.Leaf(countersign.HourOf(m.End().Add(time.Hour)))
	}
	log := []*countersign.Leaf{leaf(countersign.LeafInception, begun), leaf(countersign.LeafExchange, begun), leaf(countersign.LeafView, begun), leaf(countersign.LeafSealed, begun), leaf(countersign.LeafRelease, begun)}
	quiet := append(log[:len(log):len(log)], told(month, 0, 0, 0, 0), told(month+1, 0, 0, 0, 0), told(month+2, 0, 0, 0, 0), told(month+3, 0, 0, 0, 0))
	with := func(more ...*countersign.Leaf) []*countersign.Leaf {
		return append(quiet[:len(quiet):len(quiet)], more...)
	}
	late := ends.End().Add(countersign.DestructionWithin)
	for _, c := range []struct {
		name   string
		at     time.Time
		leaves []*countersign.Leaf
		want   []Kind
		count  int
	}{
		{"its first month is not over", month.End().Add(-time.Second), log, nil, 0},
		{"over, and there is time", month.End().Add(countersign.DestructionWithin - time.Second), log, nil, 0},
		{"over, and no leaf", month.End().Add(countersign.DestructionWithin), log, []Kind{KindMissingDestruction}, 0},
		{"two months over, and no leaf", (month + 1).End().Add(countersign.DestructionWithin), log, []Kind{KindMissingDestruction, KindMissingDestruction}, 0},
		{"before records were due", (month + 3).End().Add(countersign.DestructionWithin), quiet, nil, 0},
		{"due, and no leaf", late, quiet, []Kind{KindMissingDestruction}, 3},
		{"due, and destroyed", late, with(told(ends, 3, 1, 4, 0)), nil, 0},
		{"more than leaves tell, for other kinds have records too", late, with(told(ends, 4, 1, 4, 0)), nil, 0},
		{"some destroyed", late, with(told(ends, 1, 1, 1, 0)), []Kind{KindKeptRecords}, 2},
		{"an open case keeps one", late, with(told(ends, 2, 1, 4, 1)), nil, 0},
		{"an empty leaf", late, with(told(ends, 0, 0, 0, 0)), []Kind{KindKeptRecords}, 3},
		{"destroyed early", late, append(log[:len(log):len(log)], told(month, 3, 1, 4, 0), told(month+1, 0, 0, 0, 0), told(month+2, 0, 0, 0, 0), told(month+3, 0, 0, 0, 0), told(ends, 0, 0, 0, 0)), nil, 0},
		{"told twice", late, with(told(ends, 3, 1, 4, 0), told(ends, 3, 1, 4, 0)), []Kind{KindContradiction}, 0},
		{"of records to come", late, with(told(ends, 3, 1, 40, 0)), []Kind{KindMalformed, KindMissingDestruction}, 0},
		{"a log of another make owes nothing", late, quiet[1:], nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := judged(c.at, life, c.leaves...)
			if len(got) != len(c.want) {
				t.Fatalf("%+v", got)
			}
			for i, f := range got {
				if f.Kind != c.want[i] || c.count > 0 && f.Count != c.count {
					t.Fatalf("%+v", f)
				}
			}
		})
	}
	if got := judged(late, 0, with(told(ends, 0, 0, 0, 0))...); len(got) != 0 {
		t.Fatalf("nothing is known of the life of records, and yet: %+v", got)
	}
}

func TestDeletionReceiptsAreWatched(t *testing.T) {
	begun := time.Date(2026, 11, 22, 10, 20, 0, 0, time.UTC)
	const keep = 40 * 24 * time.Hour
	month := countersign.MonthOf(begun.Add(keep))
	got := func(outcome countersign.Outcome, service string) *countersign.Leaf {
		return &countersign.Leaf{Kind: countersign.LeafExchange, Hour: countersign.HourOf(begun), Side: countersign.SideConsumer, Service: service, Consumer: "DEMO/GOV/1002/fund", Purpose: "benefit-decision", Outcome: outcome}
	}
	told := func(consumer string, records uint64, kept uint32) *countersign.Leaf {
		d := countersign.Destruction{Consumer: consumer, Purpose: "benefit-decision", Month: month, Records: records, Kept: kept}
		return d.Leaf(countersign.HourOf(month.End()))
	}
	retention := func(service string, _ countersign.PurposeCode) time.Duration {
		if service == "personal" {
			return keep
		}
		return 0
	}
	late := month.End().Add(countersign.DestructionWithin)
	log := []*countersign.Leaf{
		{Kind: countersign.LeafInception, Hour: countersign.HourOf(begun)}, got(countersign.OutcomeReceived, "personal"), got(countersign.OutcomeReceived, "personal"),
		got(countersign.OutcomeRefused, "personal"), got(countersign.OutcomeNotAccepted, "personal"), got(countersign.OutcomeReceived, "of nobody"),
	}
	for _, c := range []struct {
		name string
		at   time.Time
		more []*countersign.Leaf
		want int // answers without a receipt
	}{
		{"there is time", late.Add(-time.Second), nil, 0},
		{"none", late, nil, 2},
		{"for one of two", late, []*countersign.Leaf{told("DEMO/GOV/1002/fund", 1, 0)}, 1},
		{"for both", late, []*countersign.Leaf{told("DEMO/GOV/1002/fund", 2, 0)}, 0},
		{"one is kept under another law, in public", late, []*countersign.Leaf{told("DEMO/GOV/1002/fund", 1, 1)}, 0},
		{"another subsystem's", late, []*countersign.Leaf{told("DEMO/GOV/1002/desk", 2, 0)}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &logState{cfg: Source{Origin: "demo.example/gov/1002"}, ends: newEnds()}
			for i, leaf := range append(log[:len(log):len(log)], c.more...) {
				l.ends.take(l, uint64(i), leaf)
			}
			r := &Report{At: c.at}
			l.ends.judgeDeletions(l, r, retention)
			count := 0
			for _, f := range r.Findings {
				if f.Kind != KindMissingDeletion || f.Month != month || f.Consumer != "DEMO/GOV/1002/fund" {
					t.Fatalf("%+v", f)
				}
				count += f.Count
			}
			if count != c.want || len(l.foreign) != 0 {
				t.Fatalf("%d answers, %+v", count, l.foreign)
			}
		})
	}
}
