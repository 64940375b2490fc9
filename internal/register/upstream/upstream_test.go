package upstream

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/register/registertest"
)

func personService() http.Handler {
	entries := make(map[string][]byte)
	for _, p := range registertest.People() {
		b, err := json.Marshal(p)
		if err != nil {
			panic(err)
		}
		entries[p.PIN] = b
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /persons/{subject}", func(w http.ResponseWriter, r *http.Request) {
		b, ok := entries[r.PathValue("subject")]
		if !ok {
			http.Error(w, "no such person", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b)
	})
	return mux
}

func start(t *testing.T, c Config) *Upstream {
	t.Helper()
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestConformance(t *testing.T) {
	registertest.Run(t, func(t *testing.T) registertest.Harness {
		s := httptest.NewServer(personService())
		t.Cleanup(s.Close)
		return registertest.Harness{Register: start(t, Config{URL: s.URL}), Break: s.Close}
	})
}

// raw answers each connection by a function that sees the bytes as they arrive.
func raw(t *testing.T, handle func(n int, c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				handle(n, c, bufio.NewReader(c))
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// head reads a request's head as it came.
func head(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}

func question(method, path, query string) *register.Request {
	return &register.Request{Method: method, Path: path, Query: query, Header: make(http.Header)}
}

func TestPathAndQueryArriveByteForByte(t *testing.T) {
	seen := make(chan string, 1)
	url := raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			h, err := head(r)
			if err != nil {
				return
			}
			seen <- h
			if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
				return
			}
		}
	})
	for _, c := range []struct{ base, path, query, line string }{
		{"", "", "", "GET / HTTP/1.1"},
		{"", "/", "", "GET / HTTP/1.1"},
		{"", "/path%3B/", "", "GET /path%3B/ HTTP/1.1"},
		{"/api/", "/path%3B/", "a=%2f&b=;&&=", "GET /api/path%3B/?a=%2f&b=;&&= HTTP/1.1"},
		{"/api", "", "x", "GET /api?x HTTP/1.1"},
		{"/api", "/", "", "GET /api/ HTTP/1.1"},
		{"", "//double//", "", "GET //double// HTTP/1.1"},
		{"/api", "//double", "", "GET /api//double HTTP/1.1"},
		{"", "/%C3%B6/%2F/a+b/%7e~/:@!$&'()*,;=", "q=%C3%B6+%20", "GET /%C3%B6/%2F/a+b/%7e~/:@!$&'()*,;=?q=%C3%B6+%20 HTTP/1.1"},
		{"", "/\u00f6", "", "GET /\u00f6 HTTP/1.1"},
		{"", "/a.b/..c/...", "", "GET /a.b/..c/... HTTP/1.1"},
	} {
		u := start(t, Config{URL: url + c.base})
		a, err := u.Ask(t.Context(), question("GET", c.path, c.query))
		if err != nil {
			t.Errorf("%q: %v", c.path, err)
			continue
		}
		if err := a.Body.Close(); err != nil {
			t.Error(err)
		}
		if line, _, _ := strings.Cut(<-seen, "\r\n"); line != c.line {
			t.Errorf("sent %q, want %q", line, c.line)
		}
	}
}

func TestPathsThatNeverLeave(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the question left") })
	u := start(t, Config{URL: s.URL + "/api"})
	for _, q := range []*register.Request{
		question("GET", "/a b", ""), question("GET", "/a\r\nX: y", ""), question("GET", "a", ""), question("GET", "/a?b", ""),
		question("GET", "/a#b", ""), question("GET", "/a", "b c"), question("GET", "/a", "b\n"), question("GET", "/..", ""),
		question("GET", "/%2e%2E/admin", ""), question("GET", "/a%2f..%2fb", ""), question("GET", "/a/..;x/b", ""), question("GET", "/a%5c..%5cb", ""),
		question("GET", "/./a", ""), question("GET", "/%2", ""), question("TRACE", "/a", ""), question("CONNECT", "/a", ""), question("get", "/a", ""), question("G T", "/a", ""),
	} {
		if _, err := u.Ask(t.Context(), q); !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("%s %q?%q: %v", q.Method, q.Path, q.Query, err)
		}
	}
}

