package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every architecture that Go runs Linux on.
const tick = time.Second / 100

// bytesOf counts memory.
type bytesOf int64

const kibibyte bytesOf = 1024

// cpuTime sums the user and system time that the processes have taken so far.
func cpuTime(proc string, pids []int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
		if err != nil {
			return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
		}
		// The command's name stands in brackets and may hold spaces and brackets; after it come field 3 and on (proc(5)).
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("the stat of process %d has %d fields after its name, want 13 or more", pid, len(fields))
		}
		for _, field := range fields[11:13] { // utime and stime
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("the CPU time of process %d: %w", pid, err)
			}
			total += time.Duration(ticks) * tick
		}
	}
	return total, nil
}

// peakMemory sums the processes' peaks of resident memory since each began (VmHWM).
func peakMemory(proc string, pids []int) (bytesOf, error) {
	var total bytesOf
	for _, pid := range pids {
		status, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
		if err != nil {
			return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
		}
		peak, err := vmHWM(string(status))
		if err != nil {
			return 0, fmt.Errorf("process %d: %w", pid, err)
		}
		total += peak
	}
	return total, nil
}

func vmHWM(status string) (bytesOf, error) {
	for line := range strings.Lines(status) {
		rest, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		kib, err := strconv.ParseInt(number, 10, 64)
		if err != nil || unit != "kB" {
			return 0, fmt.Errorf("VmHWM is %q, want a number of kB", strings.TrimSpace(rest))
		}
		return bytesOf(kib) * kibibyte, nil
	}
	return 0, fmt.Errorf("its status has no VmHWM: the process has ended")
}
