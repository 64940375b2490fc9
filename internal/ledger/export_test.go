package ledger

import "context"

// Tick does at once what comes with time.
func (l *Log) Tick(ctx context.Context) { l.tick(ctx) }

// Destroy destroys the key of a month.
func (l *Log) Destroy(m Month) error { return l.vault.destroy(m) }

// SetErase replaces what destroys a key file; it is given the one that does.
func (l *Log) SetErase(wrap func(erase func(path string) error) func(path string) error) {
	l.vault.erase = wrap(l.vault.erase)
}
