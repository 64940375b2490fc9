package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/monitor"
)

type monitorCmd struct {
	Directory  string        `xor:"what" required:"" help:"Watch every log of this federation's directory." placeholder:"URL"`
	Policy     string        `xor:"what" required:"" help:"Or watch the logs of this C2SP tlog-policy, each with its URL." type:"existingfile" placeholder:"FILE"`
	Root       string        `help:"The directory's root that is trusted; got by a way of its own." type:"existingfile" placeholder:"FILE"`
	Key        string        `help:"TLS key of a gateway of the directory: parties see logs at once, the public within the hour." type:"existingfile" placeholder:"FILE"`
	Dir        string        `default:"monitor" help:"Folder of the mirrors and the evidence: what was seen before." type:"path" placeholder:"DIR"`
	Receipts   string        `help:"Folder of receipts (*.json) to hold against their logs." type:"existingdir" placeholder:"DIR"`
	Once       bool          `help:"One pass, and further ones while records may still find their other side; then end."`
	Every      time.Duration `default:"1m" help:"Time between passes."`
	Patience   time.Duration `default:"6m" help:"How long the other side of an exchange may take."`
	StaleAfter time.Duration `help:"Age of the newest cosignature from which on a log is stale; by default 2 min for parties and 1 h 2 min for the public."`
	Admin      string        `help:"Address of /metrics, /healthz, and /report with the last pass." placeholder:"HOST:PORT"`
	JSON       bool          `help:"With --once print the report as one JSON object; otherwise one finding a line, as JSON."`
}

// Run watches logs. Exit status with --once: 0 nothing found, 1 findings, 2 the monitor could not be run.
func (c *monitorCmd) Run(ctx context.Context, s streams) error {
	w, err := c.watcher(s)
	if err == nil {
		err = w.refresh(ctx)
	}
	if err != nil {
		fmt.Fprintf(s.err, "countersign monitor: %v\n", err)
		return exit(exitUnusual)
	}
	if c.Once {
		return w.once(ctx)
	}
	return w.watch(untilInputEnds(ctx))
}

// watcher runs a monitor over logs that may change with the directory.
type watcher struct {
	*monitorCmd
	s         streams
	logger    *slog.Logger
	clock     clock.Clock
	policy    []byte
	directory *federation.Client // nil with a policy
	client    *http.Client
	cert      tls.Certificate
	receipts  []*countersign.Receipt

	version uint64
	monitor *monitor.Monitor
	last    atomic.Pointer[monitor.Report]
}

func (c *monitorCmd) watcher(s streams) (*watcher, error) {
	w := &watcher{monitorCmd: c, s: s, clock: clock.Default(), logger: slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
		client: &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	var err error
	if c.Receipts != "" {
		if w.receipts, err = readReceipts(c.Receipts); err != nil {
			return nil, err
		}
	}
	if c.Policy != "" {
		if c.Key != "" || c.Root != "" {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "--root and --key go with --directory: a policy says by itself where its logs are")
		}
		w.policy, err = readSmall(c.Policy)
		return w, err
	}
	if c.Root == "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "--directory needs --root: the first root that you trust, got by a way of its own")
	}
	if c.Key != "" {
		if w.cert, err = keys.LoadSelfSigned(c.Key); err != nil {
			return nil, err
		}
	}
	w.directory, err = openDirectory(c.Root, c.Directory, filepath.Join(c.Dir, "directory"), w.clock, w.logger)
	return w, err
}

// folder keeps what the public sees apart from what parties see, which is ahead of it.
func (w *watcher) folder() string {
	if w.Key != "" {
		return filepath.Join(w.Dir, "party")
	}
	return filepath.Join(w.Dir, "public")
}

