package xroad

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"countersign.dev/countersign"
)

const detail = "0197a1f0-0000-7000-8000-000000000000"

// every lists the taxonomy with what X-Road's clients see of it, found on the consumer's side and on the provider's.
var every = []struct {
	code               countersign.Code
	status             int
	consumer, provider string
}{
	{countersign.CodeInternal, 500, "server.clientproxy.internal_error", "server.serverproxy.internal_error"},
	{countersign.CodeBadRequest, 400, "client.bad_request", "client.bad_request"},
	{countersign.CodeTooLarge, 400, "client.bad_request", "client.bad_request"},
	{countersign.CodeUnsupportedMedia, 400, "client.bad_request", "client.bad_request"},
	{countersign.CodeNoSubject, 400, "client.bad_request", "client.bad_request"},
	{countersign.CodeUnauthenticated, 500, "server.clientproxy.ssl_authentication_failed", "server.serverproxy.ssl_authentication_failed"},
	{countersign.CodeUnknownMember, 500, "server.clientproxy.unknown_member", "server.serverproxy.unknown_member"},
	{countersign.CodeUnknownService, 500, "server.serverproxy.unknown_service", "server.serverproxy.unknown_service"},
	{countersign.CodeServiceDisabled, 500, "server.serverproxy.service_disabled", "server.serverproxy.service_disabled"},
	{countersign.CodeNoPurpose, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeUnknownPurpose, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeUnknownBasis, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeSelfLookup, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeForbiddenCell, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeForbiddenRule, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeNeverExchanged, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeNoMandate, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeMandateInvalid, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeMandateSpent, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeAssurance, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeAccessDenied, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeBudget, 500, "server.serverproxy.access_denied", "server.serverproxy.access_denied"},
	{countersign.CodeReplay, 500, "server.clientproxy.invalid_request", "server.serverproxy.invalid_request"},
	{countersign.CodeSignature, 500, "server.clientproxy.signature_verification", "server.serverproxy.signature_verification"},
	{countersign.CodeClock, 500, "server.clientproxy.signature_verification", "server.serverproxy.signature_verification"},
	{countersign.CodeInconsistent, 500, "server.clientproxy.inconsistent_response", "server.clientproxy.inconsistent_response"},
	{countersign.CodeNoReceipt, 500, "server.clientproxy.missing_signature", "server.clientproxy.missing_signature"},
	{countersign.CodeExcessFields, 500, "server.clientproxy.inconsistent_response", "server.clientproxy.inconsistent_response"},
	{countersign.CodeUnfilterable, 500, "server.serverproxy.service_failed.invalid_response", "server.serverproxy.service_failed.invalid_response"},
	{countersign.CodeStaleDirectory, 500, "server.clientproxy.global_conf_outdated", "server.serverproxy.global_conf_outdated"},
	{countersign.CodeNoQuorum, 500, "server.clientproxy.logging_failed", "server.serverproxy.logging_failed"},
	{countersign.CodeStore, 500, "server.clientproxy.logging_failed", "server.serverproxy.database_error"},
	{countersign.CodeBusy, 503, "server.clientproxy.io_error", "server.serverproxy.io_error"},
	{countersign.CodeNetwork, 500, "server.clientproxy.network_error", "server.serverproxy.network_error"},
	{countersign.CodeRegister, 500, "server.serverproxy.service_failed.http_error", "server.serverproxy.service_failed.http_error"},
	{countersign.CodeMaintenance, 500, "server.clientproxy.maintenance_mode", "server.clientproxy.maintenance_mode"},
}

func TestFaultTypes(t *testing.T) {
	for _, tc := range every {
		err := fmt.Errorf("asking: %w", countersign.Refuse(tc.code, "the remedy"))
		for side, want := range map[Side]string{ClientProxy: tc.consumer, ServerProxy: tc.provider} {
			f := NewFault(side, StyleSnake, err, detail)
			if f.Type != want || f.Status != tc.status || f.Code != tc.code || f.Message != "the remedy" || f.Side != side {
				t.Errorf("%s on %s: %+v, want %s %d", tc.code, side, f, want, tc.status)
			}
			// Through the other gateway's signed refusal nothing changes but the spelling that the consumer's gateway chooses.
			refused, perr := ParseRefusal(RefusalBody(side, err, detail))
			if perr != nil {
				t.Fatal(perr)
			}
			relayed := NewFault(ClientProxy, StyleSnake, fmt.Errorf("relaying: %w", refused), "another")
			if relayed != f {
				t.Errorf("%s relayed: %+v, want %+v", tc.code, relayed, f)
			}
			if !errors.Is(refused, tc.code) {
				t.Errorf("errors.Is does not find %s in the relayed refusal", tc.code)
			}
		}
	}
}

