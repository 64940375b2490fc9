package mandate

import (
	"slices"
	"time"

	"countersign.dev/countersign"
)

// Question is what one side knows of an exchange when it decides. Identifiers are canonical already: the subject through
// [Policy.Normalise], the official's pseudonym through [CanonicalOfficial]. A blank member never helps: it refuses where it is needed.
type Question struct {
	Consumer   countersign.SubsystemID
	Service    countersign.ServiceID
	Method     string // HTTP verb in capitals
	Subject    countersign.SubjectID
	Purpose    countersign.PurposeCode
	Basis      countersign.BasisCode
	Case       countersign.CaseRef
	OnBehalfOf []string
	Official   countersign.Official
	// OfficialName is the official's [CanonicalOfficial] spelling, which only the consumer's gateway knows. The consumer's budgets are counted
	// by it, because pseudonyms may differ from provider to provider.
	OfficialName string
	// OfficialSubject is the official as a person, where the consumer's gateway knows it; only that gateway can refuse a self-lookup.
	OfficialSubject countersign.SubjectID
	Mandates        []Mandate
	Standing        bool // purpose and basis came from a standing declaration: the client stated none
	At              time.Time
}

// Mandate is an authority beyond the purpose, verified. Its exported fields tell what it covers; a value that no Verify function of this
// package made covers nothing, whatever its fields say.
type Mandate struct {
	Kind      countersign.MandateKind
	ID        countersign.MandateID
	Digest    countersign.Digest // SHA-256 of the token
	Consumer  countersign.SubsystemID
	Service   countersign.ServiceID
	Fields    []countersign.FieldPath // sorted; all that it lets leave
	Purpose   countersign.PurposeCode
	Basis     countersign.BasisCode // empty where the token binds none
	Subject   countersign.SubjectID
	Case      countersign.CaseRef // empty where the token binds none
	NotBefore time.Time
	NotAfter  time.Time
	// Uses is how many exchanges it is good for, 0 for any number (never so for warrants); Used is how many the store has reserved before
	// this one. The store counts again, exactly, in the transaction that reserves the exchange.
	Uses, Used int

	verified bool
}

// Ref names the mandate in a statement.
func (m *Mandate) Ref() countersign.MandateRef {
	return countersign.MandateRef{Kind: m.Kind, ID: m.ID, Digest: m.Digest}
}

// Reason is one thing that stands against an answer.
type Reason struct {
	Code    countersign.Code `json:"code"`
	Message string           `json:"message"` // names what is wrong and the remedy; no personal data
	Ref     string           `json:"ref"`     // the entry of the directory, or the part of the question, that decided
}

// Withheld is a field that the grant names and this question does not get.
type Withheld struct {
	Field    countersign.FieldPath    `json:"field"`
	Category countersign.CategoryCode `json:"category"`
	Why      string                   `json:"why"`
}

// Decision is the answer to a question. Its zero value denies.
type Decision struct {
	allowed bool
	pending bool

	Reasons    []Reason
	Fields     []countersign.FieldPath // what may leave, sorted; "*" alone for an open service that is not filtered
	Writes     []countersign.FieldPath // what of the request's body may be sent, sorted; "*" as above
	Withheld   []Withheld
	Lacks      []countersign.MandateKind // of which any one would let more of the granted fields leave
	Mandate    countersign.MandateRef    // the authority that it stands on; kind none for the purpose alone
	Cells      []string                  // of the matrix, that permitted or were found blank
	Rules      []string                  // Cedar rules that forbade, or failed, by id
	Categories []countersign.CategoryCode
	Assurance  countersign.Assurance // of the official
	Personal   bool
	Special    bool              // a special category may leave (Convention 108+ Art. 6)
	Class      countersign.Class // the strictest of what may leave
	// NeedsQuorum tells the exchange to wait for witnesses before the answer leaves: warrants and special categories, but no emergency.
	NeedsQuorum bool
	Retention   time.Duration // how long the consumer may keep the answer
	Budgets     []BudgetSpec  // all to be taken in the transaction that reserves the exchange; one that is exceeded refuses
	Directory   uint64        // version of the directory that decided
}

// Allowed reports whether the listed fields may leave.
func (d *Decision) Allowed() bool { return d.allowed && !d.pending && len(d.Reasons) == 0 }

// MayAsk reports whether the register may be asked. For a service whose subject stands in the answer it is true while nobody is known yet;
// nothing may leave until a second question about each person in the answer is Allowed.
func (d *Decision) MayAsk() bool { return d.allowed && len(d.Reasons) == 0 }

// LacksMandateAlone reports that nothing stands against the question but, at most, a mandate that is missing.
func (d *Decision) LacksMandateAlone() bool {
	return !slices.ContainsFunc(d.Reasons, func(r Reason) bool { return r.Code != countersign.CodeNoMandate })
}

// Codes lists the reasons' codes in their order, each once, for the statement.
func (d *Decision) Codes() []countersign.Code {
	var codes []countersign.Code
	for _, r := range d.Reasons {
		if !slices.Contains(codes, r.Code) {
			codes = append(codes, r.Code)
		}
	}
	return codes
}

// Err is nil where the register may be asked, else a refusal with the first reason's code and every reason's message.
func (d *Decision) Err() error {
	if d.MayAsk() {
		return nil
	}
	if len(d.Reasons) == 0 {
		return countersign.Refuse(countersign.CodeAccessDenied, "nothing permits this question")
	}
	text := d.Reasons[0].Message
	for _, r := range d.Reasons[1:] {
		text += "; " + r.Message
	}
	return countersign.Refuse(d.Reasons[0].Code, "%s", text)
}

func (d *Decision) refuse(code countersign.Code, ref, message string) {
	d.Reasons = append(d.Reasons, Reason{code, message, ref})
}
