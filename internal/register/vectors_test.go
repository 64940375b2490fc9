package register

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign.dev/countersign"
)

type vector struct {
	Name        string                  `json:"name"`
	Operation   string                  `json:"operation"`
	Fields      []countersign.FieldPath `json:"fields"`
	ContentType string                  `json:"contentType"`
	Header      http.Header             `json:"header"`
	Body        string                  `json:"body"`
	BodyBase64  string                  `json:"bodyBase64"`
	Expect      string                  `json:"expect"`
	Released    []countersign.FieldPath `json:"released"`
	Error       countersign.Code        `json:"error"`
	Message     string                  `json:"message"`
}

func (v *vector) bytes(t testing.TB) []byte {
	t.Helper()
	if v.BodyBase64 == "" {
		return []byte(v.Body)
	}
	b, err := base64.StdEncoding.DecodeString(v.BodyBase64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectors(t testing.TB) map[string][]vector {
	t.Helper()
	files, err := filepath.Glob("../../docs/spec/vectors/filter/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	out := make(map[string][]vector)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(strings.NewReader(string(b)))
		dec.DisallowUnknownFields()
		var list []vector
		if err := dec.Decode(&list); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".json")] = list
	}
	return out
}

func TestVectors(t *testing.T) {
	n := 0
	for file, list := range vectors(t) {
		for _, v := range list {
			n++
			t.Run(file+"/"+v.Name, func(t *testing.T) { v.run(t) })
		}
	}
	if n < 40 {
		t.Errorf("%d vectors were found", n)
	}
}

func (v *vector) run(t *testing.T) {
	body := v.bytes(t)
	before := string(body)
	var out []byte
	var released []countersign.FieldPath
	var err error
	switch v.Operation {
	case "", "apply":
		var f *Filter
		if f, err = CompileFilter(v.Fields); err == nil {
			out, released, err = f.Apply(v.ContentType, v.Header, body)
		}
	case "check":
		err = CheckFields(v.ContentType, v.Header, body, v.Fields)
	case "request":
		released, err = FilterRequest(v.ContentType, v.Header, body, v.Fields)
	default:
		t.Fatalf("unknown operation %q", v.Operation)
	}
	if string(body) != before {
		t.Error("the body was changed")
	}
	if v.Error != "" {
		if countersign.CodeOf(err) != v.Error || err == nil || !strings.Contains(countersign.MessageOf(err), v.Message) {
			t.Errorf("error %v, want %s about %q", err, v.Error, v.Message)
		}
		if out != nil || released != nil {
			t.Errorf("a refusal came with %s %v", out, released)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != v.Expect || !slices.Equal(released, v.Released) {
		t.Errorf("got  %s %v\nwant %s %v", out, released, v.Expect, v.Released)
	}
}
