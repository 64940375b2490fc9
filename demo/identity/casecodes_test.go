package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type at time.Time

func (a *at) Now() time.Time { return time.Time(*a) }

func TestCaseCodes(t *testing.T) {
	now := at(time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC))
	file := filepath.Join(t.TempDir(), "codes.json")
	c, err := OpenCaseCodes(file, &now)
	if err != nil {
		t.Fatal(err)
	}
	code, err := c.Issue("SOC-AID-2026-0001", 0)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), strings.ReplaceAll(code, "-", "")) || strings.Contains(string(text), code) {
		t.Errorf("the file holds the code itself, or is not there: %v", err)
	}
	// As people type it, also after a restart.
	if c, err = OpenCaseCodes(file, &now); err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), strings.NewReplacer("0", "o", "1", "l").Replace(code)} {
		if who, ok := c.Find(typed); !ok || who.Subject != "SOC-AID-2026-0001" {
			t.Errorf("%q gives %v", typed, who)
		}
	}
	if _, ok := c.Find("SOC-AID-2026-0001"); ok {
		t.Error("the number of a case lets people in")
	}
	second, err := c.Issue("SOC-AID-2026-0001", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Find(code); ok {
		t.Error("a code holds beside a newer one")
	}
	now = at(now.Now().Add(time.Hour))
	if _, ok := c.Find(second); ok {
		t.Error("a code holds after its end")
	}
}

func TestGuessesAreFew(t *testing.T) {
	now := at(time.Date(2031, 3, 4, 9, 30, 0, 0, time.UTC))
	c, err := OpenCaseCodes(filepath.Join(t.TempDir(), "codes.json"), &now)
	if err != nil {
		t.Fatal(err)
	}
	for range guessBurst {
		if !c.Allow("192.0.2.1:4711") {
			t.Fatal("the first tries are refused")
		}
	}
	if c.Allow("192.0.2.1:4712") {
		t.Error("tries from one address have no bound")
	}
	if !c.Allow("192.0.2.2:4711") {
		t.Error("one address keeps others out")
	}
	now = at(now.Now().Add(guessEvery))
	if !c.Allow("192.0.2.1:4713") {
		t.Error("an address is kept out for good")
	}
}
