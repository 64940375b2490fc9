package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/feed"
)

// A log whose store is lost, or that has forked, goes on under another origin: it ends where its witnesses have seen it last, and a successor
// begins. Nobody begins one by accident, and nobody has to believe it before the directory has announced it.

// Settings of a successor.
const (
	metaPredecessor = "predecessor"  // countersign.EndedLog as JSON
	metaAnswersFrom = "answers-from" // RFC 3339: no question is taken before
)

// replayWindow is how long a signed request may still be sent again, skew and all: a log that may have forgotten questions answers none for as long.
const replayWindow = 6 * time.Minute

// BeginSuccessor begins a log in an empty store that takes over from another. Its inception leaf binds the end of that one. It is opened with
// Open, and takes no record before Announce has told it that the directory names it.
func BeginSuccessor(ctx context.Context, cfg Config, ended countersign.EndedLog, why string) error {
	l, err := cfg.assemble()
	if err != nil {
		return err
	}
	if ended.VKey == l.vkey {
		return countersign.Refuse(countersign.CodeBadRequest, "the successor has the origin of the log that it takes over from: give it one of its own")
	}
	body, err := endBody(&ended)
	if err != nil {
		return err
	}
	l.predecessor = &ended
	if err := l.create(ctx, why, successorCommitment(l.vkey, body)); err != nil {
		return err
	}
	text, err := json.Marshal(&ended)
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "the end of the log cannot be written")
	}
	return l.store.SetMeta(ctx, map[string][]byte{
		metaPredecessor: text, metaAnswersFrom: []byte(ended.From.Add(replayWindow).UTC().Format(time.RFC3339Nano)),
	})
}

// endBody gives the body of the checkpoint with which a log ended, checked for its signature.
func endBody(ended *countersign.EndedLog) (body string, err error) {
	v, err := note.NewVerifier(ended.VKey)
	if err == nil {
		var n *note.Note
		if n, err = note.Open([]byte(ended.Checkpoint), note.VerifierList(v)); err == nil {
			return n.Text, nil
		}
	}
	return "", countersign.RefuseBecause(countersign.CodeSignature, err, "the checkpoint with which a log ended is not signed by it")
}

// successorCommitment is the commitment of a successor's inception leaf: SHA-256 of "countersign inception", a zero byte, the verifier key, a zero byte
// and the note body of the checkpoint with which its predecessor ended.
func successorCommitment(vkey, body string) countersign.Commitment {
	return sha256.Sum256([]byte("countersign inception\x00" + vkey + "\x00" + body))
}

// Predecessor is the log that a store's own one has taken over from; nil where it is the first.
func Predecessor(ctx context.Context, s Store) (*countersign.EndedLog, error) {
	text, err := s.Meta(ctx, metaPredecessor)
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // it is the first
	}
	if err != nil {
		return nil, err
	}
	var ended countersign.EndedLog
	if err := json.Unmarshal(text, &ended); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the store does not tell which log its own has taken over from: run fsck")
	}
	return &ended, nil
}

// loadSuccessor holds a successor back until the directory announces it.
func (l *Log) loadSuccessor(ctx context.Context) (err error) {
	if l.predecessor, err = Predecessor(ctx, l.store); err != nil || l.predecessor == nil {
		return err
	}
	l.haltMu.Lock()
	defer l.haltMu.Unlock()
	l.unannounced = countersign.Refuse(countersign.CodeMaintenance, "this gateway's log %s takes over from another, and the directory does not announce it yet: nothing is recorded before it does", l.origin)
	return nil
}

// Announce tells the log what the directory says of it. A successor takes records once the directory names it, with the same end of the log before
// it. Other logs need no announcement here.
func (l *Log) Announce(entry countersign.Log) {
	if l.predecessor == nil || entry.VKey != l.vkey {
		return
	}
	if !slices.ContainsFunc(entry.Before, func(e countersign.EndedLog) bool {
		return e.VKey == l.predecessor.VKey && e.Checkpoint == l.predecessor.Checkpoint
	}) {
		l.logger.Error("the directory announces this log as the successor of another end than its own")
		return
	}
	l.haltMu.Lock()
	defer l.haltMu.Unlock()
	if l.unannounced != nil {
		l.unannounced = nil
		l.logger.Info("the directory announces this log as a successor: it takes records")
	}
}

