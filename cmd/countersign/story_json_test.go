package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
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
