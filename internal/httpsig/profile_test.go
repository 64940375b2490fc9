package httpsig

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

var (
	requestSpec = Spec{"countersign", countersign.DomainRequest, []Component{
		{Name: "@method"}, {Name: "@path"}, {Name: "@query"}, {Name: "content-digest"}, {Name: "x-road-client"},
		{Name: "x-road-id", Optional: true}, {Name: "x-road-request-id"}, {Name: "countersign-request-hash", Optional: true},
		{Name: "countersign-purpose", Optional: true}, {Name: "countersign-legal-basis", Optional: true},
	}}
	responseSpec = Spec{"countersign", countersign.DomainResponse, []Component{
		{Name: "@status"}, {Name: "content-digest"}, {Name: "content-type", Optional: true}, {Name: "countersign-request-hash"},
	}}
	instant = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

type fatal interface{ Fatal(...any) }

func profile(t fatal, spec Spec) *Profile {
	p, err := NewProfile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testSigner signs singly, or as one of a tree of three.
type testSigner struct {
	crypto.Signer
	alg countersign.SignatureAlgorithm
	id  countersign.KeyID
}

func (s *testSigner) Algorithm() countersign.SignatureAlgorithm { return s.alg }
func (s *testSigner) KeyID() countersign.KeyID                  { return s.id }

func (s *testSigner) Sign(_ context.Context, domain countersign.SignatureDomain, message []byte) ([]byte, error) {
	if s.alg != countersign.AlgorithmTree {
		return countersign.SignPlain(s.Signer, message)
	}
	var leaves []countersign.TreeLeaf
	for _, m := range [][]byte{[]byte("before"), message, []byte("after")} {
		leaf, err := countersign.NewTreeLeaf(domain, m)
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, leaf)
	}
	tree, err := countersign.SignTree(s.Signer, leaves)
	if err != nil {
		return nil, err
	}
	sig, err := tree.Signature(1)
	if err != nil {
		return nil, err
	}
	return sig.Marshal()
}

func signers(t fatal) []*testSigner {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var out []*testSigner
	for _, s := range []*testSigner{
		{Signer: ed, alg: countersign.AlgorithmEd25519}, {Signer: p, alg: countersign.AlgorithmP256},
		{Signer: ed, alg: countersign.AlgorithmTree}, {Signer: p, alg: countersign.AlgorithmTree},
	} {
		if s.id, err = countersign.KeyIDOf(s.Public()); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

var errUnknownKey = errors.New("no such key")

func keysOf(all ...*testSigner) Keys {
	return func(id countersign.KeyID) (crypto.PublicKey, error) {
		for _, s := range all {
			if s.id == id {
				return s.Public(), nil
			}
		}
		return nil, errUnknownKey
	}
}

func sampleRequest() Message {
	return Message{Method: "POST", Path: "/r1/DEMO/GOV/1001/people/residence/v1", Query: "a=1&b=%20", Header: http.Header{
		"Content-Digest":           {DigestContent([]byte("{}")).String()},
		"X-Road-Client":            {"DEMO/GOV/2002/benefits"},
		"X-Road-Request-Id":        {"018f0000-0000-7000-8000-000000000001"},
		"Countersign-Request-Hash": {"abc"},
		"Countersign-Purpose":      {"benefit-decision"},
		"Accept":                   {"application/json", "text/plain"},
	}}
}

func (m Message) clone() Message {
	m.Header = m.Header.Clone()
	return m
}

func signed(t fatal, p *Profile, s MessageSigner, m Message, now time.Time) Message {
	m = m.clone()
	h, err := p.Sign(context.Background(), s, m, now)
	if err != nil {
		t.Fatal(err)
	}
	h.Set(m.Header)
	return m
}

func TestSignAndVerify(t *testing.T) {
	request, response := profile(t, requestSpec), profile(t, responseSpec)
	roots := countersign.NewRootCache(16)
	for _, s := range signers(t) {
		t.Run(fmt.Sprintf("%s %T", s.alg, s.Public()), func(t *testing.T) {
			m := signed(t, request, s, sampleRequest(), instant)
			for range 2 {
				v, err := request.Verify(m, instant.Add(time.Second), keysOf(s), roots)
				if err != nil {
					t.Fatal(err)
				}
				if v.KeyID != s.id || v.Algorithm != s.alg || !v.Created.Equal(instant) || !v.Expires.Equal(instant.Add(Lifetime)) {
					t.Errorf("%+v", v)
				}
				if err := v.Digest.Check([]byte("{}")); err != nil {
					t.Error(err)
				}
				if err := v.Digest.Check([]byte("{ }")); countersign.CodeOf(err) != countersign.CodeSignature {
					t.Error(err)
				}
			}
			answer := signed(t, response, s, Message{Status: 200, Header: m.Header}, instant)
			if _, err := response.Verify(answer, instant, keysOf(s), roots); err != nil {
				t.Error(err)
			}
			if _, err := request.Verify(answer, instant, keysOf(s), roots); countersign.CodeOf(err) != countersign.CodeSignature {
				t.Errorf("a response passes for a request: %v", err)
			}
		})
	}
}

func TestNonce(t *testing.T) {
	p, s := profile(t, requestSpec), signers(t)[0]
	m := sampleRequest()
	h, err := p.SignWithNonce(t.Context(), s, m, instant, "b3k2pp5k7z-50gnwp.yemd")
	if err != nil {
		t.Fatal(err)
	}
	h.Set(m.Header)
	v, err := p.Verify(m, instant, keysOf(s), nil)
	if err != nil || v.Nonce != "b3k2pp5k7z-50gnwp.yemd" {
		t.Fatalf("%q, %v", v.Nonce, err)
	}
	for _, bad := range []string{`a"b`, "a b", "é", strings.Repeat("x", 65)} {
		if _, err := p.SignWithNonce(t.Context(), s, m, instant, bad); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPrepare(t *testing.T) {
	p, s := profile(t, requestSpec), signers(t)[3]
	m := sampleRequest()
	r, err := p.Prepare(s, m, instant, "")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign(t.Context(), r.Domain, r.Base)
	if err != nil {
		t.Fatal(err)
	}
	r.Headers(sig).Set(m.Header)
	if _, err := p.Verify(m, instant, keysOf(s), nil); err != nil {
		t.Fatal(err)
	}
}

// The fast path and the plain reading of the standard must make the same bytes.
func TestProfileMakesTheBaseOfTheStandard(t *testing.T) {
	s := signers(t)[0]
	value := rapid.StringMatching(`[ -~]{0,40}`)
	rapid.Check(t, func(t *rapid.T) {
		spec := requestSpec
		m := Message{Header: http.Header{}}
		source := &Source{Header: m.Header}
		if rapid.Bool().Draw(t, "response") {
			spec = responseSpec
			m.Status = rapid.IntRange(100, 599).Draw(t, "status")
			source.Status = m.Status
		} else {
			m.Method = rapid.SampledFrom([]string{"GET", "POST", "DELETE"}).Draw(t, "method")
			m.Path = "/" + rapid.StringMatching(`[a-z/%0-9]{0,20}`).Draw(t, "path")
			m.Query = rapid.StringMatching(`[a-z=&%0-9]{0,20}`).Draw(t, "query")
			source.Method, source.Path, source.Query = m.Method, m.Path, m.Query
		}
		p := profile(t, spec)
		for _, c := range p.components {
			if c.key != "" && (!c.optional || rapid.Bool().Draw(t, c.name+" present")) {
				m.Header[c.key] = []string{value.Draw(t, c.name)}
			}
		}
		r, err := p.Prepare(s, m, instant, "")
		if err != nil {
			t.Fatal(err)
		}
		dictionary, err := httpsfv.UnmarshalDictionary([]string{r.input})
		if err != nil {
			t.Fatalf("%s: %v", r.input, err)
		}
		if text, err := httpsfv.Marshal(dictionary); err != nil || text != r.input {
			t.Fatalf("the library writes %s (%v)\nwhere we wrote %s", text, err, r.input)
		}
		member, _ := dictionary.Get(p.label)
		base, err := Base(member.(httpsfv.InnerList), source)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(base, r.Base) {
			t.Fatalf("the standard's base\n%s\nours\n%s", base, r.Base)
		}
	})
}

func TestAnyChangeIsRefused(t *testing.T) {
	all := signers(t)
	p := profile(t, requestSpec)
	covered := []string{"Content-Digest", "X-Road-Client", "X-Road-Request-Id", "Countersign-Request-Hash", "Countersign-Purpose"}
	roots := countersign.NewRootCache(32)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(all).Draw(t, "signer")
		m := signed(t, p, s, sampleRequest(), instant)
		if _, err := p.Verify(m, instant, keysOf(all...), roots); err != nil {
			t.Fatal(err)
		}
		what := rapid.SampledFrom([]string{"flip", "remove", "add", "repeat", "method", "path", "query", "signature flip"}).Draw(t, "what")
		name := rapid.SampledFrom(covered).Draw(t, "header")
		before := m.Header.Clone()
		changed := true // space around a value is no part of it
		flip := func(name string) bool {
			value := []byte(m.Header.Get(name))
			bit := rapid.IntRange(0, len(value)*8-1).Draw(t, "bit")
			value[bit/8] ^= 1 << (bit % 8)
			m.Header[name] = []string{string(value)}
			return strings.Trim(string(value), " \t") != before.Get(name)
		}
		switch what {
		case "flip":
			changed = flip(name)
		case "signature flip":
			changed = flip(rapid.SampledFrom([]string{"Signature", "Signature-Input"}).Draw(t, "which"))
		case "remove":
			m.Header.Del(rapid.SampledFrom(append(covered, "Signature", "Signature-Input")).Draw(t, "which"))
		case "add":
			m.Header.Set(rapid.SampledFrom([]string{"X-Road-Id", "Countersign-Legal-Basis"}).Draw(t, "optional"), "x")
		case "repeat":
			name = rapid.SampledFrom(append(covered, "Signature", "Signature-Input")).Draw(t, "which")
			m.Header.Add(name, m.Header.Get(name))
		case "method":
			m.Method = "GET"
		case "path":
			m.Path += "/x"
		case "query":
			m.Query += "&c"
		}
		if _, err := p.Verify(m, instant, keysOf(all...), roots); err == nil {
			if !changed {
				return
			}
			t.Fatalf("%s %s goes unseen", what, name)
		} else if code := countersign.CodeOf(err); code != countersign.CodeSignature && code != countersign.CodeClock && !errors.Is(err, errUnknownKey) {
			t.Fatalf("%s: %v", what, err)
		}
	})
}

func TestUncoveredHeadersMayChange(t *testing.T) {
	s, p := signers(t)[0], profile(t, requestSpec)
	m := signed(t, p, s, sampleRequest(), instant)
	m.Header.Set("Accept", "*/*")
	m.Header["X-Road-Client"] = []string{" \tDEMO/GOV/2002/benefits "}
	if _, err := p.Verify(m, instant, keysOf(s), nil); err != nil {
		t.Error(err)
	}
}

func TestTimes(t *testing.T) {
	s, p := signers(t)[0], profile(t, requestSpec)
	m := signed(t, p, s, sampleRequest(), instant.Add(300*time.Millisecond))
	for offset, want := range map[time.Duration]countersign.Code{
		0: "", -Skew: "", -Skew - time.Millisecond: countersign.CodeClock, Lifetime: "", Lifetime + Skew: "",
		Lifetime + Skew + time.Millisecond: countersign.CodeClock, 24 * time.Hour: countersign.CodeClock,
	} {
		_, err := p.Verify(m, instant.Add(offset), keysOf(s), nil)
		if err == nil && want != "" || err != nil && countersign.CodeOf(err) != want {
			t.Errorf("%s after: %v", offset, err)
		}
	}
	if _, err := p.Sign(t.Context(), s, sampleRequest(), time.Time{}); err == nil {
		t.Error("the zero time is signed")
	}
}

// Every other spelling of the same signature is refused: the input is signed anew by the right key each time, so that only the form is at fault.
func TestOtherSpellingsAreRefused(t *testing.T) {
	s, p := signers(t)[0], profile(t, requestSpec)
	m := signed(t, p, s, sampleRequest(), instant)
	input, text := m.Header.Get(inputHeader), m.Header.Get(signatureHeader)
	list, params, _ := strings.Cut(input, ")")
	created, rest, _ := strings.Cut(strings.TrimPrefix(params, ";"), ";")
	for name, other := range map[string]string{
		"no parameters":     list + ")",
		"another label":     "sig" + strings.TrimPrefix(input, "countersign"),
		"longer label":      "countersign2" + strings.TrimPrefix(input, "countersign"),
		"second signature":  input + ", sig2=()",
		"unknown parameter": input + `;tag="x"`,
		"unknown flag":      input + ";x",
		"order":             list + ");" + rest + ";" + created,
		"repeated":          input + ";" + created,
		"space":             strings.Replace(input, ";expires", "; expires", 1),
		"leading zero":      strings.Replace(input, "created=", "created=0", 1),
		"negative":          strings.Replace(input, "created=", "created=-", 1),
		"decimal":           strings.Replace(input, ";expires", ".0;expires", 1),
		"huge":              strings.Replace(input, "created=", "created=1111111", 1),
		"token":             strings.Replace(input, `alg="ed25519"`, "alg=ed25519", 1),
		"unknown algorithm": strings.Replace(input, `"ed25519"`, `"hmac-sha256"`, 1),
		"other algorithm":   strings.Replace(input, `"ed25519"`, `"ecdsa-p256-sha256"`, 1),
		"tree algorithm":    strings.Replace(input, `"ed25519"`, `"countersign-tree"`, 1),
		"empty key":         strings.Replace(input, string(s.id), "", 1),
		"escaped key":       strings.Replace(input, string(s.id), `a\"b`, 1),
		"after the nonce":   input + `;nonce="a";x`,
		"nonce twice":       input + `;nonce="a";nonce="a"`,
		"empty nonce":       input + `;nonce=""`,
		"longer life":       strings.Replace(input, fmt.Sprint(instant.Add(Lifetime).Unix()), fmt.Sprint(instant.Add(Lifetime).Unix()+1), 1),
		"part left out":     strings.Replace(input, ` "x-road-client"`, "", 1),
		"part added":        strings.Replace(input, `"x-road-client"`, `"x-road-client" "x-road-id"`, 1),
		"parts exchanged":   strings.Replace(input, `"@method" "@path"`, `"@path" "@method"`, 1),
		"part twice":        strings.Replace(input, `"@method"`, `"@method" "@method"`, 1),
		"two spaces":        strings.Replace(input, `"@method" `, `"@method"  `, 1),
		"part parameter":    strings.Replace(input, `"@method"`, `"@method";req`, 1),
		"capitals":          strings.Replace(input, "x-road-client", "X-Road-Client", 1),
		"nothing":           "",
	} {
		base, err := p.appendBase(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		_, value, _ := strings.Cut(other, "=")
		sig, err := s.Sign(t.Context(), p.domain, append(base, value...))
		if err != nil {
			t.Fatal(err)
		}
		changed := m.clone()
		Prepared{label: p.label, input: other}.Headers(sig).Set(changed.Header)
		if _, err := p.Verify(changed, instant, keysOf(s), nil); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%s: %s: %v", name, other, err)
		}
	}
	for name, other := range map[string]string{
		"another label": strings.Replace(text, "countersign", "sig", 1), "second": text + ", sig2=:AA==:", "parameter": text + ";x",
		"no colons": strings.ReplaceAll(text, ":", ""), "unpadded": strings.Replace(text, "==:", ":", 1), "empty": "countersign=::",
		"line end": strings.Replace(text, ":", ":\n", 1), "long": "countersign=:" + strings.Repeat("AAAA", 400) + ":", "nothing": "", "half": "countersign=:",
		"loose bits": text[:len(text)-4] + string(text[len(text)-4]+1) + "==:",
	} {
		changed := m.clone()
		changed.Header.Set(signatureHeader, other)
		if _, err := p.Verify(changed, instant, keysOf(s), nil); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%s: %s: %v", name, other, err)
		}
	}
}

func TestKeysDecide(t *testing.T) {
	all := signers(t)
	s, p := all[0], profile(t, requestSpec)
	m := signed(t, p, s, sampleRequest(), instant)
	if _, err := p.Verify(m, instant, keysOf(), nil); !errors.Is(err, errUnknownKey) {
		t.Errorf("unknown key: %v", err)
	}
	for _, other := range append(all[1:], signers(t)...) {
		_, err := p.Verify(m, instant, func(countersign.KeyID) (crypto.PublicKey, error) { return other.Public(), nil }, nil)
		if other.alg == countersign.AlgorithmTree && other.Signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(s.Public()) {
			continue // the same key
		}
		if countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%s key: %v", other.alg, err)
		}
	}
	if _, err := p.Verify(m, instant, func(countersign.KeyID) (crypto.PublicKey, error) { return nil, nil }, nil); countersign.CodeOf(err) != countersign.CodeSignature {
		t.Errorf("no key: %v", err)
	}
}
