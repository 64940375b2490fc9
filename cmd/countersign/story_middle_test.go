package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/xroad"
)

// middle stands where the directory says that a provider's gateway stands, and passes everything on to the real one. It holds TLS keys of
// both sides, as a broken terminator of TLS would; what else it does, a story tells it. With the provider's other keys it plays a rogue provider.
type middle struct {
	provider demoMember
	real     string // address at which the provider really listens
	server   *http.Server

	mu       sync.Mutex
	out      *http.Transport
	deeds    []deed
	captured []capture
}

// knownDeeds are what the man in the middle can do; with "status-" before it, to what a consumer asks about the end of an exchange.
var knownDeeds = []string{
	"hold", "request-header", "request-drop", "request-method", "request-target", "request-body",
	"lose", "cut", "response-header", "response-drop", "response-status", "response-body", "receipt", "sign", "excess",
}

// deed changes one passing message.
type deed struct {
	what string
	args []string
}

// capture is a signed request as it passed, and the receipt that its answer bore.
type capture struct {
	method, target string
	header         http.Header
	body           []byte
	receipt        string
}

// moveGateway gives a gateway another peer address than the directory says, and returns it.
func moveGateway(m demoMember) (string, error) {
	free, _, err := freeAddresses(1)
	if err != nil {
		return "", err
	}
	return free[0], editConfig(m.Config, func(c *gatewayConfig) { c.Listen.Peer = free[0] })
}

// editConfig rewrites a gateway's configuration as its operator might.
func editConfig(file string, edit func(*gatewayConfig)) error {
	c, err := loadGatewayConfig(file)
	if err != nil {
		return err
	}
	edit(c)
	text, err := yaml.Marshal(*c)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// newMiddle puts a man in the middle in front of a provider's gateway. The gateway must start after it.
func newMiddle(provider, consumer demoMember) (*middle, error) {
	m := &middle{provider: provider}
	var err error
	if m.real, err = moveGateway(provider); err != nil {
		return nil, err
	}
	front, err := certificateOf(provider)
	if err != nil {
		return nil, err
	}
	if err := m.as(consumer); err != nil {
		return nil, err
	}
	socket, err := net.Listen("tcp", address(provider.Peer))
	if err != nil {
		return nil, err
	}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go m.server.Serve(tls.NewListener(socket, keys.PinnedServer(front, anyone))) //nolint:errcheck // ends with close
	return m, nil
}

func anyone(keys.SPKIDigest) error { return nil }

func certificateOf(m demoMember) (tls.Certificate, error) {
	key, err := keys.Load(filepath.Join(m.Keys, keyTLS))
	if err != nil {
		return tls.Certificate{}, err
	}
	return keys.SelfSigned(key)
}

// as makes the middle call the provider with another member's TLS key.
func (m *middle) as(member demoMember) error {
	cert, err := certificateOf(member)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out = &http.Transport{TLSClientConfig: keys.PinnedClient(cert, anyone), DisableCompression: true, DisableKeepAlives: true}
	return nil
}

func (m *middle) close() { _ = m.server.Close() }

// ServeHTTP passes a message on, with what the story wants done to it.
func (m *middle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c := capture{method: r.Method, target: r.RequestURI, header: r.Header.Clone(), body: body}
	deeds := m.deedsTo(c.target)
	for _, d := range deeds {
		if d.what == "hold" {
			m.capture(c)
			panic(http.ErrAbortHandler)
		}
		d.toRequest(&c)
	}
	res, err := m.pass(c)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if res.header.Get(headerAnswerTest) != "" && isQuestion(c.target) {
		c.receipt = res.header.Get(exchange.HeaderReceipt)
		m.capture(c)
	}
	for _, d := range deeds {
		if err := d.toResponse(m, res); err != nil {
			log.Printf("the man in the middle cannot %s: %s", d.what, err)
			panic(http.ErrAbortHandler)
		}
	}
	for n, v := range res.header {
		w.Header()[n] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(res.body)))
	w.WriteHeader(res.status)
	_, _ = w.Write(res.body)
	for _, d := range deeds {
		if d.what == "cut" {
			panic(http.ErrAbortHandler)
		}
	}
}

