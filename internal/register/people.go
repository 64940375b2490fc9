package register

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/countersign"
)

// maxPeople bounds the persons of one answer: each has an access record of their own.
const maxPeople = 256

// People finds the identifiers of persons at given field paths of a document. It is immutable and safe for concurrent use.
type People struct {
	filter *Filter
}

// CompilePeople reads the paths that hold identifiers.
func CompilePeople(paths []countersign.FieldPath) (*People, error) {
	if len(paths) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "no field path names a person")
	}
	f, err := CompileFilter(paths)
	if err != nil {
		return nil, err
	}
	return &People{f}, nil
}

// Find gives each identifier once, in the order of the document, as it is spelled there: Scheme.Normalise makes it canonical.
// An identifier is a JSON string or an integer; null and an absent member name nobody. Anything else there, like a document that cannot be
// read, is a CodeUnfilterable refusal: the register's fault, and nothing that the asker could mend.
func (p *People) Find(body []byte) ([]string, error) {
	if len(body) == 0 {
		return nil, nil
	}
	w := newWalker(p.filter, false)
	defer w.release()
	c := collector{w: w}
	if err := c.document(body, p.filter.trie()); err != nil {
		return nil, err
	}
	return c.found, nil
}

// collector walks a document as the filter does and gathers what stands where paths end.
type collector struct {
	w     *walker
	found []string
}

func (c *collector) document(body []byte, root *node) error {
	if err := checkDepth(body); err != nil {
		return err
	}
	r := readJSON(body)
	defer r.release()
	if err := c.value(&r.dec, root); err != nil {
		return syntax(err)
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return unfilterable("the body goes on after its JSON document")
	}
	return nil
}

func (c *collector) value(d *jsontext.Decoder, n *node) error {
	kind := d.PeekKind()
	composite := kind == jsontext.KindBeginObject || kind == jsontext.KindBeginArray
	if len(n.ends) > 0 && composite {
		if _, err := d.ReadValue(); err != nil {
			return err
		}
		return unfilterable("the register's answer has an object or a list where a person's identifier belongs")
	}
	if kind == jsontext.KindBeginObject && n.guards != nil {
		raw, err := d.ReadValue()
		if err != nil {
			return err
		}
		typ, err := c.w.resourceType(raw)
		if err != nil {
			return err
		}
		if g := n.guards[string(typ)]; g != nil {
			n = g
		}
		r := readJSON(raw)
		defer r.release()
		return c.members(&r.dec, n)
	}
	if composite {
		return c.members(d, n)
	}
	raw, err := d.ReadValue()
	if err != nil || len(n.ends) == 0 || kind == jsontext.KindNull {
		return err
	}
	return c.take(kind, raw)
}

// members reads the members of an object or the elements of an array.
func (c *collector) members(d *jsontext.Decoder, n *node) error {
	open, err := d.ReadToken()
	if err != nil {
		return err
	}
	object := open.Kind() == jsontext.KindBeginObject
	for {
		if k := d.PeekKind(); k == jsontext.KindEndObject || k == jsontext.KindEndArray {
			_, err := d.ReadToken()
			return err
		}
		below := n.wild
		if object {
			name, err := d.ReadValue()
			if err != nil {
				return err
			}
			key, err := c.w.text(name)
			if err != nil {
				return err
			}
			below = n.child(key)
		}
		if below == nil {
			if _, err := d.ReadValue(); err != nil {
				return err
			}
			continue
		}
		if err := c.value(d, below); err != nil {
			return err
		}
	}
}

func (c *collector) take(kind jsontext.Kind, raw []byte) error {
	var id string
	switch kind {
	case jsontext.KindString:
		b, err := c.w.text(raw)
		if err != nil {
			return err
		}
		id = string(b)
		if why := notOnePerson(id); why != "" {
			return unfilterable("the register's answer, at a person's identifier: %s", why)
		}
	case jsontext.KindNumber:
		id = string(raw)
		if strings.ContainsAny(id, "-.eE") {
			return unfilterable("the register's answer has a number that is no identifier where one belongs")
		}
	default:
		return unfilterable("the register's answer has a truth value where a person's identifier belongs")
	}
	if slices.Contains(c.found, id) {
		return nil
	}
	if len(c.found) == maxPeople {
		return countersign.Refuse(countersign.CodeUnfilterable, "the register's answer tells of more than %d people: that is a list, not an answer about a person", maxPeople)
	}
	c.found = append(c.found, id)
	return nil
}
