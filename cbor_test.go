package countersign

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// This file reads CBOR by itself, into a tree of items, without the code that the formats are written with, so that the two check each other.

// cborItem is one data item of the four kinds that our formats use.
type cborItem struct {
	major byte // 0 unsigned integer, 2 byte string, 3 text string, 4 array
	value uint64
	bytes []byte
	items []*cborItem
}

// readDeterministic reads one item and checks the core deterministic encoding requirements as far as these kinds go.
//
// SPEC: RFC 8949 §4.2.1: "Preferred serialization MUST be used", "Indefinite-length items MUST NOT appear".
func readDeterministic(b []byte) (*cborItem, error) {
	it, rest, err := readItem(b, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow the item", len(rest))
	}
	return it, err
}

func readItem(b []byte, depth int) (*cborItem, []byte, error) {
	if len(b) == 0 || depth > 3 {
		return nil, nil, errors.New("an item is missing or lies too deep")
	}
	it := &cborItem{major: b[0] >> 5}
	info := b[0] & 0x1f
	b = b[1:]
	switch {
	case info < 24:
		it.value = uint64(info)
	case info <= 27:
		n := 1 << (info - 24)
		if len(b) < n {
			return nil, nil, errors.New("a head is cut off")
		}
		var wide [8]byte
		copy(wide[8-n:], b[:n])
		it.value, b = binary.BigEndian.Uint64(wide[:]), b[n:]
		if least := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[info-24]; it.value < least {
			return nil, nil, fmt.Errorf("%d is written in %d bytes", it.value, n)
		}
	default:
		return nil, nil, fmt.Errorf("additional information %d", info)
	}
	switch it.major {
	case 0:
		return it, b, nil
	case 2, 3:
		if uint64(len(b)) < it.value {
			return nil, nil, errors.New("a string is cut off")
		}
		it.bytes, b = b[:it.value], b[it.value:]
		if it.major == 3 && !utf8.Valid(it.bytes) {
			return nil, nil, errors.New("a text string is not UTF-8")
		}
		return it, b, nil
	case 4:
		for range it.value {
			var child *cborItem
			var err error
			if child, b, err = readItem(b, depth+1); err != nil {
				return nil, nil, err
			}
			it.items = append(it.items, child)
		}
		return it, b, nil
	}
	return nil, nil, fmt.Errorf("an item of major type %d", it.major)
}

// head writes a head in n bytes after the first, or in the fewest for n < 0.
func cborHead(major byte, value uint64, n int) []byte {
	if n < 0 {
		switch {
		case value < 24:
			n = 0
		case value < 1<<8:
			n = 1
		case value < 1<<16:
			n = 2
		case value < 1<<32:
			n = 4
		default:
			n = 8
		}
	}
	if n == 0 {
		return []byte{major<<5 | byte(value)}
	}
	info := map[int]byte{1: 24, 2: 25, 4: 26, 8: 27}[n]
	wide := binary.BigEndian.AppendUint64(nil, value)
	return append([]byte{major<<5 | info}, wide[8-n:]...)
}

// write encodes an item; as says for each item how its head, or the whole of it, is written, and nil writes the plain form.
func (it *cborItem) write(as func(*cborItem) []byte) []byte {
	if b := as(it); b != nil {
		return b
	}
	b := cborHead(it.major, it.value, -1)
	b = append(b, it.bytes...)
	for _, c := range it.items {
		b = append(b, c.write(as)...)
	}
	return b
}

func (it *cborItem) content(as func(*cborItem) []byte) []byte {
	b := slices.Clone(it.bytes)
	for _, c := range it.items {
		b = append(b, c.write(as)...)
	}
	return b
}

func (it *cborItem) all() []*cborItem {
	out := []*cborItem{it}
	for _, c := range it.items {
		out = append(out, c.all()...)
	}
	return out
}

type mutation struct {
	name  string
	bytes []byte
}

