package portal

import (
	"archive/zip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// maxExport bounds an export in uses: a hundred thousand are some sixty megabytes of JSON.
const maxExport = 100_000

// collect walks the whole history that fits the session's filter.
func (s *Server) collect(r *http.Request, one *session) ([]*subject.Use, []subject.MemberState, error) {
	q, wrong := one.filtered().query(s.o.Place)
	if len(wrong) > 0 {
		return nil, nil, countersign.Refuse(countersign.CodeBadRequest, "the filter's dates cannot be read: mend them on the timeline")
	}
	q.Most = 0
	var uses []*subject.Use
	var members []subject.MemberState
	err := s.o.Subject.Walk(r.Context(), one.person, q, func(h *subject.History) bool {
		uses, members = append(uses, h.Uses...), h.Members
		return len(uses) < maxExport
	})
	return uses, members, err
}

func (s *Server) export(w http.ResponseWriter, r *http.Request, one *session) error {
	doc, err := s.o.Directory()
	if err != nil {
		return err
	}
	n := &names{doc: doc, lang: s.language(r)}
	uses, members, err := s.collect(r, one)
	if err != nil {
		return err
	}
	v := page.Export{Count: len(uses), Proofs: len(uses), Narrow: one.filtered() != (filter{}), Sources: sourcesOf(n, &subject.History{Members: members})}
	if len(uses) > 0 {
		v.From, v.Until = uses[len(uses)-1].Time, uses[0].Time
	}
	return s.render(w, r, http.StatusOK, page.ExportPage(s.frame(r, one, page.SectionTimeline), v))
}

func (s *Server) exportFile(w http.ResponseWriter, r *http.Request, one *session) error {
	format := r.PathValue("format")
	if format != "csv" && format != "json" && format != "proofs" {
		return countersign.Refuse(countersign.CodeUnknownService, "exports are csv, json and proofs")
	}
	doc, err := s.o.Directory()
	if err != nil {
		return err
	}
	n := &names{doc: doc, lang: s.language(r)}
	uses, members, err := s.collect(r, one)
	if err != nil {
		return err
	}
	h := w.Header()
	attach := func(mime, name string) {
		h.Set("Content-Type", mime)
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	switch format {
	case "csv":
		attach("text/csv; charset=utf-8", "history.csv")
		return writeCSV(w, n, uses)
	case "json":
		attach("application/json", "history.json")
		return writeHistoryJSON(w, one, n, uses, members)
	}
	attach("application/zip", "proofs.zip")
	return s.writeProofs(w, r, one, uses)
}

// exportPrint is every entry on one page.
func (s *Server) exportPrint(w http.ResponseWriter, r *http.Request, one *session) error {
	doc, err := s.o.Directory()
	if err != nil {
		return err
	}
	n := &names{doc: doc, lang: s.language(r)}
	uses, members, err := s.collect(r, one)
	if err != nil {
		return err
	}
	v := page.Timeline{
		Asked: s.o.Clock.Now(), DelayCap: capOf(doc), Kept: recordLife(doc), Total: len(uses), From: min(1, len(uses)), Until: len(uses),
		Sources: sourcesOf(n, &subject.History{Members: members}), Days: days(one, n, uses, s.o.Place), Filter: one.filtered().model(n, nil),
	}
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

func writeCSV(w http.ResponseWriter, n *names, uses []*subject.Use) error {
	out := csv.NewWriter(w)
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = safeCell(cells[i])
		}
		_ = out.Write(cells) // the writer keeps its first error
	}
	row("time", "asked by", "system", "role", "assurance", "on behalf of", "asked of", "service", "purpose", "law", "article", "case", "mandate", "outcome", "reasons",
		"fields", "differences", "exchange", "provider log", "provider index", "consumer log", "consumer index")
	for _, u := range uses {
		st := u.Statement
		if st == nil {
			st = new(countersign.Statement)
		}
		law, article, _ := n.basis(st.Basis)
		cells := []string{
			u.Time.Format(time.RFC3339), n.member(st.Consumer.MemberID), st.Consumer.String(), st.Official.Role, st.Official.Assurance.String(), strings.Join(st.OnBehalfOf, " "),
			n.member(st.Service.MemberID), n.service(st.Service), n.purpose(st.Purpose), law, article, string(st.Case), st.Mandate.Kind.String(), st.Outcome.String(), joinText(st.Reasons),
			joined(st.Fields), joinText(u.Differences), st.Exchange.String(),
		}
		for _, h := range []*subject.Held{u.Provider, u.Consumer} {
			if h == nil {
				cells = append(cells, "", "")
				continue
			}
			cells = append(cells, string(h.Origin), fmt.Sprint(h.Entry.Index))
		}
		row(cells...)
	}
	out.Flush()
	return nil // a browser that went away has nobody to tell
}

func joinText[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return strings.Join(out, " ")
}

func writeHistoryJSON(w http.ResponseWriter, one *session, n *names, uses []*subject.Use, members []subject.MemberState) error {
	out := apiHistory{Complete: (&subject.History{Members: members}).Complete(), Members: apiMembers(n, members), Uses: []apiUse{}}
	for _, u := range uses {
		out.Uses = append(out.Uses, apiUseOf(one, n, u))
	}
	return writeJSON(w, out)
}

// writeProofs gives every receipt with the policy, for countersign verify, in one archive.
func (s *Server) writeProofs(w http.ResponseWriter, r *http.Request, one *session, uses []*subject.Use) error {
	policy, err := s.o.Policy()
	if err != nil {
		return err
	}
	archive := zip.NewWriter(w)
	add := func(name string, text []byte) error {
		f, err := archive.Create(name)
		if err == nil {
			_, err = f.Write(text)
		}
		return err
	}
	if err := add("policy.txt", policy); err != nil {
		return nil //nolint:nilerr // the browser went away: nobody is left to tell
	}
	var lacking []string
	for _, u := range uses {
		for _, h := range []*subject.Held{u.Provider, u.Consumer} {
			if h == nil || r.Context().Err() != nil {
				continue
			}
			name := fmt.Sprintf("%s-%d.json", strings.ReplaceAll(string(h.Origin), "/", "_"), h.Entry.Index)
			receipt, err := s.o.Subject.Receipt(r.Context(), one.person, h.Member, h.Gateway, h.Entry.Index)
			if err != nil {
				lacking = append(lacking, name+": "+countersign.MessageOf(err))
				continue
			}
			text, err := json.MarshalIndent(receipt, "", "  ")
			if err != nil {
				return countersign.RefuseBecause(countersign.CodeInternal, err, "a receipt cannot be written")
			}
			if err := add(name, text); err != nil {
				return nil //nolint:nilerr // as above
			}
		}
	}
	if len(lacking) > 0 { // none is left out in silence
		if err := add("lacking.txt", []byte(strings.Join(lacking, "\n")+"\n")); err != nil {
			return nil //nolint:nilerr // as above
		}
	}
	_ = archive.Close() // as above
	return nil
}