func readReceipts(dir string) (out []*countersign.Receipt, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := readSmall(file)
		if err != nil {
			return nil, err
		}
		r, err := countersign.ParseReceipt(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// refresh opens the monitor, and opens it anew where the directory has changed.
func (w *watcher) refresh(ctx context.Context) error {
	conf := monitor.Config{Policy: w.policy, Dir: w.folder(), Client: w.client, Clock: w.clock, Receipts: w.receipts, Patience: w.Patience, StaleAfter: w.StaleAfter}
	if conf.StaleAfter == 0 {
		conf.StaleAfter = monitor.StalePublic
		if w.Key != "" {
			conf.StaleAfter = monitor.StaleParty
		}
	}
	var err error
	if w.directory == nil {
		if w.monitor != nil {
			return nil
		}
		if conf.Logs, err = logsOfPolicy(w.policy); err != nil {
			return err
		}
		w.monitor, err = monitor.Open(conf)
		return err
	}
	pollErr := w.directory.Poll(ctx)
	view, err := w.directory.Current()
	if err != nil {
		return errors.Join(err, pollErr)
	}
	if w.monitor != nil && view.Version() == w.version {
		return nil
	}
	w.version = view.Version()
	conf.Policy, conf.Logs, conf.Several = []byte(view.PolicyText()), w.sources(view), severalIn(view)
	conf.RecordLife, conf.Retention = time.Duration(view.Caps().RecordLife), retentionIn(view)
	w.monitor, err = monitor.Open(conf)
	return err
}

// retentionIn tells how long answers about people may be kept.
func retentionIn(view *federation.View) func(string, countersign.PurposeCode) time.Duration {
	return func(text string, code countersign.PurposeCode) time.Duration {
		id, err := countersign.ParseServiceID(text)
		if err != nil {
			return 0
		}
		s, ok := view.Service(id)
		p, known := view.Purpose(code)
		if !ok || !known || s.Subject.From == countersign.SubjectNone {
			return 0
		}
		return time.Duration(p.Retention)
	}
}

// severalIn tells services whose answers may name several people: each has a record of their own, and one of them is paired.
func severalIn(view *federation.View) func(string) bool {
	return func(text string) bool {
		id, err := countersign.ParseServiceID(text)
		if err != nil {
			return false
		}
		s, ok := view.Service(id)
		return ok && s.Subject.From == countersign.SubjectInAnswer
	}
}

// sources lists the logs of a directory: by their public addresses, or where a gateway's key is given, at the gateways themselves.
func (w *watcher) sources(view *federation.View) (out []monitor.Source) {
	ended := func(before []countersign.EndedLog, owner countersign.MemberID, url func(n int) string, client *http.Client) {
		for i, e := range before {
			out = append(out, monitor.Source{Origin: logName(e.VKey), VKey: e.VKey, URL: url(i + 1), Owner: owner, Client: client, End: []byte(e.Checkpoint)})
		}
	}
	add := func(l countersign.Log, owner countersign.MemberID, url string, client *http.Client) {
		key, err := countersign.ParseLogKey(l.VKey)
		if err != nil || url == "" {
			return // the directory's check has seen to it that there is a key; a log without an address is shown to nobody
		}
		s := monitor.Source{Origin: key.Origin, VKey: l.VKey, URL: url, Owner: owner, Client: client, Slots: true, Live: client != nil}
		if l.URL != "" && l.URL != url {
			s.Also = []string{l.URL}
		}
		out = append(out, s)
	}
	doc := view.Document()
	add(doc.Log, countersign.MemberID{}, doc.Log.URL, nil)
	for _, m := range doc.Members {
		for _, gw := range view.Gateways(m.ID) {
			if w.Key == "" {
				add(gw.Log, m.ID, gw.Log.URL, nil)
				ended(gw.Log.Before, m.ID, func(n int) string { return gw.Log.Before[n-1].URL }, nil)
				continue
			}
			url, client := strings.TrimRight(gw.URL, "/")+"/log", partyClient(w.cert, gw)
			add(gw.Log, m.ID, url, client)
			ended(gw.Log.Before, m.ID, func(n int) string { return url + ledger.EndedPath(n) }, client)
		}
	}
	for _, court := range doc.Courts {
		add(court.Log, court.Member, court.Log.URL, nil)
	}
	return out
}

// partyClient calls a gateway and nobody else.
func partyClient(cert tls.Certificate, gw *federation.Gateway) *http.Client {
	admit := func(pin keys.SPKIDigest) error {
		if slices.Contains(gw.Pins, pin) {
			return nil
		}
		return countersign.Refuse(countersign.CodeSignature, "the gateway %s of %s presents another key than the directory's", gw.Name, gw.Member)
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: keys.PinnedClient(cert, admit), IdleConnTimeout: time.Minute}}
}

// logsOfPolicy reads the log lines of a policy, whose addresses are optional elsewhere and due here.
//
// SPEC: C2SP tlog-policy: "log <vkey> [<url>]".
func logsOfPolicy(policy []byte) (out []monitor.Source, err error) {
	if _, err := countersign.ParsePolicy(policy); err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(policy)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "log" {
			continue
		}
		if len(f) < 3 {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "the policy does not say where the log %q is: write log VKEY URL", f[1])
		}
		key, err := countersign.ParseLogKey(f[1])
		if err != nil {
			return nil, err
		}
		out = append(out, monitor.Source{Origin: key.Origin, VKey: f[1], URL: f[2], Slots: true})
	}
	return out, nil
}

