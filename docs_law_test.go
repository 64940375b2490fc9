package countersign

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	lawCode  = regexp.MustCompile("`([a-z0-9_/.]+\\.go):([A-Za-z0-9_.]+)`")
	lawStory = regexp.MustCompile("`([a-z0-9_]+\\.txtar)`")
	caseName = regexp.MustCompile(`\Aa[0-9]{2}_`)
	// lawCited finds the texts that docs/law answers, as comments cite them.
	lawCited = regexp.MustCompile(`(Convention 108\+|GDPR) Art\. ([0-9]+)|ECtHR, ([^,(]+)`)
)

// lawPages are the pages of docs/law by name.
func lawPages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("docs/law/*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("docs/law has %d pages: %v", len(files), err)
	}
	pages := map[string]string{}
	for _, f := range files {
		pages[filepath.Base(f)] = readText(t, f)
	}
	return pages
}

// declares reports whether a Go file declares a function, method ("Type.Method") or type.
func declares(file, name string) (bool, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return false, err
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if methodName(d) == name {
				return true, nil
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.Name == name {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

func methodName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

// TestLawNamesWhatExists holds every file, function and story that docs/law names to the repository.
func TestLawNamesWhatExists(t *testing.T) {
	named := 0
	for page, text := range lawPages(t) {
		for _, m := range lawCode.FindAllStringSubmatch(text, -1) {
			named++
			ok, err := declares(filepath.FromSlash(m[1]), m[2])
			if err != nil || !ok {
				t.Errorf("docs/law/%s names %s of %s, which is not there (%v)", page, m[2], m[1], err)
			}
		}
		for _, m := range lawStory.FindAllStringSubmatch(text, -1) {
			if storyFile(m[1]) == "" {
				t.Errorf("docs/law/%s names the story %s, which is not there", page, m[1])
			}
		}
	}
	if named < 100 {
		t.Errorf("docs/law names %d functions: the pages are not read as they are written", named)
	}
	if ok, _ := declares("docs_law_test.go", "notThere"); ok {
		t.Error("a function that is not there was found")
	}
}

func storyFile(name string) string {
	for _, folder := range []string{"script", "simulated"} {
		file := filepath.Join("cmd", "countersign", "testdata", folder, name)
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// TestLawNamesEveryCase holds that every story of an abuse case on disk is named in docs/law.
func TestLawNamesEveryCase(t *testing.T) {
	all := ""
	for _, text := range lawPages(t) {
		all += text
	}
	for _, folder := range []string{"script", "simulated"} {
		files, err := filepath.Glob(filepath.Join("cmd", "countersign", "testdata", folder, "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no stories in %s: %v", folder, err)
		}
		for _, f := range files {
			if name := filepath.Base(f); caseName.MatchString(name) && !strings.Contains(all, "`"+name+"`") {
				t.Errorf("docs/law does not name the story %s", name)
			}
		}
	}
}

// TestLawRowsAreComplete holds the forty criticisms to one row each, with code and story or the words that it is not built.
func TestLawRowsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([0-9]+) \|.*$`).FindAllStringSubmatch(lawPages(t)["safeguards.md"], -1) {
		if seen[row[1]] {
			t.Errorf("criticism %s has two rows", row[1])
		}
		seen[row[1]] = true
		built := lawCode.MatchString(row[0]) && lawStory.MatchString(row[0])
		if !built && !strings.Contains(row[0], "not built") {
			t.Errorf("criticism %s names no code or no story, and does not say that it is not built", row[1])
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d of 40 criticisms have a row", len(seen))
	}
}

// TestLawCommentsAreAnswered holds that a LAW comment in the code that cites an article or a judgment is answered there: the article's section, or the
// judgment's row, names the file.
func TestLawCommentsAreAnswered(t *testing.T) {
	pages := lawPages(t)
	cited := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"node_modules", ".git", "bin", "dist"}, d.Name()) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			_, comment, found := strings.Cut(line, "// LAW:")
			if !found {
				continue
			}
			for _, m := range lawCited.FindAllStringSubmatch(comment, -1) {
				cited++
				if part := answerTo(pages, m); !strings.Contains(part, "`"+filepath.ToSlash(path)+":") {
					t.Errorf("%s cites %s, and docs/law does not name the file there", path, m[0])
				}
			}
		}
		return nil
	})
	if err != nil || cited < 10 {
		t.Errorf("%d citations found: %v", cited, err)
	}
}

// answerTo is the part of docs/law that a citation is answered in; empty where there is none.
func answerTo(pages map[string]string, m []string) string {
	if m[3] != "" {
		for line := range strings.Lines(pages["echr.md"]) {
			if strings.Contains(line, strings.TrimSpace(m[3])) {
				return line
			}
		}
		return ""
	}
	page := map[string]string{"Convention 108+": "convention-108.md", "GDPR": "gdpr.md"}[m[1]]
	_, section, _ := strings.Cut(pages[page], "\n## Article "+m[2]+":")
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}
