package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`, as `go doc test2json` describes it; a build's lines name an import path instead.
type event struct {
	Action     string
	Package    string
	Test       string
	Output     string
	ImportPath string
}

// test names one test, or the package as a whole when name is empty.
type test struct{ pkg, name string }

// report is what a run came to.
type report struct {
	output   map[test]*strings.Builder // of each test still running, or failed
	packages map[string][]string       // the lines go test prints of each package
	failures []test
	skipped  []test
	passed   int
	failed   int
	builds   []string // import paths that did not build
	other    []string // lines that are no event: make's own, or a tool's error
}

// read takes events until the input ends. A line that is no event is kept and printed, not an error: make writes some.
func read(in io.Reader) (*report, error) {
	r := &report{output: map[test]*strings.Builder{}, packages: map[string][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
				r.other = append(r.other, strings.TrimRight(line, "\n"))
			} else {
				r.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the events: %w", err)
		}
	}
}

func (r *report) take(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		if e.Test == "" && packageLine(e.Output) {
			r.packages[e.Package] = append(r.packages[e.Package], strings.TrimRight(e.Output, "\n"))
			return
		}
		r.write(t, e.Output)
	case "build-output":
		r.write(test{pkg: e.ImportPath}, e.Output)
	case "build-fail":
		r.builds = append(r.builds, e.ImportPath)
	case "pass":
		if e.Test != "" {
			r.passed++
		}
		delete(r.output, t)
	case "fail":
		// A package fails with its tests; one that fails without a failed test (a panic, a time-out, no build) counts itself.
		if e.Test != "" || !slices.ContainsFunc(r.failures, func(f test) bool { return f.pkg == e.Package }) {
			r.failed++
		}
		r.failures = append(r.failures, t)
	case "skip":
		if e.Test != "" { // a package without tests is no skipped test
			r.skipped = append(r.skipped, t)
		}
	}
}

func (r *report) write(t test, text string) {
	if r.output[t] == nil {
		r.output[t] = &strings.Builder{}
	}
	r.output[t].WriteString(text)
}

// packageLine tells the lines that sum up a package from those that its tests print.
func packageLine(line string) bool {
	for _, prefix := range []string{"ok  \t", "FAIL\t", "?   \t", "---\t"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// green says whether every test that there is ran and passed.
func (r *report) green() bool {
	return r.failed == 0 && len(r.builds) == 0 && len(r.skipped) == 0 && r.passed > 0
}

// print writes the report; its last line is the count.
func (r *report) print(out io.Writer) error {
	w := bufio.NewWriter(out)
	for _, line := range r.other {
		fmt.Fprintln(w, line)
	}
	for _, path := range r.builds {
		fmt.Fprintf(w, "--- BUILD FAILED: %s\n%s", path, r.text(test{pkg: path}))
	}
	for _, t := range r.failures {
		if text := r.text(t); text != "" {
			fmt.Fprintf(w, "--- output of %s %s\n%s", t.pkg, t.name, text)
		}
	}
	for _, t := range r.skipped {
		fmt.Fprintf(w, "--- SKIPPED: %s %s\n%s", t.pkg, t.name, r.text(t))
	}
	for _, pkg := range slices.Sorted(maps.Keys(r.packages)) {
		for _, line := range r.packages[pkg] {
			fmt.Fprintln(w, line)
		}
	}
	if len(r.skipped) > 0 {
		fmt.Fprintln(w, "A skipped test is a failure here: what a test needs is installed by `make test`.")
	}
	if r.passed == 0 {
		fmt.Fprintln(w, "No test passed: a run that tests nothing is a failure here.")
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

func (r *report) text(t test) string {
	if b := r.output[t]; b != nil {
		return b.String()
	}
	return ""
}
