package countersign

import (
	"errors"
	"fmt"
)

// Code is one kind of refusal or failure. It says what the caller does next; each edge renders it once: as an X-Road error body
// (internal/xroad), an RFC 9457 problem, a sentence on a page, a log line. The zero Code is an internal failure: nothing is allowed by
// forgetting to set one.
type Code string

// The taxonomy. "Mend and ask again" means that the same request will be refused for ever; "wait" means that it may be repeated unchanged.
const (
	CodeInternal Code = "" // our failure: report it, wait

	// The request itself: mend and ask again.
	CodeBadRequest       Code = "bad_request"       // malformed; the message names the field
	CodeTooLarge         Code = "too_large"         // over a bound; the message names it
	CodeUnsupportedMedia Code = "unsupported_media" // an encoding or type that cannot be filtered
	CodeUnauthenticated  Code = "unauthenticated"   // the calling system did not prove who it is
	CodeUnknownMember    Code = "unknown_member"    // not in the directory
	CodeUnknownService   Code = "unknown_service"   // not in the directory, or no such operation
	CodeServiceDisabled  Code = "service_disabled"  // its owner took it out of use
	CodeNoPurpose        Code = "no_purpose"        // no coded purpose or legal basis was stated
	CodeUnknownPurpose   Code = "unknown_purpose"   // not a code of the directory (A08)
	CodeUnknownBasis     Code = "unknown_basis"     // not a code of the directory (A08)
	CodeNoSubject        Code = "no_subject"        // the request names no person, or more than one (A01)
	CodeSelfLookup       Code = "self_lookup"       // the official asks about himself: use the portal (A06)
	CodeForbiddenCell    Code = "forbidden_cell"    // the purpose × category cell is blank (A09)
	CodeForbiddenRule    Code = "forbidden_rule"    // a rule of the federation or the provider forbids it
	CodeNeverExchanged   Code = "never_exchanged"   // class N: no authority helps (A56)
	CodeNoMandate        Code = "no_mandate"        // consent, relation, warrant or emergency is missing
	CodeMandateInvalid   Code = "mandate_invalid"   // expired, withdrawn, foreign, not registered, for another person or service
	CodeMandateSpent     Code = "mandate_spent"     // all granted uses are used (A25)
	CodeAssurance        Code = "assurance_too_low" // the purpose wants the official better identified
	CodeAccessDenied     Code = "access_denied"     // no declaration lets this client call this service
	CodeBudget           Code = "budget_exceeded"   // enumeration, polling, linkage or quota: wait for the window to pass
	CodeReplay           Code = "replay"            // this exchange id was seen; its status is given, never a second answer (A11)
	CodeSignature        Code = "invalid_signature" // a signature, digest or pinned key does not match (A12)
	CodeClock            Code = "clock_skew"        // outside the tolerance (A43)
	CodeInconsistent     Code = "inconsistent"      // the answer does not belong to the question
	CodeNoReceipt        Code = "no_receipt"        // an answer without a valid receipt was dropped (A38)
	CodeExcessFields     Code = "excess_fields"     // more left than the signed field list says (A16)
	CodeUnfilterable     Code = "unfilterable"      // the register's answer cannot be parsed, names nobody, or passes a bound, so it is withheld

	// The surroundings: wait and ask again.
	CodeStaleDirectory Code = "stale_directory" // the signed directory has expired here
	CodeNoQuorum       Code = "no_quorum"       // witnesses do not cosign, and this class needs them (A41)
	CodeStore          Code = "store"           // the record cannot be made durable: nothing leaves
	CodeBusy           Code = "busy"            // pushback: bounded queues are full
	CodeNetwork        Code = "network"         // the other gateway or the register does not answer
	CodeRegister       Code = "register"        // the register failed
	CodeMaintenance    Code = "maintenance"     // the gateway refuses work on purpose
)

// Temporary reports whether the same request may be repeated unchanged after a while.
func (c Code) Temporary() bool {
	switch c {
	case CodeInternal, CodeStaleDirectory, CodeNoQuorum, CodeStore, CodeBusy, CodeNetwork, CodeRegister, CodeMaintenance, CodeBudget:
		return true
	}
	return false
}

// String is the code's name, "internal" for the zero value.
func (c Code) String() string {
	if c == CodeInternal {
		return "internal"
	}
	return string(c)
}

// Error makes each Code a sentinel: errors.Is(err, CodeReplay).
func (c Code) Error() string { return c.String() }

// Refusal is an error of the taxonomy with a message for the caller. The message names the field and the remedy and holds no personal
// data, so it may be shown, signed and logged.
type Refusal struct {
	Code    Code
	Message string
	cause   error // for our own log; never rendered to a caller
}

// Refuse makes a refusal.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// RefuseBecause makes a refusal that keeps its cause for errors.Is and for the operator's log, and never shows it to the caller.
func RefuseBecause(code Code, cause error, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...), cause: cause}
}

// Error is the code and the message.
func (r *Refusal) Error() string { return r.Code.String() + ": " + r.Message }

// Unwrap gives the code, so that errors.Is finds it, and the cause.
func (r *Refusal) Unwrap() []error {
	if r.cause == nil {
		return []error{r.Code}
	}
	return []error{r.Code, r.cause}
}

// CauseOf is what lies beneath a refusal, for the operator's log alone; nil where there is nothing.
func CauseOf(err error) error {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.cause
	}
	return nil
}

// CodeOf finds the code of an error: of the first refusal in its chain, CodeInternal for any other error.
func CodeOf(err error) Code {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Code
	}
	if c, ok := errors.AsType[Code](err); ok {
		return c
	}
	return CodeInternal
}

// MessageOf is what a caller may read of an error: the messages of its refusals, or a fixed sentence for anything else.
func MessageOf(err error) string {
	r, ok := errors.AsType[*Refusal](err)
	if !ok {
		return "the gateway failed; the operator finds the reason in its log under the id of this error"
	}
	return r.Message
}
