package countersign

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// markdownFiles are the pages of the repository, without what is built or installed in it.
func markdownFiles(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "bin" || d.Name() == "dist"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".md"):
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d pages were found: %v", len(out), out)
	}
	return out
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fence    = regexp.MustCompile("(?ms)^```.*?^```")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	code     = regexp.MustCompile("`([^`\n]+)`")
	filePath = regexp.MustCompile(`\A[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?\z`)
)

// anchor is how GitHub names a heading.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, title)
}

// deadLinks lists the relative links of a page that lead nowhere.
func deadLinks(t *testing.T, page, text string) []string {
	t.Helper()
	var dead []string
	for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		target := m[1]
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		file, section, _ := strings.Cut(target, "#")
		path := page
		if file != "" {
			path = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
		}
		if _, err := os.Stat(path); err != nil {
			dead = append(dead, target)
			continue
		}
		if section == "" {
			continue
		}
		found := false
		for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(readText(t, path), ""), -1) {
			found = found || anchor(h[1]) == section
		}
		if !found {
			dead = append(dead, target)
		}
	}
	return dead
}

// ours are the folders at the root by which a path in backticks is known for one of this repository.
var ours = []string{"internal/", "cmd/", "docs/", "demo/", "bench/", "e2e/", "scripts/", ".ci/"}

// missingFiles lists what a page names in backticks as a file of ours and is none.
func missingFiles(page, text string) []string {
	var missing []string
	for _, m := range code.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		name := m[1]
		if !filePath.MatchString(name) {
			continue
		}
		known := strings.HasSuffix(name, ".go")
		for _, folder := range ours {
			known = known || strings.HasPrefix(name, folder)
		}
		if !known {
			continue
		}
		_, atRoot := os.Stat(filepath.FromSlash(name))
		_, beside := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(name)))
		if atRoot != nil && beside != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

func TestPagesNameWhatExists(t *testing.T) {
	for _, page := range markdownFiles(t) {
		text := readText(t, page)
		for _, l := range deadLinks(t, page, text) {
			t.Errorf("%s links to %s, which is not there", page, l)
		}
		for _, f := range missingFiles(page, text) {
			t.Errorf("%s names the file %s, which is not there", page, f)
		}
	}
}

func TestPageCheckFindsWhatIsWrong(t *testing.T) {
	links := "[a](doc.go), [b](no.md), [e](https://example.org/x), [f](README.md#read-on), [g](README.md#nowhere).\n```\n[h](gone.md)\n```\n"
	if got := strings.Join(deadLinks(t, "CONTRIBUTING.md", links), " "); got != "no.md README.md#nowhere" {
		t.Errorf("dead links found: %s", got)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# One thing: `code`\n```\n# Two\n```\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(deadLinks(t, page, "[c](#one-thing-code) [d](#two)"), " "); got != "#two" {
		t.Errorf("dead anchors found: %s", got)
	}
	files := "`doc.go` `gone.go` `internal/exchange/wire.go` `internal/exchange/gone.go` `docs/gone.md` `internal/gone` `a/b` `make test`\n```\n`gone2.go`\n```\n"
	if got := strings.Join(missingFiles(page, files), " "); got != "gone.go internal/exchange/gone.go docs/gone.md internal/gone" {
		t.Errorf("missing files found: %s", got)
	}
}

// TestTablesHaveEveryElement holds the protocol's tables of CBOR arrays to the arrays.
func TestTablesHaveEveryElement(t *testing.T) {
	text := readText(t, "docs/spec/protocol.md")
	promise := &Promise{Origin: "a.example/log"}
	for title, encoded := range map[string][]byte{"## 6. The statement": sampleStatement().Encode(), "## 7. The leaf": sampleLeaf().Encode(), "## 9. Promise and receipt": promise.Encode()} {
		top, err := readDeterministic(encoded)
		if err != nil {
			t.Fatal(err)
		}
		_, section, ok := strings.Cut(text, title)
		section, _, _ = strings.Cut(section, "\n## ")
		rows := regexp.MustCompile(`(?m)^\| ([0-9]+) \| [a-z ]+ \| ([a-z]+)`).FindAllStringSubmatch(section, -1)
		if !ok || len(rows) != len(top.items) {
			t.Errorf("%s has %d rows for %d elements", title, len(rows), len(top.items))
			continue
		}
		words := map[byte]string{0: "uint", 2: "bytes", 3: "text", 4: "array"}
		for i, row := range rows {
			if row[1] != strconv.Itoa(i+1) || row[2] != words[top.items[i].major] {
				t.Errorf("%s: row %d says element %s is %s, and it is %s", title, i+1, row[1], row[2], words[top.items[i].major])
			}
		}
	}
}
