package countersign

import (
	"regexp"
	"strings"
	"time"
)

// Directory is the content of the signed federation: who takes part, what they offer, and who may ask what for which purpose. The governing
// bodies sign it by threshold (internal/federation); everything here only names and permits, and what it leaves blank is refused.
// Its JSON form is the target federation.json of the TUF repository; unknown members of the JSON are refused.
type Directory struct {
	Format     int                   `json:"format"` // 1
	Instance   string                `json:"instance"`
	Version    uint64                `json:"version"` // grows by one with every change of this content
	Demo       bool                  `json:"demo,omitempty"`
	Name       Text                  `json:"name"`
	Bodies     []Body                `json:"bodies"`
	Schemes    []Scheme              `json:"schemes"`
	Members    []Member              `json:"members"`
	Categories []Category            `json:"categories"`
	Bases      []LegalBasis          `json:"bases"`
	Purposes   []Purpose             `json:"purposes"`
	Matrix     []Cell                `json:"matrix"`
	Services   []Service             `json:"services"`
	Standing   []StandingDeclaration `json:"standing"`
	Programmes []Programme           `json:"programmes,omitempty"`
	Rules      []Rule                `json:"rules,omitempty"`
	Courts     []Court               `json:"courts,omitempty"`
	Issuers    []Issuer              `json:"issuers,omitempty"`
	Witnesses  []Witness             `json:"witnesses"`
	Quorum     int                   `json:"quorum"` // organisations whose witnesses must cosign, not witnesses
	Log        Log                   `json:"log"`    // the directory's own
	Caps       Caps                  `json:"caps"`
}

// Text is a sentence or name in each language, by its tag: az, en, ru.
type Text map[string]string

// In gives the text in a language, in English, or in any language that there is.
func (t Text) In(lang string) string {
	for _, l := range []string{lang, "en", "az", "ru"} {
		if s := t[l]; s != "" {
			return s
		}
	}
	return ""
}

// Body is one governing body: a signer of the directory.
type Body struct {
	Name BodyName `json:"name"`
	Text Text     `json:"text"`
	Key  string   `json:"key"` // base64 SPKI, as TUF's root lists it
}

// Role is what a member is in the federation. Owner of registers, operator, overseer and court never join in one member.
type Role string

// The roles.
const (
	RoleAgency   Role = "agency"   // asks and answers
	RoleOperator Role = "operator" // runs the directory's host
	RoleOverseer Role = "overseer" // the data-protection authority
	RoleCourt    Role = "court"
	RolePortal   Role = "portal" // the state's portal, or any
)

// Member is an organisation with its systems, gateways and log.
type Member struct {
	ID         MemberID    `json:"id"`
	Text       Text        `json:"text"`
	Roles      []Role      `json:"roles"`
	Subsystems []Subsystem `json:"subsystems"`
	Gateways   []Gateway   `json:"gateways"`
}

// Subsystem is an information system of a member, client or provider of services.
type Subsystem struct {
	Code string `json:"code"`
	Text Text   `json:"text"`
}

// Gateway is one gateway (X-Road: security server) of a member: where it is reached, and the keys that it may use.
type Gateway struct {
	Name GatewayName `json:"name"`
	URL  string      `json:"url"`  // https://host:port, where other gateways call it
	TLS  []Pin       `json:"tls"`  // keys of its TLS certificates
	Sign []string    `json:"sign"` // public keys of its messages, base64 SPKI
	Log  Log         `json:"log"`  // the log that this gateway owns
}

// Pin is the SHA-256 of a SubjectPublicKeyInfo, in unpadded base64url.
type Pin string

// Log is a C2SP log: its verifier key names it, its URL is where the public reads its tiles.
type Log struct {
	VKey string `json:"vkey"`
	URL  string `json:"url"`
	// Before are the logs that it has taken over from, oldest first.
	Before []EndedLog `json:"before,omitempty"`
}

