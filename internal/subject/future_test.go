package subject_test

import (
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
)

// An answer that says it was given later than it was recorded, on both sides, is on the page where the logs have it: nobody dates a use out of sight.
func TestAnswerFromTheFuture(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	var hidden countersign.ExchangeID
	for i := range 40 {
		e := w.exchange("POP", "MUN", alma)
		if i == 11 {
			hidden = e.statement.Exchange
			e.statement.Answered += countersign.Millis((48 * time.Hour).Milliseconds())
		}
		w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, e)
		w.record(t, "MUN", countersign.SideConsumer, countersign.OutcomeReceived, e)
		w.clock.Add(time.Minute)
	}
	p, _, _ := w.login(t, alma)
	shown := map[countersign.ExchangeID]int{}
	err := w.portal.Walk(t.Context(), p, subject.HistoryQuery{Limit: 7}, func(h *subject.History) bool {
		for _, u := range exchanges(h) {
			shown[u.Statement.Exchange]++
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) != 40 || shown[hidden] != 1 {
		t.Errorf("%d of 40 uses are shown, the one from the future %d times", len(shown), shown[hidden])
	}
}
