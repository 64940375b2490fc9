package sqlregister

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"

	"countersign.dev/countersign"
)

// Register answers the declared question from its database. It is safe for concurrent use.
type Register struct {
	declaration Declaration
	db          *sql.DB
	stmt        *sql.Stmt
	variable    string
	before      string // the path before the variable's segment, and after it
	after       string
	key         *regexp.Regexp
	person      int   // index of the person's column in the query's rows
	places      []int // of each declared column
	timeout     time.Duration
	maxRows     int
}

// Open opens the database read-only and prepares the query, which it refuses unless it is one SELECT that reads tables, with the path's
// variable as its only parameter and all declared columns. Errors are CodeBadRequest refusals that name the field, or CodeRegister when
// the database cannot be opened.
func Open(ctx context.Context, file string, d *Declaration) (*Register, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeRegister, err, "SQL service: the database's path cannot be resolved")
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: "mode=ro&_pragma=query_only(1)&_pragma=trusted_schema(0)&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeRegister, err, "SQL service: the database %s cannot be opened", file)
	}
	r := &Register{declaration: *d, db: db, variable: d.Variable(), timeout: time.Duration(d.Timeout), maxRows: d.MaxRows}
	if err := r.load(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (r *Register) load(ctx context.Context) error {
	if r.timeout == 0 {
		r.timeout = defaultTimeout
	}
	switch {
	case r.declaration.Shape == ShapeOne:
		r.maxRows = 1
	case r.maxRows == 0:
		r.maxRows = defaultRows
	}
	r.before, r.after, _ = strings.Cut(r.declaration.Path, "{"+r.variable+"}")
	if r.declaration.Key != "" {
		r.key = regexp.MustCompile(`\A(?:` + r.declaration.Key + `)\z`)
	}
	if err := r.checkQuery(ctx); err != nil {
		return err
	}
	var err error
	if r.stmt, err = r.db.PrepareContext(ctx, r.declaration.Query); err != nil {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "SQL service, query: it cannot be prepared: %s", err)
	}
	return r.checkShape(ctx)
}

// Close closes the database.
func (r *Register) Close() error {
	err := r.stmt.Close()
	return errors.Join(err, r.db.Close())
}

// checkQuery prepares the query on a connection that permits reading tables and nothing else. The database is read-only besides; this
// refuses at load what would fail, or reach further, at each question.
func (r *Register) checkQuery(ctx context.Context) error {
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeRegister, err, "SQL service: the database cannot be opened")
	}
	defer func() { _ = conn.Close() }() // what it was opened for has been said by then
	var denied string
	err = conn.Raw(func(dc any) error {
		guard, ok := dc.(sqlite.AuthorizerRegisterer)
		if !ok {
			return errors.New("the SQLite driver has no authorizer")
		}
		if err := guard.RegisterAuthorizer(func(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
			if mayRead(action, arg1, arg2) {
				return sqlite.AuthorizerOK
			}
			denied = "it may only read tables with SELECT"
			return sqlite.AuthorizerDeny
		}); err != nil {
			return err
		}
		// The driver runs the later statements of a script unseen. In parentheses only one SELECT parses, so the second text refuses
		// what the first lets through, and the first refuses what closes the second's parenthesis.
		for _, text := range []string{r.declaration.Query, "SELECT * FROM (" + r.declaration.Query + "\n)"} {
			if err := prepare(ctx, dc, text); err != nil {
				return err
			}
		}
		return guard.RegisterAuthorizer(nil)
	})
	switch {
	case denied != "":
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "SQL service, query: %s", denied)
	case err != nil:
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "SQL service, query: it is not one SELECT on this database: %s", err)
	}
	return nil
}

func prepare(ctx context.Context, dc any, text string) (err error) {
	p, ok := dc.(driver.ConnPrepareContext)
	if !ok {
		return errors.New("the SQLite driver cannot prepare")
	}
	s, err := p.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return nil
}

func mayRead(action sqlite.AuthorizerActionCode, arg1, arg2 string) bool {
	switch action {
	case sqlite.AuthSelect, sqlite.AuthRecursive:
		return true
	case sqlite.AuthRead:
		name := strings.ToLower(arg1)
		return !strings.HasPrefix(name, "sqlite_") && !strings.HasPrefix(name, "pragma_")
	case sqlite.AuthFunction:
		return !slices.Contains([]string{"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}, strings.ToLower(arg2))
	}
	return false
}

// checkShape runs the query for nobody: it learns the parameters and the columns.
func (r *Register) checkShape(ctx context.Context) (err error) {
	if rows, err := r.stmt.QueryContext(ctx); err == nil {
		err = errors.Join(rows.Err(), rows.Close()) //nolint:sqlclosecheck // closed at once: the query ran where it had to fail
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "SQL service, query: it has no parameter :%s, so it does not ask about one person", r.variable)
	}
	rows, err := r.stmt.QueryContext(ctx, sql.Named(r.variable, ""))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "SQL service, query: its only parameter must be :%s: %s", r.variable, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	types, err := rows.ColumnTypes()
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "SQL service, query: its columns cannot be read")
	}
	find := func(name string) int {
		return slices.IndexFunc(types, func(t *sql.ColumnType) bool { return t.Name() == name })
	}
	if r.person = find(r.declaration.Person); r.person < 0 {
		return bad("person", "the query has no column %q", r.declaration.Person)
	}
	for _, c := range r.declaration.Columns {
		i := find(c.Column)
		if i < 0 {
			return bad("columns", "the query has no column %q", c.Column)
		}
		if c.Type == TypeString && isTime(types[i].DatabaseTypeName()) {
			return bad("columns", "column %q holds a time: its type is date or date-time", c.Column)
		}
		r.places = append(r.places, i)
	}
	return rows.Err()
}

func isTime(databaseType string) bool {
	switch strings.ToUpper(databaseType) {
	case "DATE", "DATETIME", "TIMESTAMP":
		return true
	}
	return false
}