// Scheme is a kind of person identifier and the rule that gives each person one spelling.
type Scheme struct {
	Name    SchemeName `json:"name"`
	Text    Text       `json:"text"`
	Strip   string     `json:"strip,omitempty"` // characters removed before anything else, for instance " -"
	Upper   bool       `json:"upper,omitempty"` // ASCII letters are raised
	Pattern string     `json:"pattern"`         // RE2, anchored by us; what does not match after strip and upper is refused
}

// Normalise gives the canonical identifier of a person under this scheme, or a CodeNoSubject refusal that does not repeat the value.
func (s *Scheme) Normalise(value string) (SubjectID, error) {
	if s.Strip != "" {
		value = strings.Map(func(r rune) rune {
			if strings.ContainsRune(s.Strip, r) {
				return -1
			}
			return r
		}, value)
	}
	if s.Upper {
		value = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, value)
	}
	re, err := regexp.Compile(`\A(?:` + s.Pattern + `)\z`)
	if err != nil {
		return SubjectID{}, RefuseBecause(CodeInternal, err, "the scheme %q has a pattern that cannot be read", s.Name)
	}
	if value == "" || len(value) > 128 || !re.MatchString(value) {
		return SubjectID{}, Refuse(CodeNoSubject, "the person identifier is not one of the scheme %q: check its spelling", s.Name)
	}
	return SubjectID{s.Name, value}, nil
}

// Class is the protective class of a category.
type Class string

// The classes of DATA-CLASSES, from open to never exchanged. An empty class is refused by the directory's check.
const (
	ClassOpen           Class = "O"
	ClassRelation       Class = "R"
	ClassConsent        Class = "C"
	ClassConsentWarrant Class = "C/W"
	ClassWarrant        Class = "W"
	ClassNever          Class = "N"
)

// Rank orders classes by strictness; an unknown class ranks as never exchanged.
func (c Class) Rank() int {
	switch c {
	case ClassOpen:
		return 0
	case ClassRelation:
		return 1
	case ClassConsent:
		return 2
	case ClassConsentWarrant:
		return 3
	case ClassWarrant:
		return 4
	}
	return 5
}

// Category is a kind of data with its protective class.
type Category struct {
	Code    CategoryCode `json:"code"`
	Text    Text         `json:"text"`
	Class   Class        `json:"class"`
	Special bool         `json:"special,omitempty"` // LAW: Convention 108+ Art. 6, special categories
}

// LegalBasis is one article of a law.
type LegalBasis struct {
	Code    BasisCode `json:"code"`
	Law     Text      `json:"law"`
	Article string    `json:"article"`
	URL     string    `json:"url,omitempty"`
}

// Purpose is a coded reason to ask, with the plain sentence that the person will read.
type Purpose struct {
	Code      PurposeCode   `json:"code"`
	Text      Text          `json:"text"`
	Bases     []BasisCode   `json:"bases"`     // the only legal bases that go with it
	Assurance Assurance     `json:"assurance"` // the lowest that it accepts of the official
	Retention Duration      `json:"retention"` // how long the consumer may keep what it receives
	Mandates  []MandateKind `json:"mandates,omitempty"`
	Case      bool          `json:"case,omitempty"` // X-Road-Issue is required
	// CaseRegister is the service that confirms a case of this purpose: that it is open, and for this person. Without one, no relation counts.
	CaseRegister *ServiceID `json:"caseRegister,omitempty"`
	Linkage      int        `json:"linkage,omitempty"`
	Polling      *Polling   `json:"polling,omitempty"`
}

// Polling bounds how often one official asks one service about one person under a purpose.
type Polling struct {
	PerMinute int `json:"perMinute"`
	PerDay    int `json:"perDay"`
}

// Cell permits a purpose to touch a category, on any one of the listed mandates. What has no cell is blank, and refused.
type Cell struct {
	Purpose  PurposeCode   `json:"purpose"`
	Category CategoryCode  `json:"category"`
	Mandates []MandateKind `json:"mandates"`
}

// SelectorFrom says where a service's data subject is found.
type SelectorFrom string

