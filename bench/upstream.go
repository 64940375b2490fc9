package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const personSize = 1024

// person is the upstream's fixed answer: a document about one fictional person, padded to 1 KiB.
func person() []byte {
	const head = `{"pin":"1ABCD23","surname":"Specimen","name":"Person","patronymic":"Sample","born":"1980-02-29",` +
		`"birthplace":"Example","document":{"series":"AA","number":"0000001","issued":"2020-01-01","validUntil":"2030-01-01"},` +
		`"address":{"region":"North","street":"First","house":"1","flat":"2"},"note":"`
	const tail = "\"}\n"
	return []byte(head + strings.Repeat("x", personSize-len(head)-len(tail)) + tail)
}

// upstream serves the document on every path, and prints its address as its first line.
func upstream(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("upstream", flag.ContinueOnError)
	addr := flags.String("listen", "127.0.0.1:0", "address to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := listen(ctx, *addr, out)
	if err != nil {
		return err
	}
	body := person()
	return serve(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the client is gone
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}))
}

// listen opens addr and prints, as the first line, the address that it got.
func listen(ctx context.Context, addr string, out io.Writer) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return nil, errors.Join(fmt.Errorf("printing the address: %w", err), listener.Close())
	}
	return listener, nil
}

// serve answers until the context ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	closed := make(chan error, 1)
	stopped := context.AfterFunc(ctx, func() { closed <- server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		stopped()
		return fmt.Errorf("serving: %w", err)
	}
	return <-closed
}
