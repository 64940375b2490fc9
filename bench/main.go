// Command bench is the yardstick for a pair of gateways: it compares them, under the same load and in the same run, with the
// cheapest honest chain of the same shape.
//
//	bench run [flags]        starts both sides, loads them in turn with wrk (Debian's package) and prints the ratios
//	bench upstream [flags]   the register alone: answers any path with a fixed 1 KiB JSON document about one person
//	bench hop [flags]        one reverse proxy of the chain
//	bench chain              upstream and chain, until interrupted; prints their addresses and process ids
//
// The chain is an upstream and two reverse proxies (net/http/httputil) joined by mutual TLS 1.3, each a process of its own on
// loopback. The pair is a consumer's and a provider's gateway in front of the same upstream, with everything on. A ratio is
// pair over chain: for requests per second more is better, for everything else less. CPU time per request is read from /proc
// and is the figure to trust on a noisy machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("name a command: run, upstream, hop or chain")
	}
	switch args[0] {
	case "run":
		o, err := parseRun(args[1:])
		if err != nil {
			return err
		}
		return run(ctx, o, os.Stdout, os.Stderr)
	case "upstream":
		return upstream(ctx, args[1:], os.Stdout)
	case "hop":
		return hop(ctx, args[1:], os.Stdout)
	case "chain":
		return chainUntilInterrupted(ctx, os.Stdout)
	}
	return fmt.Errorf("unknown command %q: name run, upstream, hop or chain", args[0])
}
