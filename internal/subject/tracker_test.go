package subject_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/subject"
)

// tracked is the front of a portal's gateway on a socket, and what a portal's system holds of one person.
type tracked struct {
	w       *world
	url     string
	session *identity.Session
	token   string
	view    countersign.ExchangeID
}

func (w *world) tracked(t *testing.T, member, value string) *tracked {
	t.Helper()
	m := w.members[member]
	front := subject.NewTracker(subject.TrackerOptions{
		Member: m.id, Cert: m.cert, Directory: w.directory, Log: m.log, Verifier: w.verifier(), Clock: w.clock, Logger: slog.New(slog.DiscardHandler), Patience: patience,
		Authenticate: func(*http.Request) (func(countersign.SubsystemID) bool, error) {
			return func(id countersign.SubsystemID) bool { return id.Subsystem == "eportal" }, nil
		},
	})
	s := httptest.NewServer(front.Before(http.NotFoundHandler()))
	t.Cleanup(s.Close)
	session, err := identity.NewSession(m.id)
	if err != nil {
		t.Fatal(err)
	}
	return &tracked{w, s.URL, session, w.issuer.Token(value, session.Nonce()), countersign.NewExchangeID(w.clock.Now())}
}

// ask asks findUsage with everything that is due, after alter has had its way, and gives status, error and answer.
func (c *tracked) ask(t *testing.T, query string, q identity.Query, alter func(*http.Request)) (int, string, map[string]any) {
	t.Helper()
	if q.Member.IsZero() {
		q.Member = code("POP")
	}
	q.Gateway, q.View, q.ID, q.At = "gw1", c.view, countersign.NewExchangeID(c.w.clock.Now()), countersign.MillisOf(c.w.clock.Now())
	if q.Kind == "" {
		q.Kind = identity.QueryUsage
	}
	if q.Limit == 0 {
		q.Limit = subject.TrackerLimit
	}
	proof, err := c.session.Sign(q, c.token)
	if err != nil {
		t.Fatal(err)
	}
	return c.get(t, "/r1/T/GOV/POP/registry/findUsage/v2/findUsage?"+query, func(r *http.Request) {
		r.Header.Set("X-Road-UserId", "EE"+alma)
		r.Header.Set(subject.HeaderPersonToken, c.token)
		r.Header.Set(subject.HeaderPersonProof, proof)
		if alter != nil {
			alter(r)
		}
	})
}

func (c *tracked) get(t *testing.T, target string, with func(*http.Request)) (int, string, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Road-Client", "T/GOV/POR/eportal")
	if with != nil {
		with(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("status %d: %s", res.StatusCode, text)
	}
	if strings.Contains(string(text), alma) {
		t.Errorf("the answer names the person: %s", text)
	}
	return res.StatusCode, res.Header.Get("Countersign-Error"), out
}

// TestTrackerTellsUses: an existing portal reads, in its own protocol, what the gateway holds about the person, page by page, newest first.
func TestTrackerTellsUses(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	for range 5 {
		w.both(t, "POP", "MUN", alma)
		w.both(t, "POP", "MUN", bahar)
		w.clock.Add(time.Minute)
	}
	w.both(t, "MUN", "POP", alma) // POP is the asker: MUN's to tell
	sealed := w.exchange("POP", "MUN", alma)
	sealed.notice = countersign.MillisOf(w.clock.Now().Add(time.Hour))
	w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, sealed)
	c := w.tracked(t, "POR", alma)
	status, _, out := c.ask(t, "userCode=EE"+alma, identity.Query{}, nil)
	usages, _ := out["usages"].([]any)
	if status != http.StatusOK || out["totalUsages"] != 5.0 || len(usages) != 5 {
		t.Fatalf("status %d: %v", status, out)
	}
	first, _ := usages[0].(map[string]any)
	if first["logtime"] != "2031-03-04T09:34:00Z" || first["receiverCode"] != "MUN" || first["receiverName"] != "Agency MUN" || first["receiverSystem"] != "desk" || first["action"] != "property-tax: Residence" {
		t.Errorf("the newest is %v", first)
	}
	status, _, out = c.ask(t, "userCode="+alma+"&offset=4&limit=1", identity.Query{Offset: 4, Limit: 1}, nil)
	usages, _ = out["usages"].([]any)
	if status != http.StatusOK || out["totalUsages"] != 5.0 || len(usages) != 1 || usages[0].(map[string]any)["logtime"] != "2031-03-04T09:30:00Z" {
		t.Errorf("the last page: status %d: %v", status, out)
	}
	// The person finds the look in the portal's own log.
	p, _, _ := w.login(t, alma)
	h := w.history(t, p, subject.HistoryQuery{})
	var found bool
	for _, u := range h.Uses {
		found = found || u.Kind == countersign.LeafView && u.Statement.Exchange == c.view
	}
	if !found {
		t.Error("the look through the tracker is not on record")
	}
	w.clock.Add(2 * time.Hour)
	c = w.tracked(t, "POR", alma)
	if _, _, out = c.ask(t, "userCode="+alma, identity.Query{}, nil); out["totalUsages"] != 6.0 {
		t.Errorf("a delay that has ended: %v", out)
	}
}

