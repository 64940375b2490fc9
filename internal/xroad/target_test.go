package xroad

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

func TestParseTarget(t *testing.T) {
	service := countersign.ServiceID{
		SubsystemID: countersign.SubsystemID{
			MemberID:  countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1001"},
			Subsystem: "registry",
		},
		Service: "echo",
	}
	odd := service
	odd.Subsystem, odd.Service = "s/ub", "öäå"
	for _, tc := range []struct {
		name, uri, path, query string
		hasQuery               bool
		rule                   RulePath
		service                countersign.ServiceID
	}{
		{"empty path", "/r1/DEMO/GOV/1001/registry/echo", "", "", false, "", service},
		{"slash", "/r1/DEMO/GOV/1001/registry/echo/", "/", "", false, "/", service},
		{"empty path and query", "/r1/DEMO/GOV/1001/registry/echo?a=1", "", "a=1", true, "", service},
		{"bare question mark", "/r1/DEMO/GOV/1001/registry/echo?", "", "", true, "", service},
		{"raw path", "/r1/DEMO/GOV/1001/registry/echo/path%3B/", "/path%3B/", "", false, "/path;/", service},
		{"path and query", "/r1/DEMO/GOV/1001/registry/echo/v1/bar?quu=1&q=%2F..", "/v1/bar", "quu=1&q=%2F..", true, "/v1/bar", service},
		{"question mark in the query", "/r1/DEMO/GOV/1001/registry/echo/a?b?c", "/a", "b?c", true, "/a", service},
		{"brackets in the query", "/r1/DEMO/GOV/1001/registry/echo/a?ids[]=1", "/a", "ids[]=1", true, "/a", service},
		{"encoded identifiers", "/r1/DEMO/GOV/1001/s%2Fub/%C3%B6%C3%A4%C3%A5/path%3B/", "/path%3B/", "", false, "/path;/", odd},
		{"utf-8 in the path", "/r1/DEMO/GOV/1001/registry/echo/%C3%B6", "/%C3%B6", "", false, "/ö", service},
		{"a percent sign that encodes nothing", "/r1/DEMO/GOV/1001/registry/echo/100%25", "/100%25", "", false, "/100%", service},
		{"three dots", "/r1/DEMO/GOV/1001/registry/echo/.../a", "/.../a", "", false, "/.../a", service},
		{"path parameter", "/r1/DEMO/GOV/1001/registry/echo/a;v=1/b", "/a;v=1/b", "", false, "/a;v=1/b", service},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseTarget(tc.uri)
			if err != nil {
				t.Fatal(err)
			}
			want := Target{Service: tc.service, Raw: tc.uri, Path: tc.path, Query: tc.query, HasQuery: tc.hasQuery, RulePath: tc.rule}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			wantURL := tc.path
			if tc.hasQuery {
				wantURL += "?" + tc.query
			}
			if got.PathAndQuery() != wantURL {
				t.Errorf("PathAndQuery() = %q, want %q", got.PathAndQuery(), wantURL)
			}
		})
	}
}

