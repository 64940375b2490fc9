package mandate

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"countersign.dev/countersign"
)

// BudgetSpec describes one budget that an exchange takes from. The ledger counts it durably and exactly: within any Window at most Limit
// exchanges with the same Name and KeyParts, or where DistinctPart is set, at most Limit different DistinctParts; a DistinctPart that the
// window has seen already is free.
//
// KeyParts and DistinctPart hold personal data (a subject, an official's pseudonym): the store keeps a PRF of them, never the text.
//
// What a key leaves out is what cannot be used to escape it. No key holds the purpose, the legal basis, the case or the consumer's
// subsystem: an agency that changes those draws from the same budget. Officials enter by their canonical spelling ([CanonicalOfficial]) at
// the consumer, and by its pseudonym at the provider; subjects by their canonical identifier. An agency can still invent officials, whose names are its own word; the
// budget per member, which names no official, bounds that.
type BudgetSpec struct {
	Name         string
	KeyParts     []string
	Window       time.Duration
	Limit        int
	DistinctPart string
	Side         countersign.Side // which side counts it; zero is both, each in its own store
	Says         string           // the refusal's message when it is used up: what was counted, and what helps
}

// The names of budgets.
const (
	BudgetPeopleOfficial = "people-per-official-hour"
	BudgetPeopleMember   = "people-per-member-hour"
	BudgetPollMinute     = "polls-per-minute"
	BudgetPollDay        = "polls-per-day"
	BudgetLinkage        = "registers-per-person-day"
	BudgetProgramme      = "programme-per-hour"
	BudgetEmergency      = "emergencies-per-member-day"
)

// ConsumerBudgets lists what the consumer's gateway counts.
func (d *Decision) ConsumerBudgets() []BudgetSpec { return d.budgetsOf(countersign.SideConsumer) }

// ProviderBudgets lists what the provider's gateway counts.
func (d *Decision) ProviderBudgets() []BudgetSpec { return d.budgetsOf(countersign.SideProvider) }

func (d *Decision) budgetsOf(side countersign.Side) []BudgetSpec {
	out := make([]BudgetSpec, 0, len(d.Budgets))
	for _, b := range d.Budgets {
		if b.Side == 0 || b.Side == side {
			out = append(out, b)
		}
	}
	return out
}

// ConsumerBudgets lists what the consumer's gateway counts of a question that something of the kind permits, which that gateway cannot see: a
// relation that the provider has confirmed, a mandate that the provider verifies. It is empty where the directory lacks purpose or service.
func (p *Policy) ConsumerBudgets(q *Question, kind countersign.MandateKind) []BudgetSpec {
	u, s := p.purposes[q.Purpose], p.services[q.Service]
	if u == nil || s == nil || !s.personal || q.Subject.IsZero() {
		return nil
	}
	d := Decision{Budgets: p.budgets(q, s, u, nil, kind)}
	return d.ConsumerBudgets()
}

// The polling bounds of DATA-CLASSES for a purpose that states none.
const (
	defaultPollsPerMinute = 1
	defaultPollsPerDay    = 20
)

const day = 24 * time.Hour

// noOfficial stands for the official where there is none. All automated clients of a member share it, so that a second subsystem does
// not bring a second budget.
const noOfficial = "automated"

// budgets names what a question about a person draws from.
func (p *Policy) budgets(q *Question, service *service, purpose *purpose, programme *programme, kind countersign.MandateKind) []BudgetSpec {
	if programme != nil {
		// A programme replaces the budgets of one automated client with its own rate; each question still has its own record. It has one
		// provider, whose count is whole.
		return []BudgetSpec{{Name: BudgetProgramme, KeyParts: []string{string(programme.ID)}, Window: time.Hour, Limit: programme.PerHour, Side: countersign.SideProvider, Says: programme.says}}
	}
	_, member := p.textOf(q.Consumer)
	official, subject := q.OfficialName, q.Subject.Canonical()
	if official == "" {
		official = q.Official.Pseudonym
	}
	if official == "" {
		official = noOfficial
	}
	if kind == countersign.MandateOwn {
		official = subject // each person asks for themselves: nobody uses up what another may
	}
	// One array holds the parts of every key.
	parts := [...]string{member, official, service.name, subject, member, subject}
	b := make([]BudgetSpec, 0, 6)
	for i := range purpose.budgets {
		t := &purpose.budgets[i]
		if t.Name == BudgetEmergency && kind != countersign.MandateEmergency {
			continue
		}
		if own := kind == countersign.MandateOwn; own && t.Name != BudgetPollMinute && t.Name != BudgetPollDay {
			continue // LAW: GDPR Art. 15: how many people see their own data in an hour, and in how many registers, is nobody's to bound
		}
		b = append(b, *t)
		s := &b[len(b)-1]
		switch t.Name {
		case BudgetPeopleOfficial:
			s.KeyParts, s.DistinctPart = parts[:2:2], subject
		case BudgetPeopleMember:
			s.KeyParts, s.DistinctPart = parts[:1:1], subject
		case BudgetPollMinute, BudgetPollDay:
			s.KeyParts = parts[:4:4]
		case BudgetLinkage:
			s.KeyParts, s.DistinctPart = parts[4:], service.provider
		case BudgetEmergency:
			s.KeyParts = parts[:1:1]
		}
	}
	return b
}

