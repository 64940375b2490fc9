package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func networks(t testing.TB, list ...string) (out []netip.Prefix) {
	t.Helper()
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func trusting(t testing.TB, header ForwardedHeader) *Proxies {
	t.Helper()
	p, err := NewProxies(header, networks(t, "10.0.0.0/24", "2001:db8:f::/64"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func from(peer string, header ForwardedHeader, lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	for _, l := range lines {
		r.Header.Add(string(header), l)
	}
	return r
}

func TestWhoAsksBehindProxies(t *testing.T) {
	const proxy, stranger = "10.0.0.7:4711", "203.0.113.9:4711"
	for name, c := range map[string]struct {
		header ForwardedHeader
		peer   string
		lines  []string
		want   string
	}{
		"a stranger says who he is":               {XForwardedFor, stranger, []string{"192.0.2.1"}, "203.0.113.9"},
		"a proxy says who asks":                   {XForwardedFor, proxy, []string{"192.0.2.1"}, "192.0.2.1"},
		"a proxy says nothing":                    {XForwardedFor, proxy, nil, "10.0.0.7"},
		"two proxies":                             {XForwardedFor, proxy, []string{"192.0.2.1, 10.0.0.8"}, "192.0.2.1"},
		"two proxies, a line each":                {XForwardedFor, proxy, []string{"192.0.2.1", "10.0.0.8"}, "192.0.2.1"},
		"a leftmost entry of the visitor's":       {XForwardedFor, proxy, []string{"198.51.100.1, 192.0.2.1, 10.0.0.8"}, "192.0.2.1"},
		"the visitor names a proxy":               {XForwardedFor, proxy, []string{"198.51.100.1, 10.0.0.9, 192.0.2.1"}, "192.0.2.1"},
		"rubbish of the visitor's":                {XForwardedFor, proxy, []string{"\"<x>, ,, 192.0.2.1"}, "192.0.2.1"},
		"rubbish where the proxy's word is due":   {XForwardedFor, proxy, []string{"192.0.2.1, unknown"}, "10.0.0.7"},
		"an empty last entry":                     {XForwardedFor, proxy, []string{"192.0.2.1,"}, "10.0.0.7"},
		"rubbish behind a trusted address":        {XForwardedFor, proxy, []string{"192.0.2.1, x, 10.0.0.8"}, "10.0.0.7"},
		"nobody but proxies":                      {XForwardedFor, proxy, []string{"10.0.0.9, 10.0.0.8"}, "10.0.0.7"},
		"no address at all":                       {XForwardedFor, proxy, []string{"0.0.0.0"}, "10.0.0.7"},
		"more proxies than there can be":          {XForwardedFor, proxy, []string{"192.0.2.1" + strings.Repeat(", 10.0.0.8", maxHops)}, "10.0.0.7"},
		"a port":                                  {XForwardedFor, proxy, []string{"192.0.2.1:55555"}, "192.0.2.1"},
		"IPv6":                                    {XForwardedFor, "[2001:db8:f::1]:443", []string{"2001:db8:1::5"}, "2001:db8:1::5"},
		"IPv4 as IPv6":                            {XForwardedFor, "[::ffff:10.0.0.7]:443", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		"the other header is not read":            {Forwarded, proxy, nil, "10.0.0.7"},
		"RFC 7239: a token":                       {Forwarded, proxy, []string{"for=192.0.2.1;proto=https;by=203.0.113.43"}, "192.0.2.1"},
		"RFC 7239: IPv6 is quoted":                {Forwarded, proxy, []string{`For="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		"RFC 7239: one after another":             {Forwarded, proxy, []string{"for=198.51.100.17, for=192.0.2.43", "for=10.0.0.9"}, "192.0.2.43"},
		"RFC 7239: hidden":                        {Forwarded, proxy, []string{`for=192.0.2.1, for="_gazonk"`}, "10.0.0.7"},
		"RFC 7239: unknown":                       {Forwarded, proxy, []string{"for=unknown"}, "10.0.0.7"},
		"RFC 7239: no node":                       {Forwarded, proxy, []string{"for=192.0.2.1, proto=https"}, "10.0.0.7"},
		"RFC 7239: two nodes in one":              {Forwarded, proxy, []string{"for=192.0.2.1;for=192.0.2.2"}, "10.0.0.7"},
		"RFC 7239: an open quote before the word": {Forwarded, proxy, []string{`for=198.51.100.1;x=", for=192.0.2.1`}, "10.0.0.7"},
		"RFC 7239: a quote that ends in the word": {Forwarded, proxy, []string{`for=198.51.100.1, for=", for="[2001:db8::1]"`}, "10.0.0.7"},
		"RFC 7239: IPv6 without quotes":           {Forwarded, proxy, []string{"for=[2001:db8::1]"}, "10.0.0.7"},
	} {
		if got := trusting(t, c.header).Client(from(c.peer, c.header, c.lines...)); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	both := from(proxy, Forwarded, "for=198.51.100.1")
	both.Header.Set(string(XForwardedFor), "192.0.2.1")
	if got := trusting(t, XForwardedFor).Client(both); got.String() != "192.0.2.1" {
		t.Errorf("a header that the proxy hands on unread gives %s", got)
	}
	if got := (*Proxies)(nil).Client(from(proxy, XForwardedFor, "192.0.2.1")); got.String() != "10.0.0.7" {
		t.Errorf("without trusted proxies a header gives %s", got)
	}
	if got := (*Proxies)(nil).Client(from("@", XForwardedFor, "192.0.2.1")); got.IsValid() {
		t.Errorf("a peer without an address has %s", got)
	}
}

func TestNetworksThatAreNoProxies(t *testing.T) {
	for _, one := range []string{"0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3", "10.0.0.1/8", "::ffff:10.0.0.0/104", "::ffff:0.0.0.0/96"} {
		if _, err := NewProxies(XForwardedFor, networks(t, "10.0.0.0/24", one)); err == nil {
			t.Errorf("%s is trusted", one)
		}
	}
	if _, err := NewProxies(XForwardedFor, nil); err == nil {
		t.Error("a list without networks is taken")
	}
	if _, err := NewProxies(XForwardedFor, make([]netip.Prefix, 1)); err == nil {
		t.Error("the zero network is taken")
	}
	if _, err := NewProxies("X-Real-IP", networks(t, "10.0.0.0/24")); err == nil {
		t.Error("another header is taken")
	}
	if _, err := NewProxies(Forwarded, networks(t, "10.0.0.0/8", "fc00::/7", "127.0.0.1/32", "::1/128")); err != nil {
		t.Error(err)
	}
}

// FuzzForwarded holds three rules to any header: what comes from a stranger is the stranger's; what a trusted proxy appends in good form behind the visitor's own
// words is who asks, or else the proxy itself counts; and never does a trusted address count but the peer's.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "198.51.100.1", "for=198.51.100.1", `for="`, `for="\`, `for="[2001:db8::1]:80";proto=https, for=unknown`, "for=1.1.1.1;;by=_x,", ",,", `x=", for="`, "10.0.0.8", "for=10.0.0.8"} {
		f.Add(s)
	}
	const client = "2001:db8:aaaa::7"
	f.Fuzz(func(t *testing.T, said string) {
		for header, appended := range map[ForwardedHeader]string{XForwardedFor: client, Forwarded: `for="[` + client + `]:4711";proto=https`} {
			p := trusting(t, header)
			if got := p.Client(from("203.0.113.9:1", header, said)); got.String() != "203.0.113.9" {
				t.Errorf("a stranger comes from %s", got)
			}
			line := said + ", " + appended
			if said == "" {
				line = appended
			}
			for _, r := range []*http.Request{from("10.0.0.7:1", header, line), from("10.0.0.7:1", header, said, appended)} {
				if got := p.Client(r).String(); got != client && got != "10.0.0.7" {
					t.Errorf("%s %q: %s", header, r.Header.Values(string(header)), got)
				}
			}
			if got := p.Client(from("10.0.0.7:1", header, said, appended)).String(); got != client {
				t.Errorf("%s: the visitor's line %q spoils the proxy's: %s", header, said, got)
			}
			if got := p.Client(from("10.0.0.7:1", header, said)); got.String() != "10.0.0.7" && p.trusts(got) {
				t.Errorf("%s %q: a trusted address counts: %s", header, said, got)
			}
		}
	})
}
