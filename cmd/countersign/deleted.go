package main

import (
	"context"
	"fmt"
	"os"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
)

type deletedCmd struct {
	Gateway   string `required:"" help:"Address of one's own gateway." placeholder:"URL"`
	TokenFile string `help:"File with the token by which the gateway knows this client." env:"COUNTERSIGN_TOKEN_FILE" type:"existingfile" placeholder:"FILE"`
	Client    string `required:"" help:"The subsystem that received the answers." placeholder:"ID"`
	Purpose   string `required:"" help:"Purpose code under which they were received." placeholder:"C"`
	Month     string `required:"" help:"The month in which they were to be deleted, YYYY-MM." placeholder:"MONTH"`
	Answers   uint64 `required:"" help:"How many were deleted." placeholder:"N"`
	Kept      uint32 `help:"How many another law or a court has the agency keep." placeholder:"N"`
	Receipt   string `help:"File for the deletion receipt; standard output if not given." placeholder:"FILE"`
}

// Run puts on record that a system has deleted what it received. Said again in the same words, it gives the same receipt.
func (c *deletedCmd) Run(ctx context.Context, s streams) error {
	d := exchange.Deletion{Purpose: countersign.PurposeCode(c.Purpose), Answers: c.Answers, Kept: c.Kept}
	var err error
	if d.Client, err = countersign.ParseSubsystemID(c.Client); err != nil {
		return fmt.Errorf("--client: %w", err)
	}
	if d.Month, err = countersign.ParseMonth(c.Month); err != nil {
		return fmt.Errorf("--month: %w", err)
	}
	text, err := postOwn(ctx, s, c.Gateway, exchange.PathDeletions, c.TokenFile, d)
	if err != nil {
		return err
	}
	if c.Receipt != "" {
		return os.WriteFile(c.Receipt, text, 0o600)
	}
	_, err = fmt.Fprintln(s.out, string(text))
	return err
}
