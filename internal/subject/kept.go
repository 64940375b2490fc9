package subject

import (
	"bytes"
	"context"
	"slices"

	"countersign.dev/countersign"
)

// numberKept stands in a case's place in PathCases: the exchanges whose records a member keeps past their end. No case has that number.
const numberKept CaseNumber = "kept"

// PathKept is where a member's gateway learns which exchanges people's open cases are about: GET, a JSON list of identifiers.
const PathKept = PathCases + "/" + string(numberKept)

// Kept names the exchanges that an open case is about and that the member was a party to: neither side's record of them ends before the case does.
//
// LAW: guarantee 7: whoever contests a use is not to lose its record by waiting.
func (c *Cases) Kept(ctx context.Context, member countersign.MemberID) ([]countersign.ExchangeID, error) {
	c.mu.Lock()
	var opened []uint64
	for _, one := range c.by {
		if !one.State.Closed() && len(one.steps) > 0 {
			opened = append(opened, one.steps[0].index)
		}
	}
	c.mu.Unlock()
	out := []countersign.ExchangeID{}
	for _, index := range opened {
		e, err := c.log.Leaf(ctx, index)
		if err != nil {
			return nil, err
		}
		s, err := stepOf(e)
		if err != nil {
			return nil, err
		}
		if s.About == nil || s.About.Trace == (countersign.ExchangeID{}) || s.Against != member && s.About.Service.MemberID != member {
			continue
		}
		out = append(out, s.About.Trace)
	}
	slices.SortFunc(out, func(a, b countersign.ExchangeID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(out), nil
}
