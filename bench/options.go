package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are those of bench run.
type options struct {
	binary      string
	dir         string
	duration    time.Duration
	rounds      int
	connections []int
	json        bool
	minimum     map[int]float64 // connections → least ratio of requests per second
	chainEnv    []string        // for the chain's processes; tests start themselves again
}

func parseRun(args []string) (options, error) {
	var o options
	var connections, minimum string
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "bin/countersign", "the countersign binary, whose `demo --pair` is measured")
	flags.StringVar(&o.dir, "dir", "", "folder for both sides' files, so that the disk under test can be chosen; empty for the system's temporary one")
	flags.DurationVar(&o.duration, "d", 10*time.Second, "duration of each run, in whole seconds")
	flags.IntVar(&o.rounds, "n", 3, "rounds; each loads the chain, then the pair")
	flags.StringVar(&connections, "c", "1,16,64", "connections, comma separated")
	flags.BoolVar(&o.json, "json", false, "print one JSON object instead of lines; progress goes to standard error")
	flags.StringVar(&minimum, "min", "", "least ratios of requests per second, such as c=16:0.25,c=64:0.40; exit status 1 when below")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("run takes flags only, not %q", flags.Arg(0))
	}
	if o.duration < time.Second || o.duration%time.Second != 0 {
		return options{}, fmt.Errorf("-d %s: want whole seconds, one at least", o.duration)
	}
	if o.rounds < 1 {
		return options{}, fmt.Errorf("-n %d: want one round at least", o.rounds)
	}
	var err error
	if o.connections, err = parseConnections(connections); err != nil {
		return options{}, err
	}
	if o.minimum, err = parseMinimum(minimum); err != nil {
		return options{}, err
	}
	for c := range o.minimum {
		if !slices.Contains(o.connections, c) {
			return options{}, fmt.Errorf("-min names c=%d, which -c does not measure", c)
		}
	}
	return o, nil
}

func parseConnections(list string) ([]int, error) {
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		c, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || c < 1 || slices.Contains(out, c) {
			return nil, fmt.Errorf("-c %q: want different positive numbers, comma separated", list)
		}
		out = append(out, c)
	}
	return out, nil
}

func parseMinimum(list string) (map[int]float64, error) {
	out := map[int]float64{}
	if list == "" {
		return out, nil
	}
	for field := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), ":")
		number, named := strings.CutPrefix(name, "c=")
		c, badCount := strconv.Atoi(number)
		least, badRatio := strconv.ParseFloat(value, 64)
		if err := cmp.Or(badCount, badRatio); err != nil || !named || c < 1 || least <= 0 {
			return nil, fmt.Errorf("-min %q: want pairs such as c=16:0.25, comma separated", list)
		}
		if _, twice := out[c]; twice {
			return nil, fmt.Errorf("-min %q names c=%d twice", list, c)
		}
		out[c] = least
	}
	return out, nil
}

// errBelow is what a ratio below its minimum gives: the comparison is sound, its result is not good enough.
var errBelow = errors.New("below the minimum")
