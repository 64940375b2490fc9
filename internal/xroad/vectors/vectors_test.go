package vectors

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"countersign.dev/countersign"
)

func load(t *testing.T) []Vector {
	t.Helper()
	set, err := Load(os.DirFS("../../../docs/spec/vectors/xroad"))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestVectorsCanBeMet runs every published vector against the small pair.
func TestVectorsCanBeMet(t *testing.T) {
	set := load(t)
	if len(set) < 60 {
		t.Errorf("%d vectors, at least 60 are promised", len(set))
	}
	env := startPair(t, &pair{}, nil)
	for _, v := range set {
		t.Run(v.File+"/"+v.Name, func(t *testing.T) {
			for _, f := range Run(t.Context(), env, v) {
				t.Error(f)
			}
		})
	}
}

// TestWrongAnswersAreReported spoils one thing at a time; the vector named must notice, and say what.
func TestWrongAnswersAreReported(t *testing.T) {
	set := load(t)
	header := func(stage, name, value string) *pair {
		return &pair{breakage: func(at string, h http.Header) {
			switch {
			case at != stage:
			case value == "":
				h.Del(name)
			default:
				h[name] = append(h[name], value)
			}
		}}
	}
	fixed := func(status int, contentType, body string) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.Header().Set("X-Road-Error", "client.bad_request")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			})
		}
	}
	for _, tc := range []struct {
		name, vector, check string
		pair                *pair
		wrap                func(http.Handler) http.Handler
	}{
		{"another status", "get", "status", &pair{}, fixed(201, "text/plain", "")},
		{"an error where the service should answer", "get", "header X-Road-Error", &pair{}, fixed(200, "text/plain", "")},
		{"nothing reaches the service", "get", "requests at the service", &pair{}, fixed(200, "text/plain", "")},
		{"a body that is not JSON", "get", "body", &pair{}, fixed(200, "text/plain", "hello")},
		{"an error body that is not JSON", "trace-is-refused", "error body", &pair{}, fixed(400, "text/plain", "no")},
		{"an error of another type", "trace-is-refused", "error type", &pair{}, fixed(400, "application/json", `{"type":"x","message":"m","detail":"d"}`)},
		{"an error without a UUID", "trace-is-refused", "error detail", &pair{}, fixed(400, "application/json", `{"type":"client.bad_request","message":"m","detail":"d"}`)},
		{"an error without a message", "trace-is-refused", "error message", &pair{}, fixed(400, "application/json", `{"type":"client.bad_request","detail":"d"}`)},
		{"no Countersign-Error", "trace-is-refused", "header Countersign-Error", &pair{}, fixed(400, "application/json", `{}`)},
		{"the id is lost", "id-is-kept", "header X-Road-Id", header("response", "X-Road-Id", ""), nil},
		{"the id is doubled", "id-is-kept", "header X-Road-Id", header("response", "X-Road-Id", "x"), nil},
		{"the id is lost on the way", "id-is-kept", "at the service, header X-Road-Id", header("request", "X-Road-Id", ""), nil},
		{"the hash is wrong", "hash-with-body", "header X-Road-Request-Hash", header("response", "X-Road-Request-Hash", "x"), nil},
		{"the request id is not made anew", "request-id-is-made-anew", "header X-Road-Request-Id", &pair{breakage: func(at string, h http.Header) { h.Set("X-Road-Request-Id", "01970000-0000-7000-8000-000000000000") }}, nil},
		{"the token is passed on", "the-token-goes-no-further", "at the service, header Countersign-Token", header("request", "Countersign-Token", "x"), nil},
		{"a header is lost", "unknown-headers-pass", "at the service, header X-Pingback", header("request", "X-Pingback", ""), nil},
		{"values lose their order", "unknown-headers-pass", "at the service, header X-Several", header("request", "X-Several", "three"), nil},
		{"a header passes to a register of persons", "unknown-headers-do-not-pass", "at the service, header Cookie", header("request", "Cookie", "a=b"), nil},
		{"a receipt is missing", "person-is-asked", "header Countersign-Receipt", header("response", "Countersign-Receipt", ""), nil},
		{"a smuggled request is answered", "length-and-chunks", "answers", &pair{}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { r.TransferEncoding = nil; next.ServeHTTP(w, r) })
		}},
		{"a body too long", "large-binary-answer", "body", &pair{spoilBody: true}, nil},
		{"a path is cleaned", "path-passes-as-sent", "target at the service", &pair{}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.RequestURI = strings.ReplaceAll(r.RequestURI, "%3B", ";")
				next.ServeHTTP(w, r)
			})
		}},
		{"the method is changed", "put", "method at the service", &pair{}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { r.Method = "POST"; next.ServeHTTP(w, r) })
		}},
		{"the body is changed", "put", "body at the service", &pair{}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = io.NopCloser(strings.NewReader("y"))
				next.ServeHTTP(w, r)
			})
		}},
		{"the request is repeated", "get", "requests at the service", &pair{}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(httptest.NewRecorder(), r.Clone(r.Context()))
				next.ServeHTTP(w, r)
			})
		}},
		{"the gateway hangs up", "get", "status", &pair{}, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}},
		{"the answer is cut", "get", "body", &pair{}, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "10")
				_, _ = io.WriteString(w, "short")
			})
		}},
		{"the gateway does not live on", "nul-in-the-target", "the gateway afterwards", &pair{}, fixed(500, "text/plain", "")},
		{"XML is not asked for", "error-in-text-xml", "header Content-Type", &pair{}, fixed(500, "application/json", "{}")},
		{"an error tells a secret", "no-member-of-an-error-tells-of-the-inside", "body", &pair{}, fixed(500, "application/json", `{"message":"dial tcp"}`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := slices.IndexFunc(set, func(v Vector) bool { return v.Name == tc.vector })
			if i < 0 {
				t.Fatalf("no vector %s", tc.vector)
			}
			env := startPair(t, tc.pair, tc.wrap)
			failures := Run(t.Context(), env, set[i])
			if !slices.ContainsFunc(failures, func(f Failure) bool { return f.Check == tc.check && f.Vector == tc.vector && f.Proves != "" }) {
				t.Errorf("%s is not reported by %s: %v", tc.check, tc.vector, failures)
			}
		})
	}
}

