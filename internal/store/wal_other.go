//go:build !linux

package store

import "os"

// datasync waits until the file's bytes are on the disk, by whatever the system asks for that.
func datasync(f *os.File) error { return f.Sync() }
