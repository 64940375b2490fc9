package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/register/sqlregister"
	"countersign.dev/countersign/internal/register/upstream"
	"countersign.dev/countersign/internal/subject"
)

type gatewayCmd struct {
	Run  gatewayRunCmd  `cmd:"" default:"withargs" help:"Run the gateway until interrupted."`
	Init gatewayInitCmd `cmd:"" help:"Make the gateway's keys and begin its log; print its entry for the directory."`

	Describe gatewayDescribeCmd `cmd:"" help:"Print the OpenAPI description of a declared query, or its entry for the directory."`

	Successor gatewaySuccessorCmd `cmd:"" help:"End the log of a gateway whose newest store is lost, and begin its successor; print the entry for the directory."`
}

type gatewayRunCmd struct {
	Config string `required:"" help:"YAML configuration; docs/operate/gateway.yaml is the annotated example." type:"existingfile" placeholder:"FILE"`
}

type gatewayInitCmd struct {
	Config string `required:"" help:"YAML configuration." type:"existingfile" placeholder:"FILE"`
	URL    string `required:"" help:"https address at which other gateways will reach this one." placeholder:"URL"`
	Public string `help:"Address at which the public will read the log's tiles." placeholder:"URL"`
}

// The key files of a gateway.
const (
	keySign      = "sign.key"
	keyTLS       = "tls.key"
	keyLog       = "log.key"
	keyTags      = "tag.keys"
	keyPseudonym = "pseudonym.key"
	keyExpiry    = "expiry"
)

// Run makes what is missing and nothing twice: keys that exist are kept, and a log never begins a second time.
func (i *gatewayInitCmd) Run(ctx context.Context, s streams) error {
	c, err := loadGatewayConfig(i.Config)
	if err != nil {
		return err
	}
	entry, err := initGateway(ctx, c, i.URL, i.Public)
	if err != nil {
		return err
	}
	return printJSON(s, entry)
}

func initGateway(ctx context.Context, c *gatewayConfig, url, public string) (*countersign.Gateway, error) {
	sign, err := ensureKey(c.key(keySign))
	if err != nil {
		return nil, err
	}
	tlsKey, err := ensureKey(c.key(keyTLS))
	if err != nil {
		return nil, err
	}
	if err := ensureSecrets(c.path(c.Keys)); err != nil {
		return nil, err
	}
	vkey, err := beginLog(ctx, c.logParts(), "gateway init")
	if err != nil {
		return nil, err
	}
	// The log's key signs answers too, together with the promise for each one's record; the other key signs questions.
	var signs []string
	logKey, err := countersign.ParseLogKey(vkey)
	if err != nil {
		return nil, err
	}
	for _, pub := range []crypto.PublicKey{sign.Public(), logKey.Public} {
		text, err := keys.EncodePublicKey(pub)
		if err != nil {
			return nil, err
		}
		signs = append(signs, string(text))
	}
	return &countersign.Gateway{
		Name: c.Name, URL: url, TLS: []countersign.Pin{countersign.Pin(tlsKey.KeyID())}, Sign: signs,
		Log: countersign.Log{VKey: vkey, URL: public},
	}, nil
}

// ensureKey loads an Ed25519 key file, or makes one.
func ensureKey(path string) (keys.Signer, error) {
	k, err := keys.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		return keys.GenerateFile(path, countersign.AlgorithmEd25519)
	}
	return k, err
}

// ensureSecrets makes the symmetric keys of a store where they are missing.
func ensureSecrets(folder string) error {
	for name, make := range map[string]func() []byte{
		keyTags: func() []byte { return ledger.FormatTagKeys([]ledger.TagKey{ledger.NewTagKey(1)}) },
		keyPseudonym: func() []byte {
			var k [32]byte
			_, _ = rand.Read(k[:]) // crypto/rand.Read never fails
			return []byte(hex.EncodeToString(k[:]) + "\n")
		},
	} {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, make(), 0o600); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(folder, keyExpiry), 0o700)
}

