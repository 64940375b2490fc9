package httpsig

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// Keys finds the public key of a key id, as the directory stands now. It refuses a key that may not sign messages of this kind. It is called
// once for each message that is well-formed and in time, before any signature is checked.
type Keys func(countersign.KeyID) (crypto.PublicKey, error)

// Verified is what a signature established about its message.
type Verified struct {
	Params
	// Digest is the message's Content-Digest, where the profile requires it. The signature vouches for the digest; the caller still
	// checks the content against it with [ContentDigest.Check].
	Digest ContentDigest
}

// Verify checks the one signature of a message: form, components, time, key, signature. Roots may be nil. Failures are CodeSignature refusals,
// except CodeClock for a time outside the tolerance, and the errors of keys, which pass unchanged.
func (p *Profile) Verify(m Message, now time.Time, keys Keys, roots *countersign.RootCache) (Verified, error) {
	input, err := only(m, inputHeader)
	if err != nil {
		return Verified{}, err
	}
	text, err := only(m, signatureHeader)
	if err != nil {
		return Verified{}, err
	}
	buffer := buffers.Get().(*[]byte)
	defer giveBack(buffer)
	base, err := p.appendBase((*buffer)[:0], &m)
	*buffer = base
	if err != nil {
		return Verified{}, err
	}

	// SPEC: RFC 9421 3.2.1: the verifier decides which components must be signed. Here the list is known before it is read.
	start := len(base)
	base = p.appendList(base, &m)
	*buffer = base
	params, err := p.parseInput(input, base[start:])
	if err != nil {
		return Verified{}, err
	}
	if err := params.checkTime(now); err != nil {
		return Verified{}, err
	}
	base = append(base[:start], input[len(p.label)+1:]...)
	*buffer = base

	var v Verified
	v.Params = params
	if p.content {
		value, _, err := m.header("Content-Digest", "content-digest")
		if err != nil {
			return Verified{}, err
		}
		if v.Digest, err = ParseContentDigest(value); err != nil {
			return Verified{}, err
		}
	}
	both, err := p.appendSignature(base, text)
	if err != nil {
		return Verified{}, err
	}
	*buffer = both
	base, sig := both[:len(base)], both[len(base):]
	pub, err := keys(params.KeyID)
	if err != nil {
		return Verified{}, err
	}
	if err := check(pub, params.Algorithm, p.domain, base, sig, roots); err != nil {
		return Verified{}, err
	}
	return v, nil
}

// check verifies by the algorithm that both the parameter and the key name.
//
// SPEC: RFC 9421 3.2 step 6: where several sources name an algorithm, all must agree.
func check(pub crypto.PublicKey, alg countersign.SignatureAlgorithm, domain countersign.SignatureDomain, base, sig []byte, roots *countersign.RootCache) error {
	if alg == countersign.AlgorithmTree {
		return countersign.VerifyTree(pub, domain, base, sig, roots)
	}
	plain, err := countersign.AlgorithmOf(pub)
	if err != nil {
		return err
	}
	if alg != plain {
		return refuse("signature parameter alg is %s, but the key is for %s", alg, plain)
	}
	return countersign.VerifyPlain(pub, base, sig)
}

// only finds a header that must be there once.
func only(m Message, key string) (string, error) {
	values := m.Header[key]
	if len(values) != 1 {
		return "", refuse("header %s occurs %d times: once is due", key, len(values))
	}
	if len(values[0]) > maxValue {
		return "", refuse("header %s has %d bytes: %d at most", key, len(values[0]), maxValue)
	}
	return strings.Trim(values[0], " \t"), nil
}