// TestSmuggledRequestIsReported answers two requests on one connection, as a server that is fooled does.
func TestSmuggledRequestIsReported(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 2))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	v := Vector{Name: "v", Proves: "p", Raw: []Piece{{Text: "GET / HTTP/1.1\r\n\r\n"}}, Expect: Expect{Status: []int{200}}}
	failures := Run(t.Context(), Env{Gateway: &url.URL{Scheme: "http", Host: l.Addr().String()}}, v)
	if len(failures) != 1 || failures[0].Check != "answers" || failures[0].Got != "2" {
		t.Errorf("%v", failures)
	}
}

func TestRunNeedsItsVariablesAndAGateway(t *testing.T) {
	v := Vector{Name: "v", Proves: "p", Request: &Request{Method: "GET", Target: "/{{NOWHERE}}"}, Expect: Expect{Status: []int{200}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	env := Env{Gateway: &url.URL{Scheme: "http", Host: l.Addr().String()}}
	if f := Run(t.Context(), env, v); len(f) != 1 || f[0].Check != "variables" || !strings.Contains(f[0].Got, "NOWHERE") {
		t.Errorf("%v", f)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	v.Request.Target = "/"
	if f := Run(t.Context(), env, v); len(f) != 1 || f[0].Check != "connection" {
		t.Errorf("%v", f)
	}
}

// TestHangingGatewayEndsWithTheContext: a gateway that never answers costs no more than the caller's patience.
func TestHangingGatewayEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	patience := errors.New("out of patience")
	env := startPair(t, &pair{}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel(patience)
			<-r.Context().Done()
		})
	})
	v := Vector{Name: "v", Proves: "p", Request: &Request{Method: "GET", Target: "/"}, Expect: Expect{Status: []int{200}}}
	if f := Run(ctx, env, v); len(f) != 1 || f[0].Check != "connection" || f[0].Got != patience.Error() {
		t.Errorf("%v", f)
	}
}

func TestRemoteEcho(t *testing.T) {
	echo := NewEcho()
	mux := http.NewServeMux()
	mux.Handle("/received", echo.Inspect())
	mux.Handle("/", echo)
	server := httptest.NewServer(mux)
	defer server.Close()
	response, err := server.Client().Post(server.URL+"/base/x?mark=one", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	at, err := url.Parse(server.URL + "/received")
	if err != nil {
		t.Fatal(err)
	}
	remote := Remote{URL: at, Client: server.Client()}
	got, err := remote.Received(t.Context(), "one")
	if err != nil || len(got) != 1 || got[0].Target != "/base/x?mark=one" || string(got[0].Body) != "hello" || got[0].BodyLength != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = remote.Received(t.Context(), "two"); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for range maxMarks {
		echo.remember(Received{}, countersign.NewExchangeID(time.Now()).String())
	}
	if got, err = echo.Received(t.Context(), "one"); err != nil || len(got) != 0 || len(echo.marks) != maxMarks {
		t.Errorf("%d marks are kept, the oldest with %d requests", len(echo.marks), len(got))
	}
}

func TestLoadRefuses(t *testing.T) {
	const whole = "vectors: [{name: a, proves: b, request: {method: GET, target: /}, expect: {status: [200]}}]"
	for name, text := range map[string]string{
		"nothing":         "",
		"unknown key":     strings.Replace(whole, "proves:", "colour: red, proves:", 1),
		"no name":         strings.Replace(whole, "name: a, ", "", 1),
		"no line":         strings.Replace(whole, "proves: b, ", "", 1),
		"no request":      strings.Replace(whole, "request: {method: GET, target: /}, ", "", 1),
		"both":            strings.Replace(whole, "proves: b, ", "proves: b, raw: [{text: x}], ", 1),
		"no method":       strings.Replace(whole, "method: GET, ", "", 1),
		"no status":       strings.Replace(whole, "status: [200]", "body: x", 1),
		"differ alone":    strings.Replace(whole, "status: [200]", "status: [200], headers_differ: [X]", 1),
		"broken pattern":  strings.Replace(whole, "status: [200]", "status: [200], body_match: '('", 1),
		"name used twice": whole + "\n" + strings.Replace(whole, "vectors: [", "  ", 1),
	} {
		if name == "name used twice" {
			text = strings.Replace(whole, "]}}]", "]}}, {name: a, proves: b, request: {method: GET, target: /}, expect: {status: [200]}}]", 1)
		}
		if set, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(text)}}); err == nil {
			t.Errorf("%s: %+v", name, set)
		}
	}
	if set, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(whole)}}); err != nil || len(set) != 1 {
		t.Errorf("%v, %v", set, err)
	}
}

func TestVariables(t *testing.T) {
	got := Variables(load(t))
	for _, name := range got {
		if _, ok := testVars[name]; !ok && name != "UPSTREAM_HOST" {
			t.Errorf("the small pair gives no %s", name)
		}
	}
	for name := range testVars {
		if !slices.Contains(got, name) {
			t.Errorf("no vector uses %s", name)
		}
	}
}
