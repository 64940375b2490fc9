package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
)

// Records end with their month: its key is destroyed, then their rows are emptied, then a leaf says so. Each step can be taken again, and what
// has been done is read from key folder and store, so that a crash between any two of them is made good by the next run.

const (
	// expiryGrace keeps the end of a month away from what was sealed in its last moments and is still on its way into the store.
	expiryGrace = 10 * time.Minute
	// expiryRetry is how long after a failure the next attempt is made.
	expiryRetry = 10 * time.Second
	// expiryStep is how many rows of the log one transaction looks at: a few milliseconds.
	expiryStep = 128
	// expiryRest is how many times as long as a step took the sweep rests after it: exchanges have the store for most of the time.
	expiryRest = 3
	// expiryKept is for how many months a record that an open case keeps is sealed anew. It is looked at again when they have passed.
	expiryKept = 3
	// expiryPatience is how long after a month's end its destruction waits for word of open cases.
	expiryPatience = 48 * time.Hour
)

// Disputed names the exchanges about which a person's case is open: their records are kept until it is closed. Where it cannot tell, it gives
// an error, and the destruction waits for it, but not for ever.
type Disputed func(ctx context.Context) ([]countersign.ExchangeID, error)

// expiry destroys months, one at a time.
type expiry struct {
	log      *Log
	disputed Disputed // nil: nothing is disputed

	life atomic.Int64  // time.Duration: the longest that a record may live; 0 leaves it to whoever appends
	wake chan struct{} // capacity 1
	next atomic.Int64  // when there may be something to do, in milliseconds since 1970

	mu   sync.Mutex // held by a sweep
	last Month      // newest month whose destruction is on record; the sweep's alone
	told time.Time  // when a failure was last logged; the sweep's alone
}

func newExpiry(l *Log, disputed Disputed) *expiry {
	return &expiry{log: l, disputed: disputed, wake: make(chan struct{}, 1)}
}

// SetRecordLife sets how long records live at most, as the directory has it: one that was to end later ends then. It acts on records to come.
func (l *Log) SetRecordLife(life time.Duration) { l.expiry.life.Store(int64(max(0, life))) }

// end is when the entry's record ends. The life is counted from the leaf's hour, which everybody can see.
//
// LAW: DATA-CLASSES, defaults: a federation may tighten the life of access records.
func (e *expiry) end(entry *Entry) time.Time {
	if life := time.Duration(e.life.Load()); life > 0 {
		if most := entry.Leaf.Hour.Time().Add(life); entry.Expires.After(most) {
			return most
		}
	}
	return entry.Expires
}

// tick wakes the sweep when it may have something to do. The sweep itself has a goroutine of its own: checkpoints do not wait for it.
func (e *expiry) tick(context.Context) error {
	if int64(countersign.MillisOf(e.log.clock.Now())) < e.next.Load() {
		return nil
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return nil
}

func (e *expiry) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		if err := e.sweep(ctx); err != nil && ctx.Err() == nil {
			e.failed(err)
		}
	}
}

// failed tells the operator, once in a while.
func (e *expiry) failed(err error) {
	now := e.log.clock.Now()
	if now.Sub(e.told) < 10*time.Minute {
		return
	}
	e.told = now
	e.log.logger.Error("records whose time has ended are not destroyed yet; it is tried again", slog.Any("error", err), slog.Any("cause", countersign.CauseOf(err)))
}

// Expire destroys every month that is due, as the log does by itself from time to time. It is CodeMaintenance or CodeStore where that cannot be
// finished now; calling it again goes on where it stopped.
func (l *Log) Expire(ctx context.Context) error { return l.expiry.sweep(ctx) }

