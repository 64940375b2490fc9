package notice

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
)

// pageOfPeople is how many people are asked about together.
const pageOfPeople = 512

// gatewaysAtOnce bounds requests under way.
const gatewaysAtOnce = 16

// round is one walk through everybody who wants notices.
type round struct {
	service  *Service
	gateways []subject.GatewayRef
	loud     map[string]bool               // gateways that may have recorded an emergency since everybody was asked about there
	heard    map[string]countersign.Millis // up to when they have answered for everybody
}

// inquiry is one question about one person to one gateway.
type inquiry struct {
	person  PersonID
	class   subject.NewsClass
	daily   bool // at the daily moment, or after it where the gateway did not answer then
	gateway subject.GatewayRef
	ask     subject.NewsAsk
	answer  subject.News
	at      countersign.Millis
	failed  error
}

// Ask walks through everybody who wants notices, once, and asks the gateways what is due to be asked: about emergencies where there was one, about everything else
// at the person's daily moment, and for those who want to know soon each time. A gateway that does not answer is asked the same again.
//
// LAW: A33: what one side's gateway says is told whether the other's answers or not.
func (s *Service) Ask(ctx context.Context) error {
	gateways, err := s.o.Asker.Gateways()
	if err != nil {
		return err
	}
	r := &round{service: s, gateways: gateways, loud: map[string]bool{}, heard: map[string]countersign.Millis{}}
	r.listen(ctx)
	var after PersonID
	var failures []error
	for {
		rows, err := s.o.Store.People(ctx, after, pageOfPeople)
		if err != nil {
			return err
		}
		if err := r.page(ctx, rows); err != nil {
			failures = append(failures, err)
		}
		if len(rows) < pageOfPeople {
			break
		}
		after = rows[len(rows)-1].ID
	}
	for g, at := range r.heard {
		if r.loud[g] {
			s.rung[g] = at
		}
	}
	return errors.Join(failures...)
}

// listen hears which gateways have had an emergency. One that has begun anew since it last answered may have forgotten.
func (r *round) listen(ctx context.Context) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, gatewaysAtOnce)
	for _, g := range r.gateways {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			a, err := r.service.o.Asker.Emergency(ctx, g)
			mu.Lock()
			defer mu.Unlock()
			r.service.o.Metrics.asked(err)
			if err != nil {
				return
			}
			key := g.String()
			before, known := r.service.rung[key]
			r.loud[key] = !known || a.Listening > before || a.Emergency > before
			r.heard[key] = a.At
		})
	}
	wg.Wait()
}

