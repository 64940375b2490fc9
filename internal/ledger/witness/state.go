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

// disk is how the state reaches the disk, a step each; others stand in its place in tests of disks that fail.
type disk struct {
	create func(path string) (*os.File, error)
	write  func(*os.File, []byte) error
	sync   func(*os.File) error
	rename func(from, to string) error
	settle func(folder string) error // makes a rename durable
}

var plainDisk = disk{
	create: func(path string) (*os.File, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the folder
	},
	write:  func(f *os.File, text []byte) error { _, err := f.Write(text); return err },
	sync:   (*os.File).Sync,
	rename: os.Rename,
	settle: func(folder string) error {
		d, err := os.Open(folder) //nolint:gosec // the operator names the folder
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	},
}

// replace replaces a file: whole and durable, or not at all. After an error the file is the old one or the new one, and who cares reads it again.
func (d *disk) replace(path string, text []byte) error {
	folder := filepath.Dir(path)
	temporary := filepath.Join(folder, "."+filepath.Base(path)+"."+rand.Text())
	f, err := d.create(temporary)
	if err != nil {
		return fmt.Errorf("writing the witness's state: %w", err)
	}
	if err = d.write(f, text); err == nil {
		err = d.sync(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.rename(temporary, path)
	}
	if err != nil {
		return fmt.Errorf("writing the witness's state: %w", errors.Join(err, ignoreMissing(os.Remove(temporary))))
	}
	if err := d.settle(folder); err != nil {
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
	if err := w.disk.replace(filepath.Join(w.cfg.Dir, originHash(origin)+".evidence"), text); err != nil {
		w.cfg.Logger.Error("keeping evidence", slog.Any("error", err))
	}
}
