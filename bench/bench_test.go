package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// asCommand makes the test binary behave as the bench command, so that the chain can start its processes from it.
const asCommand = "BENCH_TEST_AS_COMMAND"

// chainEnv also lets those processes end at once under the race detector, which else lingers a second.
var chainEnv = []string{asCommand + "=1", "GORACE=atexit_sleep_ms=0"}

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// fakePair writes a command that stands in for countersign: it prints the description of a pair, and runs until it is ended.
// The pair is this test's own server; its two gateways are this test's process and its parent's. The command checks its
// arguments and leaves a file "stopped" beside itself when it is told to end.
func fakePair(t *testing.T, handler http.Handler) (binary string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	write(t, dir, "person.lua", `
local people, n = {"A1", "B2", "C3"}, 0
request = function()
  n = n + 1
  return wrk.format("GET", "/r1/person/" .. people[n % #people + 1])
end
`, 0o600)
	description, err := json.Marshal(map[string]any{
		"clientURL":   server.URL + "/r1/person/A1",
		"headers":     map[string]any{"X-Road-Client": "DEMO/GOV/1", "Countersign-Purpose": []string{"check"}},
		"personIDs":   []string{"A1", "B2", "C3"},
		"wrkScript":   filepath.Join(dir, "person.lua"),
		"gatewayPIDs": []int{os.Getpid(), os.Getppid()},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "description.json", string(description), 0o600)
	return write(t, dir, "countersign", fmt.Sprintf(`#!/bin/sh
[ "$1 $2 $3 $5" = "demo --pair --upstream --json" ] || { echo "wrong arguments: $*" >&2; exit 9; }
trap 'touch "%[1]s/stopped"; exit 0' TERM
cat "%[1]s/description.json"
while :; do sleep 0.05; done
`, dir), 0o700)
}

func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// short runs one second-long round at two connections.
func short(t *testing.T, binary string) options {
	t.Helper()
	return options{
		binary: binary, dir: t.TempDir(), duration: time.Second, rounds: 1, connections: []int{2},
		minimum: map[int]float64{}, chainEnv: chainEnv,
	}
}

func TestRunComparesAndReports(t *testing.T) {
	var wrongHeaders atomic.Int64
	people := make([]atomic.Int64, 3)
	binary := fakePair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Road-Client") != "DEMO/GOV/1" || r.Header.Get("Countersign-Purpose") != "check" {
			wrongHeaders.Add(1)
		}
		for i, id := range []string{"A1", "B2", "C3"} {
			if strings.HasSuffix(r.URL.Path, id) {
				people[i].Add(1)
			}
		}
		w.Write(person())
	}))
	var out strings.Builder
	if err := run(t.Context(), short(t, binary), &out, io.Discard); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, metric := range []string{"requests/s", "p50", "p99", "cpu/request", "memory"} {
		if !regexp.MustCompile(`(?m)^` + metric + ` c=2 ratio \d+\.\d\d$`).MatchString(out.String()) {
			t.Errorf("the report lacks the ratio of %s:\n%s", metric, out.String())
		}
		for _, side := range []string{"chain", "pair"} {
			if !regexp.MustCompile(`(?m)^  ` + metric + ` c=2 ` + side + ` \d+\.\d+ `).MatchString(out.String()) {
				t.Errorf("the report lacks the %s's figure of %s:\n%s", side, metric, out.String())
			}
		}
	}
	if n := wrongHeaders.Load(); n > 0 {
		t.Errorf("%d requests came without the pair's headers", n)
	}
	for i := range people {
		if people[i].Load() == 0 {
			t.Errorf("nobody asked about person %d: the script did not run", i)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(binary), "stopped")); err != nil {
		t.Errorf("the pair was not told to end: %v", err)
	}
}

