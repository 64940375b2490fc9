package portal_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// pageOf is how many entries a gateway gives in one answer.
const pageOf = 500

// lookUp records uses of a person's data, one after another with step between them, and leaves the clock an hour after the last.
func (s *site) lookUp(t *testing.T, pin string, n int, step time.Duration) {
	t.Helper()
	about := countersign.SubjectID{Scheme: "pin", Value: pin}
	pop := countersign.MemberID{Instance: "T", Class: "GOV", Code: "POP"}
	var all sync.WaitGroup
	room := make(chan struct{}, 64) // of appends at once: the log commits them together
	for i := range n {
		now := countersign.MillisOf(s.clock.Now())
		st := countersign.Statement{
			Exchange: countersign.NewExchangeID(s.clock.Now()), Consumer: countersign.SubsystemID{MemberID: por, Subsystem: "desk"},
			Service: countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: pop, Subsystem: "registry"}, Service: "residence"},
			Subject: about.Canonical(), Purpose: "property-tax", Basis: "tax-1", Official: countersign.Official{Pseudonym: "P", Assurance: countersign.AssuranceAsserted},
			Fields: []countersign.FieldPath{"/address"}, Outcome: countersign.OutcomeReleased, Asked: now, Answered: now, Answer: countersign.SaltedDigest{1}, Directory: 1,
		}
		salt := countersign.Salt{byte(i), byte(i >> 8), 1}
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			text := st.Encode()
			if _, err := s.log.Append(t.Context(), ledger.Entry{
				Leaf: countersign.ExchangeLeaf(&st, countersign.SideProvider, countersign.OutcomeReleased, salt.Commit(text)), Exchange: st.Exchange, Tag: s.log.TagOf(about),
				Record: &ledger.Record{Statement: text, Salt: salt, Directory: 1}, Expires: st.Answered.Time().AddDate(10, 0, 0),
			}); err != nil {
				t.Error(err)
			}
		})
		if (i+1)%64 == 0 {
			all.Wait() // so that the log's order is that of time, but for a moment
		}
		s.clock.Add(step)
	}
	all.Wait()
	s.clock.Add(time.Hour)
}

// TestExportsHoldOnePage: what has been read of a long history is written before more is asked for, whatever its length; and nothing is lost.
func TestExportsHoldOnePage(t *testing.T) {
	const uses = 6 * pageOf
	s := newSite(t)
	s.lookUp(t, "1ABC23D", uses, time.Minute)
	b := s.browser(t)
	b.login("1ABC23D")
	for _, format := range []string{"csv", "json"} {
		asked, held := 0, int64(0)
		s.lined.Store(0)
		s.before(func() {
			held = max(held, int64(asked*pageOf)-s.lined.Load())
			asked++
		})
		text := b.get("/export/" + format).body
		s.before(nil)
		if asked < 7 || held > pageOf {
			t.Errorf("%s: in %d questions up to %d entries were read and not written, want a page of %d at most", format, asked, held, pageOf)
		}
		n := 0
		for line := range strings.Lines(text) {
			if strings.Contains(line, "property-tax") {
				n++
			}
		}
		if n != uses {
			t.Errorf("%s holds %d uses, want %d", format, n, uses)
		}
	}
}

// TestExportsSayThatTheyAreWhole: a table's last line and the end of the data say so, or name who did not answer.
func TestExportsSayThatTheyAreWhole(t *testing.T) {
	s := newSite(t)
	s.lookUp(t, "1ABC23D", 3*pageOf, time.Minute)
	b := s.browser(t)
	b.login("1ABC23D")
	last := func() []string {
		t.Helper()
		rows := must(csv.NewReader(strings.NewReader(b.get("/export/csv").body)).ReadAll())(t)
		return rows[len(rows)-1]
	}
	var data struct {
		Complete bool
		Count    int
		Uses     []json.RawMessage
		Members  []struct{ Problem string }
	}
	read := func() {
		t.Helper()
		data.Uses, data.Members = nil, nil
		if err := json.Unmarshal([]byte(b.get("/export/json").body), &data); err != nil {
			t.Fatal(err)
		}
	}
	if end := last(); end[0] != "end of list" || end[1] != "complete" || end[2] != "1501 entries" { // with the person's own view
		t.Errorf("a whole table ends with %q", end)
	}
	if read(); !data.Complete || data.Count != 1501 || len(data.Uses) != 1501 || len(data.Members) != 1 {
		t.Errorf("whole data: complete %v, %d counted, %d uses of %d members", data.Complete, data.Count, len(data.Uses), len(data.Members))
	}
	breaks := func() {
		asked := 0
		s.before(func() {
			if asked++; asked > 2 {
				panic(http.ErrAbortHandler) // the gateway breaks off
			}
		})
	}
	breaks()
	if end := last(); end[0] != "end of list" || end[1] != "incomplete" || !strings.Contains(end[3], "Portal") {
		t.Errorf("a table without all of a gateway's entries ends with %q", end)
	}
	breaks()
	if read(); data.Complete || len(data.Uses) < pageOf || len(data.Members) != 1 || data.Members[0].Problem == "" {
		t.Errorf("data without all of a gateway's entries: complete %v, %d uses, members %v", data.Complete, len(data.Uses), data.Members)
	}
}

