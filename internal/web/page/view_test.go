package page

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web"
)

func frame(t *testing.T) Frame {
	t.Helper()
	locales, err := web.LoadLocales()
	if err != nil {
		t.Fatal(err)
	}
	assets, err := web.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	return Frame{Locale: locales.In("en", nil), Assets: assets, Person: "P", Now: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
}

// TestZeroValuesPromiseNothing renders what a mapping that forgot to say leaves behind.
func TestZeroValuesPromiseNothing(t *testing.T) {
	f := frame(t)
	if got := f.outcome(Entry{}); got != f.T("outcome.failed") {
		t.Errorf("an entry without outcome is shown as %q", got)
	}
	if (Entry{}).left() {
		t.Error("an entry without outcome counts as answered")
	}
	var b bytes.Buffer
	if err := EntryPage(f, EntryDetail{}).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b.Bytes(), []byte(f.T("proof.title.unchecked"))) || bytes.Contains(b.Bytes(), []byte(f.T("proof.title.holds"))) {
		t.Error("a proof that nobody has checked is not shown as that")
	}
	if got := classKey(""); got != "never" {
		t.Errorf("a category without class is shown as %q", got)
	}
}

// TestWhatIsWrittenIsEscaped puts hostile words where agencies and people write them.
func TestWhatIsWrittenIsEscaped(t *testing.T) {
	const hostile = `"><script>alert(1)</script>`
	e := Entry{Handle: "h", Asker: Asker{Agency: hostile, Role: hostile}, Holder: hostile, Purpose: hostile, Outcome: countersign.OutcomeReleased, Fields: []countersign.FieldPath{"/" + hostile}}
	var b bytes.Buffer
	d := EntryDetail{Entry: e, Law: Law{Name: hostile, URL: "javascript:alert(1)"}, Following: []Following{{Kind: FollowingDecision, Text: hostile}}}
	if err := EntryPage(frame(t), d).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte("<script")) || bytes.Contains(b.Bytes(), []byte("javascript:")) {
		t.Error("a page runs what others wrote")
	}
}

func TestChart(t *testing.T) {
	y := Year{Counts: make([]PeriodUse, 12)}
	y.Counts[0] = PeriodUse{Released: 1000, Refused: 1}
	y.Counts[1] = PeriodUse{Released: 500}
	c := draw(y, 860, 280)
	if c.Bars[0].RefusedHeight < 4 {
		t.Errorf("one refusal among a thousand uses is %d high: it cannot be seen", c.Bars[0].RefusedHeight)
	}
	if c.Bars[0].RefusedY < 0 || c.Bars[0].ReleasedHeight != 2*c.Bars[1].ReleasedHeight {
		t.Errorf("bars are out of proportion or out of the picture: %+v", c.Bars[:2])
	}
	for most, want := range map[int]int{0: 1, 4: 1, 5: 2, 8: 2, 20: 5, 21: 10, 41: 20, 1001: 500} {
		if got := gridStep(most); got != want {
			t.Errorf("up to %d: lines every %d, want %d", most, got, want)
		}
	}
}

func TestURL(t *testing.T) {
	f := frame(t)
	if got := f.URL(PathCaseReply, "h1"); got != "/cases/h1/reply" {
		t.Errorf("got %s", got)
	}
	if got := f.URL(PathTimeline); got != "/uses" {
		t.Errorf("got %s", got)
	}
}

func TestRanked(t *testing.T) {
	got := frame(t).ranked([]AgencyUse{{Agency: "B", Counts: []int{1}}, {Agency: "C", Counts: []int{3}}, {Agency: "A", Counts: []int{1}}})
	if names := []string{got[0].Agency, got[1].Agency, got[2].Agency}; !slices.Equal(names, []string{"C", "A", "B"}) {
		t.Errorf("got %q", names)
	}
}

func TestClock(t *testing.T) {
	f := frame(t)
	for due, want := range map[time.Duration]string{72 * time.Hour: "3 days left", 5 * time.Hour: "5 hours left", -time.Hour: "The time is over"} {
		if got := f.remaining(f.Now.Add(due)); got != want {
			t.Errorf("%v: %q, want %q", due, got, want)
		}
	}
	if got := gone(f.Now.Add(-time.Hour), f.Now.Add(3*time.Hour), f.Now); got != 25 {
		t.Errorf("%d per cent gone, want 25", got)
	}
	if got := gone(f.Now, f.Now, f.Now); got != 100 {
		t.Errorf("a clock without length has %d per cent gone", got)
	}
}
