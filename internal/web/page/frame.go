package page

import (
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web"
)

// T, N and the others below are the locale's, shortened for the templates.

// T gives a message of the page's language.
func (f Frame) T(id string, values ...any) string { return f.Locale.T(id, values...) }

// N gives a message in the plural form of a count.
func (f Frame) N(id string, count int, values ...any) string { return f.Locale.N(id, count, values...) }

// URL is an address of ours, with a handle in the place of {handle} and words in other places.
func (f Frame) URL(path string, handle ...Handle) string {
	for _, h := range handle {
		if open := strings.IndexByte(path, '{'); open >= 0 {
			if end := strings.IndexByte(path[open:], '}'); end >= 0 {
				path = path[:open] + string(h) + path[open+end+1:]
			}
		}
	}
	if f.Link != nil {
		return f.Link(path)
	}
	return path
}

// title is the text of the browser's tab. What went wrong comes first, since a screen reader says it first.
func (f Frame) title(name string, errors FieldErrors) string {
	parts := []string{name, f.T("product")}
	if len(errors) > 0 {
		return f.T("error.title", "Title", strings.Join(parts, " – "))
	}
	return strings.Join(parts, " – ")
}

// section is one entry of the navigation.
type section struct {
	Section Section
	Path    string
	Waiting int
}

func (f Frame) sections() []section {
	return []section{
		{SectionTimeline, PathTimeline, 0}, {SectionYear, PathYear, 0}, {SectionCatalogue, PathCatalogue, 0},
		{SectionCases, PathCases, f.Cases}, {SectionConsents, PathConsents, f.Consents}, {SectionSettings, PathSettings, 0}, {SectionHelp, PathHelp, 0},
	}
}

// Languages builds the choices of the language switch for a page. back is the page's own path, to return to.
func Languages(all *web.Locales, current, back string) []Language {
	var out []Language
	for _, tag := range all.Tags() {
		out = append(out, Language{
			Tag: tag, Name: all.In(tag, nil).T("language.name"), Current: tag == current,
			URL: PathLanguage + "?to=" + tag + "&back=" + back,
		})
	}
	return out
}

// who names the asker in a line: role and agency's own word for the official.
func (f Frame) who(a Asker) string {
	switch {
	case a.Self:
		return f.T("asker.self")
	case a.Overseer && a.Role == "":
		return f.T("asker.overseer")
	case a.Role != "" && a.Official != "":
		return a.Role + ", " + a.Official
	case a.Role != "":
		return a.Role
	case a.Official != "":
		return a.Official
	case a.Assurance == countersign.AssuranceAutomated:
		return f.T("asker.automated")
	}
	return f.T("asker.unnamed")
}

// whoAssured is who, and how well they are known; a computer is known by being one.
func (f Frame) whoAssured(a Asker) string {
	if a.Role == "" && a.Official == "" && a.Assurance == countersign.AssuranceAutomated {
		return f.who(a)
	}
	return f.who(a) + ", " + f.assurance(a.Assurance)
}

// assurance says in a few words how well the official is known.
func (f Frame) assurance(a countersign.Assurance) string {
	if a == 0 {
		return f.T("assurance.short.none")
	}
	return f.T("assurance.short." + a.String())
}

func (f Frame) assuranceLong(a countersign.Assurance) string {
	if a == 0 {
		return f.T("assurance.long.none")
	}
	return f.T("assurance.long." + a.String())
}

// outcome is the word for how an entry ended. Nothing is shown as good by forgetting to say how it ended.
func (f Frame) outcome(e Entry) string {
	switch e.Outcome {
	case countersign.OutcomeReleased, countersign.OutcomeReceived:
		return f.T("outcome.released")
	case countersign.OutcomeRefused:
		return f.T("outcome.refused")
	case countersign.OutcomeNotAccepted:
		return f.T("outcome.not-accepted")
	}
	return f.T("outcome.failed")
}

// left reports whether data left the register.
func (e Entry) left() bool {
	return e.Outcome == countersign.OutcomeReleased || e.Outcome == countersign.OutcomeReceived || e.Outcome == countersign.OutcomeNotAccepted
}

func (e Entry) stateClass() string {
	if e.left() {
		return "cs-tag cs-tag--released"
	}
	return "cs-tag cs-tag--refused"
}

func (i Item) class() string {
	e := i.Entries[0]
	switch {
	case e.has(NoticeProof):
		return "cs-item cs-item--bad"
	case !e.left():
		return "cs-item cs-item--refused"
	case e.Asker.Self:
		return "cs-item cs-item--own"
	}
	return "cs-item"
}

func (e Entry) has(n Notice) bool {
	for _, x := range e.Notices {
		if x == n {
			return true
		}
	}
	return false
}

// count is how many entries an item stands for.
func (i Item) count() int {
	if i.Count > 0 {
		return i.Count
	}
	return len(i.Entries)
}

// oldest is the earliest entry of an item that is at hand.
func (i Item) oldest() Entry { return i.Entries[len(i.Entries)-1] }

func (d Day) count() int {
	n := 0
	for _, i := range d.Items {
		n += i.count()
	}
	return n
}

// reason is the sentence for a refusal's code.
func (f Frame) reason(c countersign.Code) string {
	if f.Locale.Has("reason." + c.String()) {
		return f.T("reason." + c.String())
	}
	return f.T("reason.unknown")
}

// reasons joins the sentences of all reasons.
func (f Frame) reasons(codes []countersign.Code) string {
	var out []string
	for _, c := range codes {
		out = append(out, f.reason(c))
	}
	return strings.Join(out, " ")
}

func noticeClass(n Notice) string {
	switch n {
	case NoticeProof:
		return "cs-tag cs-tag--bad"
	case NoticeEmergency, NoticeUnwitnessed, NoticeDelayed, NoticeNotAccepted:
		return "cs-tag cs-tag--warn"
	}
	return "cs-tag"
}

// law names an article.
func (f Frame) law(l Law) string { return f.T("law.article", "Law", l.Name, "Article", l.Article) }

// missing are the sources whose entries a page lacks, and slow tells that some may still come.
func missing(sources []Source) []Source {
	var out []Source
	for _, s := range sources {
		if s.State != SourceAnswered {
			out = append(out, s)
		}
	}
	return out
}

func invalid(sources []Source) bool {
	for _, s := range sources {
		if s.State == SourceInvalid {
			return true
		}
	}
	return false
}

func (f Frame) source(s Source) string {
	text := f.T("source."+string(s.State), "Agency", s.Agency)
	if !s.Since.IsZero() {
		text += " " + f.T("source.since", "Moment", f.Locale.Moment(s.Since))
	}
	return text
}

// left tells how long a clock still runs, or that it has run out.
func (f Frame) remaining(due time.Time) string {
	if d := due.Sub(f.Now); d > 0 {
		return f.T("clock.left", "Span", f.Locale.Lasts(d))
	}
	return f.T("clock.over")
}

// sorted gives a list in the order of the page's language.
func sorted[T any](f Frame, list []T, text func(T) string) []T {
	out := append([]T(nil), list...)
	web.SortBy(f.Locale, out, text)
	return out
}

func choiceLabel(c Choice) string { return c.Label }
func sourceName(s Source) string  { return s.Agency }
func same(s string) string        { return s }
