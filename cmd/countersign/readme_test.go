package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
)

// shellBlocks are the blocks of commands of a page.
func shellBlocks(page string) []string {
	var out []string
	for i, part := range strings.Split("\n"+page, "\n```") {
		if i%2 == 1 {
			_, text, _ := strings.Cut(part, "\n") // past the language
			out = append(out, strings.TrimSpace(text))
		}
	}
	return out
}

// The quick start cannot rot: each block of commands of the README is run as it stands there, and then what the demo itself says to try. Only
// what a reader would put in by hand is put in, and the demo is made small and in a folder of the test.
func TestReadmeCommandsRun(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	var printed string
	var d *demoFile
	for _, block := range shellBlocks(string(page)) {
		switch {
		case block == "make demo":
			printed = makeDemo(t, home)
			if d, err = loadDemo(filepath.Join(home, "demo-data")); err != nil {
				t.Fatal(err)
			}
		case strings.HasPrefix(block, "make "):
			// What it runs is this very run of tests, and more: that the target is there and expands is what is left to see.
			shell(t, filepath.Join("..", ".."), "make --dry-run "+strings.TrimPrefix(block, "make "))
		case strings.HasPrefix(block, "curl ") && d != nil:
			atlas, err := country.Open(d.path("registers"))
			if err != nil {
				t.Fatal(err)
			}
			filled := strings.NewReplacer("http://GATEWAY/", d.Members[law.MUN].Client+"/", "PERSON", string(atlas.Cast.Bystander.PIN)).Replace(block)
			wantAnswer(t, shell(t, home, filled), string(atlas.Cast.Bystander.PIN))
		default:
			t.Errorf("nobody runs this block of README.md:\n%s", block)
		}
	}
	if d == nil {
		t.Fatal("README.md does not start the demo any more")
	}
	tryWhatItSays(t, home, printed)
}

func wantAnswer(t *testing.T, got, person string) {
	t.Helper()
	if !strings.Contains(got, "200 OK") || !strings.Contains(got, `"pin":"`+person+`"`) || !strings.Contains(got, "Countersign-Receipt: ") {
		t.Errorf("the question brought\n%s", got)
	}
}

// makeDemo runs `make demo` until the test ends and gives what it printed. The binary is this one, already built.
func makeDemo(t *testing.T, home string) string {
	t.Helper()
	self, err := exec.LookPath("countersign")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(home, "make.log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // the child has its own
	cmd := exec.Command("make", "-C", filepath.Join("..", ".."), "--old-file=build", "demo", "BINARY="+self,
		"DEMO_FLAGS=--dir "+filepath.Join(home, "demo-data")+fmt.Sprintf(" --people %d", storyPeople))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // as a reader's ^C does: to make and to all below it
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var text []byte
	err = until(ctx, func() error {
		if text, err = os.ReadFile(log); err == nil && !strings.Contains(string(text), "Interrupt to stop.") {
			err = errors.New("make demo has not introduced itself")
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return string(text)
}

var indented = regexp.MustCompile(`(?m)^  (?:curl|\S*countersign) (?:.*\\\n)*.*$`)

// tryWhatItSays runs the commands that the demo prints, in order: ask, look at the record, keep a receipt, verify it.
func tryWhatItSays(t *testing.T, home, printed string) {
	t.Helper()
	commands := indented.FindAllString(printed, -1)
	if len(commands) < 4 {
		t.Fatalf("the demo prints %d commands to try:\n%s", len(commands), printed)
	}
	ran := map[string]bool{}
	for _, c := range commands {
		out := shell(t, home, strings.TrimSpace(c))
		for name, sign := range map[string]string{"curl": "200 OK", " record ": "asked DEMO/GOV/POP", " ask ": `"surname"`, " verify ": "VALID"} {
			if strings.Contains(c, name) {
				ran[name] = true
				if !strings.Contains(out, sign) {
					t.Errorf("%s\nprinted no %q:\n%s", c, sign, out)
				}
			}
		}
	}
	if len(ran) != 4 {
		t.Errorf("of curl, record, ask and verify only %v were to be tried", ran)
	}
}

// shell runs a text with bash and gives what it prints.
func shell(t *testing.T, dir, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = dir
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s\n%v: %s%s", text, err, out.String(), errs.String())
	}
	return out.String()
}
