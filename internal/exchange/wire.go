package exchange

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/ugorji/go/codec"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/xroad"
)

// Headers of Countersign, in Go's canonical form.
const (
	HeaderPurpose      = "Countersign-Purpose"
	HeaderBasis        = "Countersign-Legal-Basis"
	HeaderOfficial     = "Countersign-Official"
	HeaderMandate      = "Countersign-Mandate"
	HeaderReceipt      = "Countersign-Receipt"
	HeaderStatus       = "Countersign-Status" // what became of a question: recorded, unknown or pending
	HeaderToken        = "Countersign-Token"  // a system's own proof to its own gateway; never leaves it
	headerExchange     = "Countersign-Exchange"
	headerRequestHash  = "Countersign-Request-Hash"
	headerAnswer       = "Countersign-Answer"
	headerStanding     = "Countersign-Standing"
	headerAnswerDigest = "Countersign-Answer-Digest" // salted, in a status
)

// profiles are the kinds of signed message between gateways.
type profiles struct {
	request  *httpsig.Profile
	response *httpsig.Profile
	stream   *httpsig.Profile
	status   *httpsig.Profile
}

// newProfiles makes them. The request hash covers verb, path, query, every header that passes and the body; the two digests of the body are
// independent. Countersign-Answer carries a digest of every header of the answer that passes. A streamed answer's digest comes in its
// trailer, signed under DomainTrailer.
//
// SPEC: docs/spec/protocol.md, "The signed request" and "The signed answer".
func newProfiles() (p profiles, err error) {
	common := []httpsig.Component{{Name: "@status"}, {Name: "countersign-answer"}, {Name: "x-road-request-hash"}, {Name: "x-road-request-id"}}
	specs := []struct {
		to   **httpsig.Profile
		spec httpsig.Spec
	}{
		{&p.request, httpsig.Spec{Label: "countersign", Domain: countersign.DomainRequest, Components: []httpsig.Component{
			{Name: "@method"}, {Name: "@path"}, {Name: "@query"}, {Name: "content-digest"}, {Name: "countersign-exchange"}, {Name: "countersign-request-hash"},
			{Name: "countersign-purpose"}, {Name: "countersign-legal-basis"}, {Name: "countersign-official"},
			{Name: "countersign-mandate", Optional: true}, {Name: "countersign-standing", Optional: true}}}},
		{&p.response, httpsig.Spec{Label: "countersign", Domain: countersign.DomainResponse, Components: append([]httpsig.Component{{Name: "content-digest"}}, common...)}},
		{&p.stream, httpsig.Spec{Label: "countersign", Domain: countersign.DomainResponse, Components: common}},
		{&p.status, httpsig.Spec{Label: "countersign", Domain: countersign.DomainResponse, Components: []httpsig.Component{
			{Name: "@status"}, {Name: "countersign-status"}, {Name: "x-road-request-id"},
			{Name: "countersign-answer", Optional: true}, {Name: "countersign-answer-digest", Optional: true}}}},
	}
	for _, s := range specs {
		if *s.to, err = httpsig.NewProfile(s.spec); err != nil {
			return p, err
		}
	}
	return p, nil
}

// trailerSigned is the text that a provider's gateway signs at the end of a streamed answer: which exchange, and what was sent.
func trailerSigned(id countersign.ExchangeID, contentDigest string) []byte {
	return []byte("countersign trailer\n" + id.String() + "\n" + contentDigest + "\n")
}

// opening is the consumer's part of an exchange that no X-Road header carries.
type opening struct {
	Asked  countersign.Millis
	Half   countersign.SaltHalf
	MadeID bool // the X-Road-Id was made by the consumer's gateway: it then stands last in the request hash
}

// SPEC: RFC 9651 dictionary: asked is an integer, salt a byte sequence of 32 bytes, made is true or absent; no other key.
func (o opening) header() string {
	b := make([]byte, 0, 96)
	b = append(b, "asked="...)
	b = strconv.AppendInt(b, int64(o.Asked), 10)
	b = append(b, ", salt=:"...)
	b = base64.StdEncoding.AppendEncode(b, o.Half[:])
	b = append(b, ':')
	if o.MadeID {
		b = append(b, ", made"...)
	}
	return string(b)
}

