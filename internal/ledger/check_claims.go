package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"countersign.dev/countersign"
)

// ClaimReader is a store that shows its reservations to a check.
type ClaimReader interface {
	// Reservations hands over every reservation as it is stored. The bytes are the visitor's only until it returns.
	Reservations(ctx context.Context, visit func(exchange []byte, until countersign.Millis, by string) error) error
}

// Claims says how a check looks at reservations and intents.
type Claims struct {
	Reader ClaimReader
	Now    time.Time
	// Window is how long after its record an exchange's id must still be reserved: a signed request of that age could be sent again.
	Window time.Duration
}

// inception checks leaf 0, which binds the log to its key.
func (c *checker) inception(row *EntryRow) {
	leaf, err := countersign.ParseLeaf(row.Leaf)
	if err != nil {
		return // told already
	}
	due := countersign.Commitment(sha256.Sum256([]byte("countersign inception\x00" + c.cfg.VKey)))
	if c.predecessor != nil {
		body, err := endBody(c.predecessor)
		if err != nil {
			c.problem(false, "setting "+metaPredecessor, "%s", countersign.MessageOf(err))
			return
		}
		due = successorCommitment(c.cfg.VKey, body)
	}
	if leaf.Kind != countersign.LeafInception || leaf.Commitment != due {
		c.problem(false, "leaf 0", "it is not the inception of this log under its key")
	}
}

// owed remembers an entry whose exchange must still be reserved, and one that must have closed its intent.
func (c *checker) owed(row *EntryRow) {
	if c.cfg.Claims == nil || row.Exchange == (countersign.ExchangeID{}) {
		return
	}
	leaf, err := countersign.ParseLeaf(row.Leaf)
	if err != nil {
		return // told already
	}
	switch leaf.Kind {
	case countersign.LeafExchange, countersign.LeafCompletion:
	case countersign.LeafRelease:
		if leaf.Side == countersign.SideConsumer {
			return // its intent stays open until the answer has ended
		}
	default:
		return
	}
	if leaf.Side == countersign.SideConsumer {
		c.closed[row.Exchange] = row.Index
		return
	}
	if row.At.Time().Add(c.cfg.Claims.Window).After(c.cfg.Claims.Now) {
		c.recent[row.Exchange] = row
	}
}

// claims checks reservations and intents against the entries.
func (c *checker) claims(ctx context.Context) error {
	claims := c.cfg.Claims
	if claims == nil {
		return nil
	}
	err := claims.Reader.Reservations(ctx, func(exchange []byte, until countersign.Millis, by string) error {
		c.report.Reservations++
		if len(exchange) != len(countersign.ExchangeID{}) || until == 0 {
			c.problem(false, fmt.Sprintf("reservation %x", exchange), "it has no exchange id of 16 bytes, or no end")
			return nil
		}
		delete(c.recent, countersign.ExchangeID(exchange))
		return nil
	})
	if err != nil {
		return err
	}
	for exchange, row := range c.recent {
		leaf, err := countersign.ParseLeaf(row.Leaf)
		if err != nil {
			continue // told already
		}
		c.problem(true, "reservation "+exchange.String(), "it is missing, though leaf %d has just answered it: the same request would be answered again", row.Index)
		c.missing = append(c.missing, &Claim{Exchange: exchange, By: leaf.Consumer, Until: row.At.Time().Add(claims.Window)})
	}
	return c.intents(ctx)
}

// maxIntents bounds how many intents are looked at: no more can be open than questions may be under way, many times over.
const maxIntents = 100_000

func (c *checker) intents(ctx context.Context) error {
	rows, err := c.cfg.Store.Intents(ctx, maxIntents)
	if err != nil {
		return err
	}
	for i := range rows {
		c.report.Intents++
		where := "intent " + rows[i].Exchange.String()
		if index, ok := c.closed[rows[i].Exchange]; ok {
			c.problem(true, where, "it stands open, though leaf %d has closed it", index)
			c.stale = append(c.stale, rows[i].Exchange)
			continue
		}
		if c.cfg.MonthKeys == "" || len(rows[i].Sealed) <= monthSize {
			continue
		}
		month := Month(binary.BigEndian.Uint32(rows[i].Sealed)) //nolint:gosec // written from a month
		if _, err := c.log.vault.open(month, rows[i].Sealed[monthSize:], c.log.intentContext(rows[i].Exchange)); err != nil && !errors.Is(err, ErrDestroyed) {
			c.problem(false, where, "%s", countersign.MessageOf(err))
		}
	}
	return nil
}

// heldBeyond tells what others hold of the log that its leaves do not reach.
func (c *checker) heldBeyond(size uint64) {
	for _, h := range c.held {
		if h.size > size {
			c.problem(false, fmt.Sprintf("size %d", size), "%s holds a checkpoint of %d leaves which this log has signed: the store is an older copy, or has lost leaves", h.by, h.size)
		}
	}
}

// Held is a checkpoint of the log that somebody else holds, for instance a witness.
type Held struct {
	By   string
	Note []byte
}

type heldRoot struct {
	by   string
	size uint64
	root []byte
}

// openHeld reads what others hold. A note that the log has not signed says nothing about it.
func (c *checker) openHeld() {
	for _, h := range c.cfg.Held {
		if cp, err := c.log.openCheckpoint(h.Note); err == nil {
			c.held = append(c.held, heldRoot{h.By, cp.Size, cp.Hash})
		}
	}
}

func (c *checker) heldAt(size uint64, root []byte) {
	for _, h := range c.held {
		if h.size == size && !bytes.Equal(h.root, root) {
			c.problem(false, fmt.Sprintf("size %d", size), "%s holds a checkpoint of another root which this log has signed: the log has forked, or was changed", h.by)
		}
	}
}

// repair writes what follows from the entries again.
func (c *checker) repair(ctx context.Context) error {
	if len(c.tiles) > 0 {
		if err := c.cfg.Store.PutTiles(ctx, c.tiles); err != nil {
			return err
		}
	}
	if len(c.missing) > 0 || len(c.stale) > 0 {
		if err := c.cfg.Store.Commit(ctx, &Batch{Now: c.cfg.Claims.Now, Durable: true, Claims: c.missing, Closed: c.stale}); err != nil {
			return err
		}
	}
	if err := c.destroyReturned(); err != nil {
		return err
	}
	for i := range c.report.Problems {
		c.report.Problems[i].Repaired = c.report.Problems[i].Derived
	}
	return nil
}

// Identity reads which log a store says that it holds. It is the store's own word: whoever can write the store can write it.
func Identity(ctx context.Context, s Store) (origin countersign.LogOrigin, vkey string, err error) {
	name, err := s.Meta(ctx, metaOrigin)
	if err != nil {
		return "", "", err
	}
	key, err := s.Meta(ctx, metaKey)
	return countersign.LogOrigin(name), string(key), err
}
