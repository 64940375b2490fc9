package web

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Localizer writes words, numbers, dates and lists as one language does.
type Localizer struct {
	all     *Locales
	tag     language.Tag
	place   *time.Location
	words   *i18n.Localizer
	printer *message.Printer
}

// Tag is the language, for lang attributes.
func (l *Localizer) Tag() string { return l.tag.String() }

// Place is the time zone in which times are shown.
func (l *Localizer) Place() *time.Location { return l.place }

// T gives a message. values are pairs of a name, as the message's template uses it, and a value.
func (l *Localizer) T(id string, values ...any) string {
	return l.message(&i18n.LocalizeConfig{MessageID: id, TemplateData: pairs(values)})
}

// N gives a message in the plural form that a count takes. The template has the count, written out, as Count.
func (l *Localizer) N(id string, count int, values ...any) string {
	data := pairs(values)
	data["Count"] = l.Number(count)
	return l.message(&i18n.LocalizeConfig{MessageID: id, PluralCount: count, TemplateData: data})
}

// Has reports whether the language or the source language has a message.
func (l *Localizer) Has(id string) bool {
	_, _, err := l.words.LocalizeWithTag(&i18n.LocalizeConfig{MessageID: id, TemplateData: map[string]any{}})
	_, missing := err.(*i18n.MessageNotFoundErr) //nolint:errorlint // go-i18n gives it bare, together with a fallback's text
	return !missing
}

// message never fails a page: what a language lacks is shown in the source language, and what that lacks by its id.
func (l *Localizer) message(c *i18n.LocalizeConfig) string {
	text, err := l.words.Localize(c)
	if err != nil {
		l.all.miss(l.tag, c.MessageID)
		if text == "" {
			return c.MessageID
		}
	}
	return text
}

func pairs(values []any) map[string]any {
	data := make(map[string]any, len(values)/2+1)
	for i := 0; i+1 < len(values); i += 2 {
		if name, ok := values[i].(string); ok {
			data[name] = values[i+1]
		}
	}
	return data
}

// Number writes a whole number with the language's separators.
func (l *Localizer) Number(n int) string { return l.printer.Sprint(number.Decimal(n)) }

// Date writes a day: 12 March 2026.
func (l *Localizer) Date(t time.Time) string { return l.date("date.long", t) }

// Weekday writes a day with its name: Thursday, 12 March 2026.
func (l *Localizer) Weekday(t time.Time) string { return l.date("date.full", t) }

// Time writes hours and minutes of the clock.
func (l *Localizer) Time(t time.Time) string { return t.In(l.place).Format("15:04") }

// Exact writes hours, minutes and seconds of the clock with the zone's offset from UTC.
func (l *Localizer) Exact(t time.Time) string { return t.In(l.place).Format("15:04:05 (UTC-07:00)") }

// Moment writes a day and a time of it.
func (l *Localizer) Moment(t time.Time) string {
	return l.T("date.moment", "Date", l.Date(t), "Time", l.Time(t))
}

// ISO writes an instant for a time element's datetime attribute.
func (l *Localizer) ISO(t time.Time) string { return t.In(l.place).Format(time.RFC3339) }

// Month names a month by itself, 1 for January.
func (l *Localizer) Month(m time.Month) string { return l.T("date.alone." + strconv.Itoa(int(m))) }

// MonthShort names a month in two to four letters.
func (l *Localizer) MonthShort(m time.Month) string { return l.T("date.short." + strconv.Itoa(int(m))) }

func (l *Localizer) date(pattern string, t time.Time) string {
	t = t.In(l.place)
	return l.T(pattern, "Day", t.Day(), "Month", l.T("date.month."+strconv.Itoa(int(t.Month()))), "Year", t.Year(),
		"Weekday", l.T("date.weekday."+strconv.Itoa(int(t.Weekday()))))
}

// Lasts writes a span in the largest unit that tells it: years, months, days, hours or minutes.
func (l *Localizer) Lasts(d time.Duration) string {
	const day = 24 * time.Hour
	days := int(d / day)
	years := days / 365
	switch {
	case years >= 1 && days-years*365 <= years/4+1: // years may hold their leap days
		return l.N("span.years", years)
	case days >= 60 && days%30 <= days/60:
		return l.N("span.months", days/30)
	case days >= 2:
		return l.N("span.days", days)
	case d >= time.Hour:
		return l.N("span.hours", int(d/time.Hour))
	}
	return l.N("span.minutes", max(int(d/time.Minute), 1))
}

// List joins words as the language lists them: a, b and c.
func (l *Localizer) List(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return l.T("list.last", "Before", strings.Join(words[:len(words)-1], ", "), "Last", words[len(words)-1])
}

// SortBy puts a list in the language's order of what text gives for its elements.
func SortBy[T any](l *Localizer, list []T, text func(T) string) {
	c := collate.New(l.tag)
	slices.SortStableFunc(list, func(a, b T) int { return c.CompareString(text(a), text(b)) })
}
