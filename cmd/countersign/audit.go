package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/audit"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/keys"
)

type auditCmd struct {
	Answers   string        `required:"" help:"What a client received: one JSON object a line." type:"existingfile" placeholder:"FILE"`
	Receipts  string        `required:"" help:"Folder of the full receipts, each in EXCHANGE.json." type:"existingdir" placeholder:"DIR"`
	Policy    string        `required:"" help:"C2SP tlog-policy file: the logs and witnesses that count." type:"existingfile" placeholder:"FILE"`
	Directory string        `required:"" help:"Address of the signed directory." placeholder:"URL"`
	Root      string        `required:"" help:"The first root of the directory that is trusted." type:"existingfile" placeholder:"FILE"`
	Key       string        `required:"" help:"TLS key of a gateway of the directory: parties see a log at once, the public within the hour." type:"existingfile" placeholder:"FILE"`
	Patience  time.Duration `default:"60s" help:"How long a promised record may be missing. Witnesses have a minute."`
	JSON      bool          `help:"Print the verdict as one JSON object."`
}

// Run compares what a client received with both parties' logs. It knows nothing but its arguments and what it reads over HTTP.
// Exit status: 0 where every answer has its record and every receipt holds, 1 where not, 2 where no audit could be held.
func (c *auditCmd) Run(ctx context.Context, s streams) error {
	auditor, evidence, err := c.prepare(ctx, s)
	if err != nil {
		fmt.Fprintf(s.err, "countersign audit: %v\n", err)
		return exit(exitUnusual)
	}
	verdict, err := auditor.Audit(ctx, evidence)
	if err != nil {
		fmt.Fprintf(s.err, "countersign audit: the logs could not be read: %v\n", err)
		return exit(exitUnusual)
	}
	if c.JSON {
		err = json.NewEncoder(s.out).Encode(verdict)
	} else {
		tellVerdict(s, verdict)
	}
	if err != nil {
		return err
	}
	if err := verdict.Err(); err != nil {
		fmt.Fprintf(s.err, "countersign audit: %s\n", countersign.MessageOf(err))
		return exit(exitFailed)
	}
	return nil
}

func (c *auditCmd) prepare(ctx context.Context, s streams) (a *audit.Auditor, e *audit.Evidence, err error) {
	text, err := os.ReadFile(c.Policy)
	if err != nil {
		return nil, nil, err
	}
	policy, err := countersign.ParsePolicy(text)
	if err != nil {
		return nil, nil, err
	}
	source, err := openSource(ctx, s, text, c.Directory, c.Root, c.Key)
	if err != nil {
		return nil, nil, err
	}
	logs, err := source.Logs()
	if err != nil {
		return nil, nil, err
	}
	if e, err = c.evidence(); err != nil {
		return nil, nil, err
	}
	return &audit.Auditor{Policy: policy, Logs: logs, Several: source.Several(), Clock: clock.Default(), Patience: c.Patience}, e, nil
}

// openSource reads the signed directory once, and takes the key of a gateway for reading logs.
func openSource(ctx context.Context, s streams, policy []byte, url, root, key string) (*audit.Source, error) {
	view, err := viewOnce(ctx, root, url, clock.Default(), slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return nil, err
	}
	cert, err := keys.LoadSelfSigned(key)
	if err != nil {
		return nil, err
	}
	return &audit.Source{Policy: policy, Directory: view, Certificate: cert}, nil
}

func (c *auditCmd) evidence() (e *audit.Evidence, err error) {
	file, err := os.Open(c.Answers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	e = &audit.Evidence{Receipts: map[string]*countersign.Receipt{}}
	if e.Answers, e.Checkpoints, err = audit.ReadLines(file); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(os.DirFS(c.Receipts), ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		id, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue
		}
		text, err := os.ReadFile(filepath.Join(c.Receipts, entry.Name()))
		if err != nil {
			return nil, err
		}
		r, err := countersign.ParseReceipt(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		e.Receipts[id] = r
	}
	return e, nil
}

func tellVerdict(s streams, v *audit.Verdict) {
	for _, p := range v.Problems {
		fmt.Fprintf(s.out, "  %s\n", p)
	}
	fmt.Fprintf(s.out, "%d exchanges with a record, %d of them refused; %d requests were nobody's question; %d had no answer\n", v.Exchanges, v.Refused, v.Untaken, v.Unanswered)
	fmt.Fprintf(s.out, "receipts verified        %d\n", v.ReceiptsVerified)
	fmt.Fprintf(s.out, "receipts broken          %d\n", v.ReceiptsBroken)
	fmt.Fprintf(s.out, "answers without record   %d\n", v.AnswersWithoutRecord)
	fmt.Fprintf(s.out, "records lost             %d\n", v.RecordsLost)
	fmt.Fprintf(s.out, "contradictions of logs   %d\n", v.Contradictions)
	origins := make([]countersign.LogOrigin, 0, len(v.Sizes))
	for origin := range v.Sizes {
		origins = append(origins, origin)
	}
	slices.Sort(origins)
	for _, origin := range origins {
		fmt.Fprintf(s.out, "  %-24s %d leaves\n", origin, v.Sizes[origin])
	}
}
