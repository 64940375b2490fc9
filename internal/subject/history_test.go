package subject_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
)

const (
	alma  = "1ABC23D"
	bahar = "9XYZ99Z"
)

// TestHistoryMergesBothSides: one exchange is one use, told by both logs, and nobody else's is among them.
func TestHistoryMergesBothSides(t *testing.T) {
	w := newWorld(t, "POP", "MUN", "VEH")
	e := w.both(t, "POP", "MUN", alma)
	w.both(t, "POP", "MUN", bahar)
	w.clock.Add(time.Hour)
	p, _, _ := w.login(t, alma)
	h := w.history(t, p, subject.HistoryQuery{})
	uses := exchanges(h)
	if len(uses) != 1 || !h.Complete() || len(h.Members) != 4 {
		t.Fatalf("%d uses from %d gateways, complete %v", len(uses), len(h.Members), h.Complete())
	}
	u := uses[0]
	if u.Provider == nil || u.Consumer == nil || u.Provider.Member != code("POP") || u.Consumer.Member != code("MUN") || len(u.Differences) > 0 || u.Pending {
		t.Errorf("got %+v", u)
	}
	if u.Statement.Exchange != e.statement.Exchange || !slices.Equal(u.Categories, []countersign.CategoryCode{"residence"}) {
		t.Errorf("statement %+v, categories %v", u.Statement, u.Categories)
	}
}

// TestViewIsOnRecord (A50): whoever reads the history leaves a record that the person finds in it.
func TestViewIsOnRecord(t *testing.T) {
	w := newWorld(t, "POP")
	thief, _, _ := w.login(t, alma)
	seen := w.history(t, thief, subject.HistoryQuery{})
	w.clock.Add(24 * time.Hour)
	p, _, _ := w.login(t, alma)
	h := w.history(t, p, subject.HistoryQuery{})
	var views []countersign.ExchangeID
	for _, u := range h.Uses {
		if u.Kind == countersign.LeafView {
			views = append(views, u.Statement.Exchange)
		}
	}
	if !slices.Equal(views, []countersign.ExchangeID{h.View, seen.View}) {
		t.Errorf("views on record %v, want this one %v and the thief's %v", views, h.View, seen.View)
	}
}

// TestDifferences: every way in which the two sides can differ is found, and none is where there is none.
func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		set     func(t *testing.T, w *world)
		wait    time.Duration
		want    []subject.Difference
		product bool
		pending bool
	}{
		"the asker has no record of what it received (A39)": {
			set: func(t *testing.T, w *world) {
				w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, w.exchange("POP", "MUN", alma))
			},
			wait: time.Hour, want: []subject.Difference{subject.DifferenceConsumerSilent},
		},
		"the asker is about to record": {
			set: func(t *testing.T, w *world) {
				w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, w.exchange("POP", "MUN", alma))
			},
			wait: time.Second, pending: true,
		},
		"the holder has no record of what was received": {
			set: func(t *testing.T, w *world) {
				w.record(t, "MUN", countersign.SideConsumer, countersign.OutcomeReceived, w.exchange("POP", "MUN", alma))
			},
			wait: time.Hour, want: []subject.Difference{subject.DifferenceProviderSilent},
		},
		"the asker's own gateway refused": {
			set: func(t *testing.T, w *world) {
				e := w.exchange("POP", "MUN", alma)
				e.statement.Outcome, e.statement.Fields, e.statement.Reasons = countersign.OutcomeRefused, nil, []countersign.Code{countersign.CodeBudget}
				w.record(t, "MUN", countersign.SideConsumer, countersign.OutcomeRefused, e)
			},
			wait: time.Hour,
		},
		"the asker dropped the answer": {
			set: func(t *testing.T, w *world) {
				e := w.exchange("POP", "MUN", alma)
				w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, e)
				own := *e
				own.statement.Outcome, own.salt = countersign.OutcomeFailed, countersign.Salt{1}
				w.record(t, "MUN", countersign.SideConsumer, countersign.OutcomeNotAccepted, &own)
			},
			wait: time.Hour, want: []subject.Difference{subject.DifferenceNotAccepted},
		},
		"both record, and differently": {
			set: func(t *testing.T, w *world) {
				e := w.exchange("POP", "MUN", alma)
				w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, e)
				own := *e
				own.statement.Fields = []countersign.FieldPath{"/name"}
				w.record(t, "MUN", countersign.SideConsumer, countersign.OutcomeReceived, &own)
			},
			wait: time.Hour, want: []subject.Difference{subject.DifferenceStatements},
		},
		"a relative in the answer to a question about somebody else": {
			set: func(t *testing.T, w *world) {
				e := w.exchange("POP", "MUN", alma)
				e.statement.Answer = countersign.SaltedDigest{}
				w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, e)
			},
			wait: time.Hour, product: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "POP", "MUN")
			c.set(t, w)
			w.clock.Add(c.wait)
			p, _, _ := w.login(t, alma)
			uses := exchanges(w.history(t, p, subject.HistoryQuery{}))
			if len(uses) != 1 {
				t.Fatalf("%d uses", len(uses))
			}
			if u := uses[0]; !slices.Equal(u.Differences, c.want) || u.ByProduct != c.product || u.Pending != c.pending {
				t.Errorf("differences %v, by-product %v, pending %v; want %v, %v, %v", u.Differences, u.ByProduct, u.Pending, c.want, c.product, c.pending)
			}
		})
	}
}

