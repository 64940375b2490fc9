//go:build !unix

package keys

import "countersign.dev/countersign"

func readGuardedFile(path string, _ int64) ([]byte, error) { return nil, noGuard(path) }

func writeNewFile(path string, _ []byte) error { return noGuard(path) }

// noGuard refuses what cannot be guarded here: owner and mode of a file mean nothing outside Unix.
func noGuard(path string) error {
	return countersign.Refuse(countersign.CodeBadRequest, "key file %s: this system has no Unix owner and mode to guard it by: keep keys on a Unix system or in hardware", path)
}
