package countersign

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

type destructionVectors struct {
	About   string              `json:"about"`
	Leaves  []destructionVector `json:"leaves"`
	Refused []refusedVector     `json:"refused"`
}

type destructionVector struct {
	Name        string       `json:"name"`
	Hour        Hour         `json:"hour"`
	Destruction *Destruction `json:"destruction"`
	Commitment  hexBytes     `json:"commitment"`
	CBOR        hexBytes     `json:"cbor"`
	Hash        Digest       `json:"hash"`
}

func TestDestructionVectors(t *testing.T) {
	month := MonthOf(time.Date(2036, 11, 30, 23, 59, 59, 0, time.UTC))
	hour := HourOf(month.End())
	made := destructionVectors{About: "Leaves of kind destruction: what their last element says; see README.md"}
	for _, c := range []struct {
		name string
		d    Destruction
	}{
		{"a month of many records", Destruction{Month: month, Records: 1_000_000, First: 17, Last: 1_312_445}},
		{"one record", Destruction{Month: month, Records: 1, First: 4, Last: 4}},
		{"a month in which nothing was due", Destruction{Month: month}},
		{"an open case keeps two records", Destruction{Month: month, Records: 40, First: 9, Last: 77, Kept: 2}},
		{"an open case keeps all that were due", Destruction{Month: month, Kept: 1}},
		{"a deletion receipt", Destruction{Month: month, Consumer: "DEMO/GOV/1002/fund", Purpose: "benefit-decision", Records: 12, Kept: 1}},
		{"the largest numbers", Destruction{Month: month, Records: 1 << 62, First: 1, Last: 1 << 62, Kept: 1<<32 - 1}},
	} {
		l := c.d.Leaf(hour)
		b := l.Encode()
		made.Leaves = append(made.Leaves, destructionVector{c.name, hour, &c.d, l.Commitment[:], b, LeafHash(b)})
	}
	sample := Destruction{Month: month, Records: 3, First: 5, Last: 9}
	for _, c := range []struct {
		name   string
		change func(*Leaf)
	}{
		{"no month", func(l *Leaf) { *l = *(&Destruction{}).Leaf(hour) }},
		{"a month of the year 10000", func(l *Leaf) { *l = *(&Destruction{Month: 120000}).Leaf(hour) }},
		{"more records than leaves", func(l *Leaf) { *l = *(&Destruction{Month: month, Records: 6, First: 5, Last: 9}).Leaf(hour) }},
		{"the last before the first", func(l *Leaf) { *l = *(&Destruction{Month: month, Records: 1, First: 5, Last: 4}).Leaf(hour) }},
		{"no records, but a place", func(l *Leaf) { *l = *(&Destruction{Month: month, Last: 4}).Leaf(hour) }},
		{"before the month is over", func(l *Leaf) { l.Hour = hour - 1 }},
		{"a service", func(l *Leaf) { l.Service = "DEMO/GOV/1001/people/person" }},
		{"a receipt without its purpose", func(l *Leaf) { l.Side, l.Consumer = SideConsumer, "DEMO/GOV/1002/fund" }},
		{"a receipt with a place in the log", func(l *Leaf) { l.Side, l.Consumer, l.Purpose = SideConsumer, "DEMO/GOV/1002/fund", "benefit-decision" }},
		{"a receipt before the month is over", func(l *Leaf) {
			*l = *(&Destruction{Month: month, Consumer: "DEMO/GOV/1002/fund", Purpose: "benefit-decision"}).Leaf(hour - 1)
		}},
		{"the provider's side", func(l *Leaf) { l.Side = SideProvider }},
		{"a consumer", func(l *Leaf) { l.Consumer = "DEMO/GOV/1002/fund" }},
		{"a side", func(l *Leaf) { l.Side = SideConsumer }},
		{"an outcome", func(l *Leaf) { l.Outcome = OutcomeReleased }},
		{"another kind", func(l *Leaf) { l.Kind = LeafSealed }},
	} {
		l := sample.Leaf(hour)
		c.change(l)
		made.Refused = append(made.Refused, refusedVector{c.name, l.Encode()})
	}
	drift(t, "leaf/destruction.json", made)

	var read destructionVectors
	readVectors(t, "leaf/destruction.json", &read)
	if len(read.Leaves) < 6 || len(read.Refused) < 11 {
		t.Fatalf("%d leaves and %d refused forms were read", len(read.Leaves), len(read.Refused))
	}
	for _, v := range read.Leaves {
		l, err := ParseLeaf(v.CBOR)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if d, err := l.Destruction(); err != nil || *d != *v.Destruction || LeafHash(v.CBOR) != v.Hash || string(l.Commitment[:]) != string(v.Commitment) {
			t.Errorf("%s: %+v, %v", v.Name, d, err)
		}
	}
	for _, v := range read.Refused {
		l, err := ParseLeaf(v.CBOR)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if d, err := l.Destruction(); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%s is read as %+v, %v", v.Name, d, err)
		}
	}
}

func TestMonths(t *testing.T) {
	december := MonthOf(time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC))
	if december.String() != "2026-12" || !december.End().Equal(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) || !december.Start().Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("%s from %s to %s", december, december.Start(), december.End())
	}
	if MonthOf(december.End()) != december+1 {
		t.Fatal("the end of a month is the beginning of the next")
	}
	// A month is told in UTC, wherever the clock hangs.
	if m := MonthOf(time.Date(2027, 1, 1, 3, 0, 0, 0, time.FixedZone("east", 4*3600))); m != december {
		t.Fatalf("%s", m)
	}
	text, err := json.Marshal(december)
	var back Month
	if err != nil || string(text) != `"2026-12"` || json.Unmarshal(text, &back) != nil || back != december {
		t.Fatalf("%s, %s, %v", text, back, err)
	}
	for _, bad := range []string{"", "2026", "2026-13", "2026-1", "26-01", "2026-12-01", "0000-01"} {
		if m, err := ParseMonth(bad); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%q is read as %s", bad, m)
		}
	}
}
