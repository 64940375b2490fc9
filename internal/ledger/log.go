package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// Config is what a log needs.
type Config struct {
	Store     Store // opened by the caller, who closes it after the log
	Origin    countersign.LogOrigin
	Key       keys.Signer // Ed25519: signs checkpoints and promises
	TagKeys   []TagKey    // oldest first; new tags are made with the last
	MonthKeys string      // folder of the keys of expiry months: ours alone, and in no backup
	Clock     clock.Clock
	Logger    *slog.Logger // nil discards

	Policy []byte       // C2SP tlog-policy: whose cosignatures make a quorum; empty for no witnesses
	Client *http.Client // to witnesses; nil for one with time-outs of its own

	// Confirm has Open ask the witnesses what they hold of the log before it takes a record: see Log.Confirm.
	Confirm bool
	// Ended are the logs that this one has taken over from, oldest first.
	Ended []Ended
	// Disputed names the exchanges whose records an open case keeps from their end; nil where there are no cases.
	Disputed Disputed
	// Tick is how often checkpoints are made; 0 means each second.
	Tick time.Duration
}

// Log is one member's log. It is safe for concurrent use.
type Log struct {
	store   Store
	origin  countersign.LogOrigin
	vkey    string
	key     keys.Signer
	signer  *keys.BatchSigner
	noteKey note.Signer
	check   note.Verifier
	tagKeys []TagKey
	vault   *vault
	clock   clock.Clock
	logger  *slog.Logger
	metrics *Metrics

	committer *committer
	publisher *publisher
	time      *timekeeper
	slots     *slots
	expiry    *expiry

	stop      context.CancelFunc
	workers   sync.WaitGroup
	tickMu    sync.Mutex
	pruneFrom time.Time // the tick's alone

	haltMu      sync.RWMutex
	halt        error
	unconfirmed error // a restored store waits for its witnesses; ends by itself
	unannounced error // a successor waits for the directory; ends by itself
	clockWrong  error // the witnesses' time is another; ends by itself

	countMu        sync.Mutex // held while the next four are changed; haltMu guards all but the first
	notCounting    bool       // what Counts was last told
	notedElsewhere bool       // the store tells that another gateway of the member counts
	elsewhere      bool       // another does, or the store could not be told otherwise yet
	countsFrom     time.Time  // since when this one does; the zero time where no other ever did

	confirmFrom time.Time // the tick's alone

	ended       []*endedLog
	predecessor *countersign.EndedLog
	answersFrom time.Time // questions are taken from then on; the zero time takes them at once
}

// Names of the settings that make a store this log's.
const (
	metaOrigin    = "origin"
	metaKey       = "key"
	metaInception = "inception"
)

// Create begins a log in an empty store: it writes origin and key, and the inception leaf as leaf 0. It refuses a store that holds a
// log already, so that no member ever begins a second one by accident; the note says why the log begins, for the record of inception.
// The log is then opened with Open.
func Create(ctx context.Context, cfg Config, why string) error {
	l, err := cfg.assemble()
	if err != nil {
		return err
	}
	return l.create(ctx, why, l.inceptionCommitment())
}

func (l *Log) create(ctx context.Context, why string, inception countersign.Commitment) error {
	switch origin, err := l.store.Meta(ctx, metaOrigin); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	default:
		return countersign.Refuse(countersign.CodeStore, "the store holds the log %q already: open it; a log never begins twice", origin)
	}
	size, err := l.store.Size(ctx)
	if err != nil {
		return err
	}
	now := l.clock.Now()
	leaf := (&countersign.Leaf{Kind: countersign.LeafInception, Hour: countersign.HourOf(now), Commitment: inception}).Encode()
	switch size {
	case 0:
		row := &EntryRow{Index: 0, Leaf: leaf, At: countersign.MillisOf(now)}
		if err := l.store.Commit(ctx, &Batch{Now: now, Durable: true, Entries: []*EntryRow{row}}); err != nil {
			return err
		}
	case 1: // an earlier call wrote the leaf and was stopped before it named the log
	default:
		return countersign.Refuse(countersign.CodeStore, "the store has %d leaves and no name: it is damaged; restore it", size)
	}
	return l.store.SetMeta(ctx, map[string][]byte{
		metaOrigin: []byte(l.origin), metaKey: []byte(l.vkey), metaInception: []byte(now.UTC().Format(time.RFC3339) + " " + why),
	})
}

// inceptionCommitment binds the first leaf to the log's origin and key: SHA-256 of "countersign inception", a zero byte, the verifier key.
func (l *Log) inceptionCommitment() countersign.Commitment {
	return sha256.Sum256([]byte("countersign inception\x00" + l.vkey))
}

