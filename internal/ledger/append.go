package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// Reservation takes an exchange id before anything is asked of a register, with every budget and mandate use that the exchange counts on.
type Reservation struct {
	Exchange countersign.ExchangeID
	Consumer countersign.SubsystemID
	Until    time.Time // when the id may be forgotten: after the request's signature has expired, skew included
	// Durable waits for the disk. Without it the reservation survives kill -9 but may be lost to a power failure before the exchange's
	// own record is durable: nothing has left by then. It is due where the register's answer is not all that happens: for a write, or a
	// counted mandate.
	Durable bool
	Budgets []Budget
	Uses    []Use
}

// Use is one use of a mandate that was granted for a number of them.
type Use struct {
	Mandate countersign.MandateID
	Limit   int
	Begins  time.Time // from when on it may be used: a successor log knows nothing of uses before it began
	Ends    time.Time // when the mandate ends and its count may be forgotten
}

// Reserve takes the exchange id and all its budgets, or nothing. It refuses an id that it has seen (CodeReplay), a budget or mandate that
// is used up (CodeBudget, or the budget's own code; CodeMandateSpent), an unwell store (CodeStore), a full queue (CodeBusy), and all of them while a
// store that was put back may have forgotten others (CodeMaintenance).
func (l *Log) Reserve(ctx context.Context, r Reservation) error {
	if r.Exchange == (countersign.ExchangeID{}) || r.Until.IsZero() {
		return countersign.Refuse(countersign.CodeInternal, "a reservation lacks its exchange id or its end")
	}
	if err := cmp.Or(l.mayAnswer(), l.mayCount(r.Uses)); err != nil {
		return err
	}
	c := &Claim{Exchange: r.Exchange, By: r.Consumer.String(), Until: r.Until, Budgets: l.budgets(r.Budgets, r.Uses)}
	return l.committer.submit(ctx, &op{claim: c, durable: r.Durable || len(r.Uses) > 0})
}

func (l *Log) budgets(budgets []Budget, uses []Use) []Budget {
	if len(uses) == 0 {
		return budgets
	}
	all := append(make([]Budget, 0, len(budgets)+len(uses)), budgets...)
	for _, u := range uses {
		all = append(all, Budget{Key: l.BudgetKeyOf("mandate", string(u.Mandate)), Limit: u.Limit, Kept: u.Ends, Code: countersign.CodeMandateSpent})
	}
	return all
}

// Intent is a consumer's durable word that it is about to ask.
type Intent struct {
	Exchange countersign.ExchangeID
	Body     []byte      // what is needed to close it after a crash; sealed before it is stored
	Expires  time.Time   // the month whose key seals the body; the zero value means 31 days from now
	Budgets  []Budget    // the consumer's own
	Also     []keys.Item // signed with the log's key while the intent goes to the disk, up to three
}

// Intended is an intent that is durable.
type Intended struct {
	Also     [][]byte // the signatures of Intent.Also, in order
	Unsigned error    // why there are none; the intent stands all the same
}

// monthSize is the length of the month before a sealed intent's body.
const monthSize = 4

// OpenIntent is an intent that nothing has closed.
type OpenIntent struct {
	Exchange countersign.ExchangeID
	At       time.Time
	Body     []byte
}

// Intend makes the intent durable, with its budgets, and signs what its sender is about to say. Its errors are Reserve's.
func (l *Log) Intend(ctx context.Context, i Intent) (*Intended, error) {
	if i.Exchange == (countersign.ExchangeID{}) || len(i.Also) > maxAlso {
		return nil, countersign.Refuse(countersign.CodeInternal, "an intent lacks its exchange id, or has %d messages to sign with it: at most %d", len(i.Also), maxAlso)
	}
	now := l.clock.Now()
	if i.Expires.IsZero() {
		i.Expires = now.AddDate(0, 0, 31)
	}
	month, err := endOf(now, i.Expires)
	if err != nil {
		return nil, err
	}
	sealed, err := l.vault.sealBrief(month, i.Body, l.intentContext(i.Exchange))
	if err != nil {
		return nil, err
	}
	// The month stands before the sealed body, for opening it.
	body := append(binary.BigEndian.AppendUint32(make([]byte, 0, monthSize+len(sealed)), uint32(month)), sealed...) //nolint:gosec // months are positive
	c := &Claim{Exchange: i.Exchange, Intent: true, Sealed: body, Budgets: i.Budgets}
	o := &op{claim: c, durable: true, also: i.Also}
	if err := l.committer.submit(ctx, o); err != nil {
		return nil, err
	}
	return &Intended{Also: o.placed.Also, Unsigned: o.unsigned}, nil
}

