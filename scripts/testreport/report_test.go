package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// frame is what the module of each sample has besides its tests.
const frame = `
-- go.mod --
module example.test/sample

go 1.26.0
-- a.go --
package sample
-- empty/doc.go --
package empty // has no tests, which is no skip
`

// module makes a module of the sample's files, runs go test -json on it and reads the events.
func module(t *testing.T, sample string) (*report, string) {
	t.Helper()
	dir := t.TempDir()
	archive, err := txtar.ParseFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*txtar.Archive{txtar.Parse([]byte(frame)), archive} {
		if err := txtar.Write(a, dir); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-count=1", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	events, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r, err := read(strings.NewReader(string(events)))
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := r.print(&printed); err != nil {
		t.Fatal(err)
	}
	return r, printed.String()
}

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		green bool
		last  string
		shows []string
	}{
		"all pass, subtests counted": {
			file:  "pass",
			green: true,
			last:  "2 passed, 0 failed, 0 skipped",
			shows: []string{"ok  \texample.test/sample"},
		},
		"a skip is a failure": {
			file:  "skip",
			last:  "1 passed, 0 failed, 1 skipped",
			shows: []string{"--- SKIPPED: example.test/sample TestB", "no database here"},
		},
		"a failure shows its output": {
			file:  "fail",
			last:  "1 passed, 1 failed, 0 skipped",
			shows: []string{"got 1, want 2", "FAIL\texample.test/sample"},
		},
		"a panic is a failure": {
			file:  "panic",
			last:  "1 passed, 1 failed, 0 skipped",
			shows: []string{"panic: over"},
		},
		"an exit before the tests end is a failure": {
			file:  "exit",
			last:  "1 passed, 1 failed, 0 skipped",
			shows: []string{"panic: after all"},
		},
		"what does not build is a failure": {
			file:  "build",
			last:  "0 passed, 1 failed, 0 skipped",
			shows: []string{"undefined: undefined"},
		},
		"no test at all is a failure": {
			file:  "none",
			last:  "0 passed, 0 failed, 0 skipped",
			shows: []string{"No test passed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, printed := module(t, filepath.Join("testdata", c.file+".txtar"))
			if r.green() != c.green {
				t.Errorf("green = %v, want %v\n%s", r.green(), c.green, printed)
			}
			lines := strings.Split(strings.TrimSpace(printed), "\n")
			if got := lines[len(lines)-1]; got != c.last {
				t.Errorf("closing line %q, want %q\n%s", got, c.last, printed)
			}
			for _, want := range c.shows {
				if !strings.Contains(printed, want) {
					t.Errorf("the report lacks %q:\n%s", want, printed)
				}
			}
		})
	}
}

func TestReportKeepsForeignLines(t *testing.T) {
	r, err := read(strings.NewReader("make: *** [Makefile:70: test] Error 1\n{\"Action\":\"pass\",\"Package\":\"p\",\"Test\":\"TestA\"}"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.other) != 1 || r.passed != 1 {
		t.Errorf("other = %q, passed = %d: want make's line and one test", r.other, r.passed)
	}
}