// SPEC: XROAD-REST: a gateway never repeats a request once a byte was sent.
func TestNeverRepeatsWhatWasSent(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT"} {
		var asked atomic.Int32
		url := raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			for {
				h, err := head(r)
				if err != nil {
					return
				}
				asked.Add(1)
				if strings.Contains(h, "/lost") {
					return // a reused connection closes without an answer
				}
				if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
					return
				}
			}
		})
		u := start(t, Config{URL: url})
		a, err := u.Ask(t.Context(), question(method, "/first", ""))
		if err != nil {
			t.Fatal(method, err)
		}
		if err := a.Body.Close(); err != nil {
			t.Fatal(err)
		}
		q := question(method, "/lost", "")
		q.Header.Set("Idempotency-Key", "once")
		if _, err := u.Ask(t.Context(), q); !errors.Is(err, countersign.CodeNetwork) {
			t.Errorf("%s: %v", method, err)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("%s: the register was asked %d times, want 2", method, n)
		}
	}
}

// failingConn takes nothing after its first write, or one byte, as a connection that the register closed while it was idle.
type failingConn struct {
	net.Conn
	writes  atomic.Int32
	partial bool
}

func (c *failingConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) == 1 {
		return c.Conn.Write(p)
	}
	if !c.partial {
		return 0, &net.OpError{Op: "write", Err: os.ErrClosed}
	}
	n, err := c.Conn.Write(p[:1])
	return n, errors.Join(err, &net.OpError{Op: "write", Err: os.ErrClosed})
}

// A connection that went away while it was idle costs no question, unless a byte of it left.
func TestStaleConnectionIsReplaced(t *testing.T) {
	for _, partial := range []bool{false, true} {
		var asked atomic.Int32
		s := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
		u := start(t, Config{URL: s.URL})
		first := true
		u.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if first {
				first, c = false, &failingConn{Conn: c, partial: partial}
			}
			return &countedConn{Conn: c}, err
		}
		for i := range 2 {
			a, err := u.Ask(t.Context(), question("GET", "/x", ""))
			if i == 1 && partial {
				if !errors.Is(err, countersign.CodeNetwork) || asked.Load() != 1 {
					t.Errorf("a question whose first byte left: %v, asked %d times", err, asked.Load())
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := register.ReadBounded(a, 0); err != nil {
				t.Fatal(err)
			}
			if int(asked.Load()) != i+1 {
				t.Errorf("the register was asked %d times after question %d", asked.Load(), i+1)
			}
		}
	}
}

func TestHeadersOnTheWire(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("Bearer s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got *http.Request
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	u := start(t, Config{URL: s.URL, Headers: map[string]string{"authorization": secret}})
	q := question("GET", "/x", "")
	q.Header = http.Header{
		"Accept-Encoding": {"gzip"}, "Range": {"bytes=0-1"}, "Connection": {"close"}, "Expect": {"100-continue"}, "Upgrade": {"h2c"},
		"Authorization": {"of the client"}, "X-Custom": {"a", "b"},
	}
	a, err := u.Ask(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Body.Close(); err != nil {
		t.Fatal(err)
	}
	want := http.Header{"Accept-Encoding": {"identity"}, "Authorization": {"Bearer s3cret"}, "X-Custom": {"a", "b"}}
	if len(got.Header) != len(want) || got.ContentLength != 0 || got.TransferEncoding != nil {
		t.Errorf("headers %v, length %d, encoding %v", got.Header, got.ContentLength, got.TransferEncoding)
	}
	for k := range want {
		if strings.Join(got.Header[k], "|") != strings.Join(want[k], "|") {
			t.Errorf("%s: %v", k, got.Header[k])
		}
	}
}

func TestBodies(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Length", r.Header.Get("Content-Length"))
		w.Header().Set("X-Seen", strings.Join(r.TransferEncoding, ","))
		_, _ = w.Write(b)
	})
	u := start(t, Config{URL: s.URL})
	for _, c := range []struct {
		body   string
		length int64
		te     string
	}{{`{"a":1}`, 7, ""}, {`{"a":1}`, -1, "chunked"}, {"", 0, ""}} {
		q := question("POST", "/x", "")
		q.Body, q.Length = strings.NewReader(c.body), c.length
		a, err := u.Ask(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		b, err := register.ReadBounded(a, 0)
		if err != nil || string(b) != c.body || a.Header.Get("X-Seen") != c.te {
			t.Errorf("%q %v %v", b, a.Header, err)
		}
	}
}

func TestNothingIsFollowedOrDecoded(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, `{"a":1}`)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	})
	u := start(t, Config{URL: s.URL})
	a, err := u.Ask(t.Context(), question("GET", "/moved", ""))
	if err != nil || a.Status != http.StatusFound || a.Header.Get("Location") != "/elsewhere" {
		t.Fatalf("%+v %v", a, err)
	}
	if err := a.Body.Close(); err != nil {
		t.Fatal(err)
	}
	q := question("GET", "/zip", "")
	q.Stream = true
	if a, err = u.Ask(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if b, err := register.ReadBounded(a, 0); err != nil || !bytes.Equal(b, zipped.Bytes()) || a.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	const pin = "4B7QX2Z"
	for name, answer := range map[string]string{
		"nothing":          "",
		"no HTTP":          pin + " lives in Yeniçay\r\n\r\n",
		"broken head":      "HTTP/1.1 200 OK\r\n" + pin + "\r\n\r\n",
		"switching":        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + pin + "\r\nConnection: Upgrade\r\n\r\n",
		"two lengths":      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n" + pin,
		"bad length":       "HTTP/1.1 200 OK\r\nContent-Length: " + pin + "\r\n\r\n",
		"short body":       "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + pin,
		"bad chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pin + "\r\n",
		"unknown encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + pin + "\r\n\r\n",
		"huge head":        "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			url := raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
				if _, err := head(r); err == nil {
					_, _ = io.WriteString(c, answer)
				}
			})
			u := start(t, Config{URL: url})
			a, err := u.Ask(t.Context(), question("GET", "/persons/"+pin, ""))
			if err == nil {
				_, err = register.ReadBounded(a, 0)
			}
			if !errors.Is(err, countersign.CodeNetwork) && !errors.Is(err, countersign.CodeRegister) {
				t.Fatalf("%v, want a network or register refusal", err)
			}
			for e := err; e != nil; e = countersign.CauseOf(e) {
				if strings.Contains(e.Error(), pin) {
					t.Errorf("the error quotes the register: %v", e)
				}
			}
		})
	}
}

