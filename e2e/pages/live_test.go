package pages

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign.dev/countersign/demo/country"
)

// TestLivePortal runs the demo and walks its portal as people do, with and without scripts.
func TestLivePortal(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("there is no browser to walk the pages with; `make test-needs` installs it: %v", err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "countersign")
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v: %s", filepath.Base(name), strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("go", "build", "-o", binary, "countersign.dev/countersign/cmd/countersign")
	folder := filepath.Join(dir, "demo")
	demo := startDemo(t, binary, folder)

	// Two consents wait for the person, one for each walk; an agency has sent a letter with a code.
	for range 2 {
		run(binary, "consent", "apply", "--config", filepath.Join(folder, "cln", "gateway.yaml"), "--subject", "pin:"+demo.person, "--client", "DEMO/MED/CLN/desk",
			"--service", "DEMO/MED/CLN/registry/records", "--purpose", "treatment", "--basis", "health-act-26")
	}
	code := run(binary, "demo-case-code", "--dir", folder, "--agency", "SOC", "--as", "DUTY-OFFICER-SOC", "--case", "SOC-AID-2026-0001")
	screenshots, err := filepath.Abs("../screenshots")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "live.mjs", demo.portal, demo.person, code, screenshots)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the portal does not pass: %v", err)
	}
}

type liveDemo struct{ portal, person string }

// startDemo starts the demo, waits until it is up, and stops it with the test.
func startDemo(t *testing.T, binary, folder string) liveDemo {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--dir", folder, "--people", "300", "--json")
	cmd.Stderr = &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	})
	var demo struct{ Portal struct{ URL string } }
	if err := json.NewDecoder(out).Decode(&demo); err != nil {
		t.Fatalf("the demo does not come up: %v: %s", err, said.String())
	}
	atlas, err := country.Open(filepath.Join(folder, "registers"))
	if err != nil {
		t.Fatal(err)
	}
	return liveDemo{demo.Portal.URL, string(atlas.Cast.Patient.PIN)}
}
