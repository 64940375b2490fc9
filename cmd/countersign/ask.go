package main

import (
	"bytes"
	"cmp"
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
	"countersign.dev/countersign/internal/xroad"
)

type askCmd struct {
	Gateway   string        `required:"" help:"Address of one's own gateway, for instance http://127.0.0.1:8080." placeholder:"URL"`
	Client    string        `required:"" help:"The asking subsystem: INSTANCE/CLASS/MEMBER/SUBSYSTEM." placeholder:"ID"`
	Service   string        `required:"" help:"The service: INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE." placeholder:"ID"`
	Path      string        `help:"Path behind the service, with the person in it: /1ABC23D." placeholder:"P"`
	Purpose   string        `help:"Purpose code of the directory. Without purpose and basis a standing declaration must speak for the client." placeholder:"C"`
	Basis     string        `help:"Legal basis code of the directory." placeholder:"C"`
	Case      string        `help:"Case number, where the purpose asks for one (X-Road-Issue)." placeholder:"CASE"`
	Official  string        `help:"File that names the official who asks, or holds their OpenID Connect token." type:"existingfile" placeholder:"FILE"`
	Mandate   string        `help:"File with the warrant, consent or other mandate." type:"existingfile" placeholder:"FILE"`
	Behalf    string        `help:"On whose behalf: [CLASS/]CODE (X-Road-Represented-Party)." placeholder:"ID"`
	TokenFile string        `help:"File with the token by which the gateway knows this client." env:"COUNTERSIGN_TOKEN_FILE" type:"existingfile" placeholder:"FILE"`
	Method    string        `default:"GET" help:"HTTP method."`
	Data      string        `help:"File with the request's body, JSON." type:"existingfile" placeholder:"FILE"`
	Receipt   string        `help:"Where to write the receipt; it waits for the witnesses." placeholder:"OUT"`
	Within    time.Duration `help:"How long the receipt waits for them: 60s if not given. Without their proof it is the promise alone, which holds too."`
	JSON      bool          `help:"Print status, headers and body as one JSON object."`
}

// Run asks once and prints the answer. Exit status: 0 for an answer, 1 for a refusal.
func (a *askCmd) Run(ctx context.Context, s streams) error {
	req, err := a.request(ctx)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 310 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the gateway does not answer: %w", err)
	}
	defer res.Body.Close()
	if a.Receipt != "" {
		if err := a.saveReceipt(ctx, client, res); err != nil {
			return err
		}
	}
	if err := a.print(s, res); err != nil {
		return err
	}
	if res.Header.Get(xroad.HeaderError) != "" {
		return exit(exitFailed)
	}
	return nil
}

func (a *askCmd) request(ctx context.Context) (*http.Request, error) {
	client, service, err := partiesOf(a.Client, a.Service)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if a.Data != "" {
		text, err := os.ReadFile(a.Data)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	url := strings.TrimRight(a.Gateway, "/") + "/r1/" + xroad.EncodeService(service) + a.Path
	req, err := http.NewRequestWithContext(ctx, a.Method, url, body)
	if err != nil {
		return nil, fmt.Errorf("--gateway and --path: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set(xroad.HeaderClient, xroad.EncodeSubsystem(client))
	for name, value := range map[string]string{
		exchange.HeaderPurpose: a.Purpose, exchange.HeaderBasis: a.Basis, xroad.HeaderIssue: a.Case, xroad.HeaderRepresentedParty: a.Behalf,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	for name, file := range map[string]string{exchange.HeaderOfficial: a.Official, exchange.HeaderMandate: a.Mandate, exchange.HeaderToken: a.TokenFile} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		req.Header.Set(name, strings.TrimSpace(string(text)))
	}
	return req, nil
}

func (a *askCmd) print(s streams, res *http.Response) error {
	if !a.JSON {
		_, err := io.Copy(s.out, res.Body)
		if err == nil {
			fmt.Fprintln(s.out)
			line := fmt.Sprintf("exchange %s: HTTP %d %s", res.Header.Get(xroad.HeaderRequestID), res.StatusCode, res.Header.Get(xroad.HeaderError))
			fmt.Fprintln(s.err, strings.TrimSpace(line))
		}
		return err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, exchange.MaxPersonalBody+1))
	if err != nil {
		return err
	}
	out := struct {
		Status   int             `json:"status"`
		Exchange string          `json:"exchange,omitempty"`
		Error    string          `json:"error,omitempty"`
		Code     string          `json:"code,omitempty"`
		Headers  http.Header     `json:"headers"`
		Body     json.RawMessage `json:"body,omitempty"`
		Text     string          `json:"text,omitempty"`
	}{Status: res.StatusCode, Exchange: res.Header.Get(xroad.HeaderRequestID), Error: res.Header.Get(xroad.HeaderError), Code: res.Header.Get(xroad.HeaderCountersignError), Headers: res.Header}
	if json.Valid(body) {
		out.Body = body
	} else {
		out.Text = string(body)
	}
	return json.NewEncoder(s.out).Encode(out)
}

// saveReceipt fetches the full receipt from the gateway, again and again until the witnesses have cosigned it, or its time is over.
func (a *askCmd) saveReceipt(ctx context.Context, client *http.Client, res *http.Response) error {
	id := res.Header.Get(xroad.HeaderRequestID)
	if id == "" || res.Header.Get(exchange.HeaderReceipt) == "" && res.Header.Get(exchange.HeaderStatus) == "" {
		return countersign.Refuse(countersign.CodeNoReceipt, "the answer carries no receipt, so none is written")
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.Within, countersign.CosigningDeadline))
	defer cancel()
	var last []byte
	for {
		text, err := a.fetchReceipt(ctx, client, id)
		if err != nil && last == nil && countersign.CodeOf(err) != countersign.CodeBusy {
			return err
		}
		if err == nil {
			last = text
			if r, err := countersign.ParseReceipt(text); err == nil && r.Proof != "" {
				break
			}
		}
		timer := time.NewTimer(200 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			if last == nil {
				return err
			}
			return os.WriteFile(a.Receipt, last, 0o600)
		case <-timer.C:
		}
	}
	return os.WriteFile(a.Receipt, last, 0o600)
}

func (a *askCmd) fetchReceipt(ctx context.Context, client *http.Client, id string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(a.Gateway, "/")+"/countersign/receipts/"+id, nil)
	if err != nil {
		return nil, err
	}
	if a.TokenFile != "" {
		token, err := os.ReadFile(a.TokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set(exchange.HeaderToken, strings.TrimSpace(string(token)))
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if code := countersign.Code(res.Header.Get(xroad.HeaderCountersignError)); code == countersign.CodeBusy {
		return nil, countersign.Refuse(code, "the gateway does not know yet what became of the exchange %s: ask it for the receipt later", id)
	}
	if res.StatusCode != http.StatusOK {
		return nil, countersign.Refuse(countersign.CodeNoReceipt, "the gateway gives no receipt: HTTP %d", res.StatusCode)
	}
	return text, nil
}
