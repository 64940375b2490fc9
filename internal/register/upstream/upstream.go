package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register"
)

// Upstream is a register behind HTTP. It is safe for concurrent use.
type Upstream struct {
	scheme, host, base string // base is the path of the URL without a slash at its end
	transport          *http.Transport
	secrets            []secretHeader
	timeout            time.Duration
}

var _ register.Register = (*Upstream)(nil)

// New reads the files that c names and prepares the pool of connections. Errors are CodeBadRequest refusals that name the field.
func New(c Config) (*Upstream, error) {
	base, err := c.parseBase()
	if err != nil {
		return nil, err
	}
	u := &Upstream{scheme: base.Scheme, host: base.Host, base: strings.TrimSuffix(base.EscapedPath(), "/"), timeout: time.Duration(c.Answer)}
	if u.timeout == 0 {
		u.timeout = DefaultAnswer
	}
	if u.timeout > MaxAnswerTime {
		return nil, bad("answer", "%s is longer than %s", u.timeout, MaxAnswerTime)
	}
	if u.secrets, err = c.credentials(); err != nil {
		return nil, err
	}
	if u.transport, err = c.transport(); err != nil {
		return nil, err
	}
	return u, nil
}

// Close drops idle connections.
func (u *Upstream) Close() { u.transport.CloseIdleConnections() }

// errTime is the cause of a context that our own time-out ended.
var errTime = errors.New("the time for an answer has passed")

// Ask sends the question and returns when the head of the answer is there.
func (u *Upstream) Ask(ctx context.Context, q *register.Request) (*register.Answer, error) {
	target, err := u.target(q)
	if err != nil {
		return nil, err
	}
	switch q.Method {
	case http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut:
	default:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the verb is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
	}
	u.prepare(q)

	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(u.timeout, func() { cancel(errTime) })
	resp, err := u.send(ctx, q, target) //nolint:bodyclose // the answer's body closes it, and its caller closes that
	if err != nil {
		timer.Stop()
		err = failure(ctx, err)
		cancel(nil)
		return nil, err
	}
	body := &answerBody{body: resp.Body, ctx: ctx, cancel: cancel, timer: timer}
	if q.Stream {
		body.pause = u.timeout
	}
	if resp.StatusCode < 200 {
		_ = body.Close() // the refusal says more
		return nil, countersign.Refuse(countersign.CodeRegister, "the register answered with status %d, which is no answer", resp.StatusCode)
	}
	a := &register.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Length: resp.ContentLength}
	if q.Method == http.MethodHead || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
		a.Length = 0
	}
	return a, nil
}

// target builds the request line. The path and query go as they were sent, byte for byte.
func (u *Upstream) target(q *register.Request) (*url.URL, error) {
	if q.Path != "" && q.Path[0] != '/' {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the path after the service does not begin with '/'")
	}
	if strings.ContainsFunc(q.Path, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '?' || r == '#' }) ||
		strings.ContainsFunc(q.Query, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the path or query holds a character that must be percent-encoded")
	}
	if leavesBase(q.Path) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the path holds a segment '.' or '..': write the path that is meant")
	}
	t := &url.URL{Scheme: u.scheme, Host: u.host, RawQuery: q.Query}
	full := u.base + q.Path
	if !strings.HasPrefix(full, "//") {
		t.Opaque = full // empty becomes "/"
		return t, nil
	}
	// An opaque part that begins with two slashes would be read as a host.
	path, err := url.PathUnescape(full)
	if err != nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the path's percent encoding is broken")
	}
	t.Path, t.RawPath = path, full
	if t.EscapedPath() != full {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the path holds a character that must be percent-encoded")
	}
	return t, nil
}

// leavesBase finds dot segments, also behind encoded dots and slashes: the register would resolve them to a path that no endpoint granted.
//
// SPEC: XROAD-REST: an encoded traversal (%2e%2e, %2F) must not reach a rule it was not granted.
func leavesBase(path string) bool {
	if !strings.Contains(path, ".") && !strings.Contains(path, "%2") {
		return false
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return true // a broken encoding is read differently by each service
	}
	for s := range strings.FieldsFuncSeq(decoded, func(r rune) bool { return r == '/' || r == '\\' }) {
		s, _, _ = strings.Cut(s, ";") // a path parameter does not make ..;x another segment to servers that strip it
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

// prepare makes the headers those of our own hop.
func (u *Upstream) prepare(q *register.Request) {
	h := q.Header
	for _, name := range []string{"Connection", "Upgrade", "Expect", "Te", "Trailer"} {
		delete(h, name)
	}
	// net/http repeats a request that bears one of these keys by itself; under another spelling of the name it does not see them.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = v
		}
	}
	if !q.Stream {
		h["Accept-Encoding"] = identity
		delete(h, "Range") // a part of a document cannot be filtered
		delete(h, "If-Range")
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // none, instead of net/http's
	}
	for _, s := range u.secrets {
		h[s.name] = s.values
	}
}

