package register

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/countersign"
)

// maxDepth is the deepest nesting of objects and arrays that is read.
const maxDepth = 64

// reader is a decoder that parses a byte slice in place.
type reader struct {
	dec jsontext.Decoder
	buf bytes.Buffer
}

var readers = sync.Pool{New: func() any { return new(reader) }}

func readJSON(b []byte) *reader {
	r := readers.Get().(*reader)
	r.buf = *bytes.NewBuffer(b)
	r.dec.Reset(&r.buf)
	return r
}

var void = bytes.NewReader(nil)

// release forgets the document: a pool may not keep personal data alive.
func (r *reader) release() {
	r.buf = bytes.Buffer{}
	r.dec.Reset(void)
	readers.Put(r)
}

// walker filters one document into out, or, when strict, finds what a filter would withhold.
type walker struct {
	out     []byte
	hits    []uint64 // bit set over fields
	fields  []countersign.FieldPath
	guards  []uint32
	level   int    // of the value that is being read; the document is 0
	guarded uint32 // levels at which a guard let a field through, as far as the open objects go
	strict  bool
	where   []string // of the excess, deepest first
	scratch []byte
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

func newWalker(f *Filter, strict bool) *walker {
	w := walkers.Get().(*walker)
	w.strict = strict
	if f != nil {
		w.fields, w.guards = f.fields, f.guards
	}
	n := (len(w.fields) + 63) / 64
	if cap(w.hits) < n {
		w.hits = make([]uint64, n)
	}
	w.hits = w.hits[:n]
	clear(w.hits)
	return w
}

// maxPooled is the largest buffer that goes back to the pool.
const maxPooled = 16 << 10

func (w *walker) release() {
	if cap(w.out) > maxPooled {
		w.out = nil
	}
	clear(w.out[:cap(w.out)]) // personal data do not outlive the call
	clear(w.scratch[:cap(w.scratch)])
	*w = walker{out: w.out[:0], hits: w.hits[:0], scratch: w.scratch[:0]}
	walkers.Put(w)
}

// found lists the fields that were hit. Fields are sorted, so the list is.
func (w *walker) found() []countersign.FieldPath {
	n := 0
	for _, h := range w.hits {
		n += bits.OnesCount64(h)
	}
	if n == 0 {
		return nil
	}
	list := make([]countersign.FieldPath, 0, n)
	for i, h := range w.hits {
		for ; h != 0; h &= h - 1 {
			list = append(list, w.fields[64*i+bits.TrailingZeros64(h)])
		}
	}
	return list
}

func (w *walker) hit(n *node) {
	for _, e := range n.ends {
		w.hits[e/64] |= 1 << (e % 64)
		if w.guards != nil {
			w.guarded |= w.guards[e]
		}
	}
}

// errExcess stops a strict walk; w.where tells the place.
var errExcess = errors.New("a field that is not listed")

func unfilterable(format string, args ...any) error {
	return countersign.Refuse(countersign.CodeUnfilterable, format, args...)
}

// document walks a whole body.
func (w *walker) document(body []byte, root *node) error {
	if err := checkDepth(body); err != nil {
		return err
	}
	r := readJSON(body)
	defer r.release()
	first := r.dec.PeekKind()
	kept, err := w.value(&r.dec, root)
	if err != nil {
		return syntax(err)
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return unfilterable("the body goes on after its JSON document")
	}
	if kept {
		return nil
	}
	switch first {
	case jsontext.KindBeginObject:
		w.out = append(w.out[:0], "{}"...)
	case jsontext.KindBeginArray:
		w.out = append(w.out[:0], "[]"...)
	default:
		if w.strict {
			return errExcess
		}
		return unfilterable("the body is a single value that no listed field names")
	}
	return nil
}

// syntax makes a refusal of a decoder's error. The error's own text quotes keys, which may be personal data.
func syntax(err error) error {
	if errors.Is(err, errExcess) || countersign.CodeOf(err) != countersign.CodeInternal {
		return err
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return unfilterable("the body's JSON has an object with a duplicate key")
	}
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return unfilterable("the body is not JSON in UTF-8 (RFC 7493): byte %d", s.ByteOffset)
	}
	return unfilterable("the body is not one JSON document in UTF-8 (RFC 7493)")
}

// value reads one value and appends what n allows of it; kept is false, and nothing is appended, where that is nothing.
// A strict walk stops with errExcess where something would be left out, except at the document itself.
func (w *walker) value(d *jsontext.Decoder, n *node) (kept bool, err error) {
	switch kind := d.PeekKind(); kind {
	case jsontext.KindBeginObject:
		if n.guards == nil {
			return w.object(d, n)
		}
		raw, err := d.ReadValue()
		if err != nil {
			return false, err
		}
		return w.judged(raw, n)
	case jsontext.KindBeginArray:
		return w.array(d, n)
	default:
		raw, err := d.ReadValue() // also where PeekKind met an error
		if err != nil {
			return false, err
		}
		if len(n.ends) == 0 {
			return false, nil
		}
		w.out = append(w.out, raw...)
		w.hit(n)
		return true, nil
	}
}

// judged reads an object again once its resource type is known: the type may stand behind what it decides about.
func (w *walker) judged(raw []byte, n *node) (bool, error) {
	typ, err := w.resourceType(raw)
	if err != nil {
		return false, err
	}
	r := readJSON(raw)
	defer r.release()
	g := n.guards[string(typ)]
	if g == nil {
		return w.object(&r.dec, n)
	}
	w.guarded &^= 1 << w.level // what an earlier object at this level let through does not count here
	return w.object(&r.dec, g)
}

