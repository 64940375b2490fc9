//go:build !race

package main

// raceDetector reports that this binary carries the race detector.
const raceDetector = false
