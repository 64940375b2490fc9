package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
)

// waitingEmergency is an emergency that waits for its review, as both parties' gateways tell of it. It does not say who the person is.
type waitingEmergency struct {
	Emergency countersign.Digest          `json:"emergency"` // for the review command: the commitment that both parties' logs hold
	Exchange  string                      `json:"exchange"`
	Consumer  string                      `json:"consumer"`
	Service   string                      `json:"service"`
	Purpose   countersign.PurposeCode     `json:"purpose"`
	Opened    time.Time                   `json:"opened"`
	Due       time.Time                   `json:"due"` // then the member's emergency right is suspended by itself
	Overdue   bool                        `json:"overdue"`
	Ground    string                      `json:"ground"`
	Officials []mandate.EmergencyOfficial `json:"officials"`
	ToldBy    []countersign.MemberID      `json:"toldBy"`
	// Silent are parties whose gateways answered and do not tell of it: one log lacks what the other holds.
	Silent []countersign.MemberID `json:"silent,omitempty"`
}

// unreachable is a gateway that did not tell what waits on its record, or told what does not hold.
type unreachable struct {
	Member  countersign.MemberID    `json:"member"`
	Gateway countersign.GatewayName `json:"gateway"`
	Why     string                  `json:"why"`
}

// heldEmergency is what a gateway tells of one emergency, with what the receipt proves of it.
type heldEmergency struct {
	exchange.WaitingEmergency
	leaf *countersign.Leaf
	at   time.Time
}

// waiting asks the gateways of all agencies what waits for a review, with the overseer's own key, after the reading is on the overseer's own record. Each
// gateway records it too. What an overseer has reviewed is left out.
func (d *oversightDesk) waiting(ctx context.Context, reader string) (open []*waitingEmergency, failed []unreachable, err error) {
	if mandate.CanonicalOfficial(reader) == "" {
		return nil, nil, countersign.Refuse(countersign.CodeBadRequest, "say who reads: the reading is on record")
	}
	view, err := d.directory.Current()
	if err != nil {
		return nil, nil, err
	}
	logs, err := countersign.ParsePolicy([]byte(view.PolicyText(logsOf(view.Document())...)))
	if err != nil {
		return nil, nil, err
	}
	if err := d.recordReading(ctx, reader); err != nil {
		return nil, nil, err
	}
	answers, err := askAgencies(ctx, d.office, view, exchange.PathWaiting, func(of countersign.MemberID, text []byte) ([]heldEmergency, error) {
		return readWaiting(of, text, view, logs)
	})
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	reviewed := d.published()
	d.mu.Unlock()
	open, failed = merge(answers, reviewed, d.now.Now(), time.Duration(view.Caps().EmergencyReview))
	return open, failed, nil
}

// recordReading puts on the overseer's own record who reads.
func (d *oversightDesk) recordReading(ctx context.Context, reader string) error {
	now := d.now.Now()
	text, err := json.Marshal(&oversightAct{Overseer: reader, Reason: "read what waits for a review", At: now, Read: true})
	if err != nil {
		return err
	}
	id := countersign.NewExchangeID(now)
	_, err = d.log.Append(ctx, ledger.Entry{
		Leaf: &countersign.Leaf{
			Kind: countersign.LeafView, Hour: countersign.HourOf(now), Side: countersign.SideConsumer, Consumer: d.Member.String(), Mandate: countersign.MandateEmergency,
			Outcome: countersign.OutcomeReceived, Commitment: actDigest(append([]byte(id.String()+"\x00"), text...)),
		},
		Exchange: id, Record: &ledger.Record{Note: text}, Expires: now.Add(officeRecordLife),
	})
	return err
}

// readWaiting reads one gateway's list and holds each entry against a receipt of that member's own log.
func readWaiting(of countersign.MemberID, text []byte, view *federation.View, logs *countersign.Policy) ([]heldEmergency, error) {
	var w exchange.Waiting
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's list cannot be read")
	}
	held := make([]heldEmergency, len(w.Emergencies))
	for i, e := range w.Emergencies {
		found, err := logs.Verify(e.Receipt)
		if err != nil {
			return nil, err
		}
		log, ok := view.LogByOrigin(found.Promise.Origin)
		if !ok || log.Owner != of || found.Leaf.Kind != countersign.LeafMandate || found.Leaf.Mandate != countersign.MandateEmergency {
			return nil, countersign.Refuse(countersign.CodeInconsistent, "the gateway tells of an emergency that its log does not hold")
		}
		held[i] = heldEmergency{e, found.Leaf, found.Promise.Time.Time()}
	}
	return held, nil
}

// merge brings together what both parties tell of each emergency, the first due first.
func merge(answers []*agencyAnswer[[]heldEmergency], reviewed *mandate.Reviews, now time.Time, within time.Duration) (open []*waitingEmergency, failed []unreachable) {
	open, failed = []*waitingEmergency{}, []unreachable{}
	by := map[countersign.Digest]*waitingEmergency{}
	answered := map[countersign.MemberID]bool{}
	for _, a := range answers {
		if a.err != nil {
			failed = append(failed, unreachable{a.member, a.gateway, countersign.MessageOf(a.err)})
			continue
		}
		answered[a.member] = true
		for i := range a.told {
			e := &a.told[i]
			id := countersign.Digest(e.leaf.Commitment)
			if slices.Contains(reviewed.Reviewed, id) {
				continue
			}
			w := by[id]
			if w == nil {
				w = &waitingEmergency{
					Emergency: id, Exchange: e.Exchange.String(), Consumer: e.leaf.Consumer, Service: e.leaf.Service, Purpose: e.leaf.Purpose, Opened: e.at,
					Ground: e.Ground, Officials: e.Officials,
				}
				by[id], open = w, append(open, w)
			}
			if e.at.Before(w.Opened) {
				w.Opened = e.at // whichever log opened it first: the right is lost at either
			}
			if !slices.Contains(w.ToldBy, a.member) {
				w.ToldBy = append(w.ToldBy, a.member)
			}
		}
	}
	for _, w := range open {
		w.Due = w.Opened.Add(within)
		w.Overdue = now.After(w.Due)
		w.Silent = silent(w, answered)
	}
	slices.SortFunc(open, func(a, b *waitingEmergency) int {
		return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.Emergency[:], b.Emergency[:]))
	})
	return open, failed
}

func silent(w *waitingEmergency, answered map[countersign.MemberID]bool) (out []countersign.MemberID) {
	var parties []countersign.MemberID
	if id, err := countersign.ParseSubsystemID(w.Consumer); err == nil {
		parties = append(parties, id.MemberID)
	}
	if id, err := countersign.ParseServiceID(w.Service); err == nil {
		parties = append(parties, id.MemberID)
	}
	for _, p := range parties {
		if answered[p] && !slices.Contains(w.ToldBy, p) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// reviewWaiting puts a finding about an emergency that waits on record: the overseer needs nobody to hand in its receipt.
func (d *oversightDesk) reviewWaiting(ctx context.Context, r *reviewRequest) (*oversightAct, error) {
	open, failed, err := d.waiting(ctx, r.Overseer)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(open, func(w *waitingEmergency) bool { return w.Emergency == *r.Emergency })
	if i < 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "no gateway that answers tells of an open emergency of that number (%d did not answer)", len(failed))
	}
	return d.decide(ctx, &oversightAct{Overseer: r.Overseer, Reason: r.Reason, Commitment: r.Emergency, Exchange: open[i].Exchange, Justified: r.Justified})
}
