package countersign

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

func TestIdentifiers(t *testing.T) {
	member, subsystem, service := func(s string) (fmt.Stringer, error) { return ParseMemberID(s) },
		func(s string) (fmt.Stringer, error) { return ParseSubsystemID(s) },
		func(s string) (fmt.Stringer, error) { return ParseServiceID(s) }
	for _, c := range []struct {
		name  string
		parse func(string) (fmt.Stringer, error)
		text  string
		says  string // part of the refusal; empty where the text is an identifier
	}{
		{"member", member, "DEMO/GOV/1001", ""},
		{"a member of letters that few registries have", member, "DEMO/GOV/Əhali", ""},
		{"a member with what existing systems use", member, "DEMO/GOV/a b:c%d;e", ""},
		{"two parts", member, "DEMO/GOV", "has 2 parts"},
		{"four parts for a member", member, "DEMO/GOV/1001/sys", "has 4 parts"},
		{"an empty instance", member, "/GOV/1001", "part 1: an identifier part is empty"},
		{"an empty code", member, "DEMO/GOV/", "part 3: an identifier part is empty"},
		{"nothing", member, "", "has 1 parts"},
		{"a control character", member, "DEMO/GOV/10\n01", "U+000A"},
		{"a delete", member, "DEMO/GOV/10\x7f01", "U+007F"},
		{"a zero-width space", member, "DEMO/GOV/10\u200b01", "U+200B"},
		{"a byte order mark", member, "DEMO/\ufeffGOV/1001", "U+FEFF"},
		{"half a character", member, "DEMO/GOV/\xc3", "not UTF-8"},
		{"255 bytes", member, "DEMO/GOV/" + strings.Repeat("x", 255), ""},
		{"256 bytes", member, "DEMO/GOV/" + strings.Repeat("x", 256), "255 at most"},
		{"subsystem", subsystem, "DEMO/GOV/1001/people", ""},
		{"a member as a client", subsystem, "DEMO/GOV/1001", ""},
		{"an empty subsystem", subsystem, "DEMO/GOV/1001/", "part 4: an identifier part is empty"},
		{"five parts for a subsystem", subsystem, "DEMO/GOV/1001/people/v1", "has 5 parts"},
		{"service", service, "DEMO/GOV/1001/people/person", ""},
		{"a service without subsystem", service, "DEMO/GOV/1001/person", "has 4 parts"},
		{"six parts", service, "DEMO/GOV/1001/people/person/v1", "has 6 parts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := c.parse(c.text)
			if c.says == "" {
				if err != nil || id.String() != c.text {
					t.Fatalf("%q, %v", id, err)
				}
				return
			}
			if !errors.Is(err, CodeBadRequest) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v: a bad_request that says %q is due", err, c.says)
			}
		})
	}
}

