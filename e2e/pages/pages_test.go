// Package pages walks the portal's pages in a browser: every page in each of its states, at desk and phone width, with and without scripts,
// in each language, in light and dark.
package pages

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/check"
	"countersign.dev/countersign/internal/web/gallery"
)

func TestEveryPageInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("there is no browser to walk the pages with; `make test-needs` installs it: %v", err)
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		t.Fatalf("the browser's driver is not installed; `make test-needs` installs it: %v", err)
	}
	locales, err := web.LoadLocales()
	if err != nil {
		t.Fatal(err)
	}
	assets, err := web.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	program := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "run", "countersign.dev/countersign/internal/web/check/build", program).CombinedOutput(); err != nil {
		t.Fatalf("the check for browsers is not built: %v: %s", err, out)
	}
	built, err := check.Read(os.DirFS(program))
	if err != nil || built == nil {
		t.Fatalf("the check for browsers is not there: %v", err)
	}
	assets.AddCheck(built)
	server := httptest.NewServer(gallery.New(locales, assets).Handler())
	defer server.Close()
	screenshots, err := filepath.Abs("../screenshots")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "walk.mjs", server.URL, screenshots)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the pages do not pass: %v", err)
	}
	if lacking := locales.Missing(); len(lacking) > 0 {
		t.Errorf("messages that a language lacks: %q", lacking)
	}
}
