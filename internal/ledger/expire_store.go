package ledger

import (
	"context"

	"countersign.dev/countersign"
)

// ExpiryStore is the part of a store that lets records end. Its writing methods may be called beside Commit; each is one short transaction.
type ExpiryStore interface {
	// Months reads the months under whose keys rows were sealed and whose end is not on record yet, oldest first.
	Months(ctx context.Context) ([]MonthRow, error)
	// Empty takes record, subject tag and exchange id out of the rows that end in the month, among the next limit rows of the log, and counts
	// them. Leaf, time and month of a row stay. It survives kill -9; what a power failure undoes, the next call does again. When all rows are
	// done, open intents that were sealed under the month go too. A month without rows is done and gives an empty row.
	Empty(ctx context.Context, month Month, limit int) (MonthRow, error)
	// Keep replaces record and month of rows that end in the month and still have their records, because these were sealed anew under a later
	// month. Rows that do not are left alone. When it returns nil the change survives a power failure.
	Keep(ctx context.Context, month Month, rows []*EntryRow) error
	// Forget drops the account of a month whose rows are emptied and whose destruction is on record already.
	Forget(ctx context.Context, month Month) error
	// Destructions reads the months whose destruction is on record, newest first. Batch.Destroyed adds one.
	Destructions(ctx context.Context) ([]DestructionRow, error)
}

// MonthRow is a month's account.
type MonthRow struct {
	Month   Month
	First   uint64 // no row of the month stands below it
	Next    uint64 // rows below it are emptied
	Until   uint64 // no row of the month stands from here on; it may lie beyond the log's end
	Emptied uint64 // rows that were emptied
	Low     uint64 // index of the first of them
	High    uint64 // and of the last
	Kept    uint32 // records that were sealed anew under a later month
	Done    bool   // all rows are emptied
}

// DestructionRow is a month's destruction, and the leaf that records it.
type DestructionRow struct {
	countersign.Destruction
	Index uint64
}
