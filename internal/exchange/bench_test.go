package exchange

import (
	"bytes"
	"net/http"
	"testing"

	"countersign.dev/countersign"
)

// BenchmarkAnswerHeaders is what the headers of an answer cost: written by the provider's gateway, read by the consumer's.
func BenchmarkAnswerHeaders(b *testing.B) {
	a := &answering{
		Outcome: countersign.OutcomeReleased, Fields: []countersign.FieldPath{"/address", "/name"}, Answered: 1_800_000_000_000, Directory: 7,
		Mandate: countersign.MandateRef{Kind: countersign.MandateConsent, ID: "c-1"},
	}
	passed := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
	promise, signature := bytes.Repeat([]byte{1}, 80), bytes.Repeat([]byte{2}, 310)
	b.ReportAllocs()
	for b.Loop() {
		a.Headers = headersDigest(http.StatusOK, passed)
		text, err := a.header()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := parseAnswering([]string{text}); err != nil {
			b.Fatal(err)
		}
		if _, _, _, err := readPromise([]string{promiseHeader(promise, signature)}); err != nil {
			b.Fatal(err)
		}
	}
}
