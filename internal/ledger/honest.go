//go:build !sabotage

package ledger

// loses is false: what is promised is stored. A binary built under the tag sabotage has another, with which a test shows that the auditor finds a
// log that loses what it promised; no configuration of this one reaches it.
func loses(*op) bool { return false }