func (w *walker) resourceType(object []byte) ([]byte, error) {
	r := readJSON(object)
	defer r.release()
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		name, err := r.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if key, err := w.text(name); err != nil {
			return nil, err
		} else if string(key) == resourceType && r.dec.PeekKind() == jsontext.KindString {
			value, err := r.dec.ReadValue()
			if err != nil {
				return nil, err
			}
			return w.text(value)
		}
		if _, err := r.dec.ReadValue(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

const resourceType = "resourceType"

// text gives what a JSON string says, until the next call.
func (w *walker) text(raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	var err error
	w.scratch, err = jsontext.AppendUnquote(w.scratch[:0], raw)
	return w.scratch, err
}

func (w *walker) object(d *jsontext.Decoder, n *node) (kept bool, err error) {
	if _, err := d.ReadToken(); err != nil {
		return false, err
	}
	start, members := len(w.out), 0
	var typ span // of the member resourceType, where only a guard lets it pass
	w.out = append(w.out, '{')
	w.level++
	for d.PeekKind() != jsontext.KindEndObject {
		name, err := d.ReadValue()
		if err != nil {
			return false, err
		}
		members++
		key, err := w.text(name)
		if err != nil {
			return false, err
		}
		c := n.child(key)
		free := n.typed && string(key) == resourceType && (c == nil || len(c.ends) == 0)
		if c == nil && !free {
			if w.strict {
				w.where = append(w.where, showKey(key))
				return false, errExcess
			}
			if _, err := d.ReadValue(); err != nil {
				return false, err
			}
			continue
		}
		mark := len(w.out)
		if mark > start+1 {
			w.out = append(w.out, ',')
		}
		at := len(w.out)
		w.out = append(append(w.out, name...), ':')
		named := len(w.out) - 1
		if free {
			raw, err := d.ReadValue() // the very string that the guard matched
			if err != nil {
				return false, err
			}
			w.out = append(w.out, raw...)
			typ = span{mark, len(w.out)}
			continue
		}
		took, err := w.value(d, c)
		if err == nil && w.strict && !took {
			err = errExcess
		}
		if errors.Is(err, errExcess) {
			key, _ := w.text(w.out[at:named]) // it was read before
			w.where = append(w.where, n.show(key))
		}
		if err != nil {
			return false, err
		}
		if !took {
			w.out = w.out[:mark]
			continue
		}
		kept = true
	}
	w.level--
	if _, err := d.ReadToken(); err != nil {
		return false, err
	}
	if typ.end > 0 && kept && w.guarded&(1<<w.level) == 0 {
		if w.strict {
			w.where = append(w.where, resourceType)
			return false, errExcess
		}
		w.cut(start, typ)
	}
	return w.close(n, start, members, kept, '}'), nil
}

// span is a member in w.out with the comma before it.
type span struct{ begin, end int }

// cut takes a member out of the object that began at start.
func (w *walker) cut(start int, s span) {
	if s.begin == start+1 && s.end < len(w.out) {
		s.end++ // the first member has its comma behind it
	}
	w.out = append(w.out[:s.begin], w.out[s.end:]...)
}

func (w *walker) array(d *jsontext.Decoder, n *node) (kept bool, err error) {
	if _, err := d.ReadToken(); err != nil {
		return false, err
	}
	start, members := len(w.out), 0
	w.out = append(w.out, '[')
	w.level++
	for d.PeekKind() != jsontext.KindEndArray {
		members++
		mark := len(w.out)
		if kept {
			w.out = append(w.out, ',')
		}
		var took bool
		if n.wild != nil {
			took, err = w.value(d, n.wild)
		} else {
			_, err = d.ReadValue()
		}
		if err == nil && w.strict && !took {
			err = errExcess
		}
		if errors.Is(err, errExcess) {
			w.where = append(w.where, "*")
		}
		if err != nil {
			return false, err
		}
		if !took {
			w.out = w.out[:mark]
			continue
		}
		kept = true
	}
	w.level--
	if _, err := d.ReadToken(); err != nil {
		return false, err
	}
	return w.close(n, start, members, kept, ']'), nil
}

// close ends an object or array that began at start, or takes it back where nothing of it is allowed.
func (w *walker) close(n *node, start, members int, kept bool, end byte) bool {
	if members == 0 && len(n.ends) > 0 {
		w.hit(n)
		kept = true
	}
	if !kept {
		w.out = w.out[:start]
		return false
	}
	w.out = append(w.out, end)
	return true
}

// show gives a key that leads somewhere as a message may tell it: as a field path writes it.
func (n *node) show(key []byte) string {
	if _, ok := n.keys[string(key)]; ok {
		return escapeToken(string(key))
	}
	return "*"
}

// showKey gives an unknown key where it looks like a field's name; keys of maps may be identifiers or names of people.
func showKey(key []byte) string {
	digits := 0
	for _, c := range key {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-', c == '.', c == '$':
		default:
			return "…"
		}
	}
	if len(key) == 0 || len(key) > 40 || digits > 2 {
		return "…"
	}
	return string(key)
}

// explain turns the end of a strict walk into a refusal.
func (w *walker) explain(err error, excess, unread countersign.Code) error {
	if !errors.Is(err, errExcess) {
		return countersign.Refuse(unread, "%s", countersign.MessageOf(err))
	}
	if len(w.where) == 0 {
		return countersign.Refuse(excess, "the body is a single value, which is not listed: leave it out")
	}
	var b strings.Builder
	for i := len(w.where) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(w.where[i])
	}
	return countersign.Refuse(excess, "the body holds the field %s, which is not listed: leave it out", b.String())
}

// checkDepth refuses nesting beyond maxDepth before anything recurses.
func checkDepth(body []byte) error {
	if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) <= maxDepth {
		return nil
	}
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return unfilterable("the body nests objects and arrays deeper than %d", maxDepth)
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}
