package portal

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// maxText is how long a text of a case may be, in characters.
const maxText = 4000

var (
	objectGrounds  = []page.CaseGround{page.GroundNoReason, page.GroundNotMyCase, page.GroundTooMuch, page.GroundKnown, page.GroundConsent, page.GroundOther}
	correctGrounds = []page.CaseGround{page.GroundWrong, page.GroundOld, page.GroundIncomplete, page.GroundOther}
)

func pageKind(k subject.CaseKind) page.CaseKind {
	if k == subject.CaseCorrection {
		return page.CaseCorrect
	}
	return page.CaseObject
}

// caseList shows a person's cases.
func (s *Server) caseList(w http.ResponseWriter, r *http.Request, one *session) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	if err := s.o.Cases.Tick(r.Context()); err != nil { // the person sees the clock as it is
		return err
	}
	var v page.Cases
	for _, c := range s.o.Cases.Of(one.person.Subject) {
		_, steps, err := s.o.Cases.Thread(r.Context(), one.person.Subject, c.Number)
		if err != nil {
			return err
		}
		v.Cases = append(v.Cases, summary(one, n, &c, steps))
	}
	return s.render(w, r, http.StatusOK, page.CasesPage(s.frame(r, one, page.SectionCases), v))
}

func summary(one *session, n *names, c *subject.Case, steps []subject.RecordedStep) page.CaseSummary {
	v := page.CaseSummary{
		Handle: one.handle(handleCase, c.Number), Number: string(c.Number), Kind: pageKind(c.Kind), State: page.CaseState(c.State), Against: n.member(c.Against),
		Opened: c.Opened, Due: c.Due, Waiting: c.State == subject.CaseAnswered,
	}
	if len(steps) > 0 && steps[0].About != nil {
		v.About = n.service(steps[0].About.Service)
	}
	return v
}

// oneCase opens a case of the session's person.
func (s *Server) oneCase(r *http.Request, one *session) (*subject.Case, []subject.RecordedStep, error) {
	var number subject.CaseNumber
	if err := one.openHandle(handleCase, r.PathValue("handle"), &number); err != nil {
		return nil, nil, err
	}
	c, steps, err := s.o.Cases.Thread(r.Context(), one.person.Subject, number)
	return &c, steps, err
}

func (s *Server) showCase(w http.ResponseWriter, r *http.Request, one *session) error {
	return s.renderCase(w, r, one, http.StatusOK, nil, "")
}

func (s *Server) renderCase(w http.ResponseWriter, r *http.Request, one *session, status int, wrong page.FieldErrors, text string) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	if err := s.o.Cases.Tick(r.Context()); err != nil {
		return err
	}
	c, steps, err := s.oneCase(r, one)
	if err != nil {
		return err
	}
	v := page.Case{
		Summary: summary(one, n, c, steps), ClockFrom: c.Since, MayReply: !c.State.Closed(), MayWithdraw: !c.State.Closed(), MayAppeal: c.State == subject.CaseAnswered,
		Errors: wrong, Text: text,
	}
	if about := steps[0].About; about != nil && c.Kind == subject.CaseCorrection {
		v.Register, v.Field = n.service(about.Service), about.Field
	} else if about != nil {
		// The use is asked for again, live; where its gateways do not answer, the case is shown without it.
		if u, _, err := s.o.Subject.Find(r.Context(), one.person, about.At.Time(), about.Use); err == nil {
			e := entryOf(one, n, u)
			v.Entry = &e
		}
	}
	policy, noPolicy := s.policy()
	for i := range steps {
		if steps[i].Kind == subject.StepSettled {
			continue // the state says it
		}
		v.Steps = append(v.Steps, s.caseStep(r, one, n, policy, noPolicy, &steps[i]))
	}
	return s.render(w, r, status, page.CasePage(s.frame(r, one, page.SectionCases), v))
}

func (s *Server) caseStep(r *http.Request, one *session, n *names, policy *countersign.Policy, noPolicy error, step *subject.RecordedStep) page.CaseStep {
	v := page.CaseStep{
		When: step.At.Time(), By: page.CaseParty(step.By), Kind: page.CaseStepKind(step.Kind), Text: step.Text, Before: step.Before, After: step.After,
	}
	if !step.Member.IsZero() {
		v.Name = n.member(step.Member)
	}
	if step.Official != "" {
		v.Official = step.Official + ", " + step.Role
	}
	leaf, err := countersign.ParseLeaf(step.Leaf)
	if err != nil {
		v.Proof = page.ProofFails
		return v
	}
	p := s.sideProof(r, one, policy, noPolicy, &subject.Held{Member: s.o.Member, Gateway: s.o.Gateway, Leaf: leaf, Entry: subject.Entry{Index: step.Index, Time: step.At}})
	v.Proof, v.Receipt = p.State, p.Receipt
	return v
}

