package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/subject"
)

type consentApplyCmd struct {
	Config  string        `required:"" help:"The gateway's configuration." type:"existingfile" placeholder:"FILE"`
	Portal  string        `help:"Which portal, by its member; the directory's only one if not given." placeholder:"ID"`
	Subject string        `required:"" help:"The person: scheme:VALUE." placeholder:"ID"`
	Client  string        `required:"" help:"The subsystem of one's own that would ask." placeholder:"ID"`
	Service string        `required:"" help:"The service that would be asked." placeholder:"ID"`
	Fields  []string      `help:"The fields, separated by commas; all that the purpose may have under a consent if not given." placeholder:"F"`
	Purpose string        `required:"" help:"Purpose code." placeholder:"C"`
	Basis   string        `required:"" help:"Legal basis code." placeholder:"C"`
	Case    string        `help:"One's own case number, shown to the person." placeholder:"NUMBER"`
	Life    time.Duration `default:"2160h" help:"How long the consent is to stand from now; a year at most."`
}

// Run asks a person for a consent, and prints the application's number.
func (c *consentApplyCmd) Run(ctx context.Context, s streams) error {
	in := exchange.Application{
		Subject: c.Subject, Purpose: countersign.PurposeCode(c.Purpose), Basis: countersign.BasisCode(c.Basis), Case: countersign.CaseRef(c.Case),
	}
	var err error
	if in.Client, in.Service, err = partiesOf(c.Client, c.Service); err != nil {
		return err
	}
	for _, f := range c.Fields {
		in.Fields = append(in.Fields, countersign.FieldPath(strings.TrimSpace(f)))
	}
	seat, err := (&caseSeat{Config: c.Config, Portal: c.Portal}).sit(ctx)
	if err != nil {
		return err
	}
	in.Until = mandate.SecondsOf(seat.now.Now().Add(c.Life))
	var out exchange.ApplicationState
	if err := seat.atConsents().call(ctx, http.MethodPost, "", in, &out); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, out.ID)
	return err
}

type consentCollectCmd struct {
	Config string `required:"" help:"The gateway's configuration." type:"existingfile" placeholder:"FILE"`
	Portal string `help:"Which portal, by its member; the directory's only one if not given." placeholder:"ID"`
	ID     string `arg:"" help:"The application's number."`
	Out    string `required:"" help:"File for the mandate, once the consent is given." placeholder:"FILE"`
}

// Run prints how an application stands, and writes the mandate once there is one. Without one it fails, so that a script can tell.
func (c *consentCollectCmd) Run(ctx context.Context, s streams) error {
	seat, err := (&caseSeat{Config: c.Config, Portal: c.Portal}).sit(ctx)
	if err != nil {
		return err
	}
	var out exchange.ApplicationState
	if err := seat.atConsents().call(ctx, http.MethodGet, "/"+c.ID, nil, &out); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(s.out, out.State); err != nil {
		return err
	}
	if out.Mandate == "" {
		return exit(exitFailed)
	}
	return os.WriteFile(c.Out, []byte(out.Mandate+"\n"), 0o600)
}

// atConsents is the same member's way to the portal's applications.
func (s *seat) atConsents() *seat {
	other := *s
	other.url = strings.TrimSuffix(s.url, subject.PathCases) + exchange.PathConsentApplications
	return &other
}
