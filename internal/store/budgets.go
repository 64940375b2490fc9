package store

import (
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// budgetRow names one row of the table budgets. For a read, step is the first that still counts.
type budgetRow struct {
	key    ledger.BudgetKey
	period time.Duration
	member ledger.BudgetMember
	step   int64
}

type counterKey struct {
	key    ledger.BudgetKey
	period time.Duration
}

// use is one row's member and step within a counter.
type use struct {
	member ledger.BudgetMember
	step   int64
}

// counter is what the store holds of one budget, from the step first on.
type counter struct {
	first   int64
	uses    map[use]int64
	total   int64                         // of uses without a member
	members map[ledger.BudgetMember]int64 // the newest step of each
}

// budgetCache holds counters as the database has them, with what the transaction under way adds. It is exact because the store's file
// has one process and one writer; after a transaction that failed it is thrown away.
type budgetCache struct {
	counters map[counterKey]*counter
	rows     int
	dirty    map[budgetRow]dirtyRow
}

type dirtyRow struct {
	uses  int64
	until countersign.Millis
}

// maxCachedUses bounds the cache. A counter that is needed again is read again.
const maxCachedUses = 200_000

func newBudgetCache() *budgetCache {
	return &budgetCache{counters: map[counterKey]*counter{}, dirty: map[budgetRow]dirtyRow{}}
}

// settle is called when the transaction has been committed.
func (c *budgetCache) settle() {
	if c.rows > maxCachedUses {
		c.counters, c.rows = map[counterKey]*counter{}, 0
	}
}

func (c *budgetCache) flush(write func(r budgetRow, uses int64, until countersign.Millis) error) error {
	if len(c.dirty) == 0 {
		return nil
	}
	for r, d := range c.dirty {
		if err := write(r, d.uses, d.until); err != nil {
			return err
		}
	}
	clear(c.dirty)
	return nil
}

// readUses reads a counter's rows from r.step on.
type readUses func(r budgetRow, f func(m ledger.BudgetMember, step, uses int64)) error

// take counts one use against every budget, or against none and says which one refuses.
func (c *budgetCache) take(now time.Time, budgets []ledger.Budget, read readUses) (refused, err error) {
	for i := range budgets {
		k, err := c.load(now, &budgets[i], read)
		if err != nil {
			return nil, err
		}
		if !k.fits(&budgets[i]) {
			for j := range i {
				c.giveBack(now, &budgets[j])
			}
			return refusal(&budgets[i]), nil
		}
		c.count(k, now, &budgets[i], 1)
	}
	return nil, nil
}

func refusal(b *ledger.Budget) error {
	code := b.Code
	if code == countersign.CodeInternal {
		code = countersign.CodeBudget
	}
	switch {
	case b.Says != "":
		return countersign.Refuse(code, "%s", b.Says)
	case code == countersign.CodeMandateSpent:
		return countersign.Refuse(code, "the mandate's %d uses are used", b.Limit)
	case b.Member.IsZero():
		return countersign.Refuse(code, "%d questions in %s are allowed here: wait until the window has moved on", b.Limit, b.Window)
	}
	return countersign.Refuse(code, "questions about %d different people in %s are allowed here: wait until the window has moved on", b.Limit, b.Window)
}

// stepOf is the step that t lies in; a budget without a window has one step for ever.
func stepOf(t time.Time, window time.Duration) int64 {
	if window <= 0 {
		return 0
	}
	return t.UnixMilli() / max(1, window.Milliseconds()/ledger.BudgetSteps)
}

// firstStep is the oldest step that still counts: the one that began last before the window did, so that no stretch as long as the
// window holds more uses than the steps counted.
func firstStep(now time.Time, window time.Duration) int64 {
	if window <= 0 {
		return 0
	}
	return stepOf(now, window) - ledger.BudgetSteps
}

func (c *budgetCache) load(now time.Time, b *ledger.Budget, read readUses) (*counter, error) {
	key := counterKey{b.Key, b.Window}
	first := firstStep(now, b.Window)
	k := c.counters[key]
	if k == nil || first < k.first { // a clock that was set back: older steps count again
		k = &counter{first: first, uses: map[use]int64{}, members: map[ledger.BudgetMember]int64{}}
		err := read(budgetRow{key: b.Key, period: b.Window, step: first}, func(m ledger.BudgetMember, step, uses int64) {
			k.add(use{m, step}, uses)
			c.rows++
		})
		if err != nil {
			return nil, err
		}
		// What the transaction under way has counted is not in the table yet.
		for r, d := range c.dirty {
			if r.key == b.Key && r.period == b.Window && r.step >= first {
				k.set(use{r.member, r.step}, d.uses)
			}
		}
		c.counters[key] = k
	}
	if first > k.first {
		k.forget(first)
	}
	return k, nil
}

func (k *counter) add(u use, n int64) { k.set(u, k.uses[u]+n) }

func (k *counter) set(u use, n int64) {
	before := k.uses[u]
	if n == 0 {
		delete(k.uses, u)
	} else {
		k.uses[u] = n
	}
	if u.member.IsZero() {
		k.total += n - before
		return
	}
	switch newest, seen := k.members[u.member]; {
	case n > 0 && (!seen || newest < u.step):
		k.members[u.member] = u.step
	case n == 0 && newest == u.step:
		delete(k.members, u.member)
		for other := range k.uses {
			if other.member == u.member && other.step >= k.members[u.member] {
				k.members[u.member] = other.step
			}
		}
	}
}

// forget drops the steps before first.
func (k *counter) forget(first int64) {
	k.first = first
	for u, n := range k.uses {
		if u.step >= first {
			continue
		}
		delete(k.uses, u)
		if u.member.IsZero() {
			k.total -= n
		} else if k.members[u.member] < first {
			delete(k.members, u.member)
		}
	}
}

func (k *counter) fits(b *ledger.Budget) bool {
	if b.Limit < 1 {
		return false
	}
	if b.Member.IsZero() {
		return k.total < int64(b.Limit)
	}
	if _, known := k.members[b.Member]; known {
		return true
	}
	return len(k.members) < b.Limit
}

func (c *budgetCache) count(k *counter, now time.Time, b *ledger.Budget, n int64) {
	u := use{b.Member, stepOf(now, b.Window)}
	had := k.uses[u]
	if !u.member.IsZero() && n > 0 && had > 0 {
		k.uses[u]++ // in memory, for giving back; the row stands
		return
	}
	k.add(u, n)
	c.rows++
	until := b.Kept
	if b.Window > 0 {
		until = now.Add(b.Window + b.Window/ledger.BudgetSteps + time.Minute)
	}
	if until.IsZero() {
		until = now.AddDate(100, 0, 0)
	}
	c.dirty[budgetRow{b.Key, b.Window, u.member, u.step}] = dirtyRow{k.uses[u], countersign.MillisOf(until)}
}

func (c *budgetCache) giveBack(now time.Time, b *ledger.Budget) {
	k := c.counters[counterKey{b.Key, b.Window}]
	c.count(k, now, b, -1)
}
