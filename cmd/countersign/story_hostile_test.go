package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/xroad"
)

// memoryPeak reads the most memory that a process ever held, in MiB.
func memoryPeak(pid int) (float64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("the kernel does not tell the peak of process %d", pid)
}

// memoryBound is what the race detector makes of a process's memory.
func memoryBound(mib float64) float64 {
	if raceDetector {
		return 8 * mib
	}
	return mib
}

// cmdMemory: "memory PART MIB" fails where the part has ever held more. Under the race detector, which shadows memory, the bound is wider.
func cmdMemory(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: memory PART MIB")
	}
	list, err := storyOf(ts).parts(args[:1])
	ts.Check(err)
	bound, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	peak, err := memoryPeak(list[0].pid())
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s held %.0f MiB at most\n", args[0], peak)
	if peak > memoryBound(bound) {
		ts.Fatalf("%s held %.0f MiB: %.0f are allowed", args[0], peak, memoryBound(bound))
	}
}

// endless is a text of one character.
type endless byte

// Read implements io.Reader.
func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// cmdFlood: "flood MUN KIND=N" sends a client's request that is too much of something, and expects anything but an answer of a service:
// headers=BYTES, body=BYTES to a service of personal data, depth=LEVELS of JSON, open=CONNECTIONS that send the beginning of a request and wait.
func cmdFlood(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flood AGENCY KIND=N")
	}
	d := storyOf(ts).d
	m := d.Members[args[0]]
	kind, count, _ := strings.Cut(args[1], "=")
	n, err := strconv.Atoi(count)
	ts.Check(err)
	if kind == "open" {
		ts.Check(holdOpen(m, n))
		return
	}
	token, err := readLine(m.TokenFile)
	ts.Check(err)
	req, err := http.NewRequest(http.MethodPost, m.Client+"/r1/"+xroad.EncodeService(law.Service(law.POP, "check")), nil)
	ts.Check(err)
	h := req.Header
	h.Set(xroad.HeaderClient, law.Client(args[0]).String())
	h.Set(exchange.HeaderToken, token)
	h.Set(exchange.HeaderPurpose, "identity-check")
	h.Set(exchange.HeaderBasis, "population-act-14")
	h.Set("Content-Type", "application/json")
	switch kind {
	case "headers":
		h.Set("X-Much", strings.Repeat("m", n))
	case "body":
		req.Body, req.ContentLength = io.NopCloser(io.LimitReader(endless(' '), int64(n))), int64(n)
	case "chunks":
		req.Body = io.NopCloser(io.LimitReader(endless(' '), int64(n)))
	case "depth":
		req.Body = io.NopCloser(strings.NewReader(strings.Repeat(`{"a":`, n)))
	default:
		ts.Fatalf("%v: no flood %q", errUsage, kind)
	}
	a, err := put(req)
	if err != nil { // the gateway hung up, as it may
		fmt.Fprintln(ts.Stdout(), "hung up")
		return
	}
	fmt.Fprintln(ts.Stdout(), a.Status, a.Code)
	if a.Status < 400 {
		ts.Fatalf("the flood was answered with %d", a.Status)
	}
}

// holdOpen opens connections that begin a request and do not end it, and leaves them to the gateway's time-outs while an ordinary request is
// answered beside them.
func holdOpen(m demoMember, n int) error {
	for range n {
		conn, err := net.Dial("tcp", address(m.Client))
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /r1/DEMO/GOV/POP HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
			return err
		}
	}
	u, err := url.JoinPath(m.Client, "listClients")
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(u)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("beside %d slow connections the gateway answers %s", n, res.Status)
	}
	return nil
}
