// Command build compiles the offline check for browsers into a folder: `go run ./build FOLDER`. The same source and the same Go release give the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"countersign.dev/countersign/internal/web/check"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: build FOLDER")
		os.Exit(2)
	}
	if err := build(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "the check for browsers is not built:", err)
		os.Exit(1)
	}
}

func build(folder string) error {
	temp, err := os.MkdirTemp("", "countersign-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // a temporary folder
	wasm := filepath.Join(temp, "verify.wasm")
	compile := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", wasm, "countersign.dev/countersign/wasm") //nolint:gosec // a file of our own
	compile.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	compile.Stderr = os.Stderr
	if err := compile.Run(); err != nil {
		return err
	}
	plain, err := os.ReadFile(wasm) //nolint:gosec // a file of our own
	if err != nil {
		return err
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // no name and no time: the same bytes each time
	if err != nil {
		return err
	}
	if _, err := z.Write(plain); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	root, err := exec.CommandContext(context.Background(), "go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	support, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", check.FileSupport))
	if err != nil {
		return err
	}
	if err := write(filepath.Join(folder, check.FileWasm), zipped.Bytes()); err != nil {
		return err
	}
	return write(filepath.Join(folder, check.FileSupport), support)
}

// write leaves a file alone that is as it should be, so that nothing is built anew for it.
func write(file string, content []byte) error {
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, content) { //nolint:gosec // a file of our own
		return nil
	}
	return os.WriteFile(file, content, 0o644) //nolint:gosec // a program to be served to anybody
}
