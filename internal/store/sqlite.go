// Package store keeps logs in databases. SQLite is the embedded default: one file of one process.
//
// Trusted? See package ledger: the database's thief reads no record and no intent; whoever writes to it can lose reservations and
// budgets, and breaks the log's root in sight of its witnesses.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/lockfile"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks a database file as a log's ("CSGN").
const applicationID = 0x4353474e

// Options are the settings of a SQLite store.
type Options struct {
	Create bool         // make the file where it is missing; without it a missing file is refused
	Logger *slog.Logger // nil discards
}

// SQLite is a log's store in one file, of one process. It implements ledger.Store.
type SQLite struct {
	path   string
	logger *slog.Logger
	lock   *lockfile.Lock
	pool   *sql.DB // readers
	write  *sql.DB // one connection

	mu      sync.Mutex // held by Commit, Prune and the other writers, not while Sync waits
	raw     *writer    // nil after an error: made anew by the next writer
	journal journal
	budgets *budgetCache
	months  map[ledger.Month]uint64 // how far the account of each month reaches; of what is stored
	sweep   sweep

	checkpointing atomic.Bool // a passive checkpoint is under way in the background
	lagging       atomic.Bool // the background has caught up; the writer should finish what came since
	commits       int
	background    sync.WaitGroup
	closing       context.Context //nolint:containedctx // ends background work when the store closes; carries nothing
	stop          context.CancelFunc
}

var _ ledger.Store = (*SQLite)(nil)

// OpenSQLite opens the store in the file path and brings its schema up to date. It refuses a missing file unless Options.Create is
// set, a file that is another program's database, and a file that another process uses.
func OpenSQLite(ctx context.Context, path string, o Options) (_ *SQLite, err error) {
	s := &SQLite{path: path, logger: o.Logger, journal: journal{sync: datasync}}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !o.Create {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the store %s is missing: restore it, or create the log on purpose if it never was", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	if s.lock, err = lockfile.Acquire(path + ".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeAll())
		}
	}()
	// The database's own files take their mode from it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the store %s cannot be opened for writing", path)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	s.closing, s.stop = context.WithCancel(context.Background())
	s.budgets = newBudgetCache()
	return s, nil
}

func (s *SQLite) dsn(more ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)"}, more...)}
	return (&url.URL{Scheme: "file", Path: s.path, RawQuery: q.Encode()}).String()
}

func (s *SQLite) connect(ctx context.Context) (err error) {
	// wal_autocheckpoint(0): moving the write-ahead log into the database is not to stop a commit. See maintain.
	// synchronous(NORMAL): a commit that must be durable is made so by run.
	// cache_size: a commit writes a few pages, and SQLite walks through all of its cache after each that has split a page; the operating system
	// keeps the rest.
	s.write, err = sql.Open("sqlite", s.dsn("journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(0)", "cache_size(-3072)"))
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	s.write.SetMaxOpenConns(1)
	if err := s.write.PingContext(ctx); err != nil {
		return refuse(err, "opening the store")
	}
	return s.connectReaders(ctx)
}

func (s *SQLite) connectReaders(ctx context.Context) (err error) {
	if s.pool, err = sql.Open("sqlite", s.dsn("query_only(1)", "wal_autocheckpoint(0)", "cache_size(-16384)")); err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	s.pool.SetMaxOpenConns(4)
	if err := s.pool.PingContext(ctx); err != nil {
		return refuse(err, "opening the store")
	}
	return nil
}

// identify refuses another program's database.
func (s *SQLite) identify(ctx context.Context) error {
	var id, tables int
	if err := s.write.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return refuse(err, "identifying the store")
	}
	if err := s.write.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return refuse(err, "identifying the store")
	}
	if id == applicationID {
		return nil
	}
	if id != 0 || tables != 0 {
		return countersign.Refuse(countersign.CodeStore, "the file %s is a database of something else: name another file", s.path)
	}
	if _, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return refuse(err, "marking the store")
	}
	return nil
}

func (s *SQLite) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("reading the store's migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, dir, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("reading the store's migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return refuse(err, "bringing the store's schema up to date")
	}
	return nil
}

// Close waits for the writer, moves the write-ahead log into the database and gives the lock up.
func (s *SQLite) Close() error {
	s.stop()
	s.background.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeAll()
}

func (s *SQLite) closeAll() error {
	err := errors.Join(s.dropWriter(), s.journal.close())
	for _, db := range []*sql.DB{s.pool, s.write} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return errors.Join(err, s.lock.Release())
}

// writer is the writing connection with its prepared statements, used beneath database/sql, which costs more than SQLite itself on
// small statements.
type writer struct {
	conn *sql.Conn
	dc   driver.Conn
	statements
	kept []*statement // those that live as long as the connection
	next uint64       // the index of the next entry
}

type statements struct {
	begin, commit, rollback                   *statement
	entry, reserve, intend, unreserve, unmean *statement
	closeIntent, tile, budget, readBudget     *statement
	checkpointPassive, checkpointLook         *statement
	month                                     *statement
}

// statement is a prepared statement with an argument list that is used again.
type statement struct {
	driver.Stmt
	args []driver.NamedValue
}

