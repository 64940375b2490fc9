package federation

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// LongestPoll is the longest time between two looks at the directory: a removal acts within it.
const LongestPoll = 60 * time.Second

// ClientOptions say where the directory is and from what trust in it begins.
type ClientOptions struct {
	URL    string // of the directory's host, for instance https://directory.example
	Root   []byte // the trusted root metadata, got by a way of its own: never from URL
	Folder string // of this client alone
	Clock  clock.Clock
	HTTP   *http.Client  // nil: one with a time-out of 10 s a file
	Every  time.Duration // between polls; zero is 30 s, and it is LongestPoll at most
	Log    *slog.Logger
}

// Client keeps a view of the directory current. It trusts the root it was given and nothing that the network says without signatures from there; it
// refuses rollback, freeze and mixtures of versions; it works through an outage until the timestamp expires, then answers CodeStaleDirectory, and resumes alone.
//
// Its folder is the memory that makes rollback visible across restarts. A thief of it learns what is public. Who can write it can make the client forget
// what it saw, as a new client would, but cannot make it accept what the threshold did not sign.
type Client struct {
	o         ClientOptions
	repo      *localRepository
	mu        sync.Mutex // held while polling
	memory    memory
	state     atomic.Pointer[state]
	hooks     []func(*View)
	lastError atomic.Pointer[string]
}

// state is what Current answers from.
type state struct {
	view    *View // nil: none could be built, and why says so
	base    countersign.Digest
	expires time.Time
	why     string
}

// OpenClient reads the client's folder and gives a client that answers from it where it is fresh; it does not need the network. Errors are of the options,
// the trusted root and the folder itself: nothing that repeating would mend.
func OpenClient(o ClientOptions) (*Client, error) {
	if o.Every <= 0 {
		o.Every = 30 * time.Second
	}
	o.Every = min(o.Every, LongestPoll)
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	repo, err := openLocalRepository(o)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, repo: repo}
	c.state.Store(&state{why: "the signed directory was never fetched here"})
	kept, err := repo.loadMemory()
	if err != nil {
		// What cannot be read is forgotten, not trusted: the next poll starts as a new client.
		o.Log.Error("the cached directory cannot be read and is fetched anew", "error", err.Error())
		return c, nil
	}
	c.memory = kept
	found, err := repo.verifyCached(kept, o.Clock.Now())
	if err == nil && found != nil {
		err = c.adopt(*found, kept.LastLook)
	}
	if err != nil {
		c.state.Store(&state{why: "the signed directory in the cache cannot be used: " + err.Error()})
	}
	return c, nil
}

// Current gives the directory's view: one atomic load. A CodeStaleDirectory refusal says that the directory was never fetched or has expired here: refuse all
// work and ask again later, the client keeps trying by itself as long as Run runs.
func (c *Client) Current() (*View, error) {
	s := c.state.Load()
	if s.view == nil {
		return nil, countersign.Refuse(countersign.CodeStaleDirectory, "%s; it is asked for again by itself", s.why)
	}
	if c.o.Clock.Now().After(s.expires) {
		return nil, countersign.Refuse(countersign.CodeStaleDirectory,
			"the signed directory expired here at %s and could not be renewed since; it is asked for again by itself", s.expires.UTC().Format(time.RFC3339))
	}
	return s.view, nil
}

// Latest gives the view that was compiled last, though it may have expired; nil where there was none. It is for those who watch, such as witnesses.
// Who decides anything asks [Client.Current].
func (c *Client) Latest() *View { return c.state.Load().view }

// OnChange adds a function that is called after another document came into force, with the new view, on the polling goroutine. Add hooks before Run and Poll. A
// fresh signature of the same document is no change.
func (c *Client) OnChange(hook func(*View)) { c.hooks = append(c.hooks, hook) }

