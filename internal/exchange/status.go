package exchange

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/xroad"
)

// Paths between gateways beside /r1/.
const (
	PathStatus = "/countersign/status/" // + exchange id: what became of an exchange of the asking member; see Provider.Status
	PathProof  = "/countersign/proof/"  // + leaf index: a C2SP tlog-proof
)

func notRecordedHere() error {
	return countersign.Refuse(countersign.CodeUnknownService, "this gateway has no record of that exchange for the asking member")
}

// recorded finds one side's first record of an exchange.
func (g *Gateway) recorded(ctx context.Context, id countersign.ExchangeID, side countersign.Side) (*ledger.Stored, *countersign.Statement, error) {
	all, err := g.Log.ByExchange(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	for _, stored := range all {
		if stored.Leaf.Side != side || stored.Record == nil {
			continue
		}
		st, err := countersign.ParseStatement(stored.Record.Statement)
		return stored, st, err
	}
	return nil, nil, notRecordedHere()
}

// tell writes what a provider has on record of an exchange: its part of the statement, and the receipt.
func (p *Provider) tell(ctx context.Context, h http.Header, stored *ledger.Stored, st *countersign.Statement) error {
	a := &answering{
		Outcome: st.Outcome, Reasons: st.Reasons, Fields: st.Fields, Mandate: st.Mandate, Subject: st.Subject,
		Answered: st.Answered, Half: stored.Record.Half, Directory: st.Directory,
	}
	text, err := a.header()
	if err != nil {
		return err
	}
	placed, err := p.Log.Promise(ctx, stored)
	if err != nil {
		return err
	}
	h[headerAnswer] = []string{text}
	h[HeaderReceipt] = []string{promiseHeader(placed.Promise, placed.Signature)}
	h[headerAnswerDigest] = []string{countersign.Digest(st.Answer).String()}
	return nil
}

// status answers a repeated request: what became of the exchange, never a second answer.
//
// LAW: guarantee 3 and A11: the same signed request again gets its status.
func (p *Provider) status(ctx context.Context, w http.ResponseWriter, q *question) {
	refusal := countersign.Refuse(countersign.CodeReplay, "this exchange was asked before: it is answered once")
	stored, st, err := p.recorded(ctx, q.id, countersign.SideProvider)
	if err == nil && st.Consumer == q.head.Client {
		w.Header().Set(xroad.HeaderCountersignError, countersign.CodeReplay.String())
		if p.tell(ctx, w.Header(), stored, st) == nil {
			w.WriteHeader(http.StatusConflict)
			return
		}
	}
	p.writeRefusal(w, refusal, q.id.String(), http.StatusConflict)
}

// Proof serves PathProof to any gateway of the directory.
func (p *Provider) Proof(w http.ResponseWriter, r *http.Request) {
	rules, err := p.rulebook()
	if err == nil {
		_, _, err = p.peer(rules.view, r)
	}
	var index uint64
	if err == nil {
		if index, err = strconv.ParseUint(r.PathValue("index"), 10, 63); err != nil {
			err = countersign.Refuse(countersign.CodeBadRequest, "the leaf index is not a number")
		}
	}
	var text string
	if err == nil {
		text, err = p.Log.Proof(r.Context(), index)
	}
	if err != nil {
		p.noise(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
}

// Handler serves everything that one gateway offers another.
func (p *Provider) Handler() http.Handler {
	side := http.NewServeMux()
	side.HandleFunc("GET "+PathStatus+"{id}", p.Status)
	side.HandleFunc("GET "+PathProof+"{index}", p.Proof)
	side.Handle("GET /log/", http.StripPrefix("/log", p.party(p.Log.Handler(ledger.ViewParty))))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would clean and redirect paths: questions go past it, byte for byte.
		if len(r.RequestURI) > 4 && r.RequestURI[:4] == "/r1/" {
			p.ServeHTTP(w, r)
			return
		}
		side.ServeHTTP(w, r)
	})
}

// party lets only gateways of the directory see the log as it grows; the public sees it by the hour.
func (p *Provider) party(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rules, err := p.rulebook()
		if err == nil {
			_, _, err = p.peer(rules.view, r)
		}
		if err != nil {
			p.noise(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Admit is the TLS pin check of this gateway's listener: only keys of gateways in the directory.
func (g *Gateway) Admit(pin keys.SPKIDigest) error {
	view, err := g.Directory.Current()
	if err != nil {
		return err
	}
	if _, ok := view.GatewayByPin(pin); !ok {
		return countersign.Refuse(countersign.CodeUnauthenticated, "the key belongs to no gateway of the directory")
	}
	return nil
}

// admitGateway admits the keys of one gateway of the directory.
func (g *Gateway) admitGateway(member countersign.MemberID, name countersign.GatewayName, pin keys.SPKIDigest) error {
	view, err := g.Directory.Current()
	if err != nil {
		return err
	}
	if gw, ok := view.GatewayByPin(pin); ok && gw.Member == member && gw.Name == name {
		return nil
	}
	return countersign.Refuse(countersign.CodeSignature, "the gateway %s of %s presents a key that the directory does not hold for it", name, member)
}

// buildReceipt gathers the receipt of an exchange that the calling system asked: the provider's, or the own log's where no provider answered.
func (c *Consumer) buildReceipt(r *http.Request, id countersign.ExchangeID) (*countersign.Receipt, error) {
	may, err := c.Authenticate(r)
	if err != nil {
		return nil, err
	}
	stored, st, err := c.recorded(r.Context(), id, countersign.SideConsumer)
	if err != nil && c.unsettled.has(id) {
		return nil, countersign.Refuse(countersign.CodeBusy, "the provider's gateway has not said yet what became of this exchange: its record and receipt come when it has")
	}
	if err != nil {
		return nil, err
	}
	if !may(st.Consumer) {
		return nil, notRecordedHere()
	}
	// Of an answer that was not handed over the calling system holds the own log's promise: this receipt is for the same leaf.
	if len(stored.Record.PeerPromise) == 0 || stored.Leaf.Outcome == countersign.OutcomeNotAccepted {
		return c.ownReceipt(r.Context(), stored)
	}
	promise, err := countersign.ParsePromise(stored.Record.PeerPromise)
	if err != nil {
		return nil, err
	}
	receipt, err := peerReceipt(stored, st)
	if err != nil {
		return nil, err
	}
	// A stale directory keeps the proof away, not the receipt.
	if rules, err := c.rulebook(); err == nil {
		if l, ok := rules.view.LogByOrigin(promise.Origin); ok {
			receipt.Proof = c.fetchProof(r.Context(), rules.view, l, promise.Index)
		}
	}
	return receipt, nil
}

// ownReceipt is the receipt of an exchange that ended on this side alone: refused here, or without an answer that could be accepted.
func (c *Consumer) ownReceipt(ctx context.Context, stored *ledger.Stored) (*countersign.Receipt, error) {
	placed, err := c.Log.Promise(ctx, stored)
	if err != nil {
		return nil, err
	}
	receipt := &countersign.Receipt{
		Format: countersign.ReceiptFormat, Promise: placed.Promise, Signature: placed.Signature,
		Leaf: stored.LeafBytes, Statement: stored.Record.Statement, Salt: stored.Record.Salt[:],
	}
	if receipt.Proof, err = c.Log.Proof(ctx, stored.Index); err != nil && countersign.CodeOf(err) != countersign.CodeNoQuorum {
		return nil, err
	}
	return receipt, nil
}

// fetchProof asks the provider's gateway for the proof; empty while there is none. A receipt without proof is a promise, and is checked as one.
func (c *Consumer) fetchProof(ctx context.Context, view *federation.View, l *federation.Log, index uint64) string {
	for _, gw := range view.Gateways(l.Owner) {
		if gw.Name != l.Gateway {
			continue
		}
		u, err := url.Parse(gw.URL + PathProof + strconv.FormatUint(countersign.PlaceOf(l.Ended, index), 10))
		if err != nil {
			return ""
		}
		res, _, err := c.call(ctx, gw, &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
		if err != nil {
			return ""
		}
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil || res.StatusCode != http.StatusOK {
			return ""
		}
		return string(text)
	}
	return ""
}
