package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign.dev/countersign/internal/clock"
)

// chain is the bare chain, running.
type chain struct {
	upstream  string // URL, without a path; the pair gets the same one
	url       string // where a client asks
	hops      []int  // process ids of the two proxies
	processes []*process
}

// startChain runs the upstream and both hops, each a process of its own. dir takes their keys. env is added to theirs.
func startChain(ctx context.Context, errOut io.Writer, dir string, env []string) (*chain, error) {
	if err := writeKeys(dir); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	c := &chain{}
	child := func(args ...string) (string, error) {
		p, err := start(ctx, errOut, "", env, self, args...)
		if err != nil {
			return "", err
		}
		c.processes = append(c.processes, p)
		return p.line(ctx)
	}
	build := func() error {
		up, err := child("upstream")
		if err != nil {
			return err
		}
		c.upstream = "http://" + up
		provider, err := child("hop", "-keys", dir, "-to", c.upstream)
		if err != nil {
			return err
		}
		consumer, err := child("hop", "-keys", dir, "-to", "https://"+provider)
		if err != nil {
			return err
		}
		c.url = "http://" + consumer + "/"
		c.hops = []int{c.processes[2].pid, c.processes[1].pid}
		return nil
	}
	if err := build(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *chain) stop() {
	var all sync.WaitGroup
	for _, p := range c.processes {
		all.Go(p.stop)
	}
	all.Wait()
}

func (c *chain) alive() error {
	var err error
	for _, p := range c.processes {
		err = errors.Join(err, p.alive())
	}
	return err
}

func chainUntilInterrupted(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return fmt.Errorf("making a folder for keys: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := startChain(ctx, os.Stderr, dir, nil)
	if err != nil {
		return err
	}
	defer c.stop()
	if _, err := fmt.Fprintf(out, "upstream %s\nclient URL %s\npids of the two hops: %d,%d\n", c.upstream, c.url, c.hops[0], c.hops[1]); err != nil {
		return fmt.Errorf("printing the addresses: %w", err)
	}
	<-ctx.Done()
	return nil
}

// hop is one reverse proxy: plain in and mutual TLS out on the consumer's side, the other way round on the provider's. Both
// hold the same self-signed certificate, which each also trusts.
func hop(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("hop", flag.ContinueOnError)
	addr := flags.String("listen", "127.0.0.1:0", "address to listen on")
	to := flags.String("to", "", "URL to forward to; https from the consumer's side, http from the provider's")
	dir := flags.String("keys", "", "folder of cert.pem and key.pem")
	if err := flags.Parse(args); err != nil {
		return err
	}
	target, err := url.Parse(*to)
	if err != nil || target.Host == "" {
		return fmt.Errorf("-to %q is no URL with a host", *to)
	}
	certificate, pool, err := readKeys(*dir)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0), // wrk drops its connections at the end of a run
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: pool, MinVersion: tls.VersionTLS13},
			MaxIdleConns:        1024,
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     time.Minute,
		},
	}
	listener, err := listen(ctx, *addr, out)
	if err != nil {
		return err
	}
	if target.Scheme == "http" {
		listener = tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{certificate},
			ClientCAs:    pool,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			MinVersion:   tls.VersionTLS13,
		})
	}
	return serve(ctx, listener, proxy)
}

const keysLifetime = 10 * 24 * time.Hour

// writeKeys makes a P-256 key and its self-signed certificate for 127.0.0.1, both ends of the chain's TLS.
func writeKeys(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the chain's key: %w", err)
	}
	now := clock.System{}.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "bench"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(keysLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("making the chain's certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the chain's key: %w", err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return fmt.Errorf("keeping the chain's keys: %w", err)
		}
	}
	return nil
}

func readKeys(dir string) (tls.Certificate, *x509.CertPool, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("reading the chain's keys: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	return certificate, pool, nil
}
