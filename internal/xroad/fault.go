package xroad

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"countersign.dev/countersign"
)

// Side says which gateway speaks.
type Side uint8

// The two sides of an exchange. The zero value is the consumer's gateway, the one that a client knows.
const (
	ClientProxy Side = iota // the consumer's gateway
	ServerProxy             // the provider's gateway
)

// String is the side as Countersign's own members of an error name it.
func (s Side) String() string {
	if s == ServerProxy {
		return "provider"
	}
	return "consumer"
}

func sideOf(name string) (Side, bool) {
	switch name {
	case "consumer":
		return ClientProxy, true
	case "provider":
		return ServerProxy, true
	}
	return 0, false
}

// Style is the spelling of error types.
type Style uint8

// X-Road 7.8.0 renamed every type; the new spelling is the default.
const (
	StyleSnake  Style = iota // server.serverproxy.access_denied
	StyleLegacy              // Server.ServerProxy.AccessDenied
)

// ParseStyle reads the configuration's word: "snake" (or nothing) and "legacy".
func ParseStyle(text string) (Style, error) {
	switch text {
	case "", "snake":
		return StyleSnake, nil
	case "legacy":
		return StyleLegacy, nil
	}
	return StyleSnake, countersign.Refuse(countersign.CodeBadRequest, "the error style is %q: give snake (X-Road 7.8 and later) or legacy", text)
}

// faultType is an X-Road error type without its side, in the new spelling.
type faultType string

const (
	typeBadRequest            faultType = "bad_request"
	typeInvalidClient         faultType = "invalid_client_identifier"
	typeInvalidSecurityServer faultType = "invalid_security_server"
	typeInternal              faultType = "internal_error"
)

// owner says whose name an X-Road type bears.
type owner uint8

const (
	speaker  owner = iota // the side that found the error
	client                // the asking system: "client.…", answered 400
	consumer              // X-Road knows this type on the consumer's side alone
	provider              // X-Road knows this type on the provider's side alone
)

// typeOf chooses X-Road's type for a code. Information systems compare whole type strings, so a type that X-Road knows on one side alone
// keeps that side whoever found the error; countersign_side in the body tells who did.
func typeOf(code countersign.Code, side Side) (owner, faultType) {
	switch code {
	case countersign.CodeBadRequest, countersign.CodeTooLarge, countersign.CodeUnsupportedMedia, countersign.CodeNoSubject:
		return client, typeBadRequest
	case countersign.CodeUnauthenticated:
		return speaker, "ssl_authentication_failed"
	case countersign.CodeUnknownMember:
		return speaker, "unknown_member"
	case countersign.CodeUnknownService:
		return provider, "unknown_service"
	case countersign.CodeServiceDisabled:
		return provider, "service_disabled"
	case countersign.CodeNoPurpose, countersign.CodeUnknownPurpose, countersign.CodeUnknownBasis, countersign.CodeSelfLookup,
		countersign.CodeForbiddenCell, countersign.CodeForbiddenRule, countersign.CodeNeverExchanged, countersign.CodeNoMandate,
		countersign.CodeMandateInvalid, countersign.CodeMandateSpent, countersign.CodeAssurance, countersign.CodeAccessDenied,
		countersign.CodeBudget:
		return provider, "access_denied"
	case countersign.CodeReplay:
		return speaker, "invalid_request"
	case countersign.CodeSignature, countersign.CodeClock:
		return speaker, "signature_verification"
	case countersign.CodeInconsistent, countersign.CodeExcessFields:
		return consumer, "inconsistent_response"
	case countersign.CodeNoReceipt:
		return consumer, "missing_signature"
	case countersign.CodeUnfilterable:
		return provider, "service_failed.invalid_response"
	case countersign.CodeRegister:
		return provider, "service_failed.http_error"
	case countersign.CodeStaleDirectory:
		return speaker, "global_conf_outdated"
	case countersign.CodeNoQuorum:
		return speaker, "logging_failed"
	case countersign.CodeStore:
		if side == ServerProxy {
			return provider, "database_error"
		}
		return consumer, "logging_failed"
	case countersign.CodeBusy:
		return speaker, "io_error"
	case countersign.CodeNetwork:
		return speaker, "network_error"
	case countersign.CodeMaintenance:
		return consumer, "maintenance_mode"
	}
	return speaker, typeInternal
}

// typedError gives a malformed request X-Road's own type where it has a narrower one than bad_request.
type typedError struct {
	kind faultType
	err  error
}

