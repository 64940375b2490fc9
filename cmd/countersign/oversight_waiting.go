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

// waitingReview is an emergency, or a use of a warrant, that waits for its review, as both parties' gateways tell of it. It does not say who the person is.
type waitingReview struct {
	Record    countersign.Digest          `json:"record"`  // for the review command: the commitment that both parties' logs hold
	Mandate   countersign.MandateKind     `json:"mandate"` // emergency or warrant
	Exchange  string                      `json:"exchange"`
	Consumer  string                      `json:"consumer"`
	Service   string                      `json:"service"`
	Purpose   countersign.PurposeCode     `json:"purpose"`
	Opened    time.Time                   `json:"opened"`
	Due       time.Time                   `json:"due"` // then the member's emergency right is suspended by itself, or none of its warrants delays a notice
	Overdue   bool                        `json:"overdue"`
	Ground    string                      `json:"ground"`
	Officials []mandate.EmergencyOfficial `json:"officials,omitempty"` // of an emergency
	Court     countersign.CourtName       `json:"court,omitempty"`     // of a warrant
	Warrant   countersign.MandateID       `json:"warrant,omitempty"`   // its number at the court
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

// heldReview is what a gateway tells of one review that waits, with what the receipt proves of it.
type heldReview struct {
	exchange.WaitingReview
	leaf *countersign.Leaf
	at   time.Time
}

// waiting asks the gateways of all agencies what waits for a review, with the overseer's own key, after the reading is on the overseer's own record. Each
// gateway records it too. What an overseer has reviewed is left out.
func (d *oversightDesk) waiting(ctx context.Context, reader string) (open []*waitingReview, failed []unreachable, err error) {
	if mandate.CanonicalOfficial(reader) == "" {
		return nil, nil, countersign.Refuse(countersign.CodeBadRequest, "say who reads: the reading is on record")
	}
	view, err := d.directory.Current()
	if err != nil {
		return nil, nil, err
	}
	logs, err := policyOf(view)
	if err != nil {
		return nil, nil, err
	}
	if err := d.recordReading(ctx, reader); err != nil {
		return nil, nil, err
	}
	answers, err := askAgencies(ctx, d.office, view, exchange.PathWaiting, func(of countersign.MemberID, text []byte) ([]heldReview, error) {
		return readWaiting(of, text, view, logs)
	})
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	reviewed := d.published()
	d.mu.Unlock()
	open, failed = merge(answers, reviewed, d.now.Now(), view.Caps())
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
func readWaiting(of countersign.MemberID, text []byte, view *federation.View, logs *countersign.Policy) ([]heldReview, error) {
	var w exchange.Waiting
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's list cannot be read")
	}
	held := make([]heldReview, 0, len(w.Emergencies)+len(w.Warrants))
	for i, e := range slices.Concat(w.Emergencies, w.Warrants) {
		kind := countersign.MandateEmergency
		if i >= len(w.Emergencies) {
			kind = countersign.MandateWarrant
		}
		found, err := logs.Verify(e.Receipt)
		if err != nil {
			return nil, err
		}
		log, ok := view.LogByOrigin(found.Promise.Origin)
		if !ok || log.Owner != of || found.Leaf.Kind != countersign.LeafMandate || found.Leaf.Mandate != kind {
			return nil, countersign.Refuse(countersign.CodeInconsistent, "the gateway tells of a review (%s) that its log does not hold", kind)
		}
		held = append(held, heldReview{e, found.Leaf, found.Promise.Time.Time()})
	}
	return held, nil
}

// merge brings together what both parties tell of each emergency and of each use of a warrant, the first due first.
func merge(answers []*agencyAnswer[[]heldReview], reviewed *mandate.Reviews, now time.Time, caps countersign.Caps) (open []*waitingReview, failed []unreachable) {
	open, failed = []*waitingReview{}, []unreachable{}
	by := map[countersign.Digest]*waitingReview{}
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
				w = &waitingReview{
					Record: id, Mandate: e.leaf.Mandate, Exchange: e.Exchange.String(), Consumer: e.leaf.Consumer, Service: e.leaf.Service, Purpose: e.leaf.Purpose, Opened: e.at,
					Ground: e.Ground, Officials: e.Officials, Court: e.Court, Warrant: e.Warrant,
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
		w.Due = w.Opened.Add(term(caps, w.Mandate))
		w.Overdue = now.After(w.Due)
		w.Silent = silent(w, answered)
	}
	slices.SortFunc(open, func(a, b *waitingReview) int {
		return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.Record[:], b.Record[:]))
	})
	return open, failed
}

// term is how long a review may take.
func term(caps countersign.Caps, kind countersign.MandateKind) time.Duration {
	if kind == countersign.MandateWarrant {
		return time.Duration(caps.WarrantReview)
	}
	return time.Duration(caps.EmergencyReview)
}

// overdueReviews tells of one member that reviews of what it did are overdue: of emergencies, so that it has no right to another one, or of uses of warrants, so
// that none of its warrants delays a notice.
type overdueReviews struct {
	Member  countersign.MemberID    `json:"member"` // that asked
	Mandate countersign.MandateKind `json:"mandate"`
	Reviews int                     `json:"reviews"`
	Since   time.Time               `json:"since"` // when the first of them was due
}

// overdue gathers them, the longest overdue first.
func overdue(open []*waitingReview) []*overdueReviews {
	out := []*overdueReviews{}
	for _, w := range open {
		by, err := countersign.ParseSubsystemID(w.Consumer)
		if err != nil || !w.Overdue {
			continue
		}
		i := slices.IndexFunc(out, func(o *overdueReviews) bool { return o.Member == by.MemberID && o.Mandate == w.Mandate })
		if i < 0 {
			i, out = len(out), append(out, &overdueReviews{Member: by.MemberID, Mandate: w.Mandate, Since: w.Due})
		}
		out[i].Reviews++
	}
	return out
}

func silent(w *waitingReview, answered map[countersign.MemberID]bool) (out []countersign.MemberID) {
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

// reviewWaiting puts a finding about an emergency or a use of a warrant that waits on record: the overseer needs nobody to hand in its receipt.
func (d *oversightDesk) reviewWaiting(ctx context.Context, r *reviewRequest) (*oversightAct, error) {
	open, failed, err := d.waiting(ctx, r.Overseer)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(open, func(w *waitingReview) bool { return w.Record == *r.Record })
	if i < 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "no gateway that answers tells of an open review of that number (%d did not answer)", len(failed))
	}
	return d.decide(ctx, &oversightAct{Overseer: r.Overseer, Reason: r.Reason, Commitment: r.Record, Exchange: open[i].Exchange, Justified: r.Justified})
}
