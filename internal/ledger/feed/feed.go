// Package feed brings a log's checkpoints to its witnesses and collects their cosignatures. Each witness has a goroutine of its own, so
// that one that is slow, hangs or lies holds nobody up; a cosignature counts only once it has been verified.
package feed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign/internal/clock"
)

// Checkpoint is one that the log has signed, with the cosignatures collected so far.
type Checkpoint struct {
	Size uint64
	Note []byte
}

// Config is what a feeder needs.
type Config struct {
	Origin    string
	Verifier  note.Verifier            // the log's own
	Witnesses map[string]note.Verifier // by the URL of add-checkpoint
	Client    *http.Client             // nil for one with the time-out below and no proxies or redirects
	Timeout   time.Duration            // of one submission; 0 means 5 s
	Clock     clock.Clock
	Logger    *slog.Logger

	// Prove gives the consistency proof between two sizes of the log.
	Prove func(ctx context.Context, old, size uint64) (tlog.TreeProof, error)
	// Cosigned is told each time a checkpoint has gained a verified cosignature. It must return soon.
	Cosigned func(Checkpoint)
	// Disputed is told of a checkpoint which our own key has signed and which a witness holds against the one that it was sent. The note
	// has our valid signature; whether it contradicts our history is for the log to judge. It must return soon.
	Disputed func(note []byte)
	// Answered is told the end of each submission: when the witness signed, or why no cosignature came of it. It must return soon.
	Answered func(witness string, r Reading, err error)
}

// Reading is what a cosignature tells of the clocks: the witness's time minus ours lies between Low and High. It is as narrow as the
// submission was quick, and a second wider, for a cosignature tells whole seconds.
type Reading struct{ Low, High time.Duration }

const (
	// keep is how many checkpoints wait for cosignatures: a witness that is minutes behind still completes the one that it was sent.
	keep = 256
	// maxAnswer bounds what is read of a witness's answer.
	maxAnswer = 64 << 10
	// longestPause bounds the pause after repeated failures.
	longestPause = 30 * time.Second
	firstPause   = 250 * time.Millisecond
)

// Feeder submits checkpoints.
type Feeder struct {
	cfg     Config
	stop    context.CancelFunc
	workers sync.WaitGroup
	all     []*worker

	mu      sync.Mutex
	pending []*pending // ascending sizes
}

type pending struct {
	size uint64
	note []byte            // signed by the log
	sigs map[string]string // verified signature lines by witness URL
}

// Start starts a goroutine for each witness.
func Start(cfg Config) *Feeder {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: cfg.Timeout},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &Feeder{cfg: cfg, stop: stop}
	for url, key := range cfg.Witnesses {
		w := &worker{feeder: f, url: url, key: key, wake: make(chan struct{}, 1)}
		f.all = append(f.all, w)
		f.workers.Go(func() { w.run(ctx) })
	}
	return f
}

// Close ends the submissions under way and waits for them.
func (f *Feeder) Close() {
	f.stop()
	f.workers.Wait()
}

// Again has every witness cosign the newest checkpoint once more, for the time that its cosignature tells.
func (f *Feeder) Again() {
	for _, w := range f.all {
		w.again.Store(true)
	}
	f.rouse()
}

// Submit offers a checkpoint to every witness and returns at once. Sizes must rise.
func (f *Feeder) Submit(c Checkpoint) {
	f.mu.Lock()
	if n := len(f.pending); n == 0 || f.pending[n-1].size < c.Size {
		f.pending = append(f.pending, &pending{size: c.Size, note: c.Note, sigs: map[string]string{}})
	}
	if over := len(f.pending) - keep; over > 0 {
		f.pending = slices.Delete(f.pending, 0, over)
	}
	f.mu.Unlock()
	f.rouse()
}

func (f *Feeder) rouse() {
	for _, w := range f.all {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (f *Feeder) newest() *pending {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		return nil
	}
	return f.pending[len(f.pending)-1]
}

// collect adds a verified cosignature and returns the checkpoint with all that it has.
func (f *Feeder) collect(p *pending, url, line string) Checkpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.sigs[url] = line
	out := slices.Clone(p.note)
	urls := make([]string, 0, len(p.sigs))
	for u := range p.sigs {
		urls = append(urls, u)
	}
	slices.Sort(urls)
	for _, u := range urls {
		out = append(out, p.sigs[u]...)
	}
	return Checkpoint{p.size, out}
}

type worker struct {
	feeder *Feeder
	url    string
	key    note.Verifier
	wake   chan struct{} // capacity 1
	again  atomic.Bool   // the newest is to be cosigned once more
	old    uint64        // the size that the witness cosigned last, as far as we know
	done   uint64        // the size that it has cosigned for us
}

func (w *worker) run(ctx context.Context) {
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		for {
			p := w.feeder.newest()
			if p == nil || p.size <= w.done && !w.again.Swap(false) {
				break
			}
			reading, err := w.submit(ctx, p)
			if ctx.Err() != nil {
				return
			}
			w.feeder.cfg.Answered(w.url, reading, err)
			if err == nil {
				pause = firstPause
				continue
			}
			w.feeder.cfg.Logger.Warn("a witness did not cosign", slog.String("witness", w.url), slog.Any("error", err))
			t := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			pause = min(2*pause, longestPause)
		}
	}
}

