package portal

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// catalogue shows what is held, who may ask, and who did within the past year.
func (s *Server) catalogue(w http.ResponseWriter, r *http.Request, one *session) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	uses := map[countersign.ServiceID]map[countersign.MemberID]int{}
	refused := map[countersign.ServiceID]int{}
	var v page.Catalogue
	read := 0
	err = s.o.Subject.Walk(r.Context(), one.person, subject.HistoryQuery{Since: s.o.Clock.Now().AddDate(-1, 0, 0)}, func(h *subject.History) bool {
		v.Sources = sourcesOf(n, h)
		for _, u := range h.Uses {
			st := u.Statement
			if st == nil || u.Kind == countersign.LeafView || ownRequest(u) {
				continue
			}
			if st.Outcome != countersign.OutcomeReleased {
				refused[st.Service]++
				continue
			}
			if uses[st.Service] == nil {
				uses[st.Service] = map[countersign.MemberID]int{}
			}
			uses[st.Service][st.Consumer.MemberID]++
		}
		if read += len(h.Uses); read >= countMost && h.More {
			v.Reached = h.Next.Until.Time()
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	classes := map[countersign.CategoryCode]*countersign.Category{}
	for i := range n.doc.Categories {
		classes[n.doc.Categories[i].Code] = &n.doc.Categories[i]
	}
	for i := range n.doc.Services {
		d := &n.doc.Services[i]
		// A register that knows people by another kind of identifier has nothing about this one.
		if d.Subject.From == countersign.SubjectNone || !personal(d, classes) || d.Subject.Scheme != one.person.Subject.Scheme {
			continue
		}
		reg := page.Register{
			Handle: one.handle(handleRegister, d.ID), Name: d.Text.In(n.lang), Holder: n.member(d.ID.MemberID), Refused: refused[d.ID], Disabled: d.Disabled,
			Categories: n.held(d, classes), OwnData: s.o.Exchange != nil && n.ownPath(d, s.o.Member, one.person.Subject) != "",
		}
		if d.Assessment != nil {
			reg.Assessment = d.Assessment.String()
		}
		for id, count := range uses[d.ID] {
			reg.Uses = append(reg.Uses, page.AgencyCount{Agency: n.member(id), Count: count})
		}
		slices.SortFunc(reg.Uses, func(a, b page.AgencyCount) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Agency, b.Agency)) })
		v.Registers = append(v.Registers, reg)
	}
	return s.render(w, r, http.StatusOK, page.CataloguePage(s.frame(r, one, page.SectionCatalogue), v))
}

func personal(d *countersign.Service, classes map[countersign.CategoryCode]*countersign.Category) bool {
	return slices.ContainsFunc(d.Categories, func(c countersign.CategoryCode) bool {
		return classes[c] == nil || classes[c].Class != countersign.ClassOpen
	})
}

// held says of each category of a service what it holds and who may ask for it: whoever has a grant for a field of it, for a purpose that the matrix lets touch
// the category.
func (n *names) held(d *countersign.Service, classes map[countersign.CategoryCode]*countersign.Category) (out []page.HeldCategory) {
	for _, code := range d.Categories {
		h := page.HeldCategory{Class: countersign.ClassNever}
		h.Name, h.Special = n.category(code)
		if c := classes[code]; c != nil {
			h.Class = c.Class
		}
		var fields []countersign.FieldPath
		for _, f := range d.Fields {
			if f.Category == code {
				fields = append(fields, f.Path)
			}
		}
		h.Fields = fields
		for i := range d.Grants {
			if g, ok := n.grant(d, &d.Grants[i], code, fields); ok {
				h.Grants = append(h.Grants, g)
			}
		}
		out = append(out, h)
	}
	return out
}

func (n *names) grant(d *countersign.Service, g *countersign.Grant, code countersign.CategoryCode, fields []countersign.FieldPath) (page.HeldGrant, bool) {
	var out page.HeldGrant
	cell := slices.IndexFunc(n.doc.Matrix, func(c countersign.Cell) bool { return c.Purpose == g.Purpose && c.Category == code })
	purpose := n.purposeOf(g.Purpose)
	if cell < 0 || purpose == nil {
		return out, false // LAW: guarantee 3: a blank cell refuses, so that nobody may ask
	}
	for _, f := range g.Fields {
		if slices.Contains(fields, f) || f == "*" {
			out.Fields = append(out.Fields, f)
		}
	}
	if len(out.Fields) == 0 {
		return out, false
	}
	out.Purpose, out.Mandates, out.Keep = purpose.Text.In(n.lang), n.doc.Matrix[cell].Mandates, time.Duration(purpose.Retention)
	for _, b := range purpose.Bases {
		law, article, url := n.basis(b)
		out.Laws = append(out.Laws, page.Law{Name: law, Article: article, URL: url})
	}
	for _, text := range g.Clients {
		if text == "*" {
			out.Agencies = nil
			break
		}
		if id, err := countersign.ParseSubsystemID(text); err == nil {
			out.Agencies = append(out.Agencies, n.member(id.MemberID))
		}
	}
	for i := range n.doc.Programmes {
		if p := &n.doc.Programmes[i]; p.Service == d.ID && p.Purpose == g.Purpose {
			out.Programme = p.Text.In(n.lang)
		}
	}
	return out, true
}

func (s *Server) help(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.o.Directory()
	if err != nil {
		return err
	}
	lang := s.language(r)
	v := page.Help{DelayCap: capOf(doc), Kept: recordLife(doc), ReplyIn: 30 * 24 * time.Hour, AppealIn: 90 * 24 * time.Hour, VerifyFile: "receipt.json"}
	for i := range doc.Members {
		if m := &doc.Members[i]; slices.Contains(m.Roles, countersign.RoleOverseer) && v.Overseer == "" {
			v.Overseer = m.Text.In(lang)
		}
	}
	for _, witness := range doc.Witnesses {
		v.Witnesses = append(v.Witnesses, witness.Organisation)
	}
	one, _ := s.sessions.find(cookieOf(r, s.sessionCookie()), s.o.Clock.Now())
	return s.render(w, r, http.StatusOK, page.HelpPage(s.frame(r, one, page.SectionHelp), v))
}