func (w *writer) prepare(text string, args int) (*statement, error) {
	st, err := w.dc.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	s := &statement{Stmt: st, args: make([]driver.NamedValue, args)}
	for i := range s.args {
		s.args[i].Ordinal = i + 1
	}
	return s, nil
}

// errDriver reports a driver that lacks what this package stands on.
var errDriver = errors.New("the SQLite driver lacks an interface")

// exec runs the statement to its end. The driver starts a goroutine for a context that can end; a commit once begun is finished, so
// that the context here never ends.
func (s *statement) exec(values ...driver.Value) (int64, error) {
	st, ok := s.Stmt.(driver.StmtExecContext)
	if !ok {
		return 0, errDriver
	}
	for i, v := range values {
		s.args[i].Value = v
	}
	res, err := st.ExecContext(context.Background(), s.args)
	if err != nil {
		return 0, err //nolint:wrapcheck // wrapped by the caller, which knows what it was doing
	}
	return res.RowsAffected() //nolint:wrapcheck // as above
}

// rows runs the query and hands each row to f; the values are f's only until it returns.
func (s *statement) rows(f func(row []driver.Value) error, values ...driver.Value) (err error) {
	st, ok := s.Stmt.(driver.StmtQueryContext)
	if !ok {
		return errDriver
	}
	for i, v := range values {
		s.args[i].Value = v
	}
	rows, err := st.QueryContext(context.Background(), s.args)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, errEOF):
			return nil
		case err != nil:
			return err //nolint:wrapcheck // wrapped by the caller
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// writerLocked gives the writing connection, opening it anew after an error. It is called with mu held.
func (s *SQLite) writerLocked(ctx context.Context) (*writer, error) {
	if s.raw != nil && !s.journal.torn.Load() {
		return s.raw, nil
	}
	if s.write == nil {
		return nil, s.errReadOnly()
	}
	if err := s.dropWriter(); err != nil {
		return nil, err
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, refuse(err, "connecting to the store")
	}
	w := &writer{conn: conn}
	err = conn.Raw(func(c any) error {
		dc, ok := c.(driver.Conn)
		if !ok {
			return errDriver
		}
		w.dc = dc
		if err := w.prepareAll(); err != nil {
			return err
		}
		if err := w.readNext(); err != nil {
			return err
		}
		return s.journal.reopen(s.path, w.mend)
	})
	s.raw = w
	if err != nil {
		return nil, errors.Join(refuse(err, "preparing the store's writer"), s.dropWriter())
	}
	return w, nil
}

func (w *writer) prepareAll() (err error) {
	for _, p := range []struct {
		to   **statement
		text string
		args int
	}{
		{&w.begin, "BEGIN IMMEDIATE", 0},
		{&w.commit, "COMMIT", 0},
		{&w.rollback, "ROLLBACK", 0},
		{&w.entry, "INSERT INTO entries (idx, leaf, at, exchange, tag, expires, record) VALUES (?, ?, ?, ?, ?, ?, ?)", 7},
		{&w.reserve, "INSERT INTO reservations (exchange, until, consumer) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", 3},
		{&w.intend, "INSERT INTO intents (exchange, at, sealed) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", 3},
		{&w.unreserve, "DELETE FROM reservations WHERE exchange = ?", 1},
		{&w.unmean, "DELETE FROM intents WHERE exchange = ?", 1},
		{&w.closeIntent, "DELETE FROM intents WHERE exchange = ?", 1},
		{&w.tile, "INSERT INTO tiles (id, hashes) VALUES (?, ?)", 2},
		{&w.budget, "INSERT INTO budgets (key, period, member, step, uses, until) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET uses = excluded.uses, until = max(until, excluded.until)", 6},
		{&w.readBudget, "SELECT member, step, uses FROM budgets WHERE key = ? AND period = ? AND step >= ?", 3},
		{&w.month, upsertMonth, 3},
		{&w.checkpointPassive, "PRAGMA wal_checkpoint(PASSIVE)", 0},
		{&w.checkpointLook, "PRAGMA wal_checkpoint(NOOP)", 0},
	} {
		if *p.to, err = w.prepare(p.text, p.args); err != nil {
			return err
		}
		w.kept = append(w.kept, *p.to)
	}
	return nil
}

// dropWriter closes the writing connection, so that the next writer starts from a clean one. It is called with mu held.
func (s *SQLite) dropWriter() error {
	w := s.raw
	s.raw = nil
	if w == nil {
		return nil
	}
	// The driver's connection is thrown away. SQLite keeps a connection open for as long as a statement hangs on it, so that the write-ahead
	// log would outlive the process. What the statements' last run failed with has been told.
	err := w.conn.Raw(func(any) error {
		for _, st := range w.kept {
			_ = st.Close()
		}
		return driver.ErrBadConn
	})
	if errors.Is(err, driver.ErrBadConn) {
		err = nil
	}
	return errors.Join(err, ignoreDone(w.conn.Close()))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}

// refuse makes a failure of the database a CodeStore refusal that keeps its cause.
func refuse(err error, doing string) error {
	return countersign.RefuseBecause(countersign.CodeStore, fmt.Errorf("%s: %w", doing, err), "the store failed: nothing is recorded until its disk is well")
}
