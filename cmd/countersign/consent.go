package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/mandate"
)

type consentCmd struct {
	Apply    consentApplyCmd    `cmd:"" help:"Ask a person for a consent, in the portal; print the application's number."`
	Collect  consentCollectCmd  `cmd:"" help:"See what became of an application; once it is given, write what goes into Countersign-Mandate."`
	Write    consentWriteCmd    `cmd:"" help:"Write down a consent, and print the nonce under which the person must log in for it."`
	Give     consentGiveCmd     `cmd:"" help:"Register a consent with the person's login; write what goes into Countersign-Mandate."`
	Nonce    consentNonceCmd    `cmd:"" help:"Print the nonce under which the person must log in to withdraw a consent."`
	Withdraw consentWithdrawCmd `cmd:"" help:"Withdraw a consent with the person's login for that."`
}

type consentWriteCmd struct {
	Subject string        `required:"" help:"The person: scheme:VALUE." placeholder:"ID"`
	Client  string        `required:"" help:"The subsystem that may ask." placeholder:"ID"`
	Service string        `required:"" help:"The service that may be asked." placeholder:"ID"`
	Fields  []string      `required:"" help:"The fields that may leave, separated by commas." placeholder:"F"`
	Purpose string        `required:"" help:"Purpose code." placeholder:"C"`
	Basis   string        `required:"" help:"Legal basis code." placeholder:"C"`
	Life    time.Duration `default:"720h" help:"How long it stands; a year at most."`
	Text    string        `required:"" help:"The sentence that the person sees and agrees to." placeholder:"TEXT"`
	Lang    string        `default:"az" help:"Its language."`
	Out     string        `required:"" help:"File for the consent." placeholder:"FILE"`
}

// Run writes a consent, which counts for nothing yet.
func (c *consentWriteCmd) Run(s streams) error {
	client, service, err := partiesOf(c.Client, c.Service)
	if err != nil {
		return err
	}
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // crypto/rand.Read never fails
	now := clock.Default().Now()
	consent := &mandate.Consent{
		Scope: mandate.Scope{
			ID: countersign.MandateID(countersign.NewExchangeID(now).String()), Subject: c.Subject, Client: client, Service: service,
			Purpose: countersign.PurposeCode(c.Purpose), Basis: countersign.BasisCode(c.Basis),
			Issued: mandate.SecondsOf(now), From: mandate.SecondsOf(now), Until: mandate.SecondsOf(now.Add(c.Life)),
		},
		Text: c.Text, Lang: c.Lang, Salt: base64.RawURLEncoding.EncodeToString(salt[:]),
	}
	for _, f := range c.Fields {
		consent.Fields = append(consent.Fields, countersign.FieldPath(strings.TrimSpace(f)))
	}
	consent.Fields = countersign.SortFields(consent.Fields)
	text, nonce, err := mandate.NewConsent(consent)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, text, 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, nonce)
	return err
}

type consentGiveCmd struct {
	Registry string `required:"" help:"Address of the portal's log, where it registers consents." placeholder:"URL"`
	Consent  string `required:"" help:"File of the consent." type:"existingfile" placeholder:"FILE"`
	Identity string `required:"" help:"File with the identity token of the person's login for it." type:"existingfile" placeholder:"FILE"`
	Out      string `required:"" help:"File for the mandate." placeholder:"FILE"`
}

// Run registers a consent.
func (c *consentGiveCmd) Run(ctx context.Context, s streams) error {
	text, err := readSmall(c.Consent)
	if err != nil {
		return err
	}
	token, err := readLine(c.Identity)
	if err != nil {
		return err
	}
	evidence, err := json.Marshal(mandate.ConsentEvidence{Consent: text, Identity: token})
	if err != nil {
		return err
	}
	out, err := atRegistry(ctx, s, c.Registry+exchange.PathConsents, exchange.ConsentRequest{Evidence: evidence})
	if err != nil {
		return err
	}
	return os.WriteFile(c.Out, []byte(out.Mandate+"\n"), 0o600)
}

type consentNonceCmd struct {
	Mandate string `arg:"" help:"File of the mandate." type:"existingfile"`
}

// Run prints the nonce of a withdrawal.
func (c *consentNonceCmd) Run(s streams) error {
	evidence, err := evidenceIn(c.Mandate)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, mandate.WithdrawalNonce(sha256.Sum256(evidence)))
	return err
}

type consentWithdrawCmd struct {
	Registry string `required:"" help:"Address of the portal's log." placeholder:"URL"`
	Mandate  string `required:"" help:"File of the mandate." type:"existingfile" placeholder:"FILE"`
	Identity string `required:"" help:"File with the identity token of the person's login for the withdrawal." type:"existingfile" placeholder:"FILE"`
}

// Run withdraws.
func (c *consentWithdrawCmd) Run(ctx context.Context, s streams) error {
	evidence, err := evidenceIn(c.Mandate)
	if err != nil {
		return err
	}
	token, err := readLine(c.Identity)
	if err != nil {
		return err
	}
	_, err = atRegistry(ctx, s, c.Registry+exchange.PathConsentWithdraw, exchange.ConsentRequest{Evidence: evidence, Identity: token})
	return err
}

func evidenceIn(file string) ([]byte, error) {
	text, err := readLine(file)
	if err != nil {
		return nil, err
	}
	presented, err := exchange.ParsePresented(text)
	if err != nil {
		return nil, err
	}
	if len(presented[0].Consent) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the file %s holds no consent", file)
	}
	return presented[0].Consent, nil
}

func atRegistry(ctx context.Context, s streams, address string, in exchange.ConsentRequest) (*exchange.ConsentRegistered, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: 90 * time.Second}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("the registry does not answer: %w", err)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(io.LimitReader(res.Body, 1<<20)); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		fmt.Fprintln(s.err, string(text))
		return nil, exit(exitFailed)
	}
	out := new(exchange.ConsentRegistered)
	return out, json.Unmarshal(text, out)
}