// The selectors. A personal service has one of the first two.
const (
	SubjectInRequest SelectorFrom = "request"
	SubjectInAnswer  SelectorFrom = "answer"
	SubjectNone      SelectorFrom = "none" // class O only
)

// Selector finds the one person that a question is about.
type Selector struct {
	From   SelectorFrom `json:"from"`
	Scheme SchemeName   `json:"scheme,omitempty"`
	// In is "path", "query", "header" or "body" for a request: the place of Name, which is a path variable, a query parameter, a header
	// or a JSON pointer. For an answer, In is empty and Name a FieldPath that finds every person in it.
	In   string `json:"in,omitempty"`
	Name string `json:"name,omitempty"`
}

// Endpoint is one operation of a service: a verb and a pattern of the cleaned path after the service, in which {name} is one segment,
// * any one segment and ** any number.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// Field is a field of a service's answers with the category that it belongs to.
type Field struct {
	Path     FieldPath    `json:"path"`
	Category CategoryCode `json:"category"`
	// Related, when set, is a sibling path that holds the person identifier of the relative that this field tells about.
	Related FieldPath `json:"related,omitempty"`
}

// Grant lets clients use a service for a purpose, and names the fields that they get. "*" stands for every client of the federation.
type Grant struct {
	Purpose PurposeCode `json:"purpose"`
	Clients []string    `json:"clients"` // SubsystemID texts, or "*"
	Fields  []FieldPath `json:"fields,omitempty"`
	Writes  []FieldPath `json:"writes,omitempty"` // fields of request bodies that may be sent
	Methods []string    `json:"methods,omitempty"`
}

// Service is one service of a subsystem.
type Service struct {
	ID         ServiceID      `json:"id"`
	Text       Text           `json:"text"`
	Categories []CategoryCode `json:"categories"`
	Subject    Selector       `json:"subject"`
	Endpoints  []Endpoint     `json:"endpoints"`
	Fields     []Field        `json:"fields,omitempty"` // every field that may ever leave; others are unknown and withheld
	Grants     []Grant        `json:"grants"`
	OpenAPI    string         `json:"openapi,omitempty"`    // name of the TUF target with its description
	Assessment *Digest        `json:"assessment,omitempty"` // SHA-256 of the signed impact assessment; a personal service is inactive without
	Disclose   bool           `json:"disclose,omitempty"`   // X-Road-UserId reaches the register as it is; the official and the person are told
	Coarse     bool           `json:"coarse,omitempty"`
	Disabled   bool           `json:"disabled,omitempty"`
	Timeout    Duration       `json:"timeout,omitempty"` // 60 s when zero, 300 s at most
}

// StandingDeclaration states purpose and legal basis for a client that cannot send them. Good only for classes O and R without a case.
type StandingDeclaration struct {
	Client  SubsystemID `json:"client"`
	Service ServiceID   `json:"service"`
	Purpose PurposeCode `json:"purpose"`
	Basis   BasisCode   `json:"basis"`
}

// Programme is legitimate volume under threshold signature: it replaces the budgets of one automated client.
type Programme struct {
	ID         ProgrammeID `json:"id"`
	Text       Text        `json:"text"`
	Client     SubsystemID `json:"client"`
	Service    ServiceID   `json:"service"`
	Purpose    PurposeCode `json:"purpose"`
	Basis      BasisCode   `json:"basis"`
	Fields     []FieldPath `json:"fields"`
	Population string      `json:"population"` // the rule in words, for instance: people with an open case
	PerHour    int         `json:"perHour"`
	From       time.Time   `json:"from"`
	Until      time.Time   `json:"until"`
}

// Rule is a Cedar policy that forbids. It can only narrow the matrix.
type Rule struct {
	ID     string `json:"id"`
	Text   Text   `json:"text"`
	Policy string `json:"policy"`
}

// Court issues warrants under its own keys, registered in its own log.
type Court struct {
	Name   CourtName `json:"name"`
	Member MemberID  `json:"member"`
	Text   Text      `json:"text"`
	Keys   []string  `json:"keys"` // base64 SPKI
	Log    Log       `json:"log"`
}

