package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
)

// listener is one address that a part serves. An empty address serves nothing.
type listener struct {
	name    string
	address string
	handler http.Handler
	tls     *tls.Config
}

// serveAll serves every listener until ctx ends, then lets what is under way finish for ten seconds.
func serveAll(ctx context.Context, logger *slog.Logger, all []listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var servers []*http.Server
	done := make(chan error, len(all))
	for _, l := range all {
		if l.address == "" {
			continue
		}
		socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
		if err != nil {
			return fmt.Errorf("listen.%s: %w", l.name, err)
		}
		if l.tls != nil {
			socket = tls.NewListener(socket, l.tls)
		}
		s := &http.Server{
			Handler: l.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 5 * time.Minute, IdleTimeout: 90 * time.Second,
			MaxHeaderBytes: exchange.MaxHeaderBytes, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		}
		servers = append(servers, s)
		go func() { done <- s.Serve(socket) }()
		logger.Info("serving", "listener", l.name, "address", socket.Addr().String())
	}
	select {
	case <-ctx.Done():
	case err := <-done:
		if !errors.Is(err, http.ErrServerClosed) {
			cancel(err)
		}
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	for _, s := range servers {
		_ = s.Shutdown(last)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// adminHandler answers /healthz (the process runs), /readyz (it can serve, or why not) and /metrics.
func adminHandler(metrics *prometheus.Registry, ready func() error) http.Handler {
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, countersign.CodeOf(err).String()+": "+countersign.MessageOf(err))
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}
