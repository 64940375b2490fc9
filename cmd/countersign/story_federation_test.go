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
	"regexp"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
)

// story is what the commands of one script share.
type story struct {
	env     *testscript.Env
	d       *demoFile
	fleet   *fleet
	cast    country.Cast
	middles map[string]*middle
	odd     *atomic.Pointer[string] // what the register answers that stands in for another

	simulated string    // the binary that keeps simulated time, in the stories that need it
	founded   time.Time // on the simulated clock
}

// testFederation builds a federation of some agencies in dir, over a copy of the registers that the run shares.
func testFederation(ctx context.Context, dir string, plan demoPlan) (*demoFile, *fleet, error) {
	if err := shared.copyTo(filepath.Join(dir, "registers")); err != nil {
		return nil, nil, err
	}
	plan.people = storyPeople
	d, err := buildDemo(ctx, dir, plan, func(string) {})
	if err != nil {
		return nil, nil, err
	}
	self, err := exec.LookPath("countersign") // this test binary under its other name; TestMain has put it on the path
	if err != nil {
		return nil, nil, err
	}
	f, err := d.fleetOf(self)
	return d, f, err
}

// cmdFederation: "federation MUN POP [-- PATH OP JSON…]": makes a federation in $WORK/fed whose directory names every agency of the country and
// whose processes are those of the agencies named; changes to its law are written as for edit. It sets $FED, for each agency its client address $MUN, $MUN_CONFIG, $MUN_TOKEN (a file) and $MUN_FOLDER, and
// for each of the cast $APPLICANT, $APPLICANT_CASE, $DRIVER_PLATE and the like.
func cmdFederation(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	parts := splitWords(args, "--")
	if neg || len(parts) == 0 || len(parts) > 2 || s.d != nil {
		ts.Fatalf("usage: federation AGENCY… [-- PATH OP JSON…], once")
	}
	plan := storyPlan(parts[0])
	if len(parts) == 2 {
		plan.amend = func(d *countersign.Directory) { ts.Check(amend(d, parts[1])) }
	}
	ts.Check(s.found(plan))
	ts.Setenv("FED", s.d.dir)
	ts.Setenv("POLICY", s.d.Policy)
	ts.Setenv("DIRECTORY", s.d.Directory.URL)
	ts.Setenv("DIRECTORY_ADMIN", s.d.Directory.Admin)
	if s.d.Portal != nil {
		ts.Setenv("REGISTRY", s.d.Portal.Public)
		ts.Setenv("PORTAL_ADMIN", s.d.Portal.Admin)
	}
	ts.Setenv("TOMORROW", time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	for code, m := range s.d.Members {
		ts.Setenv(code, m.Client)
		ts.Setenv(code+"_CONFIG", m.Config)
		ts.Setenv(code+"_TOKEN", m.TokenFile)
		ts.Setenv(code+"_ADMIN", m.Admin)
		ts.Setenv(code+"_PUBLIC", m.Public)
		ts.Setenv(code+"_PEER", m.Peer)
		ts.Setenv(code+"_REGISTER", m.Register)
		ts.Setenv(code+"_FOLDER", filepath.Dir(m.Config))
	}
	for code, o := range s.d.Offices {
		ts.Setenv(code+"_ADMIN", o.Admin)
	}
	for name, w := range s.d.Witnesses {
		ts.Setenv("WITNESS_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), w.URL)
	}
	vars, err := castVars(s.cast)
	ts.Check(err)
	for name, value := range vars {
		ts.Setenv(name, value)
	}
}

// amend changes a document as edit does.
func amend(d *countersign.Directory, changes []string) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if text, err = editText(text, changes); err != nil {
		return err
	}
	changed, err := countersign.ParseDirectory(text)
	if err == nil {
		*d = *changed
	}
	return err
}

func (s *story) found(plan demoPlan) (err error) {
	found := testFederation
	if s.simulated != "" {
		found = s.foundSimulated
	}
	s.d, s.fleet, err = found(context.Background(), filepath.Join(s.env.WorkDir, "fed"), plan)
	if err != nil {
		return err
	}
	atlas, err := country.Open(s.d.path("registers"))
	if err != nil {
		return err
	}
	s.cast = atlas.Cast
	return nil
}

// castVars names the cast: FORMER_APPLICANT for a code, FORMER_APPLICANT_CASE for what goes with the person.
func castVars(cast country.Cast) (map[string]string, error) {
	text, err := json.Marshal(cast)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for role, raw := range all {
		var role, name, value = upperSnake(role), map[string]any{}, ""
		if json.Unmarshal(raw, &value) == nil {
			out[role] = value
			continue
		}
		if err := json.Unmarshal(raw, &name); err != nil {
			return nil, err
		}
		for field, v := range name {
			key := role + "_" + upperSnake(field)
			if field == "pin" {
				key = role
			}
			out[key] = fmt.Sprint(v)
		}
	}
	return out, nil
}

func upperSnake(camel string) string {
	var b strings.Builder
	for _, r := range camel {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// parts finds processes by name; none named are all.
func (s *story) parts(names []string) ([]*process, error) {
	if s.fleet == nil {
		return nil, errors.New("there is no federation yet")
	}
	if len(names) == 0 {
		return s.fleet.parts, nil
	}
	var out []*process
	for _, n := range names {
		p := s.fleet.part(n)
		if p == nil {
			return nil, fmt.Errorf("no part %q: the parts are directory, echo, gateway-mun, register-mun, witness-press and so on", n)
		}
		out = append(out, p)
	}
	return out, nil
}

// cmdStart: "start [PART…]" starts parts and waits until they are ready; "! start PART…" expects that one does not become ready.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	list, err := s.parts(args)
	ts.Check(err)
	f := &fleet{self: s.fleet.self, parts: list}
	err = f.start(context.Background())
	if neg {
		if err == nil {
			ts.Fatalf("it started")
		}
		fmt.Fprintln(ts.Stderr(), err)
		return
	}
	ts.Check(err)
}

// cmdLaunch: "launch PART…" starts parts and does not wait for them.
func cmdLaunch(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	list, err := s.parts(args)
	ts.Check(err)
	if neg || len(args) == 0 {
		ts.Fatalf("usage: launch PART…")
	}
	for _, p := range list {
		ts.Check(p.start(s.fleet.self))
	}
}

// cmdHalt: "halt [PART…]" ends parts in order; none named are all.
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	list, err := storyOf(ts).parts(args)
	ts.Check(err)
	if neg {
		ts.Fatalf("usage: halt [PART…]")
	}
	for _, p := range list {
		p.stop()
	}
}

// cmdKill: "kill9 PART…" sends SIGKILL and waits until the parts are gone.
func cmdKill(ts *testscript.TestScript, neg bool, args []string) {
	list, err := storyOf(ts).parts(args)
	ts.Check(err)
	if neg || len(args) == 0 {
		ts.Fatalf("usage: kill9 PART…")
	}
	for _, p := range list {
		p.kill()
	}
}

// end stops what the story started, and checks what holds for every story: no part met a data race or crashed, and none wrote down whom it
// was asked about.
func (s *story) end() error {
	if s.fleet == nil {
		return nil
	}
	s.fleet.stop()
	for _, m := range s.middles {
		m.close()
	}
	return checkLogs(s.d, s.cast)
}

// alarm is what no part may ever write. A panic in a request is written as "http: panic serving", and belongs here too.
var alarm = regexp.MustCompile(`DATA RACE|panic: |panic serving|fatal error: |goroutine \d+ \[running\]`)

// checkLogs reads the output of every part.
func checkLogs(d *demoFile, cast country.Cast) error {
	vars, err := castVars(cast)
	if err != nil {
		return err
	}
	return errors.Join(checkParts(d), checkOutput(d, func(file string, text []byte) error {
		var errs []error
		for name, value := range vars {
			if len(value) >= 7 && bytes.Contains(text, []byte(value)) {
				errs = append(errs, fmt.Errorf("%s tells %s: no personal data belongs in a log", file, name))
			}
		}
		return errors.Join(errs...)
	}))
}

// checkOutput shows a check what each part wrote.
func checkOutput(d *demoFile, check func(file string, text []byte) error) error {
	files, err := filepath.Glob(d.path("logs", "*.log"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		errs = append(errs, check(filepath.Base(file), text))
	}
	return errors.Join(errs...)
}
