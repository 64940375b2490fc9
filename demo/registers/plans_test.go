package registers

import (
	"database/sql"
	"strings"
	"testing"
)

// TestQuestionsAboutOnePersonReadNoWholeTable asks SQLite how it would answer every statement of every register: only the
// open statistics go through a table from end to end.
func TestQuestionsAboutOnePersonReadNoWholeTable(t *testing.T) {
	dir, _ := buildFolder(t)
	for _, agency := range Agencies() {
		db, err := openDB(t.Context(), DBPath(dir, agency))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		g, err := newRegister(t.Context(), agency, db)
		if err != nil {
			t.Fatal(err)
		}
		if len(g.queries) == 0 {
			t.Errorf("%s prepares no statement", agency)
		}
		for _, query := range g.queries {
			for _, step := range plan(t, db, query) {
				if strings.HasPrefix(step, "SCAN") && step != "SCAN CONSTANT ROW" && !strings.Contains(query, "GROUP BY make") {
					t.Errorf("%s: %s: %s", agency, step, query)
				}
			}
		}
	}
}

func plan(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
