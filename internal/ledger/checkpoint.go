package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/feed"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// publisher signs checkpoints, has them cosigned, and knows which one each view shows.
type publisher struct {
	log      *Log
	policyMu sync.Mutex // held while a policy is replaced

	kicked chan struct{} // capacity 1: somebody waits for witnesses, so that the next checkpoint is made at once

	mu       sync.Mutex
	policy   []byte
	group    witness.Group
	feeder   *feed.Feeder // nil without witnesses
	signed   CheckpointRow
	cosigned CheckpointRow
	public   CheckpointRow
	hour     countersign.Hour // that the public view has advanced to
	unsigned time.Time        // when a leaf was first seen that no quorum has cosigned; zero where all are
	grown    chan struct{}    // closed when cosigned grows, and made anew
	cfg      Config
	keepers  sync.WaitGroup
}

func newPublisher(ctx context.Context, l *Log, cfg Config) (*publisher, error) {
	p := &publisher{log: l, kicked: make(chan struct{}, 1), grown: make(chan struct{}), hour: countersign.HourOf(l.clock.Now()), cfg: cfg}
	for _, row := range []struct {
		kind CheckpointKind
		to   *CheckpointRow
	}{{CheckpointSigned, &p.signed}, {CheckpointCosigned, &p.cosigned}, {CheckpointPublic, &p.public}} {
		var err error
		if *row.to, err = l.store.LatestCheckpoint(ctx, row.kind); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return p, p.setPolicy(cfg.Policy)
}

// SetPolicy replaces the witness policy, as the directory does when witnesses change. The same policy again changes nothing.
func (l *Log) SetPolicy(policy []byte) error {
	l.publisher.mu.Lock()
	same := bytes.Equal(policy, l.publisher.policy)
	l.publisher.mu.Unlock()
	if same {
		return nil
	}
	return l.publisher.setPolicy(policy)
}

func (p *publisher) setPolicy(policy []byte) error {
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	var group witness.Group
	if len(policy) > 0 {
		var err error
		if group, err = witness.ParsePolicy(policy); err != nil {
			return countersign.RefuseBecause(countersign.CodeBadRequest, err, "the witness policy cannot be read (C2SP tlog-policy)")
		}
	}
	var feeder *feed.Feeder
	if endpoints := group.Endpoints(); len(endpoints) > 0 {
		feeder = feed.Start(feed.Config{
			Origin: string(p.log.origin), Verifier: p.log.check, Witnesses: endpoints, Client: p.cfg.Client, Clock: p.log.clock,
			Logger: p.log.logger, Prove: p.prove, Cosigned: p.accept, Disputed: p.disputed, Answered: p.answered,
		})
	}
	p.mu.Lock()
	old := p.feeder
	p.policy, p.group, p.feeder = bytes.Clone(policy), group, feeder
	signed := p.signed
	p.mu.Unlock()
	p.log.time.judge(group)
	if old != nil {
		old.Close()
	}
	if feeder != nil && signed.Size > 0 {
		feeder.Submit(feed.Checkpoint{Size: signed.Size, Note: signed.Note})
	}
	return nil
}

func (p *publisher) close() {
	p.mu.Lock()
	feeder := p.feeder
	p.feeder = nil
	p.mu.Unlock()
	if feeder != nil {
		feeder.Close()
	}
	p.keepers.Wait()
}

// tick signs a checkpoint where the log has grown, and advances the public view where an hour has begun.
func (p *publisher) tick(ctx context.Context) error {
	l := p.log
	edge := l.committer.current()
	p.mu.Lock()
	signed := p.signed
	p.mu.Unlock()
	if edge.Size() > signed.Size && l.forks() == nil {
		row, err := l.signCheckpoint(edge)
		if err != nil {
			return err
		}
		// Kept before anyone sees it: a store that has lost leaves is found out by its own checkpoint.
		if err := l.store.PutCheckpoint(ctx, row); err != nil {
			return err
		}
		p.mu.Lock()
		p.signed = row
		if p.unsigned.IsZero() {
			p.unsigned = l.clock.Now()
		}
		feeder := p.feeder
		p.mu.Unlock()
		l.metrics.signedSize.Set(float64(row.Size))
		if feeder != nil {
			feeder.Submit(feed.Checkpoint{Size: row.Size, Note: row.Note})
		}
	}
	l.metrics.staleness.Set(l.Staleness().Seconds())
	return p.advancePublic(ctx)
}

// roundTime is how long witnesses have for one checkpoint before somebody who waits may have another made. Were one made for everybody
// who asks, each witness would be at another size, and no size would find its quorum.
const roundTime = 250 * time.Millisecond

// underWay reports that the witnesses have a checkpoint before them which is young enough to wait for. Whoever waits for a newer one asks
// again when that has its quorum, and the tick of each second comes in any case.
func (p *publisher) underWay() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.group.N > 0 && p.signed.Size > p.cosigned.Size && p.log.clock.Now().Sub(p.signed.At.Time()) < roundTime
}

