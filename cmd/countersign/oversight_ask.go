package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// An overseer asks at most askAtOnce gateways at the same time; each may take askPatience and tell maxAgencyAnswer bytes.
const (
	askAtOnce       = 32
	askPatience     = 10 * time.Second
	maxAgencyAnswer = 16 << 20
)

// agencyAnswer is what one gateway of an agency told, or why it told nothing.
type agencyAnswer[T any] struct {
	member  countersign.MemberID
	gateway countersign.GatewayName
	told    T
	err     error
}

// askAgencies asks every gateway of every agency for a path, with the overseer's own key. Who does not tell is in the overseer's log too.
func askAgencies[T any](ctx context.Context, o *office, view *federation.View, path string, read func(of countersign.MemberID, text []byte) (T, error)) ([]*agencyAnswer[T], error) {
	cert, err := keys.LoadSelfSigned(o.tlsKey())
	if err != nil {
		return nil, err
	}
	var gateways []*federation.Gateway
	doc := view.Document()
	for i := range doc.Members {
		if m := &doc.Members[i]; slices.Contains(m.Roles, countersign.RoleAgency) {
			gateways = append(gateways, view.Gateways(m.ID)...)
		}
	}
	answers := askGateways(ctx, cert, gateways, path, read)
	for _, a := range answers {
		if a.err != nil {
			o.logger.WarnContext(ctx, "a gateway does not tell", slog.String("asked", a.member.String()), slog.String("gateway", string(a.gateway)), slog.String("path", path),
				slog.Any("error", a.err), slog.Any("cause", countersign.CauseOf(a.err)))
		}
	}
	return answers, nil
}

// askGateways gives the answers in the order of the gateways, whoever was faster; one gateway's failure is its own. What is read has been checked to be that
// gateway's.
func askGateways[T any](ctx context.Context, cert tls.Certificate, gateways []*federation.Gateway, path string, read func(of countersign.MemberID, text []byte) (T, error)) []*agencyAnswer[T] {
	out := make([]*agencyAnswer[T], len(gateways))
	slots := make(chan struct{}, askAtOnce)
	var asked sync.WaitGroup
	for i, gw := range gateways {
		a := &agencyAnswer[T]{member: gw.Member, gateway: gw.Name}
		out[i] = a
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			var text []byte
			if text, a.err = askGateway(ctx, cert, gw, path); a.err == nil {
				a.told, a.err = read(gw.Member, text)
			}
		})
	}
	asked.Wait()
	return out
}

// askGateway reads one gateway's answer, which must say that it is this gateway's.
func askGateway(ctx context.Context, cert tls.Certificate, gw *federation.Gateway, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(gw.URL, "/")+path, http.NoBody)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway has an address that cannot be read")
	}
	client := &http.Client{Timeout: askPatience, Transport: &http.Transport{TLSClientConfig: pinnedTo(cert, gw), DisableKeepAlives: true}}
	res, err := client.Do(req)
	switch {
	case os.IsTimeout(err):
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway has not answered within %s", askPatience)
	case countersign.CodeOf(err) == countersign.CodeSignature:
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "who answers at the gateway's address has another key than the directory holds for it")
	case err != nil:
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway cannot be reached")
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, countersign.Refuse(countersign.CodeNetwork, "the gateway does not tell: %s", res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAgencyAnswer+1))
	switch {
	case err != nil:
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway's answer broke off")
	case len(text) > maxAgencyAnswer:
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the gateway's answer is larger than %d bytes", maxAgencyAnswer)
	}
	var from struct {
		Member  countersign.MemberID    `json:"member"`
		Gateway countersign.GatewayName `json:"gateway"`
	}
	if err := json.Unmarshal(text, &from); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's answer cannot be read")
	}
	if from.Member != gw.Member || from.Gateway != gw.Name {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the gateway's answer is another's")
	}
	return text, nil
}
