package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// pair is a consumer's and a provider's gateway, running, with the directory and witnesses that they need.
type pair struct {
	description
	process *process
}

// description is what `countersign demo --pair --json` prints of itself.
type description struct {
	ClientURL   string   `json:"clientURL"`   // where a client asks
	Headers     headers  `json:"headers"`     // what each request carries
	PersonIDs   []string `json:"personIDs"`   // whom the requests are about
	WrkScript   string   `json:"wrkScript"`   // Lua for wrk that asks about another person with each request
	GatewayPIDs []int    `json:"gatewayPIDs"` // the two gateways, whose CPU time and memory count
}

// headers are lines of "Name: value". In JSON they are an object whose values are strings or lists of strings.
type headers []string

// UnmarshalJSON reads them, sorted by name, so that each run sends the same bytes.
func (h *headers) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("headers: want an object: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var one string
		if json.Unmarshal(fields[name], &one) != nil {
			var many []string
			if err := json.Unmarshal(fields[name], &many); err != nil {
				return fmt.Errorf("header %s: want a string or a list of strings: %w", name, err)
			}
			one = strings.Join(many, ", ") // wrk sends a name once
		}
		*h = append(*h, name+": "+one)
	}
	return nil
}

// usable says what is missing from a description.
func (d description) usable() error {
	var err error
	if d.ClientURL == "" {
		err = errors.Join(err, errors.New("it names no clientURL"))
	}
	if len(d.GatewayPIDs) < 2 {
		err = errors.Join(err, fmt.Errorf("it names %d gatewayPIDs, want two gateways", len(d.GatewayPIDs)))
	}
	if len(d.PersonIDs) < 2 || d.WrkScript == "" {
		err = errors.Join(err, errors.New("it names fewer than two personIDs, or no wrkScript: every request must be about another person"))
	}
	return err
}

// startPair runs the binary's demo of a pair in front of the upstream, in dir, which is empty before.
func startPair(ctx context.Context, errOut io.Writer, dir, binary, upstream string) (*pair, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, fmt.Errorf("finding the binary: %w", err)
	}
	p, err := start(ctx, errOut, dir, nil, binary, "demo", "--pair", "--upstream", upstream, "--json")
	if err != nil {
		return nil, err
	}
	running := &pair{process: p}
	if err := p.json(ctx, &running.description); err != nil {
		p.stop()
		return nil, err
	}
	if err := running.usable(); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s describes a pair that cannot be measured: %w", p.name, err)
	}
	if !filepath.IsAbs(running.WrkScript) {
		running.WrkScript = filepath.Join(dir, running.WrkScript)
	}
	return running, nil
}
