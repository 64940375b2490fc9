package vectors

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"countersign.dev/countersign/internal/xroad"
)

var uuidForm = regexp.MustCompile(`\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)

// checker collects the failures of one vector.
type checker struct {
	vector   Vector
	failures []Failure
}

func (c *checker) fail(check, got, want string) {
	const most = 400
	if len(got) > most {
		got = got[:most] + "…"
	}
	c.failures = append(c.failures, Failure{Vector: c.vector.Name, Proves: c.vector.Proves, Check: check, Got: got, Want: want})
}

func quoted[T string | []string | []byte](v T) string { return fmt.Sprintf("%q", v) }

// answer checks one answer.
func (c *checker) answer(a answer) {
	e := &c.vector.Expect
	if a.closed {
		if !e.Closed {
			c.fail("status", "a connection closed without an answer", fmt.Sprint(e.Status))
		}
		return
	}
	if !slices.Contains(e.Status, a.status) {
		c.fail("status", fmt.Sprintf("%d %q", a.status, a.body), fmt.Sprint(e.Status))
	}
	if a.extra > 0 {
		c.fail("answers", strconv.Itoa(1+a.extra), "one answer to one request")
	}
	if a.cut {
		c.fail("body", "an end before the declared one", "a whole body")
	}
	if len(e.Error) > 0 {
		c.errorBody(a)
	}
	if e.NoError {
		if v := a.header.Values(xroad.HeaderError); len(v) > 0 {
			c.fail("header X-Road-Error", quoted(v), "none: the service answers")
		}
	}
	if len(e.Code) > 0 && !slices.Contains(e.Code, a.header.Get(xroad.HeaderCountersignError)) {
		c.fail("header Countersign-Error", quoted(a.header.Get(xroad.HeaderCountersignError)), "one of "+quoted(e.Code))
	}
	c.headers("header ", a.header, e.Headers, e.HeadersMatch, e.HeadersValues, e.HeadersPresent, e.HeadersAbsent)
	c.body(a)
	if e.RequestHash {
		c.requestHash(a)
	}
}

// errorBody checks an X-Road error in JSON or XML: header and body tell the same type, and the detail is a UUID.
func (c *checker) errorBody(a answer) {
	e := &c.vector.Expect
	kind := a.header.Get(xroad.HeaderError)
	if !slices.Contains(e.Error, kind) {
		c.fail("header X-Road-Error", quoted(kind), "one of "+quoted(e.Error))
	}
	if len(a.body) == 0 && c.vector.Request != nil && c.vector.Request.Method == http.MethodHead {
		return
	}
	var body struct {
		Type    string `json:"type" xml:"type"`
		Message string `json:"message" xml:"message"`
		Detail  string `json:"detail" xml:"detail"`
		XMLName xml.Name
	}
	var err error
	if strings.Contains(a.header.Get("Content-Type"), "xml") {
		err = xml.Unmarshal(a.body, &body)
		if err == nil && body.XMLName.Local != "error" {
			c.fail("error body", "<"+body.XMLName.Local+">", "<error>")
		}
	} else {
		err = json.Unmarshal(a.body, &body)
	}
	switch {
	case err != nil:
		c.fail("error body", quoted(a.body), "an X-Road error")
	case body.Type != kind:
		c.fail("error type", quoted(body.Type), "the header's "+quoted(kind))
	case body.Message == "":
		c.fail("error message", "none", "what to mend")
	case !uuidForm.MatchString(body.Detail):
		c.fail("error detail", quoted(body.Detail), "a UUID")
	}
}

func (c *checker) headers(where string, h http.Header, equal, match map[string]string, values map[string][]string, present, absent []string) {
	for name, want := range equal {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			c.fail(where+name, quoted(got), quoted(want)+" once")
		}
	}
	for name, pattern := range match {
		got := h.Values(name)
		if re, err := regexp.Compile(`\A(?:` + pattern + `)\z`); err != nil || len(got) != 1 || !re.MatchString(got[0]) {
			c.fail(where+name, quoted(got), "once, like "+pattern)
		}
	}
	for name, want := range values {
		if got := h.Values(name); !slices.Equal(got, want) {
			c.fail(where+name, quoted(got), quoted(want)+" in this order")
		}
	}
	for _, name := range present {
		if len(h.Values(name)) == 0 {
			c.fail(where+name, "none", "some value")
		}
	}
	for _, name := range absent {
		if got := h.Values(name); len(got) > 0 {
			c.fail(where+name, quoted(got), "none")
		}
	}
}

func (c *checker) body(a answer) {
	e := &c.vector.Expect
	body := a.body
	if a.header.Get("Content-Encoding") == "gzip" {
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, _ = io.ReadAll(io.LimitReader(z, maxAnswer))
		}
	}
	if e.Body != nil && string(body) != *e.Body {
		c.fail("body", quoted(body), quoted(*e.Body))
	}
	if e.BodyLength != nil && len(body) != *e.BodyLength {
		c.fail("body", strconv.Itoa(len(body))+" bytes", strconv.Itoa(*e.BodyLength))
	}
	if e.BodyMatch != "" {
		if re, err := regexp.Compile(e.BodyMatch); err != nil || !re.Match(body) {
			c.fail("body", quoted(body), "like "+e.BodyMatch)
		}
	}
	if e.BodyNoMatch != "" {
		if re, err := regexp.Compile(e.BodyNoMatch); err != nil || re.Match(body) {
			c.fail("body", quoted(body), "nothing like "+e.BodyNoMatch)
		}
	}
	if e.JSON != nil {
		var got any
		if err := json.Unmarshal(body, &got); err != nil {
			c.fail("body", quoted(body), "JSON")
			return
		}
		c.subset("body", got, e.JSON)
	}
}

// subset checks that got holds what want names: members of objects, elements of equally long lists, equal scalars, or patterns. A null in
// want says that the member must be absent.
func (c *checker) subset(at string, got, want any) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			c.fail(at, fmt.Sprint(got), "an object")
			return
		}
		for k, e := range w {
			member, ok := g[k]
			switch {
			case e == nil && ok:
				c.fail(at+"."+k, fmt.Sprint(member), "no such member")
			case e != nil && !ok:
				c.fail(at+"."+k, "no such member", fmt.Sprint(e))
			case e != nil:
				c.subset(at+"."+k, member, e)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			c.fail(at, fmt.Sprint(got), fmt.Sprintf("a list of %d", len(w)))
			return
		}
		for i := range w {
			c.subset(fmt.Sprintf("%s[%d]", at, i), g[i], w[i])
		}
	case string:
		if pattern, ok := strings.CutPrefix(w, "re:"); ok {
			re, err := regexp.Compile(pattern)
			if g, isText := got.(string); err != nil || !isText || !re.MatchString(g) {
				c.fail(at, fmt.Sprint(got), "like "+pattern)
			}
			return
		}
		if got != w {
			c.fail(at, fmt.Sprint(got), w)
		}
	default:
		if fmt.Sprint(got) != fmt.Sprint(want) {
			c.fail(at, fmt.Sprint(got), fmt.Sprint(want))
		}
	}
}

// requestHash computes what any information system can compute: the hash of its own request with the ids of the answer.
func (c *checker) requestHash(a answer) {
	r := c.vector.Request
	h := http.Header{}
	for _, line := range c.vector.headers() {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	_, sent := h[xroad.HeaderID]
	block := xroad.HashBlock(r.Method, r.Target, h, a.header.Get(xroad.HeaderRequestID), a.header.Get(xroad.HeaderID), !sent)
	body, digest := joined(r.Body), xroad.NewBodyDigest()
	digest.Write(body)
	want := xroad.RequestHash(block, digest.Sum(nil), len(body) > 0)
	if got := a.header.Values(xroad.HeaderRequestHash); len(got) != 1 || got[0] != want {
		c.fail("header X-Road-Request-Hash", quoted(got), quoted(want)+", computed over "+quoted(block))
	}
}

// differ checks that what must be made anew was made anew.
func (c *checker) differ(answers []answer) {
	for _, name := range c.vector.Expect.HeadersDiffer {
		seen := map[string]bool{}
		for _, a := range answers {
			v := a.header.Get(name)
			if v == "" || seen[v] {
				c.fail("header "+name, quoted(v)+" again", "another value for each request")
				break
			}
			seen[v] = true
		}
	}
}

// upstream checks what the service received.
func (c *checker) upstream(ctx context.Context, env Env, mark string, times int) {
	want := c.vector.Expect.Upstream
	if want == nil {
		return
	}
	if want.Mark != "" {
		mark = want.Mark
	}
	received, err := env.Upstream.Received(ctx, mark)
	if err != nil {
		c.fail("the service", err.Error(), "an account of what it received")
		return
	}
	count := times
	if want.Count != nil {
		count = *want.Count
	}
	if len(received) != count {
		c.fail("requests at the service", strconv.Itoa(len(received)), strconv.Itoa(count))
	}
	for _, r := range received {
		if want.Method != "" && r.Method != want.Method {
			c.fail("method at the service", r.Method, want.Method)
		}
		if want.Target != "" && r.Target != want.Target {
			c.fail("target at the service", quoted(r.Target), quoted(want.Target))
		}
		c.headers("at the service, header ", r.Header, want.Headers, want.HeadersMatch, want.HeadersValues, want.HeadersPresent, want.HeadersAbsent)
		if want.Body != nil && string(r.Body) != *want.Body {
			c.fail("body at the service", quoted(r.Body), quoted(*want.Body))
		}
		if want.BodyLength != nil && r.BodyLength != *want.BodyLength {
			c.fail("body at the service", strconv.Itoa(r.BodyLength)+" bytes", strconv.Itoa(*want.BodyLength))
		}
	}
}
