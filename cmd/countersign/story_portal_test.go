package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// storyPlan is the federation that a story names. With POR among its agencies it has the people's portal, and the identity provider that lets people in.
func storyPlan(agencies []string) demoPlan {
	i := slices.Index(agencies, portalCode)
	if i < 0 {
		return demoPlan{agencies: agencies}
	}
	return demoPlan{agencies: slices.Delete(slices.Clone(agencies), i, i+1), portal: true}
}

// cmdHistory: "history PIN [KEY=VALUE…]": logs in at the portal as a person, as a browser does, and prints the timeline as JSON; keys are those of /api/uses.
func cmdHistory(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) < 1 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: history PIN [KEY=VALUE…], in a federation with POR")
	}
	q := url.Values{}
	for _, a := range args[1:] {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			ts.Fatalf("%q is not KEY=VALUE", a)
		}
		q.Set(key, value)
	}
	b, err := loginAt(s.d.Portal.URL, args[0])
	ts.Check(err)
	text, err := b.read(s.d.Portal.URL + "/api/uses?" + q.Encode())
	ts.Check(err)
	var indented any
	ts.Check(json.Unmarshal(text, &indented))
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
}

// cmdPetition: "petition PIN object|correct LINK FIELD=VALUE…": logs in as a person, finds the first form of that kind whose address fits the page, and sends it
// filled in; or "petition PIN reply|appeal|withdraw NUMBER…" on the person's newest case. It prints the person's cases from their export.
func cmdPetition(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) < 2 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: petition PIN object|correct|reply|appeal|withdraw|show FIELD=VALUE…")
	}
	form := url.Values{}
	for _, a := range args[2:] {
		key, value, _ := strings.Cut(a, "=")
		form.Set(key, value)
	}
	text, err := s.petition(args[0], args[1], form)
	if (err != nil) != neg {
		ts.Fatalf("%v", err)
	}
	if err != nil {
		text = []byte(err.Error())
	}
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
}

// formLinks find where forms are on the portal's pages.
var formLinks = map[string]struct{ page, link string }{
	"correct": {"/held", `href="(/held/[^"]+/correct)"`},
	"object":  {"", `href="(/uses/[^"]+/object)"`},
}

func (s *story) petition(pin, deed string, form url.Values) ([]byte, error) {
	b, err := loginAt(s.d.Portal.URL, pin)
	if err != nil {
		return nil, err
	}
	to, err := b.formFor(s.d.Portal.URL, deed)
	if err != nil {
		return nil, err
	}
	if deed != "show" {
		text, err := b.read(s.d.Portal.URL + "/api/session")
		if err != nil {
			return nil, err
		}
		var session struct{ CSRF string }
		if err := json.Unmarshal(text, &session); err != nil {
			return nil, err
		}
		form.Set("csrf", session.CSRF)
		res, err := b.http.PostForm(s.d.Portal.URL+to, form)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", to[:6], res.Status)
		}
	}
	newest, err := b.link(s.d.Portal.URL+"/cases", `href="(/cases/[^"/]+)"`)
	if err != nil {
		return nil, err
	}
	return b.read(s.d.Portal.URL + newest + "/export")
}

// formFor finds the address of a form.
func (v *visitor) formFor(portal, deed string) (string, error) {
	at, ok := formLinks[deed]
	switch {
	case ok && at.page != "":
		return v.link(portal+at.page, at.link)
	case ok:
		text, err := v.read(portal + "/uses")
		if err != nil {
			return "", err
		}
		for _, m := range regexp.MustCompile(`href="(/uses/[^"/]+)"`).FindAllStringSubmatch(string(text), -1) {
			if to, err := v.link(portal+m[1], at.link); err == nil {
				return to, nil
			}
		}
		return "", fmt.Errorf("no entry of the timeline offers %s", deed)
	}
	newest, err := v.link(portal+"/cases", `href="(/cases/[^"/]+)"`)
	return newest + "/" + deed, err
}

// link finds the first address on a page.
func (v *visitor) link(page, pattern string) (string, error) {
	text, err := v.read(page)
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s links to nothing like %s", page, pattern)
	}
	return string(m[1]), nil
}

// visitor is a browser without a screen.
type visitor struct{ http *http.Client }

// loginAt logs a person in: to the identity provider, choose who to be, and back.
func loginAt(portal, pin string) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{&http.Client{Jar: jar, Timeout: 20 * time.Second}}
	res, err := v.http.PostForm(portal+"/login", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	choose := res.Request.URL
	if res.StatusCode != http.StatusOK || !strings.HasSuffix(choose.Path, "/choose") {
		return nil, fmt.Errorf("the login leads to %s: %s", choose, res.Status)
	}
	back, err := v.http.PostForm(choose.String(), url.Values{"id": {choose.Query().Get("id")}, "subject": {pin}})
	if err != nil {
		return nil, err
	}
	defer back.Body.Close()
	if back.StatusCode != http.StatusOK || back.Request.URL.Path != "/uses" {
		return nil, fmt.Errorf("the login ends at %s: %s", back.Request.URL.Path, back.Status)
	}
	return v, nil
}

func (v *visitor) read(address string) ([]byte, error) {
	res, err := v.http.Get(address)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return text, err
}