// OpenIntents lists up to limit intents that nothing has closed, oldest first, for closing them after a crash.
func (l *Log) OpenIntents(ctx context.Context, limit int) ([]OpenIntent, error) {
	rows, err := l.store.Intents(ctx, limit)
	if err != nil {
		return nil, err
	}
	out := make([]OpenIntent, 0, len(rows))
	for _, r := range rows {
		o := OpenIntent{Exchange: r.Exchange, At: r.At.Time()}
		if len(r.Sealed) > monthSize {
			month := Month(binary.BigEndian.Uint32(r.Sealed)) //nolint:gosec // written from a month
			if o.Body, err = l.vault.open(month, r.Sealed[monthSize:], l.intentContext(r.Exchange)); err != nil && !errors.Is(err, ErrDestroyed) {
				return nil, err
			}
		}
		out = append(out, o)
	}
	return out, nil
}

// Append makes leaf and record durable and returns their place with the log's signed promise. Nothing may leave before it has returned
// nil. When it returns an error, the leaf may stand all the same (the disk failed in the middle, the caller's context ended): that
// over-reports and never under-reports. Errors are CodeStore (the disk is full, read-only or broken: resumes alone), CodeBusy (pushback,
// or the context ended), CodeMaintenance (stopping, or suspended).
func (l *Log) Append(ctx context.Context, e Entry) (*Placed, error) {
	o, err := l.entry(e)
	if err != nil {
		return nil, err
	}
	if err := l.committer.submit(ctx, o); err != nil {
		return nil, err
	}
	return &o.placed, nil
}

// entry encodes and seals on the caller's time, so that the committer has little to do.
func (l *Log) entry(e Entry) (*op, error) {
	if e.Leaf == nil {
		return nil, countersign.Refuse(countersign.CodeInternal, "an entry lacks its leaf")
	}
	if len(e.Also) > maxAlso || e.Unpromised && len(e.Also) > 0 {
		return nil, countersign.Refuse(countersign.CodeInternal, "an entry has %d messages to sign with its promise: at most %d, and none without a promise", len(e.Also), maxAlso)
	}
	if e.CloseIntent && e.Exchange == (countersign.ExchangeID{}) {
		return nil, countersign.Refuse(countersign.CodeInternal, "an entry that closes an intent lacks its exchange id")
	}
	row := &EntryRow{Leaf: e.Leaf.Encode(), Exchange: e.Exchange, Tag: e.Tag}
	if len(row.Leaf) > maxLeaf {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "a leaf has %d bytes: %d at most", len(row.Leaf), maxLeaf)
	}
	hash := tlog.RecordHash(row.Leaf)
	if e.Record != nil {
		month, err := endOf(l.clock.Now(), l.expiry.end(&e))
		if err != nil {
			return nil, err
		}
		plain, err := e.Record.encode()
		if err != nil {
			return nil, err
		}
		if row.Record, err = l.vault.seal(month, plain, l.recordContext(hash)); err != nil {
			return nil, err
		}
		row.Expires = month
	}
	return &op{row: row, hash: hash, closes: e.CloseIntent, also: e.Also, unpromised: e.Unpromised}, nil
}

// maxLeaf is what an entry bundle can hold.
//
// SPEC: C2SP tlog-tiles: "Entry bundles are sequences of big-endian uint16 length-prefixed log entries."
const maxLeaf = 1<<16 - 1

// recordContext binds a sealed record to its log and its leaf.
func (l *Log) recordContext(leaf tlog.Hash) []byte {
	return append([]byte("countersign record\x00"+string(l.origin)+"\x00"), leaf[:]...)
}

func (l *Log) intentContext(x countersign.ExchangeID) []byte {
	return append([]byte("countersign intent\x00"+string(l.origin)+"\x00"), x[:]...)
}