func TestRunPrintsOneJSONObject(t *testing.T) {
	binary := fakePair(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(person()) }))
	o := short(t, binary)
	o.json = true
	o.minimum[2] = 1000 // out of reach: the figures are printed all the same
	var out strings.Builder
	if err := run(t.Context(), o, &out, io.Discard); !errors.Is(err, errBelow) || !strings.Contains(err.Error(), "requests/s c=2") {
		t.Errorf("a ratio out of reach gives %v, want errBelow with the figure", err)
	}
	var document struct {
		Comparisons []comparison
	}
	if err := json.Unmarshal([]byte(out.String()), &document); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if len(document.Comparisons) != 1 || document.Comparisons[0].Connections != 2 {
		t.Fatalf("comparisons: %+v, want one at 2 connections", document.Comparisons)
	}
	c := document.Comparisons[0]
	if want := c.Pair["requests/s"] / c.Chain["requests/s"]; c.Ratio["requests/s"] != want || want <= 0 {
		t.Errorf("ratio %v, want %v", c.Ratio["requests/s"], want)
	}
	if c.Chain["memory"] < 1 || c.Chain["p99"] < c.Chain["p50"] || c.Chain["cpu/request"] <= 0 {
		t.Errorf("figures of the chain that cannot be: %v", c.Chain)
	}
}

func TestRunFailsOnAnswersThatAreNotGood(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(n int64, w http.ResponseWriter)
		want   string
	}{
		"an error":      {func(_ int64, w http.ResponseWriter) { http.Error(w, "no such purpose", http.StatusForbidden) }, "403 no such purpose"},
		"a redirection": {func(_ int64, w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(http.StatusFound) }, "302"},
		"no body":       {func(int64, http.ResponseWriter) {}, "not 2xx with a body"},
		"one in a thousand": {func(n int64, w http.ResponseWriter) {
			if n%1000 == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			w.Write(person())
		}, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			binary := fakePair(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.answer(n.Add(1), w) }))
			err := run(t.Context(), short(t, binary), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestMeasureFailsOnLateErrors: answers that fail only after the warm-up are wrk's own to count.
func TestMeasureFailsOnLateErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(server.Close)
	s := side{name: gatewayPair, load: load{url: server.URL, connections: 2}, pids: []int{os.Getpid()}, live: func() error { return nil }}
	if _, err := measure(t.Context(), s, time.Second); err == nil || !strings.Contains(err.Error(), "no figure counts") {
		t.Errorf("got %v, want the failed answers told", err)
	}
}

func TestStartPairTellsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"it ends at once":    {"exit 3", "before it said where it listens"},
		"no description":     {"echo hello", "reading what"},
		"an incomplete one":  {`echo '{"clientURL":"http://127.0.0.1:1/","gatewayPIDs":[1]}'`, "1 gatewayPIDs, want two"},
		"headers of numbers": {`echo '{"headers":{"A":1}}'`, "header A: want a string"},
	} {
		t.Run(name, func(t *testing.T) {
			binary := write(t, t.TempDir(), "countersign", "#!/bin/sh\n"+c.script+"\n", 0o700)
			_, err := startPair(t.Context(), io.Discard, t.TempDir(), binary, "http://127.0.0.1:1")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestStartPairHeedsTheContext(t *testing.T) {
	binary := write(t, t.TempDir(), "countersign", "#!/bin/sh\nexec tail -f /dev/null\n", 0o700)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := startPair(ctx, io.Discard, t.TempDir(), binary, "http://127.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's end", err)
	}
}

// TestChainAnswersThroughMutualTLS asks through both hops, and makes sure that the provider's hop wants a certificate.
func TestChainAnswersThroughMutualTLS(t *testing.T) {
	c, err := startChain(t.Context(), io.Discard, t.TempDir(), chainEnv)
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	response, err := http.Get(c.url + "any/path")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || len(body) != personSize || !json.Valid(body) {
		t.Errorf("status %d, %d bytes, JSON %v: want 200 and %d bytes of JSON", response.StatusCode, len(body), json.Valid(body), personSize)
	}
	if len(c.hops) != 2 || c.alive() != nil {
		t.Errorf("hops %v, alive: %v", c.hops, c.alive())
	}
	c.stop()
	if c.alive() == nil {
		t.Error("the chain is alive after it was stopped")
	}
	if u, err := url.Parse(c.upstream); err != nil || u.Path != "" {
		t.Errorf("upstream %q: want a URL without a path", c.upstream)
	}
}