// once makes passes until nothing waits for its other side or for its witnesses any more, or patience ends.
func (w *watcher) once(ctx context.Context) error {
	deadline := w.clock.Now().Add(w.Patience)
	for {
		r, err := w.monitor.Pass(ctx)
		if err != nil {
			fmt.Fprintf(w.s.err, "countersign monitor: %v\n", err)
			return exit(exitUnusual)
		}
		stale := slices.ContainsFunc(r.Findings, func(f monitor.Finding) bool { return f.Kind == monitor.KindStale })
		if r.Waiting == 0 && !stale || !w.clock.Now().Before(deadline) {
			return w.tell(r)
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return w.tell(r)
		case <-timer.C:
		}
	}
}

func (w *watcher) tell(r *monitor.Report) error {
	if w.JSON {
		if err := json.NewEncoder(w.s.out).Encode(r); err != nil {
			return err
		}
	} else {
		for _, l := range r.Logs {
			fmt.Fprintf(w.s.out, "%-32s %8d leaves, %d new, %d of exchanges, cosigned %.0f s ago\n", l.Origin, l.Size, l.Grown, l.Exchanges, l.Staleness)
		}
		fmt.Fprintf(w.s.out, "%d exchanges stand on both sides, %d may still; %d receipts held against their logs\n", r.Paired, r.Waiting, r.Receipts)
		for i := range r.Findings {
			f := &r.Findings[i]
			fmt.Fprintf(w.s.out, "  %s: %s: %s", f.Kind, f.Log, f.What)
			if f.Month != 0 && f.Service == "" && f.Consumer != "" {
				fmt.Fprintf(w.s.out, " (%s for %s, %s, %d answers)", f.Consumer, f.Purpose, f.Month, f.Count)
			} else if f.Month != 0 {
				fmt.Fprintf(w.s.out, " (%s, %d records)", f.Month, f.Count)
			}
			if f.Service != "" {
				fmt.Fprintf(w.s.out, " (%s asks %s for %s, %s)", f.Consumer, f.Service, f.Purpose, f.Hour.Format("2006-01-02 15h"))
			}
			if f.Evidence != "" {
				fmt.Fprintf(w.s.out, " [%s]", filepath.Join(w.folder(), f.Evidence))
			}
			fmt.Fprintln(w.s.out)
		}
	}
	if len(r.Findings) > 0 {
		return exit(exitFailed)
	}
	return nil
}

// watch makes passes until ctx ends, and writes each new finding as one line of JSON.
func (w *watcher) watch(ctx context.Context) error {
	metrics := prometheus.NewRegistry()
	counted := monitor.NewMetrics()
	if err := metrics.Register(counted); err != nil {
		return err
	}
	go w.passes(ctx, counted)
	mux := http.NewServeMux()
	mux.Handle("/", adminHandler(metrics, func() error {
		if w.last.Load() == nil {
			return countersign.Refuse(countersign.CodeBusy, "the first pass is not over")
		}
		return nil
	}))
	mux.HandleFunc("GET /report", func(out http.ResponseWriter, _ *http.Request) {
		r := w.last.Load()
		if r == nil {
			http.Error(out, "the first pass is not over", http.StatusServiceUnavailable)
			return
		}
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(r) // a reader that went away is told nothing
	})
	return serveAll(ctx, w.logger, []listener{{name: "admin", address: w.Admin, handler: mux}})
}

func (w *watcher) passes(ctx context.Context, metrics *monitor.Metrics) {
	t := time.NewTicker(max(w.Every, time.Second))
	defer t.Stop()
	for {
		if err := w.pass(ctx, metrics); err != nil && ctx.Err() == nil {
			metrics.Observe(nil)
			w.logger.Error("a pass failed", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (w *watcher) pass(ctx context.Context, metrics *monitor.Metrics) error {
	if err := w.refresh(ctx); err != nil {
		return err
	}
	r, err := w.monitor.Pass(ctx)
	if err != nil {
		return err
	}
	fresh := monitor.Fresh(w.last.Load(), r)
	w.last.Store(r)
	metrics.Observe(r)
	for i := range fresh {
		if err := json.NewEncoder(w.s.out).Encode(&fresh[i]); err != nil {
			return err
		}
	}
	return nil
}
