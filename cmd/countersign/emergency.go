package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
)

type emergencyCmd struct {
	Gateway   string   `required:"" help:"Address of one's own gateway." placeholder:"URL"`
	TokenFile string   `help:"File with the token by which the gateway knows this client." env:"COUNTERSIGN_TOKEN_FILE" type:"existingfile" placeholder:"FILE"`
	Client    string   `required:"" help:"The asking subsystem." placeholder:"ID"`
	Service   string   `required:"" help:"The service." placeholder:"ID"`
	Subject   string   `required:"" help:"The one person: scheme:VALUE." placeholder:"ID"`
	Fields    []string `required:"" help:"The fields that are needed, separated by commas." placeholder:"F"`
	Purpose   string   `required:"" help:"Purpose code." placeholder:"C"`
	Basis     string   `required:"" help:"Legal basis code." placeholder:"C"`
	Ground    string   `required:"" help:"Why a life is in danger, in plain words: the person will read it." placeholder:"TEXT"`
	Official  []string `required:"" help:"File with the identity token of an official; two are due." type:"existingfile" placeholder:"FILE"`
	Out       string   `help:"File for the mandate; standard output if not given." placeholder:"FILE"`
}

// Run declares an emergency. What it prints or writes goes into Countersign-Mandate, for one question within the hour.
func (c *emergencyCmd) Run(ctx context.Context, s streams) error {
	d, err := c.declaration()
	if err != nil {
		return err
	}
	text, err := postOwn(ctx, s, c.Gateway, exchange.PathEmergencies, c.TokenFile, d)
	if err != nil {
		return err
	}
	var out exchange.Declared
	if err := json.Unmarshal(text, &out); err != nil {
		return err
	}
	if c.Out == "" {
		_, err = fmt.Fprintln(s.out, out.Mandate)
		return err
	}
	fmt.Fprintln(s.out, out.ID)
	return os.WriteFile(c.Out, []byte(out.Mandate+"\n"), 0o600)
}

// postOwn sends a request of a client to its own gateway and gives the body of the 201 that is due; any other answer is shown as it came.
func postOwn(ctx context.Context, s streams, gateway, path, tokenFile string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(gateway, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if tokenFile != "" {
		token, err := readLine(tokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set(exchange.HeaderToken, token)
	}
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("the gateway does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusCreated {
		fmt.Fprintln(s.err, string(text))
		return nil, exit(exitFailed)
	}
	return text, nil
}

func (c *emergencyCmd) declaration() (*exchange.Declaration, error) {
	client, service, err := partiesOf(c.Client, c.Service)
	if err != nil {
		return nil, err
	}
	d := &exchange.Declaration{
		Client: client, Service: service, Subject: c.Subject, Purpose: countersign.PurposeCode(c.Purpose), Basis: countersign.BasisCode(c.Basis), Ground: c.Ground,
	}
	for _, f := range c.Fields {
		d.Fields = append(d.Fields, countersign.FieldPath(strings.TrimSpace(f)))
	}
	for _, file := range c.Official {
		token, err := readLine(file)
		if err != nil {
			return nil, err
		}
		d.Officials = append(d.Officials, token)
	}
	return d, nil
}
