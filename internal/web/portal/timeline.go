package portal

import (
	"net/http"
	"slices"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// pageSize is how many uses a page of the timeline shows.
const pageSize = 100

// filter is what the person has narrowed the timeline to. It is kept with the session, so that no address tells it.
type filter struct {
	From, Until, Agency, Purpose, Category, Search string
	Refused                                        bool
}

// narrow takes the filter's form.
func (s *Server) narrow(w http.ResponseWriter, r *http.Request, one *session) error {
	var f filter
	if r.PostFormValue("clear") == "" {
		f = filter{
			From: r.PostFormValue("from"), Until: r.PostFormValue("until"), Agency: r.PostFormValue("agency"), Purpose: r.PostFormValue("purpose"),
			Category: r.PostFormValue("category"), Search: r.PostFormValue("search"), Refused: r.PostFormValue("refused") != "",
		}
	}
	one.setFilter(f)
	http.Redirect(w, r, page.PathTimeline, http.StatusSeeOther)
	return nil
}

// query turns the filter into a query; what cannot be read is told by field.
func (f filter) query(place *time.Location) (subject.HistoryQuery, page.FieldErrors) {
	q := subject.HistoryQuery{
		Agency: f.Agency, Purpose: countersign.PurposeCode(f.Purpose), Category: countersign.CategoryCode(f.Category), Search: f.Search, Most: pageSize,
	}
	if f.Refused {
		q.Outcome = countersign.OutcomeRefused
	}
	wrong := page.FieldErrors{}
	var err error
	if f.From != "" {
		if q.Since, err = time.ParseInLocation(time.DateOnly, f.From, place); err != nil {
			wrong["from"] = "date"
		}
	}
	if f.Until != "" {
		if q.Until, err = time.ParseInLocation(time.DateOnly, f.Until, place); err != nil {
			wrong["until"] = "date"
		} else {
			q.Until = q.Until.AddDate(0, 0, 1).Add(-time.Millisecond)
		}
	}
	if len(wrong) == 0 && f.From != "" && f.Until != "" && q.Until.Before(q.Since) {
		wrong["until"] = "date-order"
	}
	return q, wrong
}

// cursorRef is what a handle of another page stands for.
type cursorRef struct {
	Cursor subject.Cursor `json:"c"`
	From   int            `json:"n"` // number of the page's first use
}

func (s *Server) timeline(w http.ResponseWriter, r *http.Request, one *session) error {
	return s.showTimeline(w, r, one, cursorRef{From: 1})
}

func (s *Server) timelinePage(w http.ResponseWriter, r *http.Request, one *session) error {
	var at cursorRef
	if err := one.openHandle(handleCursor, r.PathValue("handle"), &at); err != nil {
		return err
	}
	return s.showTimeline(w, r, one, at)
}

func (s *Server) showTimeline(w http.ResponseWriter, r *http.Request, one *session, at cursorRef) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	frame := s.frame(r, one, page.SectionTimeline)
	f := one.filtered()
	q, wrong := f.query(frame.Locale.Place())
	v := page.Timeline{Filter: f.model(n, wrong), DelayCap: capOf(n.doc), Kept: recordLife(n.doc), Asked: s.o.Clock.Now()}
	if len(wrong) > 0 {
		return s.render(w, r, http.StatusUnprocessableEntity, page.TimelinePage(frame, v))
	}
	q.From = at.Cursor
	if f == (filter{}) {
		q.Limit = pageSize + 1 // nothing is sorted out: no gateway need open more records than a page shows
	}
	h, err := s.o.Subject.History(r.Context(), one.person, q)
	if err != nil {
		return err
	}
	v.Asked = h.At
	v.Sources, v.Destroyed = sourcesOf(n, h), destroyedOf(h)
	v.From, v.Until = at.From, at.From+len(h.Uses)-1
	v.Total = v.Until
	for _, u := range h.Uses {
		if u.Statement != nil && u.Statement.Outcome == countersign.OutcomeRefused {
			v.Refused++
		}
	}
	if h.More {
		v.Older = one.handle(handleCursor, cursorRef{h.Next, at.From + len(h.Uses)})
	}
	if at.From > 1 {
		v.Newer = one.handle(handleCursor, cursorRef{From: 1})
	}
	v.Days = days(one, n, h.Uses, frame.Locale.Place())
	return s.render(w, r, http.StatusOK, page.TimelinePage(frame, v))
}

