package feed

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// lying is a witness that answers with whatever it was given.
type lying struct {
	get, post             []byte
	getStatus, postStatus int
}

// RoundTrip implements http.RoundTripper.
func (l *lying) RoundTrip(r *http.Request) (*http.Response, error) {
	body, status := l.get, l.getStatus
	if r.Method == http.MethodPost {
		body, status = l.post, l.postStatus
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

// Whatever a witness answers, a checkpoint is handed on only with the log's own signature, and a cosignature counts only with the witness's.
func FuzzAnswers(f *testing.F) {
	logSecret, logKey, err := note.GenerateKey(rand.Reader, "log.example/a")
	if err != nil {
		f.Fatal(err)
	}
	_, witnessKey, err := note.GenerateKey(rand.Reader, "witness.example/w")
	if err == nil {
		witnessKey, err = fnote.VKeyToCosignatureV1(witnessKey)
	}
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(logSecret)
	if err != nil {
		f.Fatal(err)
	}
	check, err := note.NewVerifier(logKey)
	if err != nil {
		f.Fatal(err)
	}
	witness, err := fnote.NewVerifierForCosignatureV1(witnessKey)
	if err != nil {
		f.Fatal(err)
	}
	own, err := note.Sign(&note.Note{Text: "log.example/a\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"}, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(""), 404, []byte("7\n"), 409)
	f.Add(own, 200, []byte(""), 200)
	f.Add([]byte("nonsense"), 200, []byte("— witness.example/w AAAA\n"), 200)
	f.Add([]byte(""), 404, []byte("99999999999999999999999\n"), 409)
	f.Fuzz(func(t *testing.T, get []byte, getStatus int, post []byte, postStatus int) {
		client := &http.Client{Transport: &lying{get, post, getStatus, postStatus}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		held, err := Ask(context.Background(), client, "http://witness.example/add-checkpoint", witness, check, own, 5)
		if err != nil {
			return
		}
		if held.Note != nil {
			if _, err := note.Open(held.Note, note.VerifierList(check)); err != nil {
				t.Errorf("%q is handed on as the log's word", held.Note)
			}
			return
		}
		// Nobody here has the witness's key: only its own word about a size remains.
		if held.Answered && postStatus != http.StatusConflict {
			t.Errorf("status %d and %q count as an answer", postStatus, post)
		}
	})
}
