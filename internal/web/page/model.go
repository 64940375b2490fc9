package page

import (
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web"
)

// Handle names one thing within one session: random, meaningless outside it, safe in a path. Letters, digits, '-' and '_'.
type Handle string

// Frame is what every page carries around its content.
type Frame struct {
	Locale     *web.Localizer
	Assets     *web.Assets
	Languages  []Language
	Federation string // its name, in the page's language
	Demo       bool   // the federation is marked demo in its signed root
	Person     string // how the person is greeted; empty when nobody is signed in
	CSRF       string // token that each form of this page carries
	Now        time.Time
	Section    Section
	Flash      Flash
	Cases      int       // cases that wait for the person; shown beside the section's name
	Consents   int       // applications for consent that wait for the person
	Expires    time.Time // when the session ends unless it is used; zero when nobody is signed in
	// Link rewrites an address of ours; nil leaves it. The gallery uses it to write pages that point at each other as files.
	Link func(path string) string
}

// Language is one choice of the language switch.
type Language struct {
	Tag     string // BCP 47
	Name    string // in that language
	URL     string
	Current bool
}

// Section is a part of the portal that the navigation names.
type Section string

// The sections; the zero value marks none.
const (
	SectionTimeline  Section = "timeline"
	SectionYear      Section = "year"
	SectionCatalogue Section = "catalogue"
	SectionCases     Section = "cases"
	SectionConsents  Section = "consents"
	SectionSettings  Section = "settings"
	SectionHelp      Section = "help"
)

// Flash is a one-time word about what the person has just done.
type Flash string

// The flashes; the zero value shows nothing.
const (
	FlashSettingsSaved    Flash = "settings-saved"
	FlashCaseOpened       Flash = "case-opened"
	FlashCaseReplied      Flash = "case-replied"
	FlashCaseWithdrawn    Flash = "case-withdrawn"
	FlashCaseAppealed     Flash = "case-appealed"
	FlashConsentGiven     Flash = "consent-given"
	FlashConsentRefused   Flash = "consent-refused"
	FlashConsentWithdrawn Flash = "consent-withdrawn"
	FlashConsentStopped   Flash = "consent-stopped" // the login for it did not come about, or was not for it
	FlashContactRemoved   Flash = "contact-removed"
)

// FieldErrors are what is wrong with a form's fields: the field's name to the id of a message of the locale under "error.field".
type FieldErrors map[string]string

// Login is the landing page.
type Login struct {
	Issuers   []Issuer
	Expired   bool // the session has ended and the person has been sent here
	SignedOut bool
}

// Issuer is one way to prove who one is.
type Issuer struct {
	Handle   Handle
	Name     string
	CaseCode bool // for people without a national identifier, by a code on a letter
}

// Asker is who really asked.
type Asker struct {
	Agency     string // the organisation's name
	System     string // its information system
	Role       string // the official's role, as the agency states it
	Official   string // the name or number that a service's entry discloses; usually empty
	Assurance  countersign.Assurance
	OnBehalfOf []string // nearest principal first
	Self       bool     // the person's own view through a portal
	Overseer   bool     // the independent body, reading the log
}

// Seen says from whose log an entry is known.
type Seen uint8

// The zero value is both sides, which agree.
const (
	SeenBoth         Seen = iota
	SeenProviderOnly      // the asking agency shows no record of it
	SeenConsumerOnly      // the register shows no record of it
	SeenUnpaired          // both show one and they differ: see Differences
)

// Notice marks what is unusual about an entry and must be seen before it is opened.
type Notice string

// The notices.
const (
	NoticeEmergency   Notice = "emergency"    // vital interests, reviewed afterwards
	NoticeUnwitnessed Notice = "unwitnessed"  // released before witnesses had cosigned
	NoticeDelayed     Notice = "delayed"      // a court had delayed its showing
	NoticeRelated     Notice = "related"      // others were shown too, or this person as somebody's relative
	NoticeDisclosed   Notice = "disclosed"    // the official's own id reached the register
	NoticeNotAccepted Notice = "not-accepted" // the asking gateway dropped the answer
	NoticeProof       Notice = "proof"        // the proof does not hold
	NoticeCase        Notice = "case"         // the person has a case on it
	NoticeUndecided   Notice = "undecided"    // a machine asked, and no decision that names a human rests on it
)

// Entry is one exchange about the person as the timeline shows it.
type Entry struct {
	Handle     Handle
	When       time.Time // when the provider answered or refused
	Asker      Asker
	Holder     string // the organisation whose register was asked
	Service    string // what was asked of it
	Purpose    string // the directory's plain sentence
	Categories []string
	Special    bool // a special category is among them
	Outcome    countersign.Outcome
	Reasons    []countersign.Code // of a refusal
	Mandate    countersign.MandateKind
	Fields     []countersign.FieldPath // that left
	Seen       Seen
	Notices    []Notice
	Permits    bool // no use: the person permitted the portal to ask for news
}

// GroupKind says why entries stand together.
type GroupKind uint8

// The zero value is an entry by itself.
const (
	GroupNone      GroupKind = iota
	GroupRepeat              // the same agency, service and purpose, again
	GroupProgramme           // one programme of legitimate volume
	GroupRefusals            // the same refusal, again
)

// Item is one line of a day: an entry, or several that belong together. Entries holds one at least, newest first.
type Item struct {
	Kind      GroupKind
	Programme string // its name, for GroupProgramme
	Entries   []Entry
	Count     int // how many there were in all, where not all are in Entries; zero means len(Entries)
}

