package main

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/monitor"
	"countersign.dev/countersign/internal/mandate"
)

// queuedFinding is something that a monitor found about the logs and that waits for an overseer. It names no person: monitors see none.
type queuedFinding struct {
	monitor.Finding
	Monitor string    `json:"monitor"` // where it was reported first
	Since   time.Time `json:"since"`   // of the report
}

// findingsQueue is what monitors have reported and overseers have not settled, by the findings' ids.
type findingsQueue struct {
	open    map[string]*queuedFinding
	settled map[string]bool
}

// findingsNote is how the queue stands in the overseer's log, sealed: what a report added, or what an overseer settled.
type findingsNote struct {
	Findings []*queuedFinding `json:"findings,omitempty"`
	Settled  string           `json:"settled,omitempty"`
}

// replay takes a note of the log; it reports whether the note was about findings.
func (q *findingsQueue) replay(text []byte) (bool, error) {
	var n findingsNote
	if err := json.Unmarshal(text, &n); err != nil {
		return false, countersign.RefuseBecause(countersign.CodeStore, err, "the overseer's log holds a note that cannot be read")
	}
	q.take(&n)
	return len(n.Findings) > 0 || n.Settled != "", nil
}

func (q *findingsQueue) take(n *findingsNote) {
	if q.open == nil {
		q.open, q.settled = map[string]*queuedFinding{}, map[string]bool{}
	}
	for _, f := range n.Findings {
		q.open[f.ID] = f
	}
	if n.Settled != "" {
		delete(q.open, n.Settled)
		q.settled[n.Settled] = true
	}
}

// list gives the open findings, the oldest first.
func (q *findingsQueue) list() []*queuedFinding {
	return slices.SortedFunc(maps.Values(q.open), func(a, b *queuedFinding) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
	})
}

// maxQueued bounds the queue: when so much waits, one more finding changes nothing.
const maxQueued = 10_000

// findingsRequest is a monitor's report on its way into the queue.
type findingsRequest struct {
	Monitor string          `json:"monitor"`
	Report  *monitor.Report `json:"report"`
}

// queued says what became of a report.
type queued struct {
	Reported int `json:"reported"` // findings in the report
	Queued   int `json:"queued"`   // of them, those that were new
	Waiting  int `json:"waiting"`  // in the queue now
}

// addFindings puts what is new of a report into the queue, and on the overseer's record. A finding that waits already, or was settled, is not taken again.
func (d *oversightDesk) addFindings(ctx context.Context, r *findingsRequest) (*queued, error) {
	if r.Report == nil || r.Monitor == "" || r.Report.At.IsZero() {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "this is not a report of countersign monitor: give what it prints with --json, or shows at /report")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &findingsNote{}
	seen := map[string]bool{}
	for _, f := range r.Report.Findings {
		if f.ID == "" || f.ID != f.Identify() || f.Kind == "" || f.Log == "" {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "a finding of the report has no id, or another one than what it tells: the report was changed, or is of another program")
		}
		if d.findings.open[f.ID] != nil || d.findings.settled[f.ID] || seen[f.ID] {
			continue
		}
		if len(d.findings.open)+len(n.Findings) >= maxQueued {
			break
		}
		seen[f.ID] = true
		n.Findings = append(n.Findings, &queuedFinding{Finding: f, Monitor: r.Monitor, Since: r.Report.At})
	}
	if len(n.Findings) > 0 {
		if err := d.noteFindings(ctx, n); err != nil {
			return nil, err
		}
	}
	return &queued{Reported: len(r.Report.Findings), Queued: len(n.Findings), Waiting: len(d.findings.open)}, nil
}

// noteFindings makes a change of the queue durable before it holds. It is called with mu held.
func (d *oversightDesk) noteFindings(ctx context.Context, n *findingsNote) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	now := d.now.Now()
	_, err = d.log.Append(ctx, ledger.Entry{
		Leaf:   &countersign.Leaf{Kind: countersign.LeafMandate, Hour: countersign.HourOf(now), Commitment: actDigest(text)},
		Record: &ledger.Record{Note: text}, Expires: now.Add(officeRecordLife),
	})
	if err == nil {
		d.findings.take(n)
	}
	return err
}

