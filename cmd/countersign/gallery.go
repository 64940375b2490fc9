package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/gallery"
)

// galleryCmd renders the portal's pages from canned data, for those who work on them.
type galleryCmd struct {
	Out    string `help:"Write the pages into this folder, a subfolder for each language." placeholder:"DIR"`
	Listen string `help:"Serve the pages on this address; port 0 picks a free one." placeholder:"HOST:PORT"`
}

// Run writes the pages, serves them until it is interrupted, or both.
func (c *galleryCmd) Run(ctx context.Context, io streams) error {
	if c.Out == "" && c.Listen == "" {
		return countersign.Refuse(countersign.CodeBadRequest, "give --out DIR to write the pages, --listen HOST:PORT to serve them, or both")
	}
	locales, err := web.LoadLocales()
	if err != nil {
		return err
	}
	assets, err := web.LoadAssets()
	if err != nil {
		return err
	}
	g := gallery.New(locales, assets)
	if c.Out != "" {
		if err := g.Write(ctx, c.Out); err != nil {
			return err
		}
	}
	if c.Listen == "" {
		return nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", c.Listen, err)
	}
	_, _ = fmt.Fprintf(io.out, "http://%s/\n", listener.Addr())
	server := &http.Server{Handler: g.Handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-done:
		return fmt.Errorf("serving the gallery: %w", err)
	}
}
