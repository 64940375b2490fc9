package subject

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/ledger"
)

// Cases are the objections, corrections and appeals that people bring through a portal. The portal's log is all their memory: each step is a leaf, whose record
// holds the step's text under a key of its own; what is in memory follows from the log and holds no text.
type Cases struct {
	log    *ledger.Log
	clock  clock.Clock
	logger *slog.Logger

	mu sync.Mutex
	by map[CaseNumber]*Case
}

// caseLife is how long a step's record is kept.
const caseLife = 3653 * 24 * time.Hour

// OpenCases reads the cases out of the portal's log.
func OpenCases(ctx context.Context, log *ledger.Log, now clock.Clock, logger *slog.Logger) (*Cases, error) {
	c := &Cases{log: log, clock: now, logger: logger, by: map[CaseNumber]*Case{}}
	var found []*ledger.Stored
	page := ledger.Page{}
	for {
		entries, err := log.List(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			page.Before = e.Index
			if e.Leaf.Kind == countersign.LeafCase && e.Record != nil {
				found = append(found, e)
			}
		}
		if len(entries) < ledger.MaxPage || page.Before == 0 {
			break
		}
	}
	slices.SortFunc(found, func(a, b *ledger.Stored) int { return cmp.Compare(a.Index, b.Index) })
	for _, e := range found {
		if err := c.replay(e); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// replay takes a step that the log holds.
func (c *Cases) replay(e *ledger.Stored) error {
	s, err := stepOf(e)
	if err != nil {
		return err
	}
	one := c.by[s.Case]
	if one == nil {
		one = &Case{tag: e.Tag}
		c.by[s.Case] = one
	}
	var prev countersign.Digest
	if n := len(one.steps); n > 0 {
		prev = one.steps[n-1].digest
	}
	if s.Number != len(one.steps) || s.Prev != prev {
		return countersign.Refuse(countersign.CodeStore, "step %d of a case does not follow the one before: the portal's log was changed, or its records were destroyed in part", s.Number)
	}
	one.apply(s, stored{e.Index, sha256.Sum256(e.Record.Note)})
	return nil
}

func stepOf(e *ledger.Stored) (*Step, error) {
	if e.Record == nil || !e.Record.Salt.Opens(e.Leaf.Commitment, e.Record.Note) {
		return nil, countersign.Refuse(countersign.CodeStore, "the record of leaf %d is not what the leaf commits to", e.Index)
	}
	s := new(Step)
	if err := json.Unmarshal(e.Record.Note, s); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the record of leaf %d is no step of a case", e.Index)
	}
	return s, nil
}

// record makes a step durable and then true. It is called with mu held.
func (c *Cases) record(ctx context.Context, one *Case, s *Step) error {
	s.Case, s.Number, s.At = one.Number, len(one.steps), countersign.MillisOf(c.clock.Now())
	if n := len(one.steps); n > 0 {
		s.Prev = one.steps[n-1].digest
	}
	note, err := json.Marshal(s)
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "a step cannot be written")
	}
	var salt countersign.Salt
	_, _ = rand.Read(salt[:]) // crypto/rand.Read never fails
	leaf := &countersign.Leaf{
		Kind: countersign.LeafCase, Hour: countersign.HourOf(s.At.Time()), Consumer: one.Against.String(), Purpose: countersign.PurposeCode(s.Kind), Commitment: salt.Commit(note),
	}
	placed, err := c.log.Append(ctx, ledger.Entry{
		Leaf: leaf, Tag: one.tag, Record: &ledger.Record{Salt: salt, Note: note}, Expires: s.At.Time().Add(caseLife),
	})
	if err != nil {
		return err
	}
	one.apply(s, stored{placed.Index, sha256.Sum256(note)})
	return nil
}

// NewCase is what a person brings.
type NewCase struct {
	Kind    CaseKind
	Against countersign.MemberID // the asker for an objection, the holder for a correction
	About   About                // Subject is filled in
	Ground  string
	Text    string
}

// Open begins a person's case.
func (c *Cases) Open(ctx context.Context, person countersign.SubjectID, n NewCase) (Case, error) {
	switch {
	case n.Kind != CaseObjection && n.Kind != CaseCorrection:
		return Case{}, countersign.Refuse(countersign.CodeBadRequest, "a case is an objection or a correction")
	case n.Against.IsZero() || n.Ground == "":
		return Case{}, countersign.Refuse(countersign.CodeBadRequest, "a case names whom it is against, and its ground")
	case len(n.Text) > MaxCaseText:
		return Case{}, countersign.Refuse(countersign.CodeTooLarge, "the text has %d bytes: %d at most", len(n.Text), MaxCaseText)
	}
	n.About.Subject = person.Canonical()
	c.mu.Lock()
	defer c.mu.Unlock()
	var raw [10]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	text := base32.StdEncoding.EncodeToString(raw[:])
	one := &Case{Number: CaseNumber(text[:4] + "-" + text[4:8] + "-" + text[8:12]), Against: n.Against, tag: c.log.TagOf(person)}
	s := &Step{Kind: StepOpened, By: PartyPerson, Text: n.Text, CaseKind: n.Kind, Ground: n.Ground, Against: n.Against, About: &n.About}
	if err := c.record(ctx, one, s); err != nil {
		return Case{}, err
	}
	c.by[one.Number] = one
	return one.copy(), nil
}

