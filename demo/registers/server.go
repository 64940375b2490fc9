package registers

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"countersign.dev/countersign/demo/country"
)

const (
	headerTimeout   = 10 * time.Second
	readTimeout     = time.Minute
	writeTimeout    = 10 * time.Minute // the open data are large, and their reader may be slow
	idleTimeout     = 5 * time.Minute
	shutdownTimeout = 10 * time.Second
	connections     = 4 // of one register to its database
)

// Serve serves an agency's register from its database file on the listener, until ctx ends; then it lets running requests
// finish, closes the database and returns nil. The listener is closed in any case. It may be a TLS listener.
func Serve(ctx context.Context, agency country.AgencyCode, dbPath string, listener net.Listener, options ...Option) error {
	defer func() { _ = listener.Close() }()
	o, err := readOrigin(ctx, dbPath, agency)
	if err != nil {
		return err
	}
	db, err := openDB(ctx, dbPath)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	handler, err := Handler(ctx, agency, db, options...)
	if err != nil {
		return err
	}
	log := loggerOf(options)
	log.InfoContext(ctx, "register is up", "agency", agency, "address", listener.Addr().String(), "people", o.cfg.People)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("registers: %s: %w", agency, err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("registers: %s: %w", agency, err)
	}
	return nil
}

// Option is a choice about a running register.
type Option func(*slog.Logger) *slog.Logger

// WithLogger says where a register tells that it is up and what fails in it. Without it, nowhere. It never tells of people.
func WithLogger(log *slog.Logger) Option { return func(*slog.Logger) *slog.Logger { return log } }

func loggerOf(options []Option) *slog.Logger {
	log := slog.New(slog.DiscardHandler)
	for _, o := range options {
		log = o(log)
	}
	return log
}

// Handler answers for an agency's register from its open database (see [Serve] for the whole service). It fails where the
// database lacks the agency's tables.
func Handler(ctx context.Context, agency country.AgencyCode, db *sql.DB, options ...Option) (http.Handler, error) {
	g, err := newRegister(ctx, agency, db, options...)
	if err != nil {
		return nil, err
	}
	return g, nil
}

func newRegister(ctx context.Context, agency country.AgencyCode, db *sql.DB, options ...Option) (*register, error) {
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	g := &register{agency: agency, ctx: ctx, db: db, log: loggerOf(options), mux: http.NewServeMux()}
	switch agency {
	case country.POP:
		g.population()
	case country.VEH:
		g.vehicles()
	case country.SOC:
		g.socialFund()
	case country.CLN:
		g.clinic()
	case country.MUN:
		g.municipality()
	case country.POL:
		g.police()
	default:
		return nil, fmt.Errorf("registers: %q has no register: choose one of %v", agency, Agencies())
	}
	g.route("GET /openapi/{document}", g.description)
	g.route("GET /healthz", g.health)
	if g.err != nil {
		return nil, fmt.Errorf("registers: %s: %w", agency, g.err)
	}
	return g, nil
}

// register is one agency's service while it is put together and while it runs.
type register struct {
	agency country.AgencyCode
	ctx    context.Context // of the preparation only
	db     *sql.DB
	log    *slog.Logger
	mux    *http.ServeMux
	err    error // the first of the preparation

	queries []string // that were prepared
}

// prepare compiles a statement once for all requests.
func (g *register) prepare(query string) *sql.Stmt {
	if g.err != nil {
		return nil
	}
	var stmt *sql.Stmt
	stmt, g.err = g.db.PrepareContext(g.ctx, query)
	g.queries = append(g.queries, query)
	return stmt
}

// route answers a pattern with what the function returns, as JSON.
func (g *register) route(pattern string, answer func(*http.Request) (any, error)) {
	g.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := answer(r)
		if err != nil {
			g.fail(w, r, err)
			return
		}
		g.reply(w, r, http.StatusOK, "application/json", body)
	})
}

// ServeHTTP implements http.Handler. The router's own answers to unclean paths and wrong methods would be HTML or text,
// so they are given here.
func (g *register) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.Path) != r.URL.Path && path.Clean(r.URL.Path)+"/" != r.URL.Path {
		g.fail(w, r, errNoSuchPath)
		return
	}
	if _, pattern := g.mux.Handler(r); pattern != "" {
		g.mux.ServeHTTP(w, r)
		return
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := g.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		g.fail(w, r, errNoSuchPath)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	g.fail(w, r, errMethod)
}