// mutations writes a valid encoding in every way that a decoder might take for the same, or for something near it, and that is not the
// deterministic form.
func mutations(t testing.TB, valid []byte) []mutation {
	t.Helper()
	top, err := readDeterministic(valid)
	if err != nil {
		t.Fatalf("%x: %v", valid, err)
	}
	plain := func(*cborItem) []byte { return nil }
	if got := top.write(plain); string(got) != string(valid) {
		t.Fatalf("the test's own encoder writes %x for %x", got, valid)
	}
	out := []mutation{
		{"a trailing zero", append(slices.Clone(valid), 0)},
		{"the item twice", append(slices.Clone(valid), valid...)},
		{"nothing", nil},
		{"one element less", (&cborItem{major: 4, value: top.value - 1, items: top.items[:len(top.items)-1]}).write(plain)},
		{"one element more", (&cborItem{major: 4, value: top.value + 1, items: append(slices.Clone(top.items), &cborItem{})}).write(plain)},
		{"an array of one, around it", append([]byte{0x81}, valid...)},
		{"a map of numbers", append(cborHead(5, top.value, -1), pairs(top.items, plain)...)},
	}
	for i := range valid {
		out = append(out, mutation{fmt.Sprintf("cut after %d bytes", i), valid[:i]})
	}
	for i, target := range top.all() {
		change := func(name string, b []byte) {
			out = append(out, mutation{fmt.Sprintf("item %d: %s", i, name), top.write(func(it *cborItem) []byte {
				if it == target {
					return b
				}
				return nil
			})})
		}
		for _, n := range []int{1, 2, 4, 8} {
			if n > len(cborHead(target.major, target.value, -1))-1 {
				change(fmt.Sprintf("a head of %d bytes too many", n), append(cborHead(target.major, target.value, n), target.content(plain)...))
			}
		}
		switch target.major {
		case 0:
			change("a negative integer", cborHead(1, target.value, -1))
			change("a float", binary.BigEndian.AppendUint64([]byte{0xfb}, 0x4000000000000000))
			change("a big number", append([]byte{0xc2}, (&cborItem{major: 2, value: 1, bytes: []byte{1}}).write(plain)...))
		case 2, 3:
			chunk := append(cborHead(target.major, target.value, -1), target.bytes...)
			change("in chunks", slices.Concat([]byte{target.major<<5 | 31}, chunk, []byte{0xff}))
			change("the other kind of string", append(cborHead(5-target.major, target.value, -1), target.bytes...))
			change("not UTF-8", []byte{0x62, 0xc3, 0x28})
		case 4:
			change("of indefinite length", slices.Concat([]byte{0x9f}, target.content(plain), []byte{0xff}))
		}
		change("null", []byte{0xf6})
		change("undefined", []byte{0xf7})
		change("tagged", append([]byte{0xc6}, target.write(plain)...))
		change("true", []byte{0xf5})
	}
	return out
}

func pairs(items []*cborItem, as func(*cborItem) []byte) []byte {
	var b []byte
	for i, it := range items {
		b = append(b, cborHead(0, uint64(i), -1)...)
		b = append(b, it.write(as)...)
	}
	return b
}

// refusedForms asserts that parse refuses every mutation of a valid encoding, by a refusal of the taxonomy.
func refusedForms(t *testing.T, valid []byte, parse func([]byte) error) {
	t.Helper()
	if err := parse(valid); err != nil {
		t.Fatalf("the valid form is refused: %v", err)
	}
	all := mutations(t, valid)
	if len(all) < 60 {
		t.Fatalf("only %d mutations were made", len(all))
	}
	for _, m := range all {
		switch err := parse(m.bytes); {
		case err == nil:
			t.Errorf("%s is accepted: %x", m.name, m.bytes)
		case CodeOf(err) != CodeBadRequest:
			t.Errorf("%s: %v where bad_request is due", m.name, err)
		}
	}
	long := append(slices.Clone(valid), make([]byte, MaxStatementBytes)...)
	if err := parse(long); !errors.Is(err, CodeTooLarge) {
		t.Errorf("%d bytes: %v", len(long), err)
	}
}

func TestDeterministicReader(t *testing.T) {
	// SPEC: RFC 8949 Appendix A, the examples of these kinds, and forms that §4.2.1 forbids.
	for text, good := range map[string]bool{
		"00": true, "17": true, "1818": true, "1903e8": true, "1a000f4240": true, "1b000000e8d4a51000": true, "1bffffffffffffffff": true,
		"40": true, "4401020304": true, "60": true, "62c3bc": true, "80": true, "83010203": true, "8301820203820405": true,
		"1817": false, "190018": false, "1a0000ffff": false, "1b00000000ffffffff": false, "5f42010243030405ff": false, "7f657374726561646d696e67ff": false,
		"9fff": false, "9f01ff": false, "20": false, "f6": false, "f5": false, "c101": false, "a0": false, "fb3ff199999999999a": false,
		"62c328": false, "8301": false, "0000": false, "": false, "1c": false, "5801": false,
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readDeterministic(b); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestEncodersShareNothing(t *testing.T) {
	a := (&Promise{Origin: "a.example/log", Index: 1}).Encode()
	kept := string(a)
	(&Promise{Origin: LogOrigin(strings.Repeat("b", 100)), Index: 2}).Encode()
	if string(a) != kept {
		t.Error("a later encoding changed an earlier one")
	}
}
