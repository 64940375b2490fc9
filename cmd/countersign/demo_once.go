package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/audit"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/scenario"
	"countersign.dev/countersign/internal/clock"
)

// onceVerdict is the last line of demo --once --json.
type onceVerdict struct {
	audit.Verdict
	RefusedReasons []string `json:"refusedReasons"` // the kinds of question that were refused as they must be
	Surprises      []string `json:"surprises"`      // answers that were not what they must be
	Killed         []string `json:"killed"`         // members whose gateway was killed in the middle
	Seconds        float64  `json:"seconds"`        // from the first question to the verdict
	OK             bool     `json:"ok"`
}

// What a performance must come to, for its verdict to mean something.
const (
	leastReleased = 200
	leastRefused  = 20
	leastKilled   = 1
)

// auditPatience is how long the auditor of the demo waits for what is promised: much less than the minute that witnesses have.
const auditPatience = 15 * time.Second

// once plays the scenario on the running federation, and lets the auditor judge it in a process of its own.
func (c *demoCmd) once(ctx context.Context, s streams, d *demoFile, f *fleet) error {
	begun := clock.Default().Now()
	folder := d.path("once", begun.Format("20060102T150405.000"))
	if err := os.MkdirAll(filepath.Join(folder, "receipts"), 0o700); err != nil {
		return err
	}
	progress := func(line string) {
		fmt.Fprintf(s.err, "  %5.1f s  %s\n", clock.Default().Now().Sub(begun).Seconds(), line)
	}
	p := performance{demoFile: d, fleet: f, streams: s, folder: folder, run: strconv.FormatInt(begun.UnixMilli(), 36), progress: progress}
	result, err := p.play(ctx)
	if err != nil {
		return err
	}
	progress(fmt.Sprintf("fetching %d receipts", len(result.Exchanges)))
	p.receipts(ctx, result.Exchanges)
	progress("the auditor reads the logs")
	v := &onceVerdict{RefusedReasons: result.Refusals, Surprises: result.Surprises, Killed: result.Killed}
	if err := p.audit(ctx, &v.Verdict); err != nil {
		return err
	}
	v.Seconds = clock.Default().Now().Sub(begun).Seconds()
	err = v.judge()
	v.OK = err == nil
	if terr := c.tellOnce(s, v); terr != nil {
		return terr
	}
	if err != nil {
		fmt.Fprintf(s.err, "countersign: %v\n", err)
		return exit(exitFailed)
	}
	return nil
}

// judge is the auditor's verdict, and whether the performance was what it says.
func (v *onceVerdict) judge() error {
	released := v.Exchanges - v.Refused
	switch err := v.Err(); {
	case err != nil:
		return err
	case released < leastReleased || len(v.RefusedReasons) < leastRefused || len(v.Reasons) < 2 || len(v.Killed) < leastKilled:
		return fmt.Errorf("the performance was too short: %d answers, %d kinds of refusal, %d gateways killed", released, len(v.RefusedReasons), len(v.Killed))
	case len(v.Surprises) > 0:
		return fmt.Errorf("%d answers were not what they must be", len(v.Surprises))
	}
	return nil
}

func (c *demoCmd) tellOnce(s streams, v *onceVerdict) error {
	if c.JSON {
		return json.NewEncoder(s.out).Encode(v)
	}
	tellVerdict(s, &v.Verdict)
	fmt.Fprintf(s.out, "refused for %d kinds of reason; killed in the middle: %v\n", len(v.RefusedReasons), v.Killed)
	for _, w := range v.Surprises {
		fmt.Fprintf(s.out, "  surprise: %s\n", w)
	}
	word := "No answer without a record, no record lost."
	if !v.OK {
		word = "The federation did not keep its word."
	}
	_, err := fmt.Fprintf(s.out, "%s (%.1f s)\n", word, v.Seconds)
	return err
}

// performance is one scenario on a running demo.
type performance struct {
	*demoFile
	*fleet
	streams
	folder   string
	run      string
	progress func(string)

	logs []*audit.Log
}

func (p *performance) path(name string) string { return filepath.Join(p.folder, name) }

