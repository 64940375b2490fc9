package web

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"

	"countersign.dev/countersign"
)

// FieldGroup is fields of an answer that stand below one place of it, in words.
type FieldGroup struct {
	Name   string // of the place; empty for the top
	Fields []string
}

// Field names a field in words: by the label of its whole path, else by the labels of its parts. What has no label is named by its path,
// made readable.
func (l *Localizer) Field(path countersign.FieldPath) string {
	if s, ok := l.label(string(path)); ok {
		return s
	}
	group, name := l.split(path)
	if group == "" {
		return name
	}
	return group + ": " + l.Lower(name)
}

// Fields groups fields for reading. A list that stands beside its elements is left out, since they say as much.
func (l *Localizer) Fields(paths []countersign.FieldPath) []FieldGroup {
	var groups []FieldGroup
	problem := !slices.ContainsFunc(problemFields, func(p countersign.FieldPath) bool { return !slices.Contains(paths, p) })
	for _, p := range paths {
		if problem && slices.Contains(problemFields, p) {
			continue
		}
		if slices.ContainsFunc(paths, func(q countersign.FieldPath) bool { return strings.HasPrefix(string(q), string(p)+"/") }) {
			continue
		}
		group, name := l.split(p)
		i := slices.IndexFunc(groups, func(g FieldGroup) bool { return g.Name == group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, FieldGroup{Name: group})
		}
		if !slices.Contains(groups[i].Fields, name) {
			groups[i].Fields = append(groups[i].Fields, name)
		}
	}
	if problem {
		groups = append(groups, FieldGroup{Fields: []string{l.T("field.problem")}})
	}
	return groups
}

// problemFields are the members of a problem document (RFC 9457), with which a register says why it cannot answer. They say nothing about the person, and all
// together are one thing to a reader.
var problemFields = []countersign.FieldPath{"/type", "/title", "/status", "/detail"}

// Kind names a kind of record, for instance Encounter, as the places of its fields are named.
func (l *Localizer) Kind(kind string) string { return l.part(kind) }

// split splits a path into the place that it stands below and its own name.
func (l *Localizer) split(path countersign.FieldPath) (group, name string) {
	if path == "*" || path == "" {
		return "", l.T("field.everything")
	}
	parts := strings.Split(strings.TrimPrefix(string(path), "/"), "/")
	last := len(parts) - 1
	for last > 0 && parts[last] == "*" { // a list of plain values is named as the list
		last--
	}
	if s, ok := l.label(string(path)); ok {
		name = s
	} else {
		name = l.part(parts[last])
	}
	var above []string
	for _, p := range parts[:last] {
		if s := l.part(p); s != "" {
			above = append(above, s)
		}
	}
	for i := 1; i < len(above); i++ {
		above[i] = l.Lower(above[i])
	}
	return strings.Join(above, ", "), name
}

// part names one part of a path. A part in brackets names the kind of thing that it holds.
func (l *Localizer) part(p string) string {
	if p == "*" {
		return ""
	}
	if open := strings.IndexByte(p, '['); open >= 0 && strings.HasSuffix(p, "]") {
		p = p[open+1 : len(p)-1]
	}
	if s, ok := l.label(p); ok {
		return s
	}
	return humanise(p)
}

func (l *Localizer) label(key string) (string, bool) {
	s, ok := l.all.labels[l.tag][key]
	return s, ok
}

// humanise writes areaSquareMetres, area_square_metres or area-square-metres as Area square metres.
func humanise(p string) string {
	var b strings.Builder
	space := true
	for i, r := range p {
		switch {
		case r == '_' || r == '-' || r == ' ' || r == '.':
			space = true
			continue
		case unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(rune(p[i-1])):
			space = true
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		if b.Len() == 0 {
			b.WriteRune(unicode.ToUpper(r))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		space = false
	}
	if b.Len() == 0 {
		return p
	}
	return b.String()
}

// Lower writes a name as it stands within a sentence: its first letter as the language lowers it, unless the word is written in capitals.
func (l *Localizer) Lower(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if second, _ := utf8.DecodeRuneInString(s[size:]); !unicode.IsUpper(first) || unicode.IsUpper(second) {
		return s
	}
	return cases.Lower(l.tag).String(s[:size]) + s[size:]
}
