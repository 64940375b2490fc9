package imports

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestModule holds the rules over this module as it lies on disk.
func TestModule(t *testing.T) {
	found, err := parseTree(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if found.module != "countersign.dev/countersign" || !slices.Contains(found.packages(), "internal/clock") {
		t.Fatalf("read module %q with packages %q: this is not the module that the rules are about", found.module, found.packages())
	}
	for _, breach := range check(found) {
		t.Error(breach)
	}
}

// TestRowsAreConsistent finds rules that contradict each other or can never apply.
func TestRowsAreConsistent(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.folder] {
			t.Errorf("two rows for %s", r.folder)
		}
		seen[r.folder] = true
		if r.because == "" {
			t.Errorf("the row of %s gives no reason", r.folder)
		}
		for _, to := range r.may {
			if reason := refuse(r.folder, imported{path: to, ours: true}); reason != "" {
				t.Errorf("%s may import %s, and may not: %s", r.folder, to, reason)
			}
		}
	}
	for _, leaf := range leaves {
		if !seen[leaf] {
			t.Errorf("the leaf %s has no row", leaf)
		}
	}
	for _, e := range forbidden {
		if !seen[e.to] || (e.from != "" && !seen[e.from]) || e.because == "" {
			t.Errorf("the edge from %q to %q names a folder without a row, or gives no reason", e.from, e.to)
		}
	}
}

