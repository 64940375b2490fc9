package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync waits until the file's bytes, and its length where that changed, are on the disk.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err //nolint:wrapcheck // wrapped by the caller
		}
	}
}
