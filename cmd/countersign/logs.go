package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

// logParts says where one log's keys and store are. Gateways, the directory and courts each have one.
type logParts struct {
	origin countersign.LogOrigin
	data   string // folder of the store
	keys   string // folder of log.key, tag.keys and expiry

	disputed ledger.Disputed // nil where no case concerns the log's records
}

func (c *gatewayConfig) logParts() logParts {
	return logParts{origin: c.Origin, data: c.path(c.Data), keys: c.path(c.Keys)}
}

func (p logParts) file() string { return filepath.Join(p.data, "store.db") }

func (p logParts) config(s ledger.Store, now clock.Clock, logger *slog.Logger) (ledger.Config, error) {
	key, err := keys.Load(filepath.Join(p.keys, keyLog))
	if err != nil {
		return ledger.Config{}, err
	}
	text, err := os.ReadFile(filepath.Join(p.keys, keyTags))
	if err != nil {
		return ledger.Config{}, err
	}
	tags, err := ledger.ParseTagKeys(text)
	if err != nil {
		return ledger.Config{}, err
	}
	return ledger.Config{
		Store: s, Origin: p.origin, Key: key, TagKeys: tags, MonthKeys: filepath.Join(p.keys, keyExpiry), Clock: now, Logger: logger,
	}, nil
}

// beginLog makes the log's key and its store where both are missing, and gives the log's verifier key. Where the key exists and the store does
// not, it refuses: that log has begun, and its store is lost or elsewhere.
func beginLog(ctx context.Context, p logParts, why string) (vkey string, err error) {
	_, missing := os.Stat(p.file())
	_, keyless := os.Stat(filepath.Join(p.keys, keyLog))
	if missing != nil && keyless == nil {
		return "", countersign.Refuse(countersign.CodeStore, "the key of the log %s is here and its store %s is not: restore the store; a log never begins twice", p.origin, p.file())
	}
	for _, folder := range []string{p.data, p.keys} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", err
		}
	}
	if err := ensureSecrets(p.keys); err != nil {
		return "", err
	}
	if _, err := ensureKey(filepath.Join(p.keys, keyLog)); err != nil {
		return "", err
	}
	s, err := store.OpenSQLite(ctx, p.file(), store.Options{Create: true})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	conf, err := p.config(s, clock.Default(), nil)
	if err != nil {
		return "", err
	}
	if missing != nil {
		if err := ledger.Create(ctx, conf, why); err != nil {
			return "", err
		}
	}
	pub, ok := conf.Key.Public().(ed25519.PublicKey)
	if !ok {
		return "", countersign.Refuse(countersign.CodeBadRequest, "the log's key is not Ed25519")
	}
	return ledger.VerifierKey(p.origin, pub)
}

// openLog opens a log and its store, and keeps the log's witness policy to what the directory says.
func openLog(ctx context.Context, p logParts, now clock.Clock, logger *slog.Logger, metrics prometheus.Registerer, directory *federation.Client) (*ledger.Log, func() error, error) {
	s, err := store.OpenSQLite(ctx, p.file(), store.Options{Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	conf, err := p.config(s, now, logger)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	conf.Confirm, conf.Disputed = true, p.disputed
	var closeEnded func() error
	if conf.Ended, closeEnded, err = endedLogs(ctx, p); err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	closeStores := func() error { return errors.Join(closeEnded(), s.Close()) }
	if view, err := directory.Current(); err == nil {
		conf.Policy = witnessPolicy(view, p.origin)
	}
	log, err := ledger.Open(ctx, conf)
	if err != nil {
		return nil, nil, errors.Join(err, closeStores())
	}
	if view, err := directory.Current(); err == nil {
		log.SetRecordLife(time.Duration(view.Caps().RecordLife))
		announce(ctx, log, view, logger)
	}
	directory.OnChange(func(view *federation.View) {
		announce(context.WithoutCancel(ctx), log, view, logger)
		log.SetRecordLife(time.Duration(view.Caps().RecordLife))
		if err := log.SetPolicy(witnessPolicy(view, p.origin)); err != nil {
			logger.Error("the directory's witnesses cannot be used", "error", err.Error())
		}
	})
	if err := metrics.Register(log.Metrics()); err != nil {
		return nil, nil, errors.Join(err, log.Close(), closeStores())
	}
	return log, func() error { return errors.Join(log.Close(), closeStores()) }, nil
}

// announce tells a log what the directory says of it, and whether its gateway is the one of its member that counts: the first.
func announce(ctx context.Context, log *ledger.Log, view *federation.View, logger *slog.Logger) {
	l, ok := view.LogByOrigin(log.Origin())
	if !ok {
		return
	}
	log.Announce(l.Log)
	gws := view.Gateways(l.Owner)
	if l.Gateway == "" || len(gws) == 0 {
		return
	}
	if err := log.Counts(ctx, gws[0].Name == l.Gateway); err != nil {
		logger.Error("whether this gateway counts for its member cannot be noted: what it held before stands", "error", err.Error())
	}
}

// witnessPolicy is the C2SP tlog-policy of the directory's witnesses for one of its logs.
func witnessPolicy(view *federation.View, origin countersign.LogOrigin) []byte {
	if l, ok := view.LogByOrigin(origin); ok {
		return []byte(view.PolicyText(l.Log))
	}
	return []byte(view.PolicyText())
}