// TestEveryCodeHasAType reads the taxonomy's source, so that a new code cannot be forgotten here.
func TestEveryCodeHasAType(t *testing.T) {
	listed := map[countersign.Code]bool{}
	for _, tc := range every {
		listed[tc.code] = true
	}
	found := 0
	for _, m := range regexp.MustCompile(`(?m)^\tCode\w+\s+Code = "(\w*)"`).FindAllStringSubmatch(readTaxonomy(t), -1) {
		found++
		if !listed[countersign.Code(m[1])] {
			t.Errorf("code %q has no line in this test: choose its X-Road type", m[1])
		}
	}
	if found != len(every) {
		t.Errorf("the taxonomy has %d codes, this test %d", found, len(every))
	}
}

func TestLegacyStyle(t *testing.T) {
	for code, want := range map[countersign.Code]string{
		countersign.CodeAccessDenied:    "Server.ServerProxy.AccessDenied",
		countersign.CodeBadRequest:      "Client.BadRequest",
		countersign.CodeStaleDirectory:  "Server.ClientProxy.OutdatedGlobalConf",
		countersign.CodeBusy:            "Server.ClientProxy.IOError",
		countersign.CodeUnauthenticated: "Server.ClientProxy.SslAuthenticationFailed",
		countersign.CodeUnknownService:  "Server.ServerProxy.UnknownService",
		countersign.CodeUnfilterable:    "Server.ServerProxy.ServiceFailed.InvalidResponse",
		countersign.CodeInconsistent:    "Server.ClientProxy.InconsistentResponse",
		countersign.CodeInternal:        "Server.ClientProxy.InternalError",
	} {
		if f := NewFault(ClientProxy, StyleLegacy, code, detail); f.Type != want {
			t.Errorf("%s: %s, want %s", code, f.Type, want)
		}
	}
	_, err := ParseClientHeaders(http.Header{})
	if f := NewFault(ClientProxy, StyleLegacy, err, detail); f.Type != "Server.ClientProxy.InvalidClientIdentifier" {
		t.Error(f.Type)
	}
	for text, want := range map[string]Style{"": StyleSnake, "snake": StyleSnake, "legacy": StyleLegacy} {
		if got, err := ParseStyle(text); got != want || err != nil {
			t.Errorf("ParseStyle(%q) = %v, %v", text, got, err)
		}
	}
	if _, err := ParseStyle("Legacy"); err == nil {
		t.Error("an unknown style is accepted")
	}
}

func TestInternalErrorsStayInside(t *testing.T) {
	f := NewFault(ClientProxy, StyleSnake, errors.New("password=hunter2"), detail)
	if strings.Contains(f.Message+string(f.JSON())+string(f.XML()), "hunter2") || f.Status != 500 || f.Code != countersign.CodeInternal {
		t.Errorf("%+v", f)
	}
	if b := RefusalBody(ServerProxy, io.ErrUnexpectedEOF, detail); strings.Contains(string(b), "EOF") {
		t.Errorf("%s", b)
	}
}

