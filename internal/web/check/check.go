package check

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"io/fs"
)

//go:embed program
var built embed.FS

// The files of a program.
const (
	FileWasm    = "verify.wasm.gz"
	FileSupport = "wasm_exec.js"
)

// Program is the check as browsers load it.
type Program struct {
	Wasm    []byte // WebAssembly
	Zipped  []byte // the same under gzip, as it travels
	Support []byte // Go's support script of the release that compiled it
}

// Load gives the program that is built in, or nil where there is none.
func Load() (*Program, error) {
	sub, err := fs.Sub(built, "program")
	if err != nil {
		return nil, fmt.Errorf("reading the check for browsers: %w", err)
	}
	return Read(sub)
}

// Read reads a program from a folder, or gives nil where the folder has none.
func Read(files fs.FS) (*Program, error) {
	p := new(Program)
	var err error
	if p.Zipped, err = fs.ReadFile(files, FileWasm); err != nil {
		return nil, nil //nolint:nilerr,nilnil // a binary without the program works without it
	}
	if p.Support, err = fs.ReadFile(files, FileSupport); err != nil {
		return nil, fmt.Errorf("the check for browsers lacks its support script: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(p.Zipped))
	if err != nil {
		return nil, fmt.Errorf("the check for browsers cannot be unpacked: %w", err)
	}
	if p.Wasm, err = io.ReadAll(z); err != nil {
		return nil, fmt.Errorf("the check for browsers cannot be unpacked: %w", err)
	}
	return p, nil
}
