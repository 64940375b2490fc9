package verify_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"countersign.dev/countersign/wasm/verify"
)

// maxProgram is how large the program for browsers may grow before somebody looks why: a person on a phone loads it.
const maxProgram = 6_000_000

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestWebAssemblySaysTheSame has node run the compiled program over every vector of receipts: it must say what the vector says, and what the
// same code says when it is compiled for this machine.
func TestWebAssemblySaysTheSame(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "vectors", "receipt", "receipt.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Policy   string
		Receipts []struct{ Name, File, Result string }
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "verify.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "countersign.dev/countersign/wasm")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if size := fileSize(t, program); size > maxProgram {
		t.Errorf("the program has %d bytes, %d at most: find with `go list -deps` what the root package began to import", size, maxProgram)
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	support := filepath.Join(string(bytes.TrimSpace(root)), "lib", "wasm", "wasm_exec.js")
	results := map[string]int{}
	var due []string
	var asked []map[string]string
	for _, v := range vectors.Receipts {
		here := verify.JSON(vectors.Policy, v.File)
		var r verify.Result
		if err := json.Unmarshal([]byte(here), &r); err != nil || r.Status != v.Result {
			t.Fatalf("%s: %s where %s is due (%v)", v.Name, here, v.Result, err)
		}
		results[r.Status]++
		due = append(due, here)
		asked = append(asked, map[string]string{"policy": vectors.Policy, "receipt": v.File})
	}
	input, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", filepath.Join("..", "run.mjs"), support, program)
	node.Stdin = bytes.NewReader(input)
	out, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	if err := json.Unmarshal(out, &there); err != nil || !slices.Equal(there, due) {
		t.Fatalf("WebAssembly says %s, and here it is %s (%v)", there, due, err)
	}
	if results["valid"] == 0 || results["invalid"] == 0 || results["unusable"] == 0 {
		t.Fatalf("the vectors hold %v", results)
	}
}