// send makes the exchange on the wire. A connection that the register closed while it was idle is replaced, as long as not one byte
// was written to it for this question.
func (u *Upstream) send(ctx context.Context, q *register.Request, target *url.URL) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		var used usedConn
		used.trace.GotConn = used.got
		req := u.request(httptrace.WithClientTrace(ctx, &used.trace), q, target)
		resp, err := u.transport.RoundTrip(req)
		if err == nil {
			return resp, nil
		}
		if attempt == 2 || q.Body != nil || ctx.Err() != nil || !used.untouched() {
			return nil, err
		}
	}
}

func (u *Upstream) request(ctx context.Context, q *register.Request, target *url.URL) *http.Request {
	req := &http.Request{
		Method: q.Method, URL: target, Host: u.host, Header: q.Header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	switch {
	case q.Body != nil:
		// Without GetBody net/http never sends it again.
		req.Body, req.ContentLength = io.NopCloser(q.Body), q.Length
		if q.Length == 0 {
			req.Body = http.NoBody
		}
	case q.Method == http.MethodGet || q.Method == http.MethodHead || q.Method == http.MethodOptions:
		// net/http repeats these verbs by itself, after the first byte too, unless they have a body of unknown length; marked
		// "identity", an empty one leaves no trace on the wire.
		//
		// SPEC: XROAD-REST: a gateway never repeats a request once a byte was sent.
		req.Body, req.TransferEncoding = emptyBody{}, identity
	}
	return req.WithContext(ctx)
}

// identity is a header's value that nobody changes.
var identity = []string{"identity"}

// emptyBody is a body without a byte, which net/http does not know for one as it knows http.NoBody.
type emptyBody struct{}

// Read implements io.Reader.
func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// WriteTo implements io.WriterTo, so that net/http takes no buffer to copy nothing.
func (emptyBody) WriteTo(io.Writer) (int64, error) { return 0, nil }

// Close implements io.Closer.
func (emptyBody) Close() error { return nil }

// failure makes a refusal of a transport's error. What the register said is in none of them: causes are kept by kind.
func failure(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errTime) {
		return countersign.RefuseBecause(countersign.CodeNetwork, errTime, "the register did not answer in time")
	}
	if cerr := ctx.Err(); cerr != nil {
		return countersign.RefuseBecause(countersign.CodeNetwork, cerr, "the question was given up before the register answered")
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return countersign.RefuseBecause(countersign.CodeNetwork, cert, "the register's certificate is not the one expected")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return countersign.RefuseBecause(countersign.CodeNetwork, op, "the register cannot be reached")
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return countersign.RefuseBecause(countersign.CodeNetwork, errTime, "the register did not answer in time")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return countersign.RefuseBecause(countersign.CodeNetwork, io.ErrUnexpectedEOF, "the register closed the connection without an answer")
	}
	return countersign.Refuse(countersign.CodeRegister, "the register's answer is not HTTP that can be read")
}

// answerBody bounds the reading of a body in time. pause, when set, is the longest silence of a stream; otherwise the whole answer has to
// come before the timer.
type answerBody struct {
	body   io.ReadCloser
	ctx    context.Context //nolint:containedctx // its cause tells why reading failed
	cancel context.CancelCauseFunc
	timer  *time.Timer
	pause  time.Duration
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	if b.pause > 0 {
		b.timer.Reset(b.pause)
	}
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		if b.ctx.Err() != nil {
			return n, failure(b.ctx, err)
		}
		return n, countersign.Refuse(countersign.CodeRegister, "the register's answer broke off")
	}
	return n, err
}

// Close implements io.Closer. It may be called more than once.
func (b *answerBody) Close() error {
	b.timer.Stop()
	err := b.body.Close()
	b.cancel(nil)
	return err
}

// countedConn counts what is written to a connection.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

// Write implements net.Conn.
func (c *countedConn) Write(p []byte) (int, error) {
	// Counted before, and taken back after: what may be leaving just now counts as sent.
	c.written.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n - len(p)))
	return n, err
}

func dialCounted(d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: c}, nil
	}
}

// usedConn remembers the connection that a question got, and how much had been written to it before.
type usedConn struct {
	trace  httptrace.ClientTrace
	conn   *countedConn
	before int64
	reused bool
}

func (u *usedConn) got(info httptrace.GotConnInfo) {
	c := info.Conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if counted, ok := c.(*countedConn); ok {
		u.conn, u.before, u.reused = counted, counted.written.Load(), info.Reused
	}
}

// untouched reports that the question provably did not leave on a connection that had served before.
func (u *usedConn) untouched() bool {
	return u.conn != nil && u.reused && u.conn.written.Load() == u.before
}
