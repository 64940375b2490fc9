package subject

import (
	"encoding/json"
	"net/http"

	"countersign.dev/countersign"
)

// PathQuery is where a gateway takes the person's queries: POST, on the listener of gateways.
const PathQuery = "/countersign/person/query"

// DomainAnswer is the signature domain of a gateway's answer to a person.
const DomainAnswer countersign.SignatureDomain = "countersign-tree person-answer"

// Headers of an answer: the wire form of the gateway's TreeSignature of the body under DomainAnswer, in base64, and the key that made it.
const (
	headerSignature = "Countersign-Person-Signature"
	headerKey       = "Countersign-Person-Key"
)

// Bounds of queries and answers, in bytes.
const (
	maxRequest = 256 << 10
	maxAnswer  = 16 << 20
)

// PageLimit is the most entries of one answer; DefaultLimit is how many a query gets that does not say.
const (
	PageLimit    = 500
	DefaultLimit = 200
)

// request is the body of a query.
type request struct {
	Token string               `json:"token"` // the person's identity token
	Proof string               `json:"proof"` // identity.Query, signed by the session's key
	View  *countersign.Receipt `json:"view"`  // the portal's record of this view
}

// Answer is what one gateway says about a person. The gateway signs its JSON.
type Answer struct {
	Member  countersign.MemberID    `json:"member"`
	Gateway countersign.GatewayName `json:"gateway"`
	Query   countersign.ExchangeID  `json:"query"` // the query that it answers
	Origin  countersign.LogOrigin   `json:"origin"`
	Size    uint64                  `json:"size"` // leaves of the log when it answered
	At      countersign.Millis      `json:"at"`
	Count   int                     `json:"count"` // of Entries
	More    bool                    `json:"more"`  // there are older entries
	Entries []Entry                 `json:"entries"`
	Receipt *countersign.Receipt    `json:"receipt,omitempty"` // of a receipt query

	Usages []Usage `json:"usages,omitempty"` // of a usage query
	Total  int     `json:"total,omitempty"`  // of a usage query: how many there are, on all pages

	Destroyed *Destroyed `json:"destroyed,omitempty"` // of a history query: what the log held once, of all people; left out where nothing was destroyed
}

// Destroyed is what a log has destroyed at its end. Whose records they were, nobody can tell any more: the number is of all people.
type Destroyed struct {
	Through countersign.Month `json:"through"` // the newest month that has ended
	Records uint64            `json:"records"` // since the log began
	Leaf    uint64            `json:"leaf"`    // index of the newest leaf that says so
}

// Entry is one record about the person in a member's log, newest first in an answer.
type Entry struct {
	Index     uint64             `json:"index"`
	Time      countersign.Millis `json:"time"` // when it was recorded
	Leaf      []byte             `json:"leaf"`
	Statement []byte             `json:"statement,omitempty"` // opens the leaf's commitment under Salt
	Salt      []byte             `json:"salt,omitempty"`
	Reasons   []countersign.Code `json:"reasons,omitempty"`
	Rules     []string           `json:"rules,omitempty"`     // cells of the matrix and rules that decided
	Notice    countersign.Millis `json:"notice,omitempty"`    // a court had delayed this entry until then
	Destroyed bool               `json:"destroyed,omitempty"` // the record's time ended and its key is no more: the leaf is all that is left
	Document  []byte             `json:"document,omitempty"`  // of kinds other than exchanges: what the leaf's commitment stands for
	Decisions []DecisionEntry    `json:"decisions,omitempty"` // of the asking side's entry: what was decided on its answer
}

// problem is an error's body between gateway and portal.
//
// SPEC: RFC 9457, problem details.
type problem struct {
	Type   string           `json:"type"`
	Title  string           `json:"title"`
	Status int              `json:"status"`
	Code   countersign.Code `json:"code"`
}

// WriteProblem renders an error for a program. It tells the code and the message, which hold no personal data.
func WriteProblem(w http.ResponseWriter, err error) {
	code := countersign.CodeOf(err)
	p := problem{Type: "about:blank", Title: countersign.MessageOf(err), Status: StatusOf(code), Code: code}
	if code == countersign.CodeInternal {
		p.Code = "internal"
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// StatusOf is the HTTP status of an error's code.
func StatusOf(code countersign.Code) int {
	switch code {
	case countersign.CodeUnauthenticated, countersign.CodeSignature:
		return http.StatusUnauthorized
	case countersign.CodeAccessDenied, countersign.CodeReplay, countersign.CodeNoReceipt:
		return http.StatusForbidden
	case countersign.CodeUnknownService, countersign.CodeUnknownMember:
		return http.StatusNotFound
	case countersign.CodeBusy, countersign.CodeStaleDirectory, countersign.CodeNetwork, countersign.CodeStore, countersign.CodeNoQuorum, countersign.CodeMaintenance:
		return http.StatusServiceUnavailable
	case countersign.CodeBudget:
		return http.StatusTooManyRequests
	case countersign.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case countersign.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
