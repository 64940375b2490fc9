package ledger_test

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// tamper changes the database of a store that is shut, beneath the program.
func tamper(t *testing.T, m *member, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(m.dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
