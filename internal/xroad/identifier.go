package xroad

import (
	"strings"

	"countersign.dev/countersign"
)

// SecurityServerID names one gateway of a member, in X-Road's words a security server: four parts. The zero value names none.
type SecurityServerID struct {
	Member countersign.MemberID
	Server countersign.GatewayName
}

// IsZero reports whether no gateway is named.
func (s SecurityServerID) IsZero() bool { return s == SecurityServerID{} }

// String joins the four parts with slashes, undecorated.
func (s SecurityServerID) String() string { return s.Member.String() + "/" + string(s.Server) }

// RepresentedParty names the third party on whose behalf a client asks. Class is empty where the client left it out. The zero value
// names nobody.
type RepresentedParty struct {
	Class string
	Code  string
}

// IsZero reports whether nobody is named.
func (p RepresentedParty) IsZero() bool { return p == RepresentedParty{} }

// String is [class/]code, undecorated.
func (p RepresentedParty) String() string {
	if p.Class == "" {
		return p.Code
	}
	return p.Class + "/" + p.Code
}

const upperHex = "0123456789ABCDEF"

// segmentByte reports whether RFC 3986 lets c stand unescaped in a path segment (pchar without the percent sign).
func segmentByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '_', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@':
		return true
	}
	return false
}

// unhex gives the value of a hexadecimal digit, or false.
func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// AppendPart appends one identifier part, percent-encoded as X-Road writes it: whatever may not stand in a path segment, the slash
// among it, is escaped byte by byte with upper-case digits.
func AppendPart(dst []byte, part string) []byte {
	for i := range len(part) {
		if c := part[i]; segmentByte(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

// EncodePart is [AppendPart] as a string. Ordinary identifiers come back as they are, without an allocation.
func EncodePart(part string) string {
	for i := range len(part) {
		if !segmentByte(part[i]) {
			return string(AppendPart(make([]byte, 0, len(part)+8), part))
		}
	}
	return part
}

// DecodePart reads one percent-encoded identifier part and checks it by [countersign.CheckIdentifierPart]. Ordinary identifiers come
// back as they are, without an allocation.
//
// SPEC: PR-REST 4.2: parts are UTF-8, each percent-encoded on its own; input must be strictly validated.
func DecodePart(raw string) (string, error) {
	part, err := percentDecode(raw, segmentByte)
	if err != nil {
		return "", err
	}
	if err := countersign.CheckIdentifierPart(part); err != nil {
		return "", err
	}
	return part, nil
}

// percentDecode decodes escapes once and refuses every unescaped byte that allowed does not let stand.
func percentDecode(raw string, allowed func(byte) bool) (string, error) {
	var buf []byte
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' {
			if !allowed(c) {
				return "", countersign.Refuse(countersign.CodeBadRequest, "the byte 0x%02X stands unescaped: percent-encode it", c)
			}
			if buf != nil {
				buf = append(buf, c)
			}
			continue
		}
		if i+2 >= len(raw) {
			return "", countersign.Refuse(countersign.CodeBadRequest, "a percent sign without two hexadecimal digits: write %%25 for the sign itself")
		}
		hi, ok1 := unhex(raw[i+1])
		lo, ok2 := unhex(raw[i+2])
		if !ok1 || !ok2 {
			return "", countersign.Refuse(countersign.CodeBadRequest, "a percent sign without two hexadecimal digits: write %%25 for the sign itself")
		}
		if buf == nil {
			buf = append(make([]byte, 0, len(raw)), raw[:i]...)
		}
		buf = append(buf, hi<<4|lo)
		i += 2
	}
	if buf == nil {
		return raw, nil
	}
	return string(buf), nil
}

// EncodeSubsystem writes a client identifier as the X-Road-Client header holds it: three or four encoded parts.
func EncodeSubsystem(id countersign.SubsystemID) string {
	return string(appendSubsystem(make([]byte, 0, 64), id))
}

// EncodeService writes a service identifier as the X-Road-Service header holds it: five encoded parts.
func EncodeService(id countersign.ServiceID) string {
	b := append(appendSubsystem(make([]byte, 0, 80), id.SubsystemID), '/')
	return string(AppendPart(b, id.Service))
}

func appendSubsystem(b []byte, id countersign.SubsystemID) []byte {
	b = append(AppendPart(b, id.Instance), '/')
	b = append(AppendPart(b, id.Class), '/')
	b = AppendPart(b, id.Code)
	if id.Subsystem != "" {
		b = AppendPart(append(b, '/'), id.Subsystem)
	}
	return b
}

// ParseSubsystem reads an encoded client identifier: three parts for a member, four for a subsystem.
func ParseSubsystem(raw string) (countersign.SubsystemID, error) {
	var p [4]string
	n, err := decodeParts(raw, p[:], 3)
	if err != nil {
		return countersign.SubsystemID{}, err
	}
	id := countersign.SubsystemID{MemberID: countersign.MemberID{Instance: p[0], Class: p[1], Code: p[2]}}
	if n == 4 {
		id.Subsystem = p[3]
	}
	return id, nil
}

// ParseService reads an encoded service identifier of five parts.
func ParseService(raw string) (countersign.ServiceID, error) {
	var p [5]string
	if _, err := decodeParts(raw, p[:], 5); err != nil {
		return countersign.ServiceID{}, err
	}
	return serviceID(p), nil
}

// ParseSecurityServer reads an encoded gateway identifier of four parts.
func ParseSecurityServer(raw string) (SecurityServerID, error) {
	var p [4]string
	if _, err := decodeParts(raw, p[:], 4); err != nil {
		return SecurityServerID{}, err
	}
	return SecurityServerID{
		Member: countersign.MemberID{Instance: p[0], Class: p[1], Code: p[2]},
		Server: countersign.GatewayName(p[3]),
	}, nil
}

// ParseRepresentedParty reads an encoded [class/]code.
func ParseRepresentedParty(raw string) (RepresentedParty, error) {
	var p [2]string
	n, err := decodeParts(raw, p[:], 1)
	if err != nil {
		return RepresentedParty{}, err
	}
	if n == 1 {
		return RepresentedParty{Code: p[0]}, nil
	}
	return RepresentedParty{Class: p[0], Code: p[1]}, nil
}

func serviceID(p [5]string) countersign.ServiceID {
	return countersign.ServiceID{
		SubsystemID: countersign.SubsystemID{
			MemberID:  countersign.MemberID{Instance: p[0], Class: p[1], Code: p[2]},
			Subsystem: p[3],
		},
		Service: p[4],
	}
}

// decodeParts splits raw at its slashes and decodes each part into out; least and len(out) bound how many there may be.
func decodeParts(raw string, out []string, least int) (int, error) {
	if n := strings.Count(raw, "/") + 1; n < least || n > len(out) {
		if least == len(out) {
			return 0, countersign.Refuse(countersign.CodeBadRequest, "%d parts where %d are needed, joined by '/': encode a slash inside a part as %%2F", n, least)
		}
		return 0, countersign.Refuse(countersign.CodeBadRequest, "%d parts where %d to %d are needed, joined by '/': encode a slash inside a part as %%2F", n, least, len(out))
	}
	n := 0
	for more := true; more; n++ {
		var part string
		part, raw, more = strings.Cut(raw, "/")
		decoded, err := DecodePart(part)
		if err != nil {
			return 0, countersign.Refuse(countersign.CodeBadRequest, "part %d: %s", n+1, countersign.MessageOf(err))
		}
		out[n] = decoded
	}
	return n, nil
}