// Run polls until ctx ends, with some jitter so that members do not ask all at once, and soon again while there is no view. Failures are logged.
func (c *Client) Run(ctx context.Context) error {
	quick := 100 * time.Millisecond
	for {
		err := c.Poll(ctx)
		wait := c.o.Every*3/4 + rand.N(c.o.Every/4+1) //nolint:gosec // jitter, not a secret
		if _, stale := c.Current(); stale != nil {
			wait = min(wait, quick)
			quick = min(2*quick, c.o.Every)
		} else {
			quick = 100 * time.Millisecond
		}
		if ctx.Err() == nil {
			c.note(ctx, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// note logs the first of equal failures and the recovery from them, not each poll of an outage.
func (c *Client) note(ctx context.Context, err error) {
	before := c.lastError.Load()
	if err == nil {
		if before != nil {
			c.lastError.Store(nil)
			c.o.Log.InfoContext(ctx, "the directory is reached again")
		}
		return
	}
	text := err.Error()
	if before == nil || *before != text {
		c.lastError.Store(&text)
		c.o.Log.WarnContext(ctx, "the directory was not refreshed", "error", text)
	}
}

// Poll looks at the directory once. An error leaves what is good in force until its own expiry; documents whose time has come take force even then.
func (c *Client) Poll(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Clock.Now()
	found, err := c.repo.fetch(ctx, now)
	if err == nil {
		err = c.adopt(*found, now)
	}
	if err == nil {
		return nil
	}
	return errors.Join(countersign.RefuseBecause(countersign.CodeStaleDirectory, err, "the directory at %s was not refreshed: %s", c.o.URL, err), c.reassess())
}

// adopt takes a verified state of the repository, as it was looked at: it is remembered, and its document in force compiled.
func (c *Client) adopt(found found, looked time.Time) error {
	now := c.o.Clock.Now()
	issues, err := c.memory.merge(found.issues)
	if err != nil {
		return err
	}
	next, err := c.build(issues, found, now)
	if err != nil {
		return err
	}
	m := memory{Issues: Since(issues, now), LastLook: looked, files: found.files}
	// A look that found nothing new costs no write: the timestamp is new every ten minutes, so that the last look on disk is never much older.
	if !found.files.equal(c.memory.files) || len(m.Issues) != len(c.memory.Issues) {
		if err := c.repo.remember(m, found); err != nil {
			return err
		}
	}
	c.memory = m
	c.install(next)
	return nil
}

// reassess lets time pass over what is held: waiting changes take force although the directory is out of reach.
func (c *Client) reassess() error {
	s := c.state.Load()
	now := c.o.Clock.Now()
	if s.view == nil || now.After(s.expires) {
		return nil
	}
	next, err := c.build(c.memory.Issues, found{expires: s.expires, openapi: s.view.openapi}, now)
	if err != nil {
		return err
	}
	c.install(next)
	return nil
}

// build compiles the document in force, or takes the one at hand when it is the same.
func (c *Client) build(issues []Held, found found, now time.Time) (*state, error) {
	held := Since(issues, now)
	d, waiting, err := InForce(held, now)
	if err != nil {
		return nil, err
	}
	s := &state{base: chainDigest(held), expires: found.expires}
	if before := c.state.Load(); before.view != nil && before.base == s.base {
		same := *before.view
		same.expires, same.waiting, same.openapi = found.expires, waiting, found.openapi
		s.view = &same
		return s, nil
	}
	newest := held[len(held)-1]
	if err := errors.Join(Check(newest.Document), CheckTargets(newest.Document, func(name string) bool { return found.openapi[name] != nil })); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStaleDirectory, err, "version %d of the directory breaks this program's rules: %s", newest.Version, err)
	}
	if s.view, err = compile(d, found.expires); err != nil {
		return nil, err
	}
	s.view.waiting, s.view.openapi = waiting, found.openapi
	return s, nil
}

func (c *Client) install(s *state) {
	before := c.state.Swap(s)
	if before.view != nil && before.base == s.base {
		return
	}
	c.o.Log.Info("the directory changed", "version", s.view.Version(), "waiting", len(s.view.Waiting()))
	for _, hook := range c.hooks {
		hook(s.view)
	}
}
