// Package oracle checks Countersign's signatures against implementations that share no code with it: the npm package
// http-message-signatures for RFC 9421, and a countersign-tree in JavaScript. Node and npm must be installed.
package oracle

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/keys"
)

// instant is far from now, so that nothing depends on the machine's clock.
var instant = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// install brings the locked packages here once; no script of theirs runs.
var install = sync.OnceValue(func() error {
	if _, err := os.Stat("node_modules/http-message-signatures/package.json"); err == nil {
		return nil
	}
	out, err := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error").CombinedOutput()
	if err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
})

func node(t *testing.T, script string, input any) []byte {
	t.Helper()
	if err := install(); err != nil {
		t.Fatal(err)
	}
	// Read here, so that the test cache knows what the other process will read.
	for _, file := range []string{script, "tree.js", "package-lock.json"} {
		if _, err := os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Stdin = bytes.NewReader(text)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", script, err, errors.String())
	}
	return out
}

// question is what oracle.js reads.
type question struct {
	Op      string                         `json:"op"`
	Message message                        `json:"message"`
	Fields  []string                       `json:"fields,omitempty"`
	Params  []string                       `json:"params,omitempty"`
	Label   string                         `json:"label,omitempty"`
	Domain  countersign.SignatureDomain    `json:"domain"`
	KeyID   countersign.KeyID              `json:"keyid,omitempty"`
	Alg     countersign.SignatureAlgorithm `json:"alg"`
	Private []byte                         `json:"private,omitempty"`
	Public  []byte                         `json:"public,omitempty"`
	Created int64                          `json:"created,omitempty"`
	Expires int64                          `json:"expires,omitempty"`
	Nonce   string                         `json:"nonce,omitempty"`
}

type message struct {
	Method  string            `json:"method,omitempty"`
	URL     string            `json:"url,omitempty"`
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers"`
}

type answer struct {
	Headers map[string]string `json:"headers"`
	Valid   bool              `json:"valid"`
	Error   string            `json:"error"`
}

func ask(t *testing.T, questions []question) []answer {
	t.Helper()
	var answers []answer
	if err := json.Unmarshal(node(t, "oracle.js", questions), &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	return answers
}

func (m message) ours() httpsig.Message {
	h := http.Header{}
	for k, v := range m.Headers {
		h.Set(k, v)
	}
	out := httpsig.Message{Method: m.Method, Status: m.Status, Header: h}
	if m.Method != "" {
		rest := strings.TrimPrefix(m.URL, "https://b.example")
		out.Path, out.Query, _ = strings.Cut(rest, "?")
	}
	return out
}

func (m message) with(h httpsig.Headers) message {
	headers := map[string]string{"Signature-Input": h.Input, "Signature": h.Signature}
	for k, v := range m.Headers {
		headers[k] = v
	}
	m.Headers = headers
	return m
}

type sample struct {
	name    string
	spec    httpsig.Spec
	message message
	fields  []string
}

func samples() []sample {
	request := httpsig.Spec{Label: "countersign", Domain: countersign.DomainRequest, Components: []httpsig.Component{
		{Name: "@method"}, {Name: "@path"}, {Name: "@query"}, {Name: "content-digest"}, {Name: "x-road-client"}, {Name: "x-road-id", Optional: true},
		{Name: "x-road-request-id"}, {Name: "countersign-purpose", Optional: true}, {Name: "countersign-legal-basis", Optional: true},
	}}
	response := httpsig.Spec{Label: "countersign", Domain: countersign.DomainResponse, Components: []httpsig.Component{
		{Name: "@status"}, {Name: "content-digest"}, {Name: "content-type", Optional: true}, {Name: "countersign-request-hash"},
	}}
	digest := httpsig.DigestContent([]byte(`{"name":"synthetic"}`)).String()
	full := message{Method: "POST", URL: "https://b.example/r1/DEMO/GOV/1001/people/residence/v1?a=1&b=%20c", Headers: map[string]string{
		"Content-Digest": digest, "X-Road-Client": "DEMO/GOV/2002/benefits", "X-Road-Id": "x-1", "X-Road-Request-Id": "018f0000-0000-7000-8000-000000000001",
		"Countersign-Purpose": "benefit-decision", "Countersign-Legal-Basis": "social-code-12", "Accept": "application/json",
	}}
	bare := message{Method: "GET", URL: "https://b.example/", Headers: map[string]string{
		"Content-Digest": digest, "X-Road-Client": "DEMO/GOV/2002/benefits", "X-Road-Request-Id": "018f0000-0000-7000-8000-000000000002",
	}}
	answered := message{Status: 200, Headers: map[string]string{"Content-Digest": digest, "Content-Type": "application/json; charset=utf-8", "Countersign-Request-Hash": "abc"}}
	return []sample{
		{"request", request, full, []string{"@method", "@path", "@query", "content-digest", "x-road-client", "x-road-id", "x-road-request-id", "countersign-purpose", "countersign-legal-basis"}},
		{"bare request", request, bare, []string{"@method", "@path", "@query", "content-digest", "x-road-client", "x-road-request-id"}},
		{"response", response, answered, []string{"@status", "content-digest", "content-type", "countersign-request-hash"}},
	}
}

type key struct {
	alg    countersign.SignatureAlgorithm
	signer httpsig.MessageSigner
	public crypto.PublicKey
	pkcs8  []byte
	spki   []byte
}

// testKeys are those of the vectors, in every algorithm.
func testKeys(t *testing.T) []key {
	t.Helper()
	text, err := os.ReadFile("../../docs/spec/vectors/signature/tree.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Keys map[string]struct{ Private, Public []byte }
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var out []key
	for _, name := range []string{"ed25519", "p256"} {
		parsed, err := x509.ParsePKCS8PrivateKey(v.Keys[name].Private)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := keys.NewSigner(parsed.(crypto.Signer))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := keys.NewPlainSigner(signer)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := keys.NewBatchSigner(signer)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = batch.Close(context.Background()) })
		for _, s := range []httpsig.MessageSigner{plain, batch} {
			out = append(out, key{s.Algorithm(), s, signer.Public(), v.Keys[name].Private, v.Keys[name].Public})
		}
	}
	return out
}

