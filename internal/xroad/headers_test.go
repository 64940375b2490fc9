package xroad

import (
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

func header(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

var testClient = countersign.SubsystemID{MemberID: countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1001"}, Subsystem: "portal"}

func TestParseClientHeaders(t *testing.T) {
	got, err := ParseClientHeaders(header("X-Road-Client: DEMO/GOV/1001/portal", "X-Road-Id: abc", "X-Road-UserId: DM12345678901", "X-Road-Issue: 2026/7",
		"X-Road-Security-Server: DEMO/GOV/2001/gate%2F1", "X-Road-Represented-Party: COM/3001", "Connection: close"))
	want := ClientHeaders{
		Client: testClient, ID: "abc", UserID: "DM12345678901", Issue: "2026/7",
		SecurityServer:   SecurityServerID{Member: countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "2001"}, Server: "gate/1"},
		RepresentedParty: RepresentedParty{Class: "COM", Code: "3001"},
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	got, err = ParseClientHeaders(header("X-Road-Client: DEMO/GOV/1001", "X-Road-Represented-Party: 3001"))
	want = ClientHeaders{Client: countersign.SubsystemID{MemberID: testClient.MemberID}, RepresentedParty: RepresentedParty{Code: "3001"}}
	if err != nil || got != want {
		t.Errorf("a member alone: got %+v, %v", got, err)
	}
	if got.SecurityServer.IsZero() != true || got.RepresentedParty.String() != "3001" {
		t.Errorf("unexpected %v %v", got.SecurityServer, got.RepresentedParty)
	}
}

func TestParseClientHeadersRefuses(t *testing.T) {
	const ok = "X-Road-Client: DEMO/GOV/1001/portal"
	for _, tc := range []struct {
		header http.Header
		names  string // what the message must name
		kind   string // the error's type at the edge
	}{
		{header(), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header(ok, ok), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header(ok, "X-Road-Client: DEMO/GOV/1002/x"), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: "), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: DEMO/GOV"), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: DEMO/GOV/1001/portal/x"), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: DEMO/GOV/1001/portal, DEMO/GOV/1002/x"), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: DEMO//1001/portal"), "part 2", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: DEMO/GOV/10%zz/portal"), "part 3", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: DEMO/GOV/1001/por tal"), "part 4", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: DEMO/GOV/1001/%00"), "part 4", "server.clientproxy.invalid_client_identifier"},
		{header("X-Road-Client: " + strings.Repeat("A", 4000)), "X-Road-Client", "server.clientproxy.invalid_client_identifier"},
		{header(ok, "X-Road-Id: a", "X-Road-Id: b"), "X-Road-Id", "client.bad_request"},
		{header(ok, "X-Road-Id: "), "X-Road-Id", "client.bad_request"},
		{header(ok, "X-Road-Id: "+strings.Repeat("a", 256)), "X-Road-Id", "client.bad_request"},
		{header(ok, "X-Road-Id: a\x00b"), "X-Road-Id", "client.bad_request"},
		{header(ok, "X-Road-Id: a\u200bb"), "X-Road-Id", "client.bad_request"},
		{header(ok, "X-Road-Id: \xff"), "X-Road-Id", "client.bad_request"},
		{header(ok, "X-Road-UserId: a", "X-Road-UserId: b"), "X-Road-UserId", "client.bad_request"},
		{header(ok, "X-Road-Issue: a", "X-Road-Issue: b"), "X-Road-Issue", "client.bad_request"},
		{header(ok, "X-Road-Issue: a\rb"), "X-Road-Issue", "client.bad_request"},
		{header(ok, "X-Road-Security-Server: DEMO/GOV/2001"), "X-Road-Security-Server", "server.clientproxy.invalid_security_server"},
		{header(ok, "X-Road-Security-Server: a", "X-Road-Security-Server: b"), "X-Road-Security-Server", "server.clientproxy.invalid_security_server"},
		{header(ok, "X-Road-Represented-Party: a/b/c"), "X-Road-Represented-Party", "client.bad_request"},
		{header(ok, "X-Road-Represented-Party: a/"), "X-Road-Represented-Party", "client.bad_request"},
		{header(ok, "Connection: close, x-road-issue"), "Connection", "client.bad_request"},
		{header(ok, "Connection: Countersign-Purpose"), "Connection", "client.bad_request"},
	} {
		got, err := ParseClientHeaders(tc.header)
		if !errors.Is(err, countersign.CodeBadRequest) || !strings.Contains(countersign.MessageOf(err), tc.names) {
			t.Errorf("%q: %+v, %v; want a refusal that names %s", tc.header, got, err, tc.names)
			continue
		}
		if f := NewFault(ClientProxy, StyleSnake, err, ""); f.Type != tc.kind || f.Status != 400 {
			t.Errorf("%q: %s %d, want %s 400", tc.header, f.Type, f.Status, tc.kind)
		}
	}
}

func TestInvalidSecurityServer(t *testing.T) {
	err := InvalidSecurityServer("name another gateway")
	want := Fault{Type: "server.clientproxy.invalid_security_server", Status: 500, Message: "name another gateway", Code: countersign.CodeUnknownMember, Detail: "d"}
	if got := NewFault(ClientProxy, StyleSnake, err, "d"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRefusalsHoldNoPersonalData(t *testing.T) {
	_, err := ParseClientHeaders(header("X-Road-Client: DEMO/GOV/1001/portal", "X-Road-UserId: DM12345678901\u200b", "X-Road-Issue: 7"))
	if err == nil || strings.Contains(err.Error(), "12345678901") {
		t.Errorf("the message repeats the value: %v", err)
	}
}

func TestNewMessageID(t *testing.T) {
	a, b := NewMessageID("DEMO"), NewMessageID("DEMO")
	if a == b || !strings.HasPrefix(a, "DEMO-") || len(a) != len("DEMO-")+36 {
		t.Errorf("%q, %q", a, b)
	}
}

var everyHeader = header(
	"Connection: keep-alive, X-Hop", "Keep-Alive: 5", "Te: trailers", "Trailer: X", "Transfer-Encoding: chunked", "Upgrade: h2c",
	"Proxy-Authenticate: a", "Proxy-Authorization: a", "Proxy-Connection: a", "Host: h", "User-Agent: u", "Server: s", "Expect: 100-continue", "Content-Length: 7",
	"X-Hop: 1", "X-Custom: a", "X-Custom: b", "Accept: text/plain", "Accept-Language: az", "Accept-Encoding: gzip", "Content-Type: application/json", "Content-Language: az",
	"Content-Encoding: gzip", "Authorization: Bearer x", "Cookie: a=b", "Set-Cookie: a=b", "Location: /x", "Etag: x", "Last-Modified: x", "Cache-Control: no-cache", "Date: d",
	"X-Road-Client: DEMO/GOV/1001/portal", "X-Road-Id: abc", "X-Road-UserId: u", "X-Road-Issue: i", "X-Road-Security-Server: a/b/c/d",
	"X-Road-Represented-Party: r", "X-Road-Service: forged", "X-Road-Request-Id: forged", "X-Road-Request-Hash: forged", "X-Road-Error: forged", "X-Road-Extension: e",
	"X_Road_Client: forged", "X-Road_Client: forged", "Countersign-Token: secret", "Countersign-Purpose: p", "Countersign_Official: forged",
)

func TestCopyHeaders(t *testing.T) {
	for _, tc := range []struct {
		name     string
		copyTo   func(dst, src http.Header, personal bool)
		personal bool
		want     []string
	}{
		{"request", CopyRequestHeaders, false, []string{
			"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Content-Encoding", "Content-Language", "Content-Type", "Cookie", "Date",
			"Etag", "Last-Modified", "Location", "Set-Cookie", "X-Custom", "X-Road-Client", "X-Road-Extension", "X-Road-Id", "X-Road-Issue", "X-Road-Represented-Party", "X-Road-Security-Server", "X-Road-Userid",
		}},
		{"personal request", CopyRequestHeaders, true, []string{
			"Accept", "Accept-Language", "Content-Language", "Content-Type", "X-Road-Client", "X-Road-Id", "X-Road-Issue", "X-Road-Represented-Party", "X-Road-Security-Server", "X-Road-Userid",
		}},
		{"response", CopyResponseHeaders, false, []string{
			"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Content-Encoding", "Content-Language", "Content-Type", "Cookie", "Date",
			"Etag", "Last-Modified", "Location", "Set-Cookie", "X-Custom", "X-Road-Extension", "X-Road-Issue", "X-Road-Represented-Party", "X-Road-Security-Server", "X-Road-Userid",
			"X-Road_client", "X_road_client",
		}},
		{"personal response", CopyResponseHeaders, true, []string{"Cache-Control", "Content-Language", "Content-Type", "Date"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dst := http.Header{}
			tc.copyTo(dst, everyHeader, tc.personal)
			var got []string
			for k := range dst {
				got = append(got, k)
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if !tc.personal && !slices.Equal(dst["X-Custom"], []string{"a", "b"}) {
				t.Errorf("X-Custom = %q", dst["X-Custom"])
			}
		})
	}
	kept := http.Header{}
	CopyRequestHeaders(kept, header("Connection: x-road-issue, X-Hop", "X-Road-Issue: 7", "X-Hop: 1"), true)
	if kept.Get(HeaderIssue) != "7" || len(kept) != 1 {
		t.Errorf("Connection names the case away: %v", kept)
	}
	dst := http.Header{}
	CopyRequestHeaders(dst, everyHeader, false)
	dst.Add("X-Custom", "c")
	if len(everyHeader["X-Custom"]) != 2 {
		t.Error("adding to the copy changed the source")
	}
}

func TestCheckPersonalRequest(t *testing.T) {
	if err := CheckPersonalRequest(header("Content-Encoding: identity", "Content-Type: application/json")); err != nil {
		t.Error(err)
	}
	if err := CheckPersonalRequest(header("Content-Encoding: gzip")); !errors.Is(err, countersign.CodeUnsupportedMedia) {
		t.Error(err)
	}
	if err := CheckPersonalRequest(header("Content-Type: a/b", "Content-Type: c/d")); !errors.Is(err, countersign.CodeBadRequest) {
		t.Error(err)
	}
}

func TestCloseAfterChunks(t *testing.T) {
	for encoding, want := range map[string]string{"": "", "chunked": "close"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil)
		if encoding != "" {
			r.TransferEncoding = []string{encoding}
		}
		CloseAfterChunks(w, r)
		if got := w.Header().Get("Connection"); got != want {
			t.Errorf("Transfer-Encoding %q: Connection %q", encoding, got)
		}
	}
}

func TestEcho(t *testing.T) {
	e := Echo{ID: "DEMO-1", Client: testClient, Service: countersign.ServiceID{SubsystemID: testClient, Service: "a/ö"}, RequestID: "r", RequestHash: "h"}
	h := header("X-Road-Client: forged", "X-Road-Service: forged")
	e.Set(h)
	if h.Get(HeaderService) != "DEMO/GOV/1001/portal/a%2F%C3%B6" || h.Get(HeaderClient) != "DEMO/GOV/1001/portal" {
		t.Errorf("%q", h)
	}
	if err := e.Check(h); err != nil {
		t.Error(err)
	}
	h.Set(HeaderService, "DEMO/GOV/1001/portal/%61%2f%c3%b6")
	if err := e.Check(h); err != nil {
		t.Errorf("another spelling of the same service: %v", err)
	}
	for _, key := range []string{HeaderID, HeaderClient, HeaderService, HeaderRequestID, HeaderRequestHash} {
		for _, forged := range [][]string{nil, {""}, {"x"}, {h.Get(key), h.Get(key)}} {
			bad := h.Clone()
			bad[key] = forged
			if err := e.Check(bad); !errors.Is(err, countersign.CodeInconsistent) {
				t.Errorf("%s = %q: %v", key, forged, err)
			}
		}
	}
	if err := (Echo{}).Check(http.Header{HeaderID: {""}, HeaderRequestID: {""}, HeaderRequestHash: {""}}); err == nil {
		t.Error("the zero echo accepts an empty answer")
	}
}

func TestHashBlock(t *testing.T) {
	h := header("X-Custom: b", "X-Custom: a", "Accept: text/plain", "X-Road-Client: DEMO/GOV/1001/portal", "Connection: X-Hop", "X-Hop: 1", "User-Agent: u",
		"X-Road-Request-Id: forged", "X-Road-Request-Hash: forged", "Countersign-Token: secret", "Content-Length: 3")
	want := "POST\r\n/r1/A/B/C/D/E/x?y=1\r\naccept:text/plain\r\nx-custom:b\r\nx-custom:a\r\nx-road-client:DEMO/GOV/1001/portal\r\nx-road-request-id:RID\r\n"
	if got := string(HashBlock("POST", "/r1/A/B/C/D/E/x?y=1", h, "RID", "made", true)); got != want+"x-road-id:made\r\n" {
		t.Errorf("made id:\n%q\n%q", got, want)
	}
	if got := string(HashBlock("POST", "/r1/A/B/C/D/E/x?y=1", h, "RID", "", false)); got != want {
		t.Errorf("no id made:\n%q\n%q", got, want)
	}
	withID := h.Clone()
	withID.Set(HeaderID, "made")
	if got := string(HashBlock("POST", "/r1/A/B/C/D/E/x?y=1", withID, "RID", "made", true)); got != want+"x-road-id:made\r\n" {
		t.Errorf("the provider, which gets the made id among the headers, makes another block:\n%q", got)
	}
}

func TestRequestHash(t *testing.T) {
	block, body := []byte("GET\r\n/r1/A/B/C/D/E\r\n"), []byte(`{"value":42}`)
	b1, d := sha512.Sum512(block), NewBodyDigest()
	if got, want := RequestHash(block, nil, false), base64.StdEncoding.EncodeToString(b1[:]); got != want {
		t.Errorf("without a body: %s, want %s", got, want)
	}
	d.Write(body)
	b2 := sha512.Sum512(body)
	both := sha512.Sum512(append(b1[:], b2[:]...))
	if got, want := RequestHash(block, d.Sum(nil), true), base64.StdEncoding.EncodeToString(both[:]); got != want {
		t.Errorf("with a body: %s, want %s", got, want)
	}
	if got := RequestHash(block, d.Sum(nil), false); got != base64.StdEncoding.EncodeToString(b1[:]) {
		t.Error("a digest counts although there is no body")
	}
}

// TestHashIsStable: neither arrival order nor a passage through a gateway's header copy changes the block, and each value does.
func TestHashIsStable(t *testing.T) {
	names := rapid.SampledFrom([]string{"Accept", "X-Custom", "X_under", "Xa", "X-Road-Issue", "Content-Type", "Connection", "Te", "Countersign-Token", "X-Road-Id", "Zz"})
	rapid.Check(t, func(t *rapid.T) {
		type line struct{ name, value string }
		lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) line {
			return line{names.Draw(t, "name"), rapid.StringMatching(`[a-zA-Z0-9 ,/-]{0,12}`).Draw(t, "value")}
		}), 0, 12).Draw(t, "lines")
		h, shuffled := http.Header{}, http.Header{}
		for _, l := range lines {
			h.Add(l.name, l.value)
		}
		perm := rapid.Permutation([]string{"Accept", "X-Custom", "X_under", "Xa", "X-Road-Issue", "Content-Type", "Connection", "Te", "Countersign-Token", "X-Road-Id", "Zz"}).Draw(t, "order")
		for _, name := range perm {
			for _, v := range h[http.CanonicalHeaderKey(name)] {
				shuffled.Add(name, v)
			}
		}
		made := rapid.Bool().Draw(t, "made")
		want := HashBlock("GET", "/p", h, "rid", "id", made)
		if got := HashBlock("GET", "/p", shuffled, "rid", "id", made); string(got) != string(want) {
			t.Fatalf("%q\n%q", got, want)
		}
		passed := http.Header{}
		CopyRequestHeaders(passed, h, false)
		if got := HashBlock("GET", "/p", passed, "rid", "id", made); string(got) != string(want) {
			t.Fatalf("after a gateway:\n%q\n%q", got, want)
		}
		for key := range passed {
			if made && key == HeaderID {
				continue
			}
			changed := passed.Clone()
			changed[key] = append(changed[key], "another")
			if got := HashBlock("GET", "/p", changed, "rid", "id", made); string(got) == string(want) {
				t.Fatalf("another %s does not change the block", key)
			}
		}
	})
}

func FuzzParseClientHeaders(f *testing.F) {
	f.Add("DEMO/GOV/1001/portal", "id", "user", "issue", "DEMO/GOV/1/s", "GOV/1", "close")
	f.Add("DEMO/GOV/1001", "", "", "", "", "x", "x-road-client")
	f.Fuzz(func(t *testing.T, client, id, user, issue, server, party, connection string) {
		h := http.Header{HeaderClient: {client}, HeaderID: {id}, HeaderUserID: {user}, HeaderIssue: {issue}, HeaderSecurityServer: {server}, HeaderRepresentedParty: {party}, "Connection": {connection}}
		got, err := ParseClientHeaders(h)
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeBadRequest {
				t.Fatal(err)
			}
			return
		}
		if back, err := ParseSubsystem(EncodeSubsystem(got.Client)); err != nil || back != got.Client {
			t.Fatalf("%q: %v, %v", client, back, err)
		}
	})
}

