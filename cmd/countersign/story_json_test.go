package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdJSON checks the last command's output: "json PATH OP VALUE". A path is keys and indices with dots, "size" is a length, "." the whole. The ops:
// == and != compare with JSON or a plain text; < and > compare numbers; ~ matches a regular expression; has finds an element of a list or a
// key of an object; is takes present or absent. "! json …" expects that it does not hold.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json PATH OP VALUE")
	}
	text := ts.ReadFile("stdout")
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		ts.Fatalf("the output is not JSON: %v\n%s", err, text)
	}
	got, found := at(doc, args[0])
	ok, err := holds(got, found, args[1], args[2])
	ts.Check(err)
	if ok == neg {
		shown, err := json.Marshal(got)
		ts.Check(err)
		ts.Fatalf("%s is %s (present: %t)\nof %s", args[0], shown, found, text)
	}
}

func at(doc any, path string) (any, bool) {
	if path == "." {
		return doc, true
	}
	for key := range strings.SplitSeq(path, ".") {
		switch v := doc.(type) {
		case map[string]any:
			if key == "size" {
				doc = float64(len(v))
				continue
			}
			next, ok := v[key]
			if !ok {
				return nil, false
			}
			doc = next
		case []any:
			if key == "size" {
				doc = float64(len(v))
				continue
			}
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			doc = v[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

func holds(got any, found bool, op, value string) (bool, error) {
	switch op {
	case "==", "!=":
		return (found && reflect.DeepEqual(got, wanted(got, value))) == (op == "=="), nil
	case "<", ">":
		n, ok := got.(float64)
		limit, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return false, err
		}
		return op == "<" && n < limit || op == ">" && n > limit, nil
	case "~":
		re, err := regexp.Compile(value)
		if err != nil {
			return false, err
		}
		return found && re.MatchString(fmt.Sprint(got)), nil
	case "has":
		switch v := got.(type) {
		case []any:
			for _, e := range v {
				if reflect.DeepEqual(e, wanted(e, value)) {
					return true, nil
				}
			}
		case map[string]any:
			_, ok := v[value]
			return ok, nil
		}
		return false, nil
	case "is":
		return found == (value == "present"), nil
	}
	return false, fmt.Errorf("%w: no operation %q", errUsage, op)
}

// wanted reads the value as a text where a text stands there, and as JSON elsewhere.
func wanted(got any, value string) any {
	if _, ok := got.(string); ok {
		return value
	}
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		return value
	}
	return v
}

// cmdEdit: "edit FROM TO PATH OP JSON [PATH OP JSON…]" changes a JSON document. A path is keys, indices and key=value, which finds an element
// of a list; the ops are = to set, + to append to a list, and - to remove, whose value is ignored.
func cmdEdit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args)%3 != 2 {
		ts.Fatalf("usage: edit FROM TO PATH =|+|- JSON…")
	}
	text, err := editText([]byte(ts.ReadFile(args[0])), args[2:])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

func editText(text []byte, changes []string) ([]byte, error) {
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	for change := range slices.Chunk(changes, 3) {
		var value any
		if len(change) < 3 {
			return nil, fmt.Errorf("%w: PATH OP JSON", errUsage)
		}
		if err := json.Unmarshal([]byte(change[2]), &value); err != nil {
			return nil, fmt.Errorf("%s: %w", change[0], err)
		}
		next, err := edited(doc, strings.Split(change[0], "|"), change[1], value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", change[0], err)
		}
		doc = next
	}
	return json.MarshalIndent(doc, "", "  ")
}

// edited gives the document with one change.
func edited(doc any, path []string, op string, value any) (any, error) {
	if len(path) == 0 {
		switch op {
		case "=":
			return value, nil
		case "+":
			list, ok := doc.([]any)
			if !ok && doc != nil {
				return nil, fmt.Errorf("%w: no list stands there", errUsage)
			}
			return append(list, value), nil
		}
		return nil, fmt.Errorf("%w: no operation %q", errUsage, op)
	}
	if m, ok := doc.(map[string]any); ok {
		if len(path) == 1 && op == "-" {
			delete(m, path[0])
			return m, nil
		}
		next, err := edited(m[path[0]], path[1:], op, value)
		m[path[0]] = next
		return m, err
	}
	list, ok := doc.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: nothing stands there", errUsage)
	}
	i := slices.IndexFunc(list, func(e any) bool { return named(e, path[0]) })
	if n, err := strconv.Atoi(path[0]); err == nil {
		i = n
	}
	if i < 0 || i >= len(list) {
		return nil, fmt.Errorf("%w: no element %s", errUsage, path[0])
	}
	if len(path) == 1 && op == "-" {
		return slices.Delete(list, i, i+1), nil
	}
	next, err := edited(list[i], path[1:], op, value)
	list[i] = next
	return list, err
}

// named reports whether an element is an object with the key and value of "key=value".
func named(element any, text string) bool {
	key, value, ok := strings.Cut(text, "=")
	m, isMap := element.(map[string]any)
	return ok && isMap && fmt.Sprint(m[key]) == value
}
