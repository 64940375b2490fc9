package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

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

// formPages are where forms are linked; the timeline's entries where empty.
var formPages = map[string]string{"correct": "/held", "object": ""}

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
		if err := b.send(s.d.Portal.URL, to, form); err != nil {
			return nil, err
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
	at, ok := formPages[deed]
	switch {
	case ok && at != "":
		return v.link(portal+at, formLinks[deed].String())
	case ok:
		text, err := v.read(portal + "/uses")
		if err != nil {
			return "", err
		}
		for _, m := range regexp.MustCompile(`href="(/uses/[^"/]+)"`).FindAllStringSubmatch(string(text), -1) {
			if to, err := v.link(portal+m[1], formLinks[deed].String()); err == nil {
				return to, nil
			}
		}
		return "", fmt.Errorf("no entry of the timeline offers %s", deed)
	}
	newest, err := v.link(portal+"/cases", `href="(/cases/[^"/]+)"`)
	return newest + "/" + deed, err
}