// copy is a case that nobody else changes.
func (c *Case) copy() Case {
	out := *c
	out.steps = slices.Clone(c.steps)
	return out
}

// Of lists a person's cases, newest first.
func (c *Cases) Of(person countersign.SubjectID) []Case {
	tags := c.log.TagsOf(person)
	return c.list(func(one *Case) bool { return slices.Contains(tags, one.tag) })
}

// For lists the cases that a member has to do with, newest first: an agency those against it, the independent body those that it is to decide or has decided.
func (c *Cases) For(member countersign.MemberID, body bool) []Case {
	return c.list(func(one *Case) bool { return one.concerns(member, body) })
}

func (c *Case) concerns(member countersign.MemberID, body bool) bool {
	if body {
		return c.Against != member && (c.State == CaseOverdue || c.State == CaseAppealed || c.State == CaseUpheld || c.State == CaseDismissed)
	}
	return c.Against == member
}

func (c *Cases) list(fits func(*Case) bool) []Case {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Case
	for _, one := range c.by {
		if fits(one) {
			out = append(out, one.copy())
		}
	}
	slices.SortFunc(out, func(a, b Case) int {
		return cmp.Or(b.Opened.Compare(a.Opened), cmp.Compare(a.Number, b.Number))
	})
	return out
}

// errNoCase makes a case of somebody else and one that is not there look alike.
func errNoCase() error {
	return countersign.Refuse(countersign.CodeUnknownService, "there is no such case for whoever asks")
}

// RecordedStep is a step with what proves that it stands in the portal's log: its bytes and the salt open the leaf's commitment.
type RecordedStep struct {
	Step
	Index    uint64           `json:"index"`
	Leaf     []byte           `json:"leaf"`
	Document []byte           `json:"document"`
	Salt     countersign.Salt `json:"salt"`
}

// Thread gives a case of a person with its steps, oldest first.
func (c *Cases) Thread(ctx context.Context, person countersign.SubjectID, number CaseNumber) (Case, []RecordedStep, error) {
	tags := c.log.TagsOf(person)
	return c.thread(ctx, number, func(one *Case) bool { return slices.Contains(tags, one.tag) })
}

// ThreadFor gives a case that a member has to do with.
func (c *Cases) ThreadFor(ctx context.Context, member countersign.MemberID, body bool, number CaseNumber) (Case, []RecordedStep, error) {
	return c.thread(ctx, number, func(one *Case) bool { return one.concerns(member, body) })
}

func (c *Cases) thread(ctx context.Context, number CaseNumber, may func(*Case) bool) (Case, []RecordedStep, error) {
	c.mu.Lock()
	one := c.by[number]
	if one == nil || !may(one) {
		c.mu.Unlock()
		return Case{}, nil, errNoCase()
	}
	out := one.copy()
	c.mu.Unlock()
	var steps []RecordedStep
	for _, at := range out.steps {
		e, err := c.log.Leaf(ctx, at.index)
		if err != nil {
			return Case{}, nil, err
		}
		s, err := stepOf(e)
		if err != nil {
			return Case{}, nil, err
		}
		steps = append(steps, RecordedStep{*s, at.index, e.LeafBytes, e.Record.Note, e.Record.Salt})
	}
	return out, steps, nil
}

// PersonStep takes a person's step: replied, appealed or withdrawn.
func (c *Cases) PersonStep(ctx context.Context, person countersign.SubjectID, number CaseNumber, kind StepKind, text string) (Case, error) {
	tags := c.log.TagsOf(person)
	return c.step(ctx, number, anyStep, &Step{Kind: kind, By: PartyPerson, Text: text}, func(one *Case) bool { return slices.Contains(tags, one.tag) })
}

// anyStep is for a step that follows whatever came before.
const anyStep = -1

// step takes a step of whoever may, after the step that its author knows as the newest.
func (c *Cases) step(ctx context.Context, number CaseNumber, follows int, s *Step, may func(*Case) bool) (Case, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.by[number]
	if one == nil || !may(one) {
		return Case{}, errNoCase()
	}
	if err := c.keepTime(ctx, one); err != nil { // a deadline that has passed comes before a step that is late
		return Case{}, err
	}
	if follows != anyStep && follows != len(one.steps)-1 {
		return Case{}, countersign.Refuse(countersign.CodeBadRequest, "the case has moved on to step %d since it was read: read it again", len(one.steps)-1)
	}
	if err := one.allow(s); err != nil {
		return Case{}, err
	}
	if err := c.record(ctx, one, s); err != nil {
		return Case{}, err
	}
	return one.copy(), nil
}

func (c *Cases) keepTime(ctx context.Context, one *Case) error {
	kind, ok := one.clockStep(c.clock.Now())
	if !ok {
		return nil
	}
	return c.record(ctx, one, &Step{Kind: kind, By: PartyClock})
}

// Tick takes the steps that the clock owes: silence escalates, an answer that nobody appealed stands. It goes on past a case that fails, and is called again.
func (c *Cases) Tick(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first error
	for _, one := range c.by {
		if err := c.keepTime(ctx, one); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Run keeps the time of all cases until ctx ends.
func (c *Cases) Run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if err := c.Tick(ctx); err != nil && ctx.Err() == nil {
			c.logger.ErrorContext(ctx, "a case's deadline could not be recorded; it is tried again", slog.String("error", countersign.MessageOf(err)))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
