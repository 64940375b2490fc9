package register

import (
	"encoding/binary"
	"slices"

	"countersign.dev/countersign"
)

// node is one place in a document where allowed fields end or lie below. The trie is deterministic: each key leads to one node.
type node struct {
	keys   map[string]*node // literal keys of an object; what * allows is merged in
	wild   *node            // every element, and every key that keys does not name
	guards map[string]*node // by resource type; what is allowed without a guard is merged in
	ends   []int32          // fields that end here, as indexes into Filter.fields
	typed  bool             // reached through a guard: the member resourceType passes with what it guards
}

// child gives the node of an object's key, nil where nothing is allowed.
func (n *node) child(key []byte) *node {
	if c, ok := n.keys[string(key)]; ok {
		return c
	}
	return n.wild
}

// branch is a place in the trie as the paths are written, before it is made deterministic.
type branch struct {
	id     int
	keys   map[string]*branch
	wild   *branch
	guards map[string]*branch
	end    int32 // -1 for none
}

type trieBuilder struct {
	branches int
	known    map[string]*node
}

// maxNodes bounds the memory of one filter: only field lists that mix * with names at many levels come near it.
const maxNodes = 1 << 14

// buildTrie gives the trie, and for each path the levels of its guards as bits; nil when there are none.
func buildTrie(paths [][]token) (root *node, guards []uint32, err error) {
	b := trieBuilder{known: make(map[string]*node)}
	top := b.branch()
	for i, tokens := range paths {
		at := top
		for j, t := range tokens {
			if j > 0 {
				at = b.step(at, t)
			}
			if t.guard != "" {
				at = b.under(&at.guards, t.guard)
				if guards == nil {
					guards = make([]uint32, len(paths))
				}
				guards[i] |= 1 << j // maxPathTokens is 32
			}
		}
		at.end = int32(i)
	}
	root, err = b.node([]*branch{top}, false)
	return root, guards, err
}

func (b *trieBuilder) branch() *branch {
	b.branches++
	return &branch{id: b.branches, end: -1}
}

func (b *trieBuilder) step(at *branch, t token) *branch {
	if t.wild {
		if at.wild == nil {
			at.wild = b.branch()
		}
		return at.wild
	}
	return b.under(&at.keys, t.key)
}

func (b *trieBuilder) under(m *map[string]*branch, key string) *branch {
	if *m == nil {
		*m = make(map[string]*branch)
	}
	if (*m)[key] == nil {
		(*m)[key] = b.branch()
	}
	return (*m)[key]
}

// node merges a set of branches into one node; equal sets share it.
func (b *trieBuilder) node(set []*branch, typed bool) (*node, error) {
	slices.SortFunc(set, func(x, y *branch) int { return x.id - y.id })
	set = slices.Compact(set)
	name := make([]byte, 0, 4*len(set)+1)
	for _, s := range set {
		name = binary.AppendUvarint(name, uint64(s.id)) //nolint:gosec // counts up from one
	}
	if typed {
		name = append(name, 0) // no identifier is zero
	}
	if n := b.known[string(name)]; n != nil {
		return n, nil
	}
	if len(b.known) == maxNodes {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the field list mixes * with names at too many levels: list fewer fields")
	}
	n := &node{typed: typed}
	b.known[string(name)] = n

	var wild []*branch
	for _, s := range set {
		if s.end >= 0 {
			n.ends = append(n.ends, s.end)
		}
		if s.wild != nil {
			wild = append(wild, s.wild)
		}
	}
	slices.Sort(n.ends)
	var err error
	if len(wild) > 0 {
		if n.wild, err = b.node(slices.Clone(wild), false); err != nil {
			return nil, err
		}
	}
	for _, s := range set {
		for key := range s.keys {
			if n.keys[key] != nil {
				continue
			}
			below := slices.Clone(wild)
			for _, o := range set {
				if c := o.keys[key]; c != nil {
					below = append(below, c)
				}
			}
			if n.keys == nil {
				n.keys = make(map[string]*node)
			}
			if n.keys[key], err = b.node(below, false); err != nil {
				return nil, err
			}
		}
	}
	if typed {
		return n, nil // the set already holds what the guard allows, and a token has one guard
	}
	for _, s := range set {
		for typ := range s.guards {
			if n.guards[typ] != nil {
				continue
			}
			below := slices.Clone(set)
			for _, o := range set {
				if g := o.guards[typ]; g != nil {
					below = append(below, g)
				}
			}
			if n.guards == nil {
				n.guards = make(map[string]*node)
			}
			if n.guards[typ], err = b.node(below, true); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}
