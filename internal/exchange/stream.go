package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/xroad"
)

// headerTrailerSignature is the trailer in which a provider signs the digest of a streamed answer.
const headerTrailerSignature = "Countersign-Trailer-Signature"

const streamBuffer = 128 << 10

// stream passes a class O answer through without holding it: a release leaf is durable before the first byte, the trailer carries the signed
// digest, a completion leaf follows.
func (p *Provider) stream(ctx context.Context, w http.ResponseWriter, rules *rulebook, q *question, d mandate.Decision, ans *register.Answer) {
	out := &outgoing{status: ans.Status, header: http.Header{}, fields: []countersign.FieldPath{mandate.AllFields}, outcome: countersign.OutcomeReleased}
	passing(out.header, ans.Header, false)
	a := p.answering(rules, q, d, out)
	a.Streamed, a.Headers = true, headersDigest(out.status, out.header)
	salt := countersign.JoinSalt(q.opening.Half, a.Half)
	release := p.entry(q, a, salt, nil, d, countersign.LeafRelease)
	head := headerSet{out.header, make([]string, 0, 2)}
	signed, err := p.prepare(&head, q, a, out.status, p.profiles.stream, &release)
	var placed *ledger.Placed
	if err == nil {
		placed, err = p.append(ctx, release, d)
	}
	if err != nil {
		p.notRecorded(ctx, w, q, err)
		return
	}
	h := w.Header()
	seal(h, &head, signed, placed)
	h["Trailer"] = []string{"Content-Digest, " + headerTrailerSignature}
	w.WriteHeader(out.status)
	digest := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(w, digest), ans.Body, make([]byte, streamBuffer))
	done, cancel := finish(ctx)
	defer cancel()
	if err != nil {
		p.logFailure(ctx, "a streamed answer broke off", q.id.String(), err)
		p.brokenOff(done, q, a, salt, d)
		panic(http.ErrAbortHandler) // no trailer: the consumer sees that the answer is not whole
	}
	sum := digest.Sum(nil)
	content := httpsig.ContentDigest{Algorithm: httpsig.SHA256, Sum: sum}.String()
	sig, err := p.Signer.Sign(done, countersign.DomainTrailer, trailerSigned(q.id, content))
	if err == nil {
		e := p.entry(q, a, salt, sum, d, countersign.LeafCompletion)
		_, err = p.Log.Append(done, e)
	}
	if err != nil {
		p.logFailure(ctx, "a streamed answer could not be completed", q.id.String(), err)
		panic(http.ErrAbortHandler)
	}
	h["Content-Digest"] = []string{content}
	h[headerTrailerSignature] = []string{base64.StdEncoding.EncodeToString(sig)}
	p.Metrics.answered(countersign.OutcomeReleased, p.now().Sub(a.Answered.Time()))
}

// brokenOff puts on record that a stream did not come to its end.
func (p *Provider) brokenOff(ctx context.Context, q *question, a *answering, salt countersign.Salt, d mandate.Decision) {
	end := *a
	end.Outcome, end.Reasons = countersign.OutcomeFailed, []countersign.Code{countersign.CodeNetwork}
	if _, err := p.Log.Append(ctx, p.entry(q, &end, salt, nil, d, countersign.LeafCompletion)); err != nil {
		p.logFailure(ctx, "the end of a streamed answer is not on record", q.id.String(), err)
	}
	p.Metrics.answered(end.Outcome, p.now().Sub(a.Answered.Time()))
}

// relay hands a streamed class O answer on as it comes. The provider's release receipt is checked, and the consumer's own release leaf is
// durable, before the first byte; the digest is checked after the last, and a stream that does not match is broken off, so that no client
// takes it for whole.
func (c *Consumer) relay(ctx context.Context, w http.ResponseWriter, r *http.Request, q *question, gw *federation.Gateway, a *received, res *http.Response, drop func(error)) {
	a.statement = q.statement(a.answering, a.salt.Keyed(), nil)
	err := c.checkReceipt(gw, a, a.statement, a.salt.Keyed(), countersign.LeafRelease)
	if err == nil {
		begin := a.closing(countersign.OutcomeReceived, nil)
		begin.kind, begin.keepOpen = countersign.LeafRelease, true
		_, err = c.close(ctx, q.id, begin)
	}
	if err != nil {
		drop(err) // nothing was handed over
		return
	}
	h := w.Header()
	for n, v := range a.header {
		h[n] = v
	}
	q.echo().Set(h)
	h[HeaderReceipt] = []string{a.receipt}
	if res.ContentLength >= 0 {
		h["Content-Length"] = res.Header["Content-Length"]
	}
	w.WriteHeader(a.status)
	digest := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(w, digest), res.Body, make([]byte, streamBuffer))
	sum := digest.Sum(nil)
	if err == nil {
		err = c.checkTrailer(q, gw, res, sum)
	}
	if err == nil {
		a.statement, a.text = q.statement(a.answering, a.salt.Keyed(), sum), nil
		end := a.closing(countersign.OutcomeReceived, nil)
		end.kind = countersign.LeafCompletion
		_, err = c.close(ctx, q.id, end)
	}
	if err != nil { // how it ended the provider's log tells: Recover closes the intent as that has it
		c.logFailure(ctx, "a streamed answer was not accepted", q.id.String(), err)
		c.unsettled.leave(q.id, err)
		panic(http.ErrAbortHandler)
	}
}

func (c *Consumer) checkTrailer(q *question, gw *federation.Gateway, res *http.Response, sum []byte) error {
	content, err := httpsig.ParseContentDigest(res.Trailer.Get("Content-Digest"))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeSignature, err, "the streamed answer ended without its digest")
	}
	if content.Algorithm != httpsig.SHA256 || string(content.Sum) != string(sum) {
		return countersign.Refuse(countersign.CodeSignature, "the streamed answer is not the one that the provider signed")
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(res.Trailer.Get(headerTrailerSignature))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeSignature, err, "the streamed answer's signature cannot be read")
	}
	signed := trailerSigned(q.id, content.String())
	for _, key := range gw.Signs {
		if countersign.VerifyTree(key, countersign.DomainTrailer, signed, sig, c.roots) == nil {
			return nil
		}
	}
	return countersign.Refuse(countersign.CodeSignature, "the streamed answer's digest is not signed by the provider")
}

// isMetadata reports the built-in services, which need no grant and are about nobody.
func isMetadata(method, service string) bool { return xroad.IsMetadataService(method, service) }
