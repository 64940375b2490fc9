package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/lockfile"
)

// StateProblem is something that a check of a witness's folder found.
type StateProblem struct {
	File     string `json:"file"`
	What     string `json:"what"`
	Derived  bool   `json:"derived"` // nothing is lost when it is removed
	Repaired bool   `json:"repaired"`
}

// StateReport is a check's result.
type StateReport struct {
	Heads    map[countersign.LogOrigin][]byte `json:"-"`        // the newest checkpoint of each log, as it is kept
	Evidence []string                         `json:"evidence"` // files with checkpoints that contradict what was cosigned: a log's misdeed, not the witness's
	Problems []StateProblem                   `json:"problems"`
}

// CheckState reads a witness's folder whole: each file must be a checkpoint of the log that its name stands for, signed by the witness's key
// (v). Files of a write that was cut off are removed where repair is set; that takes the folder's lock, so that it refuses a running witness's.
func CheckState(dir string, v note.Verifier, repair bool) (report *StateReport, err error) {
	if repair {
		lock, err := lockfile.Acquire(filepath.Join(dir, ".lock"))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the witness's state: %w", err)
	}
	report = &StateReport{Heads: map[countersign.LogOrigin][]byte{}}
	for _, e := range entries {
		if err := report.file(dir, e, v, repair); err != nil {
			return nil, err
		}
	}
	return report, nil
}

func (r *StateReport) file(dir string, e fs.DirEntry, v note.Verifier, repair bool) error {
	path := filepath.Join(dir, e.Name())
	switch {
	case e.Name() == ".lock":
	case strings.HasPrefix(e.Name(), ".") && e.Type().IsRegular():
		p := StateProblem{File: e.Name(), What: "it was left by a write that was cut off", Derived: true}
		if repair {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("removing what a cut write left: %w", err)
			}
			p.Repaired = true
		}
		r.Problems = append(r.Problems, p)
	case strings.HasSuffix(e.Name(), ".evidence"):
		r.Evidence = append(r.Evidence, e.Name())
	case strings.HasSuffix(e.Name(), ".checkpoint"):
		text, err := readState(path)
		if err != nil {
			return err
		}
		origin, why := checkHead(text, strings.TrimSuffix(e.Name(), ".checkpoint"), v)
		if why != "" {
			r.Problems = append(r.Problems, StateProblem{File: e.Name(), What: why})
			return nil
		}
		r.Heads[origin] = text
	default:
		r.Problems = append(r.Problems, StateProblem{File: e.Name(), What: "it is no file of a witness"})
	}
	return nil
}

// checkHead gives the origin of a kept checkpoint, or says what is wrong with it.
func checkHead(text []byte, name string, v note.Verifier) (origin countersign.LogOrigin, why string) {
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		return "", "it does not bear the witness's signature: restore it; until then nothing of this log can be cosigned"
	}
	var cp log.Checkpoint
	if _, err := cp.Unmarshal([]byte(n.Text)); err != nil || len(cp.Hash) != tlog.HashSize {
		return "", "it is not a checkpoint"
	}
	if sum := sha256.Sum256([]byte(cp.Origin)); hex.EncodeToString(sum[:]) != name {
		return "", fmt.Sprintf("it is a checkpoint of %q, and its name is another log's", cp.Origin)
	}
	return countersign.LogOrigin(cp.Origin), ""
}

// Verifier reads a witness's verifier key, as VerifierKey writes it.
func Verifier(vkey string) (note.Verifier, error) {
	v, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the witness's verifier key %q cannot be read", vkey)
	}
	return v, nil
}
