package xroad

import (
	"regexp"
	"strings"

	"countersign.dev/countersign"
)

// MaxPattern bounds a pattern in bytes.
const MaxPattern = 1024

// Pattern is a compiled path pattern of an access rule or of a service's endpoint declaration. It is safe for concurrent use. The zero
// value matches nothing.
type Pattern struct {
	text     string
	all      bool // ** alone
	valid    bool
	segments []segment // set where every wildcard fills its segment: matched without allocating
	deep     bool      // segments end in /**
	general  *regexp.Regexp
	names    []string
}

type segmentKind uint8

const (
	segmentLiteral segmentKind = iota
	segmentAny                 // *
	segmentVar                 // {name}
)

type segment struct {
	kind segmentKind
	text string // the literal, or the variable's name
}

// Vars are the variables of one match, in the pattern's order.
type Vars struct {
	names  []string
	values [maxVars]string
}

const maxVars = 8

// Get gives the decoded value of a variable.
func (v *Vars) Get(name string) (string, bool) {
	for i, n := range v.names {
		if n == name {
			return v.values[i], true
		}
	}
	return "", false
}

// Len is the number of variables.
func (v *Vars) Len() int { return len(v.names) }

// CompilePattern reads a pattern. The pattern is empty (it matches the empty path alone), or is "**", or begins with a slash:
//
//   - "*" stands for any characters inside one segment, none included;
//   - "**" stands for any characters, slashes included;
//   - "{name}" stands for one whole segment that is not empty, and gives its decoded value;
//   - a backslash makes one of \ * { } behind it literal; everything else is literal.
//
// SPEC: X-Road's path glob: '*' inside one segment, '**' across; variables are Countersign's own.
// Errors are refusals with [countersign.CodeBadRequest] that name the remedy.
func CompilePattern(text string) (*Pattern, error) {
	switch {
	case len(text) > MaxPattern:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the path pattern has %d bytes: %d at most", len(text), MaxPattern)
	case text != "" && text[0] != '/' && text != "**":
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the path pattern does not begin with '/': write /… or ** alone")
	}
	p := &Pattern{text: text, all: text == "**", valid: true}
	if p.all {
		return p, nil
	}
	var re, literal strings.Builder
	re.WriteString(`\A`)
	plain := true // every wildcard so far filled its segment
	for i := 0; i < len(text); {
		start := i == 0 || text[i-1] == '/'
		switch c := text[i]; c {
		case '*':
			n := 1
			for i+n < len(text) && text[i+n] == '*' {
				n++
			}
			end := i+n == len(text)
			if n > 1 {
				re.WriteString(`(?s:.*)`)
				plain = plain && start && end && i > 0
				p.deep = true
			} else {
				re.WriteString(`[^/]*`)
				plain = plain && start && (end || text[i+1] == '/')
				p.segments = append(p.segments, segment{kind: segmentAny})
			}
			i += n
		case '{':
			name, length, err := variable(text[i:], start)
			if err != nil {
				return nil, err
			}
			for _, n := range p.names {
				if n == name {
					return nil, countersign.Refuse(countersign.CodeBadRequest, "the path pattern uses the variable {%s} twice: name each once", name)
				}
			}
			if len(p.names) == maxVars {
				return nil, countersign.Refuse(countersign.CodeBadRequest, "the path pattern has more than %d variables", maxVars)
			}
			p.names = append(p.names, name)
			p.segments = append(p.segments, segment{kind: segmentVar, text: name})
			re.WriteString(`([^/]+)`)
			i += length
		case '/':
			re.WriteByte('/')
			i++
			if i == len(text) {
				p.segments = append(p.segments, segment{kind: segmentLiteral})
			}
		default:
			literal.Reset()
			for i < len(text) && text[i] != '/' && text[i] != '*' && text[i] != '{' {
				switch text[i] {
				case '\\':
					i++
					if i == len(text) || !strings.ContainsRune(`\*{}`, rune(text[i])) {
						return nil, countersign.Refuse(countersign.CodeBadRequest, `the path pattern holds a backslash that escapes none of \ * { }: write \\ for the character itself`)
					}
				case '}':
					return nil, countersign.Refuse(countersign.CodeBadRequest, `the path pattern holds a closing brace without an opening one: write \} for the character itself`)
				}
				literal.WriteByte(text[i])
				i++
			}
			re.WriteString(regexp.QuoteMeta(literal.String()))
			whole := start && (i == len(text) || text[i] == '/')
			plain = plain && whole
			p.segments = append(p.segments, segment{kind: segmentLiteral, text: literal.String()})
		}
	}
	if strings.Contains(text, "//") {
		plain = false
	}
	if plain {
		return p, nil
	}
	re.WriteString(`\z`)
	general, err := regexp.Compile(re.String())
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the path pattern cannot be read: is it UTF-8?")
	}
	p.general, p.segments = general, nil
	return p, nil
}

