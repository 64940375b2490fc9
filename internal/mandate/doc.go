// Package mandate decides why a question may be asked: the purpose × category matrix of the signed directory permits, grants and mandates
// narrow, Cedar rules forbid, and everything that is blank refuses.
//
// [Compile] turns a directory into an immutable [Policy]; [Policy.Decide] answers one [Question] with a [Decision] that keeps every reason
// for and against. The package reads no clock, opens no connection and keeps nothing between decisions: the instant of a question is part
// of it, and what must be counted exactly is named in [Decision.Budgets] for the ledger to count.
//
// Mandates beyond the purpose itself (a confirmed relation, a consent, a warrant, an emergency) reach a decision as [Mandate] values, which
// only the Verify functions of this package can make.
package mandate
