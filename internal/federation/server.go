package federation

import (
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"path"
	"regexp"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// Server serves a repository to gateways and to anybody: /metadata/ and /targets/ as TUF clients ask for them, and a page for people at /. It reads the
// served folder alone, so that what was not announced cannot leak out of it. There is nothing to write and nobody to log in.
type Server struct {
	mux    *http.ServeMux
	folder Folder
	clock  clock.Clock
}

var (
	metadataName = regexp.MustCompile(`\A(timestamp|[0-9]{1,18}\.(root|targets|snapshot))\.json\z`)
	targetFile   = regexp.MustCompile(`\A[0-9a-f]{64}\.[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z`)
)

// NewServer serves a folder; the clock is for the page's word on freshness.
func NewServer(f Folder, c clock.Clock) *Server {
	s := &Server{mux: http.NewServeMux(), folder: f, clock: c}
	s.mux.HandleFunc("GET /metadata/{name}", func(w http.ResponseWriter, r *http.Request) { s.file(w, r, "metadata", metadataName) })
	s.mux.HandleFunc("GET /targets/{name}", func(w http.ResponseWriter, r *http.Request) { s.file(w, r, "targets", targetFile) })
	s.mux.HandleFunc("GET /{$}", s.page)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	s.mux.ServeHTTP(w, r)
}

func (s *Server) file(w http.ResponseWriter, r *http.Request, kind string, form *regexp.Regexp) {
	name := r.PathValue("name")
	if !form.MatchString(name) {
		http.NotFound(w, r)
		return
	}
	root, err := os.OpenRoot(s.folder.Served())
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer root.Close() //nolint:errcheck // opened to read
	file := path.Join(kind, name)
	if _, err := fs.Stat(root.FS(), file); err != nil {
		http.NotFound(w, r)
		return
	}
	// Everything but the timestamp has its version or hash in its name and never changes.
	cache := "public, max-age=31536000, immutable"
	if name == "timestamp.json" {
		cache = "no-store"
	}
	w.Header().Set("Cache-Control", cache)
	if kind == "metadata" {
		w.Header().Set("Content-Type", "application/json")
	}
	http.ServeFileFS(w, r, root.FS(), file) //nolint:gosec // the name was matched, and an os.Root holds it to its folder
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Name}}: directory</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}</style></head>
<body><main><h1>{{.Name}}</h1>
{{if .Demo}}<p><strong>A demonstration: every person, place and organisation here is fictional.</strong></p>{{end}}
<p>Signed directory of who may ask whom for what. Version {{.Version}}, announced {{.Announced}}.
{{if .Fresh}}Fresh until {{.Expires}}.{{else}}<strong>Stale since {{.Expires}}: gateways refuse to work on it.</strong>{{end}}</p>
{{if .Waiting}}<h2>Waiting in public</h2><ul>{{range .Waiting}}<li>Version {{.Version}} takes effect on {{.Effective.Format "2006-01-02 15:04 UTC"}}.</li>{{end}}</ul>{{end}}
<h2>Governing bodies</h2><ul>{{range .Bodies}}<li>{{.Text.In "en"}} ({{.Name}})</li>{{end}}</ul>
<h2>Members</h2><table><thead><tr><th>Identifier</th><th>Name</th><th>Roles</th></tr></thead><tbody>
{{range .Members}}<tr><td>{{.ID}}</td><td>{{.Text.In "en"}}</td><td>{{range .Roles}}{{.}} {{end}}</td></tr>{{end}}</tbody></table>
<p>The signed files: <a href="/metadata/timestamp.json">timestamp</a>, <a href="/metadata/{{.TargetsFile}}">targets</a>, <a href="/metadata/1.root.json">first root</a>.</p>
</main></body></html>
`))

type page struct {
	Name        string
	Demo, Fresh bool
	Version     uint64
	Announced   string
	Expires     string
	Waiting     []Waiting
	Bodies      []countersign.Body
	Members     []countersign.Member
	TargetsFile string
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	p, err := s.readPage()
	if err != nil {
		http.Error(w, "The directory cannot show itself: nothing is published yet, or its files are damaged.", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	if err := pageTemplate.Execute(w, p); err != nil {
		return // the reader went away: the template itself is tested
	}
}

func (s *Server) readPage() (*page, error) {
	now := s.clock.Now()
	h := Host{Folder: s.folder}
	v, err := h.loadServed()
	if err != nil {
		return nil, err
	}
	if v.timestamp == nil {
		return nil, countersign.Refuse(countersign.CodeStaleDirectory, "nothing is served yet")
	}
	t, err := parseTargets(v.targets)
	if err != nil {
		return nil, err
	}
	issues, err := ReadIssues(t.Signed.Targets, readHashed(s.folder.Served()))
	if err != nil {
		return nil, err
	}
	held := make([]Held, len(issues))
	for i := range issues {
		held[i].Issue = issues[i]
	}
	d, waiting, err := InForce(held, now)
	if err != nil {
		return nil, err
	}
	newest := issues[len(issues)-1]
	return &page{
		Name: d.Name.In("en"), Demo: d.Demo, Version: newest.Version, Announced: newest.Announced.UTC().Format("2006-01-02 15:04 UTC"),
		Fresh: !v.timestamp.Signed.IsExpired(now), Expires: v.timestamp.Signed.Expires.UTC().Format(time.DateTime + " UTC"),
		Waiting: waiting, Bodies: d.Bodies, Members: d.Members, TargetsFile: targetsName(v.version),
	}, nil
}
