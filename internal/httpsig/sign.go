package httpsig

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"sync"
	"time"

	"countersign.dev/countersign"
)

// MessageSigner signs the bytes of a signature base. Implementations are safe for concurrent use, do not keep or change the message, and
// return soon after the context ends.
type MessageSigner interface {
	// Algorithm is one of the three of [countersign.SignatureAlgorithm].
	Algorithm() countersign.SignatureAlgorithm
	// KeyID names the key by which the signature verifies.
	KeyID() countersign.KeyID
	// Sign gives the algorithm's wire form.
	Sign(ctx context.Context, domain countersign.SignatureDomain, message []byte) ([]byte, error)
}

// Headers are the two header values that carry a signature.
type Headers struct {
	Input     string // Signature-Input
	Signature string // Signature
}

// Set puts the headers on a message, in place of any that it has.
func (h Headers) Set(header http.Header) {
	values := [...]string{h.Input, h.Signature}
	header[inputHeader] = values[:1:1]
	header[signatureHeader] = values[1:]
}

// Params are the parameters of a signature.
type Params struct {
	Created   time.Time // whole seconds
	Expires   time.Time // Created plus Lifetime
	KeyID     countersign.KeyID
	Algorithm countersign.SignatureAlgorithm
	Nonce     string // optional: up to 64 characters of A-Z a-z 0-9 - _ . ~ (a request's hash, for instance)
}

// buffers holds signature bases between uses.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func giveBack(b *[]byte) {
	if cap(*b) <= maxBase {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// Sign signs a message as of now and gives its headers; it does not set them. The message must hold every required component and no header
// twice. An error of the signer is passed on.
func (p *Profile) Sign(ctx context.Context, s MessageSigner, m Message, now time.Time) (Headers, error) {
	return p.SignWithNonce(ctx, s, m, now, "")
}

// SignWithNonce is Sign with the nonce parameter; an empty nonce leaves it out.
func (p *Profile) SignWithNonce(ctx context.Context, s MessageSigner, m Message, now time.Time, nonce string) (Headers, error) {
	buffer := buffers.Get().(*[]byte)
	defer giveBack(buffer)
	prepared, err := p.prepare((*buffer)[:0], s, m, now, nonce)
	*buffer = prepared.Base
	if err != nil {
		return Headers{}, err
	}
	sig, err := s.Sign(ctx, p.domain, prepared.Base)
	if err != nil {
		return Headers{}, err
	}
	return prepared.Headers(sig), nil
}

// Prepared is a message whose signature is still to be made, for callers who sign several things in one group.
type Prepared struct {
	Domain countersign.SignatureDomain
	Base   []byte // what is to be signed
	label  string
	input  string
}

// Prepare makes the signature base of a message as of now. The signer is asked for algorithm and key only.
func (p *Profile) Prepare(s MessageSigner, m Message, now time.Time, nonce string) (Prepared, error) {
	return p.prepare(make([]byte, 0, 1024), s, m, now, nonce)
}

// Headers are the headers for the signature of Base.
func (r Prepared) Headers(sig []byte) Headers {
	b := make([]byte, 0, 1024) // on the stack: most signatures are shorter
	b = append(b, r.label...)
	b = append(b, "=:"...)
	b = base64.StdEncoding.AppendEncode(b, sig)
	return Headers{Input: r.input, Signature: string(append(b, ':'))}
}

func (p *Profile) prepare(b []byte, s MessageSigner, m Message, now time.Time, nonce string) (Prepared, error) {
	created := now.Truncate(time.Second)
	params := Params{Created: created, Expires: created.Add(Lifetime), KeyID: s.KeyID(), Algorithm: s.Algorithm(), Nonce: nonce}
	if !isToken(string(params.KeyID)) || nonce != "" && !isToken(nonce) || !known(params.Algorithm) || created.Unix() <= 0 {
		return Prepared{Base: b}, refuse("a signature's parameters cannot be written: key id and nonce are 1 to 64 characters of A-Z a-z 0-9 - _ . ~")
	}
	b, err := p.appendBase(b, &m)
	if err != nil {
		return Prepared{Base: b}, err
	}
	start := len(b)
	b = p.appendList(b, &m)
	b = params.append(b)
	return Prepared{Domain: p.domain, Base: b, label: p.label, input: p.label + "=" + string(b[start:])}, nil
}

// appendBase writes the signature base up to the parameters' value.
//
// SPEC: RFC 9421 2.5: one line for each component identifier, colon, space, value; the last line is @signature-params, without a newline.
func (p *Profile) appendBase(b []byte, m *Message) ([]byte, error) {
	var err error
	for i := range p.components {
		c := &p.components[i]
		var value string
		if c.key != "" {
			var present bool
			value, present, err = m.header(c.key, c.name)
			if err != nil {
				return b, err
			}
			if !present && c.optional {
				continue
			}
			if !present {
				return b, refuse("header %s is missing: it is always signed", c.name)
			}
		}
		b = append(b, '"')
		b = append(b, c.name...)
		b = append(b, `": `...)
		start := len(b)
		if c.key != "" {
			b = append(b, value...)
		} else if b, err = m.appendDerived(b, c.name); err != nil {
			return b, err
		}
		if err := checkValue(b[start:], c.name); err != nil {
			return b, err
		}
		b = append(b, '\n')
	}
	if len(b) > maxBase {
		return b, refuse("the signed parts have more than %d bytes", maxBase)
	}
	return append(b, `"@signature-params": `...), nil
}

// checkValue keeps a value on its own line of the base, in ASCII.
func checkValue(value []byte, name string) error {
	if len(value) > maxValue {
		return refuse("%s has %d bytes: %d at most", name, len(value), maxValue)
	}
	for _, c := range value {
		if (c < 0x20 || c > 0x7e) && c != '\t' {
			return refuse("%s holds the byte %#02x: signed parts are printable ASCII", name, c)
		}
	}
	return nil
}

// appendList writes the covered components: exactly those of the profile that the message has.
func (p *Profile) appendList(b []byte, m *Message) []byte {
	b = append(b, '(')
	first := true
	for i := range p.components {
		c := &p.components[i]
		if c.optional && len(m.Header[c.key]) == 0 {
			continue
		}
		if !first {
			b = append(b, ' ')
		}
		first = false
		b = append(b, '"')
		b = append(b, c.name...)
		b = append(b, '"')
	}
	return append(b, ')')
}

// append writes the parameters in their one order.
func (p *Params) append(b []byte) []byte {
	b = append(b, ";created="...)
	b = strconv.AppendInt(b, p.Created.Unix(), 10)
	b = append(b, ";expires="...)
	b = strconv.AppendInt(b, p.Expires.Unix(), 10)
	b = append(b, `;keyid="`...)
	b = append(b, p.KeyID...)
	b = append(b, `";alg="`...)
	b = append(b, p.Algorithm...)
	b = append(b, '"')
	if p.Nonce != "" {
		b = append(b, `;nonce="`...)
		b = append(b, p.Nonce...)
		b = append(b, '"')
	}
	return b
}

// isToken accepts 1 to 64 unreserved characters of RFC 3986, which need no escape in a structured field's string.
func isToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != '~' {
			return false
		}
	}
	return true
}

func known(alg countersign.SignatureAlgorithm) bool {
	return alg == countersign.AlgorithmTree || alg == countersign.AlgorithmEd25519 || alg == countersign.AlgorithmP256
}
