package exchange

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/xroad"
)

func randomHalf() (h countersign.SaltHalf) {
	_, _ = rand.Read(h[:]) // crypto/rand.Read never fails
	return h
}

// Pins admits the TLS keys that the directory holds for one gateway at the moment of a handshake.
type Pins func(keys.SPKIDigest) error

// Dial makes the transport to one gateway: TLS 1.3, its keys pinned, connections kept.
type Dial func(Pins) *http.Transport

// peers keeps one transport for each gateway of the directory.
type peers struct {
	dial Dial
	mu   sync.Mutex
	by   map[peer]*reached
}

// reached is how a gateway is reached.
type reached struct {
	*http.Transport
	url *url.URL
}

type peer struct {
	member countersign.MemberID
	name   countersign.GatewayName
	url    string
}

func newPeers(dial Dial) *peers { return &peers{dial: dial, by: map[peer]*reached{}} }

// of gives the way to a gateway. Its pins are looked up at each handshake, so that a key that the directory has dropped opens no new
// connection.
func (p *peers) of(g *Gateway, gw *federation.Gateway) (*reached, error) {
	key := peer{gw.Member, gw.Name, gw.URL}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.by[key]; ok {
		return r, nil
	}
	u, err := url.Parse(gw.URL)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the provider's gateway has an address that cannot be read")
	}
	member, name := gw.Member, gw.Name
	r := &reached{p.dial(func(pin keys.SPKIDigest) error { return g.admitGateway(member, name, pin) }), u}
	p.by[key] = r
	return r, nil
}

// CloseIdle closes connections to other gateways that nothing uses, so that neither side waits for them when it stops.
func (c *Consumer) CloseIdle() {
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	for _, t := range c.peers.by {
		t.CloseIdleConnections()
	}
}

// send makes the intent durable, signs the question, calls the provider, and sees the intent closed whatever comes.
func (c *Consumer) send(w http.ResponseWriter, r *http.Request, rules *rulebook, q *question) {
	gw, err := c.provider(rules, q)
	if err != nil {
		c.refuseHere(w, r, rules, q, err)
		return
	}
	out, err := c.request(gw, q)
	if err != nil {
		c.refuseHere(w, r, rules, q, err)
		return
	}
	signed, err := c.profiles.request.Prepare(c.Log.Signer(), httpsig.Message{Method: q.method, Path: q.rawPath(), Query: q.target.Query, Header: out.Header}, c.now(), "")
	if err != nil {
		c.refuseHere(w, r, rules, q, err)
		return
	}
	intended, err := c.intend(r.Context(), rules, q, gw, signed)
	if err != nil {
		if countersign.CodeOf(err) == countersign.CodeBudget {
			c.refuseHere(w, r, rules, q, err)
			return
		}
		c.fail(w, r, q.id, err)
		return
	}
	// From here the exchange goes to its end, also when the calling system has gone: its intent must be closed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), q.timeout()+10*time.Second)
	defer cancel()
	var res *http.Response
	sent := false
	if err = intended.Unsigned; err == nil {
		signed.Headers(intended.Also[0]).Set(out.Header)
		res, sent, err = c.call(ctx, gw, out)
	}
	if err != nil && !sent {
		c.closeAndFail(ctx, w, r, q, c.alone(rules, q, countersign.OutcomeFailed, countersign.OutcomeNotAccepted, err))
		return
	}
	if err != nil {
		c.notAccepted(ctx, w, r, rules, q, gw, err)
		return
	}
	defer res.Body.Close()
	c.accept(ctx, w, r, rules, q, gw, res)
}

// provider finds the gateway to call: the one that X-Road-Security-Server names, or the member's first.
func (c *Consumer) provider(rules *rulebook, q *question) (*federation.Gateway, error) {
	gws := rules.view.Gateways(q.target.Service.MemberID)
	want := q.head.SecurityServer
	if !want.IsZero() && want.Member != q.target.Service.MemberID {
		return nil, xroad.InvalidSecurityServer("the header X-Road-Security-Server names a gateway of another member than the service's")
	}
	for _, gw := range gws {
		if want.IsZero() || want.Server == gw.Name {
			return gw, nil
		}
	}
	if !want.IsZero() {
		return nil, xroad.InvalidSecurityServer("the directory knows no gateway of the name in the header X-Road-Security-Server")
	}
	return nil, countersign.Refuse(countersign.CodeNetwork, "the provider has no gateway in the directory")
}

