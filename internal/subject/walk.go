package subject

import (
	"context"
	"slices"

	"countersign.dev/countersign"
)

// Walk gives a history page by page, newest first, until visit returns false, the end, or an error; it holds one page at a time. The Members of each page say
// what has become of each gateway since the walk began.
//
// A gateway that breaks off is asked once more at the same place. If it fails again it is left out of the rest, for what it has not told would lie on pages that
// were shown; its Problem stays with every page that follows, so that whoever has read to the end knows that something is missing.
func (p *Portal) Walk(ctx context.Context, person *Person, q HistoryQuery, visit func(*History) bool) error {
	if q.Limit == 0 {
		q.Limit = PageLimit
	}
	q.lost = map[string]error{}
	told := map[string]int{}
	for first := true; ; first = false {
		h, err := p.History(ctx, person, q)
		if err != nil {
			return err
		}
		if !first && h.brokeOff(q.lost) && ctx.Err() == nil {
			if h, err = p.History(ctx, person, q); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err // what was not asked in time is no gateway's silence
		}
		for i := range h.Members {
			m := &h.Members[i]
			key := sourceKey(m.Member, m.Gateway)
			if m.Problem != nil {
				q.lost[key] = m.Problem
			}
			told[key] += m.Entries
			m.Entries = told[key]
		}
		if !visit(h) || !h.More {
			return nil
		}
		q.From = h.Next
	}
}

// brokeOff reports that a gateway which was not lost before was too slow or out of reach: another try may mend it.
func (h *History) brokeOff(lost map[string]error) bool {
	return slices.ContainsFunc(h.Members, func(m MemberState) bool {
		if m.Problem == nil || lost[sourceKey(m.Member, m.Gateway)] != nil {
			return false
		}
		code := countersign.CodeOf(m.Problem)
		return code == countersign.CodeBusy || code == countersign.CodeNetwork
	})
}
