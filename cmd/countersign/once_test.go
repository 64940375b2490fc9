package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
)

// The performance of demo --once, on a binary of its own, comes to a clean verdict of enough substance.
func TestOnceKeepsItsWord(t *testing.T) {
	t.Parallel()
	v, status := playOnce(t, buildCountersign(t))
	if status != exitOK || !v.OK {
		t.Fatalf("exit status %d, verdict %+v", status, v)
	}
	if v.Exchanges-v.Refused < leastReleased || v.Refused < leastRefused || len(v.RefusedReasons) < leastRefused {
		t.Errorf("%d exchanges, %d refused for %d kinds of reason", v.Exchanges, v.Refused, len(v.RefusedReasons))
	}
	if v.AnswersWithoutRecord != 0 || v.RecordsLost != 0 || v.ReceiptsVerified != v.Exchanges || v.Seconds <= 0 {
		t.Errorf("verdict %+v", v.Verdict)
	}
	if len(v.Killed) != 2 || v.Reasons["network"] == 0 {
		t.Errorf("killed %v, and %d questions met a gateway that was gone", v.Killed, v.Reasons["network"])
	}
}

// The same performance on gateways that answer before they record, and lose some of what they promised, does not pass.
func TestOnceFindsAGatewayThatAnswersBeforeItRecords(t *testing.T) {
	t.Parallel()
	v, status := playOnce(t, buildCountersign(t, "-tags", "sabotage"))
	if status != exitFailed || v.OK {
		t.Fatalf("exit status %d, verdict %+v", status, v)
	}
	if v.AnswersWithoutRecord == 0 || v.RecordsLost == 0 || v.Exchanges == 0 {
		t.Errorf("the auditor found nothing: %+v", v.Verdict)
	}
}

// buildCountersign builds the command from this checkout.
func buildCountersign(t *testing.T, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "countersign")
	args := append([]string{"build", "-o", binary}, flags...)
	out, err := exec.CommandContext(t.Context(), "go", append(args, ".")...).CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// playOnce runs demo --once --json and reads the last line.
func playOnce(t *testing.T, binary string) (*onceVerdict, int) {
	t.Helper()
	var out, diagnosis bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--once", "--people", "300", "--json")
	cmd.Stdout, cmd.Stderr = &out, &diagnosis
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	v := &onceVerdict{}
	if err := json.Unmarshal(lines[len(lines)-1], v); err != nil {
		t.Fatalf("exit status %d, the last line is no verdict: %v\n%s\n%s", cmd.ProcessState.ExitCode(), err, lines[len(lines)-1], diagnosis.Bytes())
	}
	for _, s := range v.Surprises {
		t.Logf("surprise: %s", s)
	}
	return v, cmd.ProcessState.ExitCode()
}
