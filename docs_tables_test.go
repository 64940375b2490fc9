package countersign_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/xroad"
)

func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// errorRow is a row of the errors table: codes, types, status.
var errorRow = regexp.MustCompile("(?m)^\\| ([a-z_, ]+) \\| `([a-z_.{}]+)`([^|]*)\\| (400|500|503)[^|]*\\|$")

// TestErrorsTable holds the errors table of the protocol to what the gateways answer.
func TestErrorsTable(t *testing.T) {
	_, table, ok := strings.Cut(page(t, "docs/spec/protocol.md"), "### Errors")
	if !ok {
		t.Fatal("the protocol has no errors table")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	seen := map[string]bool{}
	for _, row := range errorRow.FindAllStringSubmatch(table, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			seen[name] = true
			code := countersign.Code(name)
			if name == "internal" {
				code = countersign.CodeInternal
			}
			for _, side := range []xroad.Side{xroad.ClientProxy, xroad.ServerProxy} {
				f := xroad.NewFault(side, xroad.StyleSnake, countersign.Refuse(code, "x"), "d")
				word := map[xroad.Side]string{xroad.ClientProxy: "clientproxy", xroad.ServerProxy: "serverproxy"}[side]
				due := strings.ReplaceAll(row[2], "{side}", word)
				other := strings.Contains(row[3], "`"+f.Type+"`") // a row may name both sides' types
				if (f.Type != due && !other) || row[4] != map[int]string{400: "400", 500: "500", 503: "503"}[f.Status] {
					t.Errorf("%s is answered %s, %d by the %s; the table says %s, %s", name, f.Type, f.Status, side, due, row[4])
				}
			}
		}
	}
	source := page(t, "errors.go")
	for _, m := range regexp.MustCompile(`Code = "([a-z_]+)"`).FindAllStringSubmatch(source, -1) {
		if !seen[m[1]] {
			t.Errorf("the errors table lacks %s", m[1])
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d codes were read", len(seen))
	}
}

// TestMetricsAreDocumented holds the operators' pages to the metrics that there are, and the other way round.
func TestMetricsAreDocumented(t *testing.T) {
	pages := page(t, "docs/operate/gateway.md") + page(t, "docs/operate/witness.md") + page(t, "docs/operate/monitor.md") + page(t, "docs/operate/portal.md")
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("`(countersign_[a-z_]+)").FindAllStringSubmatch(pages, -1) {
		told[m[1]] = true
	}
	there := map[string]bool{}
	for _, s := range []struct{ file, pattern, prefix string }{
		{"internal/exchange/metrics.go", `Name: "(countersign_[a-z_]+)"`, ""},
		{"internal/ledger/metrics.go", `(?:counter|gauge|histogram)\("([a-z_]+)"`, "countersign_ledger_"},
		{"internal/ledger/metrics.go", `Name: "([a-z_]+)"`, "countersign_ledger_"},
		{"internal/ledger/monitor/metrics.go", `gauge\("([a-z_]+)"`, "countersign_monitor_"},
		{"internal/ledger/witness/handler.go", `Name: "([a-z_]+)"`, "countersign_witness_"},
		{"internal/subject/notice/metrics.go", `Name: "(countersign_[a-z_]+)"`, ""},
	} {
		found := regexp.MustCompile(s.pattern).FindAllStringSubmatch(page(t, s.file), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric as %s", s.file, s.pattern)
		}
		for _, m := range found {
			there[s.prefix+m[1]] = true
		}
	}
	for name := range told {
		if !there[name] {
			t.Errorf("the pages tell of %s, which does not exist", name)
		}
	}
	for name := range there {
		if !told[name] {
			t.Errorf("the pages do not tell of %s", name)
		}
	}
}

// TestRefusalsAreExplained holds the operator's table to the taxonomy: every code that a caller can see is explained.
func TestRefusalsAreExplained(t *testing.T) {
	_, table, _ := strings.Cut(page(t, "docs/operate/gateway.md"), "## What a refusal means to you")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, m := range regexp.MustCompile(`Code = "([a-z_]+)"`).FindAllStringSubmatch(page(t, "errors.go"), -1) {
		if !strings.Contains(table, "`"+m[1]+"`") {
			t.Errorf("docs/operate/gateway.md does not say what %s means", m[1])
		}
	}
}