// personStep takes a step of the person's and shows the case.
func (s *Server) personStep(kind subject.StepKind, field string, done page.Flash) personalHandler {
	return func(w http.ResponseWriter, r *http.Request, one *session) error {
		c, _, err := s.oneCase(r, one)
		if err != nil {
			return err
		}
		text := ""
		if field != "" {
			text = strings.TrimSpace(r.PostFormValue(field))
			if problem := textProblem(text); problem != "" {
				return s.renderCase(w, r, one, http.StatusUnprocessableEntity, page.FieldErrors{field: problem}, text)
			}
		}
		if _, err := s.o.Cases.PersonStep(r.Context(), one.person.Subject, c.Number, kind, text); err != nil {
			return err
		}
		one.say(done)
		http.Redirect(w, r, strings.Replace(page.PathCase, "{handle}", string(one.handle(handleCase, c.Number)), 1), http.StatusSeeOther)
		return nil
	}
}

func textProblem(text string) string {
	switch {
	case text == "":
		return "text"
	case utf8.RuneCountInString(text) > maxText:
		return "text-long"
	}
	return ""
}

// caseExport gives a case as a file: each step with the salt and the leaf that it opens, so that anybody can check it.
func (s *Server) caseExport(w http.ResponseWriter, r *http.Request, one *session) error {
	c, steps, err := s.oneCase(r, one)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="case.json"`)
	return writeJSON(w, map[string]any{"case": c, "steps": steps})
}

// objection shows the form that objects to a use, and takes it.
func (s *Server) objection(w http.ResponseWriter, r *http.Request, one *session) error {
	u, err := s.useOf(r, one)
	if err != nil {
		return err
	}
	if u.Statement == nil || u.Kind == countersign.LeafView {
		return countersign.Refuse(countersign.CodeUnknownService, "there is nothing to object to here")
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	e := entryOf(one, n, u)
	form := page.NewCase{Kind: page.CaseObject, Entry: &e, Handle: e.Handle, Against: e.Asker.Agency, Grounds: objectGrounds, ReplyDays: int(subject.ReplyWithin / (24 * time.Hour))}
	st := u.Statement
	return s.newCase(w, r, one, form, subject.NewCase{
		Kind: subject.CaseObjection, Against: st.Consumer.MemberID,
		About: subject.About{Use: u.ID, At: countersign.MillisOf(u.Time), Service: st.Service, Trace: st.Exchange},
	})
}

// correction shows the form that wants held data corrected, and takes it.
func (s *Server) correction(w http.ResponseWriter, r *http.Request, one *session) error {
	var id countersign.ServiceID
	if err := one.openHandle(handleRegister, r.PathValue("handle"), &id); err != nil {
		return err
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	d := n.find(id)
	if d == nil {
		return countersign.Refuse(countersign.CodeUnknownService, "the directory knows no such register any more")
	}
	form := page.NewCase{
		Kind: page.CaseCorrect, Register: n.service(id), Handle: one.handle(handleRegister, id), Against: n.member(id.MemberID), Grounds: correctGrounds,
		ReplyDays: int(subject.ReplyWithin / (24 * time.Hour)), Field: countersign.FieldPath(r.PostFormValue("field")),
	}
	for _, f := range d.Fields {
		form.Fields = append(form.Fields, f.Path)
	}
	return s.newCase(w, r, one, form, subject.NewCase{
		Kind: subject.CaseCorrection, Against: id.MemberID, About: subject.About{Service: id, Field: form.Field},
	})
}

// newCase shows a form, or opens the case that it asks for.
func (s *Server) newCase(w http.ResponseWriter, r *http.Request, one *session, form page.NewCase, c subject.NewCase) error {
	section := page.SectionTimeline
	if c.Kind == subject.CaseCorrection {
		section = page.SectionCatalogue
	}
	if r.Method != http.MethodPost {
		return s.render(w, r, http.StatusOK, page.NewCasePage(s.frame(r, one, section), form))
	}
	form.Ground, form.Text, form.Errors = page.CaseGround(r.PostFormValue("ground")), strings.TrimSpace(r.PostFormValue("text")), page.FieldErrors{}
	if !slices.Contains(form.Grounds, form.Ground) {
		form.Errors["ground"] = "ground"
	}
	if len(form.Fields) > 0 && !slices.Contains(form.Fields, form.Field) {
		form.Errors["field"] = "field"
	}
	if problem := textProblem(form.Text); problem != "" {
		form.Errors["text"] = problem
	}
	if len(form.Errors) > 0 {
		return s.render(w, r, http.StatusUnprocessableEntity, page.NewCasePage(s.frame(r, one, section), form))
	}
	c.Ground, c.Text = string(form.Ground), form.Text
	opened, err := s.o.Cases.Open(r.Context(), one.person.Subject, c)
	if err != nil {
		return err
	}
	one.say(page.FlashCaseOpened)
	http.Redirect(w, r, strings.Replace(page.PathCase, "{handle}", string(one.handle(handleCase, opened.Number)), 1), http.StatusSeeOther)
	return nil
}

// casesOn lists the person's cases on one use.
func (s *Server) casesOn(r *http.Request, one *session, n *names, use string) (out []page.CaseSummary, err error) {
	for _, c := range s.o.Cases.Of(one.person.Subject) {
		_, steps, err := s.o.Cases.Thread(r.Context(), one.person.Subject, c.Number)
		if err != nil {
			return nil, err
		}
		if len(steps) > 0 && steps[0].About != nil && steps[0].About.Use == use {
			out = append(out, summary(one, n, &c, steps))
		}
	}
	return out, nil
}