// TestTrackerRefuses: what a portal alone, a thief or a careless system sends is refused, and the view is not on record where nobody may look.
func TestTrackerRefuses(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	w.both(t, "POP", "MUN", alma)
	c := w.tracked(t, "POR", alma)
	before := w.members["POR"].log.Size()
	user := "userCode=" + alma
	for name, x := range map[string]struct {
		query string
		q     identity.Query
		alter func(*http.Request)
		want  string
	}{
		"without a token":            {user, identity.Query{}, func(r *http.Request) { r.Header.Del(subject.HeaderPersonToken) }, "unauthenticated"},
		"without a proof":            {user, identity.Query{}, func(r *http.Request) { r.Header.Del(subject.HeaderPersonProof) }, "unauthenticated"},
		"two tokens":                 {user, identity.Query{}, func(r *http.Request) { r.Header.Add(subject.HeaderPersonToken, "x") }, "unauthenticated"},
		"another's code":             {"userCode=" + bahar, identity.Query{}, nil, "access_denied"},
		"by somebody else":           {user, identity.Query{}, func(r *http.Request) { r.Header.Set("X-Road-UserId", "EE"+bahar) }, "access_denied"},
		"without X-Road-UserId":      {user, identity.Query{}, func(r *http.Request) { r.Header.Del("X-Road-UserId") }, "bad_request"},
		"without userCode":           {"limit=10", identity.Query{Limit: 10}, nil, "bad_request"},
		"userCode twice":             {user + "&" + user, identity.Query{}, nil, "bad_request"},
		"an unknown parameter":       {user + "&name=A", identity.Query{}, nil, "bad_request"},
		"a page beyond the bound":    {user + "&limit=1001", identity.Query{Limit: 1001}, nil, "bad_request"},
		"a negative offset":          {user + "&offset=-1", identity.Query{Offset: -1}, nil, "bad_request"},
		"a time without zone":        {user + "&periodStart=2031-01-01T00:00:00", identity.Query{}, nil, "bad_request"},
		"a period backwards":         {user + "&periodStart=2031-02-01T00:00:00Z&periodEnd=2031-01-01T00:00:00Z", identity.Query{}, nil, "bad_request"},
		"more than was signed":       {user + "&offset=1", identity.Query{}, nil, "bad_request"},
		"a proof of another kind":    {user, identity.Query{Kind: identity.QueryHistory}, nil, "bad_request"},
		"a proof for another member": {user, identity.Query{Member: code("MUN")}, nil, "bad_request"},
		"another client":             {user, identity.Query{}, func(r *http.Request) { r.Header.Set("X-Road-Client", "T/GOV/POR/desk") }, "unauthenticated"},
		"by POST":                    {user, identity.Query{}, func(r *http.Request) { r.Method = http.MethodPost }, "bad_request"},
		"a gateway of another member": {user, identity.Query{}, func(r *http.Request) {
			r.Header.Set("X-Road-Security-Server", "T/GOV/MUN/gw1")
		}, "unknown_member"},
	} {
		t.Run(name, func(t *testing.T) {
			status, got, out := c.ask(t, x.query, x.q, x.alter)
			if got != x.want || status == http.StatusOK || out["usages"] != nil {
				t.Errorf("status %d, %q: %v", status, got, out)
			}
		})
	}
	if after := w.members["POR"].log.Size(); after != before {
		t.Errorf("%d refused requests left records of views", after-before)
	}
	// A member that is no portal asks in vain.
	agency := w.tracked(t, "MUN", alma)
	if _, got, _ := agency.get(t, "/r1/T/GOV/POP/registry/findUsage/heartbeat", func(r *http.Request) { r.Header.Set("X-Road-Client", "T/GOV/MUN/eportal") }); got != "access_denied" {
		t.Errorf("an agency that is no portal: %q", got)
	}
}

