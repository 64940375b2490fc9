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
	return string(d.Algorithm) + "=:" + base64.StdEncoding.EncodeToString(d.Sum) + ":"
}

// ParseContentDigest reads a Content-Digest header: exactly one of sha-256 and sha-512, without parameters, in RFC 9651's spelling. Several
// members are refused: whoever checks only one of them can be told two stories.
func ParseContentDigest(value string) (ContentDigest, error) {
	name, rest, ok := strings.Cut(value, "=:")
	encoded, ended := strings.CutSuffix(rest, ":")
	alg := DigestAlgorithm(name)
	h := alg.New()
	if !ok || !ended || h == nil || len(encoded) != base64.StdEncoding.EncodedLen(h.Size()) {
		return ContentDigest{}, refuse("header Content-Digest: one member is due, sha-256=:BASE64: or sha-512=:BASE64:")
	}
	sum, err := decodeBase64(encoded, "header Content-Digest")
	if err != nil {
		return ContentDigest{}, err
	}
	if len(sum) != h.Size() {
		return ContentDigest{}, refuse("header Content-Digest: %d bytes where %s has %d", len(sum), alg, h.Size())
	}
	return ContentDigest{alg, sum}, nil
}

// Check compares whole content with the digest.
func (d ContentDigest) Check(content []byte) error {
	h := d.Algorithm.New()
	if h == nil {
		return refuse("header Content-Digest is missing")
	}
	_, _ = h.Write(content) // a hash never fails
	return d.CheckSum(h)
}

// CheckSum compares content that was written to Algorithm.New's hash.
func (d ContentDigest) CheckSum(h hash.Hash) error {
	if subtle.ConstantTimeCompare(h.Sum(nil), d.Sum) != 1 {
		return refuse("header Content-Digest does not match the content")
	}
	return nil
}