func TestNewIdentifiersAreNarrower(t *testing.T) {
	for _, c := range `%:;/\` {
		part := "a" + string(c) + "b"
		if err := CheckNewIdentifierPart(part); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%q may be registered: %v", part, err)
		}
		if err := CheckIdentifierPart(part); err != nil {
			t.Errorf("%q of an existing system: %v", part, err)
		}
	}
	if err := CheckNewIdentifierPart("people-1"); err != nil {
		t.Error(err)
	}
	if err := CheckNewIdentifierPart(""); !errors.Is(err, CodeBadRequest) {
		t.Errorf("an empty part may be registered: %v", err)
	}
}

// identifierPart draws what CheckIdentifierPart accepts and what has no slash.
func identifierPart() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool {
		return r != '/' && r != '\u200B' && r != '\uFEFF' && r != unicode.ReplacementChar && !unicode.IsControl(r)
	}), 1, 40, 255)
}

func drawService(t *rapid.T) ServiceID {
	p := func(name string) string { return identifierPart().Draw(t, name) }
	return ServiceID{SubsystemID{MemberID{p("instance"), p("class"), p("member")}, p("subsystem")}, p("service")}
}

func TestIdentifiersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := drawService(t)
		service, err := ParseServiceID(id.String())
		if err != nil || service != id {
			t.Fatalf("%q, %v", service, err)
		}
		if rapid.Bool().Draw(t, "member alone") {
			id.Subsystem = ""
		}
		type all struct {
			Member    MemberID
			Subsystem SubsystemID
			Service   ServiceID
			ByMember  map[MemberID]int
		}
		was := all{id.MemberID, id.SubsystemID, service, map[MemberID]int{id.MemberID: 1}}
		text, err := json.Marshal(was)
		if err != nil {
			t.Fatal(err)
		}
		var got all
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.Member != was.Member || got.Subsystem != was.Subsystem || got.Service != was.Service || got.ByMember[id.MemberID] != 1 {
			t.Fatalf("%s came back as %v", text, got)
		}
	})
}

func FuzzIdentifiers(f *testing.F) {
	for _, s := range []string{"DEMO/GOV/1001", "DEMO/GOV/1001/people", "DEMO/GOV/1001/people/person", "", "////", "a/b/\u200b", "a/\xff/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseMemberID(s); err == nil && (id.String() != s || id.IsZero()) {
			t.Errorf("member %q reads as %q", s, id)
		}
		if id, err := ParseSubsystemID(s); err == nil && id.String() != s {
			t.Errorf("subsystem %q reads as %q", s, id)
		}
		if id, err := ParseServiceID(s); err == nil && id.String() != s {
			t.Errorf("service %q reads as %q", s, id)
		}
		if id, err := ParseSubjectID(s); err == nil && id.Canonical() != s {
			t.Errorf("subject %q reads as %q", s, id.Canonical())
		}
		if id, err := ParseExchangeID(s); err == nil && id.String() != s {
			t.Errorf("exchange %q reads as %q", s, id)
		}
	})
}

func TestSubjectIDHidesItself(t *testing.T) {
	id, err := ParseSubjectID("pin:1AB23CD")
	if err != nil || id.Canonical() != "pin:1AB23CD" {
		t.Fatalf("%q, %v", id.Canonical(), err)
	}
	for _, shown := range []string{id.String(), fmt.Sprint(id), fmt.Sprintf("%v %s", id, id), fmt.Sprint([]SubjectID{id})} {
		if strings.Contains(shown, "1AB") {
			t.Errorf("%q tells the value", shown)
		}
	}
	if s := (SubjectID{}); s.Canonical() != "" || s.String() != "" || !s.IsZero() {
		t.Errorf("nobody is %q", s.Canonical())
	}
	for _, bad := range []string{"", ":", "pin:", ":1AB", "1AB23CD"} {
		if _, err := ParseSubjectID(bad); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if id, err := ParseSubjectID("mrz:AZE:1:2"); err != nil || id != (SubjectID{"mrz", "AZE:1:2"}) {
		t.Errorf("%q, %v", id.Canonical(), err)
	}
}

func TestExchangeID(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)
	id := NewExchangeID(at)
	if id == NewExchangeID(at) {
		t.Error("two exchanges of one millisecond have one id")
	}
	text := id.String()
	// SPEC: RFC 9562 5.7: 48 bits of milliseconds, version 7, variant 10.
	if want := fmt.Sprintf("%012x", at.UnixMilli()); strings.ReplaceAll(text, "-", "")[:12] != want || text[14] != '7' || !strings.ContainsRune("89ab", rune(text[19])) {
		t.Errorf("%s is no UUID of version 7 of %s", text, want)
	}
	if later := NewExchangeID(at.Add(time.Millisecond)); later.String() <= text {
		t.Errorf("%s does not sort after %s", later, text)
	}
	for name, bad := range map[string]string{
		"upper case":    "0195508A-1C7B-7000-8000-0123456789ab",
		"no hyphens":    "0195508a1c7b70008000" + "0123456789ab",
		"braces":        "{0195508a-1c7b-7000-8000-0123456789ab}",
		"a wrong place": "0195508a1-c7b-7000-8000-0123456789ab",
		"no digit":      "0195508a-1c7b-7000-8000-0123456789ag",
		"short":         "0195508a-1c7b-7000-8000-0123456789a",
		"nothing":       "",
	} {
		if _, err := ParseExchangeID(bad); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := ExchangeID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		text, _ := id.MarshalText()
		var got ExchangeID
		if err := got.UnmarshalText(text); err != nil || got != id {
			t.Fatalf("%s came back as %s: %v", text, got, err)
		}
	})
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		hour Hour
	}{
		{time.Unix(0, 0), 0},
		{time.Unix(3599, 999), 0},
		{time.Unix(3600, 0), 1},
		{time.Date(2026, 3, 1, 12, 59, 59, 0, time.FixedZone("AZT", 4*3600)), HourOf(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))},
		{MaxMillis.Time(), MaxHour},
		{MaxMillis.Time().Add(time.Millisecond), MaxHour + 1},
		{time.Unix(-1, 0), MaxHour + 1},
		{time.Unix(math.MaxInt32*3600*4, 0), MaxHour + 1},
	} {
		if got := HourOf(c.at); got != c.hour {
			t.Errorf("%s is in hour %d, not %d", c.at, c.hour, got)
		}
	}
	if s := MaxMillis.Time().Format(time.RFC3339Nano); s != "9999-12-31T23:59:59.999Z" {
		t.Errorf("the last instant is %s", s)
	}
	if h := MaxHour.Time(); h.Year() != 9999 || h.Add(time.Hour).Year() != 10000 {
		t.Errorf("the last hour is %s", h)
	}
	for _, m := range []Millis{-1, MaxMillis + 1, math.MinInt64, math.MaxInt64} {
		if _, err := parseMillis(m.wire(), "it"); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%d is written as %d and read: %v", m, m.wire(), err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := Millis(rapid.Int64Range(0, int64(MaxMillis)).Draw(t, "millis"))
		got, err := parseMillis(m.wire(), "it")
		if err != nil || got != m || MillisOf(m.Time()) != m {
			t.Fatalf("%d came back as %d: %v", m, got, err)
		}
	})
}

func TestDigestText(t *testing.T) {
	var d Digest
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 66), strings.Repeat("g", 64)} {
		if err := d.UnmarshalText([]byte(bad)); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if !d.IsZero() {
		t.Error("a refused text changed the digest")
	}
	rapid.Check(t, func(t *rapid.T) {
		d := SaltedDigest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		text, _ := d.MarshalText()
		var got SaltedDigest
		if err := got.UnmarshalText(text); err != nil || got != d || got.IsZero() != (d == SaltedDigest{}) {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
