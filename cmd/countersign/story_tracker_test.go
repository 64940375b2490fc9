package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/xroad/vectors"
)

// national is a national portal's own system: it keeps a person's session, as such a portal does, and speaks the Data Tracker protocol to its own member's gateway.
type national struct {
	d       *demoFile
	code    string // of the member that is a portal beside its other work
	session *identity.Session
	token   string
	view    countersign.ExchangeID
}

// nationalLogin logs a person in at the demo's identity provider, for a session of the member's own.
func nationalLogin(ctx context.Context, d *demoFile, code, pin string) (*national, error) {
	s, err := identity.NewSession(law.Member(code))
	if err != nil {
		return nil, err
	}
	token, err := d.login(ctx, "", pin, s.Nonce())
	if err != nil {
		return nil, err
	}
	return &national{d, code, s, token, countersign.NewExchangeID(time.Now())}, nil
}

// proof signs a query as the protocol's chapter in docs/spec says, after alter has had its way.
func (n *national) proof(holder string, alter func(*identity.Query)) (string, error) {
	now := time.Now()
	q := identity.Query{
		Member: law.Member(holder), Gateway: "gw1", Kind: identity.QueryUsage, View: n.view, ID: countersign.NewExchangeID(now), At: countersign.MillisOf(now), Limit: subject.TrackerLimit,
	}
	if alter != nil {
		alter(&q)
	}
	return n.session.Sign(q, n.token)
}

// target is a path of a member's findUsage.
func trackerTarget(holder, op string) string {
	id := law.Service(holder, subject.ServiceTracker)
	return "/r1/" + strings.Join([]string{id.Instance, id.Class, id.Code, id.Subsystem, id.Service, "v2", op}, "/")
}

// cmdTracker: "tracker MUN PIN POP/findUsage [KEY=VALUE…]": logs a person in at MUN, which the story has made a portal, and asks POP what it tells in the Data Tracker
// protocol; "-" is nobody. "header:NAME=VALUE" replaces a header. It prints status, error, headers and body as JSON; "! tracker" expects a refusal.
func cmdTracker(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) < 3 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: tracker AGENCY PIN|- HOLDER/OPERATION [KEY=VALUE…], in a federation with POR")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	holder, op, _ := strings.Cut(args[2], "/")
	query, headers := url.Values{}, http.Header{}
	limit, offset := subject.TrackerLimit, 0
	for _, a := range args[3:] {
		key, value, _ := strings.Cut(a, "=")
		if name, ok := strings.CutPrefix(key, "header:"); ok {
			headers.Set(name, value)
			continue
		}
		query.Set(key, value)
		_, _ = fmt.Sscanf(a, "limit=%d", &limit)
		_, _ = fmt.Sscanf(a, "offset=%d", &offset)
	}
	if args[1] != "-" {
		n, err := nationalLogin(ctx, s.d, args[0], args[1])
		ts.Check(err)
		proof, err := n.proof(holder, func(q *identity.Query) { q.Limit, q.Offset = limit, offset })
		ts.Check(err)
		for name, value := range map[string]string{subject.HeaderPersonToken: n.token, subject.HeaderPersonProof: proof, "X-Road-Userid": args[1]} {
			if headers.Get(name) == "" {
				headers.Set(name, value)
			}
		}
		if query.Get("userCode") == "" {
			query.Set("userCode", args[1])
		}
	}
	target := trackerTarget(holder, op)
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	status, text, err := s.d.tracked(ctx, args[0], target, headers)
	ts.Check(err)
	_, err = fmt.Fprintf(ts.Stdout(), "{\"status\":%d,\"body\":%s}\n", status, text)
	ts.Check(err)
	if (status != http.StatusOK) != neg {
		ts.Fatalf("the gateway answered %d: %s", status, text)
	}
}

// tracked asks a member's own gateway.
func (d *demoFile) tracked(ctx context.Context, code, target string, h http.Header) (int, []byte, error) {
	m := d.Members[code]
	token, err := readLine(m.TokenFile)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Client+target, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header = h
	req.Header.Set("X-Road-Client", law.Client(code).String())
	req.Header.Set("Countersign-Token", token)
	res, err := storyClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, text, err
}

// TestTrackerVectors sends every vector of docs/spec/vectors/tracker over sockets to the gateway of a portal, which asks another member's gateway. Each has a proof of
// its own, fresh, because a gateway takes each once.
func TestTrackerVectors(t *testing.T) {
	set, err := vectors.Load(os.DirFS("../../docs/spec/vectors/tracker"))
	if err != nil {
		t.Fatal(err)
	}
	d, f, err := testFederation(t.Context(), t.TempDir(), demoPlan{agencies: []string{law.MUN, law.POP}, portal: true, amend: func(doc *countersign.Directory) {
		for i := range doc.Members {
			if doc.Members[i].ID == law.Member(law.MUN) {
				doc.Members[i].Roles = append(doc.Members[i].Roles, countersign.RolePortal)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.stop()
		if err := checkParts(d); err != nil {
			t.Error(err)
		}
	})
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := vectorEnv(t, d)
	atlas, err := country.Open(d.path("registers"))
	if err != nil {
		t.Fatal(err)
	}
	pin, other := string(atlas.Cast.Celebrity.PIN), string(atlas.Cast.Bystander.PIN)
	for _, v := range set {
		t.Run(v.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			vars, err := trackerVars(ctx, d, pin, other)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range vars {
				env.Vars[name] = value
			}
			for _, failure := range vectors.Run(ctx, env, v) {
				t.Error(failure)
			}
		})
	}
}

// trackerVars are the variables of one vector.
func trackerVars(ctx context.Context, d *demoFile, pin, other string) (map[string]string, error) {
	n, err := nationalLogin(ctx, d, law.MUN, pin)
	if err != nil {
		return nil, err
	}
	thief, err := nationalLogin(ctx, d, law.MUN, other)
	if err != nil {
		return nil, err
	}
	out := map[string]string{"PIN": pin, "OTHER_PIN": other, "PERSON_TOKEN": n.token, "OTHER_TOKEN": thief.token, "FIND_USAGE": strings.TrimSuffix(trackerTarget(law.POP, ""), "/v2/")}
	since := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, alter := range map[string]func(*identity.Query){
		"PROOF":            nil,
		"PROOF_PAGE":       func(q *identity.Query) { q.Offset, q.Limit = 5, 10 },
		"PROOF_PERIOD":     func(q *identity.Query) { q.Since = countersign.MillisOf(since) },
		"PROOF_OLD":        func(q *identity.Query) { q.At -= countersign.Millis(time.Hour.Milliseconds()) },
		"PROOF_OF_HISTORY": func(q *identity.Query) { q.Kind = identity.QueryHistory },
		"PROOF_ELSEWHERE":  func(q *identity.Query) { q.Member = law.Member(law.MUN) },
		"PROOF_GATEWAY":    func(q *identity.Query) { q.Gateway = "gw9" },
		"PROOF_NO_VIEW":    func(q *identity.Query) { q.View = countersign.ExchangeID{} },
	} {
		if out[name], err = n.proof(law.POP, alter); err != nil {
			return nil, err
		}
	}
	out["OTHER_PROOF"], err = thief.proof(law.POP, nil)
	return out, err
}
