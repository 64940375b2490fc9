package subject_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/subject"
)

// body is a query as it travels.
type body struct {
	Token string               `json:"token"`
	Proof string               `json:"proof"`
	View  *countersign.Receipt `json:"view"`
}

// post sends a query with a TLS key and gives the status, the problem's code, and the answer.
func (w *world) post(t *testing.T, cert tls.Certificate, to string, b body) (int, countersign.Code, *subject.Answer) {
	t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: keys.PinnedClient(cert, func(keys.SPKIDigest) error { return nil })}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.members[to].url+subject.PathQuery, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		var p struct{ Code countersign.Code }
		if err := json.Unmarshal(got, &p); err != nil {
			t.Fatalf("status %d: %s", res.StatusCode, got)
		}
		return res.StatusCode, p.Code, nil
	}
	var a subject.Answer
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, "", &a
}

// view puts a view of a person on a member's record, as a portal does, and gives its receipt.
func (w *world) view(t *testing.T, name, about string, kind countersign.LeafKind) (countersign.ExchangeID, *countersign.Receipt) {
	t.Helper()
	log := w.members[name].log
	sub := countersign.SubsystemID{MemberID: code(name), Subsystem: subject.SubsystemPortal}
	now := countersign.MillisOf(w.clock.Now())
	st := &countersign.Statement{
		Exchange: countersign.NewExchangeID(w.clock.Now()), Consumer: sub, Service: countersign.ServiceID{SubsystemID: sub, Service: subject.ServiceOwnView},
		Subject: person(about).Canonical(), Purpose: subject.PurposeOwnView, Basis: subject.BasisOwnView, Outcome: countersign.OutcomeReleased, Asked: now, Answered: now,
	}
	salt := countersign.Salt{1, 2, 3}
	text := st.Encode()
	leaf := countersign.ExchangeLeaf(st, countersign.SideConsumer, countersign.OutcomeReleased, salt.Commit(text))
	leaf.Kind = kind
	placed, err := log.Append(t.Context(), ledger.Entry{Leaf: leaf, Exchange: st.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return st.Exchange, placed.Receipt(text, salt[:])
}

// TestHostilePortal: a portal's own keys read nothing. Every combination of what a portal, another member or a thief may hold is refused, but the one that is the
// person's own.
func TestHostilePortal(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	w.both(t, "POP", "MUN", alma)
	w.both(t, "POP", "MUN", bahar)
	_, mine, token := w.login(t, alma)
	_, theirs, otherToken := w.login(t, bahar)
	thief, err := identity.NewSession(code("POR"))
	if err != nil {
		t.Fatal(err)
	}
	fresh := newKey(t)
	nobody, err := keys.SelfSigned(fresh)
	if err != nil {
		t.Fatal(err)
	}
	portal := w.members["POR"].cert
	id, view := w.view(t, "POR", alma, countersign.LeafView)
	query := func(change ...func(*identity.Query)) identity.Query {
		q := identity.Query{
			Member: code("POP"), Gateway: "gw1", Kind: identity.QueryHistory, View: id, ID: countersign.NewExchangeID(w.clock.Now()), At: countersign.MillisOf(w.clock.Now()),
		}
		for _, c := range change {
			c(&q)
		}
		return q
	}
	sign := func(s *identity.Session, q identity.Query, token string) string {
		proof, err := s.Sign(q, token)
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	otherID, otherView := w.view(t, "POR", bahar, countersign.LeafView)
	wrongID, wrongKind := w.view(t, "POR", alma, countersign.LeafExchange)
	foreignID, foreign := w.view(t, "MUN", alma, countersign.LeafView)
	bent := *view
	bent.Statement = otherView.Statement
	of := func(id countersign.ExchangeID) func(*identity.Query) { return func(q *identity.Query) { q.View = id } }
	for name, c := range map[string]struct {
		cert tls.Certificate
		body body
		want countersign.Code
	}{
		"the portal's keys and nothing else":               {portal, body{View: view}, countersign.CodeUnauthenticated},
		"the portal's keys and a session without a person": {portal, body{"", sign(thief, query(), ""), view}, countersign.CodeUnauthenticated},
		"a stolen token without the session's key":         {portal, body{token, sign(thief, query(), token), view}, countersign.CodeUnauthenticated},
		"a stolen token without any proof":                 {portal, body{token, "", view}, countersign.CodeUnauthenticated},
		"one's own token and proof for another's view":     {portal, body{otherToken, sign(theirs, query(), otherToken), view}, countersign.CodeNoReceipt},
		"another's session with one's own token":           {portal, body{token, sign(theirs, query(), token), view}, countersign.CodeUnauthenticated},
		"an agency that stole token and session":           {w.members["MUN"].cert, body{token, sign(mine, query(), token), view}, countersign.CodeAccessDenied},
		"a key that is in no directory":                    {nobody, body{token, sign(mine, query(), token), view}, countersign.CodeAccessDenied},
		"a query for another gateway":                      {portal, body{token, sign(mine, query(func(q *identity.Query) { q.Member = code("MUN") }), token), view}, countersign.CodeBadRequest},
		"a query of no known kind":                         {portal, body{token, sign(mine, query(func(q *identity.Query) { q.Kind = "everything" }), token), view}, countersign.CodeBadRequest},
		"a view that is on nobody's record":                {portal, body{token, sign(mine, query(), token), nil}, countersign.CodeNoReceipt},
		"a view of somebody else":                          {portal, body{token, sign(mine, query(of(otherID)), token), otherView}, countersign.CodeNoReceipt},
		"a view that is an ordinary leaf":                  {portal, body{token, sign(mine, query(of(wrongID)), token), wrongKind}, countersign.CodeNoReceipt},
		"a view on another member's record":                {portal, body{token, sign(mine, query(of(foreignID)), token), foreign}, countersign.CodeNoReceipt},
		"a view whose statement was exchanged":             {portal, body{token, sign(mine, query(), token), &bent}, countersign.CodeNoReceipt},
	} {
		t.Run(name, func(t *testing.T) {
			if status, got, _ := w.post(t, c.cert, "POP", c.body); got != c.want {
				t.Errorf("status %d, code %q, want %q", status, got, c.want)
			}
		})
	}

	good := body{token, sign(mine, query(), token), view}
	status, refused, answer := w.post(t, portal, "POP", good)
	if status != http.StatusOK || len(answer.Entries) != 1 {
		t.Fatalf("the person's own query: status %d %s, %+v", status, refused, answer)
	}
	st, err := countersign.ParseStatement(answer.Entries[0].Statement)
	if err != nil || st.Subject != person(alma).Canonical() {
		t.Errorf("the person's own query shows %v, %v", st, err)
	}
	if _, got, _ := w.post(t, portal, "POP", good); got != countersign.CodeReplay {
		t.Errorf("the same query again: %q", got)
	}
	// Nobody can ask for another's receipt by its index either.
	q := query(func(q *identity.Query) { q.Kind, q.Index = identity.QueryReceipt, 2 })
	if _, got, _ := w.post(t, portal, "POP", body{token, sign(mine, q, token), view}); got != countersign.CodeUnknownService {
		t.Errorf("another person's receipt: %q", got)
	}
	w.clock.Add(subject.MaxViewAge + time.Minute)
	late := query()
	if _, got, _ := w.post(t, portal, "POP", body{token, sign(mine, late, token), view}); got != countersign.CodeNoReceipt {
		t.Errorf("a view that is over: %q", got)
	}
	w.clock.Add(time.Hour)
	if _, got, _ := w.post(t, portal, "POP", body{token, sign(mine, query(), token), view}); got != countersign.CodeUnauthenticated {
		t.Errorf("a token that has ended: %q", got)
	}
}