// TestSlowAndDeadAreNamed: a gateway that does not answer is named, and its silence is no difference.
func TestSlowAndDeadAreNamed(t *testing.T) {
	w := newWorld(t, "POP", "MUN", "VEH", "SOC")
	w.both(t, "POP", "MUN", alma)
	w.clock.Add(time.Hour)
	w.wait(3 * time.Second)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.members["MUN"].front = func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
	}
	if err := w.members["VEH"].server.Close(); err != nil {
		t.Fatal(err)
	}
	w.members["SOC"].front = func(next http.Handler) http.Handler { // signs, but somebody changes a byte on the way
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { next.ServeHTTP(&bending{rw}, r) })
	}
	p, _, _ := w.login(t, alma)
	h := w.history(t, p, subject.HistoryQuery{})
	want := map[string]countersign.Code{"POR": "", "POP": "", "MUN": countersign.CodeBusy, "VEH": countersign.CodeNetwork, "SOC": countersign.CodeSignature}
	if len(h.Members) != len(want) || h.Complete() {
		t.Fatalf("%d gateways named, complete %v", len(h.Members), h.Complete())
	}
	for _, m := range h.Members {
		code := want[m.Member.Code]
		if code == "" && m.Problem != nil || code != "" && !errors.Is(m.Problem, code) {
			t.Errorf("%s: %v, want %q", m.Member, m.Problem, code)
		}
	}
	uses := exchanges(h)
	if len(uses) != 1 || uses[0].Provider == nil || uses[0].Consumer != nil || len(uses[0].Differences) > 0 {
		t.Errorf("got %+v", uses)
	}
}

// bending changes the first byte of a body.
type bending struct{ http.ResponseWriter }

func (b *bending) Write(p []byte) (int, error) {
	p = slices.Clone(p)
	p[0] = ' '
	return b.ResponseWriter.Write(p)
}

// TestDelayedNotice (A32, A33): a delayed entry leaves no trace until it is due, then nobody can keep it back; the cap is absolute.
func TestDelayedNotice(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	limit := time.Duration(countersign.DefaultCaps().NoticeCap)
	begun := w.clock.Now()
	open := w.both(t, "POP", "MUN", alma)
	w.clock.Add(time.Minute)
	hide := func(until time.Time) (e *exchanged, index uint64) {
		e = w.exchange("POP", "MUN", alma)
		e.notice = countersign.MillisOf(until)
		index = w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, e)
		w.record(t, "MUN", countersign.SideConsumer, countersign.OutcomeReceived, e)
		w.clock.Add(time.Minute)
		return e, index
	}
	due := begun.AddDate(0, 3, 0)
	quarter, index := hide(due)
	endless, _ := hide(begun.AddDate(50, 0, 0))
	see := func() (found []countersign.ExchangeID, h *subject.History) {
		t.Helper()
		p, _, _ := w.login(t, alma)
		h = w.history(t, p, subject.HistoryQuery{Limit: 1}) // the page ends at the last entry that is visible: it must not promise more
		for {
			for _, u := range exchanges(h) {
				found = append(found, u.Statement.Exchange)
			}
			if !h.More {
				return found, h
			}
			h = w.history(t, p, subject.HistoryQuery{Limit: 1, From: h.Next})
			if len(h.Uses) == 0 && !h.More {
				t.Error("a page turned out empty: something is hidden there")
			}
		}
	}
	want := func(at string, ids ...countersign.ExchangeID) {
		t.Helper()
		got, _ := see()
		slices.Reverse(ids)
		if !slices.Equal(got, ids) {
			t.Errorf("%s: see %v, want %v", at, got, ids)
		}
	}
	want("at once", open.statement.Exchange)
	p, _, _ := w.login(t, alma)
	if _, err := w.portal.Receipt(t.Context(), p, code("POP"), "gw1", index); !errors.Is(err, countersign.CodeUnknownService) {
		t.Errorf("the receipt of a delayed entry: %v", err)
	}
	w.clock.Set(due.Add(-time.Second))
	want("a second before it is due", open.statement.Exchange)
	w.clock.Set(due)
	want("when it is due", open.statement.Exchange, quarter.statement.Exchange)
	p, _, _ = w.login(t, alma)
	if _, err := w.portal.Receipt(t.Context(), p, code("POP"), "gw1", index); err != nil {
		t.Errorf("the receipt of an entry that is due: %v", err)
	}
	w.clock.Set(begun.Add(2 * time.Minute).Add(limit).Add(-time.Second))
	want("a second before the cap", open.statement.Exchange, quarter.statement.Exchange)
	w.clock.Set(begun.Add(2 * time.Minute).Add(limit))
	want("at the cap", open.statement.Exchange, quarter.statement.Exchange, endless.statement.Exchange)
}

