package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"countersign.dev/countersign"
)

// OpenSQLiteReader opens the store in the file path for reading alone, beside the process that writes it: it takes no lock, migrates nothing,
// and its Commit and every other writing method refuses.
func OpenSQLiteReader(ctx context.Context, path string) (*SQLite, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the store %s cannot be read", path)
	}
	s := &SQLite{path: path, logger: slog.New(slog.DiscardHandler), budgets: newBudgetCache()}
	s.closing, s.stop = context.WithCancel(context.Background())
	if err := s.connectReaders(ctx); err != nil {
		return nil, errors.Join(err, s.closeAll())
	}
	var id int
	if err := s.pool.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return nil, errors.Join(refuse(err, "identifying the store"), s.closeAll())
	}
	if id != applicationID {
		return nil, errors.Join(countersign.Refuse(countersign.CodeStore, "the file %s is not a store of a log", path), s.closeAll())
	}
	return s, nil
}

// errReadOnly is what a reader's writing methods say.
func (s *SQLite) errReadOnly() error {
	return fmt.Errorf("the store %s: %w", s.path, countersign.Refuse(countersign.CodeStore, "the store was opened for reading"))
}
