package countersign

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"
)

// The public formats are CBOR arrays of definite length, so that their deterministic encoding needs no sorted maps: shortest integers,
// definite lengths, no tags, no floats. Four of CBOR's kinds are used, and these are written and read here rather than by a library:
// whoever checks a receipt should have to read no more than what the receipt holds. Every library of CBOR that we could have brings
// reflection over any type, and one that we had brought a web server into the offline check.
//
// SPEC: RFC 8949 §4.2.1, core deterministic encoding requirements.

// wire is one of the wire structs of this package. Its form method names the struct's elements in their order, once for both directions.
type wire interface{ form(f *cborForm) }

// cborForm writes the elements of a wire struct, or reads them from bytes that must be in the one deterministic encoding. The first error
// ends the reading; what was read by then means nothing.
type cborForm struct {
	b       []byte // written so far, or still to be read
	reading bool
	wrong   string // why the bytes cannot be read; empty if they can
	strange bool   // the bytes are CBOR, perhaps, but not in the deterministic encoding
}

// The major types in use.
//
// SPEC: RFC 8949 §3.1.
const (
	cborUint  = 0
	cborBytes = 2
	cborText  = 3
	cborArray = 4
)

// encodeCBOR writes v.
func encodeCBOR(v wire) []byte {
	f := cborForm{b: make([]byte, 0, 512)}
	v.form(&f)
	return f.b
}

// decodeCBOR reads b into the wire struct v and refuses every encoding but the deterministic one, so that one statement or leaf has one
// digest.
func decodeCBOR(b []byte, v wire, what string) error {
	if len(b) > MaxStatementBytes {
		return Refuse(CodeTooLarge, "the %s has %d bytes: %d at most", what, len(b), MaxStatementBytes)
	}
	f := cborForm{b: b, reading: true}
	v.form(&f)
	switch {
	case f.strange:
		return Refuse(CodeBadRequest, "the %s is not in deterministic CBOR (RFC 8949 §4.2.1): %s", what, f.wrong)
	case f.wrong != "":
		return Refuse(CodeBadRequest, "the %s is not CBOR of the expected shape: %s", what, f.wrong)
	case len(f.b) > 0:
		return Refuse(CodeBadRequest, "the %s is not CBOR of the expected shape: something follows it", what)
	}
	return nil
}

// MaxStatementBytes bounds a statement, a leaf and a promise in CBOR: a thousand field paths of sixty characters fit.
const MaxStatementBytes = 64 << 10

// array begins an array of n elements, which the next n calls name.
func (f *cborForm) array(n int) {
	if !f.reading {
		f.writeHead(cborArray, uint64(n)) //nolint:gosec // a length
	} else if got := f.readHead(cborArray, "an array"); f.wrong == "" && got != uint64(n) { //nolint:gosec // a length
		f.wrong = "its array has another number of elements"
	}
}

// cborNumber names an unsigned integer; one that is too large for its type is refused.
func cborNumber[T ~uint8 | ~uint32 | ~uint64](f *cborForm, v *T) {
	if !f.reading {
		f.writeHead(cborUint, uint64(*v))
		return
	}
	n := f.readHead(cborUint, "an unsigned integer")
	if *v = T(n); uint64(*v) != n && f.wrong == "" {
		f.wrong = "an integer is too large"
	}
}

// bytes names a byte string, which shares memory with what it is read from.
func (f *cborForm) bytes(v *[]byte) {
	if !f.reading {
		f.writeHead(cborBytes, uint64(len(*v)))
		f.b = append(f.b, *v...)
		return
	}
	*v = f.readString(cborBytes, "a byte string")
}

// text names a text string.
func (f *cborForm) text(v *string) {
	if !f.reading {
		f.writeHead(cborText, uint64(len(*v)))
		f.b = append(f.b, *v...)
		return
	}
	b := f.readString(cborText, "a text string")
	if !utf8.Valid(b) && f.wrong == "" {
		f.wrong = "a text is not UTF-8"
	}
	*v = string(b)
}

// texts names an array of text strings. An empty one is read as an empty slice that is not nil.
func (f *cborForm) texts(v *[]string) {
	if !f.reading {
		f.writeHead(cborArray, uint64(len(*v)))
		for i := range *v {
			f.text(&(*v)[i])
		}
		return
	}
	n := f.readHead(cborArray, "an array of texts")
	if n > uint64(len(f.b)) { // each element takes one byte at least
		f.fail("an array is cut off")
		return
	}
	*v = make([]string, n)
	for i := range *v {
		f.text(&(*v)[i])
	}
}

// fail notes the first error and stops the reading.
func (f *cborForm) fail(wrong string) {
	if f.wrong == "" {
		f.wrong = wrong
	}
	f.b = nil
}

// writeHead writes a data item's head in the fewest bytes.
func (f *cborForm) writeHead(major byte, n uint64) {
	switch first := major << 5; {
	case n < 24:
		f.b = append(f.b, first|byte(n))
	case n <= math.MaxUint8:
		f.b = append(f.b, first|24, byte(n))
	case n <= math.MaxUint16:
		f.b = binary.BigEndian.AppendUint16(append(f.b, first|25), uint16(n))
	case n <= math.MaxUint32:
		f.b = binary.BigEndian.AppendUint32(append(f.b, first|26), uint32(n))
	default:
		f.b = binary.BigEndian.AppendUint64(append(f.b, first|27), n)
	}
}

// readHead reads the head of an item of one major type and returns its argument.
func (f *cborForm) readHead(major byte, due string) uint64 {
	if f.wrong != "" {
		return 0
	}
	if len(f.b) == 0 {
		f.fail("it ends where " + due + " is due")
		return 0
	}
	first := f.b[0]
	f.b = f.b[1:]
	if first>>5 != major {
		f.fail("something else stands where " + due + " is due")
		return 0
	}
	info := first & 0x1f
	if info < 24 {
		return uint64(info)
	}
	// SPEC: RFC 8949 §4.2.1: "Indefinite-length items MUST NOT appear."
	if info > 27 {
		f.strange = true
		f.fail("a length is indefinite or reserved")
		return 0
	}
	width := 1 << (info - 24)
	if len(f.b) < width {
		f.fail("a number is cut off")
		return 0
	}
	var n uint64
	for _, c := range f.b[:width] {
		n = n<<8 | uint64(c)
	}
	f.b = f.b[width:]
	// SPEC: RFC 8949 §4.2.1: "Preferred serialization MUST be used": the argument is as short as it can be.
	if n < 24 || width > 1 && bits.Len64(n) <= 4*width {
		f.strange = true
		f.fail("a number or length is longer than it need be")
		return 0
	}
	return n
}

// readString reads a byte or text string. What it returns shares memory with what is read.
func (f *cborForm) readString(major byte, due string) []byte {
	n := f.readHead(major, due)
	if n > uint64(len(f.b)) {
		f.fail("a string is cut off")
		return nil
	}
	b := f.b[:n:n]
	f.b = f.b[n:]
	return b
}
