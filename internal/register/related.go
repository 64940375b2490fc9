package register

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/countersign"
)

// Related finds the relatives that an answer tells about (children, owners, a household), and takes out those who may not be shown.
// It is immutable and safe for concurrent use.
type Related struct {
	groups []relatedGroup
}

// relatedGroup is one kind of relative: an object per relative, an identifier in it, and fields in it that tell about them.
type relatedGroup struct {
	containers *node   // ends where the objects are
	id         *People // within one object
	told       *Filter // within one object: the fields that tell
	withheld   *node   // the same and the identifier
}

// CompileRelated reads the fields that a purpose lets through and that have a Related path; others it passes over. Related is a sibling:
// it lies in the same object as the field, or in one above it, without * or a guard of its own. A field that is the identifier names itself.
func CompileRelated(fields []countersign.Field) (*Related, error) {
	type kind struct{ container, id, told [][]token }
	kinds := make(map[string]*kind)
	var order []string
	for _, f := range fields {
		if f.Related == "" {
			continue
		}
		path, err := parsePath(f.Path)
		if err != nil {
			return nil, err
		}
		id, err := parsePath(f.Related)
		if err != nil {
			return nil, err
		}
		n := containerOf(path, id)
		if slices.ContainsFunc(id[n:], func(t token) bool { return t.wild || t.guard != "" }) {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "field %q: related %q is not one identifier beside it", f.Path, f.Related)
		}
		parts := strings.Split(string(f.Related), "/")
		key := strings.Join(parts[:n], "/") + "\n" + strings.Join(parts[n:], "/")
		k := kinds[key]
		if k == nil {
			k = &kind{container: [][]token{id[:n]}, id: [][]token{relative(id, n)}}
			kinds[key] = k
			order = append(order, key)
		}
		k.told = append(k.told, relative(path, n))
	}
	out := new(Related)
	for _, key := range order {
		k := kinds[key]
		var g relatedGroup
		var err error
		if g.containers, _, err = buildTrie(k.container); err != nil {
			return nil, err
		}
		id, err := filterOf(k.id)
		if err != nil {
			return nil, err
		}
		g.id = &People{id}
		if g.told, err = filterOf(k.told); err != nil {
			return nil, err
		}
		if g.withheld, _, err = buildTrie(append(k.told, k.id...)); err != nil {
			return nil, err
		}
		out.groups = append(out.groups, g)
	}
	return out, nil
}

// containerOf gives the number of tokens that lead to the object which a field and its identifier share.
func containerOf(path, id []token) int {
	n := 0
	for n < len(path) && n < len(id) && path[n] == id[n] {
		n++
	}
	if n == len(id) && !id[n-1].wild {
		n-- // the identifier is a member of the object; an element of a list of identifiers stands for itself
	}
	return n
}

// relative gives the tokens below a container: what the guard of the container asks has been seen.
func relative(path []token, n int) []token {
	return append([]token{{}}, path[n:]...)
}

// filterOf makes a filter that only tells whether it finds anything.
func filterOf(paths [][]token) (*Filter, error) {
	root, guards, err := buildTrie(paths)
	if err != nil {
		return nil, err
	}
	return &Filter{root, make([]countersign.FieldPath, len(paths)), guards}, nil
}

// Keep passes a body through with those relatives only for whom keep, called once for each appearance with the identifier as it is spelled,
// says yes. Of others their fields and identifiers are taken out, and so they are where a relative has no identifier: nobody is shown who
// cannot be given a record. shown lists the identifiers, each once, of the relatives about whom something is left.
// The body is still to be filtered. Errors are those of Apply and of [People.Find].
func (r *Related) Keep(body []byte, keep func(id string) bool) (out []byte, shown []string, err error) {
	out = body
	if len(body) == 0 {
		return body, nil, nil
	}
	for i := range r.groups {
		var found []string
		if out, found, err = r.groups[i].keep(out, keep); err != nil {
			return nil, nil, err
		}
		for _, id := range found {
			if !slices.Contains(shown, id) {
				shown = append(shown, id)
			}
		}
	}
	if len(shown) > maxPeople {
		return nil, nil, countersign.Refuse(countersign.CodeUnfilterable, "the register's answer tells of more than %d people: that is a list, not an answer about a person", maxPeople)
	}
	return out, shown, nil
}

