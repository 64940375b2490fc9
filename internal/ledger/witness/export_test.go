package witness

import (
	"errors"
	"os"
)

// DiskSteps are the steps in which a state reaches the disk.
var DiskSteps = []string{"create", "write", "sync", "rename", "settle"}

// ErrDisk is what a failing disk says.
var ErrDisk = errors.New("no space left on device")

// FailDisk has one step fail from now on, before it is done or after; an empty step has none fail.
func (w *Witness) FailDisk(step string, done bool) {
	w.disk = plainDisk
	fail := func(name string, do func() error) error {
		if step != name {
			return do()
		}
		if done {
			if err := do(); err != nil {
				return err
			}
		}
		return ErrDisk
	}
	w.disk.create = func(path string) (f *os.File, err error) {
		err = fail("create", func() (err error) {
			f, err = plainDisk.create(path)
			return err
		})
		if err != nil && f != nil {
			err = errors.Join(err, f.Close())
		}
		return f, err
	}
	w.disk.write = func(f *os.File, text []byte) error {
		if step == "write" && !done { // a disk that is full takes a part
			_ = plainDisk.write(f, text[:len(text)/2])
			return ErrDisk
		}
		return fail("write", func() error { return plainDisk.write(f, text) })
	}
	w.disk.sync = func(f *os.File) error { return fail("sync", func() error { return plainDisk.sync(f) }) }
	w.disk.rename = func(from, to string) error {
		return fail("rename", func() error { return plainDisk.rename(from, to) })
	}
	w.disk.settle = func(folder string) error {
		return fail("settle", func() error { return plainDisk.settle(folder) })
	}
}
