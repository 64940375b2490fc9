package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register"
)

func TestTimeOuts(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	u := start(t, Config{URL: s.URL, Answer: countersign.Duration(50 * time.Millisecond)})
	for _, stream := range []bool{false, true} {
		for _, path := range []string{"/silent", "/half"} {
			q := question("GET", path, "")
			q.Stream = stream
			a, err := u.Ask(t.Context(), q)
			if err == nil {
				_, err = register.ReadBounded(a, 0)
			}
			if !errors.Is(err, countersign.CodeNetwork) || !strings.Contains(err.Error(), "in time") {
				t.Errorf("%s, stream %v: %v", path, stream, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	a, err := start(t, Config{URL: s.URL}).Ask(ctx, question("GET", "/half", ""))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := register.ReadBounded(a, 0); !errors.Is(err, countersign.CodeNetwork) {
		t.Errorf("a caller that gave up: %v", err)
	}
}

// A stream may last longer than the time-out, as long as it is never silent for that long.
func TestStreamOutlivesTimeout(t *testing.T) {
	const timeout = 500 * time.Millisecond
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(timeout / 5)
		defer tick.Stop()
		for range 10 {
			_, _ = io.WriteString(w, "part ")
			w.(http.Flusher).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	u := start(t, Config{URL: s.URL, Answer: countersign.Duration(timeout)})
	for _, stream := range []bool{true, false} {
		q := question("GET", "/", "")
		q.Stream = stream
		a, err := u.Ask(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		b, err := register.ReadBounded(a, 0)
		if stream && (err != nil || len(b) != 50) || !stream && !errors.Is(err, countersign.CodeNetwork) {
			t.Errorf("stream %v: %d bytes, %v", stream, len(b), err)
		}
	}
}