func (g *relatedGroup) keep(body []byte, keep func(id string) bool) (out []byte, shown []string, err error) {
	out, err = edit(body, g.containers, func(out, raw []byte) ([]byte, error) {
		w := newWalker(g.told, false)
		defer w.release()
		if err := w.document(raw, g.told.root); err != nil && !isBareValue(raw) {
			return nil, err
		}
		if len(w.found()) == 0 {
			return append(out, raw...), nil
		}
		ids, err := g.id.Find(raw)
		if err != nil {
			return nil, err
		}
		if len(ids) == 1 && keep(ids[0]) {
			if len(shown) <= maxPeople && !slices.Contains(shown, ids[0]) { // more are refused in the end
				shown = append(shown, ids[0])
			}
			return append(out, raw...), nil
		}
		rest, err := edit(raw, g.withheld, func(out, _ []byte) ([]byte, error) { return out, nil })
		return append(out, rest...), err
	})
	if err == nil && len(out) == 0 {
		// The document itself stays, as the filter leaves it.
		if b := strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n"); strings.HasPrefix(b, "[") {
			return []byte("[]"), shown, nil
		}
		return []byte("{}"), shown, nil
	}
	return out, shown, err
}

func isBareValue(raw []byte) bool { return raw[0] != '{' && raw[0] != '[' }

// edit copies a document and hands the values at which the trie ends to at, which appends what becomes of each: nothing takes it out.
// Objects and arrays left empty by that go too. The result is empty where nothing is left.
func edit(body []byte, root *node, at func(out, raw []byte) ([]byte, error)) ([]byte, error) {
	if err := checkDepth(body); err != nil {
		return nil, err
	}
	w := newWalker(nil, false)
	defer w.release()
	r := readJSON(body)
	defer r.release()
	e := editor{w, at}
	out, err := e.value(&r.dec, root, make([]byte, 0, len(body)))
	if err != nil {
		return nil, syntax(err)
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, unfilterable("the body goes on after its JSON document")
	}
	return out, nil
}

type editor struct {
	w  *walker
	at func(out, raw []byte) ([]byte, error)
}

func (e *editor) value(d *jsontext.Decoder, n *node, out []byte) ([]byte, error) {
	kind := d.PeekKind()
	composite := kind == jsontext.KindBeginObject || kind == jsontext.KindBeginArray
	if n == nil || len(n.ends) > 0 || !composite || n.guards != nil && kind == jsontext.KindBeginObject {
		raw, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		if n != nil && n.guards != nil && kind == jsontext.KindBeginObject {
			return e.judged(raw, n, out)
		}
		if n != nil && len(n.ends) > 0 {
			return e.at(out, raw)
		}
		return append(out, raw...), nil
	}
	return e.members(d, n, out)
}

func (e *editor) judged(raw []byte, n *node, out []byte) ([]byte, error) {
	typ, err := e.w.resourceType(raw)
	if err != nil {
		return nil, err
	}
	if g := n.guards[string(typ)]; g != nil {
		n = g
	}
	if len(n.ends) > 0 {
		return e.at(out, raw)
	}
	r := readJSON(raw)
	defer r.release()
	return e.members(&r.dec, n, out)
}

func (e *editor) members(d *jsontext.Decoder, n *node, out []byte) ([]byte, error) {
	open, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	object := open.Kind() == jsontext.KindBeginObject
	end := byte(']')
	start, members := len(out), 0
	if object {
		end = '}'
		out = append(out, '{')
	} else {
		out = append(out, '[')
	}
	for ; ; members++ {
		if k := d.PeekKind(); k == jsontext.KindEndObject || k == jsontext.KindEndArray {
			break
		}
		mark, below := len(out), n.wild
		if mark > start+1 {
			out = append(out, ',')
		}
		if object {
			name, err := d.ReadValue()
			if err != nil {
				return nil, err
			}
			key, err := e.w.text(name)
			if err != nil {
				return nil, err
			}
			below = n.child(key)
			out = append(append(out, name...), ':')
		}
		before := len(out)
		if out, err = e.value(d, below, out); err != nil {
			return nil, err
		}
		if len(out) == before {
			out = out[:mark]
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	if members > 0 && len(out) == start+1 {
		return out[:start], nil
	}
	return append(out, end), nil
}
