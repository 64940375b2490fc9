package portal_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/portal"
)

// trustLoopback names the test's proxy, which reaches the portal from 127.0.0.1. People come from other addresses of the loopback network.
func trustLoopback(t *testing.T, header web.ForwardedHeader) func(*portal.Options) {
	t.Helper()
	return func(o *portal.Options) {
		o.Proxies = must(web.NewProxies(header, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}))(t)
	}
}

// behindTLS is a portal behind a proxy that ends TLS, appends its word to what the visitor says, and asks the portal by another name than people do.
func behindTLS(t *testing.T, header web.ForwardedHeader, change ...func(*portal.Options)) (*site, *httptest.Server) {
	t.Helper()
	proxy := httptest.NewUnstartedServer(nil)
	var inner *url.URL
	proxy.Config.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(inner)
		said := append(r.In.Header.Values(string(header)), "")
		host, _, _ := net.SplitHostPort(r.In.RemoteAddr)
		if header == web.Forwarded {
			host = "for=" + host + ";proto=https"
		}
		r.Out.Header.Set(string(header), strings.TrimPrefix(said[0]+", "+host, ", "))
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} { // left as the visitor says
			r.Out.Header[name] = r.In.Header[name]
		}
	}}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	s := newSite(t, append(change, func(o *portal.Options) { o.URL = proxy.URL })...)
	inner = must(url.Parse(s.url))(t)
	s.url = proxy.URL
	return s, proxy
}

