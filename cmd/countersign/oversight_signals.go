package main

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// repeatSignal is a person about whom a register is asked again and again, as its gateway tells. It does not say who that is.
type repeatSignal struct {
	Member countersign.MemberID `json:"member"`
	exchange.RepeatTarget
}

// signals asks the gateways of all agencies about whom they are asked more than work explains. The reading is on the overseer's own record before, and each gateway
// records it too. A gateway that does not tell is named where what waits is named.
func (d *oversightDesk) signals(ctx context.Context) ([]*repeatSignal, error) {
	view, err := d.directory.Current()
	if err != nil {
		return nil, err
	}
	key, err := keys.Load(d.tlsKey())
	if err != nil {
		return nil, err
	}
	cert, err := keys.SelfSigned(key)
	if err != nil {
		return nil, err
	}
	out := []*repeatSignal{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, askAtOnce)
	doc := view.Document()
	for i := range doc.Members {
		m := &doc.Members[i]
		if !slices.Contains(m.Roles, countersign.RoleAgency) {
			continue
		}
		for _, gw := range view.Gateways(m.ID) {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				client := &http.Client{Timeout: askPatience, Transport: &http.Transport{TLSClientConfig: pinnedTo(cert, gw), DisableKeepAlives: true}}
				told, err := askSignals(ctx, client, gw, m.ID)
				if err != nil {
					d.logger.WarnContext(ctx, "a gateway does not tell its signals", "asked", m.ID.String(), "error", countersign.MessageOf(err))
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for j := range told.Targets {
					out = append(out, &repeatSignal{m.ID, told.Targets[j]})
				}
			})
		}
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b *repeatSignal) int {
		return cmp.Or(b.Officials-a.Officials, strings.Compare(a.Member.String(), b.Member.String()), strings.Compare(a.Person, b.Person))
	})
	return out, nil
}

func askSignals(ctx context.Context, client *http.Client, gw *federation.Gateway, member countersign.MemberID) (*exchange.Signals, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(gw.URL, "/")+exchange.PathSignals, http.NoBody)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway has an address that cannot be read")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway cannot be reached")
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway does not tell: %s", res.Status)
	}
	out := new(exchange.Signals)
	if err := json.Unmarshal(text, out); err != nil || out.Member != member || out.Gateway != gw.Name {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's signals cannot be read, or are another's")
	}
	return out, nil
}
