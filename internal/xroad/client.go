package xroad

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"countersign.dev/countersign"
)

// The protocol's headers as net/http keys them.
const (
	HeaderClient           = "X-Road-Client"
	HeaderID               = "X-Road-Id"
	HeaderUserID           = "X-Road-Userid"
	HeaderIssue            = "X-Road-Issue"
	HeaderSecurityServer   = "X-Road-Security-Server"
	HeaderRepresentedParty = "X-Road-Represented-Party"
	HeaderService          = "X-Road-Service"
	HeaderRequestID        = "X-Road-Request-Id"
	HeaderRequestHash      = "X-Road-Request-Hash"
	HeaderError            = "X-Road-Error"
	HeaderCountersignError = "Countersign-Error"
)

// MaxHeaderValue bounds the value of each of the client's X-Road headers in bytes; X-Road's own message log stores no more. An
// identifier header may be longer by its escapes.
const MaxHeaderValue = 255

// maxIdentifierHeader leaves room for four parts of 255 bytes, each byte escaped.
const maxIdentifierHeader = 4*(3*255) + 3

// ClientHeaders are what an information system says about a request in the protocol's headers.
type ClientHeaders struct {
	Client           countersign.SubsystemID // mandatory; three parts leave Subsystem empty
	ID               string                  // X-Road-Id as sent; empty where the gateway must make one: see [NewMessageID]
	UserID           string                  // the agency's word for its official; personal data
	Issue            countersign.CaseRef     // the case; personal data
	SecurityServer   SecurityServerID        // the one provider gateway that must answer; zero where any may
	RepresentedParty RepresentedParty        // on whose behalf; zero where nobody
}

// NewMessageID makes the X-Road-Id of a request that came without one.
//
// SPEC: PR-REST 4.3 and X-Road 7.8: a missing id becomes {instance}-{uuid}.
func NewMessageID(instance string) string { return instance + "-" + uuid.NewString() }

// ParseClientHeaders reads the protocol's request headers. The keys must be canonical, as net/http makes them.
//
// Errors are refusals with [countersign.CodeBadRequest] that name the header and the remedy; those about X-Road-Client and
// X-Road-Security-Server carry X-Road's own error type for them. The values are not repeated: they may be personal data.
func ParseClientHeaders(h http.Header) (ClientHeaders, error) {
	var c ClientHeaders
	if err := checkConnection(h); err != nil {
		return ClientHeaders{}, err
	}
	raw, err := single(h, HeaderClient, maxIdentifierHeader)
	if err != nil {
		return ClientHeaders{}, typed(typeInvalidClient, err)
	}
	if raw == "" {
		return ClientHeaders{}, typed(typeInvalidClient, countersign.Refuse(countersign.CodeBadRequest,
			"the header X-Road-Client is missing: name the calling system as INSTANCE/CLASS/MEMBER/SUBSYSTEM"))
	}
	if c.Client, err = ParseSubsystem(raw); err != nil {
		return ClientHeaders{}, typed(typeInvalidClient, inHeader("X-Road-Client", err))
	}
	if c.ID, err = single(h, HeaderID, MaxHeaderValue); err != nil {
		return ClientHeaders{}, err
	}
	if c.UserID, err = single(h, HeaderUserID, MaxHeaderValue); err != nil {
		return ClientHeaders{}, err
	}
	issue, err := single(h, HeaderIssue, MaxHeaderValue)
	if err != nil {
		return ClientHeaders{}, err
	}
	c.Issue = countersign.CaseRef(issue)
	if raw, err = single(h, HeaderSecurityServer, maxIdentifierHeader); err != nil {
		return ClientHeaders{}, typed(typeInvalidSecurityServer, err)
	}
	if raw != "" {
		if c.SecurityServer, err = ParseSecurityServer(raw); err != nil {
			return ClientHeaders{}, typed(typeInvalidSecurityServer, inHeader("X-Road-Security-Server", err))
		}
	}
	if raw, err = single(h, HeaderRepresentedParty, maxIdentifierHeader); err != nil {
		return ClientHeaders{}, err
	}
	if raw != "" {
		if c.RepresentedParty, err = ParseRepresentedParty(raw); err != nil {
			return ClientHeaders{}, inHeader("X-Road-Represented-Party", err)
		}
	}
	return c, nil
}

// InvalidSecurityServer is the refusal of a well-formed X-Road-Security-Server header that no gateway answers to: the service's member has
// none of that name. message names the remedy.
func InvalidSecurityServer(message string) error {
	return typed(typeInvalidSecurityServer, countersign.Refuse(countersign.CodeUnknownMember, "%s", message))
}

// single gives the one value of a header, empty where the header is absent. It refuses several values, a present but empty one, an
// over-long one, and characters that no value may hold.
//
// SPEC: PR-REST 4.3: a client must not send several X-Road-Client headers; the document then takes the last one. Countersign refuses
// several of any of these headers, because a request must not name two askers, cases or officials.
func single(h http.Header, key string, limit int) (string, error) {
	values := h[key]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", countersign.Refuse(countersign.CodeBadRequest, "the header %s is sent %d times: send it once", spelled(key), len(values))
	}
	v := values[0]
	switch {
	case strings.TrimSpace(v) == "":
		return "", countersign.Refuse(countersign.CodeBadRequest, "the header %s is empty: give a value or leave the header out", spelled(key))
	case len(v) > limit:
		return "", countersign.Refuse(countersign.CodeBadRequest, "the header %s has %d bytes: %d at most", spelled(key), len(v), limit)
	case !utf8.ValidString(v):
		return "", countersign.Refuse(countersign.CodeBadRequest, "the header %s is not UTF-8: send plain text", spelled(key))
	}
	for _, r := range v {
		if unicode.IsControl(r) || r == '\u200B' || r == '\uFEFF' {
			return "", countersign.Refuse(countersign.CodeBadRequest, "the header %s holds the character %U: leave it out", spelled(key), r)
		}
	}
	return v, nil
}

// checkConnection refuses a Connection header that names what the exchange depends on: an intermediary would then drop the case or the
// client from a request that was judged with it.
func checkConnection(h http.Header) error {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); ours(name) || strings.EqualFold(name, "content-type") {
				return countersign.Refuse(countersign.CodeBadRequest, "the header Connection names an end-to-end header (X-Road-*, Countersign-* or Content-Type): leave it out")
			}
		}
	}
	return nil
}

// spelled is a header's name as the protocol writes it.
func spelled(key string) string {
	switch key {
	case HeaderUserID:
		return "X-Road-UserId"
	}
	return key
}

func inHeader(name string, err error) error {
	return countersign.Refuse(countersign.CodeBadRequest, "the header %s: %s", name, countersign.MessageOf(err))
}
