package subject

import (
	"context"
	"testing"
	"testing/synctest"

	"countersign.dev/countersign"
)

// Whoever comes while everybody works waits for a turn, not in vain and not for ever.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		var ends []func()
		for range cap(turns.work) {
			done, err := turns.take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, done)
		}
		got := make(chan error, 3)
		ask := func(ctx context.Context) {
			go func() {
				done, err := turns.take(ctx)
				if err == nil {
					done()
				}
				got <- err
			}()
			synctest.Wait()
		}
		ask(t.Context())
		ends[0]()
		if err := <-got; err != nil {
			t.Errorf("a query that waited got %v", err)
		}
		if done, err := turns.take(t.Context()); err != nil || done == nil {
			t.Fatalf("a place that is free again: %v", err)
		}
		ask(t.Context()) // until its patience ends, on the test's own time
		if err := <-got; countersign.CodeOf(err) != countersign.CodeBusy {
			t.Errorf("a query that waited too long got %v", err)
		}
		gone, leave := context.WithCancel(t.Context())
		ask(gone)
		leave()
		if err := <-got; countersign.CodeOf(err) != countersign.CodeBusy {
			t.Errorf("a query whose portal hung up got %v", err)
		}
		if len(turns.line) != cap(turns.work) {
			t.Errorf("%d are still in line", len(turns.line))
		}
		for range maxWaiting - len(turns.line) {
			turns.line <- struct{}{}
		}
		if _, err := turns.take(t.Context()); countersign.CodeOf(err) != countersign.CodeBusy {
			t.Errorf("one too many got %v", err)
		}
	})
}
