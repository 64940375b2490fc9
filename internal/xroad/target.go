package xroad

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign.dev/countersign"
)

// MaxTarget bounds the request target in bytes, query included.
//
// SPEC: PR-REST 4.2: the maximum length of the request URI needs to be limited.
const MaxTarget = 8192

// RulePath is the part of a path behind the service, decoded once and proven unambiguous: what access rules and patterns look at. It is
// empty or begins with a slash, and only [ParseTarget] and [CleanPath] make one. The path that travels stays the raw one.
type RulePath string

// Target is one parsed request line. The zero value names no service.
type Target struct {
	Service countersign.ServiceID

	// Raw is the whole request target as the client sent it: the line of the request hash.
	Raw string
	// Path is what follows the service in the path, as it was sent: "" for …/service, "/" for …/service/.
	Path string
	// Query is what follows the question mark, as it was sent. HasQuery tells "no question mark" from "nothing behind it".
	Query    string
	HasQuery bool
	// RulePath is Path decoded, for access rules and selectors alone.
	RulePath RulePath
}

// PathAndQuery is what the provider appends to a service's configured base: the path and, where there was one, the query, both as sent.
func (t Target) PathAndQuery() string {
	if !t.HasQuery {
		return t.Path
	}
	return t.Raw[len(t.Raw)-len(t.Path)-1-len(t.Query):]
}

// IsVerb reports whether the protocol knows the method.
//
// SPEC: PR-REST 4.1 and X-Road 7.8: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT. X-Road lists TRACE too; Countersign does not, because
// TRACE answers with the request's own headers and so would show a gateway's credentials.
func IsVerb(method string) bool {
	switch method {
	case "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT":
		return true
	}
	return false
}

