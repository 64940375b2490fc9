package store_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/store/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Opener {
		path := filepath.Join(t.TempDir(), "log.db")
		return func(t *testing.T) (ledger.Store, func()) {
			s, err := store.OpenSQLite(t.Context(), path, store.Options{Create: true})
			if err != nil {
				t.Fatal(err)
			}
			return s, func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func TestUnsafeStartsAreRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "missing.db"), store.Options{}); countersign.CodeOf(err) != countersign.CodeStore || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a missing store: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "missing.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a missing store was made: %v", err)
	}
	path := filepath.Join(dir, "log.db")
	s, err := store.OpenSQLite(t.Context(), path, store.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSQLite(t.Context(), path, store.Options{}); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("a second holder: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log.db", "log.db.lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	foreign := filepath.Join(dir, "foreign.db")
	db, err := sql.Open("sqlite", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE people (name TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSQLite(t.Context(), foreign, store.Options{}); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("another program's database: %v", err)
	}
}