// TestExportsThatBreakOff: where the portal itself fails in the middle, every reader sees a failed download, and no file looks whole.
func TestExportsThatBreakOff(t *testing.T) {
	s := newSite(t)
	s.lookUp(t, "1ABC23D", 3*pageOf, time.Minute)
	b := s.browser(t)
	b.login("1ABC23D")
	for _, format := range []string{"csv", "json", "proofs"} {
		asked := 0
		s.before(func() {
			if asked++; asked == 2 {
				s.fail(countersign.Refuse(countersign.CodeStaleDirectory, "the directory is too old"))
			}
		})
		res := must(b.http.Get(s.url + "/export/" + format))(t)
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		s.before(nil)
		s.fail(nil)
		if res.StatusCode != http.StatusOK || len(text) == 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %d, %d bytes, then %v: want a download that is cut", format, res.StatusCode, len(text), err)
		}
		switch format {
		case "csv":
			if !bytes.Contains(text, []byte("\nlist broken off,incomplete,")) {
				t.Errorf("the table ends with %.200q", text[max(0, len(text)-200):])
			}
		case "json":
			if json.Valid(text) {
				t.Error("the data look whole")
			}
		default:
			if _, err := zip.NewReader(bytes.NewReader(text), int64(len(text))); err == nil {
				t.Error("the archive looks whole")
			}
		}
	}
	s.fail(countersign.Refuse(countersign.CodeStaleDirectory, "the directory is too old"))
	if r := b.get("/export/csv"); r.status != http.StatusServiceUnavailable || strings.Contains(r.header.Get("Content-Disposition"), "history") {
		t.Errorf("a failure before anything is read: %d %v", r.status, r.header)
	}
}

// TestYearCountsNoMoreThanAPage: a year and a month with more uses than one page counts say how far they came, ask for no more, and can be counted to the end.
func TestYearCountsNoMoreThanAPage(t *testing.T) {
	const uses, most = 12_000, 5_000
	s := newSite(t)
	s.lookUp(t, "1ABC23D", uses, time.Minute) // of March, for eight days and a third
	b := s.browser(t)
	b.login("1ABC23D")
	asked := 0
	s.before(func() { asked++ })
	show := func(path string) (body string, counted int) {
		t.Helper()
		asked = 0
		r := b.get(path)
		if r.status != http.StatusOK || asked > most/pageOf+3 {
			t.Errorf("%d after %d questions, %d uses", r.status, asked, counted)
		}
		for _, cell := range regexp.MustCompile(`<b>([0-9,]+)</b>`).FindAllStringSubmatch(r.body, -1) {
			var n int
			_, _ = fmt.Sscan(strings.ReplaceAll(cell[1], ",", ""), &n)
			counted += n
		}
		return r.body, counted
	}
	link := func(body, text string) string {
		t.Helper()
		m := regexp.MustCompile(`href="(/year/[^"]+)">` + text).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("there is no way to %q", text)
		}
		return m[1]
	}
	year, counted := show("/year")
	if counted < most || counted > most+pageOf || !strings.Contains(year, "Choose a month below") || strings.Count(year, "not counted here") < 2 || !strings.Contains(year, "(in part)") {
		t.Errorf("the year counts %d uses, and says:\n%s", counted, year)
	}
	month, total := show(link(year, "March"))
	if !strings.Contains(month, "not counted here") || !strings.Contains(month, "There is too much in this month") {
		t.Errorf("the month says:\n%s", month)
	}
	pages := 1
	for ; strings.Contains(month, "Count on from"); pages++ {
		var n int
		month, n = show(link(month, "Count on from"))
		total += n
	}
	if pages != 3 || total != uses {
		t.Errorf("the month is counted on %d pages, %d uses in all, want %d", pages, total, uses)
	}
	earlier, none := show(link(year, "January"))
	if none != 0 || !strings.Contains(earlier, "No use of your data in this month.") {
		t.Errorf("January has %d uses", none)
	}
}

// TestWhatIsHeldCountsNoMoreThanAPage: after more uses than one page counts, the catalogue says since when it counts.
func TestWhatIsHeldCountsNoMoreThanAPage(t *testing.T) {
	s := newSite(t)
	s.lookUp(t, "1ABC23D", 6_000, time.Minute)
	b := s.browser(t)
	b.login("1ABC23D")
	asked := 0
	s.before(func() { asked++ })
	r := b.get("/held")
	s.before(nil)
	if r.status != http.StatusOK || asked > 13 || !strings.Contains(r.body, "counts only the newest questions, back to 4 March 2031 at") || !strings.Contains(r.body, "Asked after 4 March 2031") {
		t.Errorf("%d after %d questions: %.3000s", r.status, asked, r.body)
	}
}

// TestPaperHasRoomForSoMuch: the page for paper holds the newest entries, and says where there are older ones.
func TestPaperHasRoomForSoMuch(t *testing.T) {
	s := newSite(t)
	s.lookUp(t, "1ABC23D", 1_200, time.Minute)
	b := s.browser(t)
	b.login("1ABC23D")
	paper := b.get("/export/print")
	if paper.status != http.StatusOK || !strings.Contains(paper.body, "Here are the newest 1,000 entries only.") {
		t.Errorf("the page for paper: %d, %d bytes", paper.status, len(paper.body))
	}
	if r := b.get("/export"); !strings.Contains(r.body, "entries") || !strings.Contains(r.body, "Here are the newest 1,000 entries only.") {
		t.Errorf("the page of exports says nothing of it: %d", r.status)
	}
}
