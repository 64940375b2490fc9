//go:build !simclock

package clock

// Simulated says whether this program keeps simulated time. It is a constant of the build: nothing that a program reads can change it. A federation
// that was made on simulated time says so in its signed root, and a program of the other kind refuses that root.
const Simulated = false

// Default is the clock that every part of this program takes its time from: the machine's.
func Default() Clock { return System{} }
