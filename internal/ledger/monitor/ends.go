package monitor

import (
	"maps"
	"slices"
	"time"

	"countersign.dev/countersign"
)

// ends is what a log tells about the end of its records, and what its own leaves say is due.
type ends struct {
	since     countersign.Month                             // of its inception; zero for a log of another make, which owes nothing
	destroyed map[countersign.Month]countersign.Destruction // by leaves of kind destruction
	at        map[countersign.Month]uint64                  // where these stand
	made      map[countersign.Hour]uint64                   // records by the hour of their leaf

	got     map[receivedKey]uint64                  // answers that the log's own member received
	deleted map[deletionKey]countersign.Destruction // deletion receipts
}

func newEnds() ends {
	return ends{destroyed: map[countersign.Month]countersign.Destruction{}, at: map[countersign.Month]uint64{}, made: map[countersign.Hour]uint64{},
		got: map[receivedKey]uint64{}, deleted: map[deletionKey]countersign.Destruction{}}
}

// take looks at a leaf for what it says of the end of records.
func (d *ends) take(l *logState, index uint64, leaf *countersign.Leaf) {
	switch leaf.Kind {
	case countersign.LeafInception:
		if index == 0 {
			d.since = countersign.MonthOf(leaf.Hour.Time())
		}
	case countersign.LeafExchange, countersign.LeafRelease, countersign.LeafCompletion, countersign.LeafView:
		d.made[leaf.Hour]++
		d.receives(leaf)
	case countersign.LeafDestruction:
		d.told(l, index, leaf)
	}
}

func (d *ends) told(l *logState, index uint64, leaf *countersign.Leaf) {
	hour := leaf.Hour.Time()
	wrong := func(kind Kind, month countersign.Month, what string) {
		if len(l.foreign) < maxFindings {
			l.foreign = append(l.foreign, Finding{Kind: kind, Log: l.cfg.Origin, Index: &index, Hour: &hour, Month: month, What: what})
		}
	}
	told, err := leaf.Destruction()
	switch {
	case err != nil:
		wrong(KindMalformed, 0, countersign.MessageOf(err))
		return
	case told.IsReceipt():
		if key := (deletionKey{told.Consumer, told.Purpose, told.Month}); d.deleted[key].Month == 0 {
			d.deleted[key] = *told
		} else {
			wrong(KindContradiction, told.Month, "it tells of a deletion for the second time: a month of a purpose ends once")
		}
		return
	case told.Records > 0 && told.Last >= index:
		wrong(KindMalformed, told.Month, "it tells of the destruction of records that come after it")
		return
	}
	if _, twice := d.destroyed[told.Month]; twice {
		wrong(KindContradiction, told.Month, "it tells of a month's destruction for the second time: a month ends once")
		return
	}
	d.destroyed[told.Month], d.at[told.Month] = *told, index
}

// judge tells months that are over and whose destruction is not on record, and destructions that are smaller than what the log's own leaves say
// was due. life is how long records may be kept; zero where that is not known.
//
// SPEC: docs/spec/ledger.md, Destruction: "A log owes one destruction leaf for each month of its life, within 72 hours of the month's end."
func (d *ends) judge(l *logState, r *Report, life time.Duration) {
	if d.since == 0 {
		return
	}
	over := func(m countersign.Month) bool { return !r.At.Before(m.End().Add(countersign.DestructionWithin)) }
	due := d.due(life)
	var owed, done uint64
	for m := d.since; over(m); m++ {
		owed += due[m]
		told, ok := d.destroyed[m]
		if !ok {
			end := m.End()
			r.find(Finding{Kind: KindMissingDestruction, Log: l.cfg.Origin, Hour: &end, Month: m, Count: int(min(due[m], 1<<31)),
				What: "the month is over, and the log has no leaf that its records were destroyed: they are kept past their end, or its gateway does not run"})
			continue
		}
		done += told.Records + uint64(told.Kept)
		if done < owed {
			index, hour := d.at[m], m.End()
			r.find(Finding{Kind: KindKeptRecords, Log: l.cfg.Origin, Index: &index, Hour: &hour, Month: m, Count: int(min(owed-done, 1<<31)),
				What: "by its own leaves more records than it has destroyed were to end by then: the others are kept past the life that the directory gives them"})
			owed = done // told once, not again with each month that follows
		}
	}
}

// due counts records by the month in which they end at the latest. A leaf tells the hour of its record, so that its end may lie up to an hour
// later than by the hour's beginning.
func (d *ends) due(life time.Duration) map[countersign.Month]uint64 {
	out := map[countersign.Month]uint64{}
	if life <= 0 {
		return out
	}
	for hour, n := range d.made {
		out[countersign.MonthOf(hour.Time().Add(time.Hour+life))] += n
	}
	return out
}

// describe adds to a log's report what was destroyed.
func (d *ends) describe(out *LogReport) {
	for _, m := range slices.Sorted(maps.Keys(d.destroyed)) {
		out.DestroyedThrough = m
		out.Destroyed += d.destroyed[m].Records
	}
}
