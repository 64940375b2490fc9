package httpsig

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strings"
)

// DigestAlgorithm is a key of Content-Digest.
type DigestAlgorithm string

// The active algorithms of RFC 9530. The insecure ones (md5, sha and so on) are refused.
const (
	SHA256 DigestAlgorithm = "sha-256" // what Countersign writes
	SHA512 DigestAlgorithm = "sha-512"
)

// New begins a digest, for content that streams; nil for an algorithm that is not known.
func (a DigestAlgorithm) New() hash.Hash {
	switch a {
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	}
	return nil
}

// size is the length of a digest in bytes; 0 for an algorithm that is not known.
func (a DigestAlgorithm) size() int {
	switch a {
	case SHA256:
		return sha256.Size
	case SHA512:
		return sha512.Size
	}
	return 0
}

// ContentDigest is the one member of a Content-Digest header. The zero value matches no content.
type ContentDigest struct {
	Algorithm DigestAlgorithm
	Sum       []byte
}

// DigestContent digests content with SHA-256. A message without content has the digest of nothing, never none.
func DigestContent(content []byte) ContentDigest {
	sum := sha256.Sum256(content)
	return ContentDigest{SHA256, sum[:]}
}

// String is the header's value.
//
// SPEC: RFC 9530 2: a dictionary whose keys are algorithms and whose values are byte sequences.
func (d ContentDigest) String() string {
	b := make([]byte, 0, 128)
	b = append(append(b, d.Algorithm...), "=:"...)
	b = base64.StdEncoding.AppendEncode(b, d.Sum)
	return string(append(b, ':'))
}

// ParseContentDigest reads a Content-Digest header: exactly one of sha-256 and sha-512, without parameters, in RFC 9651's spelling. Several
// members are refused: whoever checks only one of them can be told two stories.
func ParseContentDigest(value string) (ContentDigest, error) {
	name, rest, ok := strings.Cut(value, "=:")
	encoded, ended := strings.CutSuffix(rest, ":")
	alg := DigestAlgorithm(name)
	size := alg.size()
	if !ok || !ended || size == 0 || len(encoded) != base64.StdEncoding.EncodedLen(size) {
		return ContentDigest{}, refuse("header Content-Digest: one member is due, sha-256=:BASE64: or sha-512=:BASE64:")
	}
	sum, err := appendBase64(nil, encoded, "header Content-Digest")
	if err != nil {
		return ContentDigest{}, err
	}
	if len(sum) != size {
		return ContentDigest{}, refuse("header Content-Digest: %d bytes where %s has %d", len(sum), alg, size)
	}
	return ContentDigest{alg, sum}, nil
}

// Check compares whole content with the digest.
func (d ContentDigest) Check(content []byte) error {
	switch d.Algorithm {
	case SHA256:
		sum := sha256.Sum256(content)
		return d.compare(sum[:])
	case SHA512:
		sum := sha512.Sum512(content)
		return d.compare(sum[:])
	}
	return refuse("header Content-Digest is missing")
}

// CheckSum compares content that was written to Algorithm.New's hash.
func (d ContentDigest) CheckSum(h hash.Hash) error { return d.compare(h.Sum(nil)) }

func (d ContentDigest) compare(sum []byte) error {
	if subtle.ConstantTimeCompare(sum, d.Sum) != 1 {
		return refuse("header Content-Digest does not match the content")
	}
	return nil
}