// deedsTo are the deeds to one message: those to what a consumer asks about the end of an exchange begin with "status-", and all others are to
// questions. What else passes is left alone.
func (m *middle) deedsTo(target string) (out []deed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.deeds {
		what, status := strings.CutPrefix(d.what, "status-")
		if status && strings.HasPrefix(target, exchange.PathStatus) || !status && isQuestion(target) {
			out = append(out, deed{what, d.args})
		}
	}
	return out
}

func isQuestion(target string) bool { return strings.HasPrefix(target, "/r1/") }

func (m *middle) capture(c capture) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.captured = append(m.captured, c)
}

const headerAnswerTest = "Countersign-Answer"

type passed struct {
	status int
	header http.Header
	body   []byte
}

// pass sends a captured request to the real gateway.
func (m *middle) pass(c capture) (*passed, error) { return m.passTo(m.real, c) }

func (m *middle) passTo(host string, c capture) (*passed, error) {
	req := &http.Request{
		Method: c.method, URL: &url.URL{Scheme: "https", Host: host, Opaque: c.target}, Host: host, Header: c.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(c.body)), ContentLength: int64(len(c.body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if len(c.body) == 0 {
		req.Body = http.NoBody
	}
	req.Header["User-Agent"] = nil
	m.mu.Lock()
	out := m.out
	m.mu.Unlock()
	res, err := out.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return &passed{res.StatusCode, res.Header, body}, err
}

func (d deed) toRequest(c *capture) {
	switch d.what {
	case "request-header":
		c.header.Set(d.args[0], d.args[1])
	case "request-drop":
		c.header.Del(d.args[0])
	case "request-method":
		c.method = d.args[0]
	case "request-target":
		c.target = strings.Replace(c.target, d.args[0], d.args[1], 1)
	case "request-body":
		c.body = bytes.ReplaceAll(c.body, []byte(d.args[0]), []byte(d.args[1]))
	}
}

func (d deed) toResponse(m *middle, p *passed) error {
	switch d.what {
	case "response-header":
		p.header.Set(d.args[0], d.args[1])
	case "response-drop":
		p.header.Del(d.args[0])
	case "response-status":
		n, err := strconv.Atoi(d.args[0])
		p.status = n
		return err
	case "response-body":
		p.body = bytes.ReplaceAll(p.body, []byte(d.args[0]), []byte(d.args[1]))
	case "receipt": // of a rogue provider, which signs what it sends
		if err := m.forge(p, d.args[0]); err != nil {
			return err
		}
		return m.sign(p)
	case "sign":
		return m.sign(p)
	case "excess":
		return m.excess(p, d.args[0])
	case "lose":
		panic(http.ErrAbortHandler)
	}
	return nil
}

// cmdMiddle: "middle POP MUN" puts a man in the middle in front of POP's gateway, with the TLS keys of POP and, towards POP, of MUN; say it
// before start. "middle POP do DEED ARG… [, DEED ARG…]" tells it what to do to every message from now on; "middle POP do" is to pass them on.
func cmdMiddle(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: middle PROVIDER CONSUMER | middle PROVIDER do DEED ARG… [, DEED ARG…]")
	}
	if args[1] != "do" {
		m, err := newMiddle(s.d.Members[args[0]], s.d.Members[args[1]])
		ts.Check(err)
		if s.middles == nil {
			s.middles = map[string]*middle{}
		}
		s.middles[args[0]] = m
		return
	}
	m := s.middles[args[0]]
	if m == nil {
		ts.Fatalf("nobody stands in front of %s", args[0])
	}
	var deeds []deed
	for _, words := range splitWords(args[2:], ",") {
		if !slices.Contains(knownDeeds, strings.TrimPrefix(words[0], "status-")) {
			ts.Fatalf("the man in the middle knows no deed %q", words[0])
		}
		deeds = append(deeds, deed{words[0], words[1:]})
	}
	m.mu.Lock()
	m.deeds = deeds
	m.mu.Unlock()
}

func splitWords(words []string, at string) (out [][]string) {
	var now []string
	for _, w := range words {
		if w == at {
			out, now = append(out, now), nil
			continue
		}
		now = append(now, w)
	}
	if len(now) > 0 {
		out = append(out, now)
	}
	return out
}

// cmdReplay: "replay POP [as=VEH] [to=VEH] [DEED ARG…]" sends the request that the man in front of POP captured last once more, to POP's real
// gateway or another's, with the TLS key of another member, changed or not. It prints what came as one JSON object.
func cmdReplay(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) == 0 || s.middles[args[0]] == nil {
		ts.Fatalf("usage: replay PROVIDER [as=AGENCY] [to=AGENCY] [DEED ARG…]")
	}
	m := s.middles[args[0]]
	m.mu.Lock()
	n := len(m.captured)
	m.mu.Unlock()
	if n == 0 {
		ts.Fatalf("nothing was captured")
	}
	c := m.captured[n-1]
	c.header = c.header.Clone()
	host, rest := m.real, args[1:]
	for len(rest) > 0 && strings.Contains(rest[0], "=") {
		name, code, _ := strings.Cut(rest[0], "=")
		switch name {
		case "as":
			ts.Check(m.as(s.d.Members[code]))
		case "to":
			host = address(s.d.Members[code].Peer)
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		deed{rest[0], rest[1:]}.toRequest(&c)
	}
	p, err := m.passTo(host, c)
	ts.Check(err)
	a := asked{
		Status: p.status, Code: p.header.Get(xroad.HeaderCountersignError), Receipt: p.header.Get(exchange.HeaderReceipt) != "", Headers: p.header, Length: len(p.body),
	}
	if json.Valid(p.body) {
		a.Body = p.body
	}
	ts.Check(json.NewEncoder(ts.Stdout()).Encode(a))
}

// cmdAwait: "await URL STATUS [REGEXP]" waits until the address answers with the status, and with a text that matches.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await URL STATUS [REGEXP]")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	says := regexp.MustCompile("")
	if len(args) == 3 {
		says, err = regexp.Compile("(?m)" + args[2])
		ts.Check(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ts.Check(until(ctx, func() error {
		res, err := storyClient.Get(args[0])
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		if res.StatusCode != want || !says.Match(text) {
			return fmt.Errorf("%s answers %s, or other words", args[0], res.Status)
		}
		return nil
	}))
}

// until waits until a condition holds, or says why it does not.
func until(ctx context.Context, holds func() error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it did not come to hold: %w", err)
		case <-tick.C:
		}
	}
}

// cmdAwaitLog: "await-log PART REGEXP" waits until a line of the part's output matches.
func cmdAwaitLog(ts *testscript.TestScript, neg bool, args []string) {
	step, stepped := "", false
	if len(args) == 3 {
		step, stepped = strings.CutPrefix(args[2], "step=")
	}
	if neg || len(args) != 2 && !stepped {
		ts.Fatalf("usage: await-log PART REGEXP [step=DURATION]")
	}
	list, err := storyOf(ts).parts(args[:1])
	ts.Check(err)
	re, err := regexp.Compile("(?m)^.*" + args[1] + ".*$")
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	moved := time.Now()
	ts.Check(until(ctx, func() error {
		text, err := os.ReadFile(list[0].log)
		if err != nil {
			return err
		}
		line := re.Find(text)
		if line == nil && stepped && time.Since(moved) > 2*time.Second {
			moved = time.Now()
			if _, err := storyOf(ts).simulate(ctx, "clock", "advance", step); err != nil {
				return err
			}
		}
		if line == nil {
			return fmt.Errorf("%s has not written %s:\n%s", args[0], args[1], tail(list[0].log))
		}
		fmt.Fprintf(ts.Stdout(), "%s\n", line)
		return nil
	}))
}
