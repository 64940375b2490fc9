package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/mandate"
)

// Whatever gateways tell, each open review is listed once, by the term of its kind from whichever log opened it first; what was reviewed is not; and the overdue
// ones are counted, each for the member that asked.
func TestWhatWaitsIsMerged(t *testing.T) {
	member := func(code string) countersign.MemberID {
		return countersign.MemberID{Instance: "T", Class: "GOV", Code: code}
	}
	caps := countersign.Caps{EmergencyReview: countersign.Duration(72 * time.Hour), WarrantReview: countersign.Duration(30 * 24 * time.Hour)}
	terms := map[countersign.MandateKind]time.Duration{countersign.MandateEmergency: 72 * time.Hour, countersign.MandateWarrant: 30 * 24 * time.Hour}
	now := time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC)
	late := 0
	rapid.Check(t, func(rt *rapid.T) {
		type known struct {
			kind   countersign.MandateKind
			client string
			opened time.Time
		}
		records := map[countersign.Digest]*known{}
		answers := []*agencyAnswer[[]heldReview]{{member: member("A")}, {member: member("B")}, {member: member("C"), err: countersign.CodeNetwork}}
		for n := range rapid.IntRange(0, 12).Draw(rt, "records") {
			k := &known{
				rapid.SampledFrom([]countersign.MandateKind{countersign.MandateEmergency, countersign.MandateWarrant}).Draw(rt, "kind"),
				rapid.SampledFrom([]string{"T/GOV/A/desk", "T/GOV/B/desk"}).Draw(rt, "client"), time.Time{},
			}
			id := countersign.Digest{1, byte(n)}
			for _, a := range answers[:rapid.IntRange(1, 2).Draw(rt, "told by")] {
				at := now.Add(-time.Duration(rapid.IntRange(0, 40*24).Draw(rt, "hours")) * time.Hour)
				leaf := &countersign.Leaf{Kind: countersign.LeafMandate, Mandate: k.kind, Consumer: k.client, Service: "T/GOV/B/s", Commitment: countersign.Commitment(id)}
				a.told = append(a.told, heldReview{exchange.WaitingReview{}, leaf, at})
				if k.opened.IsZero() || at.Before(k.opened) {
					k.opened = at
				}
			}
			records[id] = k
		}
		reviewed := &mandate.Reviews{}
		for id := range records {
			if rapid.IntRange(0, 3).Draw(rt, "reviewed") == 0 {
				reviewed.Reviewed = append(reviewed.Reviewed, id)
			}
		}
		open, failed := merge(answers, reviewed, now, caps)
		if len(failed) != 1 || len(open) != len(records)-len(reviewed.Reviewed) || !slices.IsSortedFunc(open, func(a, b *waitingReview) int { return a.Due.Compare(b.Due) }) {
			rt.Fatalf("%d of %d records wait, %d were reviewed, %d gateways failed", len(open), len(records), len(reviewed.Reviewed), len(failed))
		}
		count := map[string]int{}
		for _, w := range open {
			k := records[w.Record]
			if k == nil || slices.Contains(reviewed.Reviewed, w.Record) || w.Mandate != k.kind || !w.Due.Equal(k.opened.Add(terms[k.kind])) || w.Overdue != now.After(w.Due) {
				rt.Fatalf("%+v of %+v", w, k)
			}
			if w.Overdue {
				count[k.client+k.kind.String()]++
				late++
			}
		}
		told := overdue(open)
		for _, o := range told {
			if o.Reviews == 0 || count[o.Member.String()+"/desk"+o.Mandate.String()] != o.Reviews || !now.After(o.Since) {
				rt.Fatalf("%+v of %v", o, count)
			}
		}
		if len(told) != len(count) {
			rt.Fatalf("%d told of %v", len(told), count)
		}
	})
	if late == 0 {
		t.Error("nothing was ever overdue: the draw is too narrow")
	}
}
