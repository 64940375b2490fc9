package subject

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/keys"
)

// caller keeps one pinned transport for each gateway of the directory.
type caller struct {
	cert      tls.Certificate
	directory *directory
	roots     *countersign.RootCache

	mu sync.Mutex
	by map[string]*http.Client
}

func newCaller(cert tls.Certificate, d *directory) *caller {
	return &caller{cert: cert, directory: d, roots: countersign.NewRootCache(4096), by: map[string]*http.Client{}}
}

// of gives the client for a gateway. Its pins are looked up at each handshake, so that a key that the directory has dropped opens no connection.
func (c *caller) of(g *gateway) *http.Client {
	key := g.member.ID.String() + "\x00" + string(g.name)
	c.mu.Lock()
	defer c.mu.Unlock()
	client := c.by[key]
	if client == nil {
		member, name := g.member.ID, g.name
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		client = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				TLSClientConfig: keys.PinnedClient(c.cert, func(pin keys.SPKIDigest) error { return c.admit(member, name, pin) }),
				DialContext:     (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second,
				MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, Protocols: protocols, Proxy: nil,
			},
		}
		c.by[key] = client
	}
	return client
}

func (c *caller) admit(member countersign.MemberID, name countersign.GatewayName, pin keys.SPKIDigest) error {
	k, err := c.directory.known()
	if err != nil {
		return err
	}
	if g := k.byPin[countersign.Pin(pin.KeyID())]; g != nil && g.member.ID == member && g.name == name {
		return nil
	}
	return countersign.Refuse(countersign.CodeSignature, "the gateway %s of %s presents a key that the directory does not hold for it", name, member)
}

// ask puts one query to one gateway and verifies that the answer is that gateway's, to this query.
func (c *caller) ask(ctx context.Context, g *gateway, p *Person, v *View, q identity.Query, now time.Time) (*Answer, error) {
	q.Member, q.Gateway, q.View = g.member.ID, g.name, v.ID
	q.ID, q.At = countersign.NewExchangeID(now), countersign.MillisOf(now)
	proof, err := p.session.Sign(q, p.token)
	if err != nil {
		return nil, err
	}
	return c.put(ctx, g, request{Token: p.token, Proof: proof, View: v.receipt}, q)
}

// put sends a query that its person has signed, and verifies the answer.
func (c *caller) put(ctx context.Context, g *gateway, r request, q identity.Query) (*Answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the query cannot be written")
	}
	h, text, err := c.call(ctx, g, http.MethodPost, PathQuery, body)
	if err != nil {
		return nil, err
	}
	return c.verify(g, q, h, text)
}

// call sends one request to a gateway and gives the answer's headers and body, which are yet to be verified.
func (c *caller) call(ctx context.Context, g *gateway, method, path string, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway has an address that cannot be read")
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.of(g).Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, nil, countersign.RefuseBecause(countersign.CodeBusy, err, "the gateway has not answered in time")
		}
		return nil, nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway cannot be reached")
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return nil, nil, countersign.RefuseBecause(countersign.CodeBusy, err, "the gateway has not answered in time")
	case err != nil:
		return nil, nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the gateway broke off")
	case len(text) > maxAnswer:
		return nil, nil, countersign.Refuse(countersign.CodeTooLarge, "the gateway's answer is larger than %d bytes", maxAnswer)
	case res.StatusCode != http.StatusOK:
		return nil, nil, refusalOf(res, text)
	}
	return res.Header, text, nil
}

func refusalOf(res *http.Response, text []byte) error {
	var p problem
	if err := json.Unmarshal(text, &p); err != nil || p.Code == "" {
		return countersign.Refuse(countersign.CodeNetwork, "the gateway does not answer people's queries: status %d", res.StatusCode)
	}
	if p.Code == "internal" {
		p.Code = countersign.CodeInternal
	}
	return countersign.Refuse(p.Code, "the gateway refused: %s", p.Title)
}

// signed verifies that the gateway has signed a text.
func (c *caller) signed(g *gateway, h http.Header, text []byte) error {
	pub, ok := g.signs[countersign.KeyID(h.Get(headerKey))]
	sig, err := base64.StdEncoding.DecodeString(h.Get(headerSignature))
	if !ok || err != nil {
		return countersign.Refuse(countersign.CodeSignature, "the gateway's answer is not signed by a key that the directory holds for it")
	}
	return countersign.VerifyTree(pub, DomainAnswer, text, sig, c.roots)
}

func (c *caller) verify(g *gateway, q identity.Query, h http.Header, text []byte) (*Answer, error) {
	if err := c.signed(g, h, text); err != nil {
		return nil, err
	}
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's answer cannot be read")
	}
	if a.Query != q.ID || a.Member != g.member.ID || a.Gateway != g.name || a.Origin != g.log.Origin || a.Count != len(a.Entries) {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the gateway's answer is to another query, or of another log")
	}
	last := q.Before
	for i := range a.Entries {
		e := &a.Entries[i]
		if last > 0 && e.Index >= last && q.Kind == identity.QueryHistory || e.Index >= a.Size {
			return nil, countersign.Refuse(countersign.CodeInconsistent, "the gateway's entries are not in order, or beyond its log")
		}
		last = e.Index
	}
	return &a, nil
}