// request makes the request between gateways, but for its signature. Only listed headers pass on services of personal data, and the official's name becomes a pseudonym
// unless the directory says that this service is told.
func (c *Consumer) request(gw *federation.Gateway, q *question) (*http.Request, error) {
	content, err := q.body.reader()
	if err != nil {
		return nil, err
	}
	peer, err := c.peers.of(c.Gateway, gw)
	if err != nil {
		return nil, err
	}
	u := *peer.url
	// Opaque makes net/http send the path as it came, to the byte.
	path, rawQuery := q.rawPath(), q.target.Query
	u.Opaque, u.RawQuery, u.ForceQuery = path, rawQuery, q.target.HasQuery && rawQuery == ""
	h := headerSet{make(http.Header, 24), make([]string, 0, 12)}
	xroad.CopyRequestHeaders(h.Header, q.header, q.service.personal)
	dropSigned(h.Header)
	h.set(xroad.HeaderClient, xroad.EncodeSubsystem(q.head.Client))
	h.set(xroad.HeaderID, q.head.ID)
	if q.head.UserID != "" && q.service.personal && !q.service.Disclose {
		h.set(xroad.HeaderUserID, q.official.Pseudonym)
		if q.official.Pseudonym == "" { // a name without letters and digits is nobody's
			delete(h.Header, xroad.HeaderUserID)
		}
	}
	h.set(HeaderPurpose, string(q.purpose))
	h.set(HeaderBasis, string(q.basis))
	if q.mandate != "" {
		h.set(HeaderMandate, q.mandate)
	}
	if q.standing {
		h.set(headerStanding, "?1")
	}
	official, err := officialHeader(q.official)
	if err != nil {
		return nil, err
	}
	h.set(HeaderOfficial, official)
	h.set(headerExchange, q.opening.header())
	q.hash = q.requestHash(h.Header)
	h.set(xroad.HeaderRequestID, q.name)
	h.set(headerRequestHash, q.hash)
	h.set("Content-Digest", q.body.contentDigest().String())
	h.Header["User-Agent"] = nil
	return &http.Request{Method: q.method, URL: &u, Header: h.Header, Body: content, ContentLength: q.body.size, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: u.Host}, nil
}

// rawPath is the path of the request as it travels.
func (q *question) rawPath() string {
	if q.target.HasQuery {
		return q.target.Raw[:len(q.target.Raw)-len(q.target.Query)-1]
	}
	return q.target.Raw
}

// intend makes the intent durable, and counts what only the consumer can count: the registers that its member asks about one person, and
// the people that its officials look up. The request is signed while its intent goes to the disk, with all that go there with it: by the log's key,
// under one root.
func (c *Consumer) intend(ctx context.Context, rules *rulebook, q *question, gw *federation.Gateway, request httpsig.Prepared) (*ledger.Intended, error) {
	content, err := q.intent(gw)
	if err != nil {
		return nil, err
	}
	return c.Log.Intend(ctx, ledger.Intent{
		Exchange: q.id, Budgets: c.budgets(rules.consumerBudgets(q), countersign.SideConsumer), Body: content,
		Also: []keys.Item{{Domain: request.Domain, Message: request.Base}},
	})
}

// call sends the request once, and reports whether any of it may have left: then only the other gateway knows what became of it. A gateway never
// repeats a request of which a byte may have left: net/http's own retry on a connection that turns out to be dead is stopped before its second try.
//
// SPEC: XROAD-REST, retries: "a gateway never repeats a request once a byte was sent".
func (c *Consumer) call(ctx context.Context, gw *federation.Gateway, req *http.Request) (res *http.Response, mayHaveLeft bool, err error) {
	peer, err := c.peers.of(c.Gateway, gw)
	if err != nil {
		return nil, false, err
	}
	var a attempt
	ctx, a.cancel = context.WithCancelCause(ctx)
	a.trace = httptrace.ClientTrace{GotConn: a.gotConn, WroteHeaders: a.wroteHeaders}
	res, err = peer.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &a.trace)))
	if err != nil {
		a.cancel(nil)
		return nil, a.connected.Load(), countersign.RefuseBecause(countersign.CodeNetwork, err, "the provider's gateway does not answer")
	}
	a.ReadCloser, res.Body = res.Body, &a
	return res, true, nil
}

var errRepeat = errors.New("the request had been sent once: it is not sent again")

// attempt is one call of another gateway, and the body of its answer.
type attempt struct {
	io.ReadCloser
	trace           httptrace.ClientTrace
	connected, sent atomic.Bool
	cancel          context.CancelCauseFunc
}

func (a *attempt) gotConn(httptrace.GotConnInfo) {
	a.connected.Store(true)
	if a.sent.Load() {
		a.cancel(errRepeat)
	}
}

func (a *attempt) wroteHeaders() { a.sent.Store(true) }

// Close ends the call's context with its body.
func (a *attempt) Close() error {
	err := a.ReadCloser.Close()
	a.cancel(nil)
	return err
}
