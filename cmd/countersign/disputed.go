package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/subject"
)

// maxKept bounds a portal's list of exchanges that are under dispute.
const maxKept = 16 << 20

// disputedAt asks every portal of the directory which exchanges of this member people's open cases are about. What the portals that answer say
// counts also where another one does not.
func disputedAt(cert tls.Certificate, directory *federation.Client) ledger.Disputed {
	return func(ctx context.Context) (out []countersign.ExchangeID, err error) {
		view, err := directory.Current()
		if err != nil {
			return nil, err
		}
		for _, m := range view.Document().Members {
			if !slices.Contains(m.Roles, countersign.RolePortal) {
				continue
			}
			for _, gw := range view.Gateways(m.ID) {
				kept, failed := keptAt(ctx, cert, gw)
				out, err = append(out, kept...), errors.Join(err, failed)
			}
		}
		return out, err
	}
}

func keptAt(ctx context.Context, cert tls.Certificate, gw *federation.Gateway) (out []countersign.ExchangeID, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: pinnedTo(cert, gw), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, gw.URL+subject.PathKept, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking the portal of %s for open cases: %w", gw.Member, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the portal of %s does not say which cases are open", gw.Member)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, countersign.Refuse(countersign.CodeNetwork, "the portal of %s does not say which cases are open: %s", gw.Member, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxKept)).Decode(&out); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the portal of %s gives no list of exchanges under dispute", gw.Member)
	}
	return out, nil
}
