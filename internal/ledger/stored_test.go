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
	from    atomic.Bool // set once the log is open: until then no wait is held up
	stored  chan int    // how many operations each batch holds
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
	if !s.from.Load() {
		return s.Store.Sync(ctx)
	}
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
	disk.from.Store(true)
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
	disk.from.Store(true)
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

	// What is read between its transaction and the disk is not shown, and is told of and promised only once it is there.
	shown, err := l.List(context.Background(), ledger.Page{Limit: 1})
	if err != nil || shown[0].Index != size-1 {
		t.Fatalf("%+v, %v", shown, err)
	}
	row, err := m.store.Entry(context.Background(), size+1)
	if err != nil {
		t.Fatal(err)
	}
	stored := []*ledger.Stored{{Index: row.Index, Origin: origin, Time: row.At, LeafBytes: row.Leaf}}
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
	disk.from.Store(false)
}

// Whoever asks for an exchange whose record is on its way to the disk waits for it, and learns nothing where it does not come there. Lists show it
// when it is there.
func TestNothingIsToldOfARecordBeforeItIsOnTheDisk(t *testing.T) {
	m := begin(t)
	disk := slow()
	m.wrap = func(s ledger.Store) ledger.Store { disk.Store = s; return disk }
	l := m.open()
	disk.from.Store(true)
	anna := countersign.SubjectID{Scheme: "pin", Value: "1AAAAA1"}
	e := m.entry(anna)
	e.Tag = l.TagOf(anna)
	ctx := context.Background()
	appended := make(chan error, 1)
	go func() { _, err := l.Append(ctx, e); appended <- err }()
	<-disk.waiting
	<-disk.stored
	index := l.Size()
	disk.synced <- errDisk
	if err := <-appended; !errors.Is(err, errDisk) {
		t.Fatalf("acknowledged although the disk has failed: %v", err)
	}

	for what, ask := range map[string]func() error{
		"its exchange": func() error { _, err := l.ByExchange(ctx, e.Exchange); return err },
		"its leaf":     func() error { _, err := l.Leaf(ctx, index); return err },
	} {
		for _, failure := range []error{errDisk, nil} {
			asked := make(chan error, 1)
			go func() { asked <- ask() }()
			<-disk.waiting
			select {
			case err := <-asked:
				t.Fatalf("%s: told before the disk had it: %v", what, err)
			default:
			}
			disk.synced <- failure
			if err := <-asked; !errors.Is(err, failure) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	for what, list := range map[string]func() ([]*ledger.Stored, error){
		"the list":    func() ([]*ledger.Stored, error) { return l.List(ctx, ledger.Page{Limit: 10}) },
		"the history": func() ([]*ledger.Stored, error) { return l.History(ctx, l.TagsOf(anna), ledger.Page{Limit: 10}) },
	} {
		found, err := list()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range found {
			if s.Exchange == e.Exchange {
				t.Fatalf("%s shows a record that is not on the disk", what)
			}
		}
	}
	disk.from.Store(false)
	if _, err := l.Append(ctx, m.entry(anna)); err != nil { // what follows it brings it there
		t.Fatal(err)
	}
	if found, err := l.History(ctx, l.TagsOf(anna), ledger.Page{Limit: 10}); err != nil || len(found) != 1 || found[0].Index != index {
		t.Fatalf("%+v, %v", found, err)
	}
}

// What a killed process had stored may not have reached the disk: the next one waits for it before it takes it for durable.
func TestALogWaitsForTheDiskBeforeItOpens(t *testing.T) {
	m := begin(t)
	ill := true
	m.wrap = func(s ledger.Store) ledger.Store {
		return &faulty{s, func() bool { return ill }, func() bool { return false }}
	}
	if _, err := ledger.Open(context.Background(), m.config()); !errors.Is(err, errDisk) {
		t.Fatalf("opened although what is stored may not be on the disk: %v", err)
	}
	ill = false
	if l := m.open(); l.Size() != 1 {
		t.Fatalf("%d leaves", l.Size())
	}
}

// Times never run backwards within a log, also behind a batch of which nobody was told and that stands.
func TestTimesDoNotRunBackwardsBehindAFailure(t *testing.T) {
	m := begin(t)
	var fails atomic.Bool
	m.wrap = func(s ledger.Store) ledger.Store {
		return &faulty{s, func() bool { return false }, fails.Load}
	}
	l := m.open()
	m.clock.Add(time.Hour)
	fails.Store(true)
	if _, err := l.Append(t.Context(), m.entry(countersign.SubjectID{})); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	fails.Store(false)
	m.clock.Add(-time.Minute)
	p, err := l.Append(t.Context(), m.entry(countersign.SubjectID{}))
	if err != nil || p.Index != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if before, err := l.Leaf(t.Context(), 1); err != nil || p.Time < before.Time {
		t.Fatalf("leaf 2 is of %s, leaf 1 of %s: %v", p.Time.Time(), before.Time.Time(), err)
	}
}

// forgetful loses what it stored last, behind a commit that fails; or shows another leaf in its place.
type forgetful struct {
	ledger.Store
	lost  atomic.Bool
	other atomic.Bool
	fail  atomic.Bool
}

func (f *forgetful) Commit(ctx context.Context, b *ledger.Batch) error {
	if f.fail.CompareAndSwap(true, false) {
		return errDisk
	}
	return f.Store.Commit(ctx, b)
}

func (f *forgetful) Size(ctx context.Context) (uint64, error) {
	n, err := f.Store.Size(ctx)
	if f.lost.Load() {
		n--
	}
	return n, err
}

func (f *forgetful) Leaves(ctx context.Context, first uint64, count int) ([][]byte, error) {
	leaves, err := f.Store.Leaves(ctx, first, count)
	if f.other.Load() && len(leaves) > 0 {
		leaves[len(leaves)-1] = []byte("another")
	}
	return leaves, err
}

// What is stored after a failure must go on from what was stored before it, also where that waits for the disk still: otherwise an index would be
// given twice.
func TestAStoreThatHasLostLeavesIsNotGoneOnWith(t *testing.T) {
	for name, harm := range map[string]func(f *forgetful, on bool){
		"lost":  func(f *forgetful, on bool) { f.lost.Store(on) },
		"other": func(f *forgetful, on bool) { f.other.Store(on) },
	} {
		t.Run(name, func(t *testing.T) {
			m := begin(t)
			disk, f := slow(), &forgetful{}
			m.wrap = func(s ledger.Store) ledger.Store { f.Store = s; disk.Store = f; return disk }
			l := m.open()
			disk.from.Store(true)
			ctx := context.Background()
			add := func() error { _, err := l.Append(ctx, m.entry(countersign.SubjectID{})); return err }
			first := make(chan error, 1)
			go func() { first <- add() }()
			<-disk.waiting
			<-disk.stored
			f.fail.Store(true)
			if err := add(); !errors.Is(err, errDisk) { // while the first waits for the disk
				t.Fatal(err)
			}
			<-disk.stored
			harm(f, true)
			if err := add(); countersign.CodeOf(err) != countersign.CodeStore {
				t.Fatalf("it goes on: %v", err)
			}
			disk.synced <- nil
			if err := <-first; err != nil {
				t.Fatal(err)
			}
			harm(f, false)
			disk.from.Store(false)
			if err := add(); err != nil { // and resumes when the leaves are there again
				t.Fatal(err)
			}
		})
	}
}
