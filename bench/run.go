package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	procfs        = "/proc"
	warmUp        = 3 * time.Second
	bareChain     = "chain"
	gatewayPair   = "pair"
	dirPermission = 0o700
)

// side is one of the two things that are compared.
type side struct {
	name string
	load load
	pids []int // whose CPU time and memory count
	live func() error
}

// sample is one measured run of one side.
type sample struct {
	measured
	cpu    time.Duration // per request
	memory bytesOf       // peak of the processes together, since they began
}

// run starts both sides, compares them and reports; it fails when an answer was not 2xx or a ratio is below its minimum.
// What the processes themselves complain of goes to errOut, as does the progress when out is to hold JSON alone.
func run(ctx context.Context, o options, out, errOut io.Writer) (err error) {
	progress := out
	if o.json {
		progress = errOut
	}
	dir, err := os.MkdirTemp(o.dir, "bench-")
	if err != nil {
		return fmt.Errorf("making a folder for both sides: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	bare, err := startChain(ctx, errOut, dir, o.chainEnv)
	if err != nil {
		return err
	}
	defer bare.stop()
	pairDir := filepath.Join(dir, "pair")
	if err := os.Mkdir(pairDir, dirPermission); err != nil {
		return fmt.Errorf("making a folder for the pair: %w", err)
	}
	gateways, err := startPair(ctx, errOut, pairDir, o.binary, bare.upstream)
	if err != nil {
		return err
	}
	defer gateways.process.stop()

	a := side{name: bareChain, load: load{url: bare.url}, pids: bare.hops, live: bare.alive}
	b := side{
		name: gatewayPair,
		load: load{url: gateways.ClientURL, headers: gateways.Headers, script: gateways.WrkScript},
		pids: gateways.GatewayPIDs,
		live: gateways.process.alive,
	}
	var results []result
	for _, connections := range o.connections {
		r, err := compare(ctx, progress, dir, o, connections, a, b)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	if o.json {
		err = printJSON(out, o, results)
	} else {
		err = printLines(out, results)
	}
	return errors.Join(err, checkMinimum(o, results))
}

// compare warms both sides up, then loads the chain and the pair in turn, so that what else the machine does meets both.
func compare(ctx context.Context, progress io.Writer, dir string, o options, connections int, sides ...side) (result, error) {
	r := result{connections: connections, samples: map[string][]sample{}}
	for i := range sides {
		sides[i].load.connections = connections
		if err := warmSide(ctx, dir, sides[i], min(warmUp, o.duration)); err != nil {
			return result{}, err
		}
	}
	for round := range o.rounds {
		for _, s := range sides {
			got, err := measure(ctx, s, o.duration)
			if err != nil {
				return result{}, err
			}
			r.samples[s.name] = append(r.samples[s.name], got)
			if _, err := fmt.Fprintf(progress, "  round %d c=%d %-5s %9.1f/s  p50 %s  p99 %s  cpu %s/request  memory %.1f MiB\n",
				round+1, connections, s.name, got.rate, got.p50, got.p99, got.cpu, got.memory.mebibytes()); err != nil {
				return result{}, fmt.Errorf("printing progress: %w", err)
			}
		}
	}
	return r, nil
}

func warmSide(ctx context.Context, dir string, s side, duration time.Duration) error {
	s.load.duration = duration
	got, err := warm(ctx, dir, s.load)
	if err != nil {
		return errors.Join(fmt.Errorf("warming the %s up: %w", s.name, err), s.live())
	}
	if got.strange > 0 || got.failed > 0 {
		return errors.Join(fmt.Errorf("warming the %s up with %d connections: of %d answers %d were not 2xx with a body, and %d failed; the first was: %s",
			s.name, s.load.connections, got.requests, got.strange, got.failed, got.example), s.live())
	}
	return nil
}

// measure loads a side once and reads what its processes spent on it.
func measure(ctx context.Context, s side, duration time.Duration) (sample, error) {
	s.load.duration = duration
	before, err := cpuTime(procfs, s.pids)
	if err != nil {
		return sample{}, err
	}
	got, err := runWrk(ctx, s.load)
	if err != nil {
		return sample{}, errors.Join(err, s.live())
	}
	if got.failed > 0 {
		return sample{}, errors.Join(fmt.Errorf("the %s with %d connections: %d of %d answers failed, so that no figure counts",
			s.name, s.load.connections, got.failed, got.requests), s.live())
	}
	after, err := cpuTime(procfs, s.pids)
	if err != nil {
		return sample{}, err
	}
	memory, err := peakMemory(procfs, s.pids)
	if err != nil {
		return sample{}, err
	}
	return sample{measured: got, cpu: (after - before) / time.Duration(got.requests), memory: memory}, s.live()
}

// checkMinimum compares the ratios of requests per second with the least ones asked for.
func checkMinimum(o options, results []result) error {
	var err error
	for _, connections := range slices.Sorted(maps.Keys(o.minimum)) {
		least := o.minimum[connections]
		for _, r := range results {
			if ratio := r.ratio(requestsPerSecond); r.connections == connections && !(ratio >= least) {
				err = errors.Join(err, fmt.Errorf("%w: requests/s c=%d ratio %.3f, want %.3f", errBelow, connections, ratio, least))
			}
		}
	}
	return err
}