// loadWait reads from when on questions are taken. A store that was put back may have forgotten some that it has answered: a request that was signed
// before may come again for as long as its signature lives.
func (l *Log) loadWait(ctx context.Context) error {
	text, err := l.store.Meta(ctx, metaAnswersFrom)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if len(text) == 0 && l.isUnconfirmed() {
		text = []byte(l.clock.Now().Add(replayWindow).UTC().Format(time.RFC3339Nano))
		if err := l.store.SetMeta(ctx, map[string][]byte{metaAnswersFrom: text}); err != nil {
			return err
		}
	}
	if len(text) == 0 {
		return nil
	}
	if l.answersFrom, err = time.Parse(time.RFC3339Nano, string(text)); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the store does not tell from when on it answers: run fsck")
	}
	return nil
}

// mayAnswer refuses questions while one that was answered before the store was put back could come again.
//
// SPEC: docs/spec/ledger.md, Successors: "A gateway takes no question for six minutes after its store was put back or its successor began."
func (l *Log) mayAnswer() error {
	if now := l.clock.Now(); now.Before(l.answersFrom) {
		return countersign.Refuse(countersign.CodeMaintenance, "this gateway's store was put back, and questions that it has forgotten could be sent again: it answers from %s on",
			l.answersFrom.UTC().Format(time.RFC3339))
	}
	return nil
}

// WitnessedHead asks the witnesses of a policy what they hold of a log, and gives the newest checkpoint that it has signed, or own if that is newer. It
// refuses while the witnesses that have not answered could make the quorum by themselves: they might know of more.
func WitnessedHead(ctx context.Context, client *http.Client, policy []byte, vkey string, own []byte) ([]byte, error) {
	group, err := witness.ParsePolicy(policy)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the witness policy cannot be read (C2SP tlog-policy)")
	}
	check, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the log's key %q cannot be read", vkey)
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	var mu sync.Mutex
	answered, notes := map[string]bool{}, [][]byte{own}
	var all sync.WaitGroup
	for url, key := range group.Endpoints() {
		all.Go(func() {
			held, err := feed.Ask(ctx, client, url, key, check, nil, 0)
			if err != nil || !held.Answered {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answered[url], notes = true, append(notes, held.Note)
		})
	}
	all.Wait()
	if satisfiable(group, func(url string) bool { return !answered[url] }) {
		return nil, countersign.Refuse(countersign.CodeNoQuorum, "only %d witnesses say what they hold of the log, and the others could know of more: ask again when they are there", len(answered))
	}
	var newest []byte
	var size uint64
	for _, text := range notes {
		cp, _, _, err := log.ParseCheckpoint(text, check.Name(), check)
		if err != nil {
			continue // nothing is held, or it is not the log's word
		}
		if newest == nil || cp.Size > size || cp.Size == size && len(text) > len(newest) {
			newest, size = bytes.Clone(text), cp.Size
		}
	}
	if newest == nil {
		return nil, countersign.Refuse(countersign.CodeStore, "nobody holds a checkpoint of the log, not even its store: it has no successor; begin it")
	}
	return newest, nil
}

// Newest gives the newest checkpoint of its log that a store holds, evidence against it too; nil without one.
func Newest(ctx context.Context, s Store) ([]byte, error) {
	var best CheckpointRow
	for _, kind := range []CheckpointKind{CheckpointSigned, CheckpointCosigned, CheckpointEvidence} {
		row, err := s.LatestCheckpoint(ctx, kind)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if row.Size >= best.Size {
			best = row
		}
	}
	return best.Note, nil
}

// logEnded notes for the operator which logs came before.
func (l *Log) logEnded() {
	for _, e := range l.ended {
		l.logger.Info("an ended log is served", slog.String("origin", string(e.origin)), slog.Uint64("leaves", e.edge.Size()))
	}
}
