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
			l, err := newLog(gw.LogKey, m.ID, strings.TrimRight(gw.URL, "/")+"/log", s.client(gw), quorum)
			if err != nil {
				return nil, err
			}
			logs = append(logs, l)
		}
	}
	return logs, nil
}

func newLog(key *countersign.LogKey, owner countersign.MemberID, base string, client *http.Client, quorum witness.Group) (*Log, error) {
	verifier, err := note.NewVerifier(key.VKey)
	if err != nil {
		return nil, fmt.Errorf("the key of the log %s: %w", key.Origin, err)
	}
	return &Log{
		Origin: key.Origin, Owner: owner, base: base, client: client, key: key, verifier: verifier, quorum: quorum,
		at: map[countersign.Digest]uint64{}, by: map[countersign.Commitment][]uint64{},
	}, nil
}

// Several lists the services whose answers may tell about several people, found in the answer or related to whom it is about: each has a record of
// their own, and one of them is paired.
func (s *Source) Several() map[countersign.ServiceID]bool {
	out := map[countersign.ServiceID]bool{}
	for _, x := range s.Directory.Document().Services {
		related := slices.ContainsFunc(x.Fields, func(f countersign.Field) bool { return f.Related != "" })
		if x.Subject.From == countersign.SubjectInAnswer || related {
			out[x.ID] = true
		}
	}
	return out
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
