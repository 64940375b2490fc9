package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"countersign.dev/countersign/internal/web/check"
)

func TestAssetsCarryTheirHash(t *testing.T) {
	first, err := ReadAssets(fstest.MapFS{"a.css": {Data: []byte("x{src:url(f.woff2)}")}, "f.woff2": {Data: []byte("one")}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := ReadAssets(fstest.MapFS{"a.css": {Data: []byte("x{src:url(f.woff2)}")}, "f.woff2": {Data: []byte("two")}})
	if err != nil {
		t.Fatal(err)
	}
	if first.URL("f.woff2") == second.URL("f.woff2") || first.URL("a.css") == second.URL("a.css") {
		t.Error("another font has the same name, or the sheet that loads it")
	}
	w := httptest.NewRecorder()
	first.ServeHTTP(w, httptest.NewRequest(http.MethodGet, first.URL("a.css"), nil))
	if got := w.Body.String(); !strings.Contains(got, strings.TrimPrefix(first.URL("f.woff2"), AssetPath)) {
		t.Errorf("the sheet does not name the font by its hash: %s", got)
	}
	if got := w.Header().Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control is %q", got)
	}
	if _, err := ReadAssets(fstest.MapFS{"run.exe": {}}); err == nil {
		t.Error("a file of an unknown kind was accepted")
	}
}

func TestAssetsAreServed(t *testing.T) {
	a, err := LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, coding string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Accept-Encoding", coding)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	sheet := a.URL("countersign.css")
	plain, zipped := ask(http.MethodGet, sheet, "br, gzip;q=0"), ask(http.MethodGet, sheet, "br, gzip")
	if plain.Header().Get("Content-Encoding") != "" || zipped.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("encodings are %q and %q", plain.Header().Get("Content-Encoding"), zipped.Header().Get("Content-Encoding"))
	}
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unzipped, plain.Body.Bytes()) {
		t.Error("the compressed sheet is another")
	}
	if bytes.Contains(unzipped, []byte("url(http")) || bytes.Contains(unzipped, []byte("url(//")) || bytes.Contains(unzipped, []byte("@import")) {
		t.Error("the sheet names an address elsewhere")
	}
	if w := ask(http.MethodGet, AssetPath+"countersign.css", ""); w.Code != http.StatusNotFound {
		t.Errorf("a name without hash gives %d", w.Code)
	}
	if w := ask(http.MethodPost, sheet, ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST gives %d", w.Code)
	}
	if w := ask(http.MethodHead, sheet, ""); w.Body.Len() != 0 || w.Code != http.StatusOK {
		t.Errorf("HEAD gives %d and %d bytes", w.Code, w.Body.Len())
	}
}

func TestCheckIsServed(t *testing.T) {
	a, err := ReadAssets(fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	if a.AddCheck(nil); a.Has(CheckProgram) {
		t.Error("there is a check where none was built")
	}
	a.AddCheck(&check.Program{Wasm: []byte("program"), Zipped: []byte("zipped"), Support: []byte("support")})
	for coding, want := range map[string]string{"gzip": "zipped", "": "program"} {
		r := httptest.NewRequest(http.MethodGet, a.URL(CheckProgram), nil)
		r.Header.Set("Accept-Encoding", coding)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.String() != want || w.Header().Get("Content-Type") != "application/wasm" {
			t.Errorf("%q gives %d %q of the type %q", coding, w.Code, w.Body, w.Header().Get("Content-Type"))
		}
	}
}

func TestScriptsRunWhereTheyAreAllowed(t *testing.T) {
	s := Security{FormTargets: []string{"https://id.example"}}
	h := Secure(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/check" {
			s.AllowScripts(w)
		}
	}))
	for path, want := range map[string]bool{"/": false, "/check": true, "/other": false} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		policy := w.Header().Get("Content-Security-Policy")
		if got := strings.Contains(policy, "'wasm-unsafe-eval'"); got != want || !strings.Contains(policy, "form-action 'self' https://id.example;") {
			t.Errorf("%s has the policy %s", path, policy)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	serve := func(s Security) http.Header {
		w := httptest.NewRecorder()
		Secure(s, http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w.Header()
	}
	strict := serve(Security{})
	policy := strict.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self';"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "script-src") || strings.Contains(policy, "unsafe") {
		t.Errorf("the strictest policy lets scripts run: %s", policy)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Strict-Transport-Security": "",
	} {
		if got := strict.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	loose := serve(Security{TLS: true, Scripts: true, Shared: true, FormTargets: []string{"https://id.example", "https://evil.example; script-src *"}})
	policy = loose.Get("Content-Security-Policy")
	if !strings.Contains(policy, "form-action 'self' https://id.example;") || strings.Contains(policy, "evil") {
		t.Errorf("form targets are wrong: %s", policy)
	}
	if loose.Get("Strict-Transport-Security") == "" || loose.Get("Cache-Control") != "" || !strings.Contains(policy, "script-src 'self'") {
		t.Errorf("what was allowed is not: %v", loose)
	}
}
