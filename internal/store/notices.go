package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/pressly/goose/v3"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/lockfile"
	"countersign.dev/countersign/internal/subject/notice"
)

//go:embed notices/*.sql
var noticeMigrations embed.FS

// noticesID marks a database file as one of notices ("CSNO").
const noticesID = 0x43534e4f

// Notices keeps a portal's contact terms and outbox in one file of one process. It implements notice.Store. What is deleted is overwritten with zeros.
type Notices struct {
	db   *sql.DB
	lock *lockfile.Lock
}

var _ notice.Store = (*Notices)(nil)

// OpenNotices opens the file, or makes it.
func OpenNotices(ctx context.Context, path string) (_ *Notices, err error) {
	n := &Notices{}
	if n.lock, err = lockfile.Acquire(path + ".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the store of notices %s cannot be opened for writing", path)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("opening the store of notices: %w", err)
	}
	q := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "foreign_keys(ON)"}}
	if n.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()); err != nil {
		return nil, fmt.Errorf("opening the store of notices: %w", err)
	}
	n.db.SetMaxOpenConns(1)
	return n, n.begin(ctx)
}

// begin refuses another program's file and brings the schema up to date.
func (n *Notices) begin(ctx context.Context) error {
	var id, tables int
	if err := n.db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return refuse(err, "identifying the store of notices")
	}
	if err := n.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return refuse(err, "identifying the store of notices")
	}
	if id != noticesID && tables > 0 {
		return countersign.Refuse(countersign.CodeStore, "the file is no store of notices, but another program's database")
	}
	if _, err := n.db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", noticesID)); err != nil {
		return refuse(err, "marking the store of notices")
	}
	files, err := fs.Sub(noticeMigrations, "notices")
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, n.db, files)
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return refuse(err, "bringing the store of notices up to date")
	}
	return nil
}

// Close closes the file.
func (n *Notices) Close() error {
	var errs []error
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Release())
	}
	return errors.Join(errs...)
}

// Person implements notice.Store.
func (n *Notices) Person(ctx context.Context, id notice.PersonID) (sealed []byte, err error) {
	err = n.db.QueryRowContext(ctx, "SELECT sealed FROM people WHERE id = ?", id[:]).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notice.ErrNotFound
	}
	if err != nil {
		return nil, refuse(err, "reading contact terms")
	}
	return sealed, nil
}

// People implements notice.Store.
func (n *Notices) People(ctx context.Context, after notice.PersonID, limit int) (out []notice.Row, err error) {
	rows, err := n.db.QueryContext(ctx, "SELECT id, sealed FROM people WHERE id > ? ORDER BY id LIMIT ?", after[:], limit)
	if err != nil {
		return nil, refuse(err, "reading contact terms")
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			return nil, refuse(err, "reading contact terms")
		}
		if len(id) != len(notice.PersonID{}) {
			return nil, countersign.Refuse(countersign.CodeStore, "the store of notices names somebody in %d bytes", len(id))
		}
		out = append(out, notice.Row{ID: notice.PersonID(id), Sealed: sealed})
	}
	return out, rows.Err()
}

// Put implements notice.Store.
func (n *Notices) Put(ctx context.Context, id notice.PersonID, sealed []byte, add []notice.Message) (err error) {
	tx, err := n.db.BeginTx(ctx, nil)
	if err != nil {
		return refuse(err, "writing contact terms")
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error counts
		}
	}()
	if _, err = tx.ExecContext(ctx, "INSERT INTO people (id, sealed) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed", id[:], sealed); err != nil {
		return refuse(err, "writing contact terms")
	}
	for _, m := range add {
		_, err = tx.ExecContext(ctx, `INSERT INTO messages (id, person, slot, due, born, attempts, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (person, slot) DO UPDATE SET due = min(due, excluded.due), sealed = excluded.sealed`,
			m.ID[:], id[:], m.Slot, int64(m.Due), int64(m.Born), m.Attempts, m.Sealed)
		if err != nil {
			return refuse(err, "writing a message")
		}
	}
	if err = tx.Commit(); err != nil {
		return refuse(err, "writing contact terms")
	}
	return nil
}

// Remove implements notice.Store.
func (n *Notices) Remove(ctx context.Context, id notice.PersonID) error {
	if _, err := n.db.ExecContext(ctx, "DELETE FROM people WHERE id = ?", id[:]); err != nil {
		return refuse(err, "destroying contact terms")
	}
	// Old pages must not stay in the write-ahead log.
	if _, err := n.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return refuse(err, "destroying contact terms")
	}
	return nil
}

// Due implements notice.Store.
func (n *Notices) Due(ctx context.Context, now countersign.Millis, limit int) (out []notice.Message, err error) {
	rows, err := n.db.QueryContext(ctx, "SELECT id, person, slot, due, born, attempts, sealed FROM messages WHERE due <= ? ORDER BY due LIMIT ?", int64(now), limit)
	if err != nil {
		return nil, refuse(err, "reading the outbox")
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var m notice.Message
		var id, person []byte
		var due, born int64
		if err := rows.Scan(&id, &person, &m.Slot, &due, &born, &m.Attempts, &m.Sealed); err != nil {
			return nil, refuse(err, "reading the outbox")
		}
		if len(id) != len(m.ID) || len(person) != len(m.Person) {
			return nil, countersign.Refuse(countersign.CodeStore, "the outbox names a message in %d bytes", len(id))
		}
		m.ID, m.Person, m.Due, m.Born = notice.MessageID(id), notice.PersonID(person), countersign.Millis(due), countersign.Millis(born)
		out = append(out, m)
	}
	return out, rows.Err()
}

// Retry implements notice.Store.
func (n *Notices) Retry(ctx context.Context, id notice.MessageID, attempts int, due countersign.Millis) error {
	if _, err := n.db.ExecContext(ctx, "UPDATE messages SET attempts = ?, due = ? WHERE id = ?", attempts, int64(due), id[:]); err != nil {
		return refuse(err, "writing the outbox")
	}
	return nil
}

// Done implements notice.Store.
func (n *Notices) Done(ctx context.Context, id notice.MessageID) error {
	if _, err := n.db.ExecContext(ctx, "DELETE FROM messages WHERE id = ?", id[:]); err != nil {
		return refuse(err, "writing the outbox")
	}
	return nil
}

// Waiting implements notice.Store.
func (n *Notices) Waiting(ctx context.Context) (count int, oldest countersign.Millis, err error) {
	var born sql.NullInt64
	if err := n.db.QueryRowContext(ctx, "SELECT count(*), min(born) FROM messages").Scan(&count, &born); err != nil {
		return 0, 0, refuse(err, "reading the outbox")
	}
	return count, countersign.Millis(born.Int64), nil
}
