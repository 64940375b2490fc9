package mandate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

// asked counts how often it was asked.
type asked struct {
	rights
	times int
}

// Unreviewed says what the test wants.
func (a *asked) Unreviewed(m countersign.MemberID, at time.Time) (bool, error) {
	a.times++
	return a.rights.Unreviewed(m, at)
}

// A review that is overdue, or of which nothing is known, refuses a warrant that delays the notice, and no other warrant: what the person reads at once does not
// depend on any overseer's diligence.
func TestOnlyDelayedNoticeWaitsForReviews(t *testing.T) {
	d := judicial(t)
	p := compiled(t, d)
	proof, statuses := registered{log: courtLog, since: now.Add(-45 * time.Minute)}, status(t, "court", statusURI, now, 5)
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		w := terms()
		w.Delay = countersign.Duration(rapid.SampledFrom([]time.Duration{0, 0, time.Second, time.Hour, 90 * day, 90*day + 1}).Draw(rt, "delay"))
		known := &asked{rights: rights{unreviewed: rapid.Bool().Draw(rt, "unreviewed")}}
		if rapid.Bool().Draw(rt, "unknown") {
			known.err = errors.New("down")
		}
		var given Suspensions = known
		if rapid.IntRange(0, 3).Draw(rt, "nothing to ask") == 0 {
			given = nil
		}
		m, _, err := p.VerifyWarrant(signed(t, "court", w), now, proof, statuses, given)
		switch {
		case w.Delay == 0:
			seen["at once"]++
			if err != nil || known.times != 0 {
				rt.Fatalf("a warrant without delay: %v, asked %d times", err, known.times)
			}
			return
		case err == nil || m.verified:
			rt.Fatal("a warrant that delays the notice opens something")
		case w.Delay > countersign.Duration(90*day):
			return
		}
		reviewed := given != nil && known.err == nil && !known.unreviewed
		if sealing := strings.Contains(countersign.MessageOf(err), "no sealing"); sealing != reviewed {
			rt.Fatalf("%+v: %s", known, countersign.MessageOf(err))
		}
		if reviewed {
			seen["reviewed"]++
		} else {
			seen["not reviewed"]++
		}
	})
	if len(seen) != 3 {
		t.Errorf("%v: the draw is too narrow", seen)
	}
}

// Overdue is the term and nothing else: not before it, for good after it, and ended by any overseer's word.
func TestOverdue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		within := time.Duration(rapid.Int64Range(1, int64(30*day)).Draw(rt, "within"))
		waited := time.Duration(rapid.Int64Range(0, int64(90*day)).Draw(rt, "waited"))
		c := countersign.Commitment{1, byte(rapid.IntRange(0, 3).Draw(rt, "record"))}
		var lists []*Reviews
		held := false
		for range rapid.IntRange(0, 3).Draw(rt, "overseers") {
			l := &Reviews{}
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 3), 0, 3).Draw(rt, "reviewed") {
				l.Reviewed = append(l.Reviewed, countersign.Digest{1, byte(n)})
				held = held || byte(n) == c[1]
			}
			lists = append(lists, l)
		}
		if got, want := Overdue(lists, c, now, now.Add(waited), within), waited > within && !held; got != want {
			rt.Fatalf("waited %s of %s, reviewed %v: overdue %v", waited, within, held, got)
		}
	})
}

// The longest list that an overseer may have is one that gateways read.
func TestLongestListIsRead(t *testing.T) {
	d := judicial(t)
	overseer := countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "DPA"}
	key := testKey("gateway DPA")
	d.Members = append(d.Members, countersign.Member{
		ID: overseer, Roles: []countersign.Role{countersign.RoleOverseer}, Gateways: []countersign.Gateway{{Name: "one", Sign: []string{keyText(t, public(key))}}},
	})
	r := &Reviews{Overseer: overseer, Issued: SecondsOf(now), Suspended: []countersign.MemberID{}}
	for n := range MaxReviews {
		r.Reviewed = append(r.Reviewed, countersign.Digest{1, byte(n), byte(n >> 8)})
	}
	token, err := SignReviews(key, r)
	if err != nil {
		t.Fatal(err)
	}
	read, err := compiled(t, d).VerifyReviews(token, overseer, now)
	if err != nil || len(token) > 2<<20 || !read.Has(countersign.Commitment(r.Reviewed[MaxReviews-1])) {
		t.Errorf("%d bytes: %v", len(token), err)
	}
}
