package httpsig

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/dunglas/httpsfv"

	"countersign.dev/countersign"
)

type vectorMessage struct {
	Method    string      `json:"method"`
	Scheme    string      `json:"scheme"`
	Authority string      `json:"authority"`
	Path      string      `json:"path"`
	Query     string      `json:"query"`
	Target    string      `json:"target"`
	Status    int         `json:"status"`
	Header    [][2]string `json:"header"`
	Trailer   [][2]string `json:"trailer"`
	Content   string      `json:"content"`
}

func headerOf(lines [][2]string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		h.Add(l[0], l[1])
	}
	return h
}

func (m *vectorMessage) source() *Source {
	if m == nil {
		return nil
	}
	return &Source{
		Method: m.Method, Scheme: m.Scheme, Authority: m.Authority, Target: m.Target, Path: m.Path, Query: m.Query,
		Status: m.Status, Header: headerOf(m.Header), Trailer: headerOf(m.Trailer),
	}
}

type rfcVectors struct {
	Keys  map[string]string `json:"keys"`
	Cases []struct {
		Name      string            `json:"name"`
		Section   string            `json:"section"`
		Message   vectorMessage     `json:"message"`
		Request   *vectorMessage    `json:"request"`
		Kinds     map[string]string `json:"kinds"`
		Input     string            `json:"input"`
		Base      string            `json:"base"`
		Key       string            `json:"key"`
		Algorithm string            `json:"algorithm"`
		Signature []byte            `json:"signature"`
		Valid     bool              `json:"valid"`
	} `json:"cases"`
}

func readVectors(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../../docs/spec/vectors/httpsig/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func parseInnerList(t testing.TB, text string) httpsfv.InnerList {
	t.Helper()
	list, err := httpsfv.UnmarshalList([]string{text})
	if err != nil || len(list) != 1 {
		t.Fatalf("%q: %v", text, err)
	}
	inner, ok := list[0].(httpsfv.InnerList)
	if !ok {
		t.Fatalf("%q is no inner list", text)
	}
	return inner
}

func TestBaseReproducesTheStandard(t *testing.T) {
	var v rfcVectors
	readVectors(t, "rfc9421.json", &v)
	if len(v.Cases) < 20 {
		t.Fatalf("only %d cases were read", len(v.Cases))
	}
	kinds := map[string]FieldKind{"dictionary": DictionaryField, "list": ListField, "item": ItemField}
	for _, c := range v.Cases {
		t.Run(c.Section+" "+c.Name, func(t *testing.T) {
			s := c.Message.source()
			s.Request = c.Request.source()
			s.Kinds = map[string]FieldKind{}
			for name, kind := range c.Kinds {
				s.Kinds[name] = kinds[kind]
			}
			base, err := Base(parseInnerList(t, c.Input), s)
			if err != nil {
				t.Fatal(err)
			}
			if string(base) != c.Base {
				t.Fatalf("base\n%s\nwhere the standard has\n%s", base, c.Base)
			}
			if c.Key == "" {
				return
			}
			if got := verifyVector(t, v.Keys[c.Key], c.Algorithm, base, c.Signature); got != c.Valid {
				t.Fatalf("signature valid: %v, want %v", got, c.Valid)
			}
		})
	}
}

func verifyVector(t *testing.T, key, alg string, base, sig []byte) bool {
	t.Helper()
	if alg == "hmac-sha256" {
		secret, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write(base)
		return hmac.Equal(mac.Sum(nil), sig)
	}
	block, _ := pem.Decode([]byte(key))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := pub.(*rsa.PublicKey); ok {
		sum := sha512.Sum512(base)
		return rsa.VerifyPSS(k, crypto.SHA512, sum[:], sig, &rsa.PSSOptions{SaltLength: 64}) == nil
	}
	return countersign.VerifyPlain(pub, base, sig) == nil
}

func TestContentDigestsOfTheStandard(t *testing.T) {
	var v rfcVectors
	readVectors(t, "rfc9421.json", &v)
	checked := 0
	for _, c := range v.Cases {
		value := headerOf(c.Message.Header).Get("Content-Digest")
		if value == "" {
			continue
		}
		d, err := ParseContentDigest(value)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if err := d.Check([]byte(c.Message.Content)); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if err := d.Check([]byte(c.Message.Content + " ")); err == nil {
			t.Errorf("%s: a space more goes unseen", c.Name)
		}
		checked++
	}
	if checked < 5 {
		t.Fatalf("only %d digests were checked", checked)
	}
}

func TestBaseRefuses(t *testing.T) {
	request := &Source{Method: "GET", Scheme: "https", Authority: "a.example", Path: "/", Query: "a=1&a=2&b=1", Header: http.Header{
		"Date": {"today"}, "Dict": {"a=1"}, "Odd": {"one\ntwo"}, "Broken": {"a=;"}, "Latin": {"caf\xe9"},
	}, Kinds: map[string]FieldKind{"dict": ItemField}}
	for _, input := range []string{
		`("date" "date")`, `("date";req)`, `("@status")`, `("@nothing")`, `("@method";sf)`, `("date";sf)`, `("dict";sf)`, `("dict";key="b")`,
		`("date";bs;sf)`, `("Date")`, `("absent")`, `("date";tr)`, `("@query-param";name="a")`, `("@query-param";name="c")`, `("@query-param")`,
		`("odd")`, `("broken";key="a")`, `("latin")`, `(date)`, `("date";other)`, `("date";sf=?0)`, `("dict";key="a";bs)`,
	} {
		if base, err := Base(parseInnerList(t, input), request); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%s: base %q, error %v", input, base, err)
		}
	}
	// The same component with and without req is two components, in either order of parameters one.
	response := &Source{Status: 200, Header: http.Header{"Dict": {"a=1"}}, Request: request}
	if _, err := Base(parseInnerList(t, `("dict" "dict";req)`), response); err != nil {
		t.Error(err)
	}
	if _, err := Base(parseInnerList(t, `("dict";req;key="a" "dict";key="a";req)`), response); err == nil {
		t.Error("one component is covered twice under two spellings")
	}
	if !slices.Contains([]string{"/"}, (&Source{}).path()) {
		t.Error("an empty path is not a slash")
	}
}
