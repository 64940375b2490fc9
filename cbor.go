package countersign

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"

	"github.com/ugorji/go/codec"
)

// The public formats are CBOR arrays of definite length, so that their deterministic encoding needs no sorted maps: shortest integers,
// definite lengths, no tags, no floats.
//
// SPEC: RFC 8949 §4.2.1, core deterministic encoding requirements.
var cborHandle = func() *codec.CborHandle {
	h := new(codec.CborHandle)
	h.StructToArray = true
	h.Canonical = true
	h.MaxDepth = 8
	h.MaxInitLen = 1 << 10
	h.ValidateUnicode = true
	return h
}()

var encoders = sync.Pool{New: func() any { return codec.NewEncoderBytes(nil, cborHandle) }}

// encodeCBOR writes v, one of the wire structs of this package: it cannot fail for them.
func encodeCBOR(v any) []byte {
	enc := encoders.Get().(*codec.Encoder)
	defer encoders.Put(enc)
	out := make([]byte, 0, 512)
	enc.ResetBytes(&out)
	if err := enc.Encode(v); err != nil {
		panic("countersign: a wire struct does not encode: " + err.Error())
	}
	return out
}

// decodeCBOR reads b into the wire struct v and refuses every encoding but the deterministic one: re-encoding must give b again, so
// that one statement or leaf has one digest.
func decodeCBOR(b []byte, v any, what string) (err error) {
	if len(b) > MaxStatementBytes {
		return Refuse(CodeTooLarge, "the %s has %d bytes: %d at most", what, len(b), MaxStatementBytes)
	}
	dec := codec.NewDecoderBytes(b, cborHandle)
	if err := dec.Decode(v); err != nil {
		return RefuseBecause(CodeBadRequest, err, "the %s is not CBOR of the expected shape", what)
	}
	if !bytes.Equal(encodeCBOR(v), b) {
		return Refuse(CodeBadRequest, "the %s is not in deterministic CBOR (RFC 8949 §4.2.1)", what)
	}
	return nil
}

// MaxStatementBytes bounds a statement, a leaf and a promise in CBOR: a thousand field paths of sixty characters fit.
const MaxStatementBytes = 64 << 10

// decodeJSON reads one JSON value whole, without unknown members and with nothing after it.
func decodeJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return Refuse(CodeBadRequest, "something follows the JSON value")
	}
	return nil
}
