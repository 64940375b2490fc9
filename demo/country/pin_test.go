package country

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// SPEC: IFPI Global Release Identifier standard, section 5: the GRid A1-2425G-ABC1234002-M uses ISO 7064 MOD 37,36.
func TestCheckCharacterOfTheStandard(t *testing.T) {
	if got := pinCheck("A12425GABC1234002"); got != 'M' {
		t.Errorf("check character %c, want M", got)
	}
}

func TestEveryTypingErrorIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pin := pinFromNumber(rapid.Uint64Range(0, 36*36*36*36*36*36-1).Draw(t, "number"))
		if parsed, err := ParsePIN(string(pin)); err != nil || parsed != pin {
			t.Fatalf("%s does not parse: %v", pin, err)
		}
		at := rapid.IntRange(0, PINLength-1).Draw(t, "at")
		wrong := []byte(pin)
		wrong[at] = pinAlphabet[rapid.IntRange(0, 35).Draw(t, "typed")]
		if _, err := ParsePIN(string(wrong)); (err == nil) != (string(wrong) == string(pin)) {
			t.Errorf("%s was typed for %s and gave %v", wrong, pin, err)
		}
	})
}

func TestNormalisation(t *testing.T) {
	pin := pinFromNumber(2_000_000_000)
	lower := " " + string(pin[:3]) + "-" + string(pin[3]+'a'-'A') + " " + string(pin[4:]) + " "
	if pin[3] < 'A' {
		lower = " " + string(pin[:3]) + "-" + string(pin[3:]) + " "
	}
	if got, err := ParsePIN(lower); err != nil || got != pin {
		t.Errorf("ParsePIN(%q) = %q, %v", lower, got, err)
	}
	for _, bad := range []string{"", "ABC", "ABCDEFGH", "ıBCDEF", "ſBCDEF", "ABC\tDEF", "ABC/DEF", "%41BCDE", "pin:" + string(pin)} {
		if got, err := ParsePIN(bad); !errors.Is(err, ErrPIN) {
			t.Errorf("ParsePIN(%q) = %q, %v", bad, got, err)
		}
	}
	if got := pin.Identifier(); got != "pin:"+string(pin) {
		t.Errorf("identifier %q", got)
	}
}

func TestDates(t *testing.T) {
	leap := DateOf(2000, 2, 29)
	if got := leap.Age(DateOf(2018, 2, 28)); got != 17 {
		t.Errorf("age on the day before: %d", got)
	}
	if got := leap.Age(DateOf(2018, 3, 1)); got != 18 {
		t.Errorf("age on the day: %d", got)
	}
	if got := leap.AddYears(18).String(); got != "2018-03-01" {
		t.Errorf("eighteenth birthday %s", got)
	}
	if d, err := ParseDate("1999-12-31"); err != nil || d.String() != "1999-12-31" || d+1 != DateOf(2000, 1, 1) {
		t.Errorf("%s, %v", d, err)
	}
	if _, err := ParseDate("31.12.1999"); err == nil {
		t.Error("a foreign form was accepted")
	}
}
