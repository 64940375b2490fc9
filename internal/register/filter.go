package register

import (
	"net/http"
	"slices"
	"strconv"
	"sync"

	"countersign.dev/countersign"
)

// Filter lets through the listed fields of a JSON document and nothing else. A nil or zero Filter lets nothing through.
// It is immutable and safe for concurrent use.
//
// What is kept: scalars, and objects and arrays that were empty at the register, where a field path ends at them, and the objects,
// arrays and keys that lead to them. What is left with nothing in it by filtering is gone, elements of arrays too, so the output tells
// neither the number nor the presence of what was withheld; only the document itself stays, as {} or []. So {"cars":[]} keeps its
// list under the path /cars, and not under /cars/*/plate alone.
// Numbers and strings pass byte for byte, members in the register's order, white space between tokens goes.
// The member resourceType of a guarded object passes with the fields that its guard let through, so that the consumer can judge the
// same guard.
type Filter struct {
	root   *node
	fields []countersign.FieldPath
	guards []uint32 // of each field, the levels of its guards as bits; nil for none
}

// CompileFilter makes the filter for a field list; see [CheckPath] for the syntax. Errors are CodeBadRequest or CodeTooLarge refusals.
func CompileFilter(fields []countersign.FieldPath) (*Filter, error) {
	if len(fields) > maxPaths {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the field list has %d paths: %d at most", len(fields), maxPaths)
	}
	sorted := countersign.SortFields(slices.Clone(fields))
	paths := make([][]token, len(sorted))
	for i, f := range sorted {
		var err error
		if paths[i], err = parsePath(f); err != nil {
			return nil, err
		}
	}
	root, guards, err := buildTrie(paths)
	if err != nil {
		return nil, err
	}
	return &Filter{root, sorted, guards}, nil
}

// Fields is the sorted field list that the filter lets through.
func (f *Filter) Fields() []countersign.FieldPath {
	if f == nil {
		return nil
	}
	return slices.Clone(f.fields)
}

var nothing = &node{}

func (f *Filter) trie() *node {
	if f == nil || f.root == nil {
		return nothing
	}
	return f.root
}

// Apply filters an answer's body. released is the sorted list of the field paths, as they were declared, of which the output holds
// something. header is the answer's: it is only read. An empty body gives an empty output whatever its type.
//
// What cannot be read without doubt is withheld whole, as a CodeUnfilterable refusal that tells why and quotes nothing: a content type
// other than JSON in UTF-8, an encoding, a part of a document, a duplicate key, invalid UTF-8, nesting beyond 64, text around the
// document, or a bare scalar that no field path names.
func (f *Filter) Apply(contentType string, header http.Header, body []byte) (out []byte, released []countersign.FieldPath, err error) {
	if len(body) == 0 {
		return nil, nil, nil
	}
	if err := checkMedia(contentType, header); err != nil {
		return nil, nil, err
	}
	w := newWalker(f, false)
	defer w.release()
	if err := w.document(body, f.trie()); err != nil {
		return nil, nil, err
	}
	return slices.Clone(w.out), w.found(), nil
}

// Check verifies on the consumer's side that a body holds nothing beyond the filter's fields, by the same reading: CodeExcessFields
// otherwise. The message tells where, with * for keys that may be personal data.
func (f *Filter) Check(contentType string, header http.Header, body []byte) error {
	_, err := f.exact(contentType, header, body, countersign.CodeExcessFields, countersign.CodeUnfilterable)
	return err
}

// CheckRequest verifies that a request's body holds no other fields than those that the grant lets a client write, and gives the sorted
// list of those that it holds, for the record. An unknown field is a CodeBadRequest refusal that names it and not its value; a body of
// another kind is CodeUnsupportedMedia.
func (f *Filter) CheckRequest(contentType string, header http.Header, body []byte) (sent []countersign.FieldPath, err error) {
	return f.exact(contentType, header, body, countersign.CodeBadRequest, countersign.CodeUnsupportedMedia)
}

func (f *Filter) exact(contentType string, header http.Header, body []byte, excess, unread countersign.Code) ([]countersign.FieldPath, error) {
	if len(body) == 0 {
		return nil, nil
	}
	if err := checkMedia(contentType, header); err != nil {
		return nil, countersign.Refuse(unread, "%s", countersign.MessageOf(err))
	}
	w := newWalker(f, true)
	defer w.release()
	if err := w.document(body, f.trie()); err != nil {
		return nil, w.explain(err, excess, unread)
	}
	return w.found(), nil
}

// CheckFields is [Filter.Check] for a field list that was signed with an answer.
func CheckFields(contentType string, header http.Header, body []byte, allowed []countersign.FieldPath) error {
	f, err := CompileFilter(allowed)
	if err != nil {
		return err
	}
	return f.Check(contentType, header, body)
}

// FilterRequest is [Filter.CheckRequest] for a grant's writes.
func FilterRequest(contentType string, header http.Header, body []byte, writes []countersign.FieldPath) (sent []countersign.FieldPath, err error) {
	f, err := CompileFilter(writes)
	if err != nil {
		return nil, err
	}
	return f.CheckRequest(contentType, header, body)
}

// Filters keeps compiled filters by field list: one list recurs for each purpose and service. It is safe for concurrent use.
type Filters struct {
	mu    sync.RWMutex
	known map[string]*Filter
}

// maxFilters bounds the cache; a full cache is emptied, because field lists beyond a few hundred come from noise.
const maxFilters = 1024

// Get gives the filter of a field list, compiled or remembered.
func (c *Filters) Get(fields []countersign.FieldPath) (*Filter, error) {
	var room [512]byte
	key := room[:0]
	for _, f := range fields {
		// With its length before it, no field path reads as two.
		key = append(append(strconv.AppendInt(key, int64(len(f)), 10), ':'), f...)
	}
	c.mu.RLock()
	f := c.known[string(key)]
	c.mu.RUnlock()
	if f != nil {
		return f, nil
	}
	f, err := CompileFilter(fields)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxFilters {
		c.known = make(map[string]*Filter)
	}
	c.known[string(key)] = f
	return f, nil
}
