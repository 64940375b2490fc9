package main

import (
	"context"
	_ "embed" // the script of the warm-up
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// load is what one run of wrk puts on a URL.
type load struct {
	url         string
	headers     headers
	script      string // path of a Lua script; "" for none
	connections int
	duration    time.Duration // whole seconds: wrk knows no less
}

// measured is what wrk says of one run.
type measured struct {
	rate     float64 // answers per second
	requests int
	p50, p99 time.Duration
	failed   int // answers of status 400 and over, and requests whose connection broke or timed out
	strange  int // in a warm-up: answers that are no 2xx, or have no body
	example  string
}

// strangeLua counts, in a warm-up, the answers that are no 2xx: wrk's own count leaves out redirections. It is not used in a
// measured run, since looking at each answer costs the client time.
//
//go:embed strange.lua
var strangeLua string

// warm runs a load whose every answer is looked at. dir takes the script.
func warm(ctx context.Context, dir string, l load) (measured, error) {
	script := filepath.Join(dir, "warm.lua")
	text := strings.ReplaceAll(strangeLua, "@INNER@", l.script)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return measured{}, fmt.Errorf("writing the script of the warm-up: %w", err)
	}
	l.script = script
	return runWrk(ctx, l)
}

func runWrk(ctx context.Context, l load) (measured, error) {
	seconds := strconv.Itoa(int(l.duration / time.Second))
	args := []string{"-t1", "-c" + strconv.Itoa(l.connections), "-d" + seconds + "s", "--latency"}
	for _, h := range l.headers {
		args = append(args, "-H", h)
	}
	if l.script != "" {
		args = append(args, "-s", l.script)
	}
	output, err := exec.CommandContext(ctx, "wrk", append(args, l.url)...).CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return measured{}, ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return measured{}, errors.New("wrk is not installed: apt-get install wrk")
	case err != nil:
		return measured{}, fmt.Errorf("wrk on %s: %w: %s", l.url, err, output)
	}
	m, err := parseWrk(string(output))
	if err != nil {
		return measured{}, fmt.Errorf("wrk on %s: %w; it printed:\n%s", l.url, err, output)
	}
	return m, nil
}

var (
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec:\s+([\d.]+)$`)
	wrkRequests = regexp.MustCompile(`(?m)^\s+(\d+) requests in `)
	wrkP50      = regexp.MustCompile(`(?m)^\s+50%\s+([\d.]+(?:us|ms|s|m)) *$`)
	wrkP99      = regexp.MustCompile(`(?m)^\s+99%\s+([\d.]+(?:us|ms|s|m)) *$`)
	wrkStatus   = regexp.MustCompile(`(?m)^\s+Non-2xx or 3xx responses: (\d+)$`)
	wrkSocket   = regexp.MustCompile(`(?m)^\s+Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$`)
	wrkStrange  = regexp.MustCompile(`(?m)^strange answers: (\d+) (.*)$`)
)

// parseWrk reads what wrk 4 prints with --latency.
func parseWrk(output string) (measured, error) {
	var m measured
	var err error
	if m.requests, err = number(wrkRequests, output); err != nil {
		return m, err
	}
	if m.requests == 0 {
		return m, errors.New("not one request was answered")
	}
	rate := wrkRate.FindStringSubmatch(output)
	if rate == nil {
		return m, errors.New("its output names no rate")
	}
	if m.rate, err = strconv.ParseFloat(rate[1], 64); err != nil {
		return m, fmt.Errorf("its rate: %w", err)
	}
	if m.p50, err = latency(wrkP50, output); err != nil {
		return m, err
	}
	if m.p99, err = latency(wrkP99, output); err != nil {
		return m, err
	}
	if found := wrkStatus.FindStringSubmatch(output); found != nil {
		if m.failed, err = strconv.Atoi(found[1]); err != nil {
			return m, fmt.Errorf("its count of failed answers: %w", err)
		}
	}
	if found := wrkSocket.FindStringSubmatch(output); found != nil {
		for _, count := range found[1:] {
			n, err := strconv.Atoi(count)
			if err != nil {
				return m, fmt.Errorf("its count of socket errors: %w", err)
			}
			m.failed += n
		}
	}
	if found := wrkStrange.FindStringSubmatch(output); found != nil {
		if m.strange, err = strconv.Atoi(found[1]); err != nil {
			return m, fmt.Errorf("the warm-up's count: %w", err)
		}
		m.example = found[2]
	}
	return m, nil
}

func number(pattern *regexp.Regexp, output string) (int, error) {
	found := pattern.FindStringSubmatch(output)
	if found == nil {
		return 0, fmt.Errorf("its output lacks %s", pattern)
	}
	return strconv.Atoi(found[1])
}

func latency(pattern *regexp.Regexp, output string) (time.Duration, error) {
	found := pattern.FindStringSubmatch(output)
	if found == nil {
		return 0, fmt.Errorf("its output lacks %s", pattern)
	}
	return time.ParseDuration(found[1])
}
