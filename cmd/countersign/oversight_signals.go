package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
)

// repeatSignal is a person about whom a register is asked again and again, as its gateway tells. It does not say who that is.
type repeatSignal struct {
	Member countersign.MemberID `json:"member"`
	exchange.RepeatTarget
}

// signals asks the gateways of all agencies about whom they are asked more than work explains. The reading is on the overseer's own record before, and each gateway
// records it too. A gateway that does not tell is named.
func (d *oversightDesk) signals(ctx context.Context) (targets []*repeatSignal, failed []unreachable, err error) {
	view, err := d.directory.Current()
	if err != nil {
		return nil, nil, err
	}
	answers, err := askAgencies(ctx, d.office, view, exchange.PathSignals, readSignals)
	if err != nil {
		return nil, nil, err
	}
	targets = []*repeatSignal{}
	for _, a := range answers {
		if a.err != nil {
			failed = append(failed, unreachable{a.member, a.gateway, "repeat targets: " + countersign.MessageOf(a.err)})
			continue
		}
		for i := range a.told {
			targets = append(targets, &repeatSignal{a.member, a.told[i]})
		}
	}
	slices.SortStableFunc(targets, func(a, b *repeatSignal) int {
		return cmp.Or(b.Officials-a.Officials, strings.Compare(a.Member.String(), b.Member.String()), strings.Compare(a.Person, b.Person))
	})
	return targets, failed, nil
}

func readSignals(_ countersign.MemberID, text []byte) ([]exchange.RepeatTarget, error) {
	var s exchange.Signals
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's signals cannot be read")
	}
	return s.Targets, nil
}