// destroyedOf is how many records of all people the gateways that answered have destroyed at their end.
func destroyedOf(h *subject.History) (n uint64) {
	for _, m := range h.Members {
		if m.Destroyed != nil {
			n += m.Destroyed.Records
		}
	}
	return n
}

// model gives the filter with its choices: what the directory knows.
func (f filter) model(n *names, wrong page.FieldErrors) page.Filter {
	m := page.Filter{
		From: f.From, Until: f.Until, Agency: f.Agency, Purpose: f.Purpose, Category: f.Category, Search: f.Search, Refused: f.Refused, Errors: wrong,
	}
	for i := range n.doc.Members {
		if d := &n.doc.Members[i]; len(d.Subsystems) > 0 {
			m.Agencies = append(m.Agencies, page.Choice{Value: d.ID.String(), Label: d.Text.In(n.lang)})
		}
	}
	for i := range n.doc.Purposes {
		p := &n.doc.Purposes[i]
		m.Purposes = append(m.Purposes, page.Choice{Value: string(p.Code), Label: p.Text.In(n.lang)})
	}
	for i := range n.doc.Categories {
		c := &n.doc.Categories[i]
		m.Categories = append(m.Categories, page.Choice{Value: string(c.Code), Label: c.Text.In(n.lang)})
	}
	return m
}

func capOf(doc *countersign.Directory) time.Duration {
	if d := time.Duration(doc.Caps.NoticeCap); d > 0 {
		return d
	}
	return time.Duration(countersign.DefaultCaps().NoticeCap)
}

func recordLife(doc *countersign.Directory) time.Duration {
	if d := time.Duration(doc.Caps.RecordLife); d > 0 {
		return d
	}
	return time.Duration(countersign.DefaultCaps().RecordLife)
}

// days puts uses, newest first, into days and groups what belongs together.
func days(one *session, n *names, uses []*subject.Use, place *time.Location) []page.Day {
	var out []page.Day
	for len(uses) > 0 {
		y, m, d := uses[0].Time.In(place).Date()
		end := slices.IndexFunc(uses, func(u *subject.Use) bool {
			uy, um, ud := u.Time.In(place).Date()
			return uy != y || um != m || ud != d
		})
		if end < 0 {
			end = len(uses)
		}
		out = append(out, page.Day{Date: uses[0].Time, Items: items(one, n, uses[:end])})
		uses = uses[end:]
	}
	return out
}

// groupKey is what uses of one day have in common to stand together.
type groupKey struct {
	consumer  countersign.SubsystemID
	service   countersign.ServiceID
	purpose   countersign.PurposeCode
	mandate   countersign.MandateRef
	outcome   countersign.Outcome
	kind      countersign.LeafKind
	pseudonym string
	reason    countersign.Code
}

// items groups repeats, programmes and refusals. What is unusual about a use keeps it by itself, so that no group hides it.
func items(one *session, n *names, uses []*subject.Use) []page.Item {
	var out []page.Item
	at := map[groupKey]int{}
	for _, u := range uses {
		e := entryOf(one, n, u)
		st := u.Statement
		if st == nil || len(e.Notices) > 0 || e.Seen != page.SeenBoth && st.Outcome == countersign.OutcomeReleased && u.Kind != countersign.LeafView {
			out = append(out, page.Item{Entries: []page.Entry{e}})
			continue
		}
		k := groupKey{st.Consumer, st.Service, st.Purpose, st.Mandate, st.Outcome, u.Kind, st.Official.Pseudonym, ""}
		k.mandate.Digest = countersign.Digest{}
		if st.Mandate.Kind == countersign.MandateProgramme {
			k.pseudonym = ""
		}
		if len(st.Reasons) > 0 {
			k.reason = st.Reasons[0]
		}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, page.Item{Entries: []page.Entry{e}})
			continue
		}
		out[i].Entries = append(out[i].Entries, e)
		switch {
		case st.Mandate.Kind == countersign.MandateProgramme:
			out[i].Kind, out[i].Programme = page.GroupProgramme, n.programme(st.Mandate.ID)
		case st.Outcome == countersign.OutcomeRefused:
			out[i].Kind = page.GroupRefusals
		default:
			out[i].Kind = page.GroupRepeat
		}
	}
	return out
}

