package ledger

import (
	"fmt"
	"time"

	"countersign.dev/countersign"
)

// Month is a calendar month in UTC: year × 12 + month − 1. The zero value is no month.
type Month int32

// MonthOf is the month that t lies in.
func MonthOf(t time.Time) Month {
	t = t.UTC()
	return Month(t.Year()*12 + int(t.Month()) - 1) //nolint:gosec // years have four digits here
}

// String is YYYY-MM, as the key files are named.
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", int(m)/12, int(m)%12+1) }

// End is the first instant after the month.
func (m Month) End() time.Time {
	return time.Date(int(m)/12, time.Month(int(m)%12+2), 1, 0, 0, 0, 0, time.UTC)
}

// ParseMonth reads YYYY-MM.
func ParseMonth(text string) (Month, error) {
	t, err := time.Parse("2006-01", text)
	if err != nil {
		return 0, countersign.RefuseBecause(countersign.CodeBadRequest, err, "month %q: write YYYY-MM", text)
	}
	return MonthOf(t), nil
}