// sweep destroys the months that are due, oldest first, and then whatever came late under one of those before.
func (e *expiry) sweep(ctx context.Context) (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.log
	defer func() {
		next := dueAt(e.last + 1)
		if err != nil {
			// What failed may have been stored all the same: it is read anew.
			next, e.last = l.clock.Now().Add(expiryRetry), 0
		}
		e.next.Store(int64(countersign.MillisOf(next)))
	}()
	if err := e.load(ctx); err != nil {
		return err
	}
	for month := e.last + 1; ; month++ {
		l.metrics.overdueMonths.Set(float64(max(0, newestDue(l.clock.Now())-e.last)))
		if l.clock.Now().Before(dueAt(month)) {
			return e.latecomers(ctx)
		}
		if err := e.destroy(ctx, month); err != nil {
			return fmt.Errorf("the records of %s: %w", month, err)
		}
		e.last = month
	}
}

// dueAt is when the month's records are destroyed.
func dueAt(m Month) time.Time { return m.End().Add(expiryGrace) }

// newestDue is the newest month that is due at that time.
func newestDue(now time.Time) Month { return MonthOf(now.Add(-expiryGrace)) - 1 }

// load reads how far the destruction has come. A log owes one for each month from its inception's on.
func (e *expiry) load(ctx context.Context) error {
	if e.last != 0 {
		return nil
	}
	done, err := e.log.store.Destructions(ctx)
	if err != nil {
		return err
	}
	if len(done) > 0 {
		e.last = done[0].Month
		return nil
	}
	first, err := e.log.store.Entry(ctx, 0)
	if err != nil {
		return err
	}
	e.last = MonthOf(first.At.Time()) - 1
	return nil
}

// destroy takes the steps of one month's end, in the order in which a crash between any two of them does no harm: first what is to be kept is
// sealed anew, then the key goes, and with it everything that anybody has copied of the store; then the rows; then the leaf.
func (e *expiry) destroy(ctx context.Context, month Month) error {
	l := e.log
	if !l.publisher.witnessedSince(month.End()) {
		return countersign.Refuse(countersign.CodeMaintenance, "no quorum of witnesses has said yet that %s is over, and a key that is destroyed on a wrong clock's word does not come back", month)
	}
	if err := e.keep(ctx, month); err != nil {
		return err
	}
	if err := l.vault.destroy(month); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the key file cannot be destroyed: make it the gateway's own again, mode 0600 in a folder of mode 0700")
	}
	account, err := e.empty(ctx, month)
	if err != nil {
		return err
	}
	d := countersign.Destruction{Month: month, Records: account.Emptied, First: account.Low, Last: account.High, Kept: account.Kept}
	if err := e.record(ctx, d); err != nil {
		return err
	}
	l.metrics.destroyed.Add(float64(d.Records))
	l.logger.Info("the records of a month were destroyed", slog.String("month", month.String()), slog.Uint64("records", d.Records), slog.Uint64("kept", uint64(d.Kept)))
	return nil
}

