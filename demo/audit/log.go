package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
)

const (
	width         = 256      // leaves of a full entry bundle
	maxBundle     = 16 << 20 // a bundle is 256 leaves of at most 64 KiB
	maxCheckpoint = 64 << 10
)

// Log is one log as an outsider reads it. What it holds has been proven by a cosigned checkpoint; nothing is ever taken back.
type Log struct {
	Origin countersign.LogOrigin
	Owner  countersign.MemberID

	base     string // URL above /checkpoint and /tile/
	client   *http.Client
	key      *countersign.LogKey
	verifier note.Verifier
	quorum   witness.Group

	size   uint64
	leaves []*countersign.Leaf
	raw    [][]byte
	stored []tlog.Hash // in the order of tlog.StoredHashIndex
	at     map[countersign.Digest]uint64
	by     map[countersign.Commitment][]uint64
}

var errHistory = errors.New("the log contradicts itself")

// Checkpoint fetches the log's newest checkpoint as it is served, unverified.
func (l *Log) Checkpoint(ctx context.Context) ([]byte, error) {
	return l.get(ctx, "/checkpoint", maxCheckpoint)
}

// Read brings the log up to its newest cosigned checkpoint. Errors that are errHistory are evidence; others are circumstances.
func (l *Log) Read(ctx context.Context) error {
	text, err := l.Checkpoint(ctx)
	if err != nil {
		return err
	}
	cp, err := l.open(text)
	if err != nil {
		return err
	}
	if !l.quorum.Satisfied(text) {
		return fmt.Errorf("the checkpoint of %s at %d leaves is not cosigned by a quorum", l.Origin, cp.Size)
	}
	if cp.Size < l.size {
		return fmt.Errorf("%w: %s had %d leaves and now shows %d", errHistory, l.Origin, l.size, cp.Size)
	}
	for l.size < cp.Size {
		if err := l.readBundle(ctx, cp.Size); err != nil {
			return err
		}
	}
	return l.checkRoot(cp)
}

// open verifies the log's own signature on a checkpoint.
func (l *Log) open(text []byte) (*log.Checkpoint, error) {
	cp, _, _, err := log.ParseCheckpoint(text, string(l.Origin), l.verifier)
	if err != nil {
		return nil, fmt.Errorf("a checkpoint of %s is not signed by it: %w", l.Origin, err)
	}
	return cp, nil
}

// checkRoot holds a checkpoint against the tree rebuilt from the leaves.
func (l *Log) checkRoot(cp *log.Checkpoint) error {
	if cp.Size > l.size {
		return fmt.Errorf("%w: %s has signed %d leaves and shows %d", errHistory, l.Origin, cp.Size, l.size)
	}
	root, err := tlog.TreeHash(int64(cp.Size), l)
	if err != nil {
		return err
	}
	if !bytes.Equal(root[:], cp.Hash) {
		return fmt.Errorf("%w: the leaves of %s do not give the root that it signed at %d", errHistory, l.Origin, cp.Size)
	}
	return nil
}

// ReadHashes implements tlog.HashReader over the rebuilt tree.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(l.stored)) {
			return nil, fmt.Errorf("hash %d is beyond the %d leaves of %s", x, l.size, l.Origin)
		}
		out[i] = l.stored[x]
	}
	return out, nil
}

// readBundle reads the next entry bundle of a tree of that size and appends what is new in it.
//
// SPEC: C2SP tlog-tiles: entry bundles are sequences of big-endian uint16 length-prefixed log entries.
func (l *Log) readBundle(ctx context.Context, size uint64) error {
	number := l.size / width
	wide := min(size-number*width, width)
	path := tlog.Tile{H: 8, L: -1, N: int64(number), W: int(wide)}.Path()
	body, err := l.get(ctx, "/tile/entries/"+strings.TrimPrefix(path, "tile/8/data/"), maxBundle)
	if err != nil {
		return err
	}
	for i := range wide {
		if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
			return fmt.Errorf("%w: an entry bundle of %s ends early", errHistory, l.Origin)
		}
		n := int(binary.BigEndian.Uint16(body))
		leaf := body[2 : 2+n]
		body = body[2+n:]
		index := number*width + i
		switch {
		case index >= l.size:
			if err := l.append(leaf); err != nil {
				return err
			}
		case !bytes.Equal(l.raw[index], leaf):
			return fmt.Errorf("%w: leaf %d of %s has changed", errHistory, index, l.Origin)
		}
	}
	if len(body) > 0 {
		return fmt.Errorf("%w: an entry bundle of %s is longer than its leaves", errHistory, l.Origin)
	}
	return nil
}

func (l *Log) append(raw []byte) error {
	hash := tlog.RecordHash(raw)
	stored, err := tlog.StoredHashesForRecordHash(int64(l.size), hash, l)
	if err != nil {
		return err
	}
	leaf, err := countersign.ParseLeaf(raw)
	if err != nil {
		return fmt.Errorf("leaf %d of %s cannot be read: %w", l.size, l.Origin, err)
	}
	l.stored = append(l.stored, stored...)
	l.raw, l.leaves = append(l.raw, bytes.Clone(raw)), append(l.leaves, leaf)
	l.at[countersign.Digest(hash)] = l.size
	l.by[leaf.Commitment] = append(l.by[leaf.Commitment], l.size)
	l.size++
	return nil
}

func (l *Log) get(ctx context.Context, path string, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := l.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the log %s does not answer: %w", l.Origin, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("the log %s broke off: %w", l.Origin, err)
	}
	if res.StatusCode != http.StatusOK || int64(len(text)) > most {
		return nil, fmt.Errorf("the log %s answers %s with HTTP %d and %d bytes", l.Origin, path, res.StatusCode, len(text))
	}
	return text, nil
}

// exchange gives the leaf at an index if it is a side of an exchange.
func (l *Log) exchange(index uint64) *countersign.Leaf {
	if index >= l.size {
		return nil
	}
	switch leaf := l.leaves[index]; leaf.Kind {
	case countersign.LeafExchange, countersign.LeafRelease, countersign.LeafCompletion:
		return leaf
	}
	return nil
}
