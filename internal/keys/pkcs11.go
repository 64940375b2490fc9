//go:build pkcs11

package keys

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ThalesGroup/crypto11"

	"countersign.dev/countersign"
)

// maxPIN bounds the file of a PIN.
const maxPIN = 256

// hardwareKey says where a key in hardware is.
type hardwareKey struct {
	token, object string // labels
	module        string // absolute path of the token's library
	pinFile       string // absolute path of a guarded file with the PIN
}

// parsePKCS11 reads pkcs11:token=LABEL;object=LABEL?module-path=/PATH&pin-source=file:/PATH, and nothing more of RFC 7512.
//
// SPEC: RFC 7512 2.3: attributes are percent-encoded; pin-value would put the PIN into configuration and logs, so it is refused.
func parsePKCS11(spec string) (hardwareKey, error) {
	var k hardwareKey
	bad := func(what string) (hardwareKey, error) {
		return hardwareKey{}, countersign.Refuse(countersign.CodeBadRequest,
			"hardware key: %s: write pkcs11:token=LABEL;object=LABEL?module-path=/PATH&pin-source=file:/PATH", what)
	}
	path, query, _ := strings.Cut(strings.TrimPrefix(spec, "pkcs11:"), "?")
	fields := map[string]*string{"token": &k.token, "object": &k.object, "module-path": &k.module, "pin-source": &k.pinFile}
	read := func(part string, allowed ...string) string {
		name, value, ok := strings.Cut(part, "=")
		text, err := url.PathUnescape(value)
		field := fields[name]
		switch {
		case field == nil || name != allowed[0] && name != allowed[1]:
			return fmt.Sprintf("the attribute %q is not taken", name)
		case !ok || err != nil || text == "" || *field != "":
			return fmt.Sprintf("the attribute %s is empty, repeated or not percent-encoded", name)
		}
		*field = text
		return ""
	}
	for part := range strings.SplitSeq(path, ";") {
		if what := read(part, "token", "object"); what != "" {
			return bad(what)
		}
	}
	for part := range strings.SplitSeq(query, "&") {
		if what := read(part, "module-path", "pin-source"); what != "" {
			return bad(what)
		}
	}
	k.pinFile = strings.TrimPrefix(k.pinFile, "file:")
	if k.token == "" || k.object == "" || !filepath.IsAbs(k.module) || !filepath.IsAbs(k.pinFile) {
		return bad("an attribute is missing or a path is not absolute")
	}
	return k, nil
}

// openPKCS11 opens a P-256 key in hardware. The PIN is read from its guarded file.
func openPKCS11(spec string) (Signer, error) {
	where, err := parsePKCS11(spec)
	if err != nil {
		return nil, err
	}
	pin, err := readGuardedFile(where.pinFile, maxPIN)
	if err != nil {
		return nil, err
	}
	token, err := crypto11.Configure(&crypto11.Config{Path: where.module, TokenLabel: where.token, Pin: strings.TrimRight(string(pin), "\r\n")})
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "hardware key: the token %q does not open: check module, label and PIN", where.token)
	}
	closed := sync.OnceValue(token.Close)
	refuse := func(cause error, what string) (Signer, error) {
		_ = closed() // the reason to close is the better error
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, cause, "hardware key: the token %q %s named %q: one P-256 key pair is due", where.token, what, where.object)
	}
	pairs, err := token.FindKeyPairs(nil, []byte(where.object))
	if err != nil {
		return refuse(err, "cannot be searched for a key")
	}
	if len(pairs) != 1 {
		return refuse(nil, fmt.Sprintf("has %d key pairs", len(pairs)))
	}
	key, err := NewSigner(pairs[0])
	if err != nil {
		return refuse(err, "has a key pair of another kind")
	}
	key.(*namedSigner).close = closed
	return key, nil
}
