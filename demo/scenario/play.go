package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/audit"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
)

// Site is where an agency's own system asks.
type Site struct {
	URL   string // of the gateway's client address
	Token string
}

// Stage is the federation as whoever runs it can handle it.
type Stage interface {
	// Kill ends an agency's gateway by SIGKILL and returns when it is gone.
	Kill(agency string)
	// Restart starts it again on the same folder and returns when it is ready.
	Restart(ctx context.Context, agency string) error
	// Checkpoints are the newest checkpoints of all logs, as parties see them.
	Checkpoints(ctx context.Context) ([]string, error)
}

// Play is one performance.
type Play struct {
	Sites    map[string]Site // by member code
	People   *country.Atlas
	Stage    Stage
	Answers  io.Writer // gets audit.Line, one a line
	Run      string    // letters and digits: tells the officials of this performance from those of another, whose budgets they do not share
	Progress func(string)

	client  *http.Client
	mu      sync.Mutex
	enc     *json.Encoder
	written error
	result  Result
}

// Result is what the clients' side saw.
type Result struct {
	Asked     int
	Refusals  []string // the kinds of question that were refused as they must be, each once
	Surprises []string // answers that were not what they must be
	Killed    []string // gateways
	Exchanges []Exchange
}

// Exchange is one exchange whose receipt its client may fetch.
type Exchange struct {
	ID   string
	From string // member code
}

const (
	workers   = 8
	gathering = 3 // workers that ask on while a gateway is killed
)

// Act plays everything: order, refusals, a provider's outage, a consumer's outage, and order again. The error says that it could not be played
// to its end; answers that were not what they must be are surprises of the result.
func (p *Play) Act(ctx context.Context) (*Result, error) {
	p.client = &http.Client{
		Timeout: time.Minute,
		// A request on a kept connection that has died would be sent twice.
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, ExpectContinueTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.enc = json.NewEncoder(p.Answers)
	s := newScript(p)
	p.result = Result{Refusals: []string{}, Surprises: []string{}}
	ordinary := s.ordinary()
	half := len(ordinary) / 2
	for _, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"six agencies ask", p.chains(ordinary[:half])},
		{"some ask what they may not", p.chains(s.refusals())},
		{"the population register's gateway is killed", p.outage(law.POP, s.visitors("meanwhile"), s.down())},
		{"the municipality's gateway is killed", p.outage(law.MUN, s.visitors("afterwards"), nil)},
		{"six agencies ask on", p.chains(ordinary[half:])},
	} {
		p.Progress(scene.title)
		if err := p.look(ctx); err != nil {
			return &p.result, err
		}
		if err := scene.play(ctx); err != nil {
			return &p.result, err
		}
	}
	return &p.result, p.written
}

// look writes down what the logs show now: whatever they show later must have grown out of it.
func (p *Play) look(ctx context.Context) error {
	notes, err := p.Stage.Checkpoints(ctx)
	if err != nil {
		return err
	}
	for _, n := range notes {
		p.write(audit.Line{Checkpoint: n})
	}
	return nil
}

// chains asks chains of questions by several workers; the questions of one chain go in their order.
func (p *Play) chains(chains [][]question) func(context.Context) error {
	return func(ctx context.Context) error {
		next := make(chan []question)
		errs := make([]error, workers)
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				for chain := range next {
					for j := range chain {
						if err := p.ask(ctx, &chain[j]); err != nil && errs[i] == nil {
							errs[i] = err
						}
					}
				}
			})
		}
		for _, chain := range chains {
			next <- chain
		}
		close(next)
		wg.Wait()
		return errors.Join(errs...)
	}
}

// outage kills an agency's gateway while questions are under way, checks what asking it means then, starts it again, and sees it answer. The
// questions that are under way go on through all of it.
func (p *Play) outage(agency string, traffic func() question, down []question) func(context.Context) error {
	return func(ctx context.Context) error {
		going, stop := context.WithCancel(ctx)
		defer stop()
		answered := make(chan struct{}, 1<<16)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop()
		for range gathering {
			wg.Go(func() {
				for going.Err() == nil {
					q := traffic()
					got, err := p.question(ctx, &q)
					if err != nil {
						return
					}
					if got.Status != 0 && got.Error == "" {
						answered <- struct{}{}
						continue
					}
					pause(going, 50*time.Millisecond) // a client that finds nobody waits a little
				}
			})
		}
		if err := wait(ctx, answered, 20); err != nil {
			return err
		}
		p.Stage.Kill(agency)
		p.result.Killed = append(p.result.Killed, law.Member(agency).String())
		err := p.chains([][]question{down})(ctx)
		if err := errors.Join(err, p.Stage.Restart(ctx, agency)); err != nil {
			return err
		}
		for drained := false; !drained; {
			select {
			case <-answered:
			default:
				drained = true
			}
		}
		return wait(ctx, answered, 20)
	}
}

// wait waits for n answers.
func wait(ctx context.Context, answered <-chan struct{}, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for range n {
		select {
		case <-answered:
		case <-ctx.Done():
			return fmt.Errorf("the federation does not answer: %w", ctx.Err())
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (p *Play) ask(ctx context.Context, q *question) error {
	_, err := p.question(ctx, q)
	return err
}

// question asks, writes down what came, and compares it with what was wanted.
func (p *Play) question(ctx context.Context, q *question) (*received, error) {
	got, err := q.ask(ctx, p.client, p.Sites[q.from])
	if err != nil {
		return nil, err
	}
	p.write(audit.Line{Answer: &got.Answer})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result.Asked++
	if got.Receipt != "" || got.Pending {
		p.result.Exchanges = append(p.result.Exchanges, Exchange{ID: got.Exchange, From: q.from})
	}
	switch why := q.want.surprise(got); {
	case why != "":
		p.result.Surprises = append(p.result.Surprises, q.what+": "+why)
	case q.want.code != "" && got.Code == q.want.code && !contains(p.result.Refusals, q.what):
		p.result.Refusals = append(p.result.Refusals, q.what)
	}
	return got, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// write keeps one line; the first failure ends the play at its end.
func (p *Play) write(l audit.Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enc.Encode(l); err != nil && p.written == nil {
		p.written = countersign.RefuseBecause(countersign.CodeStore, err, "what the clients received cannot be written down")
	}
}
