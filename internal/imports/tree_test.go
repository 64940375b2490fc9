package imports

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
)

// file is one Go file of the module.
type file struct {
	pkg     string // folder of its package, from the module's root, "." for the root package
	name    string // base name
	test    bool   // a _test.go file
	imports []imported
	uses    []use
}

// imported is one import of a file: of this module, then path is the folder from its root and ours is true, or from outside.
type imported struct {
	path string
	ours bool
	line int
}

// use is something that a file does and that a rule may forbid.
type use struct {
	what string // as it is written: "time.Now", "func init"
	line int
}

// tree is every Go file of a module.
type tree struct {
	module string
	files  []file
}

// packages lists the folders that hold at least one production file.
func (t tree) packages() []string {
	var out []string
	for _, f := range t.files {
		if !f.test {
			out = append(out, f.pkg)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// parseTree reads the module whose go.mod lies in root. It skips what the go command skips: testdata, folders that begin with
// a dot or an underscore, and modules of their own; and node_modules, which is not ours.
func parseTree(root string) (tree, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return tree{}, fmt.Errorf("reading the module's go.mod: %w", err)
	}
	t := tree{module: modfile.ModulePath(mod)}
	if t.module == "" {
		return tree{}, fmt.Errorf("%s names no module", filepath.Join(root, "go.mod"))
	}
	fset := token.NewFileSet()
	err = filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if p != root && skipped(p, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "_") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parsing: %w", err)
		}
		t.files = append(t.files, t.read(fset, filepath.ToSlash(rel), parsed))
		return nil
	})
	return t, err
}

func skipped(dir, name string) bool {
	if name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func (t tree) read(fset *token.FileSet, rel string, parsed *ast.File) file {
	f := file{pkg: path.Dir(rel), name: path.Base(rel), test: strings.HasSuffix(rel, "_test.go")}
	timeName := ""
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it: it is quoted
		}
		line := fset.Position(spec.Pos()).Line
		folder, ours := t.folder(name)
		f.imports = append(f.imports, imported{path: folder, ours: ours, line: line})
		if name == "time" {
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
		}
	}
	if timeName == "." {
		f.uses = append(f.uses, use{what: `import . "time"`, line: 1})
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				f.uses = append(f.uses, use{what: "func init", line: fset.Position(n.Pos()).Line})
			}
		case *ast.SelectorExpr: // taken as a value or called: either way the time comes from there
			if x, ok := n.X.(*ast.Ident); ok && timeName != "" && x.Name == timeName {
				f.uses = append(f.uses, use{what: "time." + n.Sel.Name, line: fset.Position(n.Pos()).Line})
			} else if ok && x.Name == "clock" {
				f.uses = append(f.uses, use{what: "clock." + n.Sel.Name, line: fset.Position(n.Pos()).Line})
			}
		}
		return true
	})
	return f
}

// folder turns the import path of a package of this module into its folder.
func (t tree) folder(importPath string) (string, bool) {
	if importPath == t.module {
		return ".", true
	}
	if rest, ok := strings.CutPrefix(importPath, t.module+"/"); ok {
		return rest, true
	}
	return importPath, false
}

// standard says whether an import path from outside the module is of the standard library: its first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// within says whether folder is prefix or lies below it.
func within(folder, prefix string) bool {
	return folder == prefix || strings.HasPrefix(folder, prefix+"/")
}