func parseOpening(values []string) (o opening, err error) {
	if len(values) == 1 && o.scan(values[0]) {
		return o, nil
	}
	return parseAnyOpening(values)
}

// scan reads the very spelling that header writes, which is the only one that our own gateways send: every exchange pays for it.
func (o *opening) scan(v string) bool {
	asked, rest, ok := strings.Cut(v, ", salt=:")
	digits, ok2 := strings.CutPrefix(asked, "asked=")
	if !ok || !ok2 || len(digits) != 13 || digits[0] == '0' {
		return false
	}
	ms, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || ms > uint64(countersign.MaxMillis) {
		return false
	}
	text := base64.StdEncoding.EncodedLen(len(o.Half))
	if len(rest) < text+1 || rest[text] != ':' || rest[text+1:] != "" && rest[text+1:] != ", made" {
		return false
	}
	var half [33]byte
	if n, err := base64.StdEncoding.Strict().Decode(half[:], []byte(rest[:text])); err != nil || n != len(o.Half) {
		return false
	}
	o.Asked, o.MadeID = countersign.Millis(ms), rest[text+1:] != ""
	copy(o.Half[:], half[:])
	return true
}

// parseAnyOpening reads every spelling that RFC 9651 allows.
func parseAnyOpening(values []string) (o opening, err error) {
	bad := countersign.Refuse(countersign.CodeBadRequest, "the header %s must be a dictionary of asked (milliseconds), salt (32 bytes) and, where so, made", headerExchange)
	d, err := httpsfv.UnmarshalDictionary(values)
	if err != nil || len(values) != 1 {
		return o, bad
	}
	due := 2
	if made, ok := d.Get("made"); ok {
		item, ok := made.(httpsfv.Item)
		if !ok || item.Value != true {
			return o, bad
		}
		o.MadeID, due = true, 3
	}
	if len(d.Names()) != due {
		return o, bad
	}
	asked, ok := d.Get("asked")
	salt, ok2 := d.Get("salt")
	if !ok || !ok2 {
		return o, bad
	}
	a, ok := asked.(httpsfv.Item)
	s, ok2 := salt.(httpsfv.Item)
	if !ok || !ok2 {
		return o, bad
	}
	ms, ok := a.Value.(int64)
	half, ok2 := s.Value.([]byte)
	if !ok || !ok2 || ms <= 0 || ms > int64(countersign.MaxMillis) || len(half) != len(o.Half) {
		return o, bad
	}
	o.Asked = countersign.Millis(ms)
	copy(o.Half[:], half)
	return o, nil
}

// checkAsked holds the consumer's word for its time, and the time in its exchange id, to the provider's clock. The decision is made as of then: an asker who could choose the time
// could use an authority that has ended.
func (o opening) checkAsked(now time.Time, id countersign.ExchangeID) error {
	if at := o.Asked.Time(); at.After(now.Add(Skew)) || now.Sub(at) > httpsig.Lifetime+Skew {
		return countersign.Refuse(countersign.CodeClock, "the question was asked at another time than this gateway's clock tells, by more than %s ahead or %s behind: set the clocks right", Skew, httpsig.Lifetime)
	}
	// An id is good for as long as its question is: once that time is over nobody need remember it, and it cannot come to life again.
	if made := id.Time(); made.Sub(o.Asked.Time()).Abs() > Skew {
		return countersign.Refuse(countersign.CodeClock, "the exchange id was made at another time than the question was asked, by more than %s: make it anew for each question", Skew)
	}
	return nil
}

// answering is the provider's part of a statement, as the header Countersign-Answer carries it: base64 of a CBOR array.
// With it the consumer recomputes the statement and so the commitment.
type answering struct {
	Outcome   countersign.Outcome
	Reasons   []countersign.Code
	Fields    []countersign.FieldPath
	Mandate   countersign.MandateRef
	Subject   string // only where the service finds its subject in the answer
	Answered  countersign.Millis
	Half      countersign.SaltHalf
	Directory uint64
	Headers   countersign.Digest // of the status and the headers that pass; see headersDigest
	Streamed  bool               // the body's digest follows in a trailer
}

