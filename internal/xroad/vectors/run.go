package vectors

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
)

// Env is what a run needs of the pair.
type Env struct {
	// Gateway is the consumer gateway's address for information systems: scheme and host.
	Gateway *url.URL
	// TLS is used where Gateway is https.
	TLS *tls.Config
	// Vars are the values of the vectors' variables; [Variables] lists the names, the README of the vectors their meaning.
	Vars map[string]string
	// Upstream tells what the provider's services received.
	Upstream Upstream
}

// Upstream tells what services received: [Echo], or [Remote] for an echo in another process.
type Upstream interface {
	// Received gives the requests that came under a mark, oldest first; none is no error.
	Received(ctx context.Context, mark string) ([]Received, error)
}

// Failure is one thing that is not as a vector expects.
type Failure struct {
	Vector string // its name
	Proves string // the line of the protocol that is broken
	Check  string // what was checked
	Got    string
	Want   string
}

// String is one line for a report.
func (f Failure) String() string {
	return fmt.Sprintf("%s: %s: got %s, want %s (%s)", f.Vector, f.Check, f.Got, f.Want, f.Proves)
}

// maxAnswer bounds what the runner reads of one answer.
const maxAnswer = 64 << 20

// answer is one answer of the gateway; closed without one where the connection ended before.
type answer struct {
	closed bool
	extra  int // answers that followed the first on the same connection
	status int
	header http.Header
	body   []byte
	cut    bool // the body ended before its declared end
}

// Run sends a vector and reports what is not as it expects; nothing means that the vector holds. The context bounds the whole run.
func Run(ctx context.Context, env Env, v Vector) []Failure {
	c := &checker{vector: v}
	mark := "m" + strings.ToLower(rand.Text())
	vars := maps.Clone(env.Vars)
	if vars == nil {
		vars = map[string]string{}
	}
	vars["MARK"], vars["HOST"] = mark, env.Gateway.Host
	x := expander{vars: vars, missing: map[string]bool{}}
	v = x.vector(v)
	if len(x.missing) > 0 {
		c.fail("variables", "no value for "+strings.Join(slices.Sorted(maps.Keys(x.missing)), ", "), "a value for each")
		return c.failures
	}
	c.vector = v
	times := max(v.Times, 1)
	answers := make([]answer, 0, times)
	for range times {
		wire, method, err := v.wire(env.Gateway.Host)
		if err != nil {
			c.fail("request", err.Error(), "a request that can be written")
			return c.failures
		}
		a, err := send(ctx, env, wire, method)
		if err != nil {
			c.fail("connection", err.Error(), "an answer")
			return c.failures
		}
		c.answer(a)
		answers = append(answers, a)
	}
	c.differ(answers)
	c.upstream(ctx, env, mark, times)
	if v.Expect.Alive {
		c.alive(ctx, env, vars)
	}
	return c.failures
}

// alive sends an ordinary request on a connection of its own.
func (c *checker) alive(ctx context.Context, env Env, vars map[string]string) {
	wire := "GET /listClients HTTP/1.1\r\nHost: " + env.Gateway.Host + "\r\nX-Road-Client: " + vars["CLIENT"] +
		"\r\nCountersign-Token: " + vars["TOKEN"] + "\r\nConnection: close\r\n\r\n"
	a, err := send(ctx, env, []byte(wire), http.MethodGet)
	if err != nil || a.status != http.StatusOK {
		c.fail("the gateway afterwards", fmt.Sprint(a.status, " ", err), "200 to an ordinary request")
	}
}

// wire makes the bytes of the vector's request.
func (v *Vector) wire(host string) (wire []byte, method string, err error) {
	if v.Request == nil {
		wire = joined(v.Raw)
		method, _, _ = strings.Cut(string(wire[:min(len(wire), 16)]), " ")
		return wire, method, nil
	}
	r := v.Request
	body := joined(r.Body)
	if r.Gzip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			return nil, "", err
		}
		if err := z.Close(); err != nil {
			return nil, "", err
		}
		body = b.Bytes()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Target, host)
	for _, line := range v.headers() {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("Connection: close\r\n")
	switch {
	case r.Chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		w := httputil.NewChunkedWriter(&b)
		for chunk := range slices.Chunk(body, 4096) {
			if _, err := w.Write(chunk); err != nil {
				return nil, "", err
			}
		}
		if err := w.Close(); err != nil {
			return nil, "", err
		}
		b.WriteString("\r\n")
	case len(r.Body) > 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
		b.Write(body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes(), r.Method, nil
}

// headers are the request's header lines, the file's defaults first.
func (v *Vector) headers() []string {
	if v.Bare {
		return v.Request.Headers
	}
	return slices.Concat(v.defaults, v.Request.Headers)
}

func joined(pieces []Piece) []byte {
	var b bytes.Buffer
	for _, p := range pieces {
		b.WriteString(strings.Repeat(p.Text, max(p.Times, 1)))
	}
	return b.Bytes()
}

// send writes bytes on a new connection and reads what comes back until the gateway closes.
func send(ctx context.Context, env Env, wire []byte, method string) (answer, error) {
	conn, err := dial(ctx, env)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a gateway that hangs is cut off by the context
	defer stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = conn.Write(wire) // a gateway may answer and hang up before it has read everything
	}()
	a := read(bufio.NewReader(conn), method, func() {
		<-written
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	})
	if ctx.Err() != nil {
		return answer{}, context.Cause(ctx)
	}
	_ = conn.Close()
	<-written
	return a, nil
}

func dial(ctx context.Context, env Env) (net.Conn, error) {
	if env.Gateway.Scheme == "https" {
		d := tls.Dialer{Config: env.TLS}
		return d.DialContext(ctx, "tcp", env.Gateway.Host)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", env.Gateway.Host)
}

// read takes the first answer, says that no more requests follow, and counts further answers: those to smuggled requests.
func read(r *bufio.Reader, method string, first func()) answer {
	request := &http.Request{Method: method}
	response, err := http.ReadResponse(r, request)
	for err == nil && response.StatusCode < 200 { // 100 Continue is no answer yet
		response, err = http.ReadResponse(r, request)
	}
	if err != nil {
		return answer{closed: true}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header, body: body, cut: err != nil}
	first()
	for {
		next, err := http.ReadResponse(r, request)
		if err != nil {
			return a
		}
		a.extra++
		_, err = io.Copy(io.Discard, next.Body)
		_ = next.Body.Close()
		if err != nil {
			return a
		}
	}
}
