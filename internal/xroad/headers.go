package xroad

import (
	"net/http"
	"strings"

	"countersign.dev/countersign"
)

// The pass-lists for services of personal data. On other services every header passes that is not named for removal.
//
// Request: what describes the body and the wanted answer, and the protocol's own headers. Left out on purpose: Accept-Encoding and Range
// (the gateway must read the whole answer as text to filter it), Content-Encoding (an encoded body cannot be searched for its subject; see
// [CheckPersonalRequest]), If-* (an answer "not modified" would disclose without a record of fields), Authorization and Cookie (the
// gateway, not the asker, is known to the register), Forwarded and its kin, trace and baggage headers.
func personalRequest(key string) bool {
	switch key {
	case "Accept", "Accept-Language", "Content-Type", "Content-Language",
		HeaderClient, HeaderID, HeaderUserID, HeaderIssue, HeaderSecurityServer, HeaderRepresentedParty:
		return true
	}
	return false
}

// personalResponse: what describes the body and how to go on. Left out on purpose, because the field filter cannot see into them and
// they can carry a person's data past it: Location, Content-Location, Link, Set-Cookie, Content-Disposition, ETag (a digest of the unfiltered
// body), Last-Modified, and whatever else a register invents.
func personalResponse(key string) bool {
	switch key {
	case "Content-Type", "Content-Language", "Cache-Control", "Pragma", "Expires", "Date", "Allow", "Retry-After":
		return true
	}
	return false
}

// stripped are the headers that never pass, in either direction.
//
// SPEC: PR-REST 4.3, filtered headers, and X-Road 7.8's list: hop-by-hop ones, those that tell of a host, Expect; Content-Length is
// computed anew. Proxy-Connection and HTTP2-Settings are hop-by-hop by use.
func stripped(key string) bool {
	switch key {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Http2-Settings", "Host", "User-Agent", "Server", "Expect", "Content-Length":
		return true
	}
	return false
}

const (
	prefixXRoad       = "x-road-"
	prefixCountersign = "countersign-"
)

// ours reports whether a header's name belongs to X-Road or Countersign, whatever its case, and also when underscores stand for hyphens:
// many servers fold the two, and a service must not read a client from X_Road_Client that no gateway has checked.
func ours(name string) bool {
	return foldPrefix(name, prefixXRoad) || foldPrefix(name, prefixCountersign)
}

func foldPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// passesRequest says which request headers a gateway hands on: towards the provider gateway and towards the service alike.
func passesRequest(key string, personal bool) bool {
	switch {
	case personal:
		return personalRequest(key)
	case stripped(key):
		return false
	case foldPrefix(key, prefixCountersign):
		return false // stated anew by each gateway in its signed message; the token is nobody else's business
	case foldPrefix(key, prefixXRoad):
		return passesXRoad(key)
	}
	return true
}

// passesXRoad: extension headers pass like any unknown header; those that only a gateway may set, and look-alikes with underscores, do not.
//
// SPEC: X-Road-Request-Id is always made anew; inbound Request-Id and Request-Hash are dropped. PR-REST 4.3: other extension headers are
// handled like any user-defined header.
func passesXRoad(key string) bool {
	switch key {
	case HeaderRequestID, HeaderRequestHash, HeaderService, HeaderError:
		return false
	}
	return !strings.Contains(key, "_")
}

// passesResponse says which headers of a service's answer a gateway hands on. The protocol's five are the gateway's to set, and
// X-Road-Error means "a gateway said this", so a service cannot say it.
func passesResponse(key string, personal bool) bool {
	switch {
	case personal:
		return personalResponse(key)
	case stripped(key), foldPrefix(key, prefixCountersign):
		return false
	}
	switch key {
	case HeaderID, HeaderClient, HeaderService, HeaderRequestID, HeaderRequestHash, HeaderError:
		return false
	}
	return true
}

// CopyRequestHeaders hands on the headers of a request: personal narrows to the pass-list. Headers that the client's Connection header
// names are hop-by-hop and do not pass. The values' slices are shared, not copied; replace them with Set, never in place.
func CopyRequestHeaders(dst, src http.Header, personal bool) {
	hops := src["Connection"]
	for key, values := range src {
		if passesRequest(key, personal) && !named(hops, key) {
			dst[key] = values[:len(values):len(values)]
		}
	}
}

