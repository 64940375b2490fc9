package exchange

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/xroad"
)

// release records an answer or a refusal, and lets it go only when the record is durable, and cosigned where the class asks for it.
//
// LAW: guarantee 5, no answer without a trace: the order of these steps is the guarantee.
func (p *Provider) release(ctx context.Context, w http.ResponseWriter, rules *rulebook, q *question, d mandate.Decision, out *outgoing) {
	ctx, cancel := finish(ctx)
	defer cancel()
	a := p.answering(rules, q, d, out)
	a.Headers = headersDigest(out.status, out.header)
	salt := countersign.JoinSalt(q.opening.Half, a.Half)
	sum := httpsig.DigestContent(out.body)
	var digest []byte
	if out.outcome == countersign.OutcomeReleased {
		digest = sum.Sum
	}
	entry := p.entry(q, a, salt, digest, d, countersign.LeafExchange)
	h := headerSet{out.header, make([]string, 0, 4)}
	h.set("Content-Digest", sum.String())
	h.set("Content-Length", strconv.Itoa(len(out.body)))
	signed, err := p.prepare(&h, q, a, out.status, p.profiles.response, &entry)
	if err == nil && out.outcome == countersign.OutcomeReleased {
		if err = p.recordOthers(ctx, q, a, d, out.others); err == nil {
			err = p.openReview(ctx, q, a.Mandate, entry.Leaf)
		}
	}
	var placed *ledger.Placed
	if err == nil {
		placed, err = p.append(ctx, entry, d)
	}
	if err != nil {
		p.notRecorded(ctx, w, q, err)
		return
	}
	seal(w.Header(), &h, signed, placed)
	w.WriteHeader(out.status)
	if q.method != http.MethodHead {
		_, _ = w.Write(out.body) // a lost connection is the consumer's to close: its intent is open
	}
	p.Metrics.answered(out.outcome, p.now().Sub(a.Answered.Time()))
}

func (p *Provider) answering(rules *rulebook, q *question, d mandate.Decision, out *outgoing) *answering {
	a := &answering{
		Outcome: out.outcome, Reasons: out.reasons, Fields: out.fields, Mandate: d.Mandate, Subject: out.subject.Canonical(),
		Answered: countersign.MillisOf(p.now()), Directory: rules.view.Version(),
	}
	if len(q.sent) > 0 {
		// Also where the register then failed: it may have taken them.
		a.Fields = countersign.SortFields(slices.Concat(out.fields, q.sent))
	}
	_, _ = rand.Read(a.Half[:]) // crypto/rand.Read never fails
	return a
}

func (g *Gateway) entry(q *question, a *answering, salt countersign.Salt, digest []byte, d mandate.Decision, kind countersign.LeafKind) ledger.Entry {
	keyed := salt.Keyed()
	st := q.statement(a, keyed, digest)
	text, leaf := keyed.Commits(st, countersign.SideProvider, st.Outcome)
	leaf.Kind = kind
	return ledger.Entry{
		Leaf: leaf, Exchange: q.id, Tag: g.tag(st.Subject),
		Record: &ledger.Record{
			Statement: text, Salt: salt, Half: a.Half, Rules: slices.Concat(d.Cells, d.Rules), Reasons: a.Reasons,
			Directory: a.Directory, Official: q.official, RequestSignature: q.signature,
		},
		Expires: a.Answered.Time().Add(recordLife),
	}
}

// recordLife is how long access records are kept before they are destroyed by key.
const recordLife = 3653 * 24 * time.Hour

func (g *Gateway) tag(subject string) countersign.SubjectTag {
	if subject == "" {
		return countersign.SubjectTag{}
	}
	id, err := countersign.ParseSubjectID(subject)
	if err != nil {
		return countersign.SubjectTag{}
	}
	return g.Log.TagOf(id)
}

// append makes the entry durable, and waits for the witnesses' quorum where the decision asks for it.
func (g *Gateway) append(ctx context.Context, e ledger.Entry, d mandate.Decision) (*ledger.Placed, error) {
	placed, err := g.Log.Append(ctx, e)
	if err != nil {
		return placed, err
	}
	if d.NeedsQuorum && d.Allowed() {
		if err := g.Log.WaitCosigned(ctx, placed.Index); err != nil {
			return placed, err
		}
	}
	return placed, nil
}

// notRecorded is the one case in which a question that was understood has no signed answer: its record cannot be made durable, so nothing leaves.
func (p *Provider) notRecorded(ctx context.Context, w http.ResponseWriter, q *question, err error) {
	id := q.id.String()
	p.logFailure(ctx, "record not durable: nothing was released", id, err)
	p.Metrics.noise(countersign.CodeOf(err))
	p.writeRefusal(w, err, id, xroad.NewFault(xroad.ServerProxy, p.Style, err, id).Status)
}

// prepare completes the headers of an answer but for its receipt, and has it signed together with the promise for its record: by the log's key,
// under one root, so that neither exists without the other and the consumer checks one signature for both. The receipt is bound to the
// answer by the statement that both recompute, not by the answer's signature.
func (p *Provider) prepare(h *headerSet, q *question, a *answering, status int, profile *httpsig.Profile, e *ledger.Entry) (httpsig.Prepared, error) {
	text, err := a.header()
	if err != nil {
		return httpsig.Prepared{}, err
	}
	h.set(headerAnswer, text)
	q.echo().Set(h.Header)
	signed, err := profile.Prepare(p.Log.Signer(), httpsig.OfResponse(status, h.Header), p.now(), "")
	if err == nil {
		e.Also = []keys.Item{{Domain: signed.Domain, Message: signed.Base}}
	}
	return signed, err
}

// seal gives an answer its headers with receipt and signature.
func seal(to http.Header, h *headerSet, signed httpsig.Prepared, placed *ledger.Placed) {
	h.set(HeaderReceipt, promiseHeader(placed.Promise, placed.Signature))
	for n, v := range h.Header {
		to[n] = v
	}
	to["Date"] = nil // the statement tells the time
	signed.Headers(placed.Also[0]).Set(to)
}

// writeRefusal writes what nobody signed: the other gateway learns the code and the message, and keeps no receipt.
func (p *Provider) writeRefusal(w http.ResponseWriter, err error, id string, status int) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h[xroad.HeaderCountersignError] = []string{countersign.CodeOf(err).String()}
	w.WriteHeader(status)
	_, _ = w.Write(xroad.RefusalBody(xroad.ServerProxy, err, id))
}