// TestCheckFires runs the check on small modules, each with one breach or none, and wants that breach told.
func TestCheckFires(t *testing.T) {
	const module = "countersign.dev/countersign"
	for name, c := range map[string]struct {
		files map[string]string
		want  []string // parts of the one breach; none: the module is as it should be
	}{
		"the shape itself": {
			files: map[string]string{
				"ids.go":                          "package countersign\n\nimport (\n\t_ \"crypto/sha256\"\n\t_ \"golang.org/x/mod/sumdb/tlog\"\n)\n",
				"internal/clock/clock.go":         "package clock\n\nimport \"time\"\n\nvar Now = time.Now\n",
				"internal/exchange/exchange.go":   imports("exchange", module, module+"/internal/clock", module+"/internal/federation", module+"/internal/ledger", module+"/internal/mandate", module+"/internal/register", "go.opentelemetry.io/otel"),
				"internal/web/portal/portal.go":   imports("portal", module+"/internal/subject", module+"/internal/web/page"),
				"internal/store/sqlite/sqlite.go": imports("sqlite", module+"/internal/store", module+"/internal/ledger"),
				"cmd/countersign/main.go":         imports("main", module+"/internal/store", module+"/demo", module+"/internal/web"),
			},
		},
		"the portal reaches a register": {
			files: map[string]string{"internal/web/web.go": imports("web", module+"/internal/register")},
			want:  []string{"internal/web/web.go:3", "the portal must not reach a register, because"},
		},
		"a page of the portal reaches a store": {
			files: map[string]string{"internal/web/portal/history.go": imports("portal", module+"/internal/store/sqlite")},
			want:  []string{"internal/web/portal/history.go:3", "the portal must not reach a store, because"},
		},
		"an edge behind a build tag": {
			files: map[string]string{"internal/ledger/ledger.go": "//go:build never\n\n" + imports("ledger", module+"/internal/mandate")},
			want:  []string{"internal/ledger/ledger.go:5", "internal/ledger must not import internal/mandate, because", "choose what to record"},
		},
		"federation reaches its sibling": {
			files: map[string]string{"internal/federation/f.go": imports("federation", module+"/internal/register")},
			want:  []string{"internal/federation must not import internal/register"},
		},
		"subject reaches beyond the ledger": {
			files: map[string]string{"internal/subject/s.go": imports("subject", module+"/internal/mandate")},
			want:  []string{"internal/subject must not import internal/mandate", "nothing that the log does not hold"},
		},
		"an exchange names its store": {
			files: map[string]string{"internal/exchange/e.go": imports("exchange", module+"/internal/store")},
			want:  []string{"only the command chooses one"},
		},
		"the root package grows a dependency": {
			files: map[string]string{"a.go": imports("countersign", "github.com/prometheus/client_golang/prometheus")},
			want:  []string{"the root package must not import github.com/prometheus/client_golang/prometheus", "outsiders import the root package"},
		},
		"the root package reaches inside": {
			files: map[string]string{"a.go": imports("countersign", module+"/internal/clock")},
			want:  []string{"the root package must not import internal/clock"},
		},
		"a prefix is not a folder": {
			files: map[string]string{"a.go": imports("countersign", "golang.org/x/mod/sumdbx")},
			want:  []string{"golang.org/x/mod/sumdbx"},
		},
		"the demo is within a part's reach": {
			files: map[string]string{"internal/web/w.go": imports("web", module+"/demo")},
			want:  []string{"synthetic people"},
		},
		"a package without a row": {
			files: map[string]string{"internal/profile/p.go": "package profile\n"},
			want:  []string{"internal/profile: has no row"},
		},
		"testing in production": {
			files: map[string]string{"internal/mandate/m.go": imports("mandate", "testing/synctest")},
			want:  []string{"internal/mandate must not import testing/synctest", "no mocks"},
		},
		"a conformance suite in its place": {
			files: map[string]string{
				"internal/store/conformance/suite.go": imports("conformance", "testing", module+"/internal/ledger"),
				"internal/store/sqlite/sqlite_test.go": imports("sqlite", "testing", module+"/internal/store/conformance",
					module+"/internal/exchange"),
			},
		},
		"a conformance suite in production": {
			files: map[string]string{"internal/store/sqlite/sqlite.go": imports("sqlite", module+"/internal/store/conformance")},
			want:  []string{"internal/store/sqlite must not import internal/store/conformance", "no mocks"},
		},
		"a time of its own": {
			files: map[string]string{"internal/mandate/m.go": "package mandate\n\nimport \"time\"\n\nfunc f() time.Time { return time.Now() }\n"},
			want:  []string{"internal/mandate/m.go:5", "time.Now, but all parts take their time from one clock"},
		},
		"a time by another name": {
			files: map[string]string{"internal/mandate/m.go": "package mandate\n\nimport stdtime \"time\"\n\nvar now = stdtime.Now\n"},
			want:  []string{"internal/mandate/m.go:5", "time.Now, but"},
		},
		"the machine's clock": {
			files: map[string]string{"internal/mandate/m.go": "package mandate\n\nimport \"countersign.dev/countersign/internal/clock\"\n\nvar now = clock.System{}.Now()\n"},
			want:  []string{"internal/mandate/m.go:5", "clock.System, but"},
		},
		"a time without a name": {
			files: map[string]string{"internal/mandate/m.go": "package mandate\n\nimport . \"time\"\n\nvar now = Now()\n"},
			want:  []string{`import . "time", but`},
		},
		"a test may tell the time": {
			files: map[string]string{"internal/mandate/m_test.go": "package mandate\n\nimport \"time\"\n\nvar now = time.Now()\n"},
		},
		"init": {
			files: map[string]string{"internal/mandate/m.go": "package mandate\n\nfunc init() {}\n"},
			want:  []string{"internal/mandate/m.go:3", "func init, but"},
		},
		"a method called init is none": {
			files: map[string]string{"internal/mandate/m.go": "package mandate\n\ntype T struct{}\n\nfunc (T) init() {}\n"},
		},
		"what the go command skips": {
			files: map[string]string{
				"internal/web/testdata/a.go":     "package broken {",
				"e2e/node_modules/x/a.go":        imports("x", module+"/internal/store"),
				"internal/web/_old/a.go":         imports("x", module+"/internal/store"),
				"docs/example/go.mod":            "module example.test/own\n",
				"docs/example/cmd/sample/own.go": imports("main", module+"/internal/store"),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "go.mod", "module "+module+"\n\ngo 1.26.0\n")
			for path, text := range c.files {
				write(t, root, path, text)
			}
			found, err := parseTree(root)
			if err != nil {
				t.Fatal(err)
			}
			breaches := check(found)
			if len(c.want) == 0 {
				if len(breaches) != 0 {
					t.Errorf("found breaches where there are none: %q", breaches)
				}
				return
			}
			if len(breaches) != 1 {
				t.Fatalf("found %d breaches, want one: %q", len(breaches), breaches)
			}
			for _, part := range c.want {
				if !strings.Contains(breaches[0], part) {
					t.Errorf("breach %q lacks %q", breaches[0], part)
				}
			}
		})
	}
}

// TestTreeRefusesWhatItCannotRead makes sure that a file which does not parse, or a missing go.mod, is no file without imports.
func TestTreeRefusesWhatItCannotRead(t *testing.T) {
	root := t.TempDir()
	if _, err := parseTree(root); err == nil {
		t.Error("a folder without go.mod was read as a module")
	}
	write(t, root, "go.mod", "module example.test/sample\n")
	write(t, root, "a.go", "package a\n\nimport \"unfinished\n")
	if _, err := parseTree(root); err == nil {
		t.Error("a file that does not parse was read")
	}
}

// imports writes a file of package name that imports the paths, one a line from line 3 on when it is the only one.
func imports(name string, paths ...string) string {
	var b strings.Builder
	b.WriteString("package " + name + "\n\n")
	for _, p := range paths {
		b.WriteString("import _ \"" + p + "\"\n")
	}
	return b.String()
}

func write(t *testing.T, root, path, text string) {
	t.Helper()
	full := filepath.Join(root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