// settleRequest is an overseer's word that a finding is dealt with.
type settleRequest struct {
	Finding  string `json:"finding"`
	Overseer string `json:"overseer"`
	Reason   string `json:"reason"`
}

// settle takes a finding out of the queue, for good, and puts who did so and why among the overseer's acts.
func (d *oversightDesk) settle(ctx context.Context, r *settleRequest) (*oversightAct, error) {
	d.mu.Lock()
	known := d.findings.open[r.Finding] != nil
	d.mu.Unlock()
	if !known {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "no finding of that number waits: oversight list shows which do")
	}
	if mandate.CanonicalOfficial(r.Overseer) == "" || strings.TrimSpace(r.Reason) == "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "say who decides, and why in plain words")
	}
	a, err := d.decide(ctx, &oversightAct{Overseer: r.Overseer, Reason: r.Reason, Finding: r.Finding})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return a, d.noteFindings(ctx, &findingsNote{Settled: r.Finding})
}

type oversightFindingsCmd struct {
	officeDir
	Report []string      `required:"" help:"A monitor's report: its /report address, or a file with what monitor --once --json printed; may be repeated." placeholder:"URL|FILE"`
	Every  time.Duration `help:"Take the reports again and again, so often, until interrupted."`
}

// Help says whose findings these may be.
func (*oversightFindingsCmd) Help() string {
	return "Takes what monitors found into the overseers' queue, which oversight list shows until somebody settles it. Each finding has an id that every monitor gives it alike: what several report, or one reports again, waits once. " +
		"Anyone may run a monitor; whose reports count is the overseer's choice, so run this with those that you trust, your own first."
}

// Run takes reports into the queue of a running overseer.
func (c *oversightFindingsCmd) Run(ctx context.Context, s streams) error {
	if c.Every <= 0 {
		return c.once(ctx, s)
	}
	ctx = untilInputEnds(ctx)
	logger := slog.New(slog.NewJSONHandler(s.err, nil)).With("part", "findings")
	t := time.NewTicker(max(c.Every, time.Second))
	defer t.Stop()
	for {
		if err := c.once(ctx, s); err != nil && ctx.Err() == nil {
			logger.Error("reports were not taken", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (c *oversightFindingsCmd) once(ctx context.Context, s streams) error {
	for _, from := range c.Report {
		r, err := readReport(ctx, from)
		if err != nil {
			return err
		}
		out, err := atDesk[queued](ctx, c.Dir, "/findings", findingsRequest{Monitor: from, Report: r})
		if err != nil {
			return err
		}
		if err := printJSON(s, out); err != nil {
			return err
		}
	}
	return nil
}

// maxReport bounds a report: a thousand findings, some hundred logs.
const maxReport = 900 << 10

func readReport(ctx context.Context, from string) (*monitor.Report, error) {
	text, err := reportText(ctx, from)
	if err != nil {
		return nil, err
	}
	if len(text) > maxReport {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the report %s is larger than %d bytes", from, maxReport)
	}
	return monitor.ParseReport(text)
}

func reportText(ctx context.Context, from string) ([]byte, error) {
	if !strings.Contains(from, "://") {
		return readSmall(from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the monitor at %s does not answer", from)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, countersign.Refuse(countersign.CodeNetwork, "the monitor at %s answers %s", from, res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxReport+1))
}

type oversightSettleCmd struct {
	officeDir
	Finding  string `arg:"" help:"The finding's id in the list." placeholder:"ID"`
	Overseer string `required:"" help:"Who decides, by pseudonym." placeholder:"NAME"`
	Reason   string `required:"" help:"What was done about it, in plain words." placeholder:"TEXT"`
}

// Run settles a finding.
func (c *oversightSettleCmd) Run(ctx context.Context, s streams) error {
	a, err := atDesk[oversightAct](ctx, c.Dir, "/settle", settleRequest{c.Finding, c.Overseer, c.Reason})
	if err != nil {
		return err
	}
	return printJSON(s, a)
}