// CheckVerb refuses a method that the protocol does not know.
func CheckVerb(method string) error {
	if !IsVerb(method) {
		return countersign.Refuse(countersign.CodeBadRequest, "the method is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
	}
	return nil
}

// ParseTarget reads the raw request target, /r1/{instance}/{class}/{member}/{subsystem}/{service}[/path][?query], in origin form.
// It must be given http.Request.RequestURI: URL.Path is decoded already and has lost the difference between "/" and "%2F".
//
// Errors are refusals with [countersign.CodeBadRequest], or CodeTooLarge above [MaxTarget].
func ParseTarget(requestURI string) (Target, error) {
	if len(requestURI) > MaxTarget {
		return Target{}, countersign.Refuse(countersign.CodeTooLarge, "the request target has %d bytes, %d at most: send large data in the body", len(requestURI), MaxTarget)
	}
	if requestURI == "" || requestURI[0] != '/' {
		return Target{}, countersign.Refuse(countersign.CodeBadRequest, "the request target does not begin with '/': send the path alone, without scheme and host")
	}
	path, query, hasQuery := strings.Cut(requestURI, "?")
	if err := checkQuery(query); err != nil {
		return Target{}, err
	}
	rest, ok := strings.CutPrefix(path, "/r1/")
	if !ok {
		return Target{}, countersign.Refuse(countersign.CodeBadRequest, "the path does not begin with /r1/, the only protocol version: ask /r1/INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE")
	}
	var parts [5]string
	tail, err := cutService(rest, &parts)
	if err != nil {
		return Target{}, err
	}
	rule, err := CleanPath(tail)
	if err != nil {
		return Target{}, err
	}
	return Target{Service: serviceID(parts), Raw: requestURI, Path: tail, Query: query, HasQuery: hasQuery, RulePath: rule}, nil
}

// cutService decodes the five identifier segments and gives what follows them: nothing, or a path that begins with a slash.
//
// SPEC: X-Road 7.8 requires the subsystem (seven segments with the empty first one and the version), although PR-REST 4.1 calls it optional.
func cutService(rest string, parts *[5]string) (tail string, err error) {
	for i, name := range [len(parts)]string{"instance", "member class", "member code", "subsystem", "service"} {
		end := strings.IndexByte(rest, '/')
		if end < 0 {
			end = len(rest)
			if i < len(parts)-1 {
				return "", countersign.Refuse(countersign.CodeBadRequest, "the path ends after its %s: ask /r1/INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE", name)
			}
		}
		if parts[i], err = DecodePart(rest[:end]); err != nil {
			return "", countersign.Refuse(countersign.CodeBadRequest, "the %s in the path: %s", name, countersign.MessageOf(err))
		}
		rest = rest[end:]
		if i < len(parts)-1 {
			rest = rest[1:]
		}
	}
	return rest, nil
}

// checkQuery lets through what RFC 3986 lets stand in a query, and brackets, which many clients send bare.
func checkQuery(query string) error {
	for i := 0; i < len(query); i++ {
		switch c := query[i]; {
		case c == '%':
			if i+2 >= len(query) {
				return countersign.Refuse(countersign.CodeBadRequest, "the query: a percent sign without two hexadecimal digits: write %%25 for the sign itself")
			}
			_, ok1 := unhex(query[i+1])
			_, ok2 := unhex(query[i+2])
			if !ok1 || !ok2 {
				return countersign.Refuse(countersign.CodeBadRequest, "the query: a percent sign without two hexadecimal digits: write %%25 for the sign itself")
			}
			i += 2
		case segmentByte(c), c == '/', c == '?', c == '[', c == ']':
		default:
			return countersign.Refuse(countersign.CodeBadRequest, "the query: the byte 0x%02X stands unescaped: percent-encode it", c)
		}
	}
	return nil
}

// CleanPath decodes a raw path once and refuses every form that the service behind the gateway could read as another path than the
// access rules did: dot segments, empty segments, encoded slashes and backslashes, double encoding, path parameters that hide a dot
// segment, control characters, broken UTF-8. What it accepts has one reading.
//
// SPEC: access rules match on the decoded, cleaned path; an encoded traversal must not reach a rule that it was not granted
// (X-Road until 7.7.1). X-Road normalises; Countersign refuses, because the service may normalise otherwise.
func CleanPath(raw string) (RulePath, error) {
	if raw == "" {
		return "", nil
	}
	if raw[0] != '/' {
		return "", countersign.Refuse(countersign.CodeBadRequest, "the path behind the service does not begin with '/'")
	}
	decoded, err := percentDecode(raw, func(c byte) bool { return c == '/' || segmentByte(c) })
	if err != nil {
		return "", countersign.Refuse(countersign.CodeBadRequest, "the path: %s", countersign.MessageOf(err))
	}
	if len(decoded) != len(raw) {
		if err := checkDecoded(raw, decoded); err != nil {
			return "", err
		}
	}
	for rest := decoded[1:]; ; {
		segment, more, found := strings.Cut(rest, "/")
		if err := checkSegment(segment, !found); err != nil {
			return "", err
		}
		if !found {
			return RulePath(decoded), nil
		}
		rest = more
	}
}

// checkDecoded refuses what only an escape can bring in.
func checkDecoded(raw, decoded string) error {
	if strings.Count(decoded, "/") != strings.Count(raw, "/") {
		return ambiguous("an encoded slash (%2F)", "send the value in the query or the body")
	}
	if !utf8.ValidString(decoded) {
		return ambiguous("escapes that are not UTF-8", "encode text as UTF-8")
	}
	for i, r := range decoded {
		switch {
		case r == '\\':
			return ambiguous("an encoded backslash (%5C)", "send the value in the query or the body")
		case unicode.IsControl(r), r == '\u200B', r == '\uFEFF':
			return ambiguous("an encoded control or invisible character", "leave it out")
		case r == '%' && i+2 < len(decoded):
			_, ok1 := unhex(decoded[i+1])
			_, ok2 := unhex(decoded[i+2])
			if ok1 && ok2 {
				return ambiguous("a double encoding (%25 before two hexadecimal digits)", "encode once")
			}
		}
	}
	return nil
}

// checkSegment refuses the segments that some server resolves instead of naming: empty ones, "." and "..", also when dressed with a path
// parameter or blanks. The last segment may be empty: a trailing slash.
func checkSegment(segment string, last bool) error {
	name, _, dressed := strings.Cut(segment, ";")
	switch strings.TrimRight(name, " ") {
	case "":
		if segment == "" && last {
			return nil
		}
		if dressed || segment != "" {
			return ambiguous("a segment without a name", "name it")
		}
		return ambiguous("an empty segment (//)", "write one slash")
	case ".", "..":
		return ambiguous("a dot segment", "write the path that you mean")
	}
	return nil
}

func ambiguous(what, remedy string) error {
	return countersign.Refuse(countersign.CodeBadRequest, "the path behind the service holds %s, which servers read differently: %s", what, remedy)
}
