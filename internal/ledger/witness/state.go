package witness

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/lockfile"
)

// The state is one file for each log: the newest checkpoint, signed by the log and by the witness, under the hash of the log's origin. A
// checkpoint that contradicts it, and that the log has signed, is kept beside it as evidence.

func lockState(dir string) (*lockfile.Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the witness's folder %s cannot be made", dir)
	}
	return lockfile.Acquire(filepath.Join(dir, ".lock"))
}

func (w *Witness) statePath(origin countersign.LogOrigin) string {
	return filepath.Join(w.cfg.Dir, originHash(origin)+".checkpoint")
}

const maxState = 1 << 20

func readState(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("reading the witness's state: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading the witness's state: %w", err)
	}
	return text, nil
}

// writeState replaces a file: whole and durable, or not at all.
func writeState(path string, text []byte) (err error) {
	folder := filepath.Dir(path)
	temporary := filepath.Join(folder, "."+filepath.Base(path)+"."+rand.Text())
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("writing the witness's state: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return fmt.Errorf("writing the witness's state: %w", errors.Join(err, ignoreMissing(os.Remove(temporary))))
	}
	d, err := os.Open(folder) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("writing the witness's state: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("writing the witness's state: %w", err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// evidence keeps a checkpoint that the log has signed and that contradicts what it had cosigned before: the newest one for each log.
//
// SPEC: C2SP tlog-witness: "If the origin is known, and the signature is valid, the witness MAY log the request even if the checkpoint
// fails one of the consistency checks above (but MUST NOT cosign the checkpoint), as it might be proof of log misbehavior."
func (w *Witness) evidence(origin countersign.LogOrigin, text []byte) {
	w.cfg.Logger.Error("a log signed a checkpoint that contradicts what it had cosigned", slog.String("origin", string(origin)))
	if err := writeState(filepath.Join(w.cfg.Dir, originHash(origin)+".evidence"), text); err != nil {
		w.cfg.Logger.Error("keeping evidence", slog.Any("error", err))
	}
}