const (
	answeringVersion = 1
	answeringHead    = 0x80 | 13 // an array of 13 elements
)

type wireAnswering struct {
	Version       uint8
	Outcome       uint8
	Reasons       []string
	Fields        []string
	MandateKind   uint8
	MandateID     string
	MandateDigest []byte
	Subject       string
	Answered      uint64
	Half          []byte
	Directory     uint64
	Headers       []byte
	Streamed      bool
}

var answerHandle = func() *codec.CborHandle {
	h := new(codec.CborHandle)
	h.StructToArray = true
	h.MaxInitLen = 1 << 10
	h.MaxDepth = 8
	h.ValidateUnicode = true
	h.ZeroCopy = true // what is read shares memory with bytes that nobody writes to again
	return h
}()

// answerDecoders and answerEncoders keep what reads and writes the header, which costs more to make than to use.
var answerDecoders, answerEncoders sync.Pool

func (a *answering) header() (string, error) {
	w := wireAnswering{
		Version: answeringVersion, Outcome: uint8(a.Outcome), Reasons: plain(a.Reasons), Fields: plain(a.Fields),
		MandateKind: uint8(a.Mandate.Kind), MandateID: string(a.Mandate.ID), MandateDigest: a.Mandate.Digest[:], Subject: a.Subject,
		Answered: uint64(a.Answered), Half: a.Half[:], Directory: a.Directory, Headers: a.Headers[:], Streamed: a.Streamed, //nolint:gosec // times after 1970
	}
	out, err := encode(make([]byte, 0, 256+32*len(w.Fields)), &w)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "the answer's header cannot be written")
	}
	text := make([]byte, 0, 2048) // on the stack: most headers are shorter
	return string(base64.StdEncoding.AppendEncode(text, out)), nil
}

// encode writes what gateways of this program alone read, into out.
func encode(out []byte, v any) ([]byte, error) {
	enc, ok := answerEncoders.Get().(*codec.Encoder)
	if !ok {
		enc = codec.NewEncoderBytes(nil, answerHandle)
	}
	defer answerEncoders.Put(enc)
	enc.ResetBytes(&out)
	err := enc.Encode(v)
	return out, err
}