func TestParseTargetRefuses(t *testing.T) {
	const base = "/r1/DEMO/GOV/1001/registry/echo"
	for _, uri := range []string{
		"", "*", "r1/DEMO/GOV/1001/registry/echo", "http://gateway" + base, "//gateway" + base,
		"/r2/DEMO/GOV/1001/registry/echo", "/R1/DEMO/GOV/1001/registry/echo", "/r1", "/r1/", "/r1/invalid", "/r1%2FDEMO/GOV/1001/registry/echo",
		"/r1/DEMO/GOV/1001/registry",          // subsystem left out
		"/r1/DEMO%2FGOV%2F1001/registry/echo", // the document's invalid example
		"/r1//GOV/1001/registry/echo", "/r1/DEMO/GOV/1001//echo", "/r1/DEMO/GOV/1001/registry/", "/r1/DEMO/GOV/1001/registry/?a",
		"/r1/DEMO/GOV/1001/registry/%", "/r1/DEMO/GOV/1001/registry/%4", "/r1/DEMO/GOV/1001/registry/%zz",
		"/r1/DEMO/GOV/1001/registry/a%00b", "/r1/DEMO/GOV/1001/registry/a%0Ab", "/r1/DEMO/GOV/1001/registry/a%E2%80%8Bb",
		"/r1/DEMO/GOV/1001/registry/%EF%BB%BFa", "/r1/DEMO/GOV/1001/registry/%C0%AF", "/r1/DEMO/GOV/1001/registry/ö",
		"/r1/DEMO/GOV/1001/registry/a b", `/r1/DEMO/GOV/1001/registry/a\b`, "/r1/DEMO/GOV/1001/registry/" + strings.Repeat("a", 256),
		base + "/..", base + "/../x", base + "/.", base + "/./x", base + "/x/..", base + "/%2e%2e/x", base + "/%2E", base + "/.%2e/x",
		base + "/..;/x", base + "/..;a=b/x", base + "/%2e%2e%3B/x", base + "/;/x", base + "/;x", base + "/..%20/x", base + "/%20/x",
		base + "//", base + "//x", base + "/x//y", base + "/x%2Fy", base + "/x%2fy", base + `/x\y`, base + "/x%5Cy", base + "/..%5C..%5Cx",
		base + "/%252e%252e/x", base + "/%252Fx", base + "/%25%32%66", base + "/a%00", base + "/a%0d%0ab", base + "/%C0%AE%C0%AE/x", base + "/%ff",
		base + "/a%", base + "/a%1", base + "/a%gg", base + "/a|b", base + "/<a>", base + "/a b", base + "/ö", base + "/a#b", base + "/a?b#c",
		base + "?a=%", base + "?a=%zz", base + "?a b", base + "?ö", base + "?a\x00", base + "?a|b", base + "?{a}",
	} {
		got, err := ParseTarget(uri)
		if !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("ParseTarget(%q) = %+v, %v; want bad_request", uri, got, err)
		}
	}
	if _, err := ParseTarget(base + "/" + strings.Repeat("a", MaxTarget)); !errors.Is(err, countersign.CodeTooLarge) {
		t.Errorf("an over-long target: %v; want too_large", err)
	}
}

// partGen makes identifier parts that CheckIdentifierPart accepts, odd ones among them.
func partGen() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9'()+,\-.=?]{1,20}`),
		rapid.StringOfN(rapid.RuneFrom([]rune("aZ09/%;:\\ öäåəƏ漢?#[]{}|\"<>^`")), 1, 20, 255),
	).Filter(func(s string) bool { return countersign.CheckIdentifierPart(s) == nil })
}

func TestIdentifierRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := countersign.ServiceID{
			SubsystemID: countersign.SubsystemID{
				MemberID:  countersign.MemberID{Instance: partGen().Draw(t, "instance"), Class: partGen().Draw(t, "class"), Code: partGen().Draw(t, "code")},
				Subsystem: partGen().Draw(t, "subsystem"),
			},
			Service: partGen().Draw(t, "service"),
		}
		if got, err := ParseService(EncodeService(id)); err != nil || got != id {
			t.Fatalf("service %q: %q, %v", EncodeService(id), got, err)
		}
		if got, err := ParseSubsystem(EncodeSubsystem(id.SubsystemID)); err != nil || got != id.SubsystemID {
			t.Fatalf("subsystem %q: %q, %v", EncodeSubsystem(id.SubsystemID), got, err)
		}
		target, err := ParseTarget("/r1/" + EncodeService(id) + "/x")
		if err != nil || target.Service != id || target.RulePath != "/x" {
			t.Fatalf("target: %+v, %v", target, err)
		}
		for _, part := range []string{id.Instance, id.Subsystem, id.Service} {
			if got, err := DecodePart(EncodePart(part)); err != nil || got != part {
				t.Fatalf("part %q: %q, %v", EncodePart(part), got, err)
			}
		}
	})
}

