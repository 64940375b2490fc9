package page

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// agency names the asker in a heading.
func (f Frame) agency(a Asker) string {
	if a.Self {
		return f.T("asker.self")
	}
	return a.Agency
}

// relation is the message for others shown in the same answer.
func (f Frame) relation(key string) string {
	switch key {
	case "spouse", "child", "parent", "owner":
		return "relation." + key
	}
	return "relation.unknown"
}

// lowered writes words as they stand within a sentence.
func (f Frame) lowered(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = f.Locale.Lower(w)
	}
	return out
}

// key is the state in message ids. What nobody has checked is never shown as anything better.
func (s ProofState) key() string {
	if s == ProofUnchecked {
		return "unchecked"
	}
	return string(s)
}

func (p Proof) class() string {
	switch p.State {
	case ProofHolds, ProofDestroyed:
		return ""
	case ProofFails, ProofBroken:
		return "cs-proof--bad"
	}
	return "cs-proof--wait"
}

// bar is one month or day of a chart, in the units of its view box.
type bar struct {
	X, Width         int
	ReleasedY        int
	ReleasedHeight   int
	RefusedY         int
	RefusedHeight    int
	Released, Merely int
}

// chart is the geometry of a year or a month.
type chart struct {
	Width, Height int
	Base          int // y of the zero line
	Left          int // x where bars begin
	Bars          []bar
	Lines         []gridLine
}

type gridLine struct{ Y, Value int }

// draw lays a year or a month out. Every number is whole, so that the picture is sharp and the same everywhere.
func draw(y Year, width, height int) chart {
	const top, foot, digit = 16, 26, 9
	most := 0
	for _, m := range y.Counts {
		most = max(most, m.Released+m.Refused)
	}
	step := gridStep(most)
	ceiling := max((most+step-1)/step, 1) * step
	left := max(36, 18+digit*len(strconv.Itoa(ceiling))) // room for the numbers of the lines
	c := chart{Width: width, Height: height, Base: height - foot, Left: left}
	tall := c.Base - top
	for v := 0; v <= ceiling; v += step {
		c.Lines = append(c.Lines, gridLine{c.Base - tall*v/ceiling, v})
	}
	slot := (width - left) / max(len(y.Counts), 1)
	for i, m := range y.Counts {
		b := bar{X: left + i*slot + slot/6, Width: slot * 2 / 3, Released: m.Released, Merely: m.Refused}
		b.ReleasedHeight = tall * m.Released / ceiling
		b.RefusedHeight = tall * m.Refused / ceiling
		if m.Refused > 0 {
			b.RefusedHeight = max(b.RefusedHeight, 4) // a refusal is never too small to be seen
		}
		b.ReleasedY = c.Base - b.ReleasedHeight
		b.RefusedY = b.ReleasedY - b.RefusedHeight
		c.Bars = append(c.Bars, b)
	}
	return c
}

// gridStep is 1, 2 or 5 times a power of ten, such that four lines at most are drawn.
func gridStep(most int) int {
	for step := 1; ; step *= 10 {
		for _, k := range []int{1, 2, 5} {
			if most <= step*k*4 {
				return step * k
			}
		}
	}
}

// uses adds up what is counted.
func (y Year) uses() (released, refused int) {
	for _, m := range y.Counts {
		released += m.Released
		refused += m.Refused
	}
	return released, refused
}

// ranked puts agencies that asked most first, and equals in the language's order.
func (f Frame) ranked(list []AgencyUse) []AgencyUse {
	out := sorted(f, list, func(a AgencyUse) string { return a.Agency })
	slices.SortStableFunc(out, func(a, b AgencyUse) int { return b.Total() - a.Total() })
	return out
}

// gone is how much of a clock has run, from 0 to 100.
func gone(from, due, now time.Time) int {
	all := due.Sub(from)
	if all <= 0 {
		return 100
	}
	return int(min(max(100*now.Sub(from)/all, 0), 100))
}

// stepBy names who took a step of a case.
func (f Frame) stepBy(s CaseStep) string {
	if s.Name != "" {
		return s.Name
	}
	return f.T("party." + string(s.By))
}

func caseTag(s CaseState) string {
	switch s {
	case CaseUpheld:
		return "cs-tag cs-tag--good"
	case CaseOverdue:
		return "cs-tag cs-tag--bad"
	case CaseOpen, CaseAnswered, CaseAppealed:
		return "cs-tag cs-tag--warn"
	}
	return "cs-tag"
}

func consentTag(s ConsentState) string {
	switch s {
	case ConsentGiven:
		return "cs-tag cs-tag--good"
	case ConsentPending:
		return "cs-tag cs-tag--warn"
	}
	return "cs-tag"
}

