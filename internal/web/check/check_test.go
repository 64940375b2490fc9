package check

import (
	"bytes"
	"compress/gzip"
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write([]byte("program")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := Read(fstest.MapFS{FileWasm: {Data: z.Bytes()}, FileSupport: {Data: []byte("support")}})
	if err != nil || string(p.Wasm) != "program" || string(p.Support) != "support" || !bytes.Equal(p.Zipped, z.Bytes()) {
		t.Errorf("read %+v: %v", p, err)
	}
	if p, err := Read(fstest.MapFS{"README.md": {}}); p != nil || err != nil {
		t.Errorf("a binary without the program has %v: %v", p, err)
	}
	for name, files := range map[string]fstest.MapFS{
		"without its support script": {FileWasm: {Data: z.Bytes()}},
		"cut off":                    {FileWasm: {Data: z.Bytes()[:12]}, FileSupport: {}},
		"not compressed":             {FileWasm: {Data: []byte("program")}, FileSupport: {}},
	} {
		if _, err := Read(files); err == nil {
			t.Errorf("a program %s is taken", name)
		}
	}
}
