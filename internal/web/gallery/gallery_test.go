package gallery

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web"
)

func open(t *testing.T) (*Gallery, *web.Locales) {
	t.Helper()
	locales, err := web.LoadLocales()
	if err != nil {
		t.Fatal(err)
	}
	assets, err := web.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	return New(locales, assets), locales
}

// unsafe is what our content security policy would stop, or what no page may hold.
var unsafe = regexp.MustCompile(`(?i)<script| style=|<style| on[a-z]+="|javascript:|<iframe|<no value>|%!`)

// ours are scripts of our own files, which one page has.
var ours = regexp.MustCompile(`<script src="../static/[a-z_]*\.[^"/]*" defer></script>`)

// The proof that the gallery offers to check is one that holds.
func TestGalleryProofHolds(t *testing.T) {
	read := func(name string) []byte {
		b, err := proofs.ReadFile("proof/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	policy, err := countersign.ParsePolicy(read("policy.txt"))
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := countersign.ParseReceipt(read("receipt.json"))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := policy.Verify(receipt); err != nil || !found.Cosigned {
		t.Errorf("the gallery's proof gives %+v: %v", found, err)
	}
}

func TestEveryPageInEveryLanguage(t *testing.T) {
	g, locales := open(t)
	seen := map[string]bool{}
	for _, p := range g.pages() {
		if seen[p.Name] {
			t.Errorf("two pages are named %s", p.Name)
		}
		seen[p.Name] = true
		for _, lang := range locales.Tags() {
			b, err := g.Render(t.Context(), lang, p)
			if err != nil {
				t.Errorf("%s (%s): %v", p.Name, lang, err)
				continue
			}
			if p.scripts {
				b = ours.ReplaceAll(b, nil)
			}
			if hit := unsafe.Find(b); hit != nil {
				t.Errorf("%s (%s) holds %q", p.Name, lang, hit)
			}
			if !strings.Contains(string(b), `<html lang="`+lang+`"`) {
				t.Errorf("%s (%s) does not say its language", p.Name, lang)
			}
			forms, tokens := strings.Count(string(b), `method="post"`), strings.Count(string(b), `name="csrf"`)
			if forms != tokens {
				t.Errorf("%s (%s) has %d forms that change something and %d tokens", p.Name, lang, forms, tokens)
			}
		}
	}
	if lacking := locales.Missing(); len(lacking) > 0 {
		t.Errorf("messages that a language lacks: %q", lacking)
	}
}

func TestGalleryIsWritten(t *testing.T) {
	g, _ := open(t)
	dir := t.TempDir()
	if err := g.Write(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	page, err := root.ReadFile("az/timeline.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, hit := range regexp.MustCompile(`(?:href|src)="([^"#]+)"`).FindAllStringSubmatch(string(page), -1) {
		if _, err := root.Stat(path.Join("az", hit[1])); err != nil {
			t.Errorf("the timeline leads to %s, which was not written", hit[1])
		}
	}
}

func TestGalleryIsServed(t *testing.T) {
	g, _ := open(t)
	h := g.Handler()
	for path, want := range map[string]int{
		"/": http.StatusFound, "/en/index.html": http.StatusOK, "/ru/entry.html": http.StatusOK, "/xx/entry.html": http.StatusNotFound, "/en/nothing.html": http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s gives %d, want %d", path, w.Code, want)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s lacks a content security policy", path)
		}
	}
}
