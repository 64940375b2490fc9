package ledger

import (
	"time"

	"countersign.dev/countersign"
)

// Month is a calendar month in UTC, in which records end together.
type Month = countersign.Month

// MonthOf is the month that t lies in.
func MonthOf(t time.Time) Month { return countersign.MonthOf(t) }

// ParseMonth reads YYYY-MM.
func ParseMonth(text string) (Month, error) { return countersign.ParseMonth(text) }