func classTag(c countersign.Class) string {
	switch c {
	case countersign.ClassNever, countersign.ClassWarrant:
		return "cs-tag cs-tag--refused"
	case countersign.ClassConsent, countersign.ClassConsentWarrant:
		return "cs-tag cs-tag--released"
	}
	return "cs-tag"
}

// class is the key of a class's words; what is not known counts as never exchanged, as it is treated.
func classKey(c countersign.Class) string {
	switch c {
	case countersign.ClassOpen:
		return "open"
	case countersign.ClassRelation:
		return "relation"
	case countersign.ClassConsent:
		return "consent"
	case countersign.ClassConsentWarrant:
		return "consent-warrant"
	case countersign.ClassWarrant:
		return "warrant"
	}
	return "never"
}

func mandateNames(f Frame, kinds []countersign.MandateKind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, f.T("mandate.short."+k.String()))
	}
	return strings.Join(out, " / ")
}

// rows puts the values of own data into groups that belong together.
func (o OwnData) rows() [][]DataRow {
	var out [][]DataRow
	for i, r := range o.Rows {
		if i == 0 || r.Group != o.Rows[i-1].Group {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], r)
	}
	return out
}

// problem chooses the sentences of an error page.
func (p Problem) key() string {
	if p.Kind != "" {
		return string(p.Kind)
	}
	switch p.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return string(ProblemNotFound)
	case http.StatusUnauthorized:
		return string(ProblemExpired)
	case http.StatusForbidden:
		return string(ProblemForbidden)
	case http.StatusTooManyRequests:
		return string(ProblemTooMany)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return string(ProblemUnavailable)
	}
	return string(ProblemInternal)
}

// yearSummary is a year or a month in a sentence or two: what the chart says.
func (f Frame) yearSummary(y Year) string {
	released, refused := y.uses()
	kind := "year."
	switch {
	case !y.Reached.IsZero() || !y.Begun.IsZero():
		kind = "year.part."
	case released+refused == 0 && y.Month > 0:
		return f.T("year.month.none")
	case released+refused == 0:
		return f.T("year.none")
	case y.Month > 0:
		kind = "year.month."
	}
	text := f.N(kind+"summary", released)
	if refused > 0 {
		text += " " + f.N("year.summary.refused", refused)
	}
	return text
}

// askedSince says of what time a register's uses are counted.
func (f Frame) askedSince(v Catalogue) string {
	if v.Reached.IsZero() {
		return f.T("held.uses")
	}
	return f.T("held.since", "Moment", f.Locale.Moment(v.Reached))
}

// yearTitle names a year or a month.
func (f Frame) yearTitle(y Year) string {
	if y.Month > 0 {
		return f.T("year.month.title", "Month", f.Locale.Month(y.Month), "Year", y.Year)
	}
	return f.T("year.title", "Year", y.Year)
}

// otherKey is the message that names the way to the years or months beside this one.
func (y Year) otherKey() string {
	if y.Month > 0 {
		return "year.month.other"
	}
	return "year.other"
}

// neighbour names the year or month that lies by steps away.
func (f Frame) neighbour(y Year, by int) string {
	if y.Month == 0 {
		return strconv.Itoa(y.Year + by)
	}
	at := time.Date(y.Year, y.Month+time.Month(by), 1, 0, 0, 0, 0, time.UTC)
	return f.Locale.Month(at.Month()) + " " + strconv.Itoa(at.Year())
}

// axis is what stands under a bar; empty where there is no room.
func (f Frame) axis(y Year, i int, long bool) string {
	switch {
	case y.Month == 0 && (long || i%3 == 0):
		return f.Locale.MonthShort(time.Month(i + 1))
	case y.Month > 0 && (long && i%2 == 0 || !long && i%5 == 0):
		return strconv.Itoa(i + 1)
	}
	return ""
}

// path is where the form of a new case is sent.
func (n NewCase) path() string {
	if n.Kind == CaseCorrect {
		return PathCorrect
	}
	return PathObject
}

// consentLine is what matters of a consent in a list.
func (f Frame) consentLine(c Consent) string {
	switch c.State {
	case ConsentPending:
		return f.T("consent.line.pending", "Date", f.Locale.Date(c.Asked))
	case ConsentGiven:
		return f.N("consent.line.given", c.Uses, "Date", f.Locale.Date(c.Until))
	}
	return f.T("consent.line.ended", "Date", f.Locale.Date(c.Changed))
}

// radioID names a choice; the first has the group's own name, so that an error leads to it.
func radioID(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(i+1)
}
