package xroad

import (
	"io"
	"net/http"
)

// NeverRepeat keeps net/http from sending a request twice: left alone, its transport repeats a GET, HEAD or OPTIONS without a body when a
// reused connection ends before the answer, although the other side may have acted on it. A gateway calls it on every request that it sends, last.
//
// SPEC: a gateway never repeats a request once a byte was sent.
func NeverRepeat(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		r.Body = io.NopCloser(nothing{}) // a body that net/http cannot know to be empty cannot be rewound
		r.ContentLength = 0
	}
	r.GetBody = nil
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
