package monitor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"countersign.dev/countersign"
)

// receivedKey is what a public reader knows of answers that a member received.
type receivedKey struct {
	consumer, service string
	purpose           countersign.PurposeCode
	hour              countersign.Hour
}

// deletionKey is what one deletion receipt is about.
type deletionKey struct {
	consumer string
	purpose  countersign.PurposeCode
	month    countersign.Month
}

// receives counts an answer that the log's member has on record as received.
func (d *ends) receives(leaf *countersign.Leaf) {
	if leaf.Side == countersign.SideConsumer && leaf.Outcome == countersign.OutcomeReceived && leaf.Kind != countersign.LeafRelease && leaf.Kind != countersign.LeafView {
		d.got[receivedKey{leaf.Consumer, leaf.Service, leaf.Purpose, leaf.Hour}]++
	}
}

// judgeDeletions tells answers whose purpose's retention ended in a month that is over, and of which their receiver has not said that it deleted them.
//
// LAW: A18: an agency keeps the data past its retention: the missing deletion receipt is published.
func (d *ends) judgeDeletions(l *logState, r *Report, retention func(service string, purpose countersign.PurposeCode) time.Duration) {
	if retention == nil || d.since == 0 {
		return
	}
	owed := map[deletionKey]uint64{}
	for k, n := range d.got {
		if keep := retention(k.service, k.purpose); keep > 0 {
			owed[deletionKey{k.consumer, k.purpose, countersign.MonthOf(k.hour.Time().Add(time.Hour + keep))}] += n
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(owed), func(a, b deletionKey) int {
		return cmp.Or(cmp.Compare(a.month, b.month), cmp.Compare(a.consumer, b.consumer), cmp.Compare(a.purpose, b.purpose))
	}) {
		told := d.deleted[k]
		if done := told.Records + uint64(told.Kept); done < owed[k] && !r.At.Before(k.month.End().Add(countersign.DestructionWithin)) {
			end := k.month.End()
			r.find(Finding{Kind: KindMissingDeletion, Log: l.cfg.Origin, Hour: &end, Month: k.month, Consumer: k.consumer, Purpose: k.purpose, Count: int(min(owed[k]-done, 1<<31)),
				What: "the retention of what it received for this purpose has ended, and it has not said that it deleted it: there is no deletion receipt for so many answers"})
		}
	}
}
