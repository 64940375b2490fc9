package xroad

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

func TestMatchPath(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		path    RulePath
		want    bool
	}{
		{"", "", true}, {"", "/", false}, {"/", "/", true}, {"/", "", false},
		{"**", "", true}, {"**", "/", true}, {"**", "/a/b/c", true}, {"/**", "/", true}, {"/**", "/a/b", true}, {"/**", "", false},
		{"/*", "/a", true}, {"/*", "/", true}, {"/*", "/a/", false}, {"/*", "/a/b", false}, {"/*", "", false}, {"/*/", "/a/", true},
		{"/pet", "/pet", true}, {"/pet", "/pets", false}, {"/pet", "/pet/", false}, {"/pet", "/Pet", false},
		{"/pet/*", "/pet/7", true}, {"/pet/*", "/pet/7/x", false}, {"/pet/*/uploadImage", "/pet/7/uploadImage", true},
		{"/pet/**", "/pet/", true}, {"/pet/**", "/pet/7/x", true}, {"/pet/**", "/pet", false}, {"/pet/**", "/petal", false},
		{"/a*c", "/abc", true}, {"/a*c", "/ac", true}, {"/a*c", "/a/c", false}, {"/a**c", "/a/b/c", true}, {"/a***", "/ab/c", true},
		{"/**/bar", "/a/b/bar", true}, {"/**/bar", "/bar", false}, {"/**/bar/**", "/a/bar/c", true},
		{"/.^$+[]|()", "/.^$+[]|()", true}, {"/.", "/a", false}, {`/\*`, "/*", true}, {`/\*`, "/a", false}, {`/\{a\}`, "/{a}", true},
		{"/{pin}", "/1", true}, {"/{pin}", "/", false}, {"/{pin}", "/1/2", false}, {"/p/{pin}/**", "/p/1/2/3", true}, {"/p/{pin}/x*", "/p/1/xyz", true},
		{"/ö/*", "/ö/ä", true}, {"/{open", "/{open", false}, {"a", "a", false},
	} {
		if got := MatchPath(tc.pattern, tc.path); got != tc.want {
			t.Errorf("MatchPath(%q, %q) = %v, want %v", tc.pattern, tc.path, got, tc.want)
		}
	}
}

func TestPatternVariables(t *testing.T) {
	p, err := CompilePattern("/persons/{pin}/cases/{case-id}")
	if err != nil {
		t.Fatal(err)
	}
	path, err := CleanPath("/persons/%C6%8F12/cases/A%3B7")
	if err != nil {
		t.Fatal(err)
	}
	vars, ok := p.Match(path)
	pin, _ := vars.Get("pin")
	id, _ := vars.Get("case-id")
	if !ok || pin != "Ə12" || id != "A;7" || vars.Len() != 2 {
		t.Errorf("Match(%q) = %q %q %v", path, pin, id, ok)
	}
	if _, ok := vars.Get("other"); ok {
		t.Error("an unknown variable has a value")
	}
	if _, ok := new(Pattern).Match(""); ok {
		t.Error("the zero pattern matches")
	}
	for _, bad := range []string{"a", "*", "/{", "/}", "/{}", "/{a b}", "/{a}{b}", "/x{a}", "/{a}x", "/{a}/{a}", `/\`, `/\a`, `/a\\}`, strings.Repeat("/a", MaxPattern), "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "/\xff*"} {
		if p, err := CompilePattern(bad); !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("CompilePattern(%q) = %+v, %v; want bad_request", bad, p, err)
		}
	}
}

// TestPatternAgreesWithAnOracle compares both matchers with a regular expression that is written down independently, byte by byte.
func TestPatternAgreesWithAnOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"/", "*", "**", "a", "b", "ab", "/*/", "/{v}/", "/{w}"}), 0, 6).Draw(t, "pattern"), "")
		p, err := CompilePattern(pattern)
		if err != nil {
			return
		}
		re := pattern
		re = regexp.MustCompile(`\{[vw]\}`).ReplaceAllString(re, `([^/]+)`)
		re = regexp.MustCompile(`\*\*+`).ReplaceAllString(re, "\x00")
		re = strings.ReplaceAll(re, "*", `[^/]*`)
		oracle := regexp.MustCompile(`\A` + strings.ReplaceAll(re, "\x00", `.*`) + `\z`)
		path := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"/", "a", "b", "ab", "/a", "/b"}), 0, 8).Draw(t, "path"), "")
		_, got := p.Match(RulePath(path))
		if want := oracle.MatchString(path); got != want {
			t.Fatalf("%q on %q: %v, want %v (segments %v)", pattern, path, got, want, p.segments)
		}
	})
}

func FuzzCompilePattern(f *testing.F) {
	for _, s := range []string{"/", "**", "/pet/*", "/p/{pin}/**", `/\*`, "/a*b**c", "/{", "//"} {
		f.Add(s, "/p/1/2")
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := CompilePattern(pattern)
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeBadRequest {
				t.Fatal(err)
			}
			return
		}
		vars, ok := p.Match(RulePath(path))
		if ok && vars.Len() != len(p.Names()) {
			t.Fatalf("%q on %q: %d variables of %d", pattern, path, vars.Len(), len(p.Names()))
		}
		for _, name := range p.Names() {
			if v, _ := vars.Get(name); ok && (v == "" || strings.Contains(v, "/")) {
				t.Fatalf("%q on %q: {%s} = %q", pattern, path, name, v)
			}
		}
	})
}

func BenchmarkPatternMatch(b *testing.B) {
	for _, pattern := range []string{"/v1/persons/{pin}", "/v1/**", "/v1/per*s/{pin}"} {
		p, err := CompilePattern(pattern)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(pattern, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := p.Match("/v1/persons/12345678901"); !ok {
					b.Fatal("no match")
				}
			}
		})
	}
}
