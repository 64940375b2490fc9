package ledger

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"countersign.dev/countersign"
)

// One gateway of a member counts, and each has a store of its own. When another one comes to count, because the one before it has left the directory, it
// knows nothing of what was counted there.

// metaCounting tells since when this store counts, as RFC 3339; countsElsewhere while another gateway of the member does. Not set where no other
// ever did.
const metaCounting = "counting"

const countsElsewhere = "elsewhere"

// loadCounting reads since when the store counts.
func (l *Log) loadCounting(ctx context.Context) error {
	text, err := l.store.Meta(ctx, metaCounting)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	l.haltMu.Lock()
	defer l.haltMu.Unlock()
	if string(text) == countsElsewhere {
		l.elsewhere, l.notedElsewhere, l.notCounting = true, true, true
		return nil
	}
	if l.countsFrom, err = time.Parse(time.RFC3339Nano, string(text)); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the store does not tell since when it counts: run fsck")
	}
	return nil
}

// Counts tells the log whether its gateway is the one of its member that counts. One that comes to count after another refuses mandates that were granted
// for a number of uses before then, as spent: how many are left is not known here. What cannot be noted in the store is noted as soon as it can; until
// then no mandate with a number of uses is taken.
func (l *Log) Counts(ctx context.Context, counts bool) error {
	l.countMu.Lock()
	l.notCounting = !counts
	l.countMu.Unlock()
	return l.noteCounting(ctx)
}

// noteCounting brings what is stored to what the log was last told.
func (l *Log) noteCounting(ctx context.Context) error {
	l.countMu.Lock()
	defer l.countMu.Unlock()
	l.haltMu.Lock()
	same := l.notedElsewhere == l.notCounting
	l.elsewhere = l.elsewhere || l.notCounting // at once; the other way only when it is noted
	l.haltMu.Unlock()
	if same {
		return nil
	}
	text, from := countsElsewhere, time.Time{}
	if !l.notCounting {
		from = l.clock.Now().UTC()
		text = from.Format(time.RFC3339Nano)
	}
	if err := l.store.SetMeta(ctx, map[string][]byte{metaCounting: []byte(text)}); err != nil {
		return err
	}
	l.haltMu.Lock()
	defer l.haltMu.Unlock()
	l.notedElsewhere, l.elsewhere, l.countsFrom = l.notCounting, l.notCounting, from
	if !l.notCounting {
		l.logger.Warn("this gateway counts for its member from now on: mandates with a number of uses that were granted before are refused as spent", slog.Time("from", from))
	}
	return nil
}

// mayCount refuses mandates of which another store may have counted uses: how many are left is not known here.
//
// SPEC: docs/spec/ledger.md, Successors: "A mandate that was granted for a number of uses before the successor began is spent. So it is at a gateway that
// has come to count for its member, where it was granted before."
func (l *Log) mayCount(uses []Use) error {
	l.haltMu.RLock()
	elsewhere, from := l.elsewhere, l.countsFrom
	l.haltMu.RUnlock()
	for _, u := range uses {
		switch {
		case elsewhere:
			return countersign.Refuse(countersign.CodeMaintenance, "another gateway of this member counts the uses of mandates")
		case u.Begins.Before(from):
			return countersign.Refuse(countersign.CodeMandateSpent, "uses of this mandate were counted by another gateway of the member until %s, and how many are left is not known: have it granted anew", from.Format(time.DateOnly))
		case l.predecessor != nil && u.Begins.Before(l.predecessor.From):
			return countersign.Refuse(countersign.CodeMandateSpent, "uses of this mandate were counted in a store that was lost on %s, and how many are left is not known: have it granted anew",
				l.predecessor.From.UTC().Format(time.DateOnly))
		}
	}
	return nil
}
