package exchange

import (
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"strconv"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/xroad"
)

// received is a provider's answer whose signature and receipt hold.
type received struct {
	*answering
	header    http.Header // what passes to the calling system
	status    int
	body      []byte
	salt      countersign.Salt
	digest    []byte // SHA-256 of the body; nil where nothing was released
	statement *countersign.Statement
	text      []byte            // of the statement, encoded, once checkReceipt has made it
	leaf      *countersign.Leaf // that the provider owes for the statement: likewise
	promise   []byte
	signature []byte
	receipt   string                // promise and signature as a header
	content   httpsig.ContentDigest // that the provider signed; zero for a stream
}

// accept verifies the provider's answer, makes the consumer's own record of it durable, and hands it over. What does not verify is dropped.
//
// LAW: guarantee 5: the consumer drops an answer without a valid receipt (A38).
func (c *Consumer) accept(ctx context.Context, w http.ResponseWriter, r *http.Request, rules *rulebook, q *question, gw *federation.Gateway, res *http.Response) {
	drop := func(why error) {
		_ = res.Body.Close() // what comes no more is no longer sent either
		c.notAccepted(ctx, w, r, rules, q, gw, why)
	}
	if res.Header.Get(headerAnswer) == "" {
		drop(unsigned(res))
		return
	}
	a, err := c.verify(q, gw, res)
	if err != nil {
		drop(err)
		return
	}
	if a.Streamed {
		c.relay(ctx, w, r, q, gw, a, res, drop)
		return
	}
	if a.body, err = readAnswer(res, q.method); err != nil {
		drop(err)
		return
	}
	if err := c.checkContent(rules, q, gw, a); err != nil {
		if a.statement != nil {
			c.closeAndFail(ctx, w, r, q, a.closing(countersign.OutcomeNotAccepted, err))
			return
		}
		drop(err)
		return
	}
	outcome := countersign.OutcomeReceived
	if a.Outcome != countersign.OutcomeReleased {
		outcome = a.Outcome
	} else if err := c.reserveFound(ctx, rules, q, a); err != nil {
		c.closeAndFail(ctx, w, r, q, a.closing(countersign.OutcomeNotAccepted, err))
		return
	}
	if outcome == countersign.OutcomeReceived {
		leaf := *a.leaf
		leaf.Side, leaf.Outcome = countersign.SideConsumer, outcome
		if err := c.openReview(ctx, q, a.Mandate, &leaf); err != nil {
			c.undecided(w, r, q, err)
			return
		}
	}
	if _, err := c.close(ctx, q.id, a.closing(outcome, nil)); err != nil {
		c.undecided(w, r, q, err)
		return
	}
	c.handOver(w, r, q, a)
}

// verify checks who answers and that the answer is to this question: signature, echo, clock, the headers that pass.
func (c *Consumer) verify(q *question, gw *federation.Gateway, res *http.Response) (*received, error) {
	profile := c.profiles.response
	if res.Header["Content-Digest"] == nil {
		profile = c.profiles.stream
	}
	verified, err := profile.Verify(httpsig.OfResponse(res.StatusCode, res.Header), c.now(), keysOf(gw), c.roots)
	if err != nil {
		return nil, err
	}
	if err := q.echo().Check(res.Header); err != nil {
		return nil, err
	}
	a, err := parseAnswering(res.Header[headerAnswer])
	if err != nil {
		return nil, err
	}
	if a.Streamed != (profile == c.profiles.stream) || a.Streamed && q.service.personal {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the provider streams an answer that may not be streamed")
	}
	if at := a.Answered.Time(); at.Before(q.opening.Asked.Time().Add(-Skew)) || at.After(c.now().Add(Skew)) {
		return nil, countersign.Refuse(countersign.CodeClock, "the provider's clock differs by more than %s from this gateway's", Skew)
	}
	got := &received{answering: a, status: res.StatusCode, header: http.Header{}, salt: countersign.JoinSalt(q.opening.Half, a.Half), content: verified.Digest}
	if got.promise, got.signature, got.receipt, err = readPromise(res.Header[HeaderReceipt]); err != nil {
		return nil, err
	}
	passing(got.header, res.Header, q.service.personal)
	if headersDigest(res.StatusCode, got.header) != a.Headers {
		return nil, countersign.Refuse(countersign.CodeSignature, "the headers of the provider's answer are not those that it signed")
	}
	return got, nil
}

// passing copies the headers of an answer that were the service's own.
func passing(dst, src http.Header, personal bool) {
	xroad.CopyResponseHeaders(dst, src, personal)
	dropSigned(dst)
	delete(dst, "Date")
	delete(dst, "Content-Length")
}

