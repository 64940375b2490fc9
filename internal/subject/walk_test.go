package subject_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
)

// TestWalkWhereAGatewayBreaksOff: one that fails for a moment loses nothing; one that stays away is named to the end, is asked no more, and what only it could
// tell accuses nobody.
func TestWalkWhereAGatewayBreaksOff(t *testing.T) {
	const all = 40
	w := newWorld(t, "POP", "MUN")
	for range all {
		w.both(t, "POP", "MUN", alma)
		w.clock.Add(time.Minute)
	}
	w.clock.Add(time.Hour)
	mun := w.members["MUN"]
	var asked, fails atomic.Int64
	mun.front = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if n := asked.Add(1); n >= 3 && n < 3+fails.Load() {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(rw, r)
		})
	}
	walk := func(failing int64) (uses, pages int, last *subject.History) {
		asked.Store(0)
		fails.Store(failing)
		p, _, _ := w.login(t, alma)
		err := w.portal.Walk(t.Context(), p, subject.HistoryQuery{Limit: 5}, func(h *subject.History) bool {
			for _, u := range exchanges(h) {
				if u.Statement == nil || len(u.Differences) > 0 {
					t.Errorf("%d failures: a use differs: %v", failing, u.Differences)
				}
			}
			uses += len(exchanges(h))
			pages++
			last = h
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return uses, pages, last
	}
	uses, pages, last := walk(1)
	if uses != all || !last.Complete() || asked.Load() != int64(pages)+1 {
		t.Errorf("after a failure for a moment: %d uses on %d pages, complete %v, asked %d times", uses, pages, last.Complete(), asked.Load())
	}
	for _, m := range last.Members {
		if m.Member != code("POR") && m.Entries < all {
			t.Errorf("%s is said to have told %d entries", m.Member, m.Entries)
		}
	}
	uses, pages, last = walk(1000)
	if uses != all || last.Complete() || asked.Load() != 4 || pages < 5 {
		t.Errorf("without the gateway: %d uses on %d pages, complete %v, asked %d times", uses, pages, last.Complete(), asked.Load())
	}
	for _, m := range last.Members {
		if (m.Problem != nil) != (m.Member == code("MUN")) || m.Problem != nil && countersign.CodeOf(m.Problem) != countersign.CodeNetwork {
			t.Errorf("%s: %v", m.Member, m.Problem)
		}
	}
}
