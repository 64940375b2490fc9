package register

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"countersign.dev/countersign"
)

// closing counts how often it was closed.
type closing struct {
	io.Reader
	closed int
	err    error
}

func (c *closing) Close() error {
	c.closed++
	return c.err
}

func TestReadBounded(t *testing.T) {
	network := countersign.Refuse(countersign.CodeNetwork, "slow")
	for name, c := range map[string]struct {
		body   io.Reader
		length int64
		closed error
		want   string
		code   countersign.Code
	}{
		"known":            {strings.NewReader("abcd"), 4, nil, "abcd", ""},
		"unknown":          {strings.NewReader("abcd"), -1, nil, "abcd", ""},
		"empty":            {strings.NewReader(""), 0, nil, "", ""},
		"at the bound":     {strings.NewReader("abcdefgh"), -1, nil, "abcdefgh", ""},
		"over, known":      {strings.NewReader("abcdefghi"), 9, nil, "", countersign.CodeUnfilterable},
		"over, unknown":    {strings.NewReader("abcdefghi"), -1, nil, "", countersign.CodeUnfilterable},
		"endless":          {endless{}, -1, nil, "", countersign.CodeUnfilterable},
		"shorter":          {strings.NewReader("abc"), 4, nil, "", countersign.CodeRegister},
		"longer":           {strings.NewReader("abcde"), 4, nil, "", countersign.CodeRegister},
		"broken":           {iotest.ErrReader(errors.New("4B7QX2Z")), -1, nil, "", countersign.CodeRegister},
		"broken, known":    {iotest.ErrReader(errors.New("4B7QX2Z")), 4, nil, "", countersign.CodeRegister},
		"refused":          {iotest.ErrReader(network), -1, nil, "", countersign.CodeNetwork},
		"broken at close":  {strings.NewReader("abcd"), 4, errors.New("x"), "", countersign.CodeRegister},
		"one byte by read": {iotest.OneByteReader(strings.NewReader("abcd")), 4, nil, "abcd", ""},
	} {
		t.Run(name, func(t *testing.T) {
			body := &closing{Reader: c.body, err: c.closed}
			got, err := ReadBounded(&Answer{Body: body, Length: c.length}, 8)
			if string(got) != c.want || countersign.CodeOf(err) != c.code || (err == nil) != (c.code == "") {
				t.Errorf("%q %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "4B7QX2Z") {
				t.Errorf("the error quotes the register: %v", err)
			}
			if body.closed != 1 {
				t.Errorf("closed %d times", body.closed)
			}
		})
	}
	if _, err := ReadBounded(&Answer{Body: io.NopCloser(endless{}), Length: -1}, 0); !errors.Is(err, countersign.CodeUnfilterable) {
		t.Errorf("the default bound: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestPersonalHeader(t *testing.T) {
	in := http.Header{
		"Content-Type": {"application/json"}, "Content-Language": {"az"}, "Retry-After": {"120"}, "Allow": {"GET"}, "Location": {"/r1/x"},
		"Cache-Control": {"public, max-age=60"}, "Etag": {`"4B7QX2Z"`}, "Last-Modified": {"Mon, 01 Jan 2024 00:00:00 GMT"}, "Set-Cookie": {"a=b"},
		"X-Person": {"4B7QX2Z"}, "Content-Length": {"5"}, "Trailer": {"X-Late"}, "Link": {"</4B7QX2Z>"}, "Content-Disposition": {"attachment; filename=4B7QX2Z"},
	}
	base := http.Header{"Content-Type": {"application/json"}, "Content-Language": {"az"}, "Retry-After": {"120"}, "Allow": {"GET"}, "Cache-Control": {"no-store"}}
	if d := cmp.Diff(base, PersonalHeader(http.StatusOK, in)); d != "" {
		t.Error(d)
	}
	located := base.Clone()
	located["Location"] = []string{"/r1/x"}
	for _, status := range []int{201, 202, 303, 307} {
		if d := cmp.Diff(located, PersonalHeader(status, in)); d != "" {
			t.Error(status, d)
		}
	}
	for _, location := range []string{"/x?pin=4B7QX2Z", "/x?", "/x#4B7QX2Z", "https://u:p@h/x", "mailto:4B7QX2Z", "%zz", "/\n", "/" + strings.Repeat("x", 256), "/ə"} {
		in["Location"] = []string{location}
		if got := PersonalHeader(201, in); got["Location"] != nil {
			t.Errorf("%q passed", location)
		}
	}
	in["Content-Language"], in["Allow"], in["Retry-After"] = []string{"az", "en"}, []string{"GET\x00"}, []string{strings.Repeat("1", 257)}
	if d := cmp.Diff(http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}, PersonalHeader(200, in)); d != "" {
		t.Error(d)
	}
}

func TestNilFilterWithholds(t *testing.T) {
	for _, f := range []*Filter{nil, {}} {
		out, released, err := f.Apply("application/json", nil, []byte(`{"pin":"4B7QX2Z"}`))
		if string(out) != "{}" || released != nil || err != nil || len(f.Fields()) != 0 {
			t.Errorf("%s %v %v", out, released, err)
		}
		if err := f.Check("application/json", nil, []byte(`{"pin":"4B7QX2Z"}`)); !errors.Is(err, countersign.CodeExcessFields) {
			t.Errorf("%v", err)
		}
	}
}

func TestFieldListsAreBounded(t *testing.T) {
	if _, err := CompileFilter(make([]countersign.FieldPath, maxPaths+1)); !errors.Is(err, countersign.CodeTooLarge) {
		t.Errorf("too many: %v", err)
	}
	// Stars and names mixed at each level would grow without bound; they are merged or refused.
	var mixed []countersign.FieldPath
	for i := range 1 << 9 {
		var b strings.Builder
		for bit := range 9 {
			b.WriteString([]string{"/*", "/a", "/b"}[(i>>bit&1)*(1+bit%2)])
		}
		mixed = append(mixed, countersign.FieldPath(b.String()))
	}
	if _, err := CompileFilter(mixed); err != nil && !errors.Is(err, countersign.CodeTooLarge) {
		t.Error(err)
	}
	for p, ok := range map[countersign.FieldPath]bool{
		countersign.FieldPath(strings.Repeat("/a", 31)): true, countersign.FieldPath(strings.Repeat("/a", 32)): false,
		countersign.FieldPath("/" + strings.Repeat("a", 512)): false, "/a": true, "a": false, "*": false,
	} {
		if err := CheckPath(p); (err == nil) != ok {
			t.Errorf("%.20q…: %v", p, err)
		}
	}
}

func TestFiltersRemember(t *testing.T) {
	var c Filters
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 3 * maxFilters {
				want := countersign.FieldPath("/" + strings.Repeat("x", i%200) + "y" + strings.Repeat("z", i/200))
				f, err := c.Get([]countersign.FieldPath{want, "/a"})
				if err != nil || !cmp.Equal(f.Fields(), countersign.SortFields([]countersign.FieldPath{want, "/a"})) {
					t.Errorf("%v %v", f, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if len(c.known) > maxFilters {
		t.Errorf("%d filters are kept", len(c.known))
	}
	one, err := c.Get([]countersign.FieldPath{"/a"})
	if err != nil {
		t.Fatal(err)
	}
	if two, err := c.Get([]countersign.FieldPath{"/a"}); err != nil || one != two {
		t.Errorf("compiled twice: %v", err)
	}
	if _, err := c.Get([]countersign.FieldPath{"a"}); !errors.Is(err, countersign.CodeBadRequest) {
		t.Errorf("a wrong path: %v", err)
	}
}

// What a pool keeps holds nothing of a document.
func TestPoolsForget(t *testing.T) {
	f, err := CompileFilter([]countersign.FieldPath{"/pin"})
	if err != nil {
		t.Fatal(err)
	}
	w := newWalker(f, false)
	if err := w.document([]byte(`{"\u0070in":"4B7QX2Z","x":1}`), f.trie()); err != nil {
		t.Fatal(err)
	}
	out, scratch := w.out, w.scratch
	if !bytes.Contains(out, []byte("4B7QX2Z")) || !bytes.Contains(scratch, []byte("pin")) {
		t.Fatalf("%q %q", out, scratch)
	}
	w.release()
	if bytes.Contains(out[:cap(out)], []byte("4B7QX2Z")) || bytes.Contains(scratch[:cap(scratch)], []byte("pin")) {
		t.Error("a pooled buffer holds a document")
	}
}