// comingFrom is a browser on another address of this machine.
func (s *site) comingFrom(t *testing.T, address string, proxy *httptest.Server) *browser {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext(ctx, network, to)
	}}
	if proxy != nil {
		transport.TLSClientConfig = proxy.Client().Transport.(*http.Transport).TLSClientConfig
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, s, &http.Client{
		Transport: transport, Jar: must(cookiejar.New(nil))(t), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// tries logs in again and again, saying something else each time, until there have been too many logins; it gives how many there were.
func (b *browser) tries(most int, say func(i int, h http.Header)) int {
	b.t.Helper()
	for i := range most {
		r := b.do(http.MethodPost, "/login", url.Values{}, func(r *http.Request) {
			if say != nil {
				say(i, r.Header)
			}
		})
		switch r.status {
		case http.StatusTooManyRequests:
			return i
		case http.StatusSeeOther:
		default:
			b.t.Fatalf("login %d: %d %s", i, r.status, r.body)
		}
	}
	return most
}

const burst = 30 // logins from one address at once

// sayOther names another client in every header there is.
func sayOther(i int, h http.Header) {
	other := fmt.Sprintf("198.51.100.%d", i)
	for name, text := range map[string]string{"X-Forwarded-For": other, "Forwarded": "for=" + other, "X-Real-IP": other, "True-Client-IP": other} {
		h.Set(name, text)
	}
}

func TestNobodyIsBelievedUnlessNamed(t *testing.T) {
	s := newSite(t)
	if n := s.comingFrom(t, "127.0.0.2", nil).tries(burst+10, sayOther); n != burst {
		t.Errorf("with a header of one's own there are %d logins from one address, want %d", n, burst)
	}
	s = newSite(t, trustLoopback(t, web.XForwardedFor))
	if n := s.comingFrom(t, "127.0.0.2", nil).tries(burst+10, sayOther); n != burst {
		t.Errorf("a stranger who says that he asks for others has %d logins, want %d", n, burst)
	}
}

func TestEachBehindTheProxyCountsApart(t *testing.T) {
	for _, header := range []web.ForwardedHeader{web.XForwardedFor, web.Forwarded} {
		t.Run(string(header), func(t *testing.T) {
			s, proxy := behindTLS(t, header, trustLoopback(t, header))
			if n := s.comingFrom(t, "127.0.0.2", proxy).tries(burst+10, sayOther); n != burst {
				t.Errorf("a spoofed leftmost entry gives %d logins, want %d", n, burst)
			}
			if n := s.comingFrom(t, "127.0.0.3", proxy).tries(burst+10, nil); n != burst {
				t.Errorf("the next client has %d logins left, want all %d", n, burst)
			}
			for _, address := range []string{"127.0.0.", "198.51.100."} {
				if logged := s.lines.String(); strings.Contains(logged, address) {
					t.Errorf("the log holds an address: %s", logged)
				}
			}
		})
	}
	s, proxy := behindTLS(t, web.XForwardedFor)
	if n := s.comingFrom(t, "127.0.0.2", proxy).tries(burst+10, sayOther); n != burst {
		t.Errorf("through a proxy that nobody named there are %d logins, want %d", n, burst)
	}
	if n := s.comingFrom(t, "127.0.0.3", proxy).tries(1, nil); n != 0 {
		t.Error("through a proxy that nobody named, two clients are told apart")
	}
}

func TestIPv6CountsByItsNetwork(t *testing.T) {
	s := newSite(t, trustLoopback(t, web.XForwardedFor))
	proxy := s.browser(t) // from 127.0.0.1: the proxy's own word
	within := func(network string) func(int, http.Header) {
		return func(i int, h http.Header) { h.Set("X-Forwarded-For", fmt.Sprintf("%s:%x::%x", network, i, i+1)) }
	}
	if n := proxy.tries(burst+10, within("2001:db8:1:2:a")); n != burst {
		t.Errorf("one /64 has %d logins, want %d", n, burst)
	}
	if n := proxy.tries(1, within("2001:db8:1:3:a")); n != 1 {
		t.Error("the next /64 is counted together with it")
	}
	if n := proxy.tries(burst+10, func(i int, h http.Header) { h.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.7, <%d>", i)) }); n != burst {
		t.Errorf("with headers that nobody can read there are %d logins, want %d: the proxy's own", n, burst)
	}
}

// TestBehindTLS: cookies, strict transport and addresses are those of the address that people use, whatever the proxy or the visitor says of it.
func TestBehindTLS(t *testing.T) {
	s, proxy := behindTLS(t, web.XForwardedFor, trustLoopback(t, web.XForwardedFor))
	b := s.comingFrom(t, "127.0.0.2", proxy)
	lie := func(r *http.Request) {
		r.Header.Set("X-Forwarded-Host", "evil.example")
		r.Header.Set("X-Forwarded-Proto", "http")
		r.Header.Set("Origin", s.url) // of a browser too old for Sec-Fetch-Site
	}
	r := b.do(http.MethodPost, "/login", url.Values{}, lie)
	to := must(url.Parse(r.location))(t)
	if r.status != http.StatusSeeOther || to.Query().Get("redirect_uri") != proxy.URL+portal.PathCallback {
		t.Fatalf("the login goes to %d %q, to return to %q", r.status, r.location, to.Query().Get("redirect_uri"))
	}
	if got := r.header.Get("Strict-Transport-Security"); !strings.HasPrefix(got, "max-age=63072000") {
		t.Errorf("Strict-Transport-Security is %q", got)
	}
	r = b.callback(to.Query().Get("state"), s.issuer.Token("1ABC23D", to.Query().Get("nonce")))
	set := r.header.Values("Set-Cookie")
	if r.status != http.StatusSeeOther || r.location != "/uses" || len(set) != 2 {
		t.Fatalf("the login ends with %d %q, cookies %q", r.status, r.location, set)
	}
	for _, c := range set {
		if !strings.HasPrefix(c, "__Host-countersign") || !strings.Contains(c, "; Secure; SameSite=Lax") || !strings.Contains(c, "; HttpOnly") || strings.Contains(strings.ToLower(c), "domain=") {
			t.Errorf("a cookie is set as %s", strings.SplitN(c, "=", 2)[0])
		}
	}
	if r := b.get("/uses"); r.status != http.StatusOK {
		t.Errorf("the timeline: %d", r.status)
	}
	foreign := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
	if r := b.do(http.MethodPost, "/login", url.Values{}, foreign); r.status != http.StatusForbidden {
		t.Errorf("another site's form: %d", r.status)
	}
	s.clock.Add(2 * time.Hour)
	if r := b.get("/uses"); r.status != http.StatusSeeOther || r.location != "/?expired=1" {
		t.Errorf("the end of a session leads to %d %q", r.status, r.location)
	}
}