// Open opens the log that the store holds, and starts the goroutines that commit, publish and prune. It refuses to start on a store
// without a log, with another log, or whose newest checkpoint its leaves do not give.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l, err := cfg.assemble()
	if err != nil {
		return nil, err
	}
	// What a process that was killed had stored survives that, and may not have reached the disk: from here on it counts as durable.
	if err := l.store.Sync(ctx); err != nil {
		return nil, err
	}
	edge, last, err := l.examine(ctx)
	if err != nil {
		return nil, err
	}
	if l.signer, err = keys.NewBatchSigner(l.key); err != nil {
		return nil, err
	}
	if err := l.loadHistory(ctx, cfg); err != nil {
		return nil, errors.Join(err, l.signer.Close(ctx))
	}
	l.committer = newCommitter(l, edge, last)
	l.time = newTimekeeper(l)
	if l.publisher, err = newPublisher(ctx, l, cfg); err != nil {
		l.committer.close()
		return nil, errors.Join(err, l.signer.Close(ctx))
	}
	l.slots = newSlots(l)
	l.expiry = newExpiry(l, cfg.Disputed)
	if cfg.Confirm {
		l.Confirm(ctx) // before the first slot: a checkpoint of an older store would be a fork
		if err := l.publisher.tick(ctx); err != nil {
			l.logger.Error("the first checkpoint cannot be made", slog.Any("error", err), slog.Any("cause", countersign.CauseOf(err)))
		}
		l.time.await(ctx)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	tick := cfg.Tick
	if tick == 0 {
		tick = time.Second
	}
	l.workers.Go(func() { l.run(background, tick) })
	l.workers.Go(func() { l.expiry.run(background) })
	return l, nil
}

// loadHistory reads what the store went through before: whether it was put back, whether its log takes over from others.
func (l *Log) loadHistory(ctx context.Context, cfg Config) error {
	for _, load := range []func(context.Context) error{l.loadRestored, l.loadSuccessor, l.loadWait, l.loadCounting} {
		if err := load(ctx); err != nil {
			return err
		}
	}
	if err := l.openEnded(ctx, cfg); err != nil {
		return err
	}
	l.logEnded()
	return nil
}

func (cfg *Config) assemble() (*Log, error) {
	missing := func(what string) (*Log, error) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the log's configuration lacks %s", what)
	}
	switch {
	case cfg.Store == nil:
		return missing("a store")
	case cfg.Origin == "" || strings.ContainsAny(string(cfg.Origin), "+ \n\t\u00a0"):
		return missing("an origin without spaces and plus signs")
	case cfg.Key == nil:
		return missing("its key")
	case len(cfg.TagKeys) == 0:
		return missing("a tag key")
	case cfg.MonthKeys == "":
		return missing("the folder of the keys of expiry months")
	case cfg.Clock == nil:
		return missing("a clock")
	}
	pub, ok := cfg.Key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the log's key is not Ed25519: checkpoints are signed with Ed25519 (C2SP tlog-tiles)")
	}
	vkey, err := VerifierKey(cfg.Origin, pub)
	if err != nil {
		return nil, err
	}
	check, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("the log's verifier key: %w", err)
	}
	l := &Log{
		store: cfg.Store, origin: cfg.Origin, vkey: vkey, key: cfg.Key, check: check, noteKey: &checkpointSigner{check, cfg.Key},
		tagKeys: keepMACs(cfg.TagKeys), vault: newVault(cfg.MonthKeys), clock: cfg.Clock, logger: cfg.Logger, metrics: newMetrics(),
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	return l, nil
}

// VerifierKey is the signed-note verifier key of a log's public key, as policies and the directory name it.
func VerifierKey(origin countersign.LogOrigin, pub ed25519.PublicKey) (string, error) {
	vkey, err := note.NewEd25519VerifierKey(string(origin), pub)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeBadRequest, err, "the log's verifier key cannot be written for origin %q", origin)
	}
	return vkey, nil
}

// checkpointSigner signs notes with the log's key, which may live in hardware.
type checkpointSigner struct {
	note.Verifier
	key crypto.Signer
}

// Sign implements note.Signer.
func (s *checkpointSigner) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, msg, crypto.Hash(0))
}

// examine checks that the store is this log's and loads its edge.
func (l *Log) examine(ctx context.Context) (edge tiles.Edge, last countersign.Millis, err error) {
	origin, err := l.store.Meta(ctx, metaOrigin)
	if errors.Is(err, ErrNotFound) {
		return edge, 0, countersign.Refuse(countersign.CodeStore, "the store holds no log: restore the log %q, or create it on purpose if it never was", l.origin)
	}
	if err != nil {
		return edge, 0, err
	}
	if string(origin) != string(l.origin) {
		return edge, 0, countersign.Refuse(countersign.CodeStore, "the store holds the log %q, not %q: name its own store", origin, l.origin)
	}
	vkey, err := l.store.Meta(ctx, metaKey)
	if err != nil {
		return edge, 0, err
	}
	if string(vkey) != l.vkey {
		return edge, 0, countersign.Refuse(countersign.CodeStore, "the store's log is signed by another key than the one configured: name its own key")
	}
	if err := l.examineDestroyed(ctx); err != nil {
		return edge, 0, err
	}
	// Before the leaves, for a gateway may be writing while a reader examines.
	signed, err := l.store.LatestCheckpoint(ctx, CheckpointSigned)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return edge, 0, err
	}
	if edge, err = loadEdge(ctx, l.store); err != nil {
		return edge, 0, err
	}
	newest, err := l.store.EntriesBefore(ctx, ^uint64(0), 1)
	if err != nil {
		return edge, 0, err
	}
	if len(newest) == 1 {
		last = newest[0].At
	}
	if signed.Note == nil {
		return edge, last, nil
	}
	return edge, last, l.checkSigned(ctx, edge, signed.Note)
}

