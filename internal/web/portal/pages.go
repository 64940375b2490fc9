package portal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/page"
)

// pages adds the routes of pages.
func (s *Server) pages(mux *http.ServeMux, open func(string, func(http.ResponseWriter, *http.Request) error), own func(string, personalHandler)) {
	mux.Handle("GET "+web.AssetPath, s.o.Assets)
	open("GET "+page.PathHome+"{$}", s.home)
	open("GET "+page.PathLogin, s.home)
	open("GET "+page.PathHelp, s.help)
	open("GET "+page.PathLanguage, s.chooseLanguage)
	own("GET "+page.PathTimeline, s.timeline)
	own("POST "+page.PathTimeline, s.narrow)
	own("GET "+page.PathTimelinePage, s.timelinePage)
	own("GET "+page.PathEntry, s.entry)
	own("GET "+page.PathCheck, s.browserCheck)
	own("GET "+page.PathPolicy, s.policyFile)
	own("GET "+page.PathYear, s.year)
	own("GET "+page.PathYearOf, s.yearOf)
	own("GET "+page.PathCatalogue, s.catalogue)
	own("POST "+page.PathOwnData, s.ownData)
	own("GET "+page.PathOwnData, s.backToCatalogue)
	own("GET "+page.PathCases, s.caseList)
	own("GET "+page.PathCase, s.showCase)
	own("POST "+page.PathCaseReply, s.personStep(subject.StepReplied, "text", page.FlashCaseReplied))
	own("POST "+page.PathCaseAppeal, s.personStep(subject.StepAppealed, "appeal", page.FlashCaseAppealed))
	own("POST "+page.PathCaseWithdraw, s.personStep(subject.StepWithdrawn, "", page.FlashCaseWithdrawn))
	own("GET "+page.PathCaseExport, s.caseExport)
	own("GET "+page.PathObject, s.objection)
	own("POST "+page.PathObject, s.objection)
	own("GET "+page.PathCorrect, s.correction)
	own("POST "+page.PathCorrect, s.correction)
	s.consentRoutes(own)
	s.noticeRoutes(open, own)
	own("GET "+page.PathExport, s.export)
	own("GET "+page.PathExportFile, s.exportFile)
	own("GET "+page.PathExportPrint, s.exportPrint)
	open("/", func(http.ResponseWriter, *http.Request) error {
		return countersign.Refuse(countersign.CodeUnknownService, "there is no page at this address")
	})
}

// home is the login, or the way on for whoever is logged in.
func (s *Server) home(w http.ResponseWriter, r *http.Request) error {
	if _, ok := s.sessions.find(cookieOf(r, s.sessionCookie()), s.o.Clock.Now()); ok {
		http.Redirect(w, r, page.PathTimeline, http.StatusSeeOther)
		return nil
	}
	lang := s.language(r)
	v := page.Login{SignedOut: r.URL.Query().Has("signedout"), Expired: r.URL.Query().Has("expired")}
	for _, i := range s.issuers {
		v.Issuers = append(v.Issuers, page.Issuer{Handle: issuerHandle(i), Name: s.issuerName(i, lang), CaseCode: i.CaseCode})
	}
	return s.render(w, r, http.StatusOK, page.LoginPage(s.frame(r, nil, ""), v))
}

// component is what a page's constructor gives: templ.Component.
type component interface {
	Render(ctx context.Context, w io.Writer) error
}

// render writes a page whole or not at all.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, c component) error {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "the page cannot be written")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

// frame is what every page carries around its content. one is nil where nobody is logged in.
func (s *Server) frame(r *http.Request, one *session, section page.Section) page.Frame {
	lang := s.language(r)
	back := r.URL.Path
	if r.Method != http.MethodGet {
		back = page.PathHome
	}
	f := page.Frame{
		Locale: s.o.Locales.In(lang, s.o.Place), Assets: s.o.Assets, Languages: page.Languages(s.o.Locales, lang, back), Now: s.o.Clock.Now(), Section: section,
	}
	if doc, err := s.o.Directory(); err == nil {
		f.Federation, f.Demo = doc.Name.In(lang), doc.Demo
	}
	if one != nil {
		f.Person, f.CSRF, f.Flash, f.Expires = masked(one.person.Subject), one.csrf, one.takeFlash(), s.sessions.ends(one)
		for _, c := range s.o.Cases.Of(one.person.Subject) {
			if c.State == subject.CaseAnswered {
				f.Cases++
			}
		}
		f.Consents = s.waitingConsents(r.Context(), one)
	}
	return f
}

// masked greets a person by the end of the identifier: enough to know that it is one's own, too little for whoever looks over a shoulder.
func masked(id countersign.SubjectID) string {
	r := []rune(id.Value)
	return "…" + string(r[max(0, len(r)-3):])
}

// chooseLanguage keeps the language in a cookie and returns to a page of ours.
func (s *Server) chooseLanguage(w http.ResponseWriter, r *http.Request) error {
	to := s.o.Locales.Match(r.URL.Query().Get("to"))
	http.SetCookie(w, &http.Cookie{
		Name: cookieLanguage, Value: to, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), HttpOnly: true, Secure: s.tls, SameSite: http.SameSiteLaxMode,
	})
	back := r.URL.Query().Get("back")
	if !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.ContainsAny(back, "\\\r\n") {
		back = page.PathHome // an address of another site would make us a place to bounce people from
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// fail renders an error once: for a program as a problem document, for a person as a page. Whoever is not logged in is sent to the login.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	reference := s.report(r, err)
	code := countersign.CodeOf(err)
	switch {
	case wantsJSON(r):
		subject.WriteProblem(w, err)
		return
	case errors.Is(err, errLoggedOut):
		to := page.PathHome
		if cookieOf(r, s.sessionCookie()) != "" {
			s.setCookie(w, s.sessionCookie(), "", -1)
			to += "?expired=1"
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	v := page.Problem{Status: subject.StatusOf(code), Code: code, Kind: problemKind(r, code), Detail: countersign.MessageOf(err), Reference: reference}
	one, _ := s.sessions.find(cookieOf(r, s.sessionCookie()), s.o.Clock.Now())
	if err := s.render(w, r, v.Status, page.ProblemPage(s.frame(r, one, ""), v)); err != nil {
		subject.WriteProblem(w, err)
	}
}

// report logs an error once, and gives the reference by which the operator finds it.
func (s *Server) report(r *http.Request, err error) (reference string) {
	reference = countersign.NewExchangeID(s.o.Clock.Now()).String()
	attrs := []any{slog.String("id", reference), slog.String("code", countersign.CodeOf(err).String()), slog.String("error", countersign.MessageOf(err))}
	if why := countersign.CauseOf(err); why != nil {
		attrs = append(attrs, slog.String("cause", why.Error()))
	}
	s.o.Logger.InfoContext(r.Context(), "request not served", attrs...)
	return reference
}

func problemKind(r *http.Request, code countersign.Code) page.ProblemKind {
	if strings.HasPrefix(r.URL.Path, page.PathLogin) && code != countersign.CodeBudget && code != countersign.CodeBusy {
		return page.ProblemLogin
	}
	switch code {
	case countersign.CodeUnknownService, countersign.CodeUnknownMember:
		return page.ProblemNotFound
	case countersign.CodeAccessDenied:
		return page.ProblemExpired
	case countersign.CodeBudget:
		return page.ProblemTooMany
	case countersign.CodeBusy, countersign.CodeNetwork, countersign.CodeStaleDirectory, countersign.CodeStore, countersign.CodeMaintenance, countersign.CodeNoQuorum:
		return page.ProblemUnavailable
	}
	return page.ProblemInternal
}
