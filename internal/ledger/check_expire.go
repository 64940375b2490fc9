package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"countersign.dev/countersign"
)

// OverdueMonth is a month that is over and whose records have not been destroyed. The gateway does that when it runs; a check changes nothing.
type OverdueMonth struct {
	Month Month  `json:"month"`
	Rows  int    `json:"rows"`  // that still hold a record, a subject tag or an exchange id
	First uint64 `json:"first"` // index of the first of them
	Late  bool   `json:"late"`  // its destruction leaf was due by now
}

// ending is what a check saw of one month.
type ending struct {
	rows, full int    // rows that end in it; those of them that are not emptied
	first      uint64 // index of the first that is not
	leaf       *countersign.Destruction
	at         uint64 // where its leaf stands
}

// ends takes a row's part in its month, and a month's destruction.
func (c *checker) ends(row *EntryRow, leaf *countersign.Leaf) {
	if leaf.Kind == countersign.LeafDestruction {
		c.destroyed(row.Index, leaf)
	}
	if row.Expires == 0 {
		return
	}
	e := c.month(row.Expires)
	e.rows++
	if len(row.Record) == 0 && row.Tag == (countersign.SubjectTag{}) && row.Exchange == (countersign.ExchangeID{}) {
		if c.cfg.Claims != nil && row.Expires.End().After(c.cfg.Claims.Now) {
			c.problem(false, fmt.Sprintf("record %d", row.Index), "it is missing, and its month %s is not over: it was lost, not destroyed; restore the store", row.Expires)
		}
		return
	}
	if e.full == 0 {
		e.first = row.Index
	}
	e.full++
}

func (c *checker) month(m Month) *ending {
	if c.months == nil {
		c.months = map[Month]*ending{}
	}
	if c.months[m] == nil {
		c.months[m] = &ending{}
	}
	return c.months[m]
}

func (c *checker) destroyed(index uint64, leaf *countersign.Leaf) {
	where := fmt.Sprintf("leaf %d", index)
	d, err := leaf.Destruction()
	if err != nil {
		c.problem(false, where, "%s", countersign.MessageOf(err))
		return
	}
	if d.IsReceipt() {
		return // of what stands in no store of ours
	}
	e := c.month(d.Month)
	if e.leaf != nil {
		c.problem(false, where, "it tells of the destruction of %s, which leaf %d has told already: a month ends once", d.Month, e.at)
		return
	}
	e.leaf, e.at = d, index
}

// expired judges the months when all leaves were seen. A record that ended is no loss; one that should have ended is named.
func (c *checker) expired() {
	for _, m := range slices.Sorted(maps.Keys(c.months)) {
		e := c.months[m]
		if e.leaf != nil && uint64(e.rows-e.full) < e.leaf.Records { //nolint:gosec // not negative
			c.problem(false, fmt.Sprintf("leaf %d", e.at), "it tells that %d records of %s were destroyed, and the store has %d emptied rows of that month", e.leaf.Records, m, e.rows-e.full)
		}
		if e.full > 0 && c.cfg.Claims != nil && !c.cfg.Claims.Now.Before(dueAt(m)) {
			c.report.Overdue = append(c.report.Overdue, OverdueMonth{Month: m, Rows: e.full, First: e.first,
				Late: e.leaf != nil || !c.cfg.Claims.Now.Before(m.End().Add(countersign.DestructionWithin))})
		}
		if e.leaf != nil && c.cfg.MonthKeys != "" {
			c.returnedKey(m, e)
		}
	}
}

// returnedKey finds a key whose destruction is on record.
func (c *checker) returnedKey(m Month, e *ending) {
	path := c.log.vault.path(m)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	c.problem(true, "key "+m.String(), "it is here, though leaf %d tells that it was destroyed: somebody has put it back", e.at)
	c.returned = append(c.returned, m)
}

// destroyReturned destroys such keys.
func (c *checker) destroyReturned() error {
	for _, m := range c.returned {
		if err := c.log.vault.destroy(m); err != nil {
			return fmt.Errorf("destroying the key of %s, which is over: %w", m, err)
		}
	}
	return nil
}
