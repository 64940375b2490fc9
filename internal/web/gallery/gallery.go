package gallery

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/page"
)

// Page is one page in one state.
type Page struct {
	Name   string // in file names, for instance timeline-empty
	Shows  string // what is to be seen, for the index
	Render func(page.Frame) templ.Component
	adapt  func(*page.Frame)

	scripts bool // it runs the check for browsers
}

// Gallery renders the pages.
type Gallery struct {
	locales *web.Locales
	assets  *web.Assets
	place   *time.Location
}

// New makes a gallery. Times are shown as in the zone UTC+4.
func New(locales *web.Locales, assets *web.Assets) *Gallery {
	return &Gallery{locales: locales, assets: assets, place: time.FixedZone("UTC+4", 4*3600)}
}

// now is the moment at which all canned data are looked at.
var now = time.Date(2026, 3, 12, 11, 20, 0, 0, time.UTC)

func (g *Gallery) frame(lang, name string) page.Frame {
	f := page.Frame{
		Locale: g.locales.In(lang, g.place), Assets: g.assets, Now: now, Demo: true, CSRF: "canned", Person: "Nərmin Qaraxanlı",
		Federation: directory.Name.In(lang), Expires: now.Add(20 * time.Minute), Cases: 1, Consents: 1,
	}
	for _, tag := range g.locales.Tags() {
		f.Languages = append(f.Languages, page.Language{
			Tag: tag, Name: g.locales.In(tag, nil).T("language.name"), Current: tag == f.Locale.Tag(), URL: "/" + tag + "/" + name + ".html",
		})
	}
	f.Link = func(path string) string { return link(lang, path) }
	return f
}

// link leads an address of the portal to the page that stands for it here.
func link(lang, path string) string {
	if strings.HasPrefix(path, web.AssetPath) || strings.HasSuffix(path, ".html") {
		return ".." + path
	}
	if name, ok := addresses[path]; ok {
		return name + ".html"
	}
	for prefix, name := range prefixes {
		if rest, ok := strings.CutPrefix(path, prefix); ok && rest != "" {
			if suffix := rest[strings.LastIndexByte(rest, '/')+1:]; strings.Contains(rest, "/") {
				if to, ok := suffixes[suffix]; ok {
					return to + ".html"
				}
			}
			if strings.Contains(name, ".") {
				return name
			}
			return name + ".html"
		}
	}
	return "index.html"
}

// pages are those that can be shown: the check for browsers where its program is built in.
func (g *Gallery) pages() []Page {
	return slices.DeleteFunc(Pages(), func(p Page) bool { return p.scripts && !g.assets.Has(web.CheckProgram) })
}

// proofs are a receipt that holds, and the policy under which it does: files that the pages lead to.
//
//go:embed proof
var proofs embed.FS

// Render writes one page in one language.
func (g *Gallery) Render(ctx context.Context, lang string, p Page) ([]byte, error) {
	f := g.frame(lang, p.Name)
	if p.adapt != nil {
		p.adapt(&f)
	}
	var b bytes.Buffer
	if err := p.Render(f).Render(ctx, &b); err != nil {
		return nil, fmt.Errorf("gallery page %s (%s): %w", p.Name, lang, err)
	}
	return b.Bytes(), nil
}

// Write renders everything into a folder: a subfolder for each language, and the assets.
func (g *Gallery) Write(ctx context.Context, dir string) error {
	write := func(name string, content []byte) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // canned data, to be read by a browser
			return fmt.Errorf("writing the gallery: %w", err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // canned data, to be read by a browser
			return fmt.Errorf("writing the gallery: %w", err)
		}
		return nil
	}
	for _, lang := range g.locales.Tags() {
		for _, p := range g.pages() {
			b, err := g.Render(ctx, lang, p)
			if err != nil {
				return err
			}
			if err := write(lang+"/"+p.Name+".html", b); err != nil {
				return err
			}
		}
		b, err := g.index(ctx, lang)
		if err != nil {
			return err
		}
		if err := write(lang+"/index.html", b); err != nil {
			return err
		}
	}
	for _, name := range []string{"proof/receipt.json", "proof/policy.txt"} {
		b, err := proofs.ReadFile(name)
		if err != nil {
			return fmt.Errorf("writing the gallery: %w", err)
		}
		if err := write(name, b); err != nil {
			return err
		}
	}
	return g.assets.Each(func(name string, content []byte) error {
		return write(strings.TrimPrefix(web.AssetPath, "/")+name, content)
	})
}

func (g *Gallery) index(ctx context.Context, lang string) ([]byte, error) {
	f := g.frame(lang, "index")
	f.Person = ""
	var list []page.IndexEntry
	for _, p := range g.pages() {
		list = append(list, page.IndexEntry{Name: p.Name, Shows: p.Shows, URL: "/" + lang + "/" + p.Name + ".html"})
	}
	var b bytes.Buffer
	if err := page.IndexPage(f, list).Render(ctx, &b); err != nil {
		return nil, fmt.Errorf("gallery index (%s): %w", lang, err)
	}
	return b.Bytes(), nil
}

// Handler serves the gallery under the same headers as the portal, and the list of its pages under /pages.txt, one a line. Forms lead back to
// the page that they were sent from.
func (g *Gallery) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+web.AssetPath, g.assets)
	mux.Handle("GET /proof/", http.FileServerFS(proofs))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/"+g.locales.Match(r.Header.Get("Accept-Language"))+"/index.html", http.StatusFound)
	})
	mux.HandleFunc("GET /pages.txt", func(w http.ResponseWriter, _ *http.Request) {
		for _, p := range g.pages() {
			_, _ = fmt.Fprintln(w, p.Name)
		}
	})
	for _, lang := range g.locales.Tags() {
		mux.HandleFunc("/"+lang+"/{file}", func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, lang) })
	}
	return web.Secure(web.Security{}, mux)
}

func (g *Gallery) serve(w http.ResponseWriter, r *http.Request, lang string) {
	name := strings.TrimSuffix(r.PathValue("file"), ".html")
	var b []byte
	err := os.ErrNotExist
	if name == "index" {
		b, err = g.index(r.Context(), lang)
	}
	for _, p := range g.pages() {
		if p.Name == name {
			b, err = g.Render(r.Context(), lang, p)
			if p.scripts {
				web.Security{}.AllowScripts(w)
			}
		}
	}
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b) // the reader has gone: nobody is left to tell
}
