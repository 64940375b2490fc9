package vectors

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Received is one request as a service got it.
type Received struct {
	Method     string      `json:"method"`
	Target     string      `json:"target"` // the request target as it came over the wire
	Header     http.Header `json:"header"` // with Host, Content-Length and Transfer-Encoding as they came
	Body       []byte      `json:"body"`   // its first 64 KiB
	BodyLength int         `json:"body_length"`
	BodySHA256 string      `json:"body_sha256"` // of the whole body, in hexadecimal
}

// HeaderMark and ParamMark carry a vector's mark to a service: the header where unknown headers pass, the parameter of the query elsewhere.
const (
	HeaderMark = "X-Vector-Mark"
	ParamMark  = "mark"
)

const (
	maxMarks    = 4096
	maxKeptBody = 64 << 10
)

// Echo is the service that the vectors ask: it remembers what it received, and does what the query's parameter "do" says. It serves the open
// and the personal service alike, below any base path.
//
//	(none)     200 with a JSON account of the request; for …/persons/{pin}, and for …/query with {"pin":…} in the
//	           body, the record of a made-up person
//	status:N   status N with a small JSON body
//	redirect   302 to https://elsewhere.example/next
//	forge      the account, with X-Road and Countersign headers that only a gateway may set, hop-by-hop headers, and X-Several twice
//	bytes:N    N bytes of application/octet-stream
//	empty      204
//	gzip       the account, compressed
//	text       text/plain, which no filter of fields can read
//	twice      JSON with a key given twice
//	deep       JSON nested 100,000 deep
//	bomb       32 MiB of zeros, compressed
//	huge       8 MiB of JSON
//	hang-up    the connection closed without an answer
//	cut        a body that ends before its declared length
type Echo struct {
	mu    sync.Mutex
	marks map[string][]Received
	order []string // oldest mark first, so that an endless run stays small
}

// NewEcho makes an echo that remembers the requests of its latest 4,096 marks.
func NewEcho() *Echo { return &Echo{marks: map[string][]Received{}} }

var _ Upstream = (*Echo)(nil)
var _ http.Handler = (*Echo)(nil)

// Received implements [Upstream].
func (e *Echo) Received(_ context.Context, mark string) ([]Received, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.marks[mark]), nil
}

// Inspect answers GET ?mark=… with the requests received under a mark, for [Remote].
func (e *Echo) Inspect() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received, err := e.Received(r.Context(), r.URL.Query().Get(ParamMark))
		if err != nil {
			http.Error(w, "the account cannot be read", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(received) // a runner that hung up asks no more
	})
}

// ServeHTTP implements [http.Handler].
func (e *Echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	got := Received{Method: r.Method, Target: r.RequestURI, Header: r.Header.Clone()}
	got.Header["Host"] = []string{r.Host}
	if len(r.TransferEncoding) > 0 {
		got.Header["Transfer-Encoding"] = r.TransferEncoding
	}
	var kept bytes.Buffer
	digest := sha256.New()
	n, err := io.Copy(io.MultiWriter(digest, &first{&kept, maxKeptBody}), r.Body)
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	got.BodyLength, got.Body, got.BodySHA256 = int(n), kept.Bytes(), hex.EncodeToString(digest.Sum(nil))
	e.remember(got, r.Header.Get(HeaderMark), query.Get(ParamMark))
	e.act(w, r, query.Get("do"), got)
}

func (e *Echo) remember(got Received, marks ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.Sort(marks)
	for _, mark := range slices.Compact(marks) {
		if mark == "" {
			continue
		}
		if _, ok := e.marks[mark]; !ok {
			e.order = append(e.order, mark)
			if len(e.order) > maxMarks {
				delete(e.marks, e.order[0])
				e.order = e.order[1:]
			}
		}
		e.marks[mark] = append(e.marks[mark], got)
	}
}

