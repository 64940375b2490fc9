package imports

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// check compares a module with the rules and returns one sentence for each breach: where, what, why not.
func check(t tree) []string {
	var breaches []string
	report := func(f file, line int, format string, args ...any) {
		breaches = append(breaches, fmt.Sprintf("%s:%d: ", path.Join(f.pkg, f.name), line)+fmt.Sprintf(format, args...))
	}
	for _, pkg := range t.packages() {
		if _, ok := rowOf(pkg); !ok {
			breaches = append(breaches, fmt.Sprintf("%s: has no row in internal/imports/rules_test.go: add one that says what it may import, and why", pkg))
		}
	}
	for _, f := range t.files {
		for _, u := range f.uses {
			for _, rule := range unwelcome {
				if u.what == rule.what && (!f.test || rule.tests) && !anyWithin(f.pkg, rule.except) {
					report(f, u.line, "%s, but %s", u.what, rule.because)
				}
			}
		}
		if f.test {
			continue // a test may reach across: it is not shipped
		}
		for _, i := range f.imports {
			if reason := refuse(f.pkg, i); reason != "" {
				report(f, i.line, "%s must not import %s, because %s", name(f.pkg), name(i.path), reason)
			}
		}
	}
	return breaches
}

// refuse returns why a production file in pkg must not have this import, or nothing when it may.
func refuse(pkg string, i imported) string {
	if !i.ours {
		if slices.ContainsFunc(testOnly, func(p string) bool { return within(i.path, p) }) && !suite(pkg) {
			return testOnlyBecause
		}
		r, ok := rowOf(pkg)
		if ok && r.outside != nil && !standard(i.path) && !anyWithin(i.path, r.outside) {
			return r.because
		}
		return ""
	}
	if suite(i.path) && !suite(pkg) {
		return testOnlyBecause
	}
	for _, e := range forbidden {
		if within(i.path, e.to) && (e.from == "" || within(pkg, e.from)) && !anyWithin(pkg, e.but) {
			return e.because
		}
	}
	r, ok := rowOf(pkg)
	if !ok || r.any || allowed(r, i.path) {
		return "" // a package without a row is reported as such
	}
	return r.because
}

func allowed(r row, folder string) bool {
	if r.folder != "." && within(folder, r.folder) {
		return true
	}
	if r.leaves && anyWithin(folder, leaves) {
		return true
	}
	return anyWithin(folder, r.may)
}

// rowOf finds the row with the longest folder that pkg is in. The root package's row is its alone.
func rowOf(pkg string) (row, bool) {
	best, found := row{}, false
	for _, r := range rows {
		fits := within(pkg, r.folder)
		if fits && (!found || len(r.folder) > len(best.folder)) {
			best, found = r, true
		}
	}
	return best, found
}

func anyWithin(folder string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return within(folder, p) })
}

// suite says whether a package is a conformance suite, by its name.
func suite(pkg string) bool {
	base := path.Base(pkg)
	return base == "conformance" || strings.HasSuffix(base, "test")
}

func name(folder string) string {
	if folder == "." {
		return "the root package"
	}
	return folder
}
