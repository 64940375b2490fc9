package register

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

// oracle is the filter's rule written a second time, over encoding/json's values and the paths' text.
type oracle struct {
	hits map[countersign.FieldPath]bool
}

// reach is a path of which the tokens before rest have led to a value; guard is what the last one asks of it.
type reach struct {
	path  countersign.FieldPath
	guard string
	rest  []string
}

func newReach(path countersign.FieldPath, token string, rest []string) (key string, r reach) {
	key, guard, ok := strings.Cut(token, "[")
	if ok {
		guard = strings.TrimSuffix(guard, "]")
	}
	return key, reach{path, guard, rest}
}

func (o *oracle) document(v any, fields []countersign.FieldPath) (any, bool) {
	var set []reach
	for _, f := range fields {
		tokens := strings.Split(string(f), "/")
		_, r := newReach(f, tokens[0], tokens[1:])
		set = append(set, r)
	}
	out, _, kept := o.value(v, set)
	if !kept {
		switch v.(type) {
		case map[string]any:
			return map[string]any{}, true
		case []any:
			return []any{}, true
		}
	}
	return out, kept
}

func unescape(token string) string {
	return strings.NewReplacer("~0", "~", "~1", "/", "~2", "*", "~3", "[").Replace(token)
}

func (o *oracle) value(v any, set []reach) (out any, through []reach, kept bool) {
	object, isObject := v.(map[string]any)
	array, isArray := v.([]any)
	set = slices.DeleteFunc(slices.Clone(set), func(r reach) bool {
		return r.guard != "" && (!isObject || object["resourceType"] != any(r.guard))
	})
	if !isObject && !isArray || isObject && len(object) == 0 || isArray && len(array) == 0 {
		for _, r := range set {
			if len(r.rest) == 0 {
				o.hits[r.path] = true
				through, kept = append(through, r), true
			}
		}
		return v, through, kept
	}
	step := func(key string, element bool) (below, from []reach) {
		for _, r := range set {
			if len(r.rest) == 0 {
				continue
			}
			token, next := newReach(r.path, r.rest[0], r.rest[1:])
			if token == "*" || !element && unescape(token) == key {
				below, from = append(below, next), append(from, r)
			}
		}
		return below, from
	}
	pass := func(below []reach, from []reach, v any) (any, bool) {
		got, hit, kept := o.value(v, below)
		for i, b := range below {
			if slices.ContainsFunc(hit, func(r reach) bool { return r.path == b.path && len(r.rest) == len(b.rest) }) {
				through = append(through, from[i])
			}
		}
		return got, kept
	}
	if isArray {
		list := []any{}
		for _, e := range array {
			below, from := step("", true)
			if got, ok := pass(below, from, e); ok {
				list = append(list, got)
			}
		}
		return list, through, len(list) > 0
	}
	m := map[string]any{}
	for k, e := range object {
		below, from := step(k, false)
		if got, ok := pass(below, from, e); ok {
			m[k] = got
		}
	}
	kept = len(m) > 0
	if slices.ContainsFunc(through, func(r reach) bool { return r.guard != "" }) {
		m["resourceType"] = object["resourceType"]
	}
	return m, through, kept
}

// decode reads a document as encoding/json does, numbers kept as text.
func decode(b []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return v, nil
}

type failer interface {
	Fatalf(format string, args ...any)
	Helper()
}

