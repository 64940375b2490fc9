package countersign

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sampleLeaf() *Leaf {
	s := sampleStatement()
	return ExchangeLeaf(s, SideProvider, s.Outcome, JoinSalt(SaltHalf{1}, SaltHalf{2}).Commit(s.Encode()))
}

func parseLeafOnly(b []byte) error { _, err := ParseLeaf(b); return err }

func TestLeafRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 40, 200)
		l := &Leaf{
			Kind: LeafKind(rapid.IntRange(1, 255).Draw(t, "kind")), Hour: Hour(rapid.Uint32Range(0, uint32(MaxHour)).Draw(t, "hour")), Side: Side(rapid.Byte().Draw(t, "side")),
			Service: text.Draw(t, "service"), Consumer: text.Draw(t, "consumer"), Purpose: PurposeCode(text.Draw(t, "purpose")),
			Mandate: MandateKind(rapid.Byte().Draw(t, "mandate")), Outcome: Outcome(rapid.Byte().Draw(t, "outcome")),
		}
		copy(l.Commitment[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "commitment"))
		b := l.Encode()
		top, err := readDeterministic(b)
		if err != nil || len(top.items) != 10 {
			t.Fatalf("%x: %v", b, err)
		}
		got, err := ParseLeaf(b)
		if err != nil || *got != *l {
			t.Fatalf("%+v came back as %+v: %v", l, got, err)
		}
		// SPEC: RFC 6962 2.1: MTH({d}) = SHA-256(0x00 || d).
		if LeafHash(b) != sha256.Sum256(append([]byte{0}, b...)) {
			t.Fatal("the leaf hash is not RFC 6962's")
		}
	})
}

func TestLeafHasOneForm(t *testing.T) { refusedForms(t, sampleLeaf().Encode(), parseLeafOnly) }

func TestLeafRefusesSense(t *testing.T) {
	top, err := readDeterministic(sampleLeaf().Encode())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		item int
		to   []byte
		says string
	}{
		{"another version", 0, []byte{2}, "version 2"},
		{"no kind", 1, []byte{0}, "kind 0"},
		{"a kind beyond a byte", 1, []byte{0x19, 1, 0}, "CBOR"},
		{"the year 10000", 2, cborHead(0, uint64(MaxHour)+1, -1), "year 9999"},
		{"an hour beyond 32 bits", 2, cborHead(0, 1<<32, -1), "CBOR"},
		{"a commitment of 31 bytes", 9, append([]byte{0x58, 31}, make([]byte, 31)...), "31 bytes where 32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := parseLeafOnly(top.write(func(it *cborItem) []byte {
				if it == top.items[c.item] {
					return c.to
				}
				return nil
			}))
			if !errors.Is(err, CodeBadRequest) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: a bad_request that says %q is due", err, c.says)
			}
		})
	}
}

// TestLeafNamesNobody: whatever a statement says of people, the leaf holds none of it.
func TestLeafNamesNobody(t *testing.T) {
	s := sampleStatement()
	leaf := string(sampleLeaf().Encode())
	for _, private := range []string{s.Subject, "7KQ2M9A", string(s.Case), s.Official.Pseudonym, s.Official.Role, s.OnBehalfOf[0], string(s.Mandate.ID), string(s.Fields[0]), string(s.Exchange[:])} {
		if strings.Contains(leaf, private) {
			t.Errorf("the leaf holds %q", private)
		}
	}
}

func FuzzParseLeaf(f *testing.F) {
	valid := sampleLeaf().Encode()
	f.Add(valid)
	for _, m := range mutations(f, valid) {
		f.Add(m.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLeaf(b)
		if err != nil {
			if c := CodeOf(err); c != CodeBadRequest && c != CodeTooLarge {
				t.Errorf("%s", c)
			}
			return
		}
		if _, err := readDeterministic(b); err != nil {
			t.Errorf("%x is accepted: %v", b, err)
		}
		if !slices.Equal(l.Encode(), b) {
			t.Errorf("%x is written again as %x", b, l.Encode())
		}
	})
}
