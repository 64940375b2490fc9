//go:build race

package ledger_test

// raceDetector reports that this binary carries the race detector.
const raceDetector = true
