package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/scenario"
	"countersign.dev/countersign/internal/subject"
)

// The demo's family lives its whole year: all at once on the ordinary program, over twelve months on the one that keeps simulated time. At the end its mother
// reads a timeline and cases in which everything is that was announced.
func TestFamily(t *testing.T) {
	t.Parallel()
	ordinary, err := exec.LookPath("countersign")
	if err != nil {
		t.Fatal(err)
	}
	for name, binary := range map[string]func(*testing.T) string{
		"at once": func(*testing.T) string { return ordinary },
		"a year":  func(t *testing.T) string { return buildCountersign(t, "-tags", "simclock") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulated := name == "a year"
			program := binary(t)
			d := playFamily(t, program)
			atlas, err := country.Open(d.path("registers"))
			if err != nil {
				t.Fatal(err)
			}
			lookAtTimeline(t, d, string(atlas.Cast.Mother.PIN), simulated)
			lookAtCases(t, d, program, simulated)
		})
	}
}

// playFamily runs a demo until its family has lived its year; it stops with the test.
func playFamily(t *testing.T, binary string) *demoFile {
	t.Helper()
	dir := t.TempDir()
	if err := shared.copyTo(filepath.Join(dir, "registers")); err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	cmd := exec.Command(binary, "demo", "--dir", dir, "--people", fmt.Sprint(storyPeople), "--json")
	cmd.Env = append(os.Environ(), untilEOF+"=1", simulatedClock+"=")
	cmd.Stderr = &told
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = stdin.Close(); <-ended })
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	whole := len((&scenario.Family{}).Episodes())
	err = until(ctx, func() error {
		var file familyFile
		text, err := os.ReadFile(filepath.Join(dir, "family.json"))
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err == nil && file.Past.Done < whole {
			err = fmt.Errorf("%d of %d episodes are played", file.Past.Done, whole)
		}
		select {
		case <-ended:
			return nil // looking at it will say why
		default:
			return err
		}
	})
	if err != nil {
		_ = stdin.Close()
		<-ended
		t.Fatalf("%v:\n%s", err, told.String())
	}
	d, err := loadDemo(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// familyUse is what the test reads of a use.
type familyUse struct {
	Kind      string
	Time      time.Time
	ByProduct bool
	Statement struct {
		Consumer string
		Purpose  string
		Outcome  string
		Mandate  struct{ Kind string }
		Official struct{ Assurance string }
	}
	Differences []string
}

func lookAtTimeline(t *testing.T, d *demoFile, mother string, simulated bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var history struct {
		Complete bool
		Uses     []familyUse
	}
	var text []byte
	// On simulated time the gateways see the directory again a moment after the last leap.
	err := until(ctx, func() error {
		v, err := loginAt(d.Portal.URL, mother)
		if err != nil {
			return err
		}
		if text, err = v.read(d.Portal.URL + "/api/uses"); err != nil {
			return err
		}
		if err := json.Unmarshal(text, &history); err != nil {
			return err
		}
		if !history.Complete {
			return errors.New("a gateway did not answer")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, text)
	}
	seen, months := map[string]int{}, map[string]bool{}
	for _, u := range history.Uses {
		months[u.Time.Format("2006-01")] = true
		st := &u.Statement
		for sign, is := range map[string]bool{
			"refused": st.Outcome == "refused", "released": st.Outcome == "released", "relative": u.ByProduct, "emergency": st.Mandate.Kind == "emergency",
			"consent": st.Mandate.Kind == "consent", "relation": st.Mandate.Kind == "relation", "programme": st.Mandate.Kind == "programme",
			"view": u.Kind == "view", "case": u.Kind == "case", "different": len(u.Differences) > 0, st.Purpose: true,
		} {
			if is {
				seen[sign]++
			}
		}
	}
	for _, want := range []string{
		"refused", "released", "relative", "emergency", "consent", "relation", "programme", "view", "benefit-decision", "treatment", "traffic-stop", "property-tax",
		"vital-interests", "address-registration", "vehicle-registration", "identity-check",
	} {
		if seen[want] == 0 {
			t.Errorf("the timeline has nothing of %q: %v", want, seen)
		}
	}
	if seen["different"] > 0 || seen["refused"] < 6 || seen["released"] < 20 {
		t.Errorf("the timeline is not as it was played: %v", seen)
	}
	if simulated && len(months) < 9 {
		t.Errorf("the year lies in %d months", len(months))
	}
}

// lookAtCases reads the cases where the agencies do, by the program that runs the federation.
func lookAtCases(t *testing.T, d *demoFile, binary string, simulated bool) {
	t.Helper()
	var states []string
	for _, code := range []string{law.POL, law.MUN, law.POP} {
		cmd := exec.CommandContext(t.Context(), binary, "case", "list", "--config", d.Members[code].Config, "--json")
		cmd.Env = append(os.Environ(), simulatedClock+"="+d.path("clock"))
		text, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var list []subject.Case
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		for _, one := range list {
			states = append(states, code+" "+string(one.State))
		}
	}
	want := []string{"POL open", "MUN upheld", "POP upheld"}
	if simulated {
		want[0] = "POL dismissed" // by the independent body, after the police were silent
	}
	if !slices.Equal(states, want) {
		t.Errorf("the family's cases are %q, want %q", states, want)
	}
}
