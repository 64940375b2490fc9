package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"countersign.dev/countersign"
)

// ForwardedHeader is the header in which a proxy says for whom it asks. One alone is read: a proxy hands on what it does not write itself, and that is the
// visitor's own word.
type ForwardedHeader string

// The headers that proxies write.
const (
	Forwarded     ForwardedHeader = "Forwarded"       // RFC 7239
	XForwardedFor ForwardedHeader = "X-Forwarded-For" // what most proxies write
)

// maxHops bounds how many entries of a header are looked at.
const maxHops = 32

// The shortest prefixes that are taken for networks of proxies. What is wider holds visitors as well.
const (
	widestIPv4 = 8
	widestIPv6 = 7 // fc00::/7, all private addresses
)

// Proxies knows the proxies in front of a server, and so from where a request really comes. Nil trusts nobody.
type Proxies struct {
	header  ForwardedHeader
	trusted []netip.Prefix
}

// NewProxies makes a list of trusted proxies. Errors are CodeBadRequest and name what is wrong: no network, one that is as wide as the Internet, one with host
// bits, an unknown header.
func NewProxies(header ForwardedHeader, trusted []netip.Prefix) (*Proxies, error) {
	if header != Forwarded && header != XForwardedFor {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the header %q is none by which proxies say for whom they ask: write %s or %s, whichever the proxy sets itself", header, XForwardedFor, Forwarded)
	}
	if len(trusted) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "no proxy is trusted: give the networks of the proxies, for instance 127.0.0.1/32, or leave proxies out")
	}
	for _, p := range trusted {
		widest := widestIPv6
		if p.Addr().Is4() {
			widest = widestIPv4
		}
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			return nil, countersign.Refuse(countersign.CodeBadRequest, "%q is no network: write for instance 127.0.0.1/32, an IPv4 network as IPv4", p)
		case p.Bits() < widest:
			return nil, countersign.Refuse(countersign.CodeBadRequest, "the network %s holds visitors as well as proxies, who could then come from any address they like: name the proxies alone", p)
		case p.Masked() != p:
			return nil, countersign.Refuse(countersign.CodeBadRequest, "the network %s has bits beyond its length: write %s, or one address as %s", p, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	return &Proxies{header: header, trusted: slices.Clone(trusted)}, nil
}

// Client gives the address from which a request comes: the peer's, unless the peer is a trusted proxy that says for whom it asks. Of what is said, entries
// count from the right as far as the addresses are trusted; the first that is not is the client, and whatever stands left of it is the visitor's own word and is
// not read. Where nothing usable is said, the peer counts: never is an address taken from what cannot be parsed. The zero address stands for a peer without one.
//
// SPEC: RFC 7239, 8.1: the header cannot be relied on to be correct, as it may be modified by every node on the way, the client among them.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	peer := parseNode(r.RemoteAddr)
	if p == nil || !p.trusts(peer) {
		return peer
	}
	lines := r.Header.Values(string(p.header))
	hops := 0
	for _, line := range slices.Backward(lines) {
		entries := strings.Split(line, ",")
		if p.header == Forwarded {
			var ok bool
			if entries, ok = forwardedFor(line); !ok {
				return peer
			}
		}
		for _, entry := range slices.Backward(entries) {
			at := parseNode(strings.Trim(entry, " \t"))
			if hops++; hops > maxHops || !at.IsValid() || at.IsUnspecified() {
				return peer
			}
			if !p.trusts(at) {
				return at
			}
		}
	}
	return peer
}

func (p *Proxies) trusts(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(a) })
}

// parseNode reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80. The zero address says that it is none.
func parseNode(s string) netip.Addr {
	host := s
	if h, _, err := net.SplitHostPort(s); err == nil {
		host = h
	} else if inner, ok := strings.CutPrefix(s, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}
		}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("") // a zone is this machine's name of an interface
}

// forwardedFor gives the node of each element of a Forwarded header's line, from left to right; empty where an element names none. It refuses a line that is not
// wholly what the grammar allows, so that nothing that a visitor began is read together with what a proxy wrote behind it.
//
// SPEC: RFC 7239, 4: Forwarded = 1#forwarded-element; forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] ); forwarded-pair = token "=" value;
// value = token / quoted-string; each parameter occurs once at most in an element.
func forwardedFor(line string) (nodes []string, ok bool) {
	rest, node, seen := line, "", map[string]bool{}
	for {
		rest = strings.TrimLeft(rest, " \t")
		if name, after, found := strings.Cut(rest, "="); found && isToken(name) {
			value, behind, ok := forwardedValue(after)
			name = strings.ToLower(name)
			if !ok || seen[name] {
				return nil, false
			}
			if seen[name] = true; name == "for" {
				node = value
			}
			rest = strings.TrimLeft(behind, " \t")
		}
		switch {
		case rest == "":
			return append(nodes, node), true
		case rest[0] == ',':
			nodes, node, seen = append(nodes, node), "", map[string]bool{}
		case rest[0] != ';':
			return nil, false
		}
		rest = rest[1:]
	}
}

// forwardedValue reads a token or a quoted string at the beginning of s.
func forwardedValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexFunc(s, func(r rune) bool { return !isTokenRune(r) })
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !isTokenRune(r) }) < 0
}

// isTokenRune reports what RFC 9110, 5.6.2 allows in a token.
func isTokenRune(r rune) bool {
	return r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}
