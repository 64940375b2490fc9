package notice

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/subject"
)

// Asker asks members' gateways: a subject.Portal.
type Asker interface {
	Gateways() ([]subject.GatewayRef, error)
	Emergency(ctx context.Context, at subject.GatewayRef) (*subject.NewsAnswer, error)
	News(ctx context.Context, to subject.GatewayRef, asks []subject.NewsAsk) (*subject.NewsAnswer, error)
	Permit(ctx context.Context, person *subject.Person) (*subject.Permission, error)
}

// Sender delivers one message to one address. A failure that wraps ErrRefused will not get better by itself; any other may.
type Sender interface {
	Send(ctx context.Context, to *Contact, m *Letter) error
}

// ErrRefused says that the receiver's side has refused a message for good: the caller gives it up.
var ErrRefused = errors.New("the receiver refuses the message for good")

// Options are the parts of a service. Senders may lack a kind that the portal does not offer.
type Options struct {
	Asker   Asker
	Store   Store
	Vault   *Vault
	Senders map[Kind]Sender
	Write   func(language string, what What, code, stop string) (subject, body string) // what a message says
	Clock   clock.Clock
	Logger  *slog.Logger
	Metrics *Metrics

	StopURL string         // before the token of an address at which notices are stopped
	Place   *time.Location // of the country; nil is UTC
	Digest  time.Duration  // since midnight in Place: when daily notices begin to leave; 8 h where zero
	Spread  time.Duration  // for how long they leave, each at a random moment; 4 h where zero
	Delay   time.Duration  // the longest that a notice "soon after" waits, at random; 1 h where zero
	Every   time.Duration  // how often gateways are asked; a minute where zero
}

// Service keeps contact terms, asks gateways, and delivers messages.
type Service struct {
	o    Options
	wake chan struct{}

	mu      sync.Mutex // held for each change of anybody's terms
	rung    map[string]countersign.Millis
	sent    map[[32]byte][]countersign.Millis // confirmation codes of the last day, by the address's digest
	limited time.Time
}

