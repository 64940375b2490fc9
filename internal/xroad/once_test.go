package xroad

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestNeverRepeat(t *testing.T) {
	for _, tc := range []struct {
		method, body string
		guarded      bool
		want         int64
	}{
		{"GET", "", true, 1}, {"HEAD", "", true, 1}, {"OPTIONS", "", true, 1}, {"DELETE", "", true, 1}, {"GET", "body", true, 1}, {"POST", "body", true, 1},
		{"GET", "", false, 2}, // what net/http does by itself: if this stops, the guard has lost its reason
	} {
		var count atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/warm" {
				return
			}
			if count.Add(1); len(r.TransferEncoding) > 0 || r.ContentLength != int64(len(tc.body)) {
				t.Errorf("%s: length %d, %q", tc.method, r.ContentLength, r.TransferEncoding)
			}
			panic(http.ErrAbortHandler)
		}))
		client := server.Client()
		warm, err := client.Get(server.URL + "/warm")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, warm.Body)
		_ = warm.Body.Close()
		var body io.Reader
		if tc.body != "" {
			body = strings.NewReader(tc.body)
		}
		request, err := http.NewRequestWithContext(t.Context(), tc.method, server.URL+"/once", body)
		if err != nil {
			t.Fatal(err)
		}
		if tc.guarded {
			NeverRepeat(request)
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			t.Errorf("%s: an answer came", tc.method)
		}
		if got := count.Load(); got != tc.want {
			t.Errorf("%s %q, guarded %v: sent %d times, want %d", tc.method, tc.body, tc.guarded, got, tc.want)
		}
		server.Close()
	}
}
