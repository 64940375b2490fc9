package portal

import (
	"net/http"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

func (s *Server) year(w http.ResponseWriter, r *http.Request, one *session) error {
	return s.showYear(w, r, one, s.o.Clock.Now().In(s.o.Place).Year())
}

func (s *Server) yearOf(w http.ResponseWriter, r *http.Request, one *session) error {
	var year int
	if err := one.openHandle(handleYear, r.PathValue("handle"), &year); err != nil {
		return err
	}
	return s.showYear(w, r, one, year)
}

// showYear counts a year's uses, live. The person's own views and requests are not uses.
func (s *Server) showYear(w http.ResponseWriter, r *http.Request, one *session, year int) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	v := page.Year{Year: year, Earlier: one.handle(handleYear, year-1)}
	if year < s.o.Clock.Now().In(s.o.Place).Year() {
		v.Later = one.handle(handleYear, year+1)
	}
	begin := time.Date(year, time.January, 1, 0, 0, 0, 0, s.o.Place)
	q := subject.HistoryQuery{Since: begin, Until: begin.AddDate(1, 0, 0).Add(-time.Millisecond)}
	agencies := map[countersign.MemberID]*page.AgencyUse{}
	err = s.o.Subject.Walk(r.Context(), one.person, q, func(h *subject.History) bool {
		v.Sources = sourcesOf(n, h)
		for _, u := range h.Uses {
			if u.Statement == nil || u.Kind == countersign.LeafView || ownRequest(u) {
				continue
			}
			month := int(u.Time.In(s.o.Place).Month()) - 1
			if u.Statement.Outcome == countersign.OutcomeReleased {
				v.Months[month].Released++
			} else {
				v.Months[month].Refused++
			}
			id := u.Statement.Consumer.MemberID
			if agencies[id] == nil {
				agencies[id] = &page.AgencyUse{Agency: n.member(id)}
			}
			agencies[id].Months[month]++
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, a := range agencies {
		v.Agencies = append(v.Agencies, *a)
	}
	return s.render(w, r, http.StatusOK, page.YearPage(s.frame(r, one, page.SectionYear), v))
}

func sourcesOf(n *names, h *subject.History) (out []page.Source) {
	for _, m := range h.Members {
		out = append(out, page.Source{Agency: n.member(m.Member), State: stateOf(m), Entries: m.Entries})
	}
	return out
}