// variable reads {name} at the beginning of text; it must fill its segment.
func variable(text string, start bool) (name string, length int, err error) {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return "", 0, countersign.Refuse(countersign.CodeBadRequest, `the path pattern holds an opening brace without a closing one: write \{ for the character itself`)
	}
	name = text[1:end]
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return "", 0, countersign.Refuse(countersign.CodeBadRequest, "a variable of the path pattern is named by letters, digits, '_' and '-' alone")
	}
	if !start || (end+1 < len(text) && text[end+1] != '/') {
		return "", 0, countersign.Refuse(countersign.CodeBadRequest, "the variable {%s} of the path pattern shares its segment: give it a segment of its own", name)
	}
	return name, end + 1, nil
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Names are the variables' names in the pattern's order. The caller must not change them.
func (p *Pattern) Names() []string { return p.names }

// Match matches a whole clean path and gives the variables. It takes time linear in the path's length.
func (p *Pattern) Match(path RulePath) (Vars, bool) {
	if p == nil || !p.valid {
		return Vars{}, false
	}
	vars := Vars{names: p.names}
	var ok bool
	switch {
	case p.all:
		ok = true
	case p.general != nil:
		ok = p.matchGeneral(string(path), &vars)
	case len(p.segments) > 0 || p.deep:
		ok = p.matchSegments(string(path), &vars)
	default:
		ok = path == ""
	}
	if !ok {
		return Vars{}, false
	}
	return vars, true
}

func (p *Pattern) matchGeneral(path string, vars *Vars) bool {
	if len(p.names) == 0 {
		return p.general.MatchString(path)
	}
	at := p.general.FindStringSubmatchIndex(path)
	if at == nil {
		return false
	}
	for i := range p.names {
		vars.values[i] = path[at[2*i+2]:at[2*i+3]]
	}
	return true
}

func (p *Pattern) matchSegments(path string, vars *Vars) bool {
	n := 0
	for _, want := range p.segments {
		if path == "" || path[0] != '/' {
			return false
		}
		path = path[1:]
		end := strings.IndexByte(path, '/')
		if end < 0 {
			end = len(path)
		}
		have := path[:end]
		switch want.kind {
		case segmentLiteral:
			if have != want.text {
				return false
			}
		case segmentVar:
			if have == "" {
				return false
			}
			vars.values[n] = have
			n++
		case segmentAny:
		}
		path = path[end:]
	}
	if p.deep {
		return strings.HasPrefix(path, "/") // the slash before ** stands in the pattern
	}
	return path == ""
}

// MatchPath compiles and matches once, for rules that are not kept; a pattern that cannot be read matches nothing. Where the same
// pattern is used again, compile it.
func MatchPath(pattern string, path RulePath) bool {
	p, err := CompilePattern(pattern)
	if err != nil {
		return false
	}
	_, ok := p.Match(path)
	return ok
}
