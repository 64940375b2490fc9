package monitor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"countersign.dev/countersign"
)

// A bundle that is understood holds exactly its leaves.
func FuzzBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0, 0, 2, 'b', 'c'}, 3)
	f.Add([]byte{0xff, 0xff}, 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, body []byte, width int) {
		if width < 0 || width > 256 {
			return
		}
		leaves, err := parseBundle(body, width)
		if err != nil {
			return
		}
		var out []byte
		for _, l := range leaves {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(l))), l...)
		}
		if len(leaves) != width || !bytes.Equal(out, body) {
			t.Errorf("%x is understood as %d leaves %x", body, len(leaves), out)
		}
	})
}

// Evidence that is not two heads signed by the accused convinces nobody.
func FuzzEvidence(f *testing.F) {
	seed, err := json.Marshal(&Evidence{Origin: "log.example/a", VKey: "log.example/a+7c6dcfab+AQE3VX1KBYrnXD0JnDvJsBzT9aeYEgwWcz3xuPDWDxpz", Seen: "here",
		Heads: [2]string{"log.example/a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— log.example/a AAAA\n", ""}, Root: make([]byte, 32), Proof: []string{""}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, text []byte) {
		var e Evidence
		if json.Unmarshal(text, &e) != nil {
			return
		}
		if e.Check() == nil {
			t.Errorf("evidence that nobody signed is believed: %s", text)
		}
	})
}

// A report is taken as it was written, or not at all.
func TestReportsAreReadAsTheyWereWritten(t *testing.T) {
	index, hour := uint64(7), time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	r := &Report{At: hour, Status: "findings", Logs: []*LogReport{{Origin: "a.example/log", Size: 9, Cosigned: &hour}}, Findings: []Finding{
		{Kind: KindMissingConsumer, Log: "a.example/log", Hour: &hour, Service: "S", Consumer: "C", Purpose: "p", Commitment: "ab", What: "an intent that was never closed"},
		{Kind: KindSplitView, Log: "a.example/log", Index: &index, What: "two heads", Evidence: "evidence/x.json"},
		{Kind: KindMissingDestruction, Log: "a.example/log", Month: countersign.Month(24000), What: "no leaf"},
	}}
	for i := range r.Findings {
		r.Findings[i].ID = r.Findings[i].Identify()
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseReport(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil || !bytes.Equal(again, text) {
		t.Fatalf("%s is read as %s", text, again)
	}
	// One id for what is one, whoever words it and wherever it was seen; another for what is another.
	other := r.Findings[0]
	other.What, other.Evidence = "in other words", "elsewhere"
	if other.Identify() != r.Findings[0].ID {
		t.Error("the same finding has two ids")
	}
	other.Commitment = "cd"
	if other.Identify() == r.Findings[0].ID {
		t.Error("two exchanges have one id")
	}
	for name, broken := range map[string][]byte{
		"a changed kind":     bytes.Replace(text, []byte("missing_consumer"), []byte("missing_provider"), 1),
		"a changed log":      bytes.ReplaceAll(text, []byte("a.example"), []byte("b.example")),
		"something after it": append(bytes.Clone(text), '1'),
		"an unknown member":  bytes.Replace(text, []byte(`"status"`), []byte(`"person":"x","status"`), 1),
		"nothing":            nil,
	} {
		if _, err := ParseReport(broken); countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is offered as a report, what is taken says what its ids stand for.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"at":"2026-11-22T10:00:00Z","status":"clean","logs":[],"paired":0,"waiting":0,"receipts":0,"findings":[]}`))
	f.Add([]byte(`{"findings":[{"id":"x","kind":"stale","log":"a","what":"w"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseReport(text)
		if err != nil {
			return
		}
		for i := range r.Findings {
			if r.Findings[i].ID != r.Findings[i].Identify() {
				t.Errorf("finding %d is not what its id says", i)
			}
		}
	})
}