// empty empties the month's rows, a step at a time.
func (e *expiry) empty(ctx context.Context, month Month) (MonthRow, error) {
	for {
		started := e.log.clock.Now()
		account, err := e.log.store.Empty(ctx, month, expiryStep)
		if err != nil || account.Done {
			return account, err
		}
		if err := pause(ctx, expiryRest*e.log.clock.Now().Sub(started)); err != nil {
			return account, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// record puts the destruction into the log, exactly once: leaf and account are one transaction. A log that got leaves of its own back, from those
// who had copies, may hold the leaf without the account.
func (e *expiry) record(ctx context.Context, d countersign.Destruction) error {
	row := &DestructionRow{Destruction: d}
	leaf := d.Leaf(countersign.HourOf(e.log.clock.Now()))
	held, index, err := e.recorded(ctx, d.Month)
	if err != nil {
		return err
	}
	o := &op{destroys: row}
	if held == nil {
		if o, err = e.log.entry(Entry{Leaf: leaf, Unpromised: true}); err != nil {
			return err
		}
		o.destroys = row
	} else {
		row.Destruction, row.Index = *held, index
	}
	return e.log.committer.submit(ctx, o)
}

// recorded looks for the month's destruction among the leaves since its end.
func (e *expiry) recorded(ctx context.Context, month Month) (*countersign.Destruction, uint64, error) {
	const page = 1024
	for end := e.log.Size(); end > 0; {
		first := end - min(page, end)
		leaves, err := e.log.store.Leaves(ctx, first, int(end-first)) //nolint:gosec // at most a page
		if err != nil {
			return nil, 0, err
		}
		since := false
		for i := len(leaves) - 1; i >= 0; i-- {
			leaf, err := countersign.ParseLeaf(leaves[i])
			if err != nil {
				return nil, 0, fmt.Errorf("leaf %d: %w", first+uint64(i), err)
			}
			since = since || !leaf.Hour.Time().Before(month.End())
			if d, err := leaf.Destruction(); err == nil && !d.IsReceipt() && d.Month == month {
				return d, first + uint64(i), nil
			}
		}
		if !since {
			break // a whole page of what was before; a leaf by itself may tell an earlier hour than those around it
		}
		end = first
	}
	return nil, 0, nil
}

// latecomers empties rows that came to stand in the log after their month was destroyed, because an operation waited that long for its disk.
// Nobody can read them: their key was gone before.
func (e *expiry) latecomers(ctx context.Context) error {
	months, err := e.log.store.Months(ctx)
	if err != nil {
		return err
	}
	for _, m := range months {
		if m.Month > e.last {
			break
		}
		if _, err := e.empty(ctx, m.Month); err != nil {
			return err
		}
		if err := e.log.store.Forget(ctx, m.Month); err != nil {
			return err
		}
	}
	return e.log.vault.destroyUntil(e.last)
}

// keep seals the records anew that an open case keeps.
//
// LAW: guarantees 7 and 8: data expire, and a person who contests a use is not to lose its record by the agency's waiting.
func (e *expiry) keep(ctx context.Context, month Month) error {
	if e.disputed == nil {
		return nil
	}
	months, err := e.log.store.Months(ctx)
	if err != nil || !slices.ContainsFunc(months, func(m MonthRow) bool { return m.Month == month }) {
		return err // nothing ends, and nobody is asked
	}
	exchanges, err := e.disputed(ctx)
	if err != nil {
		if e.log.clock.Now().Before(month.End().Add(expiryPatience)) {
			return fmt.Errorf("which cases are open: %w", err)
		}
		e.log.logger.Error("a month's records are destroyed without word of open cases", slog.String("month", month.String()), slog.Any("error", err))
	}
	to := MonthOf(e.log.clock.Now()) + expiryKept
	var rows []*EntryRow
	for _, x := range exchanges {
		found, err := e.log.store.EntriesOf(ctx, x)
		if err != nil {
			return err
		}
		for _, row := range found {
			if row.Expires != month || len(row.Record) == 0 {
				continue
			}
			context := e.log.recordContext(tlog.RecordHash(row.Leaf))
			plain, err := e.log.vault.open(month, row.Record, context)
			if errors.Is(err, ErrDestroyed) {
				return nil // the key went in an attempt before this one, which kept what was to be kept
			}
			if err != nil {
				return err
			}
			anew := &EntryRow{Index: row.Index, Expires: to}
			if anew.Record, err = e.log.vault.seal(to, plain, context); err != nil {
				return err
			}
			rows = append(rows, anew)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return e.log.store.Keep(ctx, month, rows)
}

// witnessedSince reports that a quorum of witnesses has cosigned the log at that time or later, by their clocks. Where the policy asks for no
// witnesses, our own clock is all there is.
//
// SPEC: C2SP tlog-cosignature: "The time at which the cosignature was generated, as seconds since the UNIX epoch".
func (p *publisher) witnessedSince(t time.Time) bool {
	p.mu.Lock()
	group, text := p.group, p.cosigned.Note
	p.mu.Unlock()
	if group.N < 1 {
		return true
	}
	since := map[string]bool{}
	for url, key := range group.Endpoints() {
		n, err := note.Open(text, note.VerifierList(key))
		if err != nil {
			continue // it has not cosigned this one
		}
		for _, s := range n.Sigs {
			if at, err := fnote.CoSigV1Timestamp(s); err == nil && !at.Before(t) {
				since[url] = true
			}
		}
	}
	return satisfiable(group, func(url string) bool { return since[url] })
}
