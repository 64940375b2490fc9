package main

// ledgerTools are the commands for whoever keeps, checks or watches logs.
type ledgerTools struct {
	Fsck fsckCmd `cmd:"" help:"Check a member's store or a witness's state whole; repair what follows from the rest. Exit status: 0 clean, 1 repaired, 2 broken."`
}