// errDisputed says that the witness holds something else than what it was sent.
var errDisputed = errors.New("the witness refuses the checkpoint as inconsistent with what it holds")

// submit brings one checkpoint to the witness, asking again once where the witness knows another size than we thought.
func (w *worker) submit(ctx context.Context, p *pending) (Reading, error) {
	for range 3 {
		if w.old > p.size {
			return Reading{}, w.dispute(ctx)
		}
		asked := w.feeder.cfg.Clock.Now()
		status, answer, err := w.post(ctx, p)
		if err != nil {
			return Reading{}, err
		}
		switch status {
		case http.StatusOK:
			return w.accept(p, answer, asked)
		case http.StatusConflict:
			// SPEC: C2SP tlog-witness: "The response body MUST consist of the tree size of the latest cosigned checkpoint in decimal,
			// followed by a newline (U+000A)."
			size, err := strconv.ParseUint(strings.TrimSuffix(string(answer), "\n"), 10, 63)
			if err != nil {
				return Reading{}, fmt.Errorf("the witness's conflict names no size: %w", err)
			}
			w.old = size
		case http.StatusUnprocessableEntity:
			w.old = 0 // so that the next attempt asks for the size again
			return Reading{}, w.dispute(ctx)
		default:
			return Reading{}, fmt.Errorf("the witness answers with status %d", status)
		}
	}
	return Reading{}, errors.New("the witness names another size each time")
}

// post sends an add-checkpoint request.
//
// SPEC: C2SP tlog-witness: "The request body MUST be a sequence of an old size line, zero or more consistency proof lines, and an empty
// line, followed by a checkpoint."
func (w *worker) post(ctx context.Context, p *pending) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.feeder.cfg.Timeout)
	defer cancel()
	proof, err := w.feeder.cfg.Prove(ctx, w.old, p.size)
	if err != nil {
		return 0, nil, err
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", w.old)
	for _, h := range proof {
		body.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	body.WriteByte('\n')
	body.Write(p.note)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, &body)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the witness: %w", err)
	}
	return w.do(req)
}

func (w *worker) do(req *http.Request) (status int, answer []byte, err error) {
	res, err := w.feeder.cfg.Client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the witness: %w", err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("reading the witness's answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return 0, nil, fmt.Errorf("the witness's answer is longer than %d bytes", maxAnswer)
	}
	return res.StatusCode, answer, nil
}

// accept verifies the cosignatures and keeps that of the witness's key.
//
// SPEC: C2SP tlog-witness: "The client MUST ignore any cosignatures from unknown keys. To parse the response, the client MAY concatenate
// it to the checkpoint, and use a note verification function configured with the witness keys it trusts."
func (w *worker) accept(p *pending, answer []byte, asked time.Time) (Reading, error) {
	n, err := note.Open(append(slices.Clone(p.note), answer...), note.VerifierList(w.key))
	if err != nil {
		return Reading{}, fmt.Errorf("the witness's cosignature is not valid: %w", err)
	}
	for _, s := range n.Sigs {
		if s.Name != w.key.Name() || s.Hash != w.key.KeyHash() {
			continue
		}
		at, err := fnote.CoSigV1Timestamp(s)
		if err != nil {
			return Reading{}, fmt.Errorf("the witness's cosignature has no time: %w", err)
		}
		w.old, w.done = p.size, p.size
		w.feeder.cfg.Cosigned(w.feeder.collect(p, w.url, fmt.Sprintf("— %s %s\n", s.Name, s.Base64)))
		// SPEC: C2SP tlog-cosignature: "timestamp is the POSIX time … at which the cosignature was generated", in whole seconds. That was
		// between our asking and now.
		return Reading{Low: at.Sub(w.feeder.cfg.Clock.Now()), High: at.Add(time.Second).Sub(asked)}, nil
	}
	return Reading{}, errors.New("the witness's answer has no cosignature of its key")
}

// dispute asks the witness for what it holds. Its word alone moves nothing: only a checkpoint with our own signature is handed on.
//
// SPEC: C2SP tlog-witness, monitor retrieval: "GET <monitoring prefix>/<origin hash>/checkpoint … it MUST include … the cosignature from
// the log key(s) that the witness verified."
func (w *worker) dispute(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.feeder.cfg.Timeout)
	defer cancel()
	w.old, w.done = 0, 0
	sum := sha256.Sum256([]byte(w.feeder.cfg.Origin))
	prefix := strings.TrimSuffix(w.url, "/add-checkpoint")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, prefix+"/"+hex.EncodeToString(sum[:])+"/checkpoint", nil)
	if err != nil {
		return fmt.Errorf("asking the witness what it holds: %w", err)
	}
	status, answer, err := w.do(req)
	if err != nil {
		return errors.Join(errDisputed, err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("%w; asked for its evidence, it answers with status %d", errDisputed, status)
	}
	if _, err := note.Open(answer, note.VerifierList(w.feeder.cfg.Verifier)); err != nil {
		return fmt.Errorf("%w; its evidence is not signed by this log: %w", errDisputed, err)
	}
	w.feeder.cfg.Disputed(answer)
	return errDisputed
}
