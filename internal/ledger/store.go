package ledger

import (
	"context"
	"errors"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// ErrNotFound says that the store holds nothing under that name: the caller treats it as absence, not as failure.
var ErrNotFound = errors.New("not in the store")

// Store keeps one log: leaves and records in order, reservations, intents, budgets, tiles and checkpoints.
//
// Commit and Prune are called by one goroutine at a time, the log's committer. All other methods may be called at any time
// by anyone. Whoever opened the store closes it, after the log. Errors are the driver's, wrapped; the log makes refusals of them.
type Store interface {
	// Commit applies a batch in one transaction: all of it, except for claims that it refuses, or nothing. It decides each claim in
	// order, exactly, against what is stored and what earlier claims of the batch have taken, and sets Claim.Refused on those that it
	// refuses, of which nothing is kept.
	//
	// When it returns nil the batch survives kill -9, and where Batch.Durable is set, a power failure too, together with every batch
	// before it. When it returns an error, the batch may or may not be stored: the caller reads Size before it goes on. An index that
	// is not the log's next is an error, never an overwrite or a gap.
	Commit(ctx context.Context, b *Batch) error
	// Sync returns when every batch whose Commit had returned survives a power failure. Commit may be called meanwhile. After an error any of
	// them that no earlier Sync has covered may be lost to one.
	Sync(ctx context.Context) error

	// Prune removes some claims and budgets that ended before the instant, a bounded step of work at a time, and reports how many
	// rows it looked at and removed.
	Prune(ctx context.Context, before time.Time) (Pruned, error)

	// Size is the number of leaves.
	Size(ctx context.Context) (uint64, error)
	// Meta reads a named setting of the log; ErrNotFound where it was never set.
	Meta(ctx context.Context, name string) ([]byte, error)
	// SetMeta writes settings durably, all or none.
	SetMeta(ctx context.Context, values map[string][]byte) error

	// Tile reads the 8,192 bytes of a full tile; ErrNotFound where it is not full yet.
	Tile(ctx context.Context, id tiles.ID) ([]byte, error)
	// PutTiles writes derived tiles again, for repair.
	PutTiles(ctx context.Context, rows []TileRow) error
	// Leaves reads encoded leaves [first, first+count), or fewer where the log ends.
	Leaves(ctx context.Context, first uint64, count int) ([][]byte, error)
	// Entry reads one row; ErrNotFound beyond the end.
	Entry(ctx context.Context, index uint64) (*EntryRow, error)
	// EntriesOf reads the rows of an exchange, oldest first.
	EntriesOf(ctx context.Context, exchange countersign.ExchangeID) ([]*EntryRow, error)
	// EntriesTagged reads rows with one of the tags, newest first, below the index before.
	EntriesTagged(ctx context.Context, tags []countersign.SubjectTag, before uint64, limit int) ([]*EntryRow, error)
	// EntriesBefore reads rows newest first, below the index before.
	EntriesBefore(ctx context.Context, before uint64, limit int) ([]*EntryRow, error)

	// Intents reads intents that no entry has closed, oldest first.
	Intents(ctx context.Context, limit int) ([]IntentRow, error)

	// PutCheckpoint keeps a checkpoint, replacing the one of that kind and size; of the newest signed and cosigned ones it keeps one each.
	// It survives kill -9. A public one and evidence survive a power failure too; the others do once the next durable batch has.
	PutCheckpoint(ctx context.Context, c CheckpointRow) error
	// LatestCheckpoint reads the largest of the kind; ErrNotFound where there is none.
	LatestCheckpoint(ctx context.Context, kind CheckpointKind) (CheckpointRow, error)
	// CheckpointAtLeast reads the smallest of the kind with at least that size; ErrNotFound where there is none.
	CheckpointAtLeast(ctx context.Context, kind CheckpointKind, size uint64) (CheckpointRow, error)

	ExpiryStore
}

// Batch is what one transaction takes.
type Batch struct {
	Now     time.Time
	Durable bool // survives a power failure when Commit has returned, as if Sync had followed
	Claims  []*Claim
	Entries []*EntryRow // consecutive indexes, from the log's size on
	Closed  []countersign.ExchangeID
	Tiles   []TileRow

	Destroyed *DestructionRow // a month's destruction that stands in the log with this batch: the month's account ends with it
}

// Claim takes an exchange id for this log, once: a provider's reservation or a consumer's intent, with all budgets that it counts on.
type Claim struct {
	Exchange countersign.ExchangeID
	Intent   bool   // a consumer's intent, kept until an entry closes it; otherwise a reservation, kept until Until
	Sealed   []byte // an intent's body, encrypted
	By       string // the consumer that asks, for the operator; no personal data
	Until    time.Time
	Budgets  []Budget

	// Refused is set by Commit: a CodeReplay, CodeBudget or CodeMandateSpent refusal, or nil.
	Refused error
}

// BudgetKey names a counter. It is a PRF of what is counted under the member's tag key, so that the store tells nobody whose it is.
type BudgetKey [16]byte

// BudgetMember is a PRF of one of the things whose distinct number is counted. The zero value counts every use instead.
type BudgetMember [16]byte

// IsZero reports that uses are counted, not distinct members.
func (m BudgetMember) IsZero() bool { return m == BudgetMember{} }

// BudgetSteps is into how many steps a window is divided: uses leave it a step at a time.
const BudgetSteps = 12

// Budget bounds what may happen in any stretch of time as long as Window. The window slides in BudgetSteps steps of the wall clock, and
// a use counts for Window and up to one step longer: no stretch of Window holds more than Limit.
type Budget struct {
	Key    BudgetKey
	Window time.Duration // 0 counts for ever, or until the claim's Until where Kept is zero: a mandate's granted uses
	Limit  int           // the most uses, or distinct members, with this one; a limit below 1 refuses
	Member BudgetMember
	Kept   time.Time        // for Window 0: when the counter may be forgotten, because the mandate has ended
	Code   countersign.Code // of the refusal: CodeBudget where empty
	Says   string           // the refusal's message; one that tells limit and window where empty
}

// EntryRow is one leaf with its record, as stored.
type EntryRow struct {
	Index    uint64
	Leaf     []byte // encoded
	At       countersign.Millis
	Exchange countersign.ExchangeID // zero where the leaf is of no exchange
	Tag      countersign.SubjectTag // zero where there is no subject
	Expires  Month                  // zero where there is no record
	Record   []byte                 // sealed; empty once destroyed
}

// IntentRow is an open intent.
type IntentRow struct {
	Exchange countersign.ExchangeID
	At       countersign.Millis
	Sealed   []byte
}

// TileRow is one full tile.
type TileRow struct {
	ID     tiles.ID
	Hashes []byte // 8,192 bytes
}

// CheckpointKind says what a kept checkpoint is for.
type CheckpointKind uint8

// The kinds of kept checkpoints.
const (
	CheckpointSigned   CheckpointKind = 1 // the newest that the log has signed
	CheckpointCosigned CheckpointKind = 2 // the newest that a quorum has cosigned
	CheckpointPublic   CheckpointKind = 3 // what the public view showed from an hour on; all are kept
	CheckpointEvidence CheckpointKind = 4 // signed by our key, but not of this log's history: proof of a fork or a rollback
)

// CheckpointRow is a kept checkpoint.
type CheckpointRow struct {
	Kind CheckpointKind
	Size uint64
	At   countersign.Millis
	Note []byte
}

// Pruned says what a step of pruning did.
type Pruned struct {
	Looked  int
	Removed int
	Wrapped bool // the sweep reached the end and starts over
}
