package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
)

// viewOnce reads the signed directory as it is served now, for a command that does not follow it: nothing is kept.
func viewOnce(ctx context.Context, root, url string, now clock.Clock, logger *slog.Logger) (view *federation.View, err error) {
	folder, err := os.MkdirTemp("", "countersign-directory-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	client, err := openDirectory(root, url, folder, now, logger)
	if err != nil {
		return nil, err
	}
	if err := client.Poll(ctx); err != nil {
		return nil, err
	}
	return client.Current()
}

// policyOf is what receipts of all the directory's logs are checked under.
func policyOf(view *federation.View) (*countersign.Policy, error) {
	return countersign.ParsePolicy([]byte(view.PolicyText(logsOf(view.Document())...)))
}

// partiesOf reads the flags that say who asks, and which service.
func partiesOf(client, service string) (c countersign.SubsystemID, s countersign.ServiceID, err error) {
	if c, err = countersign.ParseSubsystemID(client); err != nil {
		return c, s, fmt.Errorf("--client: %w", err)
	}
	if s, err = countersign.ParseServiceID(service); err != nil {
		return c, s, fmt.Errorf("--service: %w", err)
	}
	return c, s, nil
}
