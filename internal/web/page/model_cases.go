package page

import (
	"time"

	"countersign.dev/countersign"
)

// CaseKind is what the person asks for.
type CaseKind string

// The kinds.
const (
	CaseObject  CaseKind = "object"  // against one exchange
	CaseCorrect CaseKind = "correct" // of data that a register holds
	CaseAppeal  CaseKind = "appeal"  // of an answer, to the independent body
)

// CaseState is how far a case has come.
type CaseState string

// The states.
const (
	CaseOpen      CaseState = "open"      // the agency is to answer by Due
	CaseAnswered  CaseState = "answered"  // the agency has answered; an appeal may be made until Due
	CaseOverdue   CaseState = "overdue"   // the agency is silent; the independent body has it now
	CaseAppealed  CaseState = "appealed"  // the independent body decides by Due
	CaseUpheld    CaseState = "upheld"    // closed, the person was right
	CaseDismissed CaseState = "dismissed" // closed, the person was not right
	CaseWithdrawn CaseState = "withdrawn" // closed by the person
	CaseSettled   CaseState = "settled"   // closed: the answer stood, no appeal was made in time
)

// Closed reports whether nothing more can happen.
func (s CaseState) Closed() bool {
	return s == CaseUpheld || s == CaseDismissed || s == CaseWithdrawn || s == CaseSettled
}

// CaseSummary is a line of the list of cases.
type CaseSummary struct {
	Handle  Handle
	Number  string // as the person may quote it
	Kind    CaseKind
	State   CaseState
	Against string // the agency
	About   string // what the case is about, in a line
	Opened  time.Time
	Due     time.Time // the end of the present clock; zero when none runs
	Waiting bool      // for the person
}

// Cases is "my cases".
type Cases struct {
	Cases []CaseSummary
	Code  string // shown once after a person without an identifier opens a case
}

// Case is one case with its thread.
type Case struct {
	Summary     CaseSummary
	Entry       *Entry                // the exchange that it is about, if it is
	Register    string                // the register that it is about, for corrections
	Field       countersign.FieldPath // the disputed field, for corrections
	ClockFrom   time.Time             // when the present clock began
	Steps       []CaseStep            // oldest first
	MayReply    bool
	MayWithdraw bool
	MayAppeal   bool
	Errors      FieldErrors // "text", "appeal"
	Text        string      // what the person had typed when a form came back with errors
}

// CaseStep is one step of a thread. Each is a leaf.
type CaseStep struct {
	When     time.Time
	By       CaseParty
	Name     string // of the agency or body; empty for the person
	Official string // the named human who answers, and their role
	Kind     CaseStepKind
	Text     string
	Before   countersign.Digest // of disputed data, for corrections
	After    countersign.Digest
	Proof    ProofState
	Receipt  Handle
}

// CaseParty is who took a step.
type CaseParty string

// The parties.
const (
	PartyPerson CaseParty = "person"
	PartyAgency CaseParty = "agency"
	PartyBody   CaseParty = "body"  // the independent body
	PartyClock  CaseParty = "clock" // a deadline passed
)

// CaseStepKind says what a step was.
type CaseStepKind string

// The kinds.
const (
	StepOpened    CaseStepKind = "opened"
	StepReceived  CaseStepKind = "received"
	StepReplied   CaseStepKind = "replied"
	StepAccepted  CaseStepKind = "accepted"  // the agency agrees
	StepRejected  CaseStepKind = "rejected"  // the agency does not
	StepCorrected CaseStepKind = "corrected" // the register's data were changed
	StepEscalated CaseStepKind = "escalated" // silence
	StepAppealed  CaseStepKind = "appealed"
	StepUpheld    CaseStepKind = "upheld"
	StepDismissed CaseStepKind = "dismissed"
	StepWithdrawn CaseStepKind = "withdrawn"
)

// NewCase is the form that opens a case: an objection to an entry, or a correction of held data.
type NewCase struct {
	Kind      CaseKind // CaseObject or CaseCorrect
	Entry     *Entry
	Register  string
	Handle    Handle                  // of the entry or register: the form's target
	Fields    []countersign.FieldPath // that may be corrected
	Field     countersign.FieldPath   // chosen
	Against   string
	Grounds   []CaseGround // that may be chosen
	Ground    CaseGround   // chosen
	Text      string
	ReplyDays int
	Errors    FieldErrors // "ground", "field", "text"
}

// CaseGround is why a person objects.
type CaseGround string

// The grounds.
const (
	GroundNoReason   CaseGround = "no-reason"   // I know of no reason for them to ask
	GroundNotMyCase  CaseGround = "not-my-case" // the case is not mine, or was closed
	GroundTooMuch    CaseGround = "too-much"    // more left than was needed
	GroundKnown      CaseGround = "known"       // I think that somebody whom I know looked
	GroundConsent    CaseGround = "consent"     // I had not consented, or had withdrawn
	GroundWrong      CaseGround = "wrong"       // the data are wrong
	GroundOld        CaseGround = "old"         // the data are out of date
	GroundIncomplete CaseGround = "incomplete"  // something is missing
	GroundOther      CaseGround = "other"
)
