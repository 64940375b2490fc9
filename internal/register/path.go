package register

import (
	"strings"

	"countersign.dev/countersign"
)

// The syntax of a field path
//
// A [countersign.FieldPath] is a JSON pointer (RFC 6901) with three additions:
//
//	*              as a whole token stands for every element of an array, or every key of an object
//	[Observation]  after a token, a guard: the object found there counts only if its member "resourceType" is the string Observation.
//	               FHIR puts resources of different types in one array, where the same pointer means different data.
//	~2 and ~3      beside ~0 for '~' and ~1 for '/': a key that is '*' alone is written ~2, and '[' in a key is written ~3
//
// A path points at a scalar (string, number, boolean, null) or at an empty object or array; it does not let through what lies below
// it. So a member that a register adds tomorrow stays unknown and is withheld, also inside a known object. Tokens other than * match
// keys of objects only, never positions in arrays: filtering moves positions. The path "" is a document that is a bare scalar.
// "[Patient]/birthDate" guards the document itself.

const (
	maxPathBytes  = 512
	maxPathTokens = 32
	maxPaths      = 1000
)

type token struct {
	key   string // unescaped; empty with wild
	wild  bool
	guard string
}

// CheckPath refuses a field path that is not written in the syntax of this package, or not in its one spelling.
func CheckPath(p countersign.FieldPath) error {
	_, err := parsePath(p)
	return err
}

// parsePath gives the tokens; the first stands for the document itself and holds only a guard.
func parsePath(p countersign.FieldPath) ([]token, error) {
	bad := func(why string) ([]token, error) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "field path %q: %s", p, why)
	}
	if p == "*" {
		return bad("* alone stands for an answer that is not filtered, and cannot be filtered for")
	}
	if len(p) > maxPathBytes {
		return bad("longer than 512 bytes")
	}
	first, rest, more := strings.Cut(string(p), "/")
	out := make([]token, 1, 4)
	if first != "" {
		t, why := parseToken(first)
		if why != "" || t.key != "" || t.wild {
			return bad("a field path is empty or begins with '/' or with a guard")
		}
		out[0] = t
	}
	for more {
		var text string
		text, rest, more = strings.Cut(rest, "/")
		t, why := parseToken(text)
		if why != "" {
			return bad(why)
		}
		out = append(out, t)
	}
	if len(out) > maxPathTokens {
		return bad("deeper than 32 tokens")
	}
	if out[len(out)-1].guard != "" {
		return bad("a guard stands before the fields of the object that it guards, not at the end")
	}
	return out, nil
}

func parseToken(text string) (t token, why string) {
	if i := strings.IndexByte(text, '['); i >= 0 {
		if !strings.HasSuffix(text, "]") {
			return t, "'[' begins a guard like [Observation]; in a key it is written ~3"
		}
		t.guard = text[i+1 : len(text)-1]
		if !isTypeName(t.guard) {
			return t, "a guard holds the name of a resource type, letters and digits"
		}
		text = text[:i]
	}
	if text == "*" {
		t.wild = true
		return t, ""
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '~' {
			b.WriteByte(c)
			continue
		}
		i++
		if i == len(text) {
			return t, "'~' is written ~0"
		}
		switch text[i] {
		case '0':
			b.WriteByte('~')
		case '1':
			b.WriteByte('/')
		case '2':
			b.WriteByte('*')
		case '3':
			b.WriteByte('[')
		default:
			return t, "'~' is written ~0"
		}
	}
	t.key = b.String()
	if len(t.key) > 1 && strings.Trim(t.key, "*") == "" {
		return t, "two stars stand for nothing here; write a * for each level"
	}
	// One path has one spelling: field lists are compared and signed as text.
	if escapeToken(t.key) != text {
		return t, "~2 is only for a key that is '*' alone"
	}
	return t, ""
}

// escapeToken writes a key as a token of a field path.
func escapeToken(key string) string {
	if key == "*" {
		return "~2"
	}
	if !strings.ContainsAny(key, "~/[") {
		return key
	}
	return strings.NewReplacer("~", "~0", "/", "~1", "[", "~3").Replace(key)
}

func isTypeName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (i == 0 || s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != ""
}
