package exchange

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/ugorji/go/codec"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/xroad"
)

// An intent says that this gateway was about to ask. It is closed by the consumer's record in the ordinary course. Where the answer does not come,
// or does not verify, only the provider knows what became of the question: it is asked, and the intent closed as it says, so that both logs pair.
type intent struct {
	Statement []byte // with the provider's part blank
	Half      []byte
	Hash      string
	Member    string
	Gateway   string
}

func (q *question) intent(gw *federation.Gateway) ([]byte, error) {
	out, err := encode(make([]byte, 0, 768), &intent{q.blank().Encode(), q.opening.Half[:], q.hash, gw.Member.String(), string(gw.Name)})
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the intent cannot be written")
	}
	return out, nil
}

// blank is the question's statement with nothing of the provider's part.
func (q *question) blank() *countersign.Statement {
	return q.unsalted(&answering{Outcome: countersign.OutcomeFailed, Answered: q.opening.Asked})
}

// pending is a question that may have reached its provider, and whose end is not known here.
type pending struct {
	id      countersign.ExchangeID
	blank   *countersign.Statement
	half    countersign.SaltHalf
	hash    string
	gateway countersign.GatewayName
	why     error // what went wrong with its answer
}

func (q *question) pending(gw *federation.Gateway, why error) *pending {
	return &pending{q.id, q.blank(), q.opening.Half, q.hash, gw.Name, why}
}

// pendingOf reads a stored intent.
func (c *Consumer) pendingOf(o *ledger.OpenIntent) (*pending, error) {
	var in intent
	if err := codec.NewDecoderBytes(o.Body, answerHandle).Decode(&in); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the intent cannot be read")
	}
	st, err := countersign.ParseStatement(in.Statement)
	if err != nil {
		return nil, err
	}
	p := &pending{id: o.Exchange, blank: st, hash: in.Hash, gateway: countersign.GatewayName(in.Gateway), why: c.unsettled.reason(o.Exchange)}
	if copy(p.half[:], in.Half) != len(p.half) {
		return nil, countersign.Refuse(countersign.CodeStore, "the intent's salt is cut")
	}
	if p.why == nil {
		p.why = countersign.Refuse(countersign.CodeNetwork, "the gateway stopped before it had the answer")
	}
	return p, nil
}

func (p *pending) provider() string {
	return p.blank.Service.MemberID.String() + "\x00" + string(p.gateway)
}

// fill completes the statement with the provider's part.
func (p *pending) fill(a *answering, salt countersign.Salt, answer countersign.SaltedDigest) *countersign.Statement {
	st := *p.blank
	st.Outcome, st.Reasons, st.Fields, st.Mandate, st.Answered, st.Directory = a.Outcome, a.Reasons, a.Fields, a.Mandate, a.Answered, a.Directory
	st.Request, st.Answer = salt.Blind("request", []byte(p.hash)), answer
	if st.Subject == "" {
		st.Subject = a.Subject
	}
	return &st
}

// How long a calling system waits for its exchange to be closed when its answer was lost, and a provider's gateway may take to tell a status.
const (
	settleWithin = 5 * time.Second
	statusWithin = 5 * time.Second
)

// notAccepted sees a question closed that may have reached its provider, and whose answer did not come or did not verify. The calling system gets
// no data and learns why; where the provider cannot be asked now, the intent stays open, and Recover goes on asking.
//
// LAW: guarantee 5: the consumer closes each of its intents with received, refused or not accepted.
func (c *Consumer) notAccepted(ctx context.Context, w http.ResponseWriter, r *http.Request, rules *rulebook, q *question, gw *federation.Gateway, why error) {
	placed, err := c.settleSoon(ctx, rules, q.pending(gw, why))
	if err != nil {
		c.logFailure(ctx, "an intent stays open", q.id.String(), err)
		c.undecided(w, r, q, why)
		return
	}
	c.failOnRecord(w, r, q, placed, why)
}

// undecided leaves an exchange open and says so.
func (c *Consumer) undecided(w http.ResponseWriter, r *http.Request, q *question, why error) {
	c.unsettled.leave(q.id, why)
	h := w.Header()
	h[HeaderStatus] = []string{string(standingPending)}
	h[xroad.HeaderRequestID] = []string{q.id.String()}
	c.fail(w, r, q.id, countersign.RefuseBecause(countersign.CodeOf(why), why,
		"%s; what became of the question is not known yet: the gateway goes on asking, and its record and receipt come under this exchange's id", countersign.MessageOf(why)))
}

// settleSoon settles while the calling system waits: a provider that still works on the question is asked again for a little while.
func (c *Consumer) settleSoon(ctx context.Context, rules *rulebook, p *pending) (*ledger.Placed, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		placed, err := c.settle(ctx, rules, p)
		if countersign.CodeOf(err) != countersign.CodeBusy {
			return placed, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
	}
}

// settle asks the provider what became of a question and closes its intent accordingly. An error says that the end is not known: CodeBusy where
// the provider still works on it, CodeNetwork where it cannot be asked, another where it says what does not hold.
func (c *Consumer) settle(ctx context.Context, rules *rulebook, p *pending) (*ledger.Placed, error) {
	gw := gatewayOf(rules.view, p.blank.Service.MemberID, p.gateway)
	if gw == nil { // who has left the directory can be asked no more
		return c.closeAlone(ctx, rules, p)
	}
	told, err := c.askStatus(ctx, gw, p.id)
	var placed *ledger.Placed
	switch {
	case err != nil:
	case told.standing == standingUnknown:
		return c.closeAlone(ctx, rules, p)
	case told.standing == standingPending:
		err = countersign.Refuse(countersign.CodeBusy, "the provider's gateway still works on the question")
	default:
		placed, err = c.closeAs(ctx, gw, p, told)
	}
	if err != nil && c.now().Sub(p.id.Time()) > giveUpAfter {
		return c.closeAlone(ctx, rules, p)
	}
	return placed, err
}