// New makes a service.
func New(o Options) *Service {
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{{&o.Digest, 8 * time.Hour}, {&o.Spread, 4 * time.Hour}, {&o.Delay, time.Hour}, {&o.Every, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	if o.Place == nil {
		o.Place = time.UTC
	}
	return &Service{o: o, wake: make(chan struct{}, 1), rung: map[string]countersign.Millis{}, sent: map[[32]byte][]countersign.Millis{}}
}

// Offers says whether the portal reaches people by a kind of contact.
func (s *Service) Offers(kind Kind) bool { return s.o.Senders[kind] != nil }

// load reads a person's terms; nil where there are none.
func (s *Service) load(ctx context.Context, id PersonID) (*Terms, error) {
	sealed, err := s.o.Store.Person(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // absence is an answer
	}
	if err != nil {
		return nil, err
	}
	t := new(Terms)
	return t, s.o.Vault.open(id, "terms", sealed, t)
}

// change changes a person's terms and adds messages, in one step. change is not called where there are no terms, unless begin is set.
func (s *Service) change(ctx context.Context, id PersonID, begin bool, change func(*Terms) ([]Message, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.load(ctx, id)
	if err != nil {
		return err
	}
	if t == nil {
		if !begin {
			return nil
		}
		t = &Terms{}
	}
	add, err := change(t)
	if err != nil {
		return err
	}
	sealed, err := s.o.Vault.seal(id, "terms", t)
	if err != nil {
		return err
	}
	if err := s.o.Store.Put(ctx, id, sealed, add); err != nil {
		return err
	}
	if len(add) > 0 {
		s.stir()
	}
	return nil
}

func (s *Service) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Terms gives a person's terms; nil where there are none.
func (s *Service) Terms(ctx context.Context, person countersign.SubjectID) (*Terms, error) {
	return s.load(ctx, s.o.Vault.IDOf(person))
}

// Wanted is what a person fills in. An address that is empty removes the contact, one that equals the contact's mask leaves it.
type Wanted struct {
	Language  string
	Email     string
	Webhook   string
	Frequency Frequency
}

// Wrong says which fields cannot be used, by their names.
type Wrong map[string]error

// Save takes what the person wants. A new address gets a confirmation code and nothing else until it is confirmed. Whoever wants notices permits the portal to ask
// for news: the permission is on the person's record.
func (s *Service) Save(ctx context.Context, person *subject.Person, w Wanted) (Wrong, error) {
	id := s.o.Vault.IDOf(person.Subject)
	now := s.o.Clock.Now()
	before, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	wrong := s.check(before, &w)
	if len(wrong) > 0 {
		return wrong, nil
	}
	var permission *subject.Permission
	if w.Frequency != Never && (before == nil || before.Permission == nil || before.Stale || now.Sub(before.Permission.Given.Time()) > renewAfter) {
		if permission, err = s.o.Asker.Permit(ctx, person); err != nil {
			return nil, err
		}
	}
	err = s.change(ctx, id, true, func(t *Terms) ([]Message, error) {
		t.Language = w.Language
		if t.Frequency != w.Frequency {
			t.Frequency, t.Digest = w.Frequency, countersign.MillisOf(s.nextDigest(now))
		}
		switch {
		case w.Frequency == Never:
			t.Permission, t.Since, t.Asked = nil, 0, nil
		case permission != nil:
			t.Permission, t.Stale, t.Reminded = permission, false, false
		}
		if w.Frequency != Never && t.Since == 0 {
			t.Since = countersign.MillisOf(now)
		}
		var add []Message
		for _, c := range []struct {
			kind    Kind
			address string
		}{{Email, w.Email}, {Webhook, w.Webhook}} {
			m, err := s.setContact(id, t, c.kind, c.address, now)
			if err != nil {
				return nil, err
			}
			add = append(add, m...)
		}
		return add, nil
	})
	return nil, err
}

// renewAfter is from when on a login renews a permission that still counts.
const renewAfter = 30 * 24 * time.Hour

func (s *Service) check(before *Terms, w *Wanted) Wrong {
	wrong := Wrong{}
	if w.Frequency != Never && w.Frequency != Daily && w.Frequency != Now {
		wrong["frequency"] = countersign.Refuse(countersign.CodeBadRequest, "choose how often")
	}
	for _, f := range []struct {
		name    string
		kind    Kind
		address *string
		check   func(string) error
	}{{"email", Email, &w.Email, checkEmail}, {"webhook", Webhook, &w.Webhook, checkWebhook}} {
		*f.address = strings.TrimSpace(*f.address)
		if before != nil {
			if c := before.contact(f.kind); c != nil && *f.address == c.Mask() {
				*f.address = c.Address
			}
		}
		if *f.address == "" {
			continue
		}
		if err := f.check(*f.address); err != nil {
			wrong[f.name] = err
		} else if !s.Offers(f.kind) {
			wrong[f.name] = countersign.Refuse(countersign.CodeBadRequest, "this portal sends nothing that way")
		}
	}
	if len(wrong) == 0 && w.Frequency != Never && w.Email == "" && w.Webhook == "" {
		wrong["email"] = countersign.Refuse(countersign.CodeBadRequest, "give an address to which notices go")
	}
	return wrong
}

// setContact changes an address, and has a code sent to a new one.
func (s *Service) setContact(id PersonID, t *Terms, kind Kind, address string, now time.Time) ([]Message, error) {
	if c := t.contact(kind); c != nil && c.Address == address && c.State != Unconfirmed { // one that waits for its code gets another
		return nil, nil
	}
	t.Contacts = slices.DeleteFunc(t.Contacts, func(c Contact) bool { return c.Kind == kind })
	if address == "" {
		return nil, nil
	}
	if err := s.mayCode(t, address, now); err != nil {
		return nil, err
	}
	code := newCode()
	c := Contact{ID: newContactID(), Kind: kind, Address: address, State: Unconfirmed, Code: readCode(code), Until: countersign.MillisOf(now.Add(codeLife))}
	if kind == Webhook {
		c.Secret = make([]byte, 32)
		_, _ = rand.Read(c.Secret) // crypto/rand.Read never fails
	}
	t.Contacts = append(t.Contacts, c)
	m, err := s.message(id, c.ID, letter{What: Confirm, Code: code}, now, now)
	return []Message{m}, err
}

// mayCode bounds how many codes one person has sent, and how many go to one address, so that nobody floods somebody else's mailbox through us.
func (s *Service) mayCode(t *Terms, address string, now time.Time) error {
	fresh := func(list []countersign.Millis) []countersign.Millis {
		return slices.DeleteFunc(list, func(at countersign.Millis) bool { return now.Sub(at.Time()) >= 24*time.Hour })
	}
	if now.Sub(s.limited) > time.Hour {
		s.limited = now
		for k, list := range s.sent {
			if list = fresh(list); len(list) == 0 {
				delete(s.sent, k)
			}
		}
	}
	key := sha256.Sum256([]byte(strings.ToLower(address)))
	t.Codes, s.sent[key] = fresh(t.Codes), fresh(s.sent[key])
	if len(t.Codes) >= codesADay || len(s.sent[key]) >= codesADay || len(s.sent) > 100_000 {
		return countersign.Refuse(countersign.CodeBudget, "too many confirmation codes were sent within a day: try again tomorrow")
	}
	t.Codes, s.sent[key] = append(t.Codes, countersign.MillisOf(now)), append(s.sent[key], countersign.MillisOf(now))
	return nil
}

// Confirm takes a code that reached one of the person's addresses. It reports whether one was confirmed.
func (s *Service) Confirm(ctx context.Context, person countersign.SubjectID, code string) (bool, error) {
	now, given, ok := s.o.Clock.Now(), readCode(code), false
	err := s.change(ctx, s.o.Vault.IDOf(person), false, func(t *Terms) ([]Message, error) {
		for i := range t.Contacts {
			ok = t.Contacts[i].confirm(given, now) || ok
		}
		return nil, nil
	})
	return ok, err
}

// Remove destroys a person's contact terms, permission and messages, at once.
func (s *Service) Remove(ctx context.Context, person countersign.SubjectID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.Store.Remove(ctx, s.o.Vault.IDOf(person))
}

// Stop ends the notices of whoever got the address, without a login: the permission is destroyed, and what waits in the outbox goes nowhere.
func (s *Service) Stop(ctx context.Context, token string) error {
	id, err := s.o.Vault.readStop(token)
	if err != nil {
		return err
	}
	return s.change(ctx, id, false, func(t *Terms) ([]Message, error) {
		t.Frequency, t.Permission, t.Since, t.Asked = Never, nil, 0, nil
		return nil, nil
	})
}

// Stoppable says whether an address stops anybody's notices.
func (s *Service) Stoppable(token string) bool {
	_, err := s.o.Vault.readStop(token)
	return err == nil
}

// Renew takes a fresh permission from somebody who has logged in and wants notices, where the one there is has aged or is no longer taken.
func (s *Service) Renew(ctx context.Context, person *subject.Person) error {
	id := s.o.Vault.IDOf(person.Subject)
	t, err := s.load(ctx, id)
	if err != nil || t == nil || t.Frequency == Never || t.Frequency == "" {
		return err
	}
	if t.Permission != nil && !t.Stale && s.o.Clock.Now().Sub(t.Permission.Given.Time()) <= renewAfter {
		return nil
	}
	permission, err := s.o.Asker.Permit(ctx, person)
	if err != nil {
		return err
	}
	return s.change(ctx, id, false, func(t *Terms) ([]Message, error) {
		t.Permission, t.Stale, t.Reminded = permission, false, false
		return nil, nil
	})
}

// SigningSecret is what a webhook's owner verifies messages with, as Standard Webhooks writes it.
func (c *Contact) SigningSecret() string {
	if len(c.Secret) == 0 {
		return ""
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(c.Secret)
}

// nextDigest draws the moment of the next daily notice.
func (s *Service) nextDigest(now time.Time) time.Time {
	local := now.In(s.o.Place)
	day := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, s.o.Place).Add(s.o.Digest)
	for !day.After(now) {
		day = day.AddDate(0, 0, 1)
	}
	return day.Add(random(s.o.Spread))
}

// random draws a duration below d.
func random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d)))
	if err != nil {
		return d / 2 // never: crypto/rand does not fail
	}
	return time.Duration(n.Int64())
}

// Run asks and delivers until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.every(ctx, s.o.Every, nil, "people could not be asked about", s.Ask) })
	wg.Go(func() {
		s.every(ctx, min(s.o.Every, 5*time.Second), s.wake, "messages could not be delivered", s.Deliver)
	})
	wg.Wait()
}

func (s *Service) every(ctx context.Context, d time.Duration, wake <-chan struct{}, what string, do func(context.Context) error) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.ErrorContext(ctx, "notices are behind, and tried again", slog.String("what", what), slog.String("error", countersign.MessageOf(err)))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-wake:
		}
	}
}
