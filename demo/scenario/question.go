package scenario

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/audit"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/xroad"
)

// Headers that an information system sends and reads beside X-Road's own.
const (
	headerToken   = "Countersign-Token"
	headerPurpose = "Countersign-Purpose"
	headerBasis   = "Countersign-Legal-Basis"
	headerReceipt = "Countersign-Receipt"
	headerStatus  = "Countersign-Status"
)

// question is one request of an agency's system, and what must come of it.
type question struct {
	what     string // in the words of whoever reads the verdict
	from     string // member code of the asking agency
	of, code string // member code and service code of the register
	method   string // GET where empty
	tail     string // path behind the service, and query
	purpose  string
	basis    string
	file     string // case number
	official string // nobody where empty
	body     []byte
	header   map[string]string // further headers; one that is empty here is not sent at all
	raw      string            // request target, where it is not the service's
	want     want
}

// want says what must come of a question. The zero want is an answer of the service with status 200 or 404.
type want struct {
	code   countersign.Code // a gateway refuses with this code
	status int              // of the service's own answer
	holds  string           // the body contains it
	lacks  string           // the body does not contain it
	outage bool             // an answer, or none because a gateway is down: CodeNetwork, or no answer at all
}

func (q *question) service() countersign.ServiceID { return law.Service(q.of, q.code) }

func (q *question) verb() string {
	if q.method == "" {
		return http.MethodGet
	}
	return q.method
}

// request makes the HTTP request as an information system would.
func (q *question) request(ctx context.Context, site Site) (*http.Request, error) {
	target := q.raw
	if target == "" {
		target = "/r1/" + xroad.EncodeService(q.service()) + q.tail
	}
	base, err := url.Parse(site.URL)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.verb(), site.URL, body)
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(target, "?")
	req.URL = &url.URL{Scheme: base.Scheme, Host: base.Host, Opaque: path, RawQuery: query} // opaque: sent to the byte
	h := req.Header
	h.Set(xroad.HeaderClient, xroad.EncodeSubsystem(law.Client(q.from)))
	h.Set(headerToken, site.Token)
	h.Set("User-Agent", "scenario")
	if q.body != nil {
		h.Set("Content-Type", "application/json")
	}
	for name, value := range map[string]string{
		headerPurpose: q.purpose, headerBasis: q.basis, xroad.HeaderIssue: q.file, xroad.HeaderUserID: q.official,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	for name, value := range q.header {
		if value == "" {
			h.Del(name)
		} else {
			h.Set(name, value)
		}
	}
	return req, nil
}

// received is an answer with what the auditor does not need of it.
type received struct {
	audit.Answer
	body []byte
}

const maxAnswer = 64 << 20

// ask sends the question once and reads the answer whole. No answer is no error: its status is 0.
func (q *question) ask(ctx context.Context, client *http.Client, site Site) (*received, error) {
	req, err := q.request(ctx, site)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.what, err)
	}
	out := &received{Answer: audit.Answer{What: q.what, Client: law.Client(q.from), Service: q.service(), Method: q.verb()}}
	res, err := client.Do(req)
	if err != nil {
		return out, ctx.Err() // whether the gateway took the question is for the logs to say
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return out, ctx.Err() // an answer that breaks off is none
	}
	out.body, out.Body = body, sha256.Sum256(body)
	out.Exchange, out.Status = res.Header.Get(xroad.HeaderRequestID), res.StatusCode
	out.Error, out.Code = res.Header.Get(xroad.HeaderError), countersign.Code(res.Header.Get(xroad.HeaderCountersignError))
	out.Receipt, out.Pending = res.Header.Get(headerReceipt), res.Header.Get(headerStatus) == "pending"
	return out, nil
}

// surprise says how the answer differs from what was wanted; empty where it does not.
func (w want) surprise(got *received) string {
	switch {
	case w.outage && (got.Status == 0 || got.Code == countersign.CodeNetwork):
		return ""
	case got.Status == 0:
		return "no answer came"
	case w.code != "":
		if got.Error == "" || got.Code != w.code {
			return fmt.Sprintf("wanted the refusal %s, got HTTP %d %s", w.code, got.Status, got.Code)
		}
		return ""
	case got.Error != "":
		return fmt.Sprintf("wanted an answer, got %s (%s): %.300s", got.Error, got.Code, got.body)
	case w.status != 0 && got.Status != w.status, w.status == 0 && got.Status != http.StatusOK && got.Status != http.StatusNotFound:
		return fmt.Sprintf("wanted HTTP %d, got %d", w.status, got.Status)
	case w.holds != "" && !bytes.Contains(got.body, []byte(w.holds)):
		return fmt.Sprintf("wanted %q in the answer", w.holds)
	case w.lacks != "" && bytes.Contains(got.body, []byte(w.lacks)):
		return fmt.Sprintf("%q left with the answer", w.lacks)
	}
	return ""
}
