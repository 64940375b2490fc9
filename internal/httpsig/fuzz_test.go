package httpsig

import (
	"context"
	"crypto"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"

	"countersign.dev/countersign"
)

// canonical reports whether the library of structured fields reads the text as a dictionary of one member and writes the same text.
func canonical(text string) bool {
	d, err := httpsfv.UnmarshalDictionary([]string{text})
	if err != nil || len(d.Names()) != 1 {
		return false
	}
	again, err := httpsfv.Marshal(d)
	return err == nil && again == text
}

func FuzzSignatureInput(f *testing.F) {
	s, p := signers(f)[0], profile(f, requestSpec)
	m := sampleRequest()
	r, err := p.Prepare(s, m, instant, "nonce")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.input)
	f.Add(strings.TrimSuffix(r.input, `;nonce="nonce"`))
	f.Add(r.input + ";x")
	f.Fuzz(func(t *testing.T, text string) {
		params, err := p.parseInput(text, p.appendList(nil, &m))
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeSignature {
				t.Fatal(err)
			}
			return
		}
		again := p.label + "=" + string(params.append(p.appendList(nil, &m)))
		if again != text || !canonical(text) {
			t.Fatalf("%q was read, but is written %q", text, again)
		}
	})
}

func FuzzSignature(f *testing.F) {
	p := profile(f, requestSpec)
	f.Add("countersign=:AAAA:")
	f.Add("countersign=:AAA=:")
	f.Add("countersign=::")
	f.Fuzz(func(t *testing.T, text string) {
		sig, err := p.appendSignature(nil, text)
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeSignature {
				t.Fatal(err)
			}
			return
		}
		again := Prepared{label: p.label}.Headers(sig).Signature
		if again != text || !canonical(text) {
			t.Fatalf("%q was read, but is written %q", text, again)
		}
	})
}

func FuzzContentDigest(f *testing.F) {
	f.Add(DigestContent([]byte("x")).String())
	f.Add("sha-512=:" + strings.Repeat("A", 86) + "==:")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseContentDigest(text)
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeSignature {
				t.Fatal(err)
			}
			return
		}
		if d.String() != text || !canonical(text) {
			t.Fatalf("%q was read, but is written %q", text, d)
		}
	})
}

// FuzzVerify feeds whole messages to a verifier that knows one key: nothing passes but what that key signed.
func FuzzVerify(f *testing.F) {
	s, p := signers(f)[2], profile(f, requestSpec)
	good := signed(f, p, s, sampleRequest(), instant)
	f.Add(good.Method, good.Path, good.Query, good.Header.Get("X-Road-Client"), good.Header.Get(inputHeader), good.Header.Get(signatureHeader))
	f.Fuzz(func(t *testing.T, method, path, query, client, input, signature string) {
		m := Message{Method: method, Path: path, Query: query, Header: good.Header.Clone()}
		m.Header["X-Road-Client"] = []string{client}
		m.Header[inputHeader] = []string{input}
		m.Header[signatureHeader] = []string{signature}
		_, err := p.Verify(m, instant, keysOf(s), nil)
		if err != nil {
			return
		}
		same := method == good.Method && path == good.Path && query == good.Query && strings.Trim(client, " \t") == good.Header.Get("X-Road-Client") &&
			strings.Trim(input, " \t") == good.Header.Get(inputHeader) && strings.Trim(signature, " \t") == good.Header.Get(signatureHeader)
		if !same {
			t.Fatalf("accepted: %q %q %q %q %q %q", method, path, query, client, input, signature)
		}
	})
}

func FuzzBase(f *testing.F) {
	f.Add(`("@method" "date";sf "dict";key="a");created=1`, "a=1, b=(1 2)")
	f.Add(`("@query-param";name="a" "dict";bs)`, "x")
	f.Fuzz(func(t *testing.T, input, value string) {
		list, err := httpsfv.UnmarshalList([]string{input})
		if err != nil || len(list) != 1 {
			return
		}
		inner, ok := list[0].(httpsfv.InnerList)
		if !ok {
			return
		}
		s := &Source{Method: "GET", Path: "/", Query: value, Header: http.Header{"Dict": {value}, "Date": {value}}, Kinds: map[string]FieldKind{"dict": DictionaryField, "date": ItemField}}
		base, err := Base(inner, s)
		if err == nil && strings.Count(string(base), "\n") != len(inner.Items) {
			t.Fatalf("a value broke out of its line: %q", base)
		}
	})
}

func BenchmarkProfile(b *testing.B) {
	p, now := profile(b, requestSpec), instant
	for _, s := range signers(b) {
		name := string(s.alg)
		if s.alg == countersign.AlgorithmTree {
			name += " cached " + string(mustPlain(b, s.Public()))
		}
		m := signed(b, p, s, sampleRequest(), now)
		roots := countersign.NewRootCache(64)
		b.Run("verify/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Verify(m, now, keysOf(s), roots); err != nil {
					b.Fatal(err)
				}
			}
		})
		if s.alg == countersign.AlgorithmTree {
			continue
		}
		b.Run("sign/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Sign(context.Background(), s, m, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	s := signers(b)[0]
	b.Run("prepare", func(b *testing.B) {
		m := sampleRequest()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Prepare(s, m, now, ""); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func mustPlain(b *testing.B, pub crypto.PublicKey) countersign.SignatureAlgorithm {
	alg, err := countersign.AlgorithmOf(pub)
	if err != nil {
		b.Fatal(err)
	}
	return alg
}
