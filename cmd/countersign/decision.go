package main

import (
	"context"
	"fmt"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
)

type decisionCmd struct {
	Gateway   string   `required:"" help:"Address of one's own gateway." placeholder:"URL"`
	TokenFile string   `help:"File with the token by which the gateway knows this client." env:"COUNTERSIGN_TOKEN_FILE" type:"existingfile" placeholder:"FILE"`
	Client    string   `required:"" help:"The subsystem that decides." placeholder:"ID"`
	Subject   string   `required:"" help:"The person: scheme:VALUE." placeholder:"ID"`
	Effect    string   `required:"" enum:"adverse,favourable" help:"What it means for the person: adverse or favourable."`
	Official  string   `help:"Name of the official who answers for it. Without one, the person reads that a machine decided."`
	Role      string   `help:"The official's role."`
	Text      string   `required:"" help:"File with the reasons, which the person reads." type:"existingfile" placeholder:"FILE"`
	Exchanges []string `arg:"" help:"The exchanges on whose answers it rests."`
}

// Run puts a decision on record.
func (c *decisionCmd) Run(ctx context.Context, s streams) error {
	client, err := countersign.ParseSubsystemID(c.Client)
	if err != nil {
		return fmt.Errorf("--client: %w", err)
	}
	reasons, err := readSmall(c.Text)
	if err != nil {
		return err
	}
	d := exchange.DecisionRequest{
		Client: client, Subject: c.Subject, Effect: countersign.Effect(c.Effect), Official: c.Official, Role: c.Role, Text: strings.TrimSpace(string(reasons)),
	}
	for _, text := range c.Exchanges {
		id, err := countersign.ParseExchangeID(text)
		if err != nil {
			return err
		}
		d.Exchanges = append(d.Exchanges, id)
	}
	if _, err := postOwn(ctx, s, c.Gateway, exchange.PathDecisions, c.TokenFile, d); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "on record for %d exchanges\n", len(d.Exchanges))
	return err
}
