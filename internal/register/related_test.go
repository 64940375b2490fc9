package register

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

func related(pairs ...countersign.FieldPath) []countersign.Field {
	var out []countersign.Field
	for pair := range slices.Chunk(pairs, 2) {
		out = append(out, countersign.Field{Path: pair[0], Related: pair[1]})
	}
	return out
}

// A17: a relative is shown with a record of their own, or not at all.
func TestRelatives(t *testing.T) {
	children := related("/pin", "", "/children/*/pin", "/children/*/pin", "/children/*/name", "/children/*/pin", "/children/*/marks/*", "/children/*/pin")
	family := related("/spouseName", "/spousePin", "/father/name/first", "/father/pin")
	for name, c := range map[string]struct {
		fields []countersign.Field
		body   string
		deny   string // one identifier, or * for all
		want   string
		shown  []string
	}{
		"all are kept": {children, `{"pin":"s","children":[{"pin":"a","name":"A"},{"pin":"b","name":"B"}]}`, "",
			`{"pin":"s","children":[{"pin":"a","name":"A"},{"pin":"b","name":"B"}]}`, []string{"a", "b"}},
		"one goes, and what was only about them": {children, `{"children":[{"pin":"a","name":"A"},{"pin":"b","marks":[1,2],"name":"B"}]}`, "b",
			`{"children":[{"pin":"a","name":"A"}]}`, []string{"a"}},
		"other fields of the element stay for the filter": {children, `{"children":[{"pin":"a","name":"A","age":3}]}`, "a", `{"children":[{"age":3}]}`, nil},
		"all go":                            {children, `{"pin":"s","children":[{"pin":"a"}]}`, "*", `{"pin":"s"}`, nil},
		"no identifier, nobody is shown":    {children, `{"children":[{"name":"A"},{"pin":null,"name":"B"},{"pin":"c","name":"C"}]}`, "", `{"children":[{"pin":"c","name":"C"}]}`, []string{"c"}},
		"nothing told, nothing asked":       {children, `{"children":[{"age":3},"x",null,[]],"pin":"s"}`, "*", `{"children":[{"age":3},"x",null,[]],"pin":"s"}`, nil},
		"an object where the array was":     {children, `{"children":{"first":{"pin":"a"},"second":{"pin":"b"}}}`, "a", `{"children":{"second":{"pin":"b"}}}`, []string{"b"}},
		"the same child twice":              {children, `{"children":[{"pin":"a"},{"pin":"a"}]}`, "", `{"children":[{"pin":"a"},{"pin":"a"}]}`, []string{"a"}},
		"beside the subject's own fields":   {family, `{"spouseName":"S","spousePin":"s","x":1}`, "s", `{"x":1}`, nil},
		"further in":                        {family, `{"father":{"pin":"f","name":{"first":"F","last":"L"}}}`, "f", `{"father":{"name":{"last":"L"}}}`, nil},
		"two kinds":                         {family, `{"spouseName":"S","spousePin":"s","father":{"pin":"f","name":{"first":"F"}}}`, "f", `{"spouseName":"S","spousePin":"s"}`, []string{"s"}},
		"a list of identifiers":             {related("/owners/*", "/owners/*"), `{"owners":["a","b",null,"c"]}`, "b", `{"owners":["a","c"]}`, []string{"a", "c"}},
		"a list at the top":                 {related("/*/pin", "/*/pin"), `[{"pin":"a"}]`, "a", `[]`, nil},
		"the whole document":                {related("/spousePin", "/spousePin"), `{"spousePin":"a"}`, "a", `{}`, nil},
		"resources of one type":             {related("/entry/*/resource[Patient]/name", "/entry/*/resource[Patient]/id"), `{"entry":[{"resource":{"resourceType":"Patient","id":"a","name":"A"}},{"resource":{"resourceType":"Org","id":"b","name":"B"}}]}`, "*", `{"entry":[{"resource":{"resourceType":"Patient"}},{"resource":{"resourceType":"Org","id":"b","name":"B"}}]}`, nil},
		"a number as identifier":            {children, `{"children":[{"pin":12345678901,"name":"A"}]}`, "12345678901", `{}`, nil},
		"an empty list is nobody":           {children, `{"children":[]}`, "*", `{"children":[]}`, nil},
		"an empty body":                     {children, ``, "*", ``, nil},
		"no related fields":                 {nil, `{"a": 1}`, "*", `{"a": 1}`, nil},
		"escaped keys are the same keys":    {children, `{"children":[{"p\u0069n":"a","n\u0061me":"A"}]}`, "a", `{}`, nil},
		"strings and numbers are unchanged": {children, `{"n":1.50,"s":"\u0041","children":[{"pin":"a"}]}`, "a", `{"n":1.50,"s":"\u0041"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := CompileRelated(c.fields)
			if err != nil {
				t.Fatal(err)
			}
			out, shown, err := r.Keep([]byte(c.body), func(id string) bool { return c.deny != "*" && id != c.deny })
			if err != nil || string(out) != c.want || !slices.Equal(shown, c.shown) {
				t.Errorf("got  %s %q %v\nwant %s %q", out, shown, err, c.want, c.shown)
			}
		})
	}
}

func TestRelativesThatCannotBeRead(t *testing.T) {
	for _, f := range [][]countersign.Field{
		related("/children/*/name", "/parents/*/pin"), related("/name", "/children/*/pin"), related("/a/b", "/a/*"), related("a", "/b"), related("/a", "b"),
		related("/entry/*/resource/name", "/entry/*/resource[Patient]/id"),
	} {
		if _, err := CompileRelated(f); !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	r, err := CompileRelated(related("/children/*/name", "/children/*/pin"))
	if err != nil {
		t.Fatal(err)
	}
	for body, code := range map[string]countersign.Code{
		`{"children":[{"name":"A","pin":["a"]}]}`:         countersign.CodeUnfilterable,
		`{"children":[{"name":"A","pin":true}]}`:          countersign.CodeUnfilterable,
		`{"children":[{"name":"A","pin":"a","pin":"b"}]}`: countersign.CodeUnfilterable,
		`{"children":[{"name":"A","pin":"a"}]}{}`:         countersign.CodeUnfilterable,
		`{"children":[`: countersign.CodeUnfilterable,
		strings.Repeat("[", 65) + strings.Repeat("]", 65): countersign.CodeUnfilterable,
	} {
		out, shown, err := r.Keep([]byte(body), func(string) bool { return true })
		if countersign.CodeOf(err) != code || err == nil || out != nil || shown != nil {
			t.Errorf("%s: %s %v %v, want %s", body, out, shown, err, code)
		}
	}
	var many strings.Builder
	for i := range maxPeople + 1 {
		many.WriteString(`{"name":"x","pin":"` + strconv.Itoa(i) + `"},`)
	}
	_, _, err = r.Keep([]byte(`{"children":[`+strings.TrimSuffix(many.String(), ",")+`]}`), func(string) bool { return true })
	if !errors.Is(err, countersign.CodeUnfilterable) {
		t.Errorf("%d relatives: %v", maxPeople+1, err)
	}
}

// Whatever the document: who is refused leaves no field behind, and who is kept changes nothing.
func TestRelativesAreShownOrGone(t *testing.T) {
	fields := related("/a/*/b", "/a/*/c", "/a/*/c", "/a/*/c", "/b", "/c", "/*/a/a", "/*/a/b")
	r, err := CompileRelated(fields)
	if err != nil {
		t.Fatal(err)
	}
	f, err := CompileFilter([]countersign.FieldPath{"/a/*/b", "/a/*/c", "/b", "/*/a/a"})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			body, err := json.Marshal(drawValue(t, deepest))
			if err != nil {
				t.Fatal(err)
			}
			none, shown, err := r.Keep(body, func(string) bool { return false })
			if err != nil {
				if code := countersign.CodeOf(err); code != countersign.CodeUnfilterable {
					t.Fatalf("%s: %v", body, err)
				}
				continue
			}
			if _, released, err := f.Apply("application/json", nil, none); err != nil || len(released) > 0 || len(shown) > 0 {
				t.Fatalf("%s became %s: %q %q %v", body, none, released, shown, err)
			}
			all, _, err := r.Keep(body, func(string) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			again, _, err := r.Keep(all, func(string) bool { return true })
			if err != nil || string(again) != string(all) {
				t.Fatalf("%s became %s, then %s: %v", body, all, again, err)
			}
		}
	})
}