// TestTrackerTakesAProofOnce: whoever overhears a request cannot send it again.
func TestTrackerTakesAProofOnce(t *testing.T) {
	w := newWorld(t, "POP")
	c := w.tracked(t, "POR", alma)
	var proof string
	if status, _, _ := c.ask(t, "userCode="+alma, identity.Query{}, func(r *http.Request) { proof = r.Header.Get(subject.HeaderPersonProof) }); status != http.StatusOK {
		t.Fatalf("the first time: status %d", status)
	}
	again := func(r *http.Request) { r.Header.Set(subject.HeaderPersonProof, proof) }
	if _, got, _ := c.ask(t, "userCode="+alma, identity.Query{}, again); got != "replay" {
		t.Errorf("the second time: %q", got)
	}
}

// TestTrackerState: since when there are records, and whether they are taken now, is told to portals without any person.
func TestTrackerState(t *testing.T) {
	w := newWorld(t, "POP")
	c := w.tracked(t, "POR", alma)
	w.clock.Add(time.Hour)
	if status, _, out := c.get(t, "/r1/T/GOV/POP/registry/findUsage/v2/usagePeriod", nil); status != http.StatusOK || out["periodStart"] != "2031-03-04T09:30:00Z" || len(out) != 1 {
		t.Errorf("status %d: %v", status, out)
	}
	if status, _, out := c.get(t, "/r1/T/GOV/POP/registry/findUsage/heartbeat", nil); status != http.StatusOK || out["status"] != "OK" {
		t.Errorf("status %d: %v", status, out)
	}
	if _, got, _ := c.get(t, "/r1/T/GOV/POP/registry/findUsage/v9/heartbeat", nil); got != "unknown_service" {
		t.Errorf("an unknown version: %q", got)
	}
	if _, got, _ := c.get(t, "/r1/T/GOV/NOBODY/registry/findUsage/heartbeat", nil); got != "unknown_member" {
		t.Errorf("a member that is not there: %q", got)
	}
	if err := w.members["POP"].server.Close(); err != nil {
		t.Fatal(err)
	}
	if status, got, _ := c.get(t, "/r1/T/GOV/POP/registry/findUsage/heartbeat", nil); got != "network" && got != "network_error" {
		t.Errorf("a dead gateway: %d %q", status, got)
	}
}

// FuzzTrackerQuery: whatever stands in the query, it is read whole or refused.
func FuzzTrackerQuery(f *testing.F) {
	for _, s := range []string{"userCode=EE" + alma, "userCode=x&limit=10&offset=5&periodStart=2031-01-01T00:00:00Z&periodEnd=2031-02-01T00:00:00%2B02:00", "limit=%zz", "a&a&a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		code, offset, limit, err := subject.ParseTracker(query)
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeBadRequest {
				t.Errorf("%q: %v", query, err)
			}
			return
		}
		if code == "" || offset < 0 || limit < 1 || limit > subject.TrackerLimit {
			t.Errorf("%q was read as %q, %d, %d", query, code, offset, limit)
		}
	})
}
