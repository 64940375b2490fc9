package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdByCode: "bycode CODE": comes in at the portal by a case code, typed at the login service, and prints the timeline as JSON.
func cmdByCode(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) != 1 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: bycode CODE, in a federation with POR")
	}
	v, err := s.visit("code:" + args[0])
	if (err != nil) != neg {
		ts.Fatalf("%v", err)
	}
	if err != nil {
		_, err = fmt.Fprintln(ts.Stdout(), err)
		ts.Check(err)
		return
	}
	text, err := v.read(s.d.Portal.URL + "/api/uses")
	ts.Check(err)
	if !json.Valid(text) {
		ts.Fatalf("the portal's list is no JSON: %s", text)
	}
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
}

// visit logs somebody in at the portal: by personal code, or by "code:" and a case code.
func (s *story) visit(who string) (*visitor, error) {
	code, ok := strings.CutPrefix(who, "code:")
	if !ok {
		return loginAt(s.d.Portal.URL, who)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{&http.Client{Jar: jar, Timeout: 20 * time.Second}}
	home, err := v.read(s.d.Portal.URL + "/")
	if err != nil {
		return nil, err
	}
	ways := regexp.MustCompile(`name="issuer" value="([^"]+)"`).FindAllStringSubmatch(string(home), -1)
	if len(ways) != 2 {
		return nil, fmt.Errorf("the portal offers %d ways to log in", len(ways))
	}
	at, text, err := v.post(s.d.Portal.URL+"/login", url.Values{"issuer": {ways[1][1]}})
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(at.Path, "/choose") || !strings.Contains(text, "Case code") {
		return nil, fmt.Errorf("the login leads to %s", at.Path)
	}
	back, _, err := v.post(at.String(), url.Values{"id": {at.Query().Get("id")}, "subject": {code}})
	if err != nil {
		return nil, err
	}
	if back.Path != "/uses" {
		return nil, fmt.Errorf("the login ends at %s", back.Path)
	}
	return v, nil
}
