package notice

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"countersign.dev/countersign"
)

// What is what a message says, and all that it says.
type What string

// The messages.
const (
	Something What = "something" // there is something new in the record
	Confirm   What = "confirm"   // a code, which shows that the address is the person's
	Ending    What = "ending"    // notices end unless the person logs in
)

// letter is what the outbox keeps of a message, encrypted for the person.
type letter struct {
	What What   `json:"what"`
	To   string `json:"to"` // a contact's ID
	Code string `json:"code,omitempty"`
}

// Letter is a message as it leaves.
type Letter struct {
	ID       MessageID
	What     What
	Language string
	Subject  string
	Body     string
	Code     string
	Stop     string // address at which notices are stopped; empty in a confirmation
	At       time.Time
}

// Name is the message's name as it travels.
func (m *Letter) Name() string { return hex.EncodeToString(m.ID[:]) }

// message makes a message for the outbox.
func (s *Service) message(id PersonID, contact string, l letter, due, now time.Time) (Message, error) {
	l.To = contact
	m := Message{Person: id, Slot: contact + " " + string(l.What), Due: countersign.MillisOf(due), Born: countersign.MillisOf(now)}
	_, _ = rand.Read(m.ID[:]) // crypto/rand.Read never fails
	var err error
	m.Sealed, err = s.o.Vault.seal(id, "message "+m.Slot, l)
	return m, err
}

// Bounds of delivery.
const (
	messagesAtOnce = 8
	messagesARound = 256
	firstRetry     = time.Minute
	lastRetry      = 6 * time.Hour
	givenUpAfter   = 5 * 24 * time.Hour
	sendPatience   = time.Minute
)

// Deliver sends what is due. A message stays in the outbox until its receiver has taken it: after a crash it is sent again under the same name.
func (s *Service) Deliver(ctx context.Context) error {
	var failures []error
	for ctx.Err() == nil {
		due, err := s.o.Store.Due(ctx, countersign.MillisOf(s.o.Clock.Now()), messagesARound)
		if err != nil {
			return errors.Join(append(failures, err)...)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		slots := make(chan struct{}, messagesAtOnce)
		for _, m := range due {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				if err := s.deliver(ctx, &m); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(due) < messagesARound || len(failures) > 0 {
			break
		}
	}
	if waiting, oldest, err := s.o.Store.Waiting(ctx); err == nil {
		s.o.Metrics.waits(waiting, oldest, s.o.Clock.Now())
	}
	return errors.Join(failures...)
}

func (s *Service) deliver(ctx context.Context, m *Message) error {
	now := s.o.Clock.Now()
	l := new(letter)
	if err := s.o.Vault.open(m.Person, "message "+m.Slot, m.Sealed, l); err != nil {
		return errors.Join(err, s.o.Store.Done(ctx, m.ID))
	}
	t, err := s.load(ctx, m.Person)
	if err != nil {
		return err
	}
	var to *Contact
	if t != nil {
		to = t.byID(l.To)
	}
	if to == nil || s.o.Senders[to.Kind] == nil || l.What != Confirm && (to.State == Unconfirmed || t.Frequency == Never) || l.What == Confirm && to.State != Unconfirmed {
		return s.o.Store.Done(ctx, m.ID) // the address is another by now, or notices have been stopped
	}
	out := &Letter{ID: m.ID, What: l.What, Language: t.Language, Code: l.Code, At: now}
	if l.What != Confirm {
		out.Stop = s.o.StopURL + s.o.Vault.stopToken(m.Person)
	}
	out.Subject, out.Body = s.o.Write(t.Language, l.What, l.Code, out.Stop)
	sending, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	err = s.o.Senders[to.Kind].Send(sending, to, out)
	if ctx.Err() != nil {
		return ctx.Err() // the process stops: the message stays as it is
	}
	return s.settle(ctx, m, to, err, now)
}

// settle writes down what became of an attempt. Errors of senders are not logged: they quote addresses.
func (s *Service) settle(ctx context.Context, m *Message, to *Contact, failure error, now time.Time) error {
	switch {
	case failure == nil:
		s.o.Metrics.delivered(to.Kind, "sent")
		if err := s.o.Store.Done(ctx, m.ID); err != nil {
			return err
		}
		return s.mark(ctx, m.Person, to, Works)
	case errors.Is(failure, ErrRefused) || now.Sub(m.Born.Time()) > givenUpAfter:
		s.o.Metrics.delivered(to.Kind, "given-up")
		if err := s.o.Store.Done(ctx, m.ID); err != nil {
			return err
		}
		return s.mark(ctx, m.Person, to, Fails)
	}
	s.o.Metrics.delivered(to.Kind, "failed")
	s.o.Logger.InfoContext(ctx, "a message was not taken; it is tried again", slog.String("kind", string(to.Kind)), slog.Int("attempts", m.Attempts+1))
	return s.o.Store.Retry(ctx, m.ID, m.Attempts+1, countersign.MillisOf(now.Add(backoff(m.Attempts))))
}

// backoff doubles from a minute to six hours, each with up to a half more at random.
func backoff(attempts int) time.Duration {
	d := lastRetry
	if attempts < 9 {
		d = min(d, firstRetry<<attempts)
	}
	return d + random(d/2)
}

// mark notes whether a contact can be reached, where that has changed.
func (s *Service) mark(ctx context.Context, id PersonID, to *Contact, state State) error {
	if to.State == state || to.State == Unconfirmed {
		return nil
	}
	return s.change(ctx, id, false, func(t *Terms) ([]Message, error) {
		if c := t.byID(to.ID); c != nil && c.State != Unconfirmed {
			c.State = state
		}
		return nil, nil
	})
}