func (p *performance) play(ctx context.Context) (_ *scenario.Result, err error) {
	people, err := country.Open(p.demoFile.path("registers"))
	if err != nil {
		return nil, err
	}
	sites := map[string]scenario.Site{}
	for code, m := range p.Members {
		token, err := readLine(m.TokenFile)
		if err != nil {
			return nil, err
		}
		sites[code] = scenario.Site{URL: m.Client, Token: token}
	}
	policy, err := os.ReadFile(p.Policy)
	if err != nil {
		return nil, err
	}
	source, err := openSource(ctx, p.streams, policy, p.Directory.URL, p.demoFile.path("root.json"), p.auditKey())
	if err != nil {
		return nil, err
	}
	if p.logs, err = source.Logs(); err != nil {
		return nil, err
	}
	answers, err := os.OpenFile(p.path("answers.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, answers.Close()) }()
	act := &scenario.Play{Sites: sites, People: people, Stage: p, Answers: answers, Run: p.run, Progress: p.progress}
	return act.Act(ctx)
}

// auditKey is the key with which an auditor reads as a party: the data-protection authority runs no gateway in the demo, so it is lent one.
func (p *performance) auditKey() string { return filepath.Join(p.Members[law.MUN].Keys, keyTLS) }

// Kill implements scenario.Stage.
func (p *performance) Kill(agency string) { p.part("gateway-" + folderOf(agency)).kill() }

// Restart implements scenario.Stage.
func (p *performance) Restart(ctx context.Context, agency string) error {
	part := p.part("gateway-" + folderOf(agency))
	if err := part.start(p.self); err != nil {
		return err
	}
	if err := part.await(ctx); err != nil {
		return err
	}
	return p.notePIDs(p.fleet)
}

// Checkpoints implements scenario.Stage. A log that has just begun shows its first checkpoint when the witnesses have cosigned it.
func (p *performance) Checkpoints(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	var out []string
	for _, l := range p.logs {
		for {
			text, err := l.Checkpoint(ctx)
			if err == nil {
				out = append(out, string(text))
				break
			}
			if !again(ctx, 100*time.Millisecond) {
				return nil, err
			}
		}
	}
	return out, nil
}

// again waits a little, and reports whether there is time for another try.
func again(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// receiptFetchers is how many clients fetch receipts at once.
const receiptFetchers = 8

// receipts fetches the full receipts until each has its proof or the auditor's patience ends. A receipt that does not come is the auditor's to
// miss.
func (p *performance) receipts(ctx context.Context, all []scenario.Exchange) {
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	next := make(chan scenario.Exchange)
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections() // a gateway that stops waits for connections on which nothing was asked yet
	var wg sync.WaitGroup
	for range receiptFetchers {
		wg.Go(func() {
			for x := range next {
				p.receipt(ctx, client, x)
			}
		})
	}
	for _, x := range all {
		next <- x
	}
	close(next)
	wg.Wait()
}

func (p *performance) receipt(ctx context.Context, client *http.Client, x scenario.Exchange) {
	ask := askCmd{Gateway: p.Members[x.From].Client, TokenFile: p.Members[x.From].TokenFile}
	for {
		text, err := ask.fetchReceipt(ctx, client, x.ID)
		if countersign.CodeOf(err) == countersign.CodeNoReceipt || ctx.Err() != nil {
			return // the gateway says that there is none
		}
		if err == nil {
			r, err := countersign.ParseReceipt(text)
			if err == nil && r.Proof != "" {
				_ = os.WriteFile(filepath.Join(p.path("receipts"), x.ID+".json"), text, 0o600) // missing, it will be missed
				return
			}
		}
		again(ctx, 200*time.Millisecond)
	}
}

// audit runs the auditor: this binary again, which is told files and addresses and nothing of what was counted here.
func (p *performance) audit(ctx context.Context, v *audit.Verdict) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, p.self, "audit", "--json", "--patience", auditPatience.String(),
		"--answers", p.path("answers.jsonl"), "--receipts", p.path("receipts"), "--policy", p.Policy,
		"--directory", p.Directory.URL, "--root", p.demoFile.path("root.json"), "--key", p.auditKey())
	cmd.Stdout, cmd.Stderr = &out, p.err
	if _, failed := errors.AsType[*exec.ExitError](cmd.Run()); failed && cmd.ProcessState.ExitCode() != exitFailed {
		return fmt.Errorf("the auditor could not judge: exit status %d", cmd.ProcessState.ExitCode())
	}
	if err := json.NewDecoder(io.LimitReader(&out, 1<<20)).Decode(v); err != nil {
		return fmt.Errorf("the auditor's verdict cannot be read: %w", err)
	}
	return nil
}

var _ scenario.Stage = (*performance)(nil)
