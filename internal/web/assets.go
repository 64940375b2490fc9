package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"countersign.dev/countersign/internal/web/check"
)

//go:embed static
var staticFiles embed.FS

// AssetPath is where [Assets] are served.
const AssetPath = "/static/"

// Assets are the files that pages load: the style sheet, the font, the icon. Each is served under a name that holds its content's hash, so that a
// browser may keep it for ever and a new version is a new name.
type Assets struct {
	names map[string]string // file to served name
	files map[string]asset  // served name to content
}

type asset struct {
	mime   string
	plain  []byte
	zipped []byte // nil where compressing does not help
}

// assetTypes are the kinds of file that may be served.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".woff2": "font/woff2", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8", ".txt": "text/plain; charset=utf-8",
}

// LoadAssets reads the files that are built in.
func LoadAssets() (*Assets, error) {
	sub, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("reading assets: %w", err)
	}
	a, err := ReadAssets(sub)
	if err != nil {
		return nil, err
	}
	program, err := check.Load()
	if err != nil {
		return nil, err
	}
	a.AddCheck(program)
	return a, nil
}

// ReadAssets reads a flat folder of files. Style sheets may name the others by url(NAME): they are then named with their hash too.
func ReadAssets(files fs.FS) (*Assets, error) {
	a := &Assets{names: map[string]string{}, files: map[string]asset{}}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("reading assets: %w", err)
	}
	// Style sheets come last: their content, and so their hash, follows from the names of what they load.
	slices.SortStableFunc(entries, func(x, y fs.DirEntry) int {
		return strings.Compare(lastOfAll(x.Name())+x.Name(), lastOfAll(y.Name())+y.Name())
	})
	for _, e := range entries {
		if err := a.add(files, e.Name()); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func lastOfAll(name string) string {
	if path.Ext(name) == ".css" {
		return "1"
	}
	return "0"
}

func (a *Assets) add(files fs.FS, name string) error {
	mime, ok := assetTypes[path.Ext(name)]
	if !ok {
		return fmt.Errorf("asset %s: files of this kind are not served", name)
	}
	b, err := fs.ReadFile(files, name)
	if err != nil {
		return fmt.Errorf("reading assets: %w", err)
	}
	if path.Ext(name) == ".css" {
		for other, served := range a.names {
			b = bytes.ReplaceAll(b, []byte("url("+other+")"), []byte("url("+served+")"))
		}
	}
	f := asset{mime: mime, plain: b}
	if path.Ext(name) != ".woff2" {
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		if err != nil {
			return fmt.Errorf("compressing %s: %w", name, err)
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("compressing %s: %w", name, err)
		}
		if err := w.Close(); err != nil {
			return fmt.Errorf("compressing %s: %w", name, err)
		}
		if z.Len() < len(b) {
			f.zipped = z.Bytes()
		}
	}
	a.put(name, f)
	return nil
}

// AddCheck adds the offline check for browsers, as verify.wasm and wasm_exec.js. Nil adds nothing.
func (a *Assets) AddCheck(p *check.Program) {
	if p == nil {
		return
	}
	a.put(CheckProgram, asset{mime: "application/wasm", plain: p.Wasm, zipped: p.Zipped})
	a.put(CheckSupport, asset{mime: assetTypes[".js"], plain: p.Support})
}

// CheckProgram and CheckSupport name the files of the offline check.
const (
	CheckProgram = "verify.wasm"
	CheckSupport = "wasm_exec.js"
)

// Has reports that there is a file of this name.
func (a *Assets) Has(name string) bool { return a.names[name] != "" }

// put names a file by its content.
func (a *Assets) put(name string, f asset) {
	sum := sha256.Sum256(f.plain)
	ext := path.Ext(name)
	served := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	a.names[name], a.files[served] = served, f
}

// URL is the address of a file of the static folder, or of nothing if there is no such file.
func (a *Assets) URL(name string) string { return AssetPath + a.names[name] }

// Each calls f with each file's served name and content, for writing pages to a folder.
func (a *Assets) Each(f func(name string, content []byte) error) error {
	for name, file := range a.files {
		if err := f(name, file.plain); err != nil {
			return err
		}
	}
	return nil
}

// ServeHTTP serves the files below [AssetPath].
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "assets are only read", http.StatusMethodNotAllowed)
		return
	}
	f, ok := a.files[strings.TrimPrefix(r.URL.Path, AssetPath)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	body := f.plain
	if f.zipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body = f.zipped
		}
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the reader has gone: nobody is left to tell
}

// acceptsGzip reads the header as far as we need: gzip is named and not with weight zero.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(coding) == "gzip" {
			w := strings.ReplaceAll(weight, " ", "")
			return w != "q=0" && w != "q=0.0" && w != "q=0.00" && w != "q=0.000"
		}
	}
	return false
}
