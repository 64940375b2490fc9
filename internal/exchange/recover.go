package exchange

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/ugorji/go/codec"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/ledger"
)

// An intent says that this gateway was about to ask. It is closed by the consumer's record in the ordinary course; what a crash leaves open is
// closed here: the provider is asked what became of the exchange, and the consumer's log gets the leaf that it owes.
type intent struct {
	Statement []byte // with the provider's part blank
	Half      []byte
	Hash      string
	Member    string
	Gateway   string
}

func (q *question) intent(gw *federation.Gateway) ([]byte, error) {
	st := q.statement(&answering{Outcome: countersign.OutcomeFailed, Answered: q.opening.Asked}, countersign.Salt{}, nil)
	var out []byte
	err := codec.NewEncoderBytes(&out, answerHandle).Encode(&intent{st.Encode(), q.opening.Half[:], q.hash, gw.Member.String(), string(gw.Name)})
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the intent cannot be written")
	}
	return out, nil
}

// recoverEvery is how often open intents are taken up again.
const recoverEvery = time.Minute

// Recover closes intents that a crash or a lost network has left open, now and every minute, until ctx ends. Intents of exchanges that are
// still under way are younger than any answer's time-out and left alone.
func (c *Consumer) Recover(ctx context.Context) {
	for {
		if err := c.recoverOnce(ctx); err != nil && ctx.Err() == nil {
			c.logFailure(ctx, "open intents could not be taken up", "", err)
		}
		timer := time.NewTimer(recoverEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (c *Consumer) recoverOnce(ctx context.Context) error {
	open, err := c.Log.OpenIntents(ctx, 1000)
	if err != nil {
		return err
	}
	rules, err := c.rulebook()
	if err != nil {
		return err
	}
	for _, o := range open {
		if o.At.After(c.started) && c.now().Sub(o.At) < 6*time.Minute {
			continue
		}
		if err := c.closeIntent(ctx, rules, o); err != nil {
			c.logFailure(ctx, "an open intent could not be closed", o.Exchange.String(), err)
		}
	}
	return nil
}

// closeIntent asks the provider what became of the exchange. Where the provider has a record, the leaf pairs with it; where it has none, nothing
// was released, and the consumer says alone that it accepted nothing.
func (c *Consumer) closeIntent(ctx context.Context, rules *rulebook, o ledger.OpenIntent) error {
	var in intent
	if err := codec.NewDecoderBytes(o.Body, answerHandle).Decode(&in); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the intent cannot be read")
	}
	st, err := countersign.ParseStatement(in.Statement)
	if err != nil {
		return err
	}
	q := &question{id: o.Exchange, hash: in.Hash}
	copy(q.opening.Half[:], in.Half)
	why := countersign.Refuse(countersign.CodeNetwork, "the gateway stopped before it had the answer")
	a, answerDigest, promise, signature, err := c.askStatus(ctx, rules, st.Service.MemberID, countersign.GatewayName(in.Gateway), o.Exchange)
	if err != nil && countersign.CodeOf(err) != countersign.CodeUnknownService {
		return err
	}
	if err != nil {
		a = &answering{Outcome: countersign.OutcomeFailed, Reasons: []countersign.Code{countersign.CodeNetwork}, Answered: countersign.MillisOf(c.now()), Half: randomHalf(), Directory: rules.view.Version()}
	}
	salt := countersign.JoinSalt(q.opening.Half, a.Half)
	st.Outcome, st.Reasons, st.Fields, st.Mandate, st.Answered, st.Directory = a.Outcome, a.Reasons, a.Fields, a.Mandate, a.Answered, a.Directory
	st.Request, st.Answer = salt.Blind("request", []byte(in.Hash)), answerDigest
	if st.Subject == "" {
		st.Subject = a.Subject
	}
	kind := countersign.LeafExchange
	if promise != nil {
		if kind = c.promised(rules, st, salt, promise, signature); kind == 0 {
			// What the provider says of the exchange is not what its log promised: its word is not kept as proof.
			kind, promise, signature = countersign.LeafExchange, nil, nil
			why = countersign.Refuse(countersign.CodeNoReceipt, "the provider's status does not fit its receipt")
		}
	}
	_, err = c.close(ctx, q, closing{
		statement: st, salt: salt, half: a.Half, kind: kind, outcome: countersign.OutcomeNotAccepted,
		why: why, promise: promise, signature: signature,
	})
	return err
}

// promised gives the kind of leaf that a provider's log has promised for the statement, of a whole answer or of the beginning of a streamed one;
// zero where it has promised neither.
func (c *Consumer) promised(rules *rulebook, st *countersign.Statement, salt countersign.Salt, promise, signature []byte) countersign.LeafKind {
	for _, gw := range rules.view.Gateways(st.Service.MemberID) {
		for _, kind := range []countersign.LeafKind{countersign.LeafExchange, countersign.LeafRelease} {
			if c.checkReceipt(gw, &received{salt: salt, promise: promise, signature: signature}, st, kind) == nil {
				return kind
			}
		}
	}
	return 0
}

// askStatus asks a provider's gateway for its part of the statement and its receipt. CodeUnknownService means that it has no record.
func (c *Consumer) askStatus(ctx context.Context, rules *rulebook, member countersign.MemberID, name countersign.GatewayName, id countersign.ExchangeID) (a *answering, answer countersign.SaltedDigest, promise, signature []byte, err error) {
	for _, gw := range rules.view.Gateways(member) {
		if gw.Name != name {
			continue
		}
		u, err := url.Parse(gw.URL + PathStatus + id.String())
		if err != nil {
			return nil, answer, nil, nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the provider's gateway has an address that cannot be read")
		}
		res, err := c.call(ctx, gw, &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
		if err != nil {
			return nil, answer, nil, nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, answer, nil, nil, unsigned(res)
		}
		if a, err = parseAnswering(res.Header[headerAnswer]); err != nil {
			return nil, answer, nil, nil, err
		}
		if promise, signature, err = ParsePromiseHeader(res.Header[HeaderReceipt]); err != nil {
			return nil, answer, nil, nil, err
		}
		var d countersign.Digest
		if err := d.UnmarshalText([]byte(res.Header.Get(headerAnswerDigest))); err != nil {
			return nil, answer, nil, nil, err
		}
		return a, countersign.SaltedDigest(d), promise, signature, nil
	}
	return nil, answer, nil, nil, countersign.Refuse(countersign.CodeUnknownService, "the provider's gateway is no longer in the directory")
}