// TestPages: page by page, every use is shown once, whatever the pages' size and whichever member has how much.
func TestPages(t *testing.T) {
	w := newWorld(t, "POP", "MUN", "VEH")
	want := map[countersign.ExchangeID]int{}
	for i := range 60 {
		provider := "POP"
		if i%7 == 0 {
			provider = "VEH"
		}
		e := w.both(t, provider, "MUN", alma)
		want[e.statement.Exchange]++
		if i%3 > 0 { // some at the same instant
			w.clock.Add(time.Duration(i%5) * 20 * time.Second)
		}
	}
	w.clock.Add(time.Hour)
	p, _, _ := w.login(t, alma)
	for _, q := range []subject.HistoryQuery{{Limit: 7}, {Limit: 50, Most: 5}, {Limit: 500}, {Limit: 3, Agency: code("VEH").String()}} {
		got := map[countersign.ExchangeID]int{}
		last := w.clock.Now().Add(time.Hour)
		err := w.portal.Walk(t.Context(), p, q, func(h *subject.History) bool {
			for _, u := range exchanges(h) {
				got[u.Statement.Exchange]++
				if u.Time.After(last) {
					t.Errorf("%+v: a younger use after an older one", q)
				}
				last = u.Time
				if len(u.Differences) > 0 || u.Provider == nil || u.Consumer == nil {
					t.Errorf("%+v: a page parted the two sides of a use: %+v", q, u)
				}
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		n := 60
		if q.Agency != "" {
			n = 9
		}
		if len(got) != n {
			t.Errorf("%+v: %d uses, want %d", q, len(got), n)
		}
		for id, times := range got {
			if times != 1 || want[id] != 1 {
				t.Errorf("%+v: %s shown %d times", q, id, times)
			}
		}
	}
}

// TestFiftyMembers: with fifty members all are asked at once.
func TestFiftyMembers(t *testing.T) {
	w := newWorld(t, agencyNames(50)...)
	for _, a := range agencyNames(50)[1:] {
		w.both(t, a, "A00", alma)
	}
	w.clock.Add(time.Hour)
	p, _, _ := w.login(t, alma)
	h := w.history(t, p, subject.HistoryQuery{})
	if len(exchanges(h)) != 49 || !h.Complete() || len(h.Members) != 51 {
		t.Errorf("%d uses from %d gateways, complete %v", len(exchanges(h)), len(h.Members), h.Complete())
	}
}

// BenchmarkFiftyMembers is the time until a page of fifty members' answers is merged, connections kept.
func BenchmarkFiftyMembers(b *testing.B) {
	w := newWorld(b, agencyNames(50)...)
	for range 10 {
		for _, a := range agencyNames(50)[1:] {
			w.both(b, a, "A00", alma)
		}
	}
	w.clock.Add(time.Hour)
	p, _, _ := w.login(b, alma)
	for b.Loop() {
		if h := w.history(b, p, subject.HistoryQuery{}); !h.Complete() {
			b.Fatal("a gateway did not answer")
		}
	}
}