// parseInput reads Signature-Input: label=LIST;created=N;expires=N;keyid="K";alg="A" and perhaps ;nonce="X", spelled as RFC 9651 serialises
// it, with the list that is due and nothing else.
func (p *Profile) parseInput(text string, list []byte) (Params, error) {
	var out Params
	rest, ok := strings.CutPrefix(text, p.label+"=")
	if !ok {
		return out, refuse("header Signature-Input: the label %s is due, and no other signature", p.label)
	}
	if len(rest) < len(list) || rest[:len(list)] != string(list) {
		return out, refuse("header Signature-Input: it must name exactly the parts that are due and present, in order: %s", shorten(list))
	}
	rest = rest[len(list):]
	var err error
	if out.Created, rest, err = cutTime(rest, ";created="); err != nil {
		return out, err
	}
	if out.Expires, rest, err = cutTime(rest, ";expires="); err != nil {
		return out, err
	}
	var key, alg string
	if key, rest, err = cutString(rest, `;keyid="`); err != nil {
		return out, err
	}
	if alg, rest, err = cutString(rest, `;alg="`); err != nil {
		return out, err
	}
	out.KeyID, out.Algorithm = countersign.KeyID(key), countersign.SignatureAlgorithm(alg)
	if !known(out.Algorithm) {
		return out, refuse("signature parameter alg: %q is not accepted", alg)
	}
	if rest != "" {
		if out.Nonce, rest, err = cutString(rest, `;nonce="`); err != nil {
			return out, err
		}
	}
	if rest != "" {
		return out, refuse("header Signature-Input: more than the parameters created, expires, keyid, alg and nonce, in this order, once each")
	}
	return out, nil
}

// shorten keeps a component list readable in an error.
func shorten(list []byte) []byte {
	if len(list) > 400 {
		return append(bytes.Clone(list[:400]), "…"...)
	}
	return list
}

// cutTime reads a parameter of seconds since 1970 in its shortest spelling.
func cutTime(text, name string) (time.Time, string, error) {
	rest, ok := strings.CutPrefix(text, name)
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	if !ok || n == 0 || n > 12 || rest[0] == '0' {
		return time.Time{}, "", refuse("signature parameter %s is due, in seconds since 1970", strings.Trim(name, ";="))
	}
	seconds, err := strconv.ParseInt(rest[:n], 10, 64)
	if err != nil {
		return time.Time{}, "", refuse("signature parameter %s is no number", strings.Trim(name, ";="))
	}
	return time.Unix(seconds, 0).UTC(), rest[n:], nil
}

// cutString reads a parameter whose value needs no escapes.
func cutString(text, name string) (string, string, error) {
	rest, ok := strings.CutPrefix(text, name)
	value, rest, ended := strings.Cut(rest, `"`)
	if !ok || !ended || !isToken(value) {
		return "", "", refuse("signature parameter %s is due, in 1 to 64 characters of A-Z a-z 0-9 - _ . ~", strings.Trim(name, `;="`))
	}
	return value, rest, nil
}

// checkTime holds a signature to its five minutes, give or take the skew.
func (p *Params) checkTime(now time.Time) error {
	switch {
	case p.Expires.Sub(p.Created) != Lifetime:
		return refuse("signature parameter expires: created plus %s is due", Lifetime)
	case p.Created.After(now.Add(Skew)):
		return countersign.Refuse(countersign.CodeClock, "the signature was made %s in the future: set the clocks right", p.Created.Sub(now).Round(time.Second))
	case now.After(p.Expires.Add(Skew)):
		return countersign.Refuse(countersign.CodeClock, "the signature expired %s ago: sign anew, or set the clocks right", now.Sub(p.Expires).Round(time.Second))
	}
	return nil
}

// maxSignature is the longest wire form: a tree of 1024 has paths of ten hashes.
const maxSignature = 1024

// appendSignature reads label=:BASE64: in the spelling of RFC 9651, and writes the bytes behind those of b.
func (p *Profile) appendSignature(b []byte, text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, p.label+"=:")
	encoded, ended := strings.CutSuffix(rest, ":")
	if !ok || !ended || len(encoded) > base64.StdEncoding.EncodedLen(maxSignature) {
		return nil, refuse("header Signature: %s=:BASE64: is due, and no other signature", p.label)
	}
	return appendBase64(b, encoded, "header Signature")
}

// appendBase64 reads padded base64 in its one spelling. The library passes over line ends, which no header holds.
func appendBase64(b []byte, text, what string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().AppendDecode(b, []byte(text))
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, countersign.RefuseBecause(countersign.CodeSignature, err, "%s: padded base64 is due", what)
	}
	return raw, nil
}