func (g *register) description(r *http.Request) (any, error) {
	service, ok := strings.CutSuffix(r.PathValue("document"), ".json")
	doc := OpenAPI(g.agency, service)
	if !ok || doc == nil {
		return nil, errNoSuchPath
	}
	return json.RawMessage(doc), nil
}

func (g *register) health(r *http.Request) (any, error) {
	var one int
	if err := g.db.QueryRowContext(r.Context(), "SELECT one FROM meta").Scan(&one); err != nil {
		return nil, err
	}
	return map[string]string{"status": "ok"}, nil
}

func (g *register) reply(w http.ResponseWriter, r *http.Request, status int, contentType string, body any) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		g.log.ErrorContext(r.Context(), "answer not encoded", "agency", g.agency, "route", r.Pattern, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", fmt.Sprint(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // a caller who has gone needs no answer
}

// fail renders an error as RFC 9457 problem details. Causes inside the register are logged by route, never by path,
// since the path names the person.
func (g *register) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	if !errors.As(err, &p) {
		if r.Context().Err() == nil {
			g.log.ErrorContext(r.Context(), "register failed", "agency", g.agency, "route", r.Pattern, "error", err)
		}
		p = errInternal
	}
	g.reply(w, r, p.Status, "application/problem+json", p)
}

// problem is an error that the caller is told.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Error implements error.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func newProblem(status int, kind, title, detail string) *problem {
	return &problem{"urn:countersign:demo:" + kind, title, status, detail}
}

var (
	errUnknownPerson = newProblem(http.StatusNotFound, "unknown-person", "Unknown person", "This register knows no person with this code.")
	errUnknownCase   = newProblem(http.StatusNotFound, "unknown-case", "Unknown case", "There is no such case of this person.")
	errUnknownPlate  = newProblem(http.StatusNotFound, "unknown-plate", "Unknown plate", "No vehicle bears this plate.")
	errUnknownFirm   = newProblem(http.StatusNotFound, "unknown-company", "Unknown company", "No legal person has this code.")
	errNoSuchPath    = newProblem(http.StatusNotFound, "no-such-path", "No such path", "The register's OpenAPI descriptions list its paths.")
	errMethod        = newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed", "The Allow header lists the methods of this path.")
	errInternal      = newProblem(http.StatusInternalServerError, "internal", "The register failed", "Try again later.")
)

func badRequest(kind, detail string) *problem {
	return newProblem(http.StatusBadRequest, kind, "Bad request", detail)
}

// pathPIN reads the personal code in the path.
func pathPIN(r *http.Request) (string, error) { return readPIN("path", r.PathValue("pin")) }

// queryPIN reads the personal code in the query. Two of them would let two readers see two different people.
func queryPIN(r *http.Request) (string, error) {
	values := r.URL.Query()["pin"]
	if len(values) != 1 {
		return "", badRequest("bad-pin", fmt.Sprintf("The query names %d people: give the parameter pin once.", len(values)))
	}
	return readPIN("query", values[0])
}

func readPIN(where, text string) (string, error) {
	pin, err := country.ParsePIN(text)
	if err != nil {
		return "", badRequest("bad-pin", "The code in the "+where+" is refused: "+strings.TrimPrefix(err.Error(), "country: pin: ")+".")
	}
	return string(pin), nil
}

// one scans a single row, and gives the problem where there is none.
func one(row *sql.Row, none *problem, into ...any) error {
	err := row.Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return none
	}
	return err
}

// list scans every row that the statement gives for a code. It never returns a nil slice without an error, so that an
// empty list is written as [].
func list[T any](ctx context.Context, stmt *sql.Stmt, scan func(*sql.Rows, *T) error, args ...any) (items []T, err error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	items = []T{}
	for rows.Next() {
		var item T
		if err := scan(rows, &item); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, rows.Err()
}

// known checks that the register knows the person.
func known(ctx context.Context, stmt *sql.Stmt, pin string) error {
	var found int
	return one(stmt.QueryRowContext(ctx, pin), errUnknownPerson, &found)
}