func BenchmarkParseClientHeaders(b *testing.B) {
	h := header("X-Road-Client: DEMO/GOV/1001/portal", "X-Road-Id: abc", "X-Road-UserId: DM1", "X-Road-Issue: 2026/7", "Accept: application/json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseClientHeaders(h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCopyRequestHeaders(b *testing.B) {
	h := header("X-Road-Client: DEMO/GOV/1001/portal", "X-Road-Id: abc", "X-Road-UserId: DM1", "X-Road-Issue: 2026/7", "Accept: application/json", "User-Agent: u", "Connection: keep-alive")
	dst := make(http.Header, 16)
	b.ReportAllocs()
	for b.Loop() {
		clear(dst)
		CopyRequestHeaders(dst, h, false)
	}
}

func BenchmarkRequestHash(b *testing.B) {
	h := header("X-Road-Client: DEMO/GOV/1001/portal", "X-Road-Id: abc", "X-Road-UserId: DM1", "X-Road-Issue: 2026/7", "Accept: application/json", "User-Agent: u", "Content-Type: application/json")
	buf := make([]byte, 0, 1024)
	body := make([]byte, sha512.Size)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendHashBlock(buf[:0], "GET", "/r1/DEMO/GOV/1001/population/person/v1/persons/12345678901", h, "0197a1f0-0000-7000-8000-000000000000", "", false)
		RequestHash(buf, body, true)
	}
}
