package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign"
)

// cmdDestroyed: "destroyed POP as=MUN" waits until POP's log, read as MUN may read it, has a destruction leaf for each month that is over, each of them
// once, and prints what they tell together; "! destroyed POP as=MUN" expects that one is missing.
func cmdDestroyed(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) != 2 || !strings.HasPrefix(args[1], "as=") {
		ts.Fatalf("usage: destroyed AGENCY as=AGENCY")
	}
	r, err := readerOf(s.d, args[0], strings.TrimPrefix(args[1], "as="))
	ts.Check(err)
	var told endTold
	look := func() (err error) {
		told, err = s.destroyed(r)
		return err
	}
	if neg {
		if look() == nil {
			ts.Fatalf("every month that is over is on record at %s", args[0])
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ts.Check(until(ctx, look))
	ts.Check(json.NewEncoder(ts.Stdout()).Encode(told))
}

// endTold is what the destruction leaves of a log tell together.
type endTold struct {
	Months  int               `json:"months"`
	Through countersign.Month `json:"through"`
	Records uint64            `json:"records"`
	Kept    uint32            `json:"kept"`
}

func (s *story) destroyed(r *logReader) (told endTold, err error) {
	ctx := context.Background()
	now, err := s.simulatedNow(ctx)
	if err != nil {
		return told, err
	}
	leaves, err := r.leaves(ctx, 0)
	if err != nil {
		return told, err
	}
	seen := map[countersign.Month]bool{}
	var first countersign.Month
	for i, l := range leaves {
		if i == 0 {
			first = countersign.MonthOf(l.Hour.Time())
		}
		if l.Kind != countersign.LeafDestruction {
			continue
		}
		d, err := l.Destruction()
		if err != nil {
			return told, err
		}
		if d.IsReceipt() {
			continue
		}
		if seen[d.Month] {
			return told, fmt.Errorf("leaf %d tells of %s for the second time", i, d.Month)
		}
		seen[d.Month] = true
		told.Months, told.Through, told.Records, told.Kept = told.Months+1, max(told.Through, d.Month), told.Records+d.Records, told.Kept+d.Kept
	}
	for m := first; m.End().Add(10 * time.Minute).Before(now); m++ {
		if !seen[m] {
			return told, fmt.Errorf("%s is over, and its destruction is not on record", m)
		}
	}
	return told, nil
}
