package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// Stored is an entry as the log holds it.
type Stored struct {
	Index     uint64                // its place: beyond countersign.PlaceBase in an ended log
	Origin    countersign.LogOrigin // of the log that it is in
	Time      countersign.Millis
	Exchange  countersign.ExchangeID
	Tag       countersign.SubjectTag
	Leaf      *countersign.Leaf
	LeafBytes []byte
	Expires   Month   // zero where there is no private part
	Record    *Record // nil where there is no private part, or Destroyed
	Destroyed bool    // the private part's time has ended and its key is no more
}

// Page is a stretch of a list that runs from the newest to the oldest.
type Page struct {
	Before uint64 // entries older than that of this place; 0 begins with the newest
	Limit  int    // 1 to MaxPage; 0 means MaxPage
}

// MaxPage is the most entries of one page.
const MaxPage = 500

func (p Page) bounds() (before uint64, limit int) {
	before, limit = p.Before, p.Limit
	if before == 0 {
		before = ^uint64(0)
	}
	if limit < 1 || limit > MaxPage {
		limit = MaxPage
	}
	return before, limit
}

// durable is how many leaves may be shown or told of. A reader beside the gateway, and what is left of an ended log, show all that is stored.
func (l *Log) durable() uint64 {
	if l.committer == nil {
		return ^uint64(0)
	}
	return l.Size()
}

// await waits for the disk where an entry of an index was read between its transaction and the disk: nothing is told of it that a loss of power
// could undo.
func (l *Log) await(ctx context.Context, index uint64) error {
	if index < l.durable() {
		return nil
	}
	return l.store.Sync(ctx)
}

// ByExchange gives the entries of an exchange in this log, oldest first: usually one; two where class O was streamed, or where the member
// asked itself. None is no error. One that is on its way to the disk is waited for.
func (l *Log) ByExchange(ctx context.Context, id countersign.ExchangeID) ([]*Stored, error) {
	var out []*Stored
	for _, e := range l.ended {
		old, err := e.ByExchange(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, s := range old {
			s.Index = countersign.PlaceOf(e.number, s.Index)
		}
		out = append(out, old...)
	}
	rows, err := l.store.EntriesOf(ctx, id)
	if err == nil && len(rows) > 0 {
		err = l.await(ctx, rows[len(rows)-1].Index)
	}
	now, err := l.opened(rows, err)
	if err != nil || len(out) == 0 {
		return now, err
	}
	return append(out, now...), nil
}

// History gives the entries about one person that are durable, newest first. The tags are TagsOf's.
func (l *Log) History(ctx context.Context, tags []countersign.SubjectTag, page Page) ([]*Stored, error) {
	return l.pages(page, func(s Store, before uint64, limit int) ([]*EntryRow, error) {
		return s.EntriesTagged(ctx, tags, before, limit)
	})
}

// List gives the entries that are durable, newest first.
func (l *Log) List(ctx context.Context, page Page) ([]*Stored, error) {
	return l.pages(page, func(s Store, before uint64, limit int) ([]*EntryRow, error) {
		return s.EntriesBefore(ctx, before, limit)
	})
}

// Leaf gives the entry of a place; ErrNotFound where the log is shorter.
func (l *Log) Leaf(ctx context.Context, index uint64) (*Stored, error) {
	e, own, err := l.at(index)
	if err != nil {
		return nil, err
	}
	if e != nil {
		s, err := e.Leaf(ctx, own)
		if err == nil {
			s.Index = index
		}
		return s, err
	}
	row, err := l.store.Entry(ctx, index)
	if err != nil {
		return nil, err
	}
	if err := l.await(ctx, index); err != nil {
		return nil, err
	}
	return l.open(row)
}

func (l *Log) opened(rows []*EntryRow, err error) ([]*Stored, error) {
	if err != nil {
		return nil, err
	}
	out := make([]*Stored, len(rows))
	for i, row := range rows {
		if out[i], err = l.open(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l *Log) open(row *EntryRow) (*Stored, error) {
	leaf, err := countersign.ParseLeaf(row.Leaf)
	if err != nil {
		return nil, fmt.Errorf("leaf %d: %w", row.Index, err)
	}
	s := &Stored{Index: row.Index, Origin: l.origin, Time: row.At, Exchange: row.Exchange, Tag: row.Tag, Leaf: leaf, LeafBytes: row.Leaf, Expires: row.Expires}
	if row.Expires == 0 {
		return s, nil
	}
	if len(row.Record) == 0 {
		s.Destroyed = true
		return s, nil
	}
	plain, err := l.vault.open(row.Expires, row.Record, l.recordContext(tlog.RecordHash(row.Leaf)))
	if errors.Is(err, ErrDestroyed) {
		s.Destroyed = true
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("record %d: %w", row.Index, err)
	}
	if s.Record, err = parseRecord(plain); err != nil {
		return nil, fmt.Errorf("record %d: %w", row.Index, err)
	}
	return s, nil
}

// Promise signs the promise of an entry again, as Append did: the same words, for the log still keeps them.
func (l *Log) Promise(ctx context.Context, s *Stored) (*Placed, error) {
	number, index := countersign.SplitPlace(s.Index)
	if number == 0 {
		if err := l.await(ctx, index); err != nil {
			return nil, err
		}
	}
	p := countersign.Promise{Origin: s.Origin, Index: index, Leaf: countersign.LeafHash(s.LeafBytes), Time: s.Time}
	out := &Placed{Index: p.Index, LeafHash: p.Leaf, Leaf: s.LeafBytes, Time: p.Time, Promise: p.Encode()}
	sigs, err := l.signer.SignMany(ctx, []keys.Item{{Domain: countersign.DomainReceipt, Message: out.Promise}})
	if err != nil {
		return nil, fmt.Errorf("signing a promise: %w", err)
	}
	out.Signature = sigs[0]
	return out, nil
}
