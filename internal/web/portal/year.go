package portal

import (
	"net/http"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// countMost is how many entries one page counts, or a few more: to the end of what was read with the last of them.
const countMost = 5_000

// yearRef is what a handle of a year or a month stands for.
type yearRef struct {
	Year   int             `json:"y"`
	Month  time.Month      `json:"m,omitempty"` // zero is the whole year
	Cursor *subject.Cursor `json:"c,omitempty"` // where an earlier page of the month stopped counting
}

func (s *Server) year(w http.ResponseWriter, r *http.Request, one *session) error {
	return s.showYear(w, r, one, yearRef{Year: s.o.Clock.Now().In(s.o.Place).Year()})
}

func (s *Server) yearOf(w http.ResponseWriter, r *http.Request, one *session) error {
	var at yearRef
	if err := one.openHandle(handleYear, r.PathValue("handle"), &at); err != nil {
		return err
	}
	return s.showYear(w, r, one, at)
}

// showYear counts the uses of a year by month, or those of a month by day, live and newest first. Where there is more than one page counts, it says how far it
// came. The person's own views and requests are not uses.
func (s *Server) showYear(w http.ResponseWriter, r *http.Request, one *session, at yearRef) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	begin, end := at.span(s.o.Place)
	v := page.Year{Year: at.Year, Month: at.Month, Counts: make([]page.PeriodUse, at.slot(end.Add(-time.Millisecond).In(s.o.Place))+1)}
	s.yearLinks(one, &v, begin, end)
	q := subject.HistoryQuery{Since: begin, Until: end.Add(-time.Millisecond)}
	if at.Cursor != nil {
		q.From, v.Begun = *at.Cursor, at.Cursor.Until.Time()
	}
	agencies := map[countersign.MemberID]*page.AgencyUse{}
	read := 0
	err = s.o.Subject.Walk(r.Context(), one.person, q, func(h *subject.History) bool {
		v.Sources = sourcesOf(n, h)
		for _, u := range h.Uses {
			count(n, &v, agencies, u, at.slot(u.Time.In(s.o.Place)))
		}
		if read += len(h.Uses); read < countMost || !h.More {
			return true
		}
		if reached := h.Next.Until.Time(); !reached.Before(begin) {
			v.Reached = reached
			if v.Month > 0 {
				v.Rest = one.handle(handleYear, yearRef{Year: at.Year, Month: at.Month, Cursor: &h.Next})
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	for i := range v.Counts {
		v.Counts[i].State = countState(v, at.begins(i, s.o.Place), at.begins(i+1, s.o.Place))
	}
	for _, a := range agencies {
		v.Agencies = append(v.Agencies, *a)
	}
	return s.render(w, r, http.StatusOK, page.YearPage(s.frame(r, one, page.SectionYear), v))
}

// count adds a use to its month or day.
func count(n *names, v *page.Year, agencies map[countersign.MemberID]*page.AgencyUse, u *subject.Use, slot int) {
	if u.Statement == nil || u.Kind == countersign.LeafView || ownRequest(u) {
		return
	}
	if u.Statement.Outcome == countersign.OutcomeReleased {
		v.Counts[slot].Released++
	} else {
		v.Counts[slot].Refused++
	}
	id := u.Statement.Consumer.MemberID
	if agencies[id] == nil {
		agencies[id] = &page.AgencyUse{Agency: n.member(id), Counts: make([]int, len(v.Counts))}
	}
	agencies[id].Counts[slot]++
}

// countState says whether a page has counted all that lies from begin until before end.
func countState(v page.Year, begin, end time.Time) page.CountState {
	switch {
	case !v.Reached.IsZero() && !end.After(v.Reached.Add(time.Millisecond)), !v.Begun.IsZero() && begin.After(v.Begun):
		return page.CountedNot
	case !v.Reached.IsZero() && !begin.After(v.Reached), !v.Begun.IsZero() && end.After(v.Begun.Add(time.Millisecond)):
		return page.CountedPart
	}
	return page.Counted
}

// span is the year or the month, end excluded.
func (at yearRef) span(place *time.Location) (begin, end time.Time) {
	if at.Month > 0 {
		begin = time.Date(at.Year, at.Month, 1, 0, 0, 0, 0, place)
		return begin, begin.AddDate(0, 1, 0)
	}
	begin = time.Date(at.Year, time.January, 1, 0, 0, 0, 0, place)
	return begin, begin.AddDate(1, 0, 0)
}

// slot is the month of the year, or the day of the month, that an instant belongs to, from zero.
func (at yearRef) slot(t time.Time) int {
	if at.Month > 0 {
		return t.Day() - 1
	}
	return int(t.Month()) - 1
}

// begins is when a slot begins.
func (at yearRef) begins(slot int, place *time.Location) time.Time {
	if at.Month > 0 {
		return time.Date(at.Year, at.Month, 1+slot, 0, 0, 0, 0, place)
	}
	return time.Date(at.Year, time.January+time.Month(slot), 1, 0, 0, 0, 0, place)
}

// yearLinks gives the ways to the years or months beside, and to the months of a year. None leads into the future.
func (s *Server) yearLinks(one *session, v *page.Year, begin, end time.Time) {
	link := func(year int, month time.Month) page.Handle {
		return one.handle(handleYear, yearRef{Year: year, Month: month})
	}
	now := s.o.Clock.Now().In(s.o.Place)
	if v.Month > 0 {
		before := begin.AddDate(0, -1, 0)
		v.Whole, v.Earlier = link(v.Year, 0), link(before.Year(), before.Month())
		if !end.After(now) {
			v.Later = link(end.Year(), end.Month())
		}
		return
	}
	v.Earlier = link(v.Year-1, 0)
	if !end.After(now) {
		v.Later = link(v.Year+1, 0)
	}
	for i := range v.Months {
		if month := time.January + time.Month(i); !time.Date(v.Year, month, 1, 0, 0, 0, 0, s.o.Place).After(now) {
			v.Months[i] = link(v.Year, month)
		}
	}
}

func sourcesOf(n *names, h *subject.History) (out []page.Source) {
	for _, m := range h.Members {
		out = append(out, page.Source{Agency: n.member(m.Member), State: stateOf(m), Entries: m.Entries})
	}
	return out
}
