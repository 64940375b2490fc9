package keys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// maxSecretFile bounds a secret's file.
const maxSecretFile = 64 << 10

// SaveSecret writes key material that is no signing key (a tag key, the key of an expiry month) to a new file of mode 0600: whole and
// durable, or not at all. A file that exists is never replaced: the error wraps fs.ErrExist.
func SaveSecret(path string, text []byte) error { return writeNewFile(path, text) }

// LoadSecret reads what SaveSecret wrote, under the same rules as [Load]: no link, no other owner, no looser mode.
func LoadSecret(path string) ([]byte, error) { return readGuardedFile(path, maxSecretFile) }

// DestroySecret overwrites a secret's file with zeros, removes it and makes the removal durable. On media that write elsewhere than they
// overwrite, the zeros may miss the old blocks: such a disk is encrypted beneath the file system or it does not forget.
func DestroySecret(path string) error {
	text, err := LoadSecret(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("destroying a key file: %w", err)
	}
	_, err = f.Write(bytes.Repeat([]byte{0}, len(text)))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("destroying a key file: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("destroying a key file: %w", err)
	}
	return syncFolder(path)
}

// syncFolder makes the folder's entries durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("destroying a key file: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("destroying a key file: %w", err)
	}
	return nil
}
