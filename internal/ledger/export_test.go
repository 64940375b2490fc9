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

// Queued is how many operations wait for the next transaction.
func (l *Log) Queued() int {
	l.committer.mu.Lock()
	defer l.committer.mu.Unlock()
	return len(l.committer.queue)
}
