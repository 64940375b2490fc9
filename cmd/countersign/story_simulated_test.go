package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
)

// TestSimulatedStories plays the stories of testdata/simulated: federations founded and run by a binary that keeps simulated time, which they advance with
// "exec countersign clock advance". $ORDINARY is the binary that does not.
func TestSimulatedStories(t *testing.T) {
	ordinary, err := exec.LookPath("countersign")
	if err != nil {
		t.Fatal(err)
	}
	simulated := buildCountersign(t, "-tags", "simclock")
	commands := storyCommands()
	commands["slots"], commands["public"], commands["own-clock"] = cmdSlots, cmdPublic, cmdOwnClock
	commands["destroyed"] = cmdDestroyed
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "simulated"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			beginStory(env).simulated = simulated
			env.Setenv("PATH", filepath.Dir(simulated)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv(simulatedClock, filepath.Join(env.WorkDir, "clock"))
			env.Setenv("ORDINARY", ordinary)
			return nil
		},
		Cmds: commands,
	})
}

// simulatedClock is the variable that names the file of the simulated clock. The ordinary binary, and this test, do not read it.
const simulatedClock = "COUNTERSIGN_SIMCLOCK"

// foundSimulated is testFederation by the binary that keeps simulated time.
func (s *story) foundSimulated(ctx context.Context, dir string, plan demoPlan) (*demoFile, *fleet, error) {
	if plan.amend != nil {
		return nil, nil, fmt.Errorf("%w: the law of a federation on simulated time is changed by the ceremony alone", errUsage)
	}
	if err := shared.copyTo(filepath.Join(dir, "registers")); err != nil {
		return nil, nil, err
	}
	if err := s.alignClock(ctx); err != nil {
		return nil, nil, err
	}
	args := append([]string{"demo-found", "--dir", dir, "--people", strconv.Itoa(storyPeople)}, plan.agencies...)
	if plan.portal {
		args = append(args, portalCode)
	}
	if _, err := s.simulate(ctx, args...); err != nil {
		return nil, nil, err
	}
	d, err := loadDemo(dir)
	if err != nil {
		return nil, nil, err
	}
	f, err := d.fleetOf(s.simulated)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range f.parts {
		p.env = []string{simulatedClock + "=" + s.env.Getenv(simulatedClock)}
	}
	s.founded, err = s.simulatedNow(ctx)
	return d, f, err
}

// simulate runs a command of the binary that keeps simulated time.
func (s *story) simulate(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.simulated, args...)
	cmd.Env = append(os.Environ(), simulatedClock+"="+s.env.Getenv(simulatedClock))
	var out, diagnosis bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnosis
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", args[0], err, diagnosis.Bytes())
	}
	return out.Bytes(), nil
}

// alignClock brings the clock to ten past an hour: no story meets the end of one by chance.
func (s *story) alignClock(ctx context.Context) error {
	now, err := s.simulatedNow(ctx)
	if err != nil {
		return err
	}
	_, err = s.simulate(ctx, "clock", "advance", now.Truncate(time.Hour).Add(time.Hour+10*time.Minute).Sub(now).String())
	return err
}

func (s *story) simulatedNow(ctx context.Context) (time.Time, error) {
	text, err := s.simulate(ctx, "clock", "show")
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
}

// cmdSlots: "slots POP as=MUN least=N" waits until POP's log, read as MUN may read it, holds so many sealed slots, and checks that it holds no more
// than one for each minute that the federation has seen. It prints both numbers.
func cmdSlots(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 3 || !strings.HasPrefix(args[1], "as=") || !strings.HasPrefix(args[2], "least=") {
		ts.Fatalf("usage: slots AGENCY as=AGENCY least=N")
	}
	least, err := strconv.Atoi(args[2][len("least="):])
	ts.Check(err)
	r, err := readerOf(s.d, args[0], args[1][len("as="):])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var sealed int
	var size uint64
	ts.Check(until(ctx, func() error {
		leaves, err := r.leaves(ctx, size)
		if err != nil {
			return err
		}
		sealed, size = 0, uint64(len(leaves))
		for _, l := range leaves {
			if l.Kind == countersign.LeafSealed {
				sealed++
			}
		}
		if sealed < least {
			return fmt.Errorf("the log holds %d sealed slots, and %d are due", sealed, least)
		}
		return nil
	}))
	now, err := s.simulatedNow(ctx)
	ts.Check(err)
	minutes := int(now.Unix()/60 - s.founded.Unix()/60 + 1)
	fmt.Fprintf(ts.Stdout(), "%d sealed slots in %d minutes\n", sealed, minutes)
	if sealed > minutes {
		ts.Fatalf("%d sealed slots in %d minutes: something was sealed beside the slots", sealed, minutes)
	}
}

// cmdPublic: "public POP N" waits until the public's view of POP's log shows at least N leaves, and prints how many; "! public POP N" expects that it
// shows fewer now. Before the first hour it shows none.
func cmdPublic(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) != 2 {
		ts.Fatalf("usage: public AGENCY LEAVES")
	}
	least, err := strconv.Atoi(args[1])
	ts.Check(err)
	document, err := readDocument(s.d.path("federation.json"))
	ts.Check(err)
	var size int64
	look := func() error {
		if size, err = publicSize(document, s.d.Members[args[0]]); err == nil && size < int64(least) {
			return fmt.Errorf("the public sees %d leaves of %s", size, args[0])
		}
		return err
	}
	if neg {
		if look() == nil {
			ts.Fatalf("the public sees %d leaves of %s", size, args[0])
		}
		ts.Check(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ts.Check(until(ctx, look))
	fmt.Fprintf(ts.Stdout(), "the public sees %d leaves of %s\n", size, args[0])
}

// cmdOwnClock: "own-clock PART DURATION" gives a part a clock of its own from its next start on, so far ahead of everybody's (behind, with a
// minus), or sets the one that it has.
func cmdOwnClock(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 2 {
		ts.Fatalf("usage: own-clock PART DURATION")
	}
	parts, err := s.parts(args[:1])
	ts.Check(err)
	by, err := time.ParseDuration(args[1])
	ts.Check(err)
	text, err := os.ReadFile(s.env.Getenv(simulatedClock))
	ts.Check(err)
	shared, err := time.ParseDuration(strings.TrimSpace(string(text)))
	ts.Check(err)
	file := filepath.Join(s.env.WorkDir, "clock-"+args[0])
	ts.Check(os.WriteFile(file+".new", []byte((shared+by).String()+"\n"), 0o600))
	ts.Check(os.Rename(file+".new", file)) // the part sees the old time or the new one
	parts[0].env = []string{simulatedClock + "=" + file}
}

// publicSize reads the checkpoint that anybody may read.
func publicSize(document *countersign.Directory, m demoMember) (int64, error) {
	res, err := storyClient.Get(m.Public + "/checkpoint")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		return 0, nil
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
		return 0, errors.Join(err, fmt.Errorf("the public view answers %s", res.Status))
	}
	for _, x := range document.Members {
		if x.ID != m.ID {
			continue
		}
		v, err := note.NewVerifier(x.Gateways[0].Log.VKey)
		if err != nil {
			return 0, err
		}
		n, err := note.Open(text.Bytes(), note.VerifierList(v))
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(strings.Split(n.Text, "\n")[1], 10, 64)
	}
	return 0, fmt.Errorf("the directory has no %s", m.ID)
}
