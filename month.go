package countersign

import (
	"fmt"
	"time"
)

// Month is a calendar month in UTC: year × 12 + month − 1. The zero value is no month.
type Month int32

// MonthOf is the month that t lies in.
func MonthOf(t time.Time) Month {
	t = t.UTC()
	return Month(t.Year()*12 + int(t.Month()) - 1) //nolint:gosec // years have four digits here
}

// String is YYYY-MM.
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", int(m)/12, int(m)%12+1) }

// Start is the first instant of the month.
func (m Month) Start() time.Time {
	return time.Date(int(m)/12, time.Month(int(m)%12+1), 1, 0, 0, 0, 0, time.UTC)
}

// End is the first instant after the month.
func (m Month) End() time.Time { return (m + 1).Start() }

// MarshalText writes YYYY-MM.
func (m Month) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads YYYY-MM.
func (m *Month) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMonth(string(b))
	return err
}

// ParseMonth reads YYYY-MM. Anything else is a CodeBadRequest refusal.
func ParseMonth(text string) (Month, error) {
	t, err := time.Parse("2006-01", text)
	if err != nil || t.Year() < 1 {
		return 0, RefuseBecause(CodeBadRequest, err, "month %q: write YYYY-MM", text)
	}
	return MonthOf(t), nil
}