// checkContent checks what the signature covers by digest, the receipt, and that no more arrived than the signed field list says. It sets
// the statement once the provider's receipt for it holds.
func (c *Consumer) checkContent(rules *rulebook, q *question, gw *federation.Gateway, a *received) error {
	sum := sha256.Sum256(a.body)
	if a.content.Algorithm != httpsig.SHA256 || string(a.content.Sum) != string(sum[:]) {
		return countersign.Refuse(countersign.CodeSignature, "the body of the provider's answer is not the one that it signed")
	}
	if a.Outcome == countersign.OutcomeReleased {
		a.digest = sum[:]
	}
	keyed := a.salt.Keyed()
	st := q.statement(a.answering, keyed, a.digest)
	if err := c.checkReceipt(gw, a, st, keyed, countersign.LeafExchange); err != nil {
		return err
	}
	a.statement = st
	if a.Outcome != countersign.OutcomeReleased || !q.service.personal || len(a.body) == 0 {
		return nil
	}
	// LAW: guarantee 4: the consumer checks the answer against the signed field list and refuses an excess (A16).
	f, err := rules.filters.Get(receivedFields(a.Fields))
	if err != nil {
		return err
	}
	return f.Check(a.header.Get("Content-Type"), a.header, a.body)
}

// checkReceipt recomputes the leaf that the provider owes for the statement, and checks that its log promised exactly that.
func (c *Consumer) checkReceipt(gw *federation.Gateway, a *received, st *countersign.Statement, salt countersign.KeyedSalt, kind countersign.LeafKind) error {
	promise, err := countersign.ParsePromise(a.promise)
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeNoReceipt, err, "the receipt's promise cannot be read")
	}
	if promise.Origin != gw.LogKey.Origin {
		return countersign.Refuse(countersign.CodeNoReceipt, "the receipt is of another log than the provider's")
	}
	a.text, a.leaf = salt.Commits(st, countersign.SideProvider, st.Outcome)
	a.leaf.Kind = kind
	if promise.Leaf != countersign.LeafHash(a.leaf.Encode()) {
		return countersign.Refuse(countersign.CodeNoReceipt, "the receipt is for another record than this answer's")
	}
	if err := countersign.VerifyTree(gw.LogKey.Public, countersign.DomainReceipt, a.promise, a.signature, c.roots); err != nil {
		return countersign.RefuseBecause(countersign.CodeNoReceipt, err, "the receipt is not signed by the provider's log")
	}
	return nil
}

// closing is how the consumer's part of an exchange ends.
type closing struct {
	statement *countersign.Statement
	salt      countersign.Salt
	half      countersign.SaltHalf
	kind      countersign.LeafKind
	outcome   countersign.Outcome
	why       error  // for an exchange that was refused or not accepted
	promise   []byte // the provider's, where its receipt holds
	signature []byte
	keepOpen  bool // of a stream's beginning: its end closes the intent

	text []byte            // of the statement, encoded, where it was already
	leaf *countersign.Leaf // of the provider, with text: its text and commitment are the consumer's too
}

func (a *received) closing(outcome countersign.Outcome, why error) closing {
	return closing{
		statement: a.statement, salt: a.salt, half: a.Half, kind: countersign.LeafExchange, outcome: outcome, why: why,
		promise: a.promise, signature: a.signature, text: a.text, leaf: a.leaf,
	}
}

// close makes the consumer's record of the exchange durable and closes its intent, in one transaction.
func (c *Consumer) close(ctx context.Context, id countersign.ExchangeID, end closing) (*ledger.Placed, error) {
	text, leaf := end.text, end.leaf
	if text == nil {
		text, leaf = end.salt.Keyed().Commits(end.statement, countersign.SideConsumer, end.outcome)
	}
	own := *leaf
	own.Kind, own.Side, own.Outcome = end.kind, countersign.SideConsumer, end.outcome
	record := &ledger.Record{
		Statement: text, Salt: end.salt, Half: end.half, PeerPromise: end.promise, PeerSignature: end.signature,
	}
	if end.why != nil {
		record.Reasons = []countersign.Code{countersign.CodeOf(end.why)}
	}
	placed, err := c.Log.Append(ctx, ledger.Entry{
		Leaf: &own, Exchange: id, Tag: c.tag(end.statement.Subject), Record: record,
		CloseIntent: !end.keepOpen, Unpromised: end.outcome == countersign.OutcomeReceived, Expires: end.statement.Answered.Time().Add(recordLife),
	})
	if err != nil {
		c.logFailure(ctx, "the consumer's record is not durable: nothing is handed over", id.String(), err)
	}
	c.Metrics.asked(end.outcome)
	return placed, err
}

