//go:build unix

package keys

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"countersign.dev/countersign"
)

// readGuardedFile reads a small file that only we can have written and only we can read.
func readGuardedFile(path string, most int64) (text []byte, err error) {
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	// O_NONBLOCK so that a pipe in the file's place cannot hold us up; what was opened is what is then examined.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the file
	if errors.Is(err, syscall.ELOOP) {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "key file %s is a symbolic link: name the file itself", path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening a key file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("examining a key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "key file %s is not a regular file", path)
	}
	if info.Mode().Perm()&0o177 != 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "key file %s has mode %04o: others could read it; treat the key as stolen, or run chmod 0600 if nobody did", path, info.Mode().Perm())
	}
	if !ours(info) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "key file %s belongs to another user", path)
	}
	text, err = io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading a key file: %w", err)
	}
	if int64(len(text)) > most {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "key file %s is longer than %d bytes", path, most)
	}
	return text, nil
}

// checkFolder refuses a folder in which another user could exchange our file for another one.
func checkFolder(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("examining the folder of a key file: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 || !ours(info) && !ownedBy(info, 0) {
		return countersign.Refuse(countersign.CodeBadRequest, "the folder %s of a key file can be written to by others: run chmod go-w and own it", folder)
	}
	return nil
}

func ours(info fs.FileInfo) bool { return ownedBy(info, os.Geteuid()) }

func ownedBy(info fs.FileInfo, uid int) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(st.Uid) == int64(uid)
}

// writeNewFile writes a file of mode 0600 that did not exist: whole and durable, or not at all.
func writeNewFile(path string, text []byte) (err error) {
	folder := filepath.Dir(path)
	if err := checkFolder(folder); err != nil {
		return err
	}
	temporary := filepath.Join(folder, "."+filepath.Base(path)+"."+rand.Text())
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("writing a key file: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(temporary)) }()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing a key file: %w", err)
	}
	// A link, unlike a rename, fails where the name is taken.
	if err := os.Link(temporary, path); err != nil {
		return fmt.Errorf("writing a key file: %w", err)
	}
	d, err := os.Open(folder) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("writing a key file: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("writing a key file: %w", err)
	}
	return nil
}
