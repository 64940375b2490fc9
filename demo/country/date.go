package country

import (
	"fmt"
	"time"
)

// Date is a day of the civil calendar, counted in days since 1970-01-01. NoDate marks a date that has not come, such as
// the end of an open case.
type Date int32

// NoDate is the absence of a date. The zero value is 1970-01-01, a real day, so absence has a value of its own.
const NoDate Date = -1 << 31

const (
	day  Date = 1
	year Date = 365 * day
)

// DateOf returns the date of a year, month and day of the month.
func DateOf(y int, m time.Month, d int) Date {
	return Date(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86_400)
}

// ParseDate reads a date written as 2006-01-02.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return NoDate, fmt.Errorf("country: date: write it as YYYY-MM-DD: %w", err)
	}
	return DateOf(t.Date()), nil
}

// Time returns midnight UTC at the beginning of the day.
func (d Date) Time() time.Time { return time.Unix(int64(d)*86_400, 0).UTC() }

// String writes the date as 2006-01-02, and NoDate as the empty string.
func (d Date) String() string {
	if d == NoDate {
		return ""
	}
	return d.Time().Format(time.DateOnly)
}

// Year is the calendar year of the date.
func (d Date) Year() int { return d.Time().Year() }

// Age is the number of whole years from birth d to the day on.
func (d Date) Age(on Date) int {
	b, o := d.Time(), on.Time()
	years := o.Year() - b.Year()
	if o.Month() < b.Month() || (o.Month() == b.Month() && o.Day() < b.Day()) {
		years--
	}
	return years
}

// AddYears moves the date by whole years; 29 February becomes 1 March in a common year.
func (d Date) AddYears(n int) Date { return DateOf(d.Time().AddDate(n, 0, 0).Date()) }

// MarshalText implements encoding.TextMarshaler.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = NoDate
		return nil
	}
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
