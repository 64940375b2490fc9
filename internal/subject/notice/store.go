package notice

import (
	"context"
	"errors"

	"countersign.dev/countersign"
)

// ErrNotFound says that the store holds nothing of a person: they want no notices.
var ErrNotFound = errors.New("nobody of that name wants notices")

// MessageID names a message. It stays the same however often the message is tried, so that a receiver can tell a second delivery from a second message.
type MessageID [16]byte

// Message is one message in the outbox.
type Message struct {
	ID       MessageID
	Person   PersonID
	Slot     string // of a person's messages there is one of each slot: a second one that is due is the same one
	Due      countersign.Millis
	Born     countersign.Millis
	Attempts int
	Sealed   []byte
}

// Row is a person in the store.
type Row struct {
	ID     PersonID
	Sealed []byte
}

// Store keeps contact terms and the outbox. What has been written when a method returns nil survives kill -9 and a power failure. Errors are the driver's,
// wrapped, but for ErrNotFound. One process uses it at a time.
type Store interface {
	// Person reads a person's sealed terms.
	Person(ctx context.Context, id PersonID) ([]byte, error)
	// People reads people in the order of their names, after one.
	People(ctx context.Context, after PersonID, limit int) ([]Row, error)
	// Put writes a person's terms and adds messages, all or nothing. A message whose slot is taken keeps its name and its attempts, and gets the earlier
	// time and the new text.
	Put(ctx context.Context, id PersonID, sealed []byte, add []Message) error
	// Remove destroys a person's terms and messages.
	Remove(ctx context.Context, id PersonID) error
	// Due reads messages whose time has come, oldest first.
	Due(ctx context.Context, now countersign.Millis, limit int) ([]Message, error)
	// Retry sets when a message is tried again.
	Retry(ctx context.Context, id MessageID, attempts int, due countersign.Millis) error
	// Done removes a message that was delivered or given up.
	Done(ctx context.Context, id MessageID) error
	// Waiting counts messages and tells when the oldest was born.
	Waiting(ctx context.Context) (count int, oldest countersign.Millis, err error)
}
