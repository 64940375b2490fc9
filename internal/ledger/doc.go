// Package ledger keeps what happened: a member's log of leaves and the private records beneath them. It reserves exchanges (the replay
// store, mandate uses and budgets), makes records durable before anything leaves, signs promises, publishes checkpoints that witnesses
// cosign, and proves any leaf's place.
//
// # Trusted? What can its thief do?
//
// The database is not trusted for integrity beyond what witnesses have cosigned: a change of any leaf shows in the root. It is trusted
// for reservations and budgets. Its thief reads leaves (public anyway), sizes and times of records, and tags, but no record and no
// intent: those are sealed under keys of their expiry month, which are files and never in the database. The thief of a month's key and
// the database reads that month's records. The thief of the tag key can test whether a person whom he knows has records.
package ledger
