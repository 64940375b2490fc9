package ledger_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// slowDisk lets each commit go only when the test says so, and once its batch is stored.
type slowDisk struct {
	ledger.Store
	stored chan int      // how many operations the batch holds
	synced chan struct{} // one for each commit that may end
	fails  chan error
}

func (s *slowDisk) Commit(ctx context.Context, b *ledger.Batch) error {
	if b.Stored == nil || !b.Durable {
		return s.Store.Commit(ctx, b)
	}
	inner := b.Stored
	b.Stored = func() {
		inner()
		s.stored <- len(b.Claims) + len(b.Entries)
		<-s.synced
	}
	if err := s.Store.Commit(ctx, b); err != nil {
		return err
	}
	select {
	case err := <-s.fails:
		return err
	default:
		return nil
	}
}

// A reservation that shares its batch with a record goes on when the batch is stored; the record waits for the disk, also when that fails.
func TestAReservationDoesNotWaitForTheDiskOfRecords(t *testing.T) {
	m := begin(t)
	disk := &slowDisk{stored: make(chan int), synced: make(chan struct{}), fails: make(chan error, 1)}
	m.wrap = func(s ledger.Store) ledger.Store { disk.Store = s; return disk }
	l := m.open()
	now := m.clock.Now()
	anna := countersign.SubjectID{Scheme: "pin", Value: "1AAAAA1"}

	appended := make(chan error, 3)
	add := func() { _, err := l.Append(context.Background(), m.entry(anna)); appended <- err }
	reserved := make(chan error, 1)
	reserve := func(id countersign.ExchangeID) {
		reserved <- l.Reserve(context.Background(), ledger.Reservation{Exchange: id, Consumer: consumer, Until: now.Add(time.Minute)})
	}
	for _, failure := range []error{nil, errors.New("the disk is ill")} {
		id := countersign.NewExchangeID(now)
		go add() // holds the committer up, so that what comes now shares the next batch
		<-disk.stored
		go add()
		go reserve(id)
		for l.Queued() < 2 {
			runtime.Gosched()
		}
		disk.synced <- struct{}{}
		if err := <-appended; err != nil {
			t.Fatal(err)
		}
		if n := <-disk.stored; n != 2 {
			t.Fatalf("the batch holds %d operations", n)
		}
		if err := <-reserved; err != nil {
			t.Fatalf("the reservation: %v", err)
		}
		select {
		case err := <-appended:
			t.Fatalf("the record was told before it was on the disk: %v", err)
		default:
		}
		if failure != nil {
			disk.fails <- failure
		}
		disk.synced <- struct{}{}
		if err := <-appended; (err != nil) != (failure != nil) {
			t.Fatalf("the record: %v", err)
		}
		go reserve(id)
		if err := <-reserved; countersign.CodeOf(err) != countersign.CodeReplay {
			t.Fatalf("the reservation is forgotten: %v", err)
		}
	}
}
