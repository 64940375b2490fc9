package exchange

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/httpsig"
)

// body is a request's content, read whole before anything is decided on it. Personal content stays in memory; class O content beyond a
// mebibyte is spooled to a file without a name, which the kernel removes with the process.
type body struct {
	bytes  []byte
	file   *os.File
	size   int64
	sha512 []byte
	sha256 []byte
}

// noContent is the body of a request without one. Nobody changes a body once it is read.
var noContent = new(body)

const spoolAbove = 1 << 20

// readBody reads a request's content to its bound. A personal body over the bound is a CodeTooLarge refusal.
func readBody(r *http.Request, personal bool) (*body, error) {
	most := int64(MaxOpenBody)
	if personal {
		most = MaxPersonalBody
	}
	if r.ContentLength > most {
		return nil, tooLarge(most)
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return noContent, nil
	}
	b := &body{}
	h5, h2 := sha512.New(), sha256.New()
	if err := b.fill(r.Body, io.MultiWriter(h5, h2), personal, most); err != nil {
		b.close()
		return nil, err
	}
	b.sum(h5, h2)
	return b, nil
}

func (b *body) sum(h5, h2 hash.Hash) {
	if b.size > 0 {
		b.sha512, b.sha256 = h5.Sum(nil), h2.Sum(nil)
	}
}

func (b *body) fill(from io.Reader, digest io.Writer, personal bool, most int64) error {
	head := int64(spoolAbove)
	if personal {
		head = most
	}
	var buf bytes.Buffer
	n, err := io.Copy(io.MultiWriter(&buf, digest), io.LimitReader(from, head+1))
	if err != nil {
		return unreadable(err)
	}
	b.bytes, b.size = buf.Bytes(), n
	if n <= head {
		return nil
	}
	if personal {
		return tooLarge(most)
	}
	if b.file, err = os.CreateTemp("", "countersign-open-*"); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the gateway has no room to take a large request")
	}
	if err := os.Remove(b.file.Name()); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the gateway has no room to take a large request")
	}
	if _, err := b.file.Write(b.bytes); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the gateway has no room to take a large request")
	}
	b.bytes = nil
	n, err = io.Copy(io.MultiWriter(b.file, digest), io.LimitReader(from, most-b.size+1))
	if err != nil {
		return unreadable(err)
	}
	if b.size += n; b.size > most {
		return tooLarge(most)
	}
	return nil
}

func tooLarge(most int64) error {
	return countersign.Refuse(countersign.CodeTooLarge, "the request's body is over %d bytes", most)
}

func unreadable(err error) error {
	if big, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(big.Limit)
	}
	return countersign.RefuseBecause(countersign.CodeBadRequest, err, "the request's body ended before its announced length or cannot be read")
}

// reader gives the content from its beginning.
func (b *body) reader() (io.ReadCloser, error) {
	switch {
	case b.file != nil:
		if _, err := b.file.Seek(0, io.SeekStart); err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the spooled request cannot be read back")
		}
		return io.NopCloser(io.LimitReader(b.file, b.size)), nil
	case b.size == 0:
		return http.NoBody, nil
	}
	return io.NopCloser(bytes.NewReader(b.bytes)), nil
}

// contentDigest is the value of the Content-Digest header.
func (b *body) contentDigest() httpsig.ContentDigest {
	if b.size == 0 {
		return httpsig.DigestContent(nil)
	}
	return httpsig.ContentDigest{Algorithm: httpsig.SHA256, Sum: b.sha256}
}

func (b *body) close() {
	if b.file != nil {
		_ = b.file.Close() // the file has no name: closing frees it
	}
}
