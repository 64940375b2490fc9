package monitor

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// mirror is a copy of a log's leaves: what a log has shown once, it cannot take back from whoever mirrors it. The folder holds the leaves in
// order, each after its length in two bytes, and the newest checkpoint that they were verified against.
type mirror struct {
	dir    string
	note   []byte // newest checkpoint that the leaves give; nil for an empty mirror
	hashes []tlog.Hash
	edge   tiles.Edge
}

func folderOf(dir string, origin countersign.LogOrigin) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(dir, hex.EncodeToString(sum[:]))
}

const (
	fileLeaves     = "leaves"
	fileCheckpoint = "checkpoint"
	fileOrigin     = "origin"
)

// openMirror reads a mirror, hands every leaf to visit, and drops leaves that a cut write left behind its checkpoint. check reads a checkpoint.
func openMirror(dir string, origin countersign.LogOrigin, check func([]byte) (uint64, tlog.Hash, error), visit func(index uint64, leaf []byte) error) (*mirror, error) {
	m := &mirror{dir: folderOf(dir, origin)}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the mirror's folder: %w", err)
	}
	if err := writeFile(filepath.Join(m.dir, fileOrigin), []byte(string(origin)+"\n")); err != nil {
		return nil, err
	}
	note, err := os.ReadFile(filepath.Join(m.dir, fileCheckpoint))
	if errors.Is(err, fs.ErrNotExist) {
		return m, ignoreMissing(os.Remove(filepath.Join(m.dir, fileLeaves)))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the mirror: %w", err)
	}
	size, root, err := check(note)
	if err != nil {
		return nil, fmt.Errorf("the mirror's checkpoint in %s: %w", m.dir, err)
	}
	m.note = note
	if err := m.read(size, visit); err != nil {
		return nil, err
	}
	got, err := m.edge.Hash()
	if err != nil || got != root {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the mirror in %s does not give the root of its checkpoint: it was changed; restore it, or begin another", m.dir)
	}
	return m, nil
}

func (m *mirror) read(size uint64, visit func(uint64, []byte) error) (err error) {
	f, err := os.OpenFile(filepath.Join(m.dir, fileLeaves), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("reading the mirror: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	in := bufio.NewReaderSize(f, 1<<16)
	var at int64
	for index := range size {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return countersign.RefuseBecause(countersign.CodeStore, err, "the mirror in %s ends at leaf %d of %d: restore it, or begin another", m.dir, index, size)
		}
		leaf := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(in, leaf); err != nil {
			return countersign.RefuseBecause(countersign.CodeStore, err, "the mirror in %s ends at leaf %d of %d: restore it, or begin another", m.dir, index, size)
		}
		at += int64(len(head) + len(leaf))
		m.grow(leaf)
		if err := visit(index, leaf); err != nil {
			return err
		}
	}
	return f.Truncate(at)
}

func (m *mirror) size() uint64 { return uint64(len(m.hashes)) }

func (m *mirror) grow(leaf []byte) {
	h := tlog.RecordHash(leaf)
	m.edge, _ = m.edge.Extend([]tlog.Hash{h})
	m.hashes = append(m.hashes, h)
}

// extended is the root that the mirror would have with further leaves. The edge that is made for it is forgotten, which leaves the mirror's own
// as it was.
func (m *mirror) extended(leaves [][]byte) (tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(leaves))
	for i, leaf := range leaves {
		hashes[i] = tlog.RecordHash(leaf)
	}
	edge, _ := m.edge.Extend(hashes)
	return edge.Hash()
}

// keep appends verified leaves and then the checkpoint that they give, each durable before the next.
func (m *mirror) keep(leaves [][]byte, note []byte) (err error) {
	f, err := os.OpenFile(filepath.Join(m.dir, fileLeaves), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("writing the mirror: %w", err)
	}
	out := bufio.NewWriterSize(f, 1<<16)
	for _, leaf := range leaves {
		var head [2]byte
		binary.BigEndian.PutUint16(head[:], uint16(len(leaf))) //nolint:gosec // read with a length of two bytes
		_, _ = out.Write(head[:])                              // the writer keeps its error for Flush
		_, _ = out.Write(leaf)
	}
	err = out.Flush()
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the mirror: %w", err)
	}
	if err := writeFile(filepath.Join(m.dir, fileCheckpoint), note); err != nil {
		return err
	}
	for _, leaf := range leaves {
		m.grow(leaf)
	}
	m.note = note
	return nil
}

// root is the root of the first size leaves.
func (m *mirror) root(size uint64) (tlog.Hash, error) {
	if size == m.edge.Size() {
		return m.edge.Hash()
	}
	return tlog.TreeHash(int64(size), m) //nolint:gosec // no more than are in memory
}

// consistency proves that the first size leaves are a beginning of the mirror's.
func (m *mirror) consistency(size uint64) (tlog.TreeProof, error) {
	if size == 0 || size == m.size() {
		return nil, nil
	}
	return tlog.ProveTree(int64(m.size()), int64(size), m) //nolint:gosec // as above
}

// ReadHashes implements tlog.HashReader. It hashes subtrees anew: asked for seldom, and only where something is wrong or old.
func (m *mirror) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		first, width := uint64(n)<<level, uint64(1)<<level //nolint:gosec // not negative
		if first+width > m.size() {
			return nil, fmt.Errorf("hash %d is beyond the mirror's %d leaves", x, m.size())
		}
		out[i] = subtree(m.hashes[first : first+width])
	}
	return out, nil
}

func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(subtree(hashes[:half]), subtree(hashes[half:]))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeFile replaces a file: whole and durable, or not at all.
func writeFile(path string, text []byte) (err error) {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text())
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("writing the monitor's state: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return fmt.Errorf("writing the monitor's state: %w", errors.Join(err, ignoreMissing(os.Remove(temporary))))
	}
	return nil
}
