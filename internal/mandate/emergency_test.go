package mandate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
)

type rights struct {
	suspended, unreviewed bool
	err                   error
}

// Suspended says what the test wants.
func (r rights) Suspended(countersign.MemberID, time.Time) (bool, error) { return r.suspended, r.err }

// Unreviewed says what the test wants.
func (r rights) Unreviewed(countersign.MemberID, time.Time) (bool, error) {
	return r.unreviewed, r.err
}

func TestEmergencies(t *testing.T) {
	official := func(name string) EmergencyOfficial {
		return EmergencyOfficial{Pseudonym: name, Role: "doctor", Assurance: countersign.AssuranceVerified}
	}
	declared := func() *Emergency {
		return &Emergency{
			Scope: Scope{ID: "E-1", Subject: person.Canonical(), Client: subsystem(welfare), Service: serviceID(health), Fields: list("/diagnosis"), Purpose: "rescue",
				Basis: "health-30", Issued: SecondsOf(now), From: SecondsOf(now), Until: SecondsOf(now.Add(time.Hour))},
			Member: subsystem(welfare).MemberID, Officials: []EmergencyOfficial{official("one"), official("two")}, Ground: "Unconscious, allergy unknown.",
		}
	}
	p := compiled(t, judicial(t))
	for name, c := range map[string]struct {
		change func(e *Emergency)
		key    string
		rights Suspensions
		want   string
	}{
		"valid":                {},
		"one official (A29)":   {change: func(e *Emergency) { e.Officials = e.Officials[:1] }, want: "exactly two officials"},
		"the same twice":       {change: func(e *Emergency) { e.Officials[1] = official(" ONE") }, want: "one official twice"},
		"an asserted official": {change: func(e *Emergency) { e.Officials[1].Assurance = countersign.AssuranceAsserted }, want: "verified identity"},
		"no ground":            {change: func(e *Emergency) { e.Ground = "" }, want: "no ground"},
		"longer than an hour":  {change: func(e *Emergency) { e.Until++ }, want: "longer than an hour"},
		"for another member":   {change: func(e *Emergency) { e.Client = subsystem(police) }, want: "another member than asks"},
		"another's key":        {key: "gateway POL", want: "not signed by a key"},
		"member unknown":       {change: func(e *Emergency) { e.Member.Code = "NONE" }, want: "no member of the directory"},
		"suspended (A30)":      {rights: rights{suspended: true}, want: "a review is overdue"},
		"suspension unknown":   {rights: rights{err: errors.New("down")}, want: "counts as suspended"},
	} {
		e := declared()
		if c.change != nil {
			c.change(e)
		}
		if c.key == "" {
			c.key = "gateway SOC"
		}
		if c.rights == nil {
			c.rights = rights{}
		}
		token, err := SignEmergency(testKey(c.key), e)
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := p.VerifyEmergency(token, now, c.rights)
		if c.want == "" {
			q := &Question{Consumer: subsystem(welfare), Service: serviceID(health), Method: "GET", Subject: person, Purpose: "rescue", Basis: "health-30", Official: clerk,
				Mandates: []Mandate{m}, At: now}
			if d := p.Decide(q); err != nil || !d.Allowed() || d.NeedsQuorum || m.Uses != 1 {
				t.Errorf("%s: %v, %v", name, err, d.Err())
			}
			continue
		}
		if m.verified || countersign.CodeOf(err) != countersign.CodeMandateInvalid || !strings.Contains(countersign.MessageOf(err), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
