package subject_test

import (
	"net/http"
	"slices"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
)

var contestant = countersign.SubjectID{Scheme: "pin", Value: alma}

// Both sides of an exchange that a person contests are told to keep their records until the case is closed, and nobody else is.
func TestOpenCasesKeepBothSidesRecords(t *testing.T) {
	c := newCourt(t)
	trace := countersign.NewExchangeID(c.clock.Now())
	holder := countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: code("POP"), Subsystem: "registry"}, Service: "residence"}
	one, err := c.cases.Open(t.Context(), contestant, subject.NewCase{
		Kind: subject.CaseObjection, Against: code("MUN"), Ground: "no-reason", Text: "I had asked them for nothing.", About: subject.About{Service: holder, Trace: trace},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.cases.Open(t.Context(), contestant, subject.NewCase{Kind: subject.CaseCorrection, Against: code("POP"), Ground: "wrong", About: subject.About{Service: holder, Field: "/street"}}); err != nil {
		t.Fatal(err)
	}
	kept := func(who string) (out []countersign.ExchangeID) {
		t.Helper()
		if refused := c.call(who, http.MethodGet, "/kept", nil, &out); refused != "" {
			t.Fatal(refused)
		}
		return out
	}
	for who, want := range map[string][]countersign.ExchangeID{"MUN": {trace}, "POP": {trace}, "DPA": {}} {
		if got := kept(who); !slices.Equal(got, want) {
			t.Fatalf("%s is told %v", who, got)
		}
	}
	c.reopen()
	if got := kept("MUN"); len(got) != 1 {
		t.Fatalf("after a restart: %v", got)
	}
	if _, err := c.cases.PersonStep(t.Context(), contestant, one.Number, subject.StepWithdrawn, ""); err != nil {
		t.Fatal(err)
	}
	if got := kept("MUN"); len(got) != 0 {
		t.Fatalf("the case is closed: %v", got)
	}
}
