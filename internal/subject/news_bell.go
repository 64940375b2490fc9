package subject

import (
	"context"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// bell knows when the newest emergency of a log was recorded, so that portals ask for people only when there was one. It reads what was appended since it last
// looked, and keeps no more than two numbers.
type bell struct {
	mu    sync.Mutex
	begun countersign.Millis
	seen  uint64 // leaves that it has looked at
	last  countersign.Millis
}

// newest gives the time of the newest emergency since the first call, zero where there was none, and the time of that call. Whoever has not heard it since then
// asks for everybody once.
func (b *bell) newest(ctx context.Context, log *ledger.Log, now time.Time) (last, begun countersign.Millis, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := log.Size()
	if b.begun == 0 {
		b.begun, b.seen = countersign.MillisOf(now), size
		return 0, b.begun, nil
	}
	for before := size; before > b.seen; {
		found, err := log.List(ctx, ledger.Page{Before: before})
		if err != nil {
			return 0, 0, err
		}
		if len(found) == 0 {
			break
		}
		for _, s := range found {
			before = s.Index
			if s.Index < b.seen {
				break
			}
			if s.Leaf.Kind != countersign.LeafMandate && classOf(s) == NewsEmergency {
				b.last = max(b.last, s.Time)
			}
		}
	}
	b.seen = size
	return b.last, b.begun, nil
}
