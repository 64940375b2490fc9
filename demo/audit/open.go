package audit

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// Source is where an auditor's certainties come from, and how it reaches the logs.
type Source struct {
	Policy    []byte           // pinned C2SP tlog-policy: the keys of logs and witnesses
	Directory *federation.View // where the logs are, and whose they are
	// Certificate is of a gateway's TLS key: the logs show parties of exchanges what the public sees an hour later.
	Certificate tls.Certificate
}

// Logs opens the log of every gateway of the directory. A log whose key the policy does not pin is refused: the directory alone does not make a
// log trustworthy to an auditor.
func (s *Source) Logs() ([]*Log, error) {
	quorum, err := witness.ParsePolicy(s.Policy)
	if err != nil {
		return nil, fmt.Errorf("the policy's witnesses cannot be read: %w", err)
	}
	pinned := map[string]bool{}
	for line := range strings.Lines(string(s.Policy)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "log" {
			pinned[f[1]] = true
		}
	}
	var logs []*Log
	for _, m := range s.Directory.Document().Members {
		for _, gw := range s.Directory.Gateways(m.ID) {
			if !pinned[gw.LogKey.VKey] {
				return nil, countersign.Refuse(countersign.CodeSignature, "the policy does not name the key of the log %s", gw.LogKey.Origin)
			}
			verifier, err := note.NewVerifier(gw.LogKey.VKey)
			if err != nil {
				return nil, fmt.Errorf("the key of the log %s: %w", gw.LogKey.Origin, err)
			}
			logs = append(logs, &Log{
				Origin: gw.LogKey.Origin, Owner: m.ID, base: strings.TrimRight(gw.URL, "/") + "/log", client: s.client(gw), verifier: verifier,
				quorum: quorum, at: map[countersign.Digest]uint64{}, by: map[countersign.Commitment][]uint64{},
			})
		}
	}
	return logs, nil
}

func (s *Source) client(gw *federation.Gateway) *http.Client {
	admit := func(pin keys.SPKIDigest) error {
		if slices.Contains(gw.Pins, pin) {
			return nil
		}
		return countersign.Refuse(countersign.CodeSignature, "the gateway %s of %s presents another key than the directory's", gw.Name, gw.Member)
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: keys.PinnedClient(s.Certificate, admit)}}
}