// Run serves until ctx ends.
func (r *gatewayRunCmd) Run(ctx context.Context, s streams) error {
	c, err := loadGatewayConfig(r.Config)
	if err != nil {
		return err
	}
	ctx = untilInputEnds(ctx)
	if os.Getenv("GOGC") == "" {
		// A gateway's live heap is a few mebibytes, and its garbage short-lived: collecting at four times the live heap costs some tens of mebibytes
		// and saves a tenth of its time. docs/design/performance.md has the figures.
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// One for the wait for the disk: the runtime counts a goroutine that waits in the kernel as one that runs, until it looks again.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	logger := slog.New(slog.NewJSONHandler(s.err, nil)).With("member", c.Member.String(), "gateway", string(c.Name))
	return runGateway(ctx, c, clock.Default(), logger)
}

// runGateway puts the parts of one gateway together. It reads from the store outwards: keys, directory, log, exchange, listeners.
func runGateway(ctx context.Context, c *gatewayConfig, now clock.Clock, logger *slog.Logger) (err error) {
	sign, err := keys.Load(c.key(keySign))
	if err != nil {
		return err
	}
	cert, err := keys.LoadSelfSigned(c.key(keyTLS))
	if err != nil {
		return err
	}
	directory, err := openDirectory(c.path(c.Fed.Root), c.Fed.URL, filepath.Join(c.path(c.Data), "directory"), now, logger)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	parts := c.logParts()
	parts.disputed = disputedAt(cert, directory)
	log, closeLog, err := openLog(ctx, parts, now, logger, metrics, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	signer, err := keys.NewBatchSigner(sign)
	if err != nil {
		return err
	}
	defer signer.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is left to sign
	pseudonym, err := readHex(c.key(keyPseudonym))
	if err != nil {
		return err
	}
	style, err := c.style()
	if err != nil {
		return err
	}
	counted, err := exchange.NewMetrics(metrics)
	if err != nil {
		return err
	}
	g := &exchange.Gateway{
		Member: c.Member, Name: c.Name, Directory: directory, Log: log, Signer: signer, Clock: now, Logger: logger, Metrics: counted,
		Style: style, PseudonymKey: pseudonym,
	}
	if err := g.Prepare(); err != nil {
		return err
	}
	registers, err := c.registers(ctx)
	if err != nil {
		return err
	}
	provider := exchange.NewProvider(g, registers)
	verifier := identity.NewVerifier(issuersOf(directory), nil, now)
	desk := newDesk(g, directory, verifier, signer)
	published := exchange.NewPublished()
	g.Authorities = authorities(g, published, verifier, directory)
	watch := exchange.NewWatch(provider, exchange.NewRights(g, published))
	consumer := exchange.NewConsumer(g, c.authenticate(), officialsOf(c.Member, verifier, directory), dialer(cert))
	provider.Cases, consumer.Declares = consumer, sign
	tracker := subject.NewTracker(subject.TrackerOptions{
		Member: c.Member, Cert: cert, Directory: documentOf(directory), Log: log, Verifier: verifier, Clock: now, Logger: logger,
		Authenticate: c.authenticate(), Style: style,
	})
	go func() {
		if err := directory.Run(ctx); err != nil {
			logger.Error("the directory is no longer followed", "error", err.Error())
		}
	}()
	go consumer.Recover(ctx)
	defer context.AfterFunc(ctx, consumer.CloseIdle)()
	clientTLS, err := c.clientTLS()
	if err != nil {
		return err
	}
	return serveAll(ctx, logger, []listener{
		{name: "client", address: c.Listen.Client, handler: tracker.Before(consumer), tls: clientTLS},
		{name: "peer", address: c.Listen.Peer, handler: watch.First(peopleFirst(desk, provider.Handler())), tls: keys.PinnedServer(cert, g.Admit)},
		{name: "public", address: c.Listen.Public, handler: log.Handler(ledger.ViewPublic)},
		{name: "admin", address: c.Listen.Admin, handler: adminHandler(metrics, func() error { return ready(directory, log) })},
	})
}

const gcPercent = 500

// ready reports why the gateway cannot serve now, or nil.
func ready(d *federation.Client, log *ledger.Log) error {
	if _, err := d.Current(); err != nil {
		return err
	}
	return log.Healthy()
}

func readHex(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) < 32 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the key file %s does not hold 64 hexadecimal digits", path)
	}
	return key, nil
}

// openDirectory begins to follow the signed directory.
func openDirectory(root, url, folder string, now clock.Clock, logger *slog.Logger) (*federation.Client, error) {
	text, err := os.ReadFile(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	return federation.OpenClient(federation.ClientOptions{URL: url, Root: text, Folder: folder, Clock: now, Log: logger, Every: directoryPoll})
}

// registers opens the adapters of the member's services.
func (c *gatewayConfig) registers(ctx context.Context) (map[countersign.ServiceID]register.Register, error) {
	out := map[countersign.ServiceID]register.Register{}
	for text, s := range c.Services {
		id, err := countersign.ParseServiceID(text)
		if err != nil {
			return nil, err
		}
		if s.HTTP != nil {
			conf := *s.HTTP
			for _, p := range []*string{&conf.CA, &conf.Cert, &conf.Key} {
				if *p != "" {
					*p = c.path(*p)
				}
			}
			out[id], err = upstream.New(conf)
		} else {
			out[id], err = c.openSQL(ctx, s.SQL)
		}
		if err != nil {
			return nil, fmt.Errorf("services[%s]: %w", text, err)
		}
	}
	return out, nil
}

func (c *gatewayConfig) openSQL(ctx context.Context, s *sqlConfig) (register.Register, error) {
	text, err := os.ReadFile(c.path(s.Declaration))
	if err != nil {
		return nil, err
	}
	d, err := sqlregister.ParseDeclaration(text)
	if err != nil {
		return nil, err
	}
	return sqlregister.Open(ctx, c.path(s.Database), d)
}

// dialer makes transports to other gateways: HTTP/1.1 over TLS 1.3, the called gateway's own keys pinned, many connections kept.
func dialer(cert tls.Certificate) exchange.Dial {
	return func(pins exchange.Pins) *http.Transport {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		return &http.Transport{
			DialContext:     (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig: keys.PinnedClient(cert, keys.Admit(pins)), TLSHandshakeTimeout: 5 * time.Second, DisableCompression: true,
			MaxIdleConns: exchange.MaxInFlight, MaxIdleConnsPerHost: exchange.MaxInFlight, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: exchange.MaxHeaderBytes, Protocols: protocols, Proxy: nil,
			WriteBufferSize: 8 << 10, ReadBufferSize: 8 << 10,
		}
	}
}

func (c *gatewayConfig) clientTLS() (*tls.Config, error) {
	if c.Listen.TLS == nil {
		return nil, nil //nolint:nilnil // no TLS on loopback
	}
	pair, err := tls.LoadX509KeyPair(c.path(c.Listen.TLS.Cert), c.path(c.Listen.TLS.Key))
	if err != nil {
		return nil, fmt.Errorf("listen.tls: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert}, nil
}
