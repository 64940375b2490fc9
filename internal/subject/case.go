package subject

import (
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// Terms of cases.
//
// LAW: DATA-CLASSES, defaults: a reply within 30 days, silence escalates to the independent body; an appeal within 90 days.
const (
	ReplyWithin  = 30 * 24 * time.Hour
	AppealWithin = 90 * 24 * time.Hour
	DecideWithin = 30 * 24 * time.Hour // the independent body's own clock: its passing changes nothing, and is public
)

// CaseNumber names a case, as people quote it. It is random.
type CaseNumber string

// CaseKind is what the person asks for.
type CaseKind string

// The kinds.
const (
	CaseObjection  CaseKind = "objection"  // against one use
	CaseCorrection CaseKind = "correction" // of data that a register holds
)

// CaseState is how far a case has come.
type CaseState string

// The states. The zero value is no case.
const (
	CaseOpen      CaseState = "open"      // the agency is to answer
	CaseAnswered  CaseState = "answered"  // the agency has; the person may appeal
	CaseOverdue   CaseState = "overdue"   // the agency was silent: the independent body has it
	CaseAppealed  CaseState = "appealed"  // the independent body has it
	CaseUpheld    CaseState = "upheld"    // closed by the independent body: the person was right
	CaseDismissed CaseState = "dismissed" // closed by the independent body: the person was not right
	CaseWithdrawn CaseState = "withdrawn" // closed by the person
	CaseSettled   CaseState = "settled"   // closed: the answer stood, nobody appealed in time
)

// Closed reports that nothing more can happen.
func (s CaseState) Closed() bool {
	return s == CaseUpheld || s == CaseDismissed || s == CaseWithdrawn || s == CaseSettled
}

// StepKind is what a step of a case was.
type StepKind string

// The kinds of steps, and who takes them.
const (
	StepOpened    StepKind = "opened"    // the person
	StepReplied   StepKind = "replied"   // the person, or the agency, without answering
	StepAccepted  StepKind = "accepted"  // the agency
	StepRejected  StepKind = "rejected"  // the agency
	StepCorrected StepKind = "corrected" // the agency: the data were changed, from one version to another
	StepEscalated StepKind = "escalated" // the clock: silence
	StepAppealed  StepKind = "appealed"  // the person
	StepUpheld    StepKind = "upheld"    // the independent body
	StepDismissed StepKind = "dismissed" // the independent body
	StepWithdrawn StepKind = "withdrawn" // the person
	StepSettled   StepKind = "settled"   // the clock: nobody appealed
)

// Party is who takes a step.
type Party string

// The parties.
const (
	PartyPerson Party = "person"
	PartyAgency Party = "agency"
	PartyBody   Party = "body" // a member with the role overseer
	PartyClock  Party = "clock"
)

// About is what a case is about.
type About struct {
	Use     string                 `json:"use,omitempty"`    // Use.ID, for an objection
	At      countersign.Millis     `json:"at,omitempty"`     // when that was
	Service countersign.ServiceID  `json:"service,omitzero"` // whose answer, or whose data
	Field   countersign.FieldPath  `json:"field,omitempty"`
	Subject string                 `json:"subject"` // whose case it is: the agency must know whom it answers. Personal data
	Trace   countersign.ExchangeID `json:"exchange,omitzero"`
}

// Step is one step of a case: the document that a leaf of the portal's log commits to. Prev chains the steps, so that none can be left out of a case unseen.
type Step struct {
	Case     CaseNumber           `json:"case"`
	Number   int                  `json:"step"` // 0 opens
	Prev     countersign.Digest   `json:"prev"` // SHA-256 of the step before, as recorded
	Kind     StepKind             `json:"kind"`
	By       Party                `json:"by"`
	Member   countersign.MemberID `json:"member,omitzero"`    // the agency or the body; zero for others
	Official string               `json:"official,omitempty"` // the named human who answers or decides
	Role     string               `json:"role,omitempty"`
	At       countersign.Millis   `json:"at"`
	Text     string               `json:"text,omitempty"`

	CaseKind CaseKind             `json:"caseKind,omitempty"` // of the step that opens
	Ground   string               `json:"ground,omitempty"`
	Against  countersign.MemberID `json:"against,omitzero"`
	About    *About               `json:"about,omitempty"`

	// Before and After are SHA-256 of the disputed data's versions, of a step that corrected them.
	Before countersign.Digest `json:"before"`
	After  countersign.Digest `json:"after"`

	// Of a member's step: the act as the member signed it, by a key that the directory holds for it.
	Act       []byte            `json:"act,omitempty"`
	Key       countersign.KeyID `json:"key,omitempty"`
	Signature []byte            `json:"signature,omitempty"`
}

// MaxCaseText bounds a step's text in bytes.
const MaxCaseText = 8 << 10

// Case is a case as far as its steps have come. It holds no text: the steps do.
type Case struct {
	Number  CaseNumber           `json:"number"`
	Kind    CaseKind             `json:"kind"`
	State   CaseState            `json:"state"`
	Against countersign.MemberID `json:"against"`
	Opened  time.Time            `json:"opened"`
	Since   time.Time            `json:"since"` // when the present clock began
	Due     time.Time            `json:"due"`   // when it ends; zero where none runs

	steps []stored
	tag   countersign.SubjectTag
}

// Steps is how many steps the case has taken.
func (c *Case) Steps() int { return len(c.steps) }

// stored is where a step is.
type stored struct {
	index  uint64
	digest countersign.Digest
}

// allow refuses a step that the case's state, its party or its own form does not allow.
func (c *Case) allow(s *Step) error {
	switch {
	case len(s.Text) > MaxCaseText:
		return countersign.Refuse(countersign.CodeTooLarge, "the text has %d bytes: %d at most", len(s.Text), MaxCaseText)
	case c.State.Closed():
		return countersign.Refuse(countersign.CodeAccessDenied, "the case is closed: %s", c.State)
	case s.Kind == StepReplied && strings.TrimSpace(s.Text) == "":
		return countersign.Refuse(countersign.CodeBadRequest, "a reply without text says nothing")
	}
	if err := c.party(s); err != nil {
		return err
	}
	return c.form(s)
}

// party says who may take which step in which state.
//
// LAW: A51 and SAFEGUARDS 19: the agency never has the last word on its own data: once a case is appealed, or the agency was silent, the independent body
// closes it.
func (c *Case) party(s *Step) error {
	type allowed struct {
		by     Party
		states []CaseState
	}
	rules := map[StepKind][]allowed{
		StepReplied:   {{PartyPerson, []CaseState{CaseOpen, CaseAnswered, CaseOverdue, CaseAppealed}}, {PartyAgency, []CaseState{CaseOpen, CaseOverdue, CaseAppealed}}},
		StepAccepted:  {{PartyAgency, []CaseState{CaseOpen}}},
		StepRejected:  {{PartyAgency, []CaseState{CaseOpen}}},
		StepCorrected: {{PartyAgency, []CaseState{CaseOpen}}},
		StepEscalated: {{PartyClock, []CaseState{CaseOpen}}},
		StepAppealed:  {{PartyPerson, []CaseState{CaseAnswered}}},
		StepUpheld:    {{PartyBody, []CaseState{CaseOverdue, CaseAppealed}}},
		StepDismissed: {{PartyBody, []CaseState{CaseOverdue, CaseAppealed}}},
		StepWithdrawn: {{PartyPerson, []CaseState{CaseOpen, CaseAnswered, CaseOverdue, CaseAppealed}}},
		StepSettled:   {{PartyClock, []CaseState{CaseAnswered}}},
	}
	for _, r := range rules[s.Kind] {
		if r.by == s.By && slices.Contains(r.states, c.State) {
			switch {
			case s.By == PartyAgency && s.Member != c.Against:
				return countersign.Refuse(countersign.CodeAccessDenied, "the case is against another member")
			case s.By == PartyBody && s.Member == c.Against:
				return countersign.Refuse(countersign.CodeAccessDenied, "nobody decides on a case against itself")
			}
			return nil
		}
	}
	return countersign.Refuse(countersign.CodeAccessDenied, "a case that is %s takes no step %q by the %s", c.State, s.Kind, s.By)
}

// form holds what a step must say.
//
// LAW: A19 and SAFEGUARDS 29: a named human answers for a decision. A52: versions of disputed data are digested before and after.
func (c *Case) form(s *Step) error {
	switch s.Kind {
	case StepAccepted, StepRejected, StepCorrected, StepUpheld, StepDismissed:
		if strings.TrimSpace(s.Official) == "" || strings.TrimSpace(s.Role) == "" || strings.TrimSpace(s.Text) == "" {
			return countersign.Refuse(countersign.CodeBadRequest, "an answer or a decision gives its reasons, and names the official who answers for it, with their role")
		}
	}
	versions := !s.Before.IsZero() && !s.After.IsZero() && s.Before != s.After
	if s.Kind == StepCorrected && !versions {
		return countersign.Refuse(countersign.CodeBadRequest, "a correction gives the digests of the data before and after, and they differ")
	}
	if s.Kind == StepCorrected && c.Kind != CaseCorrection {
		return countersign.Refuse(countersign.CodeBadRequest, "an objection corrects no data: accept it or reject it")
	}
	if s.Kind == StepAccepted && c.Kind == CaseCorrection {
		return countersign.Refuse(countersign.CodeBadRequest, "a correction that is accepted is made: answer with corrected and both digests")
	}
	if s.Kind != StepCorrected && (!s.Before.IsZero() || !s.After.IsZero()) {
		return countersign.Refuse(countersign.CodeBadRequest, "only a correction gives digests of versions")
	}
	return nil
}

// apply moves the case on by a step that was recorded.
func (c *Case) apply(s *Step, at stored) {
	c.steps = append(c.steps, at)
	when := s.At.Time()
	move := func(state CaseState, within time.Duration) {
		c.State, c.Since, c.Due = state, when, time.Time{}
		if within > 0 {
			c.Due = when.Add(within)
		}
	}
	switch s.Kind {
	case StepOpened:
		c.Number, c.Kind, c.Against, c.Opened = s.Case, s.CaseKind, s.Against, when
		move(CaseOpen, ReplyWithin)
	case StepAccepted, StepRejected, StepCorrected:
		move(CaseAnswered, AppealWithin)
	case StepEscalated:
		move(CaseOverdue, DecideWithin)
	case StepAppealed:
		move(CaseAppealed, DecideWithin)
	case StepUpheld:
		move(CaseUpheld, 0)
	case StepDismissed:
		move(CaseDismissed, 0)
	case StepWithdrawn:
		move(CaseWithdrawn, 0)
	case StepSettled:
		move(CaseSettled, 0)
	}
}

// clockStep is the step that the clock owes a case now, if any.
func (c *Case) clockStep(now time.Time) (StepKind, bool) {
	if c.Due.IsZero() || now.Before(c.Due) {
		return "", false
	}
	switch c.State {
	case CaseOpen:
		return StepEscalated, true
	case CaseAnswered:
		return StepSettled, true
	}
	return "", false
}