// page asks about some people.
func (r *round) page(ctx context.Context, rows []Row) error {
	now := r.service.o.Clock.Now()
	byGateway := map[string][]*inquiry{}
	digests := map[PersonID]bool{}
	var failures []error
	for _, row := range rows {
		t := new(Terms)
		if err := r.service.o.Vault.open(row.ID, "terms", row.Sealed, t); err != nil {
			failures = append(failures, err) // the others get their notices
			continue
		}
		if !t.active(now) {
			continue
		}
		if !t.Digest.Time().After(now) {
			digests[row.ID] = true
		}
		for _, g := range r.gateways {
			daily := digests[row.ID] || slices.Contains(t.Lacking, g.String()) && !t.Again.Time().After(now)
			for _, class := range r.classes(t, g.String(), daily) {
				q := &inquiry{person: row.ID, class: class, daily: daily, gateway: g, ask: t.Permission.Ask(t.asked(class, g.String()), class)}
				byGateway[g.String()] = append(byGateway[g.String()], q)
			}
		}
	}
	r.put(ctx, byGateway)
	byPerson := map[PersonID][]*inquiry{}
	for id := range digests {
		byPerson[id] = nil
	}
	for _, list := range byGateway {
		for _, q := range list {
			byPerson[q.person] = append(byPerson[q.person], q)
		}
	}
	for id, list := range byPerson {
		if err := r.service.note(ctx, id, list, digests[id]); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// classes says what is asked about a person now.
func (r *round) classes(t *Terms, gateway string, digest bool) (out []subject.NewsClass) {
	if r.loud[gateway] || digest {
		out = append(out, subject.NewsEmergency)
	}
	if t.Frequency == Now || digest {
		out = append(out, subject.NewsSingle)
	}
	if digest {
		out = append(out, subject.NewsProgramme)
	}
	return out
}

// put sends the questions to all gateways side by side.
func (r *round) put(ctx context.Context, byGateway map[string][]*inquiry) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, gatewaysAtOnce)
	for key, list := range byGateway {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for begin := 0; begin < len(list); begin += subject.MaxNewsAsks {
				at, err := r.batch(ctx, list[begin:min(len(list), begin+subject.MaxNewsAsks)])
				mu.Lock()
				r.service.o.Metrics.asked(err)
				if err != nil {
					delete(r.heard, key) // somebody was not asked about: the bell rings for them again
				} else if heard, ok := r.heard[key]; ok {
					r.heard[key] = min(heard, at)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func (r *round) batch(ctx context.Context, list []*inquiry) (countersign.Millis, error) {
	asks := make([]subject.NewsAsk, len(list))
	for i, q := range list {
		asks[i] = q.ask
	}
	a, err := r.service.o.Asker.News(ctx, list[0].gateway, asks)
	var refused error
	for i, q := range list {
		if err != nil {
			q.failed = err
			continue
		}
		q.answer, q.at = a.News[i], a.At
		if q.answer.Refused != "" {
			q.failed = countersign.Refuse(q.answer.Refused, "the gateway refused to tell")
		}
		if c := q.answer.Refused; c != "" && c != countersign.CodeUnauthenticated && c != countersign.CodeNoReceipt {
			refused = q.failed // it may tell next time
		}
	}
	if err != nil {
		return 0, err
	}
	return a.At, refused
}

// note writes down that gateways were asked, and puts a message into the outbox where one said yes: both in one step, so that a crash loses neither. Which gateway
// it was is not written down.
func (s *Service) note(ctx context.Context, id PersonID, list []*inquiry, digest bool) error {
	return s.change(ctx, id, false, func(t *Terms) ([]Message, error) {
		now := s.o.Clock.Now()
		if !t.active(now) {
			return nil, nil // stopped in the meantime
		}
		var due time.Time
		ring := func(at time.Time) {
			if due.IsZero() || at.Before(due) {
				due = at
			}
		}
		refused, told := 0, 0
		var lacking []string
		again := false
		for _, q := range list {
			switch {
			case q.failed != nil:
				switch key := q.gateway.String(); {
				case countersign.CodeOf(q.failed) == countersign.CodeUnauthenticated:
					refused++
				case q.daily && !slices.Contains(lacking, key):
					lacking = append(lacking, key)
				}
				again = again || q.daily
				continue
			case q.answer.New && q.class == subject.NewsSingle && t.Frequency == Now && !q.daily:
				ring(now.Add(random(s.o.Delay)))
			case q.answer.New: // an emergency, or the daily moment, which was drawn at random
				ring(now)
			}
			told++
			again = again || q.daily
			t.noteAsked(q.class, q.gateway.String(), q.at)
		}
		if digest {
			t.Digest = countersign.MillisOf(s.nextDigest(now))
		}
		if digest || again {
			t.Lacking, t.Again = lacking, countersign.MillisOf(now.Add(askAgain+random(askAgain)))
		}
		if refused > 0 && told == 0 {
			t.Stale = true // the issuer has other keys by now: a login makes a new permission
		}
		return s.ring(id, t, due, now)
	})
}

// askAgain is how long a gateway is left alone that did not answer at the daily moment, and up to as long again at random.
const askAgain = 30 * time.Minute

// remindBefore is how long before its end somebody is reminded that a permission ends.
const remindBefore = 14 * 24 * time.Hour

// ring makes the messages to every confirmed contact.
func (s *Service) ring(id PersonID, t *Terms, due, now time.Time) ([]Message, error) {
	var out []Message
	add := func(what What, at time.Time) error {
		for i := range t.Contacts {
			if t.Contacts[i].State != Works && t.Contacts[i].State != Fails {
				continue // LAW: nothing goes to an address that nobody has confirmed
			}
			m, err := s.message(id, t.Contacts[i].ID, letter{What: what}, at, now)
			if err != nil {
				return err
			}
			out = append(out, m)
		}
		return nil
	}
	if !due.IsZero() {
		if err := add(Something, due); err != nil {
			return nil, err
		}
	}
	if !t.Reminded && (t.Stale || t.Permission.Until.Time().Sub(now) < remindBefore) {
		t.Reminded = true
		err := add(Ending, now.Add(random(s.o.Delay)))
		return out, err
	}
	return out, nil
}
