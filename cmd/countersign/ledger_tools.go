package main

// ledgerTools are the commands for whoever keeps, checks or watches logs.
type ledgerTools struct {
	Fsck    fsckCmd    `cmd:"" help:"Check a member's store or a witness's state whole; repair what follows from the rest. Exit status: 0 clean, 1 repaired, 2 broken."`
	Monitor monitorCmd `cmd:"" help:"Watch every log, as anyone may: mirror them, pair both sides of each exchange, tell what does not hold. Exit status with --once: 0 nothing, 1 findings, 2 unusable."`
	Backup  backupCmd  `cmd:"" help:"Copy a gateway's store while it runs, and check the copy. Keys are not in it."`
	Restore restoreCmd `cmd:"" help:"Put a backup in the place of a stopped gateway's store."`
}
