package witness_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/ledger/witness"
)

// A log that another has taken over from is cosigned no more, and what was cosigned of it is still told.
func TestAnEndedLogIsCosignedNoMore(t *testing.T) {
	f := newForeign(t)
	f.grow("a", "b", "c")
	var ended atomic.Bool
	w, err := witness.Open(witness.Config{Name: "witness.example/w1", Key: newKey(t), Dir: t.TempDir(), Clock: clock.Fixed(noon), Logs: func(o countersign.LogOrigin) (witness.KnownLog, bool) {
		return witness.KnownLog{Origin: origin, VKeys: []string{f.vkey}, Ended: ended.Load()}, o == origin
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	r := &running{w, server.URL, nil}
	if status, answer, _ := r.post(t, f.body(0, 2)); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	ended.Store(true)
	for _, body := range []string{f.body(2, 3), f.body(2, 2)} {
		if status, answer, _ := r.post(t, body); status != http.StatusNotFound || !strings.Contains(answer, "ended") {
			t.Fatalf("an ended log: %d %s", status, answer)
		}
	}
	sum := sha256.Sum256([]byte(origin))
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/"+hex.EncodeToString(sum[:])+"/checkpoint", nil))
	if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Body.String(), origin+"\n2\n") {
		t.Fatalf("what was cosigned of it: %d %s", rec.Code, rec.Body)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