// signCheckpoint signs the root of an edge.
//
// SPEC: C2SP tlog-checkpoint: "A log MUST not sign any checkpoint which is inconsistent with any checkpoint it previously signed." The
// edge holds only what is durable, and only grows.
func (l *Log) signCheckpoint(edge tiles.Edge) (CheckpointRow, error) {
	root, err := edge.Hash()
	if err != nil {
		return CheckpointRow{}, err
	}
	text := log.Checkpoint{Origin: string(l.origin), Size: edge.Size(), Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, l.noteKey)
	if err != nil {
		return CheckpointRow{}, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return CheckpointRow{Kind: CheckpointSigned, Size: edge.Size(), At: countersign.MillisOf(l.clock.Now()), Note: signed}, nil
}

func (l *Log) openCheckpoint(text []byte) (*log.Checkpoint, error) {
	cp, _, _, err := log.ParseCheckpoint(text, string(l.origin), l.check)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeSignature, err, "a checkpoint is not signed by the log %q", l.origin)
	}
	return cp, nil
}

// advancePublic shows the public, from the first tick of an hour on, what was cosigned by then, and nothing newer until the next hour:
// an exchange's minute is nobody's business.
func (p *publisher) advancePublic(ctx context.Context) error {
	hour := countersign.HourOf(p.log.clock.Now())
	p.mu.Lock()
	row, due := p.shown(), hour > p.hour
	known := p.public.Size
	p.mu.Unlock()
	if !due {
		return nil
	}
	if row.Size > known {
		row.Kind, row.At = CheckpointPublic, countersign.MillisOf(hour.Time())
		if err := p.log.store.PutCheckpoint(ctx, row); err != nil {
			return err
		}
		p.log.metrics.publicSize.Set(float64(row.Size))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hour = hour
	if row.Size > known {
		p.public = row
	}
	return nil
}

// shown is the newest checkpoint fit to be shown: cosigned where there are witnesses. It is called with mu held.
func (p *publisher) shown() CheckpointRow {
	if p.group.N > 0 {
		return p.cosigned
	}
	return p.signed
}

func (p *publisher) prove(ctx context.Context, old, size uint64) (tlog.TreeProof, error) {
	return p.log.tree().consistency(ctx, old, size)
}

// tree is the log's tree as of now.
func (l *Log) tree() *tree { return &tree{l.store, l.committer.current()} }

// accept keeps a checkpoint once its cosignatures make a quorum.
func (p *publisher) accept(c feed.Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.group.N < 1 || !p.group.Satisfied(c.Note) || c.Size < p.cosigned.Size {
		return
	}
	grown := c.Size > p.cosigned.Size
	if !grown && len(c.Note) <= len(p.cosigned.Note) {
		return
	}
	p.cosigned = CheckpointRow{Kind: CheckpointCosigned, Size: c.Size, At: countersign.MillisOf(p.log.clock.Now()), Note: c.Note}
	if !grown {
		return // one more cosignature than the quorum needs
	}
	p.log.metrics.cosignedSize.Set(float64(c.Size))
	if c.Size >= p.signed.Size {
		p.unsigned = time.Time{}
	} else {
		p.unsigned = p.log.clock.Now()
	}
	close(p.grown)
	p.grown = make(chan struct{})
	p.keepers.Go(func() {
		if err := p.keep(); err != nil {
			p.log.logger.Error("keeping a cosigned checkpoint", slog.Any("error", err))
		}
	})
}

// keep stores the newest cosigned checkpoint, which a restart then shows at once.
func (p *publisher) keep() error {
	p.mu.Lock()
	row := p.cosigned
	p.mu.Unlock()
	return p.log.store.PutCheckpoint(context.Background(), row)
}

func (p *publisher) answered(name string, r feed.Reading, err error) {
	if err != nil {
		p.log.metrics.witnessFailures.WithLabelValues(name).Inc()
		p.log.time.heard(p.quorum(), name, nil)
		return
	}
	p.log.metrics.witnessSkew.WithLabelValues(name).Set(((r.Low + r.High) / 2).Seconds())
	p.log.time.heard(p.quorum(), name, &r)
}

func (p *publisher) quorum() witness.Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.group
}

// askTime has every witness cosign the newest checkpoint once more.
func (p *publisher) askTime() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.feeder != nil {
		p.feeder.Again()
	}
}

