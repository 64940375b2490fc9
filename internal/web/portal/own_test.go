package portal

import (
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web"
)

// A register's answer is shown whole, in its own order, element by element, with dates and yes and no in the page's language.
func TestRowsOfAnAnswer(t *testing.T) {
	locales, err := web.LoadLocales()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := rowsOf([]byte(`{"pin":"4B10000","held":true,"born":"1990-05-09","gone":null,"list":[],"entry":[
		{"resource":{"resourceType":"Encounter","id":"V1","n":1.50}},{"resource":{"resourceType":"Condition","id":"C1"}}]}`), locales.In("en", time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		path  countersign.FieldPath
		value string
		group int
	}{
		{"/pin", "4B10000", 0}, {"/held", "yes", 0}, {"/born", "9 May 1990", 0}, {"/gone", "", 0}, {"/list", "none", 0},
		{"/entry/*/resource/resourceType", "Visit", 1}, {"/entry/*/resource[Encounter]/id", "V1", 1}, {"/entry/*/resource[Encounter]/n", "1.50", 1},
		{"/entry/*/resource/resourceType", "Illness", 2}, {"/entry/*/resource[Condition]/id", "C1", 2},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d: %v", len(rows), len(want), rows)
	}
	for i, w := range want {
		if rows[i].Path != w.path || rows[i].Value != w.value || rows[i].Group != w.group {
			t.Errorf("row %d is %v, want %v", i, rows[i], w)
		}
	}
	for name, bad := range map[string]string{
		"cut off": `{"a":`, "two documents": `{} {}`, "too deep": strings.Repeat(`{"a":`, maxDepth+2) + `1` + strings.Repeat(`}`, maxDepth+2),
		"too long": `[` + strings.Repeat(`1,`, maxRows+2) + `1]`, "a kind that is a list": `{"a":{"resourceType":[1]}}`,
	} {
		if _, err := rowsOf([]byte(bad), locales.In("en", time.UTC)); err == nil {
			t.Errorf("%s is shown", name)
		}
	}
}
