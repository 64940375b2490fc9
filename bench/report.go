package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// result is what the rounds at one number of connections came to.
type result struct {
	connections int
	samples     map[string][]sample // by side
}

// metric is one figure of a sample.
type metric struct {
	name, unit string
	of         func(sample) float64
}

var requestsPerSecond = metric{"requests/s", "1/s", func(s sample) float64 { return s.rate }}

var metrics = []metric{
	requestsPerSecond,
	{"p50", "ms", func(s sample) float64 { return millis(s.p50) }},
	{"p99", "ms", func(s sample) float64 { return millis(s.p99) }},
	{"cpu/request", "ms", func(s sample) float64 { return millis(s.cpu) }},
	{"memory", "MiB", func(s sample) float64 { return s.memory.mebibytes() }},
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b bytesOf) mebibytes() float64 { return float64(b) / float64(kibibyte*kibibyte) }

// values lists a metric of a side, one per round.
func (r result) values(side string, m metric) []float64 {
	var out []float64
	for _, s := range r.samples[side] {
		out = append(out, m.of(s))
	}
	return out
}

// ratio is the pair's median over the chain's.
func (r result) ratio(m metric) float64 {
	return median(r.values(gatewayPair, m)) / median(r.values(bareChain, m))
}

// median of one value or more.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// printLines prints for each metric and number of connections the figures of each round, and the ratio of the medians alone on
// a line: "requests/s c=16 ratio 0.31".
func printLines(out io.Writer, results []result) error {
	w := bufio.NewWriter(out)
	for _, r := range results {
		for _, m := range metrics {
			for _, side := range []string{bareChain, gatewayPair} {
				fmt.Fprintf(w, "  %s c=%d %s %.3f %s, median of %s\n", m.name, r.connections, side, median(r.values(side, m)), m.unit, list(r.values(side, m)))
			}
			fmt.Fprintf(w, "%s c=%d ratio %.2f\n", m.name, r.connections, r.ratio(m))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the comparison: %w", err)
	}
	return nil
}

func list(values []float64) string {
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprintf("%.3f", v))
	}
	return strings.Join(out, " ")
}

// comparison is the JSON of one number of connections; maps are keyed by the metric's name.
type comparison struct {
	Connections int                  `json:"connections"`
	Ratio       map[string]float64   `json:"ratio"`
	Chain       map[string]float64   `json:"chain"`
	Pair        map[string]float64   `json:"pair"`
	ChainRounds map[string][]float64 `json:"chainRounds"`
	PairRounds  map[string][]float64 `json:"pairRounds"`
}

func printJSON(out io.Writer, o options, results []result) error {
	document := struct {
		Rounds      int               `json:"rounds"`
		Seconds     float64           `json:"secondsPerRun"`
		Units       map[string]string `json:"units"`
		Comparisons []comparison      `json:"comparisons"`
	}{Rounds: o.rounds, Seconds: o.duration.Seconds(), Units: map[string]string{}}
	for _, m := range metrics {
		document.Units[m.name] = m.unit
	}
	for _, r := range results {
		c := comparison{
			Connections: r.connections,
			Ratio:       map[string]float64{}, Chain: map[string]float64{}, Pair: map[string]float64{},
			ChainRounds: map[string][]float64{}, PairRounds: map[string][]float64{},
		}
		for _, m := range metrics {
			c.ChainRounds[m.name], c.PairRounds[m.name] = r.values(bareChain, m), r.values(gatewayPair, m)
			c.Chain[m.name], c.Pair[m.name] = median(c.ChainRounds[m.name]), median(c.PairRounds[m.name])
			c.Ratio[m.name] = r.ratio(m)
		}
		document.Comparisons = append(document.Comparisons, c)
	}
	if err := json.NewEncoder(out).Encode(document); err != nil {
		return fmt.Errorf("printing the comparison: %w", err)
	}
	return nil
}