// disputed judges a checkpoint that a witness holds against us and that our own key has signed. If it does not belong to our history, the
// store was restored from an older copy, or another process signs with our key: going on would fork the log.
func (p *publisher) disputed(evidence []byte) {
	cp, err := p.log.openCheckpoint(evidence)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tree := p.log.tree()
	if cp.Size <= tree.edge.Size() {
		root, err := tree.root(ctx, cp.Size)
		if err != nil {
			p.log.logger.Error("judging a witness's evidence", slog.Any("error", err))
			return
		}
		if bytes.Equal(root[:], cp.Hash) {
			return // it is of our history: the witness disputes without a reason
		}
		p.log.suspend(countersign.Refuse(countersign.CodeMaintenance,
			"a witness holds a checkpoint of %d leaves which this log has signed and which its store contradicts: the log has forked; begin a successor", cp.Size))
	} else {
		p.log.suspend(countersign.Refuse(countersign.CodeMaintenance,
			"a witness holds a checkpoint of %d leaves which this log has signed, but its store has %d: restore the newest store, or begin a successor", cp.Size, tree.edge.Size()))
	}
	row := CheckpointRow{Kind: CheckpointEvidence, Size: cp.Size, At: countersign.MillisOf(p.log.clock.Now()), Note: evidence}
	if err := p.log.store.PutCheckpoint(ctx, row); err != nil {
		p.log.logger.Error("keeping a witness's evidence", slog.Any("error", err))
	}
}

// broken reports that the witnesses have kept a leaf waiting for longer than its promise allows. It is called with mu held.
func (p *publisher) broken() bool {
	return !p.unsigned.IsZero() && p.log.clock.Now().Sub(p.unsigned) > countersign.CosigningDeadline
}

// Staleness is how long a leaf has waited that no quorum has cosigned yet; zero where all are cosigned, or where there are no witnesses.
// Beyond countersign.CosigningDeadline the log's promises are broken.
func (l *Log) Staleness() time.Duration {
	p := l.publisher
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.group.N < 1 || p.unsigned.IsZero() {
		return 0
	}
	return max(0, l.clock.Now().Sub(p.unsigned))
}

// WaitCosigned returns nil once a quorum of witnesses has cosigned a checkpoint that reaches the index. When the context ends first, or
// where no quorum is defined, it is a CodeNoQuorum refusal: the caller does not release.
func (l *Log) WaitCosigned(ctx context.Context, index uint64) error {
	p := l.publisher
	for {
		p.mu.Lock()
		defined, size, grown, offered := p.group.N > 0, p.cosigned.Size, p.grown, p.signed.Size > index
		p.mu.Unlock()
		if !defined {
			return countersign.Refuse(countersign.CodeNoQuorum, "this record needs witnesses, and the log has no quorum of them")
		}
		if size > index {
			return nil
		}
		if !offered {
			select {
			case p.kicked <- struct{}{}:
			default:
			}
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return countersign.RefuseBecause(countersign.CodeNoQuorum, ctx.Err(), "the witnesses have not cosigned the record in time: nothing is released; ask again later")
		}
	}
}

// SignedCheckpoint is the newest checkpoint that the log has signed, without cosignatures; nil before the first.
func (l *Log) SignedCheckpoint() []byte {
	l.publisher.mu.Lock()
	defer l.publisher.mu.Unlock()
	return l.publisher.signed.Note
}

// CosignedCheckpoint is the newest checkpoint that a quorum has cosigned; nil before the first.
func (l *Log) CosignedCheckpoint() []byte {
	l.publisher.mu.Lock()
	defer l.publisher.mu.Unlock()
	return l.publisher.cosigned.Note
}

// Proof is a C2SP tlog-proof of the leaf of a place under the newest checkpoint that a quorum has cosigned (that the log has signed, where the policy
// asks for no witnesses). Until there is one that reaches the leaf it is a CodeNoQuorum refusal.
func (l *Log) Proof(ctx context.Context, place uint64) (string, error) {
	e, index, err := l.at(place)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeNoQuorum, err, "this gateway has had no such log")
	}
	if e != nil {
		return prove(ctx, &tree{e.store, e.edge}, index, e.shown)
	}
	l.publisher.mu.Lock()
	row := l.publisher.shown()
	l.publisher.mu.Unlock()
	return prove(ctx, l.tree(), index, row)
}

func prove(ctx context.Context, t *tree, index uint64, row CheckpointRow) (string, error) {
	if row.Size <= index {
		return "", countersign.Refuse(countersign.CodeNoQuorum, "no quorum of witnesses has cosigned leaf %d yet: ask again later", index)
	}
	path, err := t.inclusion(ctx, index, row.Size)
	if err != nil {
		return "", err
	}
	tp := proof.TLogProof{Index: index, Checkpoint: row.Note}
	for _, h := range path {
		tp.Hashes = append(tp.Hashes, h)
	}
	return string(tp.Marshal()), nil
}
