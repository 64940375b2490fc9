package ledger_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// slowDisk lets each wait for the disk end only when the test says so, and tells what was stored.
type slowDisk struct {
	ledger.Store
	stored  chan int // how many operations each batch holds
	waiting chan struct{}
	synced  chan error // one for each wait that may end, and how
}

func slow() *slowDisk {
	return &slowDisk{stored: make(chan int, 16), waiting: make(chan struct{}, 16), synced: make(chan error)}
}

func (s *slowDisk) Commit(ctx context.Context, b *ledger.Batch) error {
	err := s.Store.Commit(ctx, b)
	s.stored <- len(b.Claims) + len(b.Entries)
	return err
}

func (s *slowDisk) Sync(ctx context.Context) error {
	s.waiting <- struct{}{}
	if err := <-s.synced; err != nil {
		return err
	}
	return s.Store.Sync(ctx)
}

// A reservation goes on when its batch is stored; a record waits for the disk, also when that fails.
func TestAReservationDoesNotWaitForTheDiskOfRecords(t *testing.T) {
	m := begin(t)
	disk := slow()
	m.wrap = func(s ledger.Store) ledger.Store { disk.Store = s; return disk }
	l := m.open()
	now := m.clock.Now()
	anna := countersign.SubjectID{Scheme: "pin", Value: "1AAAAA1"}

	appended, reserved := make(chan error, 3), make(chan error, 1)
	add := func() { _, err := l.Append(context.Background(), m.entry(anna)); appended <- err }
	reserve := func(id countersign.ExchangeID) {
		reserved <- l.Reserve(context.Background(), ledger.Reservation{Exchange: id, Consumer: consumer, Until: now.Add(time.Minute)})
	}
	for _, failure := range []error{nil, errors.New("the disk is ill")} {
		id := countersign.NewExchangeID(now)
		go add()
		<-disk.waiting
		<-disk.stored
		go reserve(id) // while the disk is waited for
		if err := <-reserved; err != nil {
			t.Fatalf("the reservation: %v", err)
		}
		<-disk.stored
		select {
		case err := <-appended:
			t.Fatalf("the record was told before it was on the disk: %v", err)
		default:
		}
		disk.synced <- failure
		if err := <-appended; (err != nil) != (failure != nil) {
			t.Fatalf("the record: %v", err)
		}
		go reserve(id)
		if err := <-reserved; countersign.CodeOf(err) != countersign.CodeReplay {
			t.Fatalf("the reservation is forgotten: %v", err)
		}
		<-disk.stored
	}
}

// The next batch is stored while the disk is waited for, and is neither told nor shown before it has been waited for too.
func TestABatchIsStoredWhileTheLastOneReachesTheDisk(t *testing.T) {
	m := begin(t)
	disk := slow()
	m.wrap = func(s ledger.Store) ledger.Store { disk.Store = s; return disk }
	l := m.open()
	anna := countersign.SubjectID{Scheme: "pin", Value: "1AAAAA1"}
	size := l.Size()
	var told atomic.Int64
	appended := make(chan error, 3)
	add := func() { _, err := l.Append(context.Background(), m.entry(anna)); told.Add(1); appended <- err }

	go add()
	<-disk.waiting
	<-disk.stored
	go add()
	<-disk.stored // a second one, on top of the first
	go add()      // a third waits until the disk is asked for the second
	for l.Queued() < 1 {
		runtime.Gosched()
	}
	if told.Load() != 0 || l.Size() != size {
		t.Fatalf("%d records were told, and %d leaves shown, before anything was on the disk", told.Load(), l.Size()-size)
	}

	// What is read between its transaction and the disk is promised only once it is there.
	stored, err := l.List(context.Background(), ledger.Page{Limit: 1})
	if err != nil || stored[0].Index != size+1 {
		t.Fatalf("%+v, %v", stored, err)
	}
	promised := make(chan error, 1)
	go func() { _, err := l.Promise(context.Background(), stored[0]); promised <- err }()
	<-disk.waiting
	disk.synced <- errors.New("the disk is ill") // for either of the two that wait: the other is told by the next
	select {
	case err := <-promised:
		if err == nil {
			t.Fatal("a leaf was promised that is not on the disk")
		}
		disk.synced <- nil
		if err := <-appended; err != nil {
			t.Fatal(err)
		}
	case err := <-appended:
		if err == nil {
			t.Fatal("a record was told that is not on the disk")
		}
		disk.synced <- nil
		if err := <-promised; err != nil {
			t.Fatal(err)
		}
	}
	<-disk.waiting
	disk.synced <- nil
	if err := <-appended; err != nil || l.Size() != size+2 {
		t.Fatalf("the second record: %v; %d leaves are shown", err, l.Size()-size)
	}
	<-disk.stored
	<-disk.waiting
	disk.synced <- nil
	if err := <-appended; err != nil || l.Size() != size+3 {
		t.Fatalf("the third record: %v; %d leaves are shown", err, l.Size()-size)
	}
}
