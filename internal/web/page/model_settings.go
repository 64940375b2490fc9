package page

import (
	"time"

	"countersign.dev/countersign"
)

// Consents is the list of consents.
type Consents struct {
	Pending []Consent
	Given   []Consent
	Ended   []Consent
	Sources []Source // of the uses that are counted
}

// Consent is the person's word that one agency may get listed fields for one purpose.
type Consent struct {
	Handle   Handle
	Agency   string
	Holder   string
	Service  string
	Purpose  string
	Law      Law
	Case     string
	Fields   []countersign.FieldPath // exactly those that may leave
	Special  bool
	Asked    time.Time
	Due      time.Time // until when an application may be answered
	Agreed   string    // the sentence that the person agreed to, once there is one
	From     time.Time
	Until    time.Time
	Uses     int
	Granted  int // how often it may be used; zero when without number
	State    ConsentState
	Changed  time.Time     // given, refused, withdrawn or ended at
	Keep     time.Duration // how long the agency may keep what it received
	LastUsed time.Time
}

// ConsentState is how a consent stands.
type ConsentState string

// The states.
const (
	ConsentPending   ConsentState = "pending"
	ConsentGiven     ConsentState = "given"
	ConsentRefused   ConsentState = "refused"
	ConsentWithdrawn ConsentState = "withdrawn"
	ConsentSpent     ConsentState = "spent"   // all uses are used
	ConsentExpired   ConsentState = "expired" // its time is over, or nobody answered in time
)

// ConsentView is one consent: a pending one with its form, or what became of it.
type ConsentView struct {
	Consent Consent
	Entries []Entry // that used it
	Sources []Source
	MaySign bool // the way by which the person logged in can give consents
	Errors  FieldErrors
}

// ConsentSign is a consent word for word, before the person logs in for it.
type ConsentSign struct {
	Consent  Consent
	Sentence string // what is agreed to
	Code     string // that the login service shows too
	Deed     Handle
	Provider string // name of the login service
}

// Settings is where notices go.
type Settings struct {
	Email        string // as the person typed it, or masked when it is stored
	EmailState   ContactState
	Webhook      string
	WebhookState ContactState
	Frequency    Frequency
	Saved        bool        // contact terms are stored, and may be removed
	Off          bool        // this portal sends no notices
	Hooks        bool        // it sends webhooks
	Secret       string      // with which messages to the webhook are signed
	CodeDue      bool        // an address waits for its confirmation code
	Stale        bool        // the permission has ended: saving the page makes another
	Errors       FieldErrors // "code", "email", "webhook", "frequency"
}

// Addresses of notices.
const (
	PathSettingsConfirm = "/notices/confirm"       // POST: code
	PathNoticeStop      = "/notices/stop/{handle}" // GET, POST, without a login; the handle is the portal's own, from a notice
)

// FlashContactConfirmed says that an address gets notices from now on.
const FlashContactConfirmed Flash = "contact-confirmed"

// NoticeStop is the page behind the address in a notice.
type NoticeStop struct {
	Handle Handle
	Done   bool
}

// ContactState is whether notices reach a contact.
type ContactState string

// The states; the zero value means that there is no contact.
const (
	ContactNone        ContactState = ""
	ContactUnconfirmed ContactState = "unconfirmed"
	ContactWorks       ContactState = "works"
	ContactFails       ContactState = "fails"
)

// Frequency is how soon a notice leaves.
type Frequency string

// The frequencies.
const (
	FrequencyDaily Frequency = "daily"
	FrequencyNow   Frequency = "now"
	FrequencyNever Frequency = "never"
)

// Export is where the person takes the timeline away.
type Export struct {
	Count   int
	More    bool      // there are more than Count, not counted
	Print   int       // how many entries are printed at most
	Proofs  int       // of how many entries there are proofs in one file at most
	From    time.Time // of the oldest that was counted
	Until   time.Time
	Narrow  bool // a filter is active
	Sources []Source
}

// Problem is a failure of our own or a wrong turn, coherent with the RFC 9457 document of the same problem.
type Problem struct {
	Status    int
	Code      countersign.Code
	Kind      ProblemKind
	Detail    string    // a message of the taxonomy, which holds no personal data
	Reference string    // the id under which the operator finds it
	Retry     time.Time // when it makes sense to come back; zero when not known
}

// ProblemKind chooses the sentences of an error page.
type ProblemKind string

// The kinds; the zero value chooses by status.
const (
	ProblemNotFound    ProblemKind = "not-found"
	ProblemExpired     ProblemKind = "expired"      // a form or session that has run out
	ProblemForbidden   ProblemKind = "forbidden"    // not this person's
	ProblemTooMany     ProblemKind = "too-many"     // rate limit
	ProblemUnavailable ProblemKind = "unavailable"  // come back later
	ProblemLogin       ProblemKind = "login-failed" // the identity provider's word does not hold
	ProblemInternal    ProblemKind = "internal"
)

// Help is what the page explains, with the federation's own figures.
type Help struct {
	DelayCap   time.Duration
	Kept       time.Duration
	ReplyIn    time.Duration
	AppealIn   time.Duration
	Overseer   string
	Witnesses  []string
	SourceURL  string // where the program's source is published; empty when not
	VerifyFile string
}
