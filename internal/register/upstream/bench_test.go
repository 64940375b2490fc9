package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/register/registertest"
)

// BenchmarkAsk asks over one connection after the other; BenchmarkPlainTransport is net/http's own cost for the same exchange.
func BenchmarkAsk(b *testing.B) {
	s := httptest.NewServer(personService())
	defer s.Close()
	u, err := New(Config{URL: s.URL})
	if err != nil {
		b.Fatal(err)
	}
	defer u.Close()
	b.ReportAllocs()
	for b.Loop() {
		a, err := u.Ask(b.Context(), registertest.Question("GET", "4B10000"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := register.ReadBounded(a, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainTransport(b *testing.B) {
	s := httptest.NewServer(personService())
	defer s.Close()
	t := new(http.Transport)
	defer t.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+"/persons/4B10000", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := t.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			b.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
