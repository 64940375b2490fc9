package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const wrkOutput = `Running 1s test @ http://127.0.0.1:40293/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.55ms    1.29ms  18.93ms   86.10%
    Req/Sec    11.43k   782.14    12.51k    70.00%
  Latency Distribution
     50%  987.00us
     75%    1.92ms
     90%    3.04ms
     99%    1.21s 
  11391 requests in 1.01s, 12.53MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 7
Requests/sec:  11298.08
Transfer/sec:     12.43MB
strange answers: 5 302 moved
`

func TestParseWrk(t *testing.T) {
	got, err := parseWrk(wrkOutput)
	if err != nil {
		t.Fatal(err)
	}
	want := measured{
		rate: 11298.08, requests: 11391, p50: 987 * time.Microsecond, p99: 1210 * time.Millisecond,
		failed: 17, strange: 5, example: "302 moved",
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, line := range []string{"Requests/sec", "requests in", " 50%", " 99%"} {
		var kept []string
		for l := range strings.Lines(wrkOutput) {
			if !strings.Contains(l, line) {
				kept = append(kept, l)
			}
		}
		if _, err := parseWrk(strings.Join(kept, "")); err == nil {
			t.Errorf("output without %q was taken", line)
		}
	}
	if _, err := parseWrk(strings.Replace(wrkOutput, "11391 requests", "0 requests", 1)); err == nil {
		t.Error("a run without an answer was taken")
	}
}

func TestProcessFigures(t *testing.T) {
	proc := t.TempDir()
	for pid, files := range map[int]map[string]string{
		11: {
			"stat":   "11 (a (strange) name) S 1 11 11 0 -1 4194560 2200 0 0 0 250 50 7 7 20 0 9 0 100 1 1\n",
			"status": "Name:\ta\nVmPeak:\t  999999 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n",
		},
		12: {
			"stat":   "12 (b) S 1 11 11 0 -1 4194560 2200 0 0 0 100 0 7 7 20 0 9 0 100 1 1\n",
			"status": "Name:\tb\nVmHWM:\t   10240 kB\n",
		},
		13: {"stat": "13 (c) Z\n", "status": "Name:\tc\nState:\tZ (zombie)\n"},
	} {
		dir := filepath.Join(proc, fmt.Sprint(pid))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			write(t, dir, name, text, 0o600)
		}
	}
	if got, err := cpuTime(proc, []int{11, 12}); err != nil || got != 4*time.Second {
		t.Errorf("CPU time %s, %v: want 4s", got, err)
	}
	if got, err := peakMemory(proc, []int{11, 12}); err != nil || got.mebibytes() != 30 {
		t.Errorf("peak %v MiB, %v: want 30", got.mebibytes(), err)
	}
	for _, pid := range []int{13, 99} {
		if _, err := cpuTime(proc, []int{pid}); err == nil {
			t.Errorf("process %d, which has ended, has a CPU time", pid)
		}
		if _, err := peakMemory(proc, []int{pid}); err == nil {
			t.Errorf("process %d, which has ended, has a peak of memory", pid)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.of, got, c.want)
		}
	}
}

func TestRatioIsPairOverChain(t *testing.T) {
	r := result{connections: 16, samples: map[string][]sample{
		bareChain:   {{measured: measured{rate: 900}}, {measured: measured{rate: 1000}}, {measured: measured{rate: 2000}}},
		gatewayPair: {{measured: measured{rate: 310}}, {measured: measured{rate: 5}}, {measured: measured{rate: 400}}},
	}}
	if got := r.ratio(requestsPerSecond); got != 0.31 {
		t.Errorf("ratio %v, want 0.31", got)
	}
	if err := checkMinimum(options{minimum: map[int]float64{16: 0.31, 64: 9}}, []result{r}); err != nil {
		t.Errorf("a ratio at its minimum gives %v", err)
	}
	if err := checkMinimum(options{minimum: map[int]float64{16: 0.311}}, []result{r}); err == nil {
		t.Error("a ratio below its minimum passes")
	}
}

func TestParseRun(t *testing.T) {
	o, err := parseRun([]string{"-d", "5s", "-n", "2", "-c", "16,64", "-json", "--min", "c=16:0.25,c=64:0.40", "-binary", "x"})
	if err != nil {
		t.Fatal(err)
	}
	if o.duration != 5*time.Second || o.rounds != 2 || !slices.Equal(o.connections, []int{16, 64}) || !o.json || o.binary != "x" ||
		!maps.Equal(o.minimum, map[int]float64{16: 0.25, 64: 0.40}) {
		t.Errorf("parsed as %+v", o)
	}
	for _, args := range [][]string{
		{"-d", "1500ms"}, {"-d", "0s"}, {"-n", "0"}, {"-c", "0"}, {"-c", "1,1"}, {"-c", "many"}, {"extra"},
		{"-min", "16:0.25"}, {"-min", "c=16"}, {"-min", "c=16:0"}, {"-min", "c=16:0.2,c=16:0.3"}, {"-min", "c=8:0.2"}, {"-min", "c=x:0.2"},
	} {
		if _, err := parseRun(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