// Issuer is an OpenID Connect provider whose identity tokens count in this federation, and for whom. Its keys are those that it publishes by
// discovery, so that it rotates them itself.
type Issuer struct {
	URL      string       `json:"url"`
	For      []IssuerRole `json:"for"`
	Member   *MemberID    `json:"member,omitempty"` // the agency whose officials it knows; due for officials, judges and overseers
	Audience []string     `json:"audience"`         // client ids that tokens may be made for
	// Consents are the client ids under which a person logs in to give or withdraw a consent, and for nothing else. None of them is in Audience, so that
	// no login for a session can ever be passed off as a consent, nor the other way round. Without any, the issuer's persons give no consent.
	Consents []string   `json:"consents,omitempty"`
	Scheme   SchemeName `json:"scheme,omitempty"` // of the person identifier in the claim; due for persons
	Claim    string     `json:"claim,omitempty"`  // that holds it; "sub" when empty
}

// IssuerRole says whom an issuer identifies.
type IssuerRole string

// The roles of issuers.
const (
	IssuerPerson   IssuerRole = "person"
	IssuerOfficial IssuerRole = "official"
	IssuerJudge    IssuerRole = "judge"
	IssuerOverseer IssuerRole = "overseer"
)

// Witness cosigns checkpoints. Witnesses of one organisation count as one.
type Witness struct {
	Name         WitnessName `json:"name"`
	Organisation string      `json:"organisation"`
	VKey         string      `json:"vkey"`
	URL          string      `json:"url"`
}

// Caps are the federation's bounds; zero values mean the defaults of DefaultCaps. A federation may tighten them, never loosen.
type Caps struct {
	NoticeDelay     Duration `json:"noticeDelay,omitempty"`
	NoticeCap       Duration `json:"noticeCap,omitempty"`
	WarrantLife     Duration `json:"warrantLife,omitempty"`
	EmergencyReview Duration `json:"emergencyReview,omitempty"`
	WarrantReview   Duration `json:"warrantReview,omitempty"` // from each use on, for overseers to review it
	RecordLife      Duration `json:"recordLife,omitempty"`
	WaitingPeriod   Duration `json:"waitingPeriod,omitempty"`
	PeopleOfficial  int      `json:"peoplePerOfficialHour,omitempty"`
	PeopleMember    int      `json:"peoplePerMemberHour,omitempty"`
	Linkage         int      `json:"registersPerPersonDay,omitempty"`
	EmergencyQuota  int      `json:"emergenciesPerMemberDay,omitempty"`
}

const day = 24 * time.Hour

// DefaultCaps are the bounds of DATA-CLASSES: the loosest that a federation may have.
func DefaultCaps() Caps {
	return Caps{
		NoticeDelay: Duration(90 * day), NoticeCap: Duration(730 * day), WarrantLife: Duration(30 * day), EmergencyReview: Duration(72 * time.Hour),
		WarrantReview: Duration(30 * day), RecordLife: Duration(3653 * day), WaitingPeriod: Duration(14 * day), PeopleOfficial: 60, PeopleMember: 2000, Linkage: 4, EmergencyQuota: 10,
	}
}

// Duration is a time.Duration that JSON and YAML write in Go's form, for instance "720h0m0s".
type Duration time.Duration

// MarshalText writes Go's form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads Go's form.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return Refuse(CodeBadRequest, "a duration is written like 720h or 30s and is not negative")
	}
	*d = Duration(v)
	return nil
}

// ParseDirectory reads a directory document and refuses unknown members. It checks the JSON's shape only; internal/federation checks sense.
func ParseDirectory(b []byte) (*Directory, error) {
	var d Directory
	if err := decodeJSON(b, &d); err != nil {
		return nil, RefuseBecause(CodeBadRequest, err, "the directory document cannot be read: %s", err)
	}
	if d.Format != 1 {
		return nil, Refuse(CodeBadRequest, "the directory document has format %d: this program reads format 1", d.Format)
	}
	return &d, nil
}