// budgetsOf writes down what questions for a purpose draw from, but for whose they are.
func (p *Policy) budgetsOf(u *purpose) []BudgetSpec {
	polling, linkage := pollingOf(u), p.linkageOf(u)
	const people = "%s has asked about %s within an hour, the most that is allowed: wait until the window has moved on"
	const polls = "this official has asked this service about this person %s within a %s, the most that the purpose allows: wait, for nobody is followed by asking again and again"
	return []BudgetSpec{
		{Name: BudgetPeopleOfficial, Window: time.Hour, Limit: p.caps.PeopleOfficial, Says: fmt.Sprintf(people, "this official", peopleOf(p.caps.PeopleOfficial))},
		{Name: BudgetPeopleMember, Window: time.Hour, Limit: p.caps.PeopleMember, Says: fmt.Sprintf(people, "this member", peopleOf(p.caps.PeopleMember))},
		{Name: BudgetPollMinute, Window: time.Minute, Limit: polling.PerMinute, Says: fmt.Sprintf(polls, count(polling.PerMinute, "time"), "minute")},
		{Name: BudgetPollDay, Window: day, Limit: polling.PerDay, Says: fmt.Sprintf(polls, count(polling.PerDay, "time"), "day")},
		// Only the consumer's gateway sees all the registers that its member asks.
		{Name: BudgetLinkage, Window: day, Limit: linkage, Side: countersign.SideConsumer, Says: fmt.Sprintf(
			"this member has asked %s about this person within a day, the most that the purpose allows: a further one is asked when the window has moved on", count(linkage, "register"))},
		{Name: BudgetEmergency, Window: day, Limit: p.caps.EmergencyQuota, Says: fmt.Sprintf(
			"this member has tried emergency access %s within a day, the most that is allowed: the overseer knows of each", count(p.caps.EmergencyQuota, "time"))},
	}
}

func peopleOf(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d different people", n)
}

// ShownBudgets lists what the provider counts for somebody whom an answer shows beside the person asked about: the same bounds on how many people a
// member and an official learn of in an hour, which nobody escapes by asking for families. It is empty under a programme, whose rate replaces them.
func (d *Decision) ShownBudgets(person countersign.SubjectID) []BudgetSpec {
	var out []BudgetSpec
	for _, b := range d.Budgets {
		if b.Name == BudgetPeopleOfficial || b.Name == BudgetPeopleMember {
			b.DistinctPart = person.Canonical()
			out = append(out, b)
		}
	}
	return out
}

// CanonicalOfficial gives one spelling to an official's identifier before a pseudonym is made of it: letters and digits alone, in capitals.
// Spaces, punctuation, control and invisible characters, and the case of letters make no second official. It returns "" where nothing is
// left, which is no official.
func CanonicalOfficial(id string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		// The smallest rune of the simple-folding orbit, so that k, K and the Kelvin sign meet.
		low := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			low = min(low, f)
		}
		return low
	}, id)
}

// tighter gives the federation's caps where they tighten the defaults, and the defaults elsewhere.
func tighter(c countersign.Caps) countersign.Caps {
	d := countersign.DefaultCaps()
	shorter := func(to *countersign.Duration, v countersign.Duration) {
		if v > 0 {
			*to = min(*to, v)
		}
	}
	fewer := func(to *int, v int) {
		if v > 0 {
			*to = min(*to, v)
		}
	}
	shorter(&d.NoticeDelay, c.NoticeDelay)
	shorter(&d.NoticeCap, c.NoticeCap)
	shorter(&d.WarrantLife, c.WarrantLife)
	shorter(&d.EmergencyReview, c.EmergencyReview)
	shorter(&d.WarrantReview, c.WarrantReview)
	shorter(&d.RecordLife, c.RecordLife)
	// A longer wait is the tighter one.
	d.WaitingPeriod = max(d.WaitingPeriod, c.WaitingPeriod)
	fewer(&d.PeopleOfficial, c.PeopleOfficial)
	fewer(&d.PeopleMember, c.PeopleMember)
	fewer(&d.Linkage, c.Linkage)
	fewer(&d.EmergencyQuota, c.EmergencyQuota)
	return d
}
