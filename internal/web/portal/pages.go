package portal

import (
	"bytes"
	"context"
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
func (s *Server) pages(mux *http.ServeMux, open func(string, func(http.ResponseWriter, *http.Request) error), own func(string, personal)) {
	mux.Handle("GET "+web.AssetPath, s.o.Assets)
	open("GET "+page.PathLanguage, s.chooseLanguage)
	own("GET "+page.PathTimeline, s.timeline)
	own("POST "+page.PathTimeline, s.narrow)
	own("GET "+page.PathTimelinePage, s.timelinePage)
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
	code := countersign.CodeOf(err)
	attrs := []any{slog.String("code", code.String()), slog.String("error", countersign.MessageOf(err))}
	if code == countersign.CodeInternal || code == countersign.CodeStore {
		attrs = append(attrs, slog.Any("cause", err))
	}
	s.o.Logger.InfoContext(r.Context(), "request not served", attrs...)
	subject.WriteProblem(w, err)
}
