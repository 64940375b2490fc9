package monitor

import (
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// entry is one leaf of an exchange whose other side has not been seen.
type entry struct {
	log   *logState
	index uint64
	leaf  *countersign.Leaf
	seen  time.Time // how far its log was when it was first seen
}

// pairKey finds the other side's leaf.
type pairKey struct {
	commitment countersign.Commitment
	side       countersign.Side
}

// pairing holds what stands on one side alone. What is paired is forgotten, so that memory grows with what is odd and not with the logs.
type pairing struct {
	open   map[pairKey][]*entry
	paired uint64
	wrong  []Finding // contradictions between sides, which stay
}

func other(s countersign.Side) countersign.Side {
	if s == countersign.SideProvider {
		return countersign.SideConsumer
	}
	return countersign.SideProvider
}

// add takes a leaf of an exchange and looks for its other side.
func (p *pairing) add(e *entry) {
	mate := pairKey{e.leaf.Commitment, other(e.leaf.Side)}
	list := p.open[mate]
	for i, o := range list {
		// A consumer that crashed in a stream closes with an ordinary leaf what its provider has as a release.
		if o.leaf.Kind != e.leaf.Kind && e.leaf.Kind != countersign.LeafExchange && o.leaf.Kind != countersign.LeafExchange {
			continue
		}
		p.paired++
		p.compare(e, o)
		if list = slices.Delete(list, i, i+1); len(list) == 0 {
			delete(p.open, mate)
		} else {
			p.open[mate] = list
		}
		return
	}
	key := pairKey{e.leaf.Commitment, e.leaf.Side}
	p.open[key] = append(p.open[key], e)
}

// compare looks for contradictions. The commitments are equal, so that the statements are; the outcomes are each side's own word.
func (p *pairing) compare(a, b *entry) {
	provider, consumer := a, b
	if a.leaf.Side == countersign.SideConsumer {
		provider, consumer = b, a
	}
	if len(p.wrong) >= maxFindings {
		return
	}
	switch {
	case consumer.leaf.Outcome == countersign.OutcomeReceived && provider.leaf.Outcome != countersign.OutcomeReleased:
		p.wrong = append(p.wrong, about(KindContradiction, consumer.log, consumer, "it says %s where the provider's log says %s", consumer.leaf.Outcome, provider.leaf.Outcome))
	case provider.leaf.Service != consumer.leaf.Service || provider.leaf.Consumer != consumer.leaf.Consumer || provider.leaf.Purpose != consumer.leaf.Purpose:
		p.wrong = append(p.wrong, about(KindContradiction, consumer.log, consumer, "the two leaves of one commitment name different parties or purposes"))
	}
}

// judge tells what should have its other side by now. patience is how long the other side may take.
//
// LAW: guarantee 5: the consumer closes each of its intents with received, refused or not accepted.
func (p *pairing) judge(m *Monitor, r *Report) {
	lacking := map[*logState][]*entry{}
	for _, list := range p.open {
		for _, e := range list {
			consumer, service, ok := parties(e.leaf)
			if !ok {
				continue
			}
			if e.leaf.Side == countersign.SideConsumer {
				p.consumers(m, r, e, service)
				continue
			}
			if mate := m.logOf(consumer); mate != nil && !m.several(e.leaf.Service) {
				lacking[mate] = append(lacking[mate], e)
			}
		}
	}
	for mate, list := range lacking {
		slices.SortFunc(list, func(a, b *entry) int { return int(int64(a.index) - int64(b.index)) }) //nolint:gosec // indexes of leaves in memory
		for _, e := range list {
			if !m.due(e, mate) {
				r.Waiting++
				continue
			}
			f := about(KindMissingConsumer, mate, e, "%s has it at leaf %d as %s, and this log lacks it: an intent that was never closed, or a record that was dropped", e.log.cfg.Origin, e.index, e.leaf.Outcome)
			f.Index = nil // it is the other log's
			r.find(f)
		}
	}
}

// consumers judges a consumer's leaf that no provider's pairs: of what it says that it did not accept, the provider has told it that there is no
// record and never will be.
func (p *pairing) consumers(m *Monitor, r *Report, e *entry, provider countersign.MemberID) {
	if e.leaf.Outcome != countersign.OutcomeReceived {
		return
	}
	mate := m.logOf(provider)
	if mate == nil {
		return
	}
	if !m.due(e, mate) {
		r.Waiting++
		return
	}
	f := about(KindMissingProvider, mate, e, "%s says at leaf %d that it received this answer, and the provider's log has no record of it", e.log.cfg.Origin, e.index)
	f.Index = nil
	r.find(f)
}

// due reports that the other log is far enough to hold the other side.
func (m *Monitor) due(e *entry, mate *logState) bool {
	from := e.leaf.Hour.Time().Add(time.Hour)
	if !e.seen.IsZero() && e.seen.Before(from) {
		from = e.seen
	}
	return !mate.asOf.Before(from.Add(m.cfg.Patience))
}

func parties(leaf *countersign.Leaf) (consumer, provider countersign.MemberID, ok bool) {
	service, err := countersign.ParseServiceID(leaf.Service)
	if err != nil {
		return consumer, provider, false
	}
	client, err := countersign.ParseSubsystemID(leaf.Consumer)
	if err != nil {
		// A member may ask by itself.
		id, err := countersign.ParseMemberID(leaf.Consumer)
		if err != nil || strings.Count(leaf.Consumer, "/") != 2 {
			return consumer, provider, false
		}
		return id, service.MemberID, true
	}
	return client.MemberID, service.MemberID, true
}

// judgeSlots tells hours with fewer sealed slots than minutes. The first and the last hour of a log are not whole.
//
// SPEC: docs/spec/ledger.md: "sealed … every gateway's log, one each minute, used or empty".
func (l *logState) judgeSlots(r *Report) {
	if l.mirror.size() == 0 {
		return
	}
	for hour := l.first + 1; hour < l.last; hour++ {
		if n := l.slots[hour]; n < 60 {
			at := hour.Time()
			r.find(Finding{Kind: KindMissingSlots, Log: l.cfg.Origin, Hour: &at, Count: 60 - n, What: "it has fewer sealed slots than the hour has minutes: its gateway did not run, or slots were left out"})
		}
	}
}
