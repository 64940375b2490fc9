package mandate

import (
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
	d := Decision{Budgets: p.budgets(q, u, nil, kind)}
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
func (p *Policy) budgets(q *Question, purpose *purpose, programme *programme, kind countersign.MandateKind) []BudgetSpec {
	if programme != nil {
		// A programme replaces the budgets of one automated client with its own rate; each question still has its own record. It has one
		// provider, whose count is whole.
		return []BudgetSpec{{Name: BudgetProgramme, KeyParts: []string{string(programme.ID)}, Window: time.Hour, Limit: programme.PerHour, Side: countersign.SideProvider}}
	}
	member, official, subject := q.Consumer.MemberID.String(), q.OfficialName, q.Subject.Canonical()
	if official == "" {
		official = q.Official.Pseudonym
	}
	if official == "" {
		official = noOfficial
	}
	polling := pollingOf(purpose)
	poll := []string{member, official, q.Service.String(), subject}
	b := make([]BudgetSpec, 0, 6)
	b = append(b,
		BudgetSpec{Name: BudgetPeopleOfficial, KeyParts: []string{member, official}, Window: time.Hour, Limit: p.caps.PeopleOfficial, DistinctPart: subject},
		BudgetSpec{Name: BudgetPeopleMember, KeyParts: []string{member}, Window: time.Hour, Limit: p.caps.PeopleMember, DistinctPart: subject},
		BudgetSpec{Name: BudgetPollMinute, KeyParts: poll, Window: time.Minute, Limit: polling.PerMinute},
		BudgetSpec{Name: BudgetPollDay, KeyParts: poll, Window: day, Limit: polling.PerDay},
		// Only the consumer's gateway sees all the registers that its member asks.
		BudgetSpec{Name: BudgetLinkage, KeyParts: []string{member, subject}, Window: day, Limit: p.linkageOf(purpose),
			DistinctPart: q.Service.SubsystemID.String(), Side: countersign.SideConsumer},
	)
	if kind == countersign.MandateEmergency {
		b = append(b, BudgetSpec{Name: BudgetEmergency, KeyParts: []string{member}, Window: day, Limit: p.caps.EmergencyQuota})
	}
	return b
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
	shorter(&d.RecordLife, c.RecordLife)
	// A longer wait is the tighter one.
	d.WaitingPeriod = max(d.WaitingPeriod, c.WaitingPeriod)
	fewer(&d.PeopleOfficial, c.PeopleOfficial)
	fewer(&d.PeopleMember, c.PeopleMember)
	fewer(&d.Linkage, c.Linkage)
	fewer(&d.EmergencyQuota, c.EmergencyQuota)
	return d
}
