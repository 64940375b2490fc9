package exchange

import (
	"encoding/base64"
	"strings"
	"testing"

	"countersign.dev/countersign"
)

func encoded(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }

// What is presented and cannot be read is refused: never passed over.
func TestPresentedIsReadOrRefused(t *testing.T) {
	good := &Presented{Emergency: "a.b.c"}
	text, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{text, text + "," + text, " " + text + " , " + text} {
		got, err := ParsePresented(header)
		if err != nil || got[0].Emergency != "a.b.c" {
			t.Errorf("%q: %v, %v", header, got, err)
		}
	}
	for name, header := range map[string]string{
		"free text":     "trust me",
		"nothing in it": encoded(`{}`),
		"two kinds":     encoded(`{"warrant":"a","emergency":"b"}`),
		"unknown":       encoded(`{"warrant":"a","hidden":true}`),
		"repeated":      encoded(`{"warrant":"a","warrant":"b"}`),
		"padding":       base64.URLEncoding.EncodeToString([]byte(`{"warrant":"ab"}`)),
		"an empty one":  text + ",",
		"too many":      strings.Repeat(text+",", maxPresented) + text,
	} {
		if _, err := ParsePresented(header); countersign.CodeOf(err) != countersign.CodeMandateInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A court's status list is asked for at the court's own host and nowhere else.
func TestStatusListsAreOfCourtsAlone(t *testing.T) {
	d := &countersign.Directory{Courts: []countersign.Court{{Log: countersign.Log{URL: "http://court.example/log"}}}}
	for _, uri := range []string{
		"http://169.254.169.254/latest", "file:///etc/passwd", "https://court.example/status", "http://court.example.evil/status",
		"http://user@court.example/status", "http://court.example:81/status", ":",
	} {
		if _, err := NewPublished().Statuses(d).StatusList(uri); countersign.CodeOf(err) != countersign.CodeMandateInvalid {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// The steps of an exchange have ids of their own, which follow from it.
func TestStepsAreDistinct(t *testing.T) {
	a, b := &question{id: countersign.ExchangeID{1}}, &question{id: countersign.ExchangeID{2}}
	seen := map[countersign.ExchangeID]bool{a.id: true, b.id: true}
	for _, q := range []*question{a, b} {
		for _, name := range []string{"people", "found", "relation", "review"} {
			if seen[q.step(name)] {
				t.Errorf("the step %s is another's", name)
			}
			seen[q.step(name)] = true
		}
	}
}