// holds checks everything that must be true of one filtering, whatever the input.
func holds(t failer, fields []countersign.FieldPath, body []byte) {
	t.Helper()
	f, err := CompileFilter(fields)
	if err != nil {
		if code := countersign.CodeOf(err); code != countersign.CodeBadRequest && code != countersign.CodeTooLarge {
			t.Fatalf("%q: %v", fields, err)
		}
		return
	}
	before := bytes.Clone(body)
	out, released, err := f.Apply("application/json", nil, body)
	if !bytes.Equal(before, body) {
		t.Fatalf("the body was changed")
	}
	if err != nil {
		if countersign.CodeOf(err) != countersign.CodeUnfilterable || out != nil || released != nil {
			t.Fatalf("%q of %q: %q %v %v", fields, body, out, released, err)
		}
		return
	}
	if len(body) == 0 {
		if out != nil || released != nil {
			t.Fatalf("nothing became %q %v", out, released)
		}
		return
	}
	in, err := decode(body)
	if err != nil {
		t.Fatalf("%q was filtered, and encoding/json refuses it: %v", body, err)
	}
	o := oracle{hits: make(map[countersign.FieldPath]bool)}
	want, kept := o.document(in, fields)
	if !kept {
		t.Fatalf("%q of %q: %q left, and nothing is allowed", fields, body, out)
	}
	got, err := decode(out)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%q of %q:\ngot  %q %v\nwant %v", fields, body, out, err, want)
	}
	if hits := slices.Sorted(maps.Keys(o.hits)); !slices.Equal(hits, released) {
		t.Fatalf("%q of %q: released %q, want %q", fields, body, released, hits)
	}
	again, same, err := f.Apply("application/json", nil, out)
	if err != nil || !bytes.Equal(again, out) || !slices.Equal(same, released) {
		t.Fatalf("%q of %q: filtering %q again gives %q %q %v", fields, body, out, again, same, err)
	}
	// What the provider signs is the released list: the consumer's check must agree with it.
	if err := CheckFields("application/json", nil, out, released); err != nil {
		t.Fatalf("%q of %q: %q is more than %q: %v", fields, body, out, released, err)
	}
	// And it must notice the least excess.
	for i := range released {
		less := slices.Delete(slices.Clone(released), i, i+1)
		lf, err := CompileFilter(less)
		if err != nil {
			t.Fatalf("%v", err)
		}
		smaller, _, err := lf.Apply("application/json", nil, out)
		excess := lf.Check("application/json", nil, out)
		if (err == nil && bytes.Equal(smaller, out)) != (excess == nil) {
			t.Fatalf("%q: without %q: filtered %q (%v), checked %v", out, released[i], smaller, err, excess)
		}
		if excess != nil && countersign.CodeOf(excess) != countersign.CodeExcessFields {
			t.Fatalf("%v", excess)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, list := range vectors(f) {
		for _, v := range list {
			var lines []string
			for _, p := range v.Fields {
				lines = append(lines, string(p))
			}
			f.Add(strings.Join(lines, "\n"), v.bytes(f))
		}
	}
	f.Fuzz(func(t *testing.T, lines string, body []byte) {
		var fields []countersign.FieldPath
		for line := range strings.Lines(lines) {
			fields = append(fields, countersign.FieldPath(strings.TrimSuffix(line, "\n")))
		}
		if len(fields) > 20 {
			return
		}
		holds(t, fields, body)
	})
}

// The alphabets are small, so that paths and documents meet.
var (
	someKeys  = rapid.SampledFrom([]string{"a", "b", "c", "*", "x/y", "[", "~", "", "0", "resourceType"})
	someTypes = rapid.SampledFrom([]string{"A", "B"})
)

func drawPath(t *rapid.T) countersign.FieldPath {
	var b strings.Builder
	if rapid.IntRange(0, 5).Draw(t, "guarded document") == 0 {
		b.WriteString("[" + someTypes.Draw(t, "type") + "]")
	}
	n := rapid.IntRange(1, 4).Draw(t, "tokens")
	for i := range n {
		b.WriteByte('/')
		if rapid.IntRange(0, 2).Draw(t, "star") == 0 {
			b.WriteByte('*')
		} else {
			b.WriteString(escapeToken(someKeys.Draw(t, "key")))
		}
		if i < n-1 && rapid.IntRange(0, 3).Draw(t, "guard") == 0 {
			b.WriteString("[" + someTypes.Draw(t, "type") + "]")
		}
	}
	return countersign.FieldPath(b.String())
}

const deepest = 5

func drawValue(t *rapid.T, depth int) any {
	least, most := 0, 7
	switch depth {
	case 0:
		most = 3
	case deepest:
		least = 4
	}
	switch rapid.IntRange(least, most).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return json.Number(rapid.SampledFrom([]string{"0", "-1.50", "1e400", "12345678901234567890"}).Draw(t, "number"))
	case 3:
		return rapid.SampledFrom([]string{"A", "B", "", "ə\"\\\u2028"}).Draw(t, "string")
	case 4:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = drawValue(t, depth-1)
		}
		return list
	}
	m := make(map[string]any)
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		m[someKeys.Draw(t, "key")] = drawValue(t, depth-1)
	}
	if rapid.IntRange(0, 1).Draw(t, "resource") == 0 {
		m["resourceType"] = someTypes.Draw(t, "type")
	}
	return m
}

