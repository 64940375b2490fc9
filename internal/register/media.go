package register

import (
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"countersign.dev/countersign"
)

// checkMedia refuses every body but a whole JSON document in UTF-8 without an encoding.
func checkMedia(contentType string, header http.Header) error {
	if n := len(header["Content-Type"]); n > 1 {
		return unfilterable("the body has %d content types: send one", n)
	}
	for _, v := range header["Content-Encoding"] {
		if !strings.EqualFold(textproto.TrimString(v), "identity") {
			return unfilterable("the body has a content encoding: send it without one")
		}
	}
	for _, v := range header["Transfer-Encoding"] {
		if !strings.EqualFold(v, "chunked") {
			return unfilterable("the body has a transfer encoding: send it without one")
		}
	}
	if len(header["Content-Range"]) > 0 {
		return unfilterable("the body is a part of a document: send the whole")
	}
	switch contentType {
	case "application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "application/fhir+json":
		return nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return unfilterable("the content type cannot be read: send application/json")
	}
	name, isApplication := strings.CutPrefix(media, "application/")
	if !isApplication || name != "json" && (!strings.HasSuffix(name, "+json") || name == "+json") {
		return unfilterable("the content type is not JSON: send application/json or another application/…+json")
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") {
		return unfilterable("the character set is not UTF-8: send UTF-8")
	}
	return nil
}

const maxHeaderValue = 256

// PersonalHeader gives the headers of an answer about a person that may leave. A header is as good a place for data as a body, so a
// list decides, each name may occur once, and values are bounded:
//
//   - Content-Type; Content-Language, Allow, Retry-After, Accept-Patch: they tell about the representation or the service
//   - Location with 201, 202 and redirects, when it is a path without query: the client needs it to go on
//   - Cache-Control is always no-store, whatever the register says: guarantee 1, payloads are kept nowhere
//
// Everything else stays behind, trailers and these usual ones too: ETag (a digest of the unfiltered answer lets its reader guess what
// was withheld), Last-Modified (tells of changes in fields that were withheld), Set-Cookie, Link, Warning, Content-Disposition (a file
// name), WWW-Authenticate (the register's own protection). Content-Length is the sender's to compute.
func PersonalHeader(status int, h http.Header) http.Header {
	out := make(http.Header, 12) // the gateway adds its own
	out["Cache-Control"] = noStore
	for _, name := range []string{"Content-Type", "Content-Language", "Allow", "Retry-After", "Accept-Patch"} {
		if v := h[name]; len(v) == 1 && isPlainValue(v[0]) {
			out[name] = v[:1:1]
		}
	}
	if v := h["Location"]; len(v) == 1 && isPlainValue(v[0]) && mayLocate(status) {
		u, err := url.Parse(v[0])
		if err == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.User == nil && u.Opaque == "" {
			out["Location"] = v[:1:1]
		}
	}
	return out
}

// noStore is a header's value that nobody changes.
var noStore = []string{"no-store"}

func mayLocate(status int) bool {
	return status == http.StatusCreated || status == http.StatusAccepted || status >= 300 && status < 400
}

func isPlainValue(v string) bool {
	for i := range len(v) {
		if v[i] < 0x20 || v[i] > 0x7e {
			return false
		}
	}
	return len(v) <= maxHeaderValue
}

// checkJSONRequest is checkMedia for a request body that names the person.
func checkJSONRequest(header http.Header) error {
	types := header["Content-Type"]
	if len(types) != 1 {
		return countersign.Refuse(countersign.CodeUnsupportedMedia, "the body names the person: send one Content-Type, application/json")
	}
	if err := checkMedia(types[0], header); err != nil {
		return countersign.Refuse(countersign.CodeUnsupportedMedia, "%s", countersign.MessageOf(err))
	}
	return nil
}
