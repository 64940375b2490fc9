package registers

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"countersign.dev/countersign/demo/country"
)

//go:embed schema
var schemas embed.FS

// ErrOtherCountry says that the folder holds registers of another country than the one asked for. Nothing was changed:
// ask for the country that is there, or name an empty folder.
var ErrOtherCountry = errors.New("registers: the folder holds another country")

// DBPath is the database file of an agency in a demo folder.
func DBPath(dir string, agency country.AgencyCode) string {
	return filepath.Join(dir, strings.ToLower(string(agency))+".db")
}

// Build makes every register of the country in dir, which it creates with mode 0700, and then the country's atlas.
//
// It may be called again on the same folder: a register that is there is kept as it is, with everything written to it
// since; one that is missing, as after an interruption, is made anew from the same seed. Each file appears whole or not
// at all. The zero [country.Config] takes the country that the folder holds, or the default one where it holds none. Any
// other cfg that differs from the folder's is refused with [ErrOtherCountry]. Two builds of one folder must not run at
// the same time.
func Build(ctx context.Context, dir string, cfg country.Config, progress country.Progress) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("registers: %w", err)
	}
	held, missing, err := survey(ctx, dir)
	if err != nil {
		return err
	}
	if held != nil && cfg == (country.Config{}) {
		cfg = held.cfg
	}
	if cfg, err = cfg.Normalise(); err != nil {
		return err
	}
	if held != nil && held.cfg != cfg {
		return fmt.Errorf("%w: %d people, seed %d; asked for were %d people, seed %d",
			ErrOtherCountry, held.cfg.People, held.cfg.Seed, cfg.People, cfg.Seed)
	}
	if whole(dir, held, missing) {
		progress.Report("sure of the registers", len(Agencies()), len(Agencies()))
		return nil
	}
	c, err := country.Generate(ctx, cfg, progress)
	if err != nil {
		return err
	}
	atlas, err := c.Atlas()
	if err != nil {
		return err
	}
	if held != nil && held.digest != atlas.Digest {
		return fmt.Errorf("%w: it was made by another version of the generator and part of it is missing", ErrOtherCountry)
	}
	if err := makeMissing(ctx, dir, c, atlas.Digest, missing, progress); err != nil {
		return err
	}
	return atlas.Save(dir)
}

// origin is what a register's file says about the country it was made from.
type origin struct {
	cfg    country.Config
	digest string
}

// survey looks at which registers a folder holds. held is nil where it holds none.
func survey(ctx context.Context, dir string) (held *origin, missing []country.AgencyCode, err error) {
	for _, agency := range Agencies() {
		path := DBPath(dir, agency)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, agency)
			continue
		}
		o, err := readOrigin(ctx, path, agency)
		if err != nil {
			return nil, nil, err
		}
		if held != nil && *held != o {
			return nil, nil, fmt.Errorf("%w: the registers in it come from different countries", ErrOtherCountry)
		}
		held = &o
	}
	return held, missing, nil
}

func readOrigin(ctx context.Context, path string, agency country.AgencyCode) (origin, error) {
	db, err := openDB(ctx, path)
	if err != nil {
		return origin{}, err
	}
	defer func() { _ = db.Close() }()
	var o origin
	var of, seed string
	err = db.QueryRowContext(ctx, "SELECT agency, people, seed, digest FROM meta").Scan(&of, &o.cfg.People, &seed, &o.digest)
	if err != nil {
		return origin{}, fmt.Errorf("registers: %s is not a register of the demo: %w", path, err)
	}
	if of != string(agency) {
		return origin{}, fmt.Errorf("registers: %s is the register of %s", path, of)
	}
	if o.cfg.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
		return origin{}, fmt.Errorf("registers: %s: seed: %w", path, err)
	}
	return o, nil
}

// whole reports whether nothing is left to do.
func whole(dir string, held *origin, missing []country.AgencyCode) bool {
	if held == nil || len(missing) > 0 {
		return false
	}
	atlas, err := country.Open(dir)
	return err == nil && atlas.Config == held.cfg && atlas.Digest == held.digest
}

// makeMissing makes the missing registers, as many at a time as there are processors.
func makeMissing(ctx context.Context, dir string, c *country.Country, digest string, missing []country.AgencyCode, progress country.Progress) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var reporting sync.Mutex
	for _, agency := range missing {
		group.Go(func() error {
			err := makeRegister(ctx, DBPath(dir, agency), agency, c, digest, func(rows, total int) {
				reporting.Lock()
				defer reporting.Unlock()
				progress.Report("register "+string(agency), rows, total)
			})
			if err != nil {
				return fmt.Errorf("registers: %s: %w", agency, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// makeRegister fills a new file under another name and gives it its own when it is whole and on disk.
func makeRegister(ctx context.Context, path string, agency country.AgencyCode, c *country.Country, digest string, step func(rows, total int)) error {
	draft := path + ".new"
	for _, leftover := range []string{draft, draft + "-journal", draft + "-wal", draft + "-shm"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// A draft needs no journal: after a crash it is begun again.
	db, err := openSQLite(ctx, draft, "journal_mode(off)", "synchronous(off)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if err := fillRegister(ctx, db, agency, c, digest, step); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = wal"); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := syncFile(draft); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

func fillRegister(ctx context.Context, db *sql.DB, agency country.AgencyCode, c *country.Country, digest string, step func(rows, total int)) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, name := range []string{"meta", strings.ToLower(string(agency))} {
		schema, err := schemas.ReadFile("schema/" + name + ".sql")
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(schema)); err != nil {
			return fmt.Errorf("schema %s: %w", name, err)
		}
	}
	f := &filler{ctx: ctx, tx: tx, c: c, stmts: map[string]*sql.Stmt{}, step: func(rows int) { step(rows, 0) }}
	f.fill(agency)
	f.insert("meta", 1, string(agency), c.Config.People, strconv.FormatUint(c.Config.Seed, 10), digest)
	if f.err != nil {
		return f.err
	}
	step(f.rows, f.rows)
	return tx.Commit()
}

func syncFile(path string) error {
	f, err := os.Open(path) //nolint:gosec // a path of our own making
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// openDB opens a finished register. Writes are durable when they return; readers do not wait for them.
func openDB(ctx context.Context, path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("registers: no register at this path, build it first: %w", err)
	}
	return openSQLite(ctx, path, "journal_mode(wal)", "synchronous(full)", "busy_timeout(5000)", "foreign_keys(on)")
}

func openSQLite(ctx context.Context, path string, pragmas ...string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("registers: open %s: %w", path, err)
	}
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("registers: open %s: %w", path, err)
	}
	return db, nil
}
