package monitor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
)

// head is a checkpoint that the log has signed, and where it was seen.
type head struct {
	from string
	note []byte
	size uint64
	root tlog.Hash
}

// open verifies the log's own signature on a checkpoint.
func (l *logState) open(text []byte) (uint64, tlog.Hash, error) {
	cp, _, _, err := log.ParseCheckpoint(text, string(l.cfg.Origin), l.check)
	if err != nil {
		return 0, tlog.Hash{}, countersign.RefuseBecause(countersign.CodeSignature, err, "a checkpoint is not signed by the log %q", l.cfg.Origin)
	}
	if len(cp.Hash) != tlog.HashSize || cp.Size > 1<<62 {
		return 0, tlog.Hash{}, countersign.Refuse(countersign.CodeSignature, "a checkpoint of the log %q has no root of a tree", l.cfg.Origin)
	}
	return cp.Size, tlog.Hash(cp.Hash), nil
}

// cosignedAt is the time of the newest cosignature by a witness of the policy; zero where there is none.
func (m *Monitor) cosignedAt(text []byte) (at time.Time) {
	for _, v := range m.witnesses {
		n, err := note.Open(text, note.VerifierList(v))
		if err != nil {
			continue
		}
		for _, s := range n.Sigs {
			if t, err := fnote.CoSigV1Timestamp(s); err == nil && t.After(at) {
				at = t
			}
		}
	}
	return at
}

// judge holds a head against the mirror. One that is larger waits until the mirror has grown to it: the oldest waiting one of each place is
// kept, so that none is forgotten because another came.
func (m *Monitor) judge(r *Report, l *logState, h head) error {
	if h.size > l.mirror.size() {
		if _, waits := l.waiting[h.from]; !waits {
			l.waiting[h.from] = h
			return l.keepWaiting()
		}
		return nil
	}
	root, err := l.mirror.root(h.size)
	if err != nil {
		return fmt.Errorf("the mirror's root at %d: %w", h.size, err)
	}
	if root == h.root || h.size == 0 {
		return nil
	}
	file, err := m.evidence(l, h, root)
	if err != nil {
		return err
	}
	f := r.tell(KindSplitView, l, "it has signed two heads that contradict each other at %d leaves: one was seen at %s, the other is what it showed this monitor", h.size, h.from)
	f.Evidence = file
	return nil
}

// Evidence is two checkpoints of one log, both signed by it, that cannot both be true. Where their sizes differ, the proof shows that the
// larger one's tree had the given root at the smaller one's size, which is not the root that the smaller one tells.
type Evidence struct {
	Origin countersign.LogOrigin `json:"origin"`
	VKey   string                `json:"vkey"`
	Seen   string                `json:"seen"` // where the first head was seen
	Heads  [2]string             `json:"heads"`
	Root   []byte                `json:"root"`  // of the second head's tree at the first's size
	Proof  []string              `json:"proof"` // RFC 6962 consistency proof from there to the second head, base64
}

// Check verifies the evidence by itself: nobody has to believe the monitor.
func (e *Evidence) Check() error {
	l := &logState{cfg: Source{Origin: e.Origin}}
	var err error
	if l.check, err = note.NewVerifier(e.VKey); err != nil {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "the evidence's key cannot be read")
	}
	var size [2]uint64
	var root [2]tlog.Hash
	for i := range e.Heads {
		if size[i], root[i], err = l.open([]byte(e.Heads[i])); err != nil {
			return err
		}
	}
	var proof tlog.TreeProof
	for _, p := range e.Proof {
		raw, err := base64.StdEncoding.DecodeString(p)
		if err != nil || len(raw) != tlog.HashSize {
			return countersign.Refuse(countersign.CodeBadRequest, "the evidence's proof is not a list of hashes")
		}
		proof = append(proof, tlog.Hash(raw))
	}
	if len(e.Root) != tlog.HashSize || bytes.Equal(e.Root, root[0][:]) {
		return countersign.Refuse(countersign.CodeInconsistent, "the two heads do not contradict each other")
	}
	if size[0] == size[1] {
		if !bytes.Equal(e.Root, root[1][:]) {
			return countersign.Refuse(countersign.CodeInconsistent, "the evidence's root is not the second head's")
		}
		return nil
	}
	if err := tlog.CheckTree(proof, int64(size[1]), root[1], int64(size[0]), tlog.Hash(e.Root)); err != nil { //nolint:gosec // open bounds sizes
		return countersign.RefuseBecause(countersign.CodeInconsistent, err, "the proof does not lead from the evidence's root to the second head")
	}
	return nil
}

