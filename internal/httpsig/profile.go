// Package httpsig signs and verifies HTTP messages between gateways by a strict profile of RFC 9421 (HTTP Message Signatures) and RFC 9530
// (Digest Fields). Each kind of message has one fixed list of components in one order, one label, one exact set of parameters, and one
// spelling; everything else is refused. Any implementation of RFC 9421 that keeps to the list can write and check such signatures.
package httpsig

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"countersign.dev/countersign"
)

const (
	// Lifetime is how long a signature is good for: expires is created plus Lifetime.
	Lifetime = 5 * time.Minute
	// Skew is how far two gateways' clocks may differ.
	Skew = 5 * time.Second
)

const (
	inputHeader     = "Signature-Input"
	signatureHeader = "Signature"

	maxValue = 16 << 10 // bytes of one component
	maxBase  = 64 << 10 // bytes of a signature base
)

// Component is one part of a message that a profile signs: a derived component (@method, @path, @query, @status) or a header in lower
// case. Derived components are always present.
type Component struct {
	Name     string
	Optional bool // a header that need not be there; when it is there, it is signed
}

// Spec describes a profile.
type Spec struct {
	Label      string                      // of the one signature, for instance "countersign"
	Domain     countersign.SignatureDomain // what the messages are, for signers that bind it
	Components []Component                 // in the order in which they are signed
}

// Profile is one kind of message, ready for use. It is immutable.
type Profile struct {
	label      string
	domain     countersign.SignatureDomain
	components []component
	content    bool // content-digest is signed
}

type component struct {
	name     string // as it is signed
	key      string // canonical header name; "" for a derived component
	optional bool
}

// NewProfile checks a specification: known derived components, headers in lower case, nothing twice, no optional derived component.
func NewProfile(spec Spec) (*Profile, error) {
	bad := func(format string, args ...any) (*Profile, error) {
		return nil, countersign.Refuse(countersign.CodeInternal, "signature profile "+format, args...)
	}
	if !isKey(spec.Label) {
		return bad("label %q: lower-case letters, digits and hyphens, beginning with a letter", spec.Label)
	}
	if spec.Domain == "" || len(spec.Components) == 0 {
		return bad("%s: give a domain and components", spec.Label)
	}
	p := &Profile{label: spec.Label, domain: spec.Domain}
	seen := map[string]bool{}
	for _, c := range spec.Components {
		if seen[c.Name] {
			return bad("%s: component %q is named twice", spec.Label, c.Name)
		}
		seen[c.Name] = true
		out := component{name: c.Name, optional: c.Optional}
		switch {
		case c.Name == "@method" || c.Name == "@path" || c.Name == "@query" || c.Name == "@status":
			if c.Optional {
				return bad("%s: %s is always there, so it cannot be optional", spec.Label, c.Name)
			}
		case isKey(c.Name) && c.Name != "signature" && c.Name != "signature-input":
			out.key = textproto.CanonicalMIMEHeaderKey(c.Name)
		default:
			return bad("%s: component %q cannot be signed", spec.Label, c.Name)
		}
		p.content = p.content || c.Name == "content-digest" && !c.Optional
		p.components = append(p.components, out)
	}
	return p, nil
}

// isKey accepts header names in lower case and labels.
func isKey(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// Message is what a profile reads of an HTTP message. Header keys are canonical, as net/http keeps them.
type Message struct {
	Method string // of a request
	Path   string // of a request, as it travels: percent-encoded, beginning with a slash
	Query  string // of a request, as it travels, without the question mark
	Status int    // of a response
	Header http.Header
}

// OfRequest reads a request, received or to be sent.
//
// SPEC: RFC 9421 2.2.6: an empty path string is normalised as a single slash.
func OfRequest(r *http.Request) Message {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return Message{Method: r.Method, Path: path, Query: r.URL.RawQuery, Header: r.Header}
}

// OfResponse reads a response, received or to be sent.
func OfResponse(status int, header http.Header) Message {
	return Message{Status: status, Header: header}
}

// header finds the one value of a header. SPEC: RFC 9421 2.1: the value is stripped of leading and trailing whitespace. Several lines of one
// name are refused rather than joined, because joining makes different messages look alike (RFC 9421 7.5.6).
func (m *Message) header(key, name string) (value string, present bool, err error) {
	values := m.Header[key]
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return strings.Trim(values[0], " \t"), true, nil
	}
	return "", true, refuse("header %s occurs %d times: once is due", name, len(values))
}

// appendDerived writes the value of a derived component.
func (m *Message) appendDerived(b []byte, name string) ([]byte, error) {
	switch name {
	case "@status":
		if m.Status < 100 || m.Status > 999 {
			return b, refuse("@status is %d: three digits are due", m.Status)
		}
		return append(b, byte('0'+m.Status/100), byte('0'+m.Status/10%10), byte('0'+m.Status%10)), nil
	case "@method":
		if m.Method == "" {
			return b, refuse("@method is empty")
		}
		return append(b, m.Method...), nil
	case "@path":
		if !strings.HasPrefix(m.Path, "/") {
			return b, refuse("@path does not begin with a slash")
		}
		return append(b, m.Path...), nil
	}
	// SPEC: RFC 9421 2.2.7: @query includes the leading question mark, also where the query is empty or absent.
	return append(append(b, '?'), m.Query...), nil
}

// refuse is a CodeSignature refusal, the only kind that verification gives for a message.
func refuse(format string, args ...any) error {
	return countersign.Refuse(countersign.CodeSignature, format, args...)
}
