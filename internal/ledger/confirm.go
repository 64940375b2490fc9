package ledger

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/transparency-dev/formats/witness"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/feed"
)

// A store may be older than its log: a copy that was put back, or a disk that lied. It would hand out indexes a second time and forget which
// questions it has answered. The witnesses know better, and are asked before anything is answered.

// metaRestored marks a store that a backup made. It stays until witnesses have said that nothing is missing.
const metaRestored = "restored"

// markConfirmed stands in the mark's place from then on.
const markConfirmed = "confirmed"

// confirmTime is how long witnesses have for their answer at the start.
const confirmTime = 3 * time.Second

// confirmEvery is how often a restored store asks again.
const confirmEvery = 5 * time.Second

// MarkRestored marks a copy of a log's store as one that was not the log's own from one moment to the next. A log that is opened on it waits for its
// witnesses, and takes no question for six minutes from then on.
func MarkRestored(ctx context.Context, s Store, at time.Time) error {
	return s.SetMeta(ctx, map[string][]byte{metaRestored: []byte(at.UTC().Format(time.RFC3339)), metaAnswersFrom: {}})
}

// loadRestored holds a restored log back from its first moment on.
func (l *Log) loadRestored(ctx context.Context) error {
	mark, err := l.store.Meta(ctx, metaRestored)
	if errors.Is(err, ErrNotFound) || err == nil && string(mark) == markConfirmed {
		return nil
	}
	if err != nil {
		return err
	}
	l.haltMu.Lock()
	defer l.haltMu.Unlock()
	l.unconfirmed = countersign.Refuse(countersign.CodeStore,
		"the store was restored from a backup of %s and takes no records until so many witnesses have said what they hold of the log that none of its checkpoints can be missing", mark)
	return nil
}

// Confirm asks every witness of the policy what it holds of this log, and suspends the log where a checkpoint that it has signed lies beyond
// or beside its leaves. It takes three seconds at most. It is called before anything is answered; what cannot be reached is no obstacle to a
// store that was never away, and one to a store that a backup made, which asks again by itself.
func (l *Log) Confirm(ctx context.Context) {
	p := l.publisher
	p.mu.Lock()
	group, signed := p.group, p.signed
	p.mu.Unlock()
	if group.N < 1 {
		return
	}
	answered := l.askWitnesses(ctx, group, signed)
	if l.isUnconfirmed() && !satisfiable(group, func(url string) bool { return !answered[url] }) && l.suspendedFor() == nil {
		l.release(ctx)
	}
}

// askWitnesses gives the witnesses whose answer leaves nothing open.
func (l *Log) askWitnesses(ctx context.Context, group witness.Group, signed CheckpointRow) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	client := l.publisher.cfg.Client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	var mu sync.Mutex
	answered := map[string]bool{}
	var all sync.WaitGroup
	for url, key := range group.Endpoints() {
		all.Go(func() {
			held, err := feed.Ask(ctx, client, url, key, l.check, signed.Note, signed.Size)
			if err != nil || !held.Answered {
				l.logger.Warn("a witness did not say what it holds of the log", slog.String("witness", url), slog.Any("error", err))
				return
			}
			if held.Note != nil {
				l.publisher.disputed(held.Note)
			} else if held.Size > l.Size() {
				// Its word alone stops nobody; a restored store waits for those who prove theirs.
				l.logger.Error("a witness says that it holds more of the log than the store", slog.String("witness", url), slog.Uint64("size", held.Size))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answered[url] = true
		})
	}
	all.Wait()
	return answered
}

// satisfiable reports whether these witnesses alone could make the quorum.
func satisfiable(g witness.Group, has func(url string) bool) bool {
	n := 0
	for _, c := range g.Components {
		switch c := c.(type) {
		case witness.Group:
			if satisfiable(c, has) {
				n++
			}
		case witness.Witness:
			if has(c.URL) {
				n++
			}
		default:
			n++ // of a kind that is not known here: believed to be able
		}
	}
	return n >= g.N
}

func (l *Log) isUnconfirmed() bool {
	l.haltMu.RLock()
	defer l.haltMu.RUnlock()
	return l.unconfirmed != nil
}

// suspendedFor is the reason for which the log is suspended for good, or nil.
func (l *Log) suspendedFor() error {
	l.haltMu.RLock()
	defer l.haltMu.RUnlock()
	return l.halt
}

// release lets a restored log go on.
func (l *Log) release(ctx context.Context) {
	if err := l.store.SetMeta(ctx, map[string][]byte{metaRestored: []byte(markConfirmed)}); err != nil {
		l.logger.Error("a restored store is confirmed, and cannot note it", slog.Any("error", err))
		return
	}
	l.haltMu.Lock()
	defer l.haltMu.Unlock()
	l.unconfirmed = nil
	l.logger.Info("the witnesses hold nothing that the restored store lacks: the log goes on")
}

// confirmAgain asks for a restored store again.
func (l *Log) confirmAgain(ctx context.Context) error {
	if now := l.clock.Now(); l.isUnconfirmed() && !now.Before(l.confirmFrom) {
		l.confirmFrom = now.Add(confirmEvery)
		l.Confirm(ctx)
	}
	return nil
}
