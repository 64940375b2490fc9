package ledger

import (
	"context"

	"countersign.dev/countersign"
)

// Reader reads a member's own log and records beside the gateway that writes them. It needs the store and the keys, and changes neither.
type Reader struct{ log *Log }

// OpenReader opens the log that the store holds for reading. The store may be one that cannot write. It refuses what Open refuses of a
// store that is not this log's.
func OpenReader(ctx context.Context, cfg Config) (*Reader, error) {
	l, err := cfg.assemble()
	if err != nil {
		return nil, err
	}
	if _, _, err := l.examine(ctx); err != nil {
		return nil, err
	}
	if err := l.openEnded(ctx, cfg); err != nil {
		return nil, err
	}
	return &Reader{l}, nil
}

// TagsOf is Log.TagsOf.
func (r *Reader) TagsOf(subject countersign.SubjectID) []countersign.SubjectTag {
	return r.log.TagsOf(subject)
}

// ByExchange is Log.ByExchange.
func (r *Reader) ByExchange(ctx context.Context, id countersign.ExchangeID) ([]*Stored, error) {
	return r.log.ByExchange(ctx, id)
}

// History is Log.History.
func (r *Reader) History(ctx context.Context, tags []countersign.SubjectTag, page Page) ([]*Stored, error) {
	return r.log.History(ctx, tags, page)
}

// List is Log.List.
func (r *Reader) List(ctx context.Context, page Page) ([]*Stored, error) {
	return r.log.List(ctx, page)
}