// evidence writes a contradiction down and names the file, relative to the monitor's folder.
func (m *Monitor) evidence(l *logState, h head, root tlog.Hash) (string, error) {
	proof, err := l.mirror.consistency(h.size)
	if err != nil {
		return "", fmt.Errorf("proving a contradiction: %w", err)
	}
	e := &Evidence{Origin: l.cfg.Origin, VKey: l.cfg.VKey, Seen: h.from, Heads: [2]string{string(h.note), string(l.mirror.note)}, Root: root[:], Proof: []string{}}
	for _, p := range proof {
		e.Proof = append(e.Proof, base64.StdEncoding.EncodeToString(p[:]))
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing evidence: %w", err)
	}
	sum := sha256.Sum256(h.note)
	name := filepath.Join("evidence", fmt.Sprintf("%s-%d-%s.json", strings.Map(plain, string(l.cfg.Origin)), h.size, hex.EncodeToString(sum[:6])))
	if _, err := os.Stat(filepath.Join(m.cfg.Dir, name)); err == nil {
		return name, nil // the first one of this head is kept as it is
	}
	if err := os.MkdirAll(filepath.Join(m.cfg.Dir, "evidence"), 0o700); err != nil {
		return "", fmt.Errorf("writing evidence: %w", err)
	}
	return name, writeFile(filepath.Join(m.cfg.Dir, name), append(text, '\n'))
}

// plain keeps a name fit for a file.
func plain(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
		return r
	}
	return '_'
}

const fileWaiting = "waiting"

// keepWaiting keeps the heads that the mirror has not grown to.
func (l *logState) keepWaiting() error {
	texts := map[string]string{}
	for from, h := range l.waiting {
		texts[from] = string(h.note)
	}
	text, err := json.Marshal(texts)
	if err != nil {
		return fmt.Errorf("keeping heads: %w", err)
	}
	return writeFile(filepath.Join(l.mirror.dir, fileWaiting), text)
}

func (l *logState) loadWaiting() error {
	l.waiting = map[string]head{}
	text, err := os.ReadFile(filepath.Join(l.mirror.dir, fileWaiting))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	texts := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &texts)
	}
	if err != nil {
		return fmt.Errorf("reading kept heads: %w", err)
	}
	for from, text := range texts {
		if size, root, err := l.open([]byte(text)); err == nil {
			l.waiting[from] = head{from, []byte(text), size, root}
		}
	}
	return nil
}

// judgeWaiting judges kept heads that the mirror has grown to.
func (m *Monitor) judgeWaiting(r *Report, l *logState) error {
	for from, h := range l.waiting {
		if h.size > l.mirror.size() {
			continue
		}
		if err := m.judge(r, l, h); err != nil {
			return err
		}
		delete(l.waiting, from)
		if err := l.keepWaiting(); err != nil {
			return err
		}
	}
	return nil
}

// witnessed asks every witness of the policy what it holds of a log. A witness that does not answer is the log operators' concern and the
// quorum's, not a finding about this log.
//
// SPEC: C2SP tlog-witness, monitor retrieval: "GET <monitoring prefix>/<origin hash>/checkpoint".
func (m *Monitor) witnessed(ctx context.Context, r *Report, l *logState) error {
	sum := sha256.Sum256([]byte(l.cfg.Origin))
	for url := range m.witnesses {
		prefix := strings.TrimSuffix(url, "/add-checkpoint")
		text, err := get(ctx, m.cfg.Client, prefix+"/"+hex.EncodeToString(sum[:])+"/checkpoint", maxCheckpoint)
		if err != nil {
			continue
		}
		size, root, err := l.open(text)
		if err != nil {
			continue // the witness's word alone, which moves nothing
		}
		if err := m.judge(r, l, head{"the witness " + prefix, text, size, root}); err != nil {
			return err
		}
	}
	return nil
}