// closeAndFail ends an exchange without an answer. Where the record is not durable, that is the error, and the exchange stays open.
func (c *Consumer) closeAndFail(ctx context.Context, w http.ResponseWriter, r *http.Request, q *question, end closing) {
	placed, err := c.close(ctx, q.id, end)
	if err != nil {
		c.undecided(w, r, q, err)
		return
	}
	c.failOnRecord(w, r, q, placed, end.why)
}

// failOnRecord gives the calling system the receipt of the member's own log for an exchange without an answer: a refusal has a record as an answer
// has, and whoever was refused can prove it.
func (c *Consumer) failOnRecord(w http.ResponseWriter, r *http.Request, q *question, placed *ledger.Placed, why error) {
	h := w.Header()
	h[HeaderReceipt] = []string{promiseHeader(placed.Promise, placed.Signature)}
	h[xroad.HeaderRequestID] = []string{q.id.String()} // under which the full receipt is fetched
	c.fail(w, r, q.id, why)
}

// refuseHere records a question that the consumer's gateway itself refuses; no intent is open yet.
func (c *Consumer) refuseHere(w http.ResponseWriter, r *http.Request, rules *rulebook, q *question, why error) {
	ctx, cancel := finish(r.Context())
	defer cancel()
	end := c.alone(rules, q, countersign.OutcomeRefused, countersign.OutcomeRefused, why)
	placed, err := c.close(ctx, q.id, end)
	if err != nil {
		c.fail(w, r, q.id, err)
		return
	}
	c.failOnRecord(w, r, q, placed, why)
}

// alone is a statement that only the consumer makes: there is no provider's half, so no other log can pair it.
func (c *Consumer) alone(rules *rulebook, q *question, said, outcome countersign.Outcome, why error) closing {
	a := c.lacking(rules, said, why)
	salt := countersign.JoinSalt(q.opening.Half, a.Half)
	return closing{statement: q.statement(a, salt.Keyed(), nil), salt: salt, half: a.Half, kind: countersign.LeafExchange, outcome: outcome, why: why}
}

// lacking stands for the part of a provider that said nothing.
func (c *Consumer) lacking(rules *rulebook, said countersign.Outcome, why error) *answering {
	code := countersign.CodeOf(why)
	if code == countersign.CodeInternal {
		code = "internal"
	}
	return &answering{Outcome: said, Reasons: []countersign.Code{code}, Answered: countersign.MillisOf(c.now()), Directory: rules.view.Version(), Half: randomHalf()}
}

// handOver gives the calling system its answer, or the provider's refusal in the words of X-Road.
func (c *Consumer) handOver(w http.ResponseWriter, r *http.Request, q *question, a *received) {
	h := w.Header()
	h[HeaderReceipt] = []string{a.receipt}
	if a.Outcome != countersign.OutcomeReleased {
		refused, err := xroad.ParseRefusal(a.body)
		if err != nil {
			c.fail(w, r, q.id, err)
			return
		}
		q.echo().Set(h)
		xroad.WriteError(w, r, xroad.ClientProxy, c.Style, refused, q.name)
		return
	}
	for n, v := range a.header {
		h[n] = v
	}
	q.echo().Set(h)
	h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // a system that hung up has its record all the same
	}
}

// unsigned is what an answer without Countersign-Answer means: the provider's gateway did not take the question, and says why in a text that
// nobody signed.
func unsigned(res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, xroad.MaxRefusal+1))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeNetwork, err, "the provider's gateway broke off")
	}
	code := countersign.Code(res.Header.Get(xroad.HeaderCountersignError))
	if refused, err := xroad.ParseRefusal(text); err == nil {
		return refused
	}
	if code == "" {
		return countersign.Refuse(countersign.CodeNoReceipt, "the provider's gateway answered without signature and receipt: the answer was dropped")
	}
	return countersign.Refuse(code, "the provider's gateway did not take the question")
}

// readAnswer reads a bounded answer whole.
func readAnswer(res *http.Response, method string) ([]byte, error) {
	if method == http.MethodHead {
		return nil, nil
	}
	body, err := register.ReadBounded(&register.Answer{Body: res.Body, Length: res.ContentLength}, MaxPersonalBody)
	switch countersign.CodeOf(err) {
	case countersign.CodeUnfilterable:
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the provider's gateway sends more than %d bytes, the bound of an answer that is not streamed", MaxPersonalBody)
	case countersign.CodeRegister:
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the provider's answer broke off")
	}
	return body, err
}