func TestOthersAcceptOurs(t *testing.T) {
	var questions []question
	var want []bool
	for _, s := range samples() {
		p, err := httpsig.NewProfile(s.spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range testKeys(t) {
			for _, nonce := range []string{"", "n0nce"} {
				h, err := p.SignWithNonce(t.Context(), k.signer, s.message.ours(), instant, nonce)
				if err != nil {
					t.Fatal(err)
				}
				q := question{Op: "verify", Message: s.message.with(h), Domain: s.spec.Domain, Alg: k.alg, Public: k.spki}
				questions, want = append(questions, q), append(want, true)
				q.Message = s.message.with(h)
				q.Message.Headers["Content-Digest"] = httpsig.DigestContent(nil).String()
				questions, want = append(questions, q), append(want, false)
			}
		}
	}
	for i, a := range ask(t, questions) {
		if a.Valid != want[i] || a.Error != "" {
			t.Errorf("%s %s: valid %v, want %v %s", questions[i].Alg, questions[i].Message.Headers["Signature-Input"], a.Valid, want[i], a.Error)
		}
	}
}

func TestWeAcceptOthers(t *testing.T) {
	var questions []question
	var check []func(a answer) error
	for _, s := range samples() {
		p, err := httpsig.NewProfile(s.spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range testKeys(t) {
			for _, nonce := range []string{"", "n0nce"} {
				params := []string{"created", "expires", "keyid", "alg"}
				if nonce != "" {
					params = append(params, "nonce")
				}
				questions = append(questions, question{
					Op: "sign", Message: s.message, Fields: s.fields, Params: params, Label: s.spec.Label, Domain: s.spec.Domain, KeyID: k.signer.KeyID(), Alg: k.alg,
					Private: k.pkcs8, Created: instant.Unix(), Expires: instant.Add(httpsig.Lifetime).Unix(), Nonce: nonce,
				})
				check = append(check, func(a answer) error {
					if a.Error != "" {
						return fmt.Errorf("the other side: %s", a.Error)
					}
					m := s.message
					m.Headers = a.Headers
					find := func(countersign.KeyID) (crypto.PublicKey, error) { return k.public, nil }
					v, err := p.Verify(m.ours(), instant, find, nil)
					if err != nil {
						return fmt.Errorf("%s: %w", a.Headers["Signature-Input"], err)
					}
					if v.KeyID != k.signer.KeyID() || v.Nonce != nonce || v.Algorithm != k.alg {
						return fmt.Errorf("read as %+v", v)
					}
					return nil
				})
			}
		}
	}
	for i, a := range ask(t, questions) {
		if err := check[i](a); err != nil {
			t.Error(err)
		}
	}
}

func TestVectorsHaveNotDrifted(t *testing.T) {
	want, err := os.ReadFile("../../docs/spec/vectors/signature/tree.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := node(t, "vectors.js", nil); !bytes.Equal(got, want) {
		t.Error("docs/spec/vectors/signature/tree.json is not what vectors.js writes")
	}
}