// checkSigned compares the newest checkpoint that the log has signed with the leaves. A store that is older than its own checkpoint has
// lost leaves; one with another root was changed.
func (l *Log) checkSigned(ctx context.Context, edge tiles.Edge, signed []byte) error {
	cp, err := l.openCheckpoint(signed)
	if err != nil {
		return err
	}
	if cp.Size > edge.Size() {
		return countersign.Refuse(countersign.CodeStore, "the store has %d leaves, but the log has signed %d: it has lost leaves; restore it whole", edge.Size(), cp.Size)
	}
	root, err := (&tree{l.store, edge}).root(ctx, cp.Size)
	if err != nil {
		return err
	}
	if !bytes.Equal(root[:], cp.Hash) {
		return countersign.Refuse(countersign.CodeStore, "the store's leaves do not give the root that the log has signed at size %d: it was changed; restore it", cp.Size)
	}
	return nil
}

// Close publishes nothing more, commits what is queued, waits for every promise to be signed, and leaves the store open.
func (l *Log) Close() error {
	l.stop()
	l.slots.close()
	l.workers.Wait()
	l.committer.close()
	l.publisher.close()
	return l.signer.Close(context.Background())
}

// Origin is the log's origin.
func (l *Log) Origin() countersign.LogOrigin { return l.origin }

// VerifierKey is the log's verifier key in signed-note form.
func (l *Log) VerifierKey() string { return l.vkey }

// Signer signs with the log's key, each message by itself or in a group; Entry.Also signs without a wait of its own.
func (l *Log) Signer() *keys.BatchSigner { return l.signer }

// Size is the number of leaves that are durable.
func (l *Log) Size() uint64 { return l.committer.current().Size() }

// suspend stops the log for good: what it was shown proves that going on would fork it.
func (l *Log) suspend(why error) {
	l.haltMu.Lock()
	defer l.haltMu.Unlock()
	if l.halt == nil {
		l.halt = why
		l.metrics.suspended.Set(1)
		l.logger.Error("the log is suspended", slog.Any("error", why))
	}
}

// suspended is the reason why the log takes no more records, or nil.
func (l *Log) suspended() error {
	l.haltMu.RLock()
	defer l.haltMu.RUnlock()
	return cmp.Or(l.halt, l.unconfirmed, l.unannounced, l.clockWrong)
}

// forks is the reason why a checkpoint might fork the log, or nil: a wrong clock does not.
func (l *Log) forks() error {
	l.haltMu.RLock()
	defer l.haltMu.RUnlock()
	return cmp.Or(l.halt, l.unconfirmed)
}

// Healthy reports why the log takes no records, or no questions, at present, or nil.
func (l *Log) Healthy() error { return cmp.Or(l.suspended(), l.mayAnswer()) }

// run does what comes with time: checkpoints, sealed slots, the public view, pruning.
func (l *Log) run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-l.publisher.kicked:
			if l.publisher.underWay() {
				continue
			}
		}
		l.tick(ctx)
	}
}

func (l *Log) tick(ctx context.Context) {
	l.tickMu.Lock()
	defer l.tickMu.Unlock()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{"confirmation", l.confirmAgain}, {"time", l.time.again}, {"counting", l.noteCounting}, {"sealed slot", l.slots.tick}, {"checkpoint", l.publisher.tick}, {"pruning", l.prune}, {"expiry", l.expiry.tick}} {
		if err := step.do(ctx); err != nil && ctx.Err() == nil {
			l.logger.Error("background work failed", slog.String("step", step.name), slog.Any("error", err), slog.Any("cause", countersign.CauseOf(err)))
		}
	}
}

// prune removes ended claims and budgets: a few steps each second while there is something to look at, and a look each minute otherwise.
func (l *Log) prune(ctx context.Context) error {
	now := l.clock.Now()
	if now.Before(l.pruneFrom) {
		return nil
	}
	looked := 0
	for range 5 {
		p, err := l.store.Prune(ctx, now)
		if err != nil {
			return err
		}
		l.metrics.pruned.Add(float64(p.Removed))
		looked += p.Looked
		if p.Wrapped {
			l.pruneFrom = now.Add(10 * time.Second)
			if looked == 0 {
				l.pruneFrom = now.Add(time.Minute)
			}
			return nil
		}
	}
	return nil
}