func gatewayOf(view *federation.View, member countersign.MemberID, name countersign.GatewayName) *federation.Gateway {
	for _, gw := range view.Gateways(member) {
		if gw.Name == name {
			return gw
		}
	}
	return nil
}

// closeAlone closes an intent of which the provider has no record and will have none.
func (c *Consumer) closeAlone(ctx context.Context, rules *rulebook, p *pending) (*ledger.Placed, error) {
	a := c.lacking(rules, countersign.OutcomeFailed, p.why)
	salt := countersign.JoinSalt(p.half, a.Half)
	return c.closeSettled(ctx, p, closing{statement: p.fill(a, salt, countersign.SaltedDigest{}), salt: salt, half: a.Half, kind: countersign.LeafExchange})
}

// closeAs closes an intent as the provider's record has it: its statement is recomputed with what the provider tells, and must be the one that the
// provider's log has promised.
func (c *Consumer) closeAs(ctx context.Context, gw *federation.Gateway, p *pending, told *status) (*ledger.Placed, error) {
	a := &received{answering: told.answering, salt: countersign.JoinSalt(p.half, told.Half), promise: told.promise, signature: told.signature}
	a.statement = p.fill(told.answering, a.salt, told.answer)
	var err error
	for _, kind := range []countersign.LeafKind{countersign.LeafExchange, countersign.LeafCompletion, countersign.LeafRelease} {
		if err = c.checkReceipt(gw, a, a.statement, a.salt.Keyed(), kind); err != nil {
			continue
		}
		end := a.closing(countersign.OutcomeNotAccepted, nil)
		end.kind = kind
		if kind != countersign.LeafExchange {
			if err := c.pairRelease(ctx, p, a, &end); err != nil {
				return nil, err
			}
		}
		return c.closeSettled(ctx, p, end)
	}
	return nil, countersign.RefuseBecause(countersign.CodeNoReceipt, err, "what the provider's gateway says of the exchange does not fit its receipt")
}

// pairRelease sees to it that a stream has both leaves on this side: that of its beginning, if the consumer had not come so far, before that of its
// end.
func (c *Consumer) pairRelease(ctx context.Context, p *pending, a *received, end *closing) error {
	all, err := c.Log.ByExchange(ctx, p.id)
	if err != nil {
		return err
	}
	for _, stored := range all {
		if stored.Leaf.Side == countersign.SideConsumer && stored.Leaf.Kind == countersign.LeafRelease {
			end.kind = countersign.LeafCompletion
			return nil
		}
	}
	if end.kind == countersign.LeafRelease {
		return nil
	}
	begun := *a.statement
	begun.Outcome, begun.Reasons, begun.Answer = countersign.OutcomeReleased, nil, countersign.SaltedDigest{}
	_, err = c.closeSettled(ctx, p, closing{statement: &begun, salt: a.salt, half: a.Half, kind: countersign.LeafRelease, keepOpen: true})
	return err
}

func (c *Consumer) closeSettled(ctx context.Context, p *pending, end closing) (*ledger.Placed, error) {
	ctx, cancel := finish(ctx)
	defer cancel()
	end.outcome, end.why = countersign.OutcomeNotAccepted, p.why
	return c.close(ctx, p.id, end)
}

// status is what a provider's gateway tells of an exchange, signed.
type status struct {
	standing standing
	*answering
	answer             countersign.SaltedDigest
	promise, signature []byte
}

// askStatus asks a provider's gateway what became of an exchange.
func (c *Consumer) askStatus(ctx context.Context, gw *federation.Gateway, id countersign.ExchangeID) (*status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	u, err := url.Parse(gw.URL + PathStatus + id.String())
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the provider's gateway has an address that cannot be read")
	}
	res, _, err := c.call(ctx, gw, &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.Header.Get("Signature") == "" {
		return nil, unsigned(res)
	}
	if _, err := c.profiles.status.Verify(httpsig.OfResponse(res.StatusCode, res.Header), c.now(), keysOf(gw), c.roots); err != nil {
		return nil, err
	}
	return parseStatus(res.Header, id)
}

// parseStatus reads a status whose signature holds.
func parseStatus(h http.Header, id countersign.ExchangeID) (*status, error) {
	if h.Get(xroad.HeaderRequestID) != id.String() {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the provider's gateway tells of another exchange than the one that it was asked about")
	}
	words := h[HeaderStatus]
	if len(words) != 1 {
		words = []string{""}
	}
	s := &status{standing: standing(words[0])}
	switch s.standing {
	case standingUnknown, standingPending:
		return s, nil
	case standingRecorded:
	default:
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the provider's header %s is none of recorded, unknown, pending", HeaderStatus)
	}
	var err error
	if s.answering, err = parseAnswering(h[headerAnswer]); err != nil {
		return nil, err
	}
	if s.promise, s.signature, err = ParsePromiseHeader(h[HeaderReceipt]); err != nil {
		return nil, err
	}
	var d countersign.Digest
	if err := d.UnmarshalText([]byte(h.Get(headerAnswerDigest))); err != nil {
		return nil, err
	}
	s.answer = countersign.SaltedDigest(d)
	return s, nil
}