func TestWriteError(t *testing.T) {
	for _, tc := range []struct {
		accept      []string
		contentType string
	}{
		{nil, "application/json"}, {[]string{"*/*"}, "application/json"}, {[]string{"foobarbaz"}, "application/json"}, {[]string{"text/xml-patch+xml"}, "application/json"},
		{[]string{"application/json;charset=utf-8"}, "application/json"}, {[]string{"text/xml"}, "text/xml"}, {[]string{"application/xml"}, "application/xml"},
		{[]string{"text/*"}, "text/xml"}, {[]string{"application/xml, text/xml"}, "application/xml"}, {[]string{"text/xml;q=0.1, application/xml"}, "text/xml"},
		{[]string{"image/png", "TEXT/XML"}, "text/xml"}, {[]string{"text/xml;q=0, application/json"}, "application/json"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/r1/x", nil)
		r.Header["Accept"] = tc.accept
		w := httptest.NewRecorder()
		WriteError(w, r, ServerProxy, StyleSnake, countersign.Refuse(countersign.CodeNoPurpose, `give <Countersign-Purpose> & "basis"`), detail)
		h := w.Header()
		if w.Code != 500 || h.Get("Content-Type") != tc.contentType+";charset=utf-8" || h.Get("X-Road-Error") != "server.serverproxy.access_denied" || h.Get("Countersign-Error") != "no_purpose" {
			t.Errorf("%q: %d %v", tc.accept, w.Code, h)
		}
		want := map[string]string{
			"type": "server.serverproxy.access_denied", "message": `give <Countersign-Purpose> & "basis"`, "detail": detail,
			"countersign_error": "no_purpose", "countersign_side": "provider",
		}
		got := map[string]string{}
		if tc.contentType == "application/json" {
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
		} else {
			var body faultBody
			if err := xml.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if body.XMLName.Local != "error" {
				t.Errorf("root %v", body.XMLName)
			}
			got = map[string]string{"type": body.Type, "message": body.Message, "detail": body.Detail, "countersign_error": body.Code, "countersign_side": body.Side}
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%q: %s = %q, want %q", tc.accept, k, got[k], v)
			}
		}
		if len(got) != len(want) {
			t.Errorf("members: %v", got)
		}
	}
}

func TestWriteErrorToHead(t *testing.T) {
	w := httptest.NewRecorder()
	WriteError(w, httptest.NewRequest(http.MethodHead, "/r1/x", nil), ClientProxy, StyleSnake, countersign.CodeBusy, detail)
	if w.Code != 503 || w.Body.Len() != 0 || w.Header().Get("Retry-After") == "" || w.Header().Get("X-Road-Error") != "server.clientproxy.io_error" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
}

func TestParseRefusal(t *testing.T) {
	for _, bad := range []string{"", "{", `{}`, `{"side":"both"}`, `{"side":"provider","detail":"` + strings.Repeat("x", 65) + `"}`, strings.Repeat(" ", MaxRefusal+1)} {
		if r, err := ParseRefusal([]byte(bad)); !errors.Is(err, countersign.CodeInconsistent) {
			t.Errorf("%.40q: %+v, %v", bad, r, err)
		}
	}
	r, err := ParseRefusal([]byte(`{"side":"provider","code":"invented_tomorrow","message":"m","detail":"d","type":"../../x"}`))
	if err != nil || r.Code != countersign.CodeInternal || r.Message != "m" {
		t.Errorf("%+v, %v", r, err)
	}
	if f := NewFault(ClientProxy, StyleSnake, r, ""); f.Type != "server.serverproxy.internal_error" || f.Message != "m" {
		t.Errorf("%+v", f)
	}
	_, err = ParseClientHeaders(http.Header{})
	if r, err = ParseRefusal(RefusalBody(ServerProxy, err, detail)); err != nil || NewFault(ClientProxy, StyleSnake, r, "").Type != "server.clientproxy.invalid_client_identifier" {
		t.Errorf("%+v, %v", r, err)
	}
	long := RefusalBody(ServerProxy, countersign.Refuse(countersign.CodeAccessDenied, "%s", strings.Repeat("ö", 5000)), detail)
	if r, err = ParseRefusal(long); err != nil || len(r.Message) > 1000 || strings.ContainsRune(r.Message, '\ufffd') {
		t.Errorf("%d bytes, %v", len(long), err)
	}
}

func FuzzParseRefusal(f *testing.F) {
	f.Add(RefusalBody(ServerProxy, countersign.CodeAccessDenied, detail))
	f.Add([]byte(`{"side":"consumer","code":"","type":"invalid_security_server"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRefusal(b)
		if err != nil {
			return
		}
		fault := NewFault(ClientProxy, StyleSnake, r, "")
		if !strings.HasPrefix(fault.Type, "server.") && !strings.HasPrefix(fault.Type, "client.") || fault.Status < 400 {
			t.Fatalf("%q: %+v", b, fault)
		}
	})
}

func FuzzAcceptedErrorType(f *testing.F) {
	f.Add("text/xml;q=0.5, */*")
	f.Fuzz(func(t *testing.T, accept string) {
		switch AcceptedErrorType(http.Header{"Accept": {accept}}) {
		case "application/json", "text/xml", "application/xml":
		default:
			t.Fatal("another type")
		}
	})
}