func TestProxyEnvironmentIsIgnored(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if u := start(t, Config{URL: "http://127.0.0.1:1"}); u.transport.Proxy != nil {
		t.Error("the environment chooses a proxy")
	}
}

func TestRefusedConfigurations(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	open, empty, lines, plain := file("open", "x", 0o644), file("empty", "\n", 0o600), file("lines", "a\r\nb: c", 0o600), file("plain", "x", 0o600)
	const ok = "https://register.demo"
	for name, c := range map[string]Config{
		"no url":           {},
		"no host":          {URL: "https:///x"},
		"other scheme":     {URL: "ftp://register.demo"},
		"user":             {URL: "https://a:b@register.demo"},
		"query":            {URL: ok + "?a=b"},
		"fragment":         {URL: ok + "#a"},
		"clear text":       {URL: "http://register.demo"},
		"tls without tls":  {URL: "http://127.0.0.1", ServerName: "x"},
		"ca absent":        {URL: ok, CA: filepath.Join(dir, "absent")},
		"ca empty":         {URL: ok, CA: empty},
		"cert without key": {URL: ok, Cert: plain},
		"not a pair":       {URL: ok, Cert: plain, Key: plain},
		"open key":         {URL: ok, Cert: plain, Key: open},
		"open secret":      {URL: ok, Headers: map[string]string{"Authorization": open}},
		"empty secret":     {URL: ok, Headers: map[string]string{"Authorization": empty}},
		"two lines":        {URL: ok, Headers: map[string]string{"Authorization": lines}},
		"absent secret":    {URL: ok, Headers: map[string]string{"Authorization": filepath.Join(dir, "absent")}},
		"header of hop":    {URL: ok, Headers: map[string]string{"host": plain}},
		"header name":      {URL: ok, Headers: map[string]string{"a b": plain}},
		"long":             {URL: ok, Answer: countersign.Duration(301 * time.Second)},
		"connections":      {URL: ok, Connections: -1},
	} {
		if _, err := New(c); !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]Config{
		"https": {URL: ok}, "loopback": {URL: "http://[::1]:80/x/"}, "plain": {URL: "http://register.demo", Plain: true},
		"secret": {URL: ok, Headers: map[string]string{"x-api-key": plain}},
	} {
		if _, err := New(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