// CopyResponseHeaders hands on the headers of a service's answer: personal narrows to the pass-list. The gateway then sets the
// protocol's own with [Echo.Set].
func CopyResponseHeaders(dst, src http.Header, personal bool) {
	hops := src["Connection"]
	for key, values := range src {
		if passesResponse(key, personal) && !named(hops, key) {
			dst[key] = values[:len(values):len(values)]
		}
	}
}

// named reports whether a Connection header names the key. It cannot name X-Road's or Countersign's headers away.
func named(hops []string, key string) bool {
	if len(hops) == 0 || ours(key) {
		return false
	}
	for _, line := range hops {
		for name := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(name), key) {
				return true
			}
		}
	}
	return false
}

// CloseAfterChunks ends the connection after the answer to a request whose body came in chunks. Each gateway calls it before it answers.
//
// SPEC: RFC 9112 6.1: a server that gets Transfer-Encoding together with Content-Length must close the connection after responding.
// net/http forgets that both were sent, so every chunked request is treated as if: what follows on its connection may be smuggled.
func CloseAfterChunks(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
}

// CheckPersonalRequest refuses what would keep a gateway from reading a request for personal data: an encoded body, several body types.
// Errors are refusals with [countersign.CodeUnsupportedMedia].
func CheckPersonalRequest(h http.Header) error {
	for _, v := range h["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(v), "identity") && strings.TrimSpace(v) != "" {
			return countersign.Refuse(countersign.CodeUnsupportedMedia, "the header Content-Encoding: requests for personal data are sent without a content encoding")
		}
	}
	if len(h["Content-Type"]) > 1 {
		return countersign.Refuse(countersign.CodeBadRequest, "the header Content-Type is sent %d times: send it once", len(h["Content-Type"]))
	}
	return nil
}

// Echo is what ties an answer to its question: the five headers that the provider gateway sets and the consumer gateway checks.
type Echo struct {
	ID          string // X-Road-Id of the request, sent or made
	Client      countersign.SubsystemID
	Service     countersign.ServiceID
	RequestID   string // the exchange id
	RequestHash string // see [RequestHash]
}

// Set replaces the five headers.
func (e Echo) Set(h http.Header) {
	values := [5]string{e.ID, EncodeSubsystem(e.Client), EncodeService(e.Service), e.RequestID, e.RequestHash}
	backing := values[:]
	for i, key := range [5]string{HeaderID, HeaderClient, HeaderService, HeaderRequestID, HeaderRequestHash} {
		h[key] = backing[i : i+1 : i+1]
	}
}

// Check compares an answer's headers with what the consumer gateway expects.
//
// SPEC: the consumer gateway verifies the request hash with the client, service, query id and request id; a mismatch is
// inconsistent_response. Errors are refusals with [countersign.CodeInconsistent] that name the header.
func (e Echo) Check(h http.Header) error {
	for _, c := range [...]struct{ key, want string }{
		{HeaderID, e.ID}, {HeaderRequestID, e.RequestID}, {HeaderRequestHash, e.RequestHash},
	} {
		if v := h[c.key]; len(v) != 1 || v[0] != c.want || c.want == "" {
			return inconsistent(c.key)
		}
	}
	// Two spellings of one identifier are equal: the other gateway may escape more than it must.
	if v := h[HeaderClient]; len(v) != 1 {
		return inconsistent(HeaderClient)
	} else if id, err := ParseSubsystem(v[0]); err != nil || id != e.Client {
		return inconsistent(HeaderClient)
	}
	if v := h[HeaderService]; len(v) != 1 {
		return inconsistent(HeaderService)
	} else if id, err := ParseService(v[0]); err != nil || id != e.Service {
		return inconsistent(HeaderService)
	}
	return nil
}

func inconsistent(key string) error {
	return countersign.Refuse(countersign.CodeInconsistent, "the answer's header %s does not belong to the request: the answer was dropped", spelled(key))
}