func parseAnswering(values []string) (*answering, error) {
	bad := func(err error) (*answering, error) {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the provider's header %s cannot be read", headerAnswer)
	}
	if len(values) != 1 || len(values[0]) > countersign.MaxStatementBytes {
		return bad(nil)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(values[0])
	if err != nil || len(raw) == 0 || raw[0] != answeringHead {
		return bad(err)
	}
	var w wireAnswering
	dec, ok := answerDecoders.Get().(*codec.Decoder)
	if !ok {
		dec = codec.NewDecoderBytes(nil, answerHandle)
	}
	defer answerDecoders.Put(dec)
	dec.ResetBytes(raw)
	if err := dec.Decode(&w); err != nil {
		return bad(err)
	}
	// What the consumer puts into its own statement from here must be a statement that can be read again.
	out := countersign.Outcome(w.Outcome)
	if dec.NumBytesRead() != len(raw) || w.Answered > uint64(countersign.MaxMillis) || out < countersign.OutcomeReleased || out > countersign.OutcomeFailed {
		return bad(nil)
	}
	a := &answering{
		Outcome: countersign.Outcome(w.Outcome), Reasons: named[countersign.Code](w.Reasons), Fields: named[countersign.FieldPath](w.Fields),
		Mandate: countersign.MandateRef{Kind: countersign.MandateKind(w.MandateKind), ID: countersign.MandateID(w.MandateID)},
		Subject: w.Subject, Answered: countersign.Millis(w.Answered), Directory: w.Directory, Streamed: w.Streamed,
	}
	if w.Version != answeringVersion || len(w.Half) != len(a.Half) || len(w.Headers) != len(a.Headers) || len(w.MandateDigest) != len(a.Mandate.Digest) {
		return bad(nil)
	}
	copy(a.Half[:], w.Half)
	copy(a.Headers[:], w.Headers)
	copy(a.Mandate.Digest[:], w.MandateDigest)
	return a, nil
}

func plain[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func named[S ~string](in []string) []S {
	out := make([]S, len(in))
	for i, s := range in {
		out[i] = S(s)
	}
	return out
}

// promiseHeader carries a promise and its signature between gateways, and to the information system: two byte sequences of an RFC 9651 list.
func promiseHeader(promise, signature []byte) string {
	b := make([]byte, 0, 1024) // on the stack: most promises are shorter
	b = append(b, ':')
	b = base64.StdEncoding.AppendEncode(b, promise)
	b = append(b, ":, :"...)
	b = base64.StdEncoding.AppendEncode(b, signature)
	return string(append(b, ':'))
}

// ParsePromiseHeader reads the header Countersign-Receipt: the promise and its signature.
func ParsePromiseHeader(values []string) (promise, signature []byte, err error) {
	promise, signature, _, err = readPromise(values)
	return promise, signature, err
}

// readPromise is ParsePromiseHeader that gives also the one spelling of what it has read, as promiseHeader writes it.
func readPromise(values []string) (promise, signature []byte, header string, err error) {
	if len(values) == 1 && len(values[0]) <= countersign.MaxStatementBytes {
		if promise, signature, ok := scanPromise(values[0]); ok {
			return promise, signature, values[0], nil
		}
	}
	if promise, signature, err = parseAnyPromise(values); err != nil {
		return nil, nil, "", err
	}
	return promise, signature, promiseHeader(promise, signature), nil
}

// scanPromise reads the very spelling that promiseHeader writes, and no other.
func scanPromise(v string) (promise, signature []byte, ok bool) {
	a, b, ok := strings.Cut(v, ":, :")
	// The decoder passes over line ends.
	if !ok || len(a) < 2 || a[0] != ':' || len(b) < 2 || b[len(b)-1] != ':' || strings.ContainsAny(v, "\r\n") {
		return nil, nil, false
	}
	strict := base64.StdEncoding.Strict()
	room := make([]byte, 0, base64.StdEncoding.DecodedLen(len(v)))
	both, err := strict.AppendDecode(room, []byte(a[1:]))
	if err != nil {
		return nil, nil, false
	}
	n := len(both)
	both, err = strict.AppendDecode(both, []byte(b[:len(b)-1]))
	return both[:n:n], both[n:], err == nil
}

// parseAnyPromise reads every spelling that RFC 9651 allows.
func parseAnyPromise(values []string) (promise, signature []byte, err error) {
	bad := countersign.Refuse(countersign.CodeNoReceipt, "the answer carries no receipt that can be read: its header %s must hold a promise and a signature", HeaderReceipt)
	if len(values) != 1 || len(values[0]) > countersign.MaxStatementBytes {
		return nil, nil, bad
	}
	l, err := httpsfv.UnmarshalList(values)
	if err != nil || len(l) != 2 {
		return nil, nil, bad
	}
	var out [2][]byte
	for i, m := range l {
		item, ok := m.(httpsfv.Item)
		if !ok {
			return nil, nil, bad
		}
		if out[i], ok = item.Value.([]byte); !ok {
			return nil, nil, bad
		}
	}
	return out[0], out[1], nil
}

// headerSet sets headers of one value each out of one piece of memory.
type headerSet struct {
	http.Header
	values []string
}

func (s *headerSet) set(name, value string) {
	s.values = append(s.values, value)
	n := len(s.values)
	s.Header[name] = s.values[n-1 : n : n]
}

// headersDigest is SHA-256 of the status and of every header that passes to the information system: the status and LF, then
// "name:value" and LF for each value, names in lower case and sorted, values of one name in order.
func headersDigest(status int, h http.Header) countersign.Digest {
	var room [24]string
	names := room[:0]
	for n := range h {
		names = append(names, n)
	}
	slices.SortFunc(names, xroad.CompareNames)
	b := make([]byte, 0, 512)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, '\n')
	for _, n := range names {
		for _, v := range h[n] {
			b = xroad.AppendName(b, n)
			b = append(b, ':')
			b = append(b, v...)
			b = append(b, '\n')
		}
	}
	return sha256.Sum256(b)
}