// TestCleanPathHasOneReading is the property behind the refusals: whatever was accepted names the same segments raw and decoded, and no
// further decoding or cleaning changes it.
func TestCleanPathHasOneReading(t *testing.T) {
	alphabet := []string{"/", ".", "..", "%2e", "%2E", "%2f", "%5c", "%25", "2e", "2f", ";", "%3b", "%20", "a", "b", "%C3%B6", "\\", "%00", "*", "%2A"}
	rapid.Check(t, func(t *rapid.T) {
		raw := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 8).Draw(t, "pieces"), "")
		got, err := CleanPath(raw)
		if err != nil {
			return
		}
		again, err := CleanPath(escapeForPath(string(got)))
		if err != nil || again != got {
			t.Fatalf("%q cleaned to %q, then to %q, %v", raw, got, again, err)
		}
		if strings.Count(raw, "/") != strings.Count(string(got), "/") {
			t.Fatalf("%q changed its segments: %q", raw, got)
		}
		for i, s := range strings.Split(string(got), "/")[1:] {
			if s == "." || s == ".." || strings.HasPrefix(s, ";") || strings.HasPrefix(s, "..;") || s == "" && i != strings.Count(string(got), "/")-1 {
				t.Fatalf("%q let through the segment %q", raw, s)
			}
		}
	})
}

func escapeForPath(s string) string {
	parts := strings.Split(s, "/")
	for i := range parts {
		parts[i] = EncodePart(parts[i])
	}
	return strings.Join(parts, "/")
}

func TestVerbs(t *testing.T) {
	for _, v := range []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"} {
		if err := CheckVerb(v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	for _, v := range []string{"", "get", "TRACE", "CONNECT", "PROPFIND"} {
		if err := CheckVerb(v); !errors.Is(err, countersign.CodeBadRequest) {
			t.Errorf("%q: %v", v, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"/r1/A/B/C/D/E", "/r1/A/B/C/D/E/", "/r1/A/B/C/s%2Fub/%C3%B6/path%3B/?q=1", "/r1/A/B/C/D/E/%2e%2e/x", "/r1/A/B/C/D/E//", "/r1/%/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		target, err := ParseTarget(uri)
		if err != nil {
			if c := countersign.CodeOf(err); c != countersign.CodeBadRequest && c != countersign.CodeTooLarge {
				t.Fatalf("code %v", c)
			}
			return
		}
		if target.Raw != uri || !strings.HasSuffix(uri, target.PathAndQuery()) {
			t.Fatalf("%q lost its raw form: %+v", uri, target)
		}
		back, err := ParseTarget("/r1/" + EncodeService(target.Service) + target.PathAndQuery())
		if err != nil && countersign.CodeOf(err) != countersign.CodeTooLarge || err == nil && (back.Service != target.Service || back.RulePath != target.RulePath) {
			t.Fatalf("%q is not stable: %+v, %v", uri, back, err)
		}
		if strings.Contains(string(target.RulePath), "/../") || strings.Contains(string(target.RulePath), "//") || strings.Contains(string(target.RulePath), "/./") {
			t.Fatalf("%q let a traversal through: %q", uri, target.RulePath)
		}
	})
}

func FuzzDecodePart(f *testing.F) {
	for _, s := range []string{"A", "%2F", "%C3%B6", "%", "%zz", "a b", "%E2%80%8B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		part, err := DecodePart(raw)
		if err != nil {
			return
		}
		if got, err := DecodePart(EncodePart(part)); err != nil || got != part {
			t.Fatalf("%q decodes to %q, and back to %q, %v", raw, part, got, err)
		}
	})
}

func BenchmarkParseTarget(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTarget("/r1/DEMO/GOV/1001/population/person/v1/persons/12345678901?fields=name"); err != nil {
			b.Fatal(err)
		}
	}
}
