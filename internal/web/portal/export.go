package portal

import (
	"net/http"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// What is put on one page or into one archive, in uses. Tables and data files have no bound: they are written as they are read.
const (
	countUpTo = 1_000 // the page of exports counts no further
	maxPrint  = 1_000
	maxProofs = 5_000 // each takes a question or two to gateways
)

// walk gives the history that fits the session's filter, page by page. What visit gives as an error is its own.
func (s *Server) walk(r *http.Request, one *session, visit func(*subject.History) (more bool, err error)) error {
	q, wrong := one.filtered().query(s.o.Place)
	if len(wrong) > 0 {
		return countersign.Refuse(countersign.CodeBadRequest, "the filter's dates cannot be read: mend them on the timeline")
	}
	q.Most = 0
	var own error
	err := s.o.Subject.Walk(r.Context(), one.person, q, func(h *subject.History) bool {
		var more bool
		more, own = visit(h)
		return more && own == nil
	})
	if own != nil {
		return own
	}
	return err
}

func (s *Server) export(w http.ResponseWriter, r *http.Request, one *session) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	v := page.Export{Narrow: one.filtered() != (filter{}), Proofs: maxProofs, Print: maxPrint}
	err = s.walk(r, one, func(h *subject.History) (bool, error) {
		v.Sources = sourcesOf(n, h)
		if len(h.Uses) > 0 {
			if v.Count == 0 {
				v.Until = h.Uses[0].Time
			}
			v.From = h.Uses[len(h.Uses)-1].Time
		}
		v.Count += len(h.Uses)
		v.More = h.More && v.Count >= countUpTo
		return !v.More, nil
	})
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, page.ExportPage(s.frame(r, one, page.SectionTimeline), v))
}

// exportPrint is every entry on one page, or the newest where one page cannot hold all; it says so.
func (s *Server) exportPrint(w http.ResponseWriter, r *http.Request, one *session) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	v := page.Timeline{Asked: s.o.Clock.Now(), DelayCap: capOf(n.doc), Kept: recordLife(n.doc), Filter: one.filtered().model(n, nil)}
	var uses []*subject.Use
	err = s.walk(r, one, func(h *subject.History) (bool, error) {
		v.Sources, uses = sourcesOf(n, h), append(uses, h.Uses...)
		v.Cut = len(uses) > maxPrint || len(uses) == maxPrint && h.More
		return len(uses) <= maxPrint && !v.Cut, nil
	})
	if err != nil {
		return err
	}
	uses = uses[:min(len(uses), maxPrint)]
	v.Total, v.From, v.Until, v.Days = len(uses), min(1, len(uses)), len(uses), days(one, n, uses, s.o.Place)
	return s.render(w, r, http.StatusOK, page.PrintPage(s.frame(r, one, page.SectionTimeline), v))
}

// safeCell keeps a spreadsheet from taking a text for a formula.
//
// SPEC: OWASP, CSV injection: a cell that begins with one of = + - @, a tab or a line break is put behind an apostrophe.
func safeCell(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' {
			return ' '
		}
		return r
	}, s)
	if trimmed := strings.TrimLeft(s, " \u00a0\n"); trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@|%") {
		return "'" + s
	}
	return s
}