func typed(kind faultType, err error) error { return &typedError{kind, err} }

func (e *typedError) Error() string { return e.err.Error() }
func (e *typedError) Unwrap() error { return e.err }

// Fault is one error as a gateway tells it: X-Road's type, status, and Countersign's own code.
type Fault struct {
	Type    string           // for instance server.serverproxy.access_denied
	Status  int              // HTTP status
	Message string           // names the field and the remedy; no personal data
	Detail  string           // the error's UUID, which is also in the speaker's log
	Code    countersign.Code // the taxonomy's code
	Side    Side             // the gateway that found the error
}

// NewFault renders an error of the taxonomy; any other error becomes an internal one whose text stays inside. A [Refused] error of
// the other gateway keeps that gateway's side and detail.
//
// SPEC: PR-REST 4.6: 400 for a request that does not comply, and X-Road 7.8: 500 for every other "server." type. The one exception is
// pushback, which X-Road does not have: 503, so that a client knows to wait.
func NewFault(side Side, style Style, err error, detail string) Fault {
	code := countersign.CodeOf(err)
	kind := faultType("")
	if t, ok := errors.AsType[*typedError](err); ok {
		kind = t.kind
	}
	message := countersign.MessageOf(err)
	if r, ok := errors.AsType[*Refused](err); ok {
		side, detail, kind, message = r.Side, r.Detail, r.kind, r.Message
	}
	who, byCode := typeOf(code, side)
	status := http.StatusInternalServerError
	switch {
	case who == client:
		status = http.StatusBadRequest
	case code == countersign.CodeBusy:
		status = http.StatusServiceUnavailable
	}
	if kind == typeInvalidClient || kind == typeInvalidSecurityServer {
		who, byCode = consumer, kind
	}
	return Fault{Type: spell(who, side, byCode, style), Status: status, Message: message, Detail: detail, Code: code, Side: side}
}

func spell(who owner, side Side, kind faultType, style Style) string {
	prefix := "server.clientproxy."
	switch {
	case who == client:
		prefix = "client."
	case who == provider, who == speaker && side == ServerProxy:
		prefix = "server.serverproxy."
	}
	if style != StyleLegacy {
		return prefix + string(kind)
	}
	switch prefix {
	case "client.":
		prefix = "Client."
	case "server.clientproxy.":
		prefix = "Server.ClientProxy."
	default:
		prefix = "Server.ServerProxy."
	}
	return prefix + legacy(kind)
}

// legacy is the spelling before X-Road 7.8.0.
func legacy(kind faultType) string {
	switch kind {
	case "io_error":
		return "IOError"
	case "global_conf_outdated":
		return "OutdatedGlobalConf"
	}
	b := make([]byte, 0, len(kind))
	up := true
	for i := range len(kind) {
		switch c := kind[i]; {
		case c == '_':
			up = true
		case c == '.':
			b, up = append(b, '.'), true
		case up && 'a' <= c && c <= 'z':
			b, up = append(b, c-('a'-'A')), false
		default:
			b, up = append(b, c), false
		}
	}
	return string(b)
}

// faultBody is the error body: X-Road's three members, then Countersign's own two.
type faultBody struct {
	XMLName xml.Name `json:"-" xml:"error"`
	Type    string   `json:"type" xml:"type"`
	Message string   `json:"message" xml:"message"`
	Detail  string   `json:"detail" xml:"detail"`
	Code    string   `json:"countersign_error" xml:"countersign_error"`
	Side    string   `json:"countersign_side" xml:"countersign_side"`
}

func (f Fault) body() faultBody {
	return faultBody{Type: f.Type, Message: f.Message, Detail: f.Detail, Code: f.Code.String(), Side: f.Side.String()}
}

// JSON is the body {"type","message","detail","countersign_error","countersign_side"}.
func (f Fault) JSON() []byte {
	b, err := json.Marshal(f.body())
	if err != nil { // five strings always marshal
		return []byte(`{"type":"server.clientproxy.internal_error","message":"","detail":""}`)
	}
	return b
}

// XML is the body <error> with the same members as elements.
func (f Fault) XML() []byte {
	b, err := xml.Marshal(f.body())
	if err != nil { // five strings always marshal
		return []byte(xml.Header + "<error/>")
	}
	return append([]byte(xml.Header), b...)
}

