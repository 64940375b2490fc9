package country

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCastIsOfDifferentPeople(t *testing.T) {
	c := generate(t, MinPeople, 3)
	atlas, err := c.Atlas()
	if err != nil {
		t.Fatal(err)
	}
	again, err := generate(t, MinPeople, 3).Cast()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(atlas.Cast, again); diff != "" {
		t.Errorf("the same country casts others: %s", diff)
	}
	text, err := json.Marshal(atlas.Cast)
	if err != nil {
		t.Fatal(err)
	}
	var roles map[string]json.RawMessage
	if err := json.Unmarshal(text, &roles); err != nil {
		t.Fatal(err)
	}
	people := map[PIN]Index{}
	for i := range c.People {
		people[c.People[i].PIN] = Index(i)
	}
	played := map[PIN]string{}
	for name, raw := range roles {
		var r Role
		if json.Unmarshal(raw, &r) != nil || r.PIN == "" {
			continue // a code, not a role
		}
		if i, known := people[r.PIN]; !known || c.People[i].Surname != r.Surname || c.People[i].Born != r.Born {
			t.Errorf("%s is nobody of the country, or somebody else", name)
		}
		if other := played[r.PIN]; other != "" {
			t.Errorf("%s and %s are one person", name, other)
		}
		played[r.PIN] = name
	}
	if len(played) != 30 {
		t.Errorf("%d roles are played, want 30", len(played))
	}
	if _, taken := people[atlas.Cast.UnknownPIN]; taken {
		t.Error("the unknown code is somebody's")
	}
	if _, err := ParsePIN(string(atlas.Cast.UnknownPIN)); err != nil {
		t.Errorf("the unknown code is not well formed: %v", err)
	}
	if _, err := ParsePIN(atlas.Cast.MistypedPIN); !errors.Is(err, ErrPIN) {
		t.Errorf("the mistyped code gave %v", err)
	}
}

func TestAtlasIsReadBackAsWritten(t *testing.T) {
	atlas, err := generate(t, MinPeople, 3).Atlas()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, ErrNoAtlas) {
		t.Errorf("an empty folder gave %v", err)
	}
	if err := atlas.Save(dir); err != nil {
		t.Fatal(err)
	}
	read, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(atlas, read); diff != "" {
		t.Errorf("read back (-written +read): %s", diff)
	}
}

// The ordinary demo's country, and the largest, can be cast whatever the test seeds above are.
func TestDefaultAndLargestCountriesAreCast(t *testing.T) {
	for _, n := range []int{DefaultPeople, MaxPeople} {
		c := generate(t, n, 1)
		if _, err := c.Cast(); err != nil {
			t.Error(err)
		}
		if len(c.People) != n {
			t.Errorf("%d people, want %d", len(c.People), n)
		}
	}
}
