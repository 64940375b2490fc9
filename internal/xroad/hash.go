package xroad

import (
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"net/http"
	"slices"
)

// HashBlock makes the text that a request's hash covers:
//
//	VERB CRLF path[?query] CRLF name:value CRLF … x-road-request-id:VALUE CRLF [x-road-id:VALUE CRLF]
//
// pathAndQuery is the whole request target as the client sent it ([Target.Raw]). The headers are those that pass ([CopyRequestHeaders]
// without the narrowing for personal data; give the narrowed ones where they were narrowed), so that both gateways and the client can make
// the block. madeID says that the gateway made the id, which then stands last instead of among the headers.
//
// SPEC: PR-REST 4.3, request hash. A stated deviation: X-Road writes the headers as they arrived, which Go does not know; here names
// are in lower case and sorted, several values of a name in order. Countersign-* headers are not part of the block: the gateways' signatures
// cover them.
func HashBlock(verb, pathAndQuery string, header http.Header, requestID, id string, madeID bool) []byte {
	n := len(verb) + len(pathAndQuery) + len(requestID) + len(id) + 64
	for key, values := range header {
		for _, v := range values {
			n += len(key) + len(v) + 3
		}
	}
	return AppendHashBlock(make([]byte, 0, n), verb, pathAndQuery, header, requestID, id, madeID)
}

// AppendHashBlock is [HashBlock] into a buffer of the caller's.
func AppendHashBlock(dst []byte, verb, pathAndQuery string, header http.Header, requestID, id string, madeID bool) []byte {
	dst = append(append(dst, verb...), '\r', '\n')
	dst = append(append(dst, pathAndQuery...), '\r', '\n')

	var room [48]string
	keys := room[:0]
	hops := header["Connection"]
	for key := range header {
		if passesRequest(key, false) && !named(hops, key) && !(madeID && key == HeaderID) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, CompareNames)
	for _, key := range keys {
		for _, value := range header[key] {
			dst = appendLine(dst, key, value)
		}
	}
	dst = appendLine(dst, HeaderRequestID, requestID)
	if madeID {
		dst = appendLine(dst, HeaderID, id)
	}
	return dst
}

func appendLine(dst []byte, key, value string) []byte {
	dst = AppendName(dst, key)
	return append(append(append(dst, ':'), value...), '\r', '\n')
}

// AppendName writes a header's name in lower case.
func AppendName(dst []byte, key string) []byte {
	for i := range len(key) {
		dst = append(dst, lower(key[i]))
	}
	return dst
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// CompareNames orders headers' names by their lower-case bytes; names that differ only in case, which net/http does not make, by their own.
func CompareNames(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// NewBodyDigest begins the digest of a body that streams by; its sum is [RequestHash]'s bodyDigest.
func NewBodyDigest() hash.Hash { return sha512.New() }

// RequestHash is the value of X-Road-Request-Hash: base64(SHA-512(block)), or with a body base64(SHA-512(SHA-512(block) ‖ bodyDigest)).
// hasBody is false for a body of no bytes.
//
// SPEC: PR-REST 4.3: base-64 of SHA512(SHA512(headers)+SHA512(body)); without a body of SHA512(headers).
func RequestHash(block []byte, bodyDigest []byte, hasBody bool) string {
	sum := sha512.Sum512(block)
	if hasBody {
		var both [2 * sha512.Size]byte
		copy(both[:], sum[:])
		n := copy(both[sha512.Size:], bodyDigest)
		sum = sha512.Sum512(both[:sha512.Size+n])
	}
	var text [(sha512.Size + 2) / 3 * 4]byte
	base64.StdEncoding.Encode(text[:], sum[:])
	return string(text[:])
}
