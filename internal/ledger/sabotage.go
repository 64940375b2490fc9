//go:build sabotage

package ledger

import "sync/atomic"

// appended counts the entries of this process.
var appended atomic.Uint64

// loses makes a log that promises before it stores, and then loses every seventh entry. It exists to be found out by the auditor.
func loses(*op) bool { return appended.Add(1)%7 == 0 }
