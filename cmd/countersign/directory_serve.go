package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
)

type directoryServeCmd struct {
	folderFlag
	Online string `required:"" help:"The host's online key, which signs freshness and nothing else." type:"existingfile" placeholder:"FILE"`
	Keys   string `required:"" help:"Folder of the keys of the directory's own log; made if missing." type:"path" placeholder:"DIR"`
	Origin string `required:"" help:"Origin of the directory's log, as the document names it." placeholder:"NAME"`
	Listen string `required:"" help:"Address to serve on." placeholder:"HOST:PORT"`
	Admin  string `required:"" help:"Address of /healthz, /readyz and /metrics." placeholder:"HOST:PORT"`
}

func (c *directoryServeCmd) logParts() logParts {
	return logParts{origin: countersign.LogOrigin(c.Origin), data: filepath.Join(c.Dir, "log"), keys: c.Keys}
}

// Run serves the directory until interrupted.
func (c *directoryServeCmd) Run(ctx context.Context, s streams) error {
	ctx = untilInputEnds(ctx)
	logger := slog.New(slog.NewJSONHandler(s.err, nil)).With("part", "directory")
	return c.serve(ctx, clock.Default(), logger)
}

func (c *directoryServeCmd) serve(ctx context.Context, now clock.Clock, logger *slog.Logger) (err error) {
	online, err := keys.Load(c.Online)
	if err != nil {
		return err
	}
	if _, err := beginLog(ctx, c.logParts(), "directory serve"); err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	folder := c.folder()
	// The host is its own first reader: it learns the witnesses of its log from the document that it serves.
	reader, err := openDirectory(folder.FirstRoot(), "http://"+c.Listen, filepath.Join(c.Dir, "reader"), now, logger)
	if err != nil {
		return err
	}
	log, closeLog, err := openLog(ctx, c.logParts(), now, logger, metrics, reader)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	host := &federation.Host{Folder: folder, Snapshot: online, Timestamp: online, Clock: now, Announcer: announcer{log, now}, Log: logger}
	if err := host.Refresh(ctx); err != nil {
		logger.Error("the directory is not fresh", "error", err.Error())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(host.Run(ctx, hostEvery)) }()
	go func() { cancel(reader.Run(ctx)) }()
	mux := http.NewServeMux()
	mux.Handle("/log/", http.StripPrefix("/log", log.Handler(ledger.ViewParty)))
	mux.Handle("/", federation.NewServer(folder, now))
	return serveAll(ctx, logger, []listener{
		{name: "directory", address: c.Listen, handler: mux},
		{name: "admin", address: c.Admin, handler: adminHandler(metrics, func() error { return errors.Join(host.Fresh(), log.Healthy()) })},
	})
}

// announcer puts each version of the directory into its log before it is served.
type announcer struct {
	log *ledger.Log
	now clock.Clock
}

// Announce appends the leaf of a version. Its commitment is the digest itself: nothing in the directory is private.
func (a announcer) Announce(ctx context.Context, _ uint64, digest countersign.Digest) error {
	_, err := a.log.Append(ctx, ledger.Entry{Leaf: &countersign.Leaf{
		Kind: countersign.LeafDirectory, Hour: countersign.HourOf(a.now.Now()), Commitment: countersign.Commitment(digest),
	}})
	return err
}