// drawPathInto follows a document for some way, so that paths end where there is something.
func drawPathInto(t *rapid.T, v any) countersign.FieldPath {
	var b strings.Builder
	guard := func(v any) {
		m, ok := v.(map[string]any)
		if typ, _ := m["resourceType"].(string); ok && typ != "" && rapid.IntRange(0, 1).Draw(t, "guard") == 0 {
			b.WriteString("[" + typ + "]")
		}
	}
	for depth := 0; depth < 8; depth++ {
		var next any
		token := "*"
		switch v := v.(type) {
		case map[string]any:
			if len(v) == 0 {
				return countersign.FieldPath(b.String())
			}
			key := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "member")
			next = v[key]
			if rapid.IntRange(0, 4).Draw(t, "star") > 0 {
				token = escapeToken(key)
			}
		case []any:
			if len(v) == 0 {
				return countersign.FieldPath(b.String())
			}
			next = rapid.SampledFrom(v).Draw(t, "element")
		default:
			return countersign.FieldPath(b.String())
		}
		guard(v)
		b.WriteString("/" + token)
		v = next
	}
	return countersign.FieldPath(b.String())
}

func TestFilterIsItsRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawValue(t, deepest)
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		// encoding/json sorts keys; the type must be able to come first.
		turned := reversed(t, body)
		for range 20 {
			fields := make([]countersign.FieldPath, rapid.IntRange(0, 5).Draw(t, "fields"))
			for i := range fields {
				if rapid.IntRange(0, 3).Draw(t, "anywhere") == 0 {
					fields[i] = drawPath(t)
				} else {
					fields[i] = drawPathInto(t, v)
				}
			}
			holds(t, fields, body)
			holds(t, fields, turned)
		}
	})
}

// reversed writes a document's objects with their members in reverse order.
func reversed(t *rapid.T, body []byte) []byte {
	v, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	var write func(v any)
	write = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			b.WriteByte('{')
			for i, k := range slices.Backward(slices.Sorted(maps.Keys(v))) {
				write(k)
				b.WriteString(" : ")
				write(v[k])
				if i > 0 {
					b.WriteString(",\n")
				}
			}
			b.WriteByte('}')
		case []any:
			b.WriteByte('[')
			for i, e := range v {
				if i > 0 {
					b.WriteByte(',')
				}
				write(e)
			}
			b.WriteByte(']')
		default:
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
	}
	write(v)
	return b.Bytes()
}

// A spelling of a path is either refused or the only one.
func TestPathsHaveOneSpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := countersign.FieldPath(rapid.StringMatching(`(\[[AB1]?\])?(/[ab*~0123\[\]/]{0,4}){0,4}`).Draw(t, "path"))
		tokens, err := parsePath(p)
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeBadRequest {
				t.Fatal(err)
			}
			return
		}
		var b strings.Builder
		for i, token := range tokens {
			if i > 0 {
				b.WriteByte('/')
			}
			switch {
			case token.wild:
				b.WriteByte('*')
			default:
				b.WriteString(escapeToken(token.key))
			}
			if token.guard != "" {
				fmt.Fprintf(&b, "[%s]", token.guard)
			}
		}
		if b.String() != string(p) {
			t.Fatalf("%q is read as %q", p, b.String())
		}
	})
}