func (e *Echo) act(w http.ResponseWriter, r *http.Request, do string, got Received) {
	what, number, _ := strings.Cut(do, ":")
	n, err := strconv.Atoi(number)
	if err != nil {
		n = 0
	}
	h := w.Header()
	switch what {
	case "status":
		h.Set("Content-Type", "application/json")
		w.WriteHeader(n)
		_, _ = io.WriteString(w, `{"status":`+strconv.Itoa(n)+`}`)
	case "redirect":
		h.Set("Location", "https://elsewhere.example/next")
		w.WriteHeader(http.StatusFound)
	case "forge":
		for _, name := range []string{
			"X-Road-Id", "X-Road-Client", "X-Road-Service", "X-Road-Request-Id", "X-Road-Request-Hash", "X-Road-Error", "Countersign-Error", "Countersign-Receipt",
			"Keep-Alive", "Te", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization", "Server", "User-Agent", "Expect", "X-Hop",
		} {
			h.Set(name, "forged")
		}
		h.Set("Connection", "X-Hop")
		h["X-Several"] = []string{"one", "two"}
		e.account(w, got)
	case "bytes":
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Length", strconv.Itoa(n))
		_, _ = io.CopyN(w, zeros{}, int64(n))
	case "empty":
		w.WriteHeader(http.StatusNoContent)
	case "gzip", "bomb":
		h.Set("Content-Type", "application/json")
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		if what == "bomb" {
			_, _ = io.CopyN(z, zeros{}, 32<<20)
		} else {
			_ = json.NewEncoder(z).Encode(summary(got))
		}
		_ = z.Close()
	case "text":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "Aysel lives at 7 Garden Street")
	case "twice":
		h.Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"given_name":"Aysel","religion":"x","given_name":"Murad"}`)
	case "deep":
		h.Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, strings.Repeat(`{"a":`, 100_000)+"1"+strings.Repeat("}", 100_000))
	case "huge":
		h.Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"given_name":"`+strings.Repeat("A", 8<<20)+`"}`)
	case "hang-up":
		panic(http.ErrAbortHandler)
	case "cut":
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"given_name":`)
		panic(http.ErrAbortHandler)
	default:
		e.account(w, got)
	}
}

func (e *Echo) account(w http.ResponseWriter, got Received) {
	w.Header().Set("Content-Type", "application/json")
	path, _, _ := strings.Cut(got.Target, "?")
	if _, pin, ok := strings.Cut(path, "/persons/"); ok && pin != "" && !strings.Contains(pin, "/") {
		_ = json.NewEncoder(w).Encode(person(pin))
		return
	}
	var question struct {
		PIN string `json:"pin"`
	}
	if strings.HasSuffix(path, "/query") && json.Unmarshal(got.Body, &question) == nil && question.PIN != "" {
		_ = json.NewEncoder(w).Encode(person(question.PIN))
		return
	}
	_ = json.NewEncoder(w).Encode(summary(got))
}

func summary(got Received) map[string]any {
	return map[string]any{"method": got.Method, "target": got.Target, "body_length": got.BodyLength, "body_sha256": got.BodySHA256, "body": string(got.Body)}
}

// person is the record of a made-up person; whoever asks, it holds more than any purpose needs.
func person(pin string) map[string]any {
	return map[string]any{
		"pin":         pin,
		"given_name":  "Aysel",
		"family_name": "Nuriyeva",
		"residence":   map[string]any{"street": "7 Garden Street", "settlement": "Demoabad"},
		"religion":    "not for any asker",
	}
}

// first keeps the beginning of what is written to it.
type first struct {
	to   io.Writer
	left int
}

// Write implements io.Writer.
func (f *first) Write(p []byte) (int, error) {
	n, err := f.to.Write(p[:min(len(p), f.left)])
	f.left -= n
	if err != nil {
		return n, err
	}
	return len(p), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Remote asks an echo of another process through its [Echo.Inspect] handler.
type Remote struct {
	URL    *url.URL
	Client *http.Client
}

var _ Upstream = Remote{}

// Received implements [Upstream].
func (u Remote) Received(ctx context.Context, mark string) ([]Received, error) {
	at := *u.URL
	at.RawQuery = url.Values{ParamMark: {mark}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := u.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the echo's account answers %s", response.Status)
	}
	var received []Received
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&received); err != nil {
		return nil, fmt.Errorf("reading the echo's account: %w", err)
	}
	return received, nil
}