// Day is a day's items, newest first. Date is any instant of the day in the locale's time zone.
type Day struct {
	Date  time.Time
	Items []Item
}

// SourceState says how a member's gateway answered.
type SourceState string

// The states.
const (
	SourceAnswered SourceState = "answered"
	SourceSlow     SourceState = "slow"    // has not answered yet
	SourceDead     SourceState = "dead"    // cannot be reached
	SourceRefused  SourceState = "refused" // refused to answer
	SourceInvalid  SourceState = "invalid" // its answer does not hold: signature, count or tree size
)

// Source is one member that was asked for its records of the person.
type Source struct {
	Agency  string
	State   SourceState
	Entries int
	Since   time.Time // last good answer in this session, where the present one is missing; zero when none
}

// Filter is what the timeline is narrowed to. Empty fields do not narrow. The choices are what the person may pick from.
type Filter struct {
	From, Until string // dates as a date input writes them: 2006-01-02
	Agency      string // value of a Choice
	Purpose     string
	Category    string
	Search      string
	Refused     bool // refused attempts only
	Agencies    []Choice
	Purposes    []Choice
	Categories  []Choice
	Errors      FieldErrors // "from", "until"
}

// Active reports whether the filter narrows anything.
func (f Filter) Active() bool {
	return f.From != "" || f.Until != "" || f.Agency != "" || f.Purpose != "" || f.Category != "" || f.Search != "" || f.Refused
}

// Choice is one value of a select; pages sort them by label in the locale's order.
type Choice struct {
	Value string
	Label string
}

// Timeline is "my data's use".
type Timeline struct {
	Asked   time.Time // when the gateways were asked
	Sources []Source
	Filter  Filter
	Days    []Day
	Total   int // entries that fit the filter
	From    int // number of the first shown, 1 for the newest
	Until   int // number of the last shown
	Refused int // of Total
	Older   Handle
	Newer   Handle
	Cut     bool // on paper: there are older ones for which there is no room
	// DelayCap is the federation's absolute cap on a court's delay: what the sentence about secrecy promises.
	DelayCap time.Duration
	Kept     time.Duration // how long records are kept

	Destroyed uint64 // records of all people that were destroyed at their end: whose they were, nobody can tell
}

// EntryDetail is the page of one entry.
type EntryDetail struct {
	Entry       Entry
	Exchange    countersign.ExchangeID
	Asked       time.Time // by the consumer's clock
	Law         Law
	Case        string // the agency's case number
	Authority   Authority
	Purposes    PurposeTerms
	Others      []OtherPerson // who else was shown in the same answer
	AsRelative  bool          // this person was shown as a relative of the one that was asked about
	Differences []Difference
	Following   []Following
	Proof       Proof
	KeptUntil   time.Time // when the record is destroyed by key
	MayObject   bool
	MayCorrect  bool
	Cases       []CaseSummary // the person's cases on this entry
}

// Law is one article.
type Law struct {
	Name    string
	Article string
	URL     string
}

// PurposeTerms is what a purpose binds the asker to.
type PurposeTerms struct {
	Keep time.Duration // how long the asker may keep what it received
}

// Authority is the mandate behind an entry, beyond purpose and law.
type Authority struct {
	Kind     countersign.MandateKind
	ID       string // its number, as the person may quote it
	Issuer   string // court, register that confirmed a case, or whoever declared an emergency
	Since    time.Time
	Until    time.Time
	Uses     int       // how often it has been used; zero when not known
	Granted  int       // how often it may be used; zero when without number
	Hidden   time.Time // until when a court delayed the showing of this entry; zero when it did not
	Review   ReviewState
	ReviewBy time.Time // when the review of an emergency is due, or was done
	Ground   string    // the plain reason in the mandate
	Consent  Handle    // the person's own consent, where it is one
}

// ReviewState is how far the review of an emergency or warrant has come.
type ReviewState string

// The states; the zero value means that none is due.
const (
	ReviewDue       ReviewState = "due"
	ReviewOverdue   ReviewState = "overdue"
	ReviewJustified ReviewState = "justified"
	ReviewUnfounded ReviewState = "unfounded"
)

// OtherPerson is somebody else in the same answer. The page never names them: each sees it in a timeline of their own.
type OtherPerson struct {
	Relation string // the locale's key under "relation": spouse, child, parent, owner; empty when not known
	Count    int
}

// Difference is one point on which the two sides' records differ.
type Difference struct {
	Point    string // the locale's key under "difference": outcome, fields, time, purpose, official, case
	Provider string
	Consumer string
}

// Following is something that happened after an entry.
type Following struct {
	When   time.Time
	Kind   FollowingKind
	Handle Handle // of the entry or case that it leads to; empty when none
	Text   string // a free sentence of the agency or body, shown as a quotation
	By     string // the official who answers for a decision, with their role; a dash where none is named
}

// FollowingKind says what followed.
type FollowingKind string

// The kinds.
const (
	FollowingReceived    FollowingKind = "received"     // the asker's gateway has handed the answer over
	FollowingNotAccepted FollowingKind = "not-accepted" // it dropped the answer
	FollowingDecision    FollowingKind = "decision"     // an adverse decision cited this record
	FollowingFavour      FollowingKind = "favour"       // a favourable one did
	FollowingNotified    FollowingKind = "notified"     // the person was sent a notice
	FollowingOpened      FollowingKind = "opened"       // a court's delay ended
	FollowingReviewed    FollowingKind = "reviewed"
	FollowingObjected    FollowingKind = "objected"
	FollowingDestroyed   FollowingKind = "destroyed"
)
