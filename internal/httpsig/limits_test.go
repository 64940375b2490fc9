package httpsig

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"countersign.dev/countersign"
)

func TestWhatCannotBeSigned(t *testing.T) {
	s, p := signers(t)[0], profile(t, requestSpec)
	for name, change := range map[string]func(*Message){
		"missing":   func(m *Message) { m.Header.Del("X-Road-Client") },
		"twice":     func(m *Message) { m.Header.Add("X-Road-Client", "x") },
		"line end":  func(m *Message) { m.Header.Set("X-Road-Client", "a\nb") },
		"latin":     func(m *Message) { m.Header.Set("X-Road-Client", "caf\xe9") },
		"no method": func(m *Message) { m.Method = "" },
		"no path":   func(m *Message) { m.Path = "" },
		"query":     func(m *Message) { m.Query = "a=\x00" },
		"method":    func(m *Message) { m.Method = "GET\n" },
		"huge":      func(m *Message) { m.Query = strings.Repeat("x", maxValue) },
		"huge together": func(m *Message) {
			for _, c := range p.components[3:] {
				m.Header.Set(c.name, strings.Repeat("x", maxValue-1))
			}
		},
	} {
		m := sampleRequest()
		change(&m)
		if _, err := p.Sign(t.Context(), s, m, instant); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, status := range []int{0, 99, 1000, -1} {
		m := Message{Status: status, Header: sampleRequest().Header}
		if _, err := profile(t, responseSpec).Sign(t.Context(), s, m, instant); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("status %d: %v", status, err)
		}
	}
	bad := *s
	bad.id = `a"b`
	if _, err := p.Sign(t.Context(), &bad, sampleRequest(), instant); err == nil {
		t.Error("a key id with a quotation mark")
	}
	bad = *s
	bad.alg = "none"
	if _, err := p.Sign(t.Context(), &bad, sampleRequest(), instant); err == nil {
		t.Error("an unknown algorithm")
	}
}

func TestSpecs(t *testing.T) {
	good := Spec{"l", "d", []Component{{Name: "@method"}}}
	if _, err := NewProfile(good); err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]Spec{
		"label":            {"L", "d", good.Components},
		"no label":         {"", "d", good.Components},
		"no domain":        {"l", "", good.Components},
		"nothing":          {"l", "d", nil},
		"twice":            {"l", "d", []Component{{Name: "@method"}, {Name: "@method"}}},
		"unknown":          {"l", "d", []Component{{Name: "@authority"}}},
		"optional derived": {"l", "d", []Component{{Name: "@method", Optional: true}}},
		"capitals":         {"l", "d", []Component{{Name: "Date"}}},
		"itself":           {"l", "d", []Component{{Name: "signature"}}},
		"empty":            {"l", "d", []Component{{}}},
	} {
		if _, err := NewProfile(spec); err == nil {
			t.Error(name)
		}
	}
}

// A message keeps its signature on the way through net/http.
func TestOverHTTP(t *testing.T) {
	s, p := signers(t)[2], profile(t, requestSpec)
	outcome := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := p.Verify(OfRequest(r), instant, keysOf(s), nil)
		outcome <- err
	}))
	defer server.Close()
	for _, target := range []string{"", "/", "?", "/a%2Fb/c%20d?x=%41&y=+", "/a//b/../c?", "/p?q?r", "/æ", "/x;y=1"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+target, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, sampleRequest().Header)
		r.Header.Del("Accept")
		h, err := p.Sign(t.Context(), s, OfRequest(r), instant)
		if err != nil {
			t.Fatal(err)
		}
		h.Set(r.Header)
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if err := <-outcome; err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestContentDigestForms(t *testing.T) {
	good := DigestContent(nil).String()
	if good != "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:" {
		t.Fatal(good)
	}
	for _, value := range []string{
		"", "sha-256", "sha-256=", "sha-256=::", good + ", " + good, good + ", sha-512=:AA==:", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", " " + good, good + " ",
		good + ";a=1", strings.ToUpper(good), strings.Replace(good, "sha-256", "sha-512", 1), strings.Replace(good, "=:", ":", 1), strings.Replace(good, "U=:", "V=:", 1),
		strings.Replace(good, "sha-256", "unknown", 1),
	} {
		if d, err := ParseContentDigest(value); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%q: %v %v", value, d, err)
		}
	}
	var zero ContentDigest
	if err := zero.Check(nil); err == nil {
		t.Error("the zero digest matches nothing at all")
	}
	h := SHA512.New()
	_, _ = h.Write([]byte("abc"))
	d := ContentDigest{SHA512, h.Sum(nil)}
	again, err := ParseContentDigest(d.String())
	if err != nil || again.Check([]byte("abc")) != nil || !slices.Equal(again.Sum, d.Sum) {
		t.Error(err)
	}
	if err := (ContentDigest{Algorithm: SHA256}).CheckSum(SHA256.New()); err == nil {
		t.Error("an empty sum matches")
	}
}