// entryOf says a use in the words of the directory.
func entryOf(one *session, n *names, u *subject.Use) page.Entry {
	e := page.Entry{Handle: useHandle(one, u), When: u.Time, Seen: seen(u), Notices: notices(u)}
	st := u.Statement
	if st == nil { // destroyed at the end of its time: the leaf is all that is left
		h := u.Provider
		if h == nil {
			h = u.Consumer
		}
		e.Holder = n.member(h.Member)
		e.Outcome, e.Mandate, e.Purpose = h.Leaf.Outcome, h.Leaf.Mandate, n.purpose(h.Leaf.Purpose)
		if id, err := countersign.ParseSubsystemID(h.Leaf.Consumer); err == nil {
			e.Asker.Agency, e.Asker.System = n.member(id.MemberID), n.system(id)
		}
		return e
	}
	e.Asker = page.Asker{
		Agency: n.member(st.Consumer.MemberID), System: n.system(st.Consumer), Role: st.Official.Role, Assurance: st.Official.Assurance,
		OnBehalfOf: st.OnBehalfOf, Self: u.Kind == countersign.LeafView || ownRequest(u),
	}
	e.Permits = u.Kind == countersign.LeafView && st.Purpose == subject.PurposeNotices
	e.Holder, e.Outcome, e.Reasons, e.Mandate, e.Fields = n.member(st.Service.MemberID), st.Outcome, st.Reasons, st.Mandate.Kind, st.Fields
	if u.Kind != countersign.LeafView {
		e.Service, e.Purpose = n.service(st.Service), n.purpose(st.Purpose)
	}
	for _, c := range u.Categories {
		name, special := n.category(c)
		e.Categories = append(e.Categories, name)
		e.Special = e.Special || special
	}
	return e
}

// ownRequest recognises what the person asked a register for, about themselves.
func ownRequest(u *subject.Use) bool {
	return u.Statement != nil && u.Statement.Mandate.Kind == countersign.MandateOwn && !u.ByProduct
}

// seen says from whose log a use is known. What only one side can know, and what the other may be about to record, is no gap.
func seen(u *subject.Use) page.Seen {
	switch {
	case slices.Contains(u.Differences, subject.DifferenceConsumerSilent):
		return page.SeenProviderOnly
	case slices.Contains(u.Differences, subject.DifferenceProviderSilent):
		return page.SeenConsumerOnly
	case slices.Contains(u.Differences, subject.DifferenceStatements), slices.Contains(u.Differences, subject.DifferenceOutcome):
		return page.SeenUnpaired
	}
	return page.SeenBoth
}

func notices(u *subject.Use) (out []page.Notice) {
	if st := u.Statement; st != nil && st.Mandate.Kind == countersign.MandateEmergency {
		out = append(out, page.NoticeEmergency)
	}
	if u.Delayed {
		out = append(out, page.NoticeDelayed)
	}
	if u.ByProduct {
		out = append(out, page.NoticeRelated)
	}
	if u.Undecided {
		out = append(out, page.NoticeUndecided)
	}
	if slices.Contains(u.Differences, subject.DifferenceNotAccepted) {
		out = append(out, page.NoticeNotAccepted)
	}
	if slices.Contains(u.Differences, subject.DifferenceBroken) {
		out = append(out, page.NoticeProof)
	}
	return out
}
