package identity

import (
	"context"
	"crypto/rand"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"countersign.dev/countersign/internal/clock"
)

// Client is a relying party: public, so that PKCE is all its proof.
type Client struct {
	ID       string
	Redirect []string
	Consents bool // its logins give or withdraw consents, and are good for nothing else: the page says so
}

// Options are the parts of one provider.
type Options struct {
	Issuer    string // its URL; a path is taken off requests
	Title     string
	Asks      string // for what the login page asks; a personal code where empty
	Clients   []Client
	TokenLife time.Duration                // of identity tokens; an hour where zero
	Find      func(string) (Account, bool) // by code, normalised as people write it
	Shown     []Account                    // offered on the login page
	Allow     func(address string) bool    // bounds tries from one address; nil where nothing is secret
	Keys      *Keys                        // that sign its tokens
	Clock     clock.Clock
	Logger    *slog.Logger
}

// New makes a provider: authorization code with PKCE, discovery, keys, and a page on which one chooses who to be.
func New(o Options) (http.Handler, error) {
	if o.TokenLife == 0 {
		o.TokenLife = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	issuer, err := url.Parse(o.Issuer)
	if err != nil {
		return nil, err
	}
	clients := map[string]*client{}
	for _, c := range o.Clients {
		clients[c.ID] = &client{id: c.ID, clock: o.Clock, redirect: c.Redirect, consents: c.Consents, life: o.TokenLife, login: func(id string) string {
			return o.Issuer + "/choose?id=" + url.QueryEscape(id)
		}}
	}
	store, err := newStorage(o.Clock, clients, o.Find, o.Keys)
	if err != nil {
		return nil, err
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // crypto/rand.Read never fails
	provider, err := op.NewProvider(&op.Config{CryptoKey: key, CodeMethodS256: true}, store, op.StaticIssuer(o.Issuer), op.WithAllowInsecure(), op.WithLogger(o.Logger))
	if err != nil {
		return nil, err
	}
	if o.Asks == "" {
		o.Asks = "Personal code"
	}
	page := &choosing{title: o.Title, asks: o.Asks, allow: o.Allow, shown: o.Shown, store: store, back: op.AuthCallbackURL(provider)}
	mux := http.NewServeMux()
	interceptor := op.NewIssuerInterceptor(provider.IssuerFromRequest)
	mux.HandleFunc("GET /choose", page.show)
	mux.HandleFunc("POST /choose", interceptor.HandlerFunc(page.take))
	mux.Handle("/", provider)
	return http.StripPrefix(strings.TrimSuffix(issuer.Path, "/"), mux), nil
}

// choosing is the page on which one chooses who to be.
type choosing struct {
	title string
	asks  string
	allow func(string) bool
	shown []Account
	store *storage
	back  func(ctx context.Context, id string) string
}

func (c *choosing) show(w http.ResponseWriter, r *http.Request) {
	c.render(w, r.URL.Query().Get("id"), "")
}

func (c *choosing) take(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	id := r.PostFormValue("id")
	if c.allow != nil && !c.allow(r.RemoteAddr) {
		c.render(w, id, "Too many tries from your address. Wait a minute.")
		return
	}
	if err := c.store.choose(id, strings.TrimSpace(r.PostFormValue("subject"))); err != nil {
		c.render(w, id, err.Error())
		return
	}
	http.Redirect(w, r, c.back(r.Context(), id), http.StatusSeeOther)
}

func (c *choosing) render(w http.ResponseWriter, id, problem string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	if problem != "" {
		w.WriteHeader(http.StatusBadRequest)
	}
	_ = choosePage.Execute(w, map[string]any{"Title": c.title, "Asks": c.asks, "ID": id, "Shown": c.shown, "Problem": problem, "Code": c.store.consentCode(id)})
}

var choosePage = template.Must(template.New("choose").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff; }
button { font: inherit; padding: .5rem .8rem; margin: .2rem 0; width: 100%; text-align: left; border: 1px solid #444; background: #f6f6f6; color: #111; cursor: pointer; }
button:focus, input:focus { outline: 3px solid #b58900; }
input { font: inherit; padding: .5rem; border: 1px solid #444; }
.problem { border-left: .4rem solid #b00020; padding-left: .8rem; }
.consent { border: 2px solid #111; padding: 0 1rem; margin: 1rem 0; }
.consent strong { font: 700 1.5rem/1.3 ui-monospace, monospace; }
small { color: #444; }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>This stands in for a country's real identity provider. All people are invented{{if .Shown}}, and nobody needs a password: choose who to be{{end}}.</p>
{{with .Code}}<div class="consent"><h2>This login is for a consent</h2>
<p>By logging in you give, or withdraw, the one consent that the portal has just shown you. Nothing else is opened by it.</p>
<p>Your code: <strong>{{.}}</strong></p>
<p>The portal shows the same code. If it shows another, or none, close this page.</p></div>{{end}}
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>{{end}}
<form method="post" action="choose">
<input type="hidden" name="id" value="{{.ID}}">
<p><label for="subject">{{.Asks}}</label><br><input id="subject" name="subject" autocomplete="off" autocapitalize="characters" spellcheck="false" size="24"> <button style="width:auto" type="submit">Log in</button></p>
</form>
{{if .Shown}}<h2>Or one of these people</h2>
{{end}}{{$id := .ID}}{{range .Shown}}<form method="post" action="choose">
<input type="hidden" name="id" value="{{$id}}"><input type="hidden" name="subject" value="{{.Subject}}">
<button type="submit">{{.Name}} <small>{{.Subject}} · {{.Note}}</small></button>
</form>
{{end}}</main>
</body>
</html>
`))
