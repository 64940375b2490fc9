package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"countersign.dev/countersign"
)

// TestExampleConfigurationLoads holds docs/operate/gateway.yaml to the configuration that there is.
func TestExampleConfigurationLoads(t *testing.T) {
	c, err := loadGatewayConfig("../../docs/operate/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Member != (countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1001"}) || len(c.Clients) != 2 || len(c.Services) != 2 {
		t.Errorf("%+v", c)
	}
	if s := c.Services["DEMO/GOV/1001/people/person"]; s.HTTP == nil || s.HTTP.Connections != 512 {
		t.Errorf("%+v", s.HTTP)
	}
}

// told finds the command lines in a page: in blocks, over continued lines, and in backticks.
var told = regexp.MustCompile("(?m)(?:^|`)countersign ([a-z][^`\n]*)")

// TestCommandsInPagesExist holds every command line that a page shows to the commands and flags that there are.
func TestCommandsInPagesExist(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	// Pages under docs/spec name labels that begin with the same word.
	pages, err := filepath.Glob("../../docs/operate/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "../../docs/design/architecture.md", "../../README.md", "../../docs/threat-model.md", "../../CHANGELOG.md", "../../SECURITY.md")
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range told.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\\\n", " "), -1) {
			found++
			if what := unknownIn(parser.Model.Node, strings.Fields(m[1])); what != "" {
				t.Errorf("%s shows countersign %s: there is no %s", page, m[1], what)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d command lines were found", found)
	}
}

// unknownIn names the first command or flag of a command line that does not exist.
func unknownIn(node *kong.Node, words []string) string {
	for len(words) > 0 && !strings.HasPrefix(words[0], "-") && len(node.Children) > 0 {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == words[0] })
		if i < 0 {
			return words[0]
		}
		node, words = node.Children[i], words[1:]
	}
	if node.DefaultCmd != nil {
		node = node.DefaultCmd
	}
	for _, w := range words {
		name, ok := strings.CutPrefix(w, "--")
		name, _, _ = strings.Cut(name, "=")
		if !ok || name == "" {
			continue
		}
		known := false
		for _, flags := range node.AllFlags(false) {
			known = known || slices.ContainsFunc(flags, func(f *kong.Flag) bool { return f.Name == name })
		}
		if !known {
			return w
		}
	}
	return ""
}

func TestUnknownCommandsAreFound(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"verify --policy p r": "", "gateway --config c": "", "gateway init --config c --url u": "", "witness init --dir d --name n": "",
		"guess --policy p": "guess", "verify --trust r": "--trust", "gateway destroy": "destroy", "gateway init --person=x": "--person=x",
	} {
		if got := unknownIn(parser.Model.Node, strings.Fields(line)); got != want {
			t.Errorf("%s: %q is found, not %q", line, got, want)
		}
	}
}

// The annotated declaration of a query is one, and describes itself.
func TestExampleDeclaration(t *testing.T) {
	for _, flags := range [][]string{nil, {"--entry"}} {
		var out, errs bytes.Buffer
		if status := run(append([]string{"gateway", "describe", "../../docs/operate/residence.yaml"}, flags...), streams{&out, &errs}); status != exitOK || errs.Len() > 0 {
			t.Fatalf("%v: status %d: %s", flags, status, errs.Bytes())
		}
		if !json.Valid(out.Bytes()) || !bytes.Contains(out.Bytes(), []byte("residentSince")) {
			t.Errorf("%v: %s", flags, out.Bytes())
		}
	}
}
