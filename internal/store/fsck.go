package store

import (
	"context"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

var _ ledger.ClaimReader = (*SQLite)(nil)

// Reservations implements ledger.ClaimReader.
func (s *SQLite) Reservations(ctx context.Context, visit func(exchange []byte, until countersign.Millis, by string) error) error {
	rows, err := s.pool.QueryContext(ctx, "SELECT exchange, until, consumer FROM reservations ORDER BY exchange")
	if err != nil {
		return refuse(err, "reading reservations")
	}
	defer rows.Close()
	for rows.Next() {
		var exchange []byte
		var until countersign.Millis
		var by string
		if err := rows.Scan(&exchange, &until, &by); err != nil {
			return refuse(err, "reading reservations")
		}
		if err := visit(exchange, until, by); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return refuse(err, "reading reservations")
	}
	return nil
}

// Integrity looks at the file itself: pages, tables and indexes. It names what is wrong, in the database's own words; nothing is nothing.
func (s *SQLite) Integrity(ctx context.Context) (wrong []string, err error) {
	rows, err := s.pool.QueryContext(ctx, "PRAGMA integrity_check(100)")
	if err != nil {
		return nil, refuse(err, "checking the store's file")
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, refuse(err, "checking the store's file")
		}
		if line != "ok" {
			wrong = append(wrong, line)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, refuse(err, "checking the store's file")
	}
	return wrong, nil
}

// Reindex makes every index again from its table.
func (s *SQLite) Reindex(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.write == nil {
		return s.errReadOnly()
	}
	if err := s.dropWriter(); err != nil {
		return err
	}
	if _, err := s.write.ExecContext(ctx, "REINDEX"); err != nil {
		return refuse(err, "making the store's indexes again")
	}
	return nil
}