// Write sends the fault in the form that the request accepts.
//
// SPEC: PR-REST 4.6: the Accept header is respected, the default is application/json, Content-Type tells type and encoding, and
// X-Road-Error tells that a gateway, not the service, speaks.
func (f Fault) Write(w http.ResponseWriter, r *http.Request) {
	contentType := AcceptedErrorType(r.Header)
	var body []byte
	if contentType == "application/json" {
		body = f.JSON()
	} else {
		body = f.XML()
	}
	h := w.Header()
	h.Set("Content-Type", contentType+";charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set(HeaderError, f.Type)
	h.Set(HeaderCountersignError, f.Code.String())
	if f.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(f.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client that hung up has its answer
	}
}

// WriteError renders err as an X-Road error: see [NewFault] and [Fault.Write]. detail is the UUID under which the gateway's log has it.
func WriteError(w http.ResponseWriter, r *http.Request, side Side, style Style, err error, detail string) {
	NewFault(side, style, err, detail).Write(w, r)
}

// AcceptedErrorType chooses the media type of an error body: the first of text/xml, application/xml and text/* (answered as text/xml) that
// the Accept headers name, application/json otherwise.
//
// SPEC: X-Road 7.8: the order of the Accept header decides, weights do not; Countersign leaves out what has weight zero.
func AcceptedErrorType(h http.Header) string {
	for _, line := range h["Accept"] {
		for item := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(item, ";")
			if weightless(params) {
				continue
			}
			switch strings.ToLower(strings.TrimSpace(media)) {
			case "text/xml", "text/*":
				return "text/xml"
			case "application/xml":
				return "application/xml"
			}
		}
	}
	return "application/json"
}

// weightless reports a parameter q of zero.
func weightless(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && q == 0
		}
	}
	return false
}

// Refused is a refusal that the other gateway signed. It carries that gateway's code through errors.Is and [countersign.CodeOf], and
// [NewFault] renders it under that gateway's side and detail.
type Refused struct {
	Side    Side
	Code    countersign.Code
	Message string
	Detail  string
	kind    faultType
}

// Error is the code and the message.
func (r *Refused) Error() string { return r.Side.String() + ": " + r.Code.String() + ": " + r.Message }

// Unwrap gives the refusal of the taxonomy.
func (r *Refused) Unwrap() error { return countersign.Refuse(r.Code, "%s", r.Message) }

// MaxRefusal bounds the bytes of a refusal between gateways.
const MaxRefusal = 8 << 10

// refusalBody is the form between gateways: style-free, so that each gateway renders it as its own clients read it.
type refusalBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  string `json:"detail"`
	Side    string `json:"side"`
	Type    string `json:"type,omitempty"` // X-Road's narrower type of a malformed request
}

// RefusalBody makes the bytes that a gateway signs and sends to the other one when it refuses. The same error gives the same bytes.
func RefusalBody(side Side, err error, detail string) []byte {
	body := refusalBody{Code: countersign.CodeOf(err).String(), Message: bounded(countersign.MessageOf(err)), Detail: detail, Side: side.String()}
	if t, ok := errors.AsType[*typedError](err); ok {
		body.Type = string(t.kind)
	}
	b, merr := json.Marshal(body)
	if merr != nil { // five strings always marshal
		return []byte(`{"code":"internal","message":"","detail":"","side":"` + side.String() + `"}`)
	}
	return b
}

// bounded keeps a message well inside MaxRefusal, whole characters only.
func bounded(message string) string {
	const most = 1000
	if len(message) <= most {
		return message
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut]
}

// ParseRefusal reads what [RefusalBody] made. Errors are refusals with [countersign.CodeInconsistent]: the other gateway does not keep
// to the protocol. A code that this gateway does not know becomes an internal failure with the message kept.
func ParseRefusal(b []byte) (*Refused, error) {
	var body refusalBody
	if len(b) > MaxRefusal {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the other gateway's refusal has %d bytes: %d at most", len(b), MaxRefusal)
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the other gateway's refusal cannot be read")
	}
	side, ok := sideOf(body.Side)
	if !ok {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the other gateway's refusal names no side")
	}
	r := &Refused{Side: side, Code: knownCode(body.Code), Message: bounded(body.Message), Detail: body.Detail}
	if len(body.Detail) > 64 {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the other gateway's refusal has an over-long detail")
	}
	if k := faultType(body.Type); k == typeInvalidClient || k == typeInvalidSecurityServer {
		r.kind = k
	}
	return r, nil
}

func knownCode(name string) countersign.Code {
	code := countersign.Code(name)
	if who, kind := typeOf(code, ServerProxy); who == speaker && kind == typeInternal {
		return countersign.CodeInternal
	}
	return code
}
