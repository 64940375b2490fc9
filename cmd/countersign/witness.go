package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/ledger/witness"
)

type witnessCmd struct {
	Run  witnessRunCmd  `cmd:"" default:"withargs" help:"Run the witness until interrupted."`
	Init witnessInitCmd `cmd:"" help:"Make the witness's key, and print its verifier key for directories and policies."`
}

type witnessInitCmd struct {
	Dir  string `required:"" help:"Folder of the witness: its key and its state." type:"path" placeholder:"DIR"`
	Name string `required:"" help:"Name of its key, for instance witness.example/w1." placeholder:"NAME"`
}

// Run makes the key once.
func (c *witnessInitCmd) Run(s streams) error {
	vkey, err := initWitness(c.Dir, c.Name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, vkey)
	return err
}

func initWitness(dir, name string) (string, error) {
	key, err := ensureKey(filepath.Join(dir, "witness.key"))
	if err != nil {
		return "", err
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return "", countersign.Refuse(countersign.CodeBadRequest, "the witness's key is not Ed25519")
	}
	vkey, err := witness.VerifierKey(name, pub)
	if err != nil {
		return "", err
	}
	return vkey, federation.WriteFile(filepath.Join(dir, "name"), []byte(name+"\n"))
}

type witnessRunCmd struct {
	Dir       string   `required:"" help:"Folder made by witness init." type:"existingdir" placeholder:"DIR"`
	Listen    string   `required:"" help:"Address of the C2SP tlog-witness endpoint and the status page." placeholder:"HOST:PORT"`
	Admin     string   `help:"Address of /healthz, /readyz and /metrics." placeholder:"HOST:PORT"`
	Directory string   `help:"Cosign every log of this federation's directory." placeholder:"URL"`
	Root      string   `help:"The directory's root that this witness trusts; got by a way of its own." type:"existingfile" placeholder:"FILE"`
	Log       []string `help:"Cosign this log too: its verifier key." placeholder:"VKEY"`
}

// Run serves the witness.
func (c *witnessRunCmd) Run(ctx context.Context, s streams) error {
	ctx = untilInputEnds(ctx)
	logger := slog.New(slog.NewJSONHandler(s.err, nil)).With("part", "witness")
	return c.serve(ctx, clock.Default(), logger)
}

func (c *witnessRunCmd) serve(ctx context.Context, now clock.Clock, logger *slog.Logger) (err error) {
	key, err := ensureKey(filepath.Join(c.Dir, "witness.key"))
	if err != nil {
		return err
	}
	name, err := readLine(filepath.Join(c.Dir, "name"))
	if err != nil {
		return err
	}
	known := &knownLogs{fixed: map[countersign.LogOrigin]string{}}
	for _, vkey := range c.Log {
		k, err := countersign.ParseLogKey(vkey)
		if err != nil {
			return err
		}
		known.fixed[k.Origin] = vkey
	}
	if (c.Directory == "") != (c.Root == "") {
		return countersign.Refuse(countersign.CodeBadRequest, "--directory and --root go together")
	}
	if c.Directory != "" {
		if known.directory, err = openDirectory(c.Root, c.Directory, filepath.Join(c.Dir, "directory"), now, logger); err != nil {
			return err
		}
		go func() {
			if err := known.directory.Run(ctx); err != nil {
				logger.Error("the directory is no longer followed", "error", err.Error())
			}
		}()
	}
	w, err := witness.Open(witness.Config{Name: name, Key: key, Dir: filepath.Join(c.Dir, "state"), Logs: known.find, Clock: now, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	metrics := prometheus.NewRegistry()
	if err := metrics.Register(w.Metrics()); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", w.Handler())
	mux.Handle("GET /{$}", w.StatusHandler(known.origins))
	return serveAll(ctx, logger, []listener{
		{name: "witness", address: c.Listen, handler: mux},
		{name: "admin", address: c.Admin, handler: adminHandler(metrics, known.ready)},
	})
}

// knownLogs are the logs that a witness cosigns: those given to it, and those of the directory as it stands.
type knownLogs struct {
	fixed     map[countersign.LogOrigin]string
	directory *federation.Client
}

func (k *knownLogs) view() *federation.View {
	if k.directory == nil {
		return nil
	}
	// A witness goes on through an outage of the directory with what it knew last: it only ever attests that logs grow.
	return k.directory.Latest()
}

func (k *knownLogs) find(origin countersign.LogOrigin) (witness.KnownLog, bool) {
	if vkey, ok := k.fixed[origin]; ok {
		return witness.KnownLog{Origin: origin, VKeys: []string{vkey}}, true
	}
	if view := k.view(); view != nil {
		if l, ok := view.LogByOrigin(origin); ok {
			return witness.KnownLog{Origin: origin, VKeys: []string{l.VKey}, Ended: l.Ended > 0}, true
		}
	}
	return witness.KnownLog{}, false
}

func (k *knownLogs) origins() []countersign.LogOrigin {
	var out []countersign.LogOrigin
	for origin := range k.fixed {
		out = append(out, origin)
	}
	if view := k.view(); view != nil {
		for _, l := range logsOf(view.Document()) {
			if key, err := countersign.ParseLogKey(l.VKey); err == nil {
				out = append(out, key.Origin)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (k *knownLogs) ready() error {
	if k.directory == nil {
		return nil
	}
	_, err := k.directory.Current()
	return err
}

// logsOf lists every log of a directory.
func logsOf(d *countersign.Directory) []countersign.Log {
	out := []countersign.Log{d.Log}
	for _, m := range d.Members {
		for _, gw := range m.Gateways {
			out = append(out, gw.Log)
		}
	}
	for _, court := range d.Courts {
		out = append(out, court.Log)
	}
	return slices.DeleteFunc(out, func(l countersign.Log) bool { return l.VKey == "" })
}

func readLine(file string) (string, error) {
	text, err := readSmall(file)
	return strings.TrimSpace(string(text)), err
}
