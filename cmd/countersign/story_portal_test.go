package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
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

// visitor is a browser without a screen.
type visitor struct{ http *http.Client }

// loginAt logs a person in: to the identity provider, choose who to be, and back.
func loginAt(portal, pin string) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{&http.Client{Jar: jar, Timeout: 20 * time.Second}}
	res, err := v.http.PostForm(portal+"/login", nil) //nolint:noctx // bounded by the client's time-out
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	choose := res.Request.URL
	if res.StatusCode != http.StatusOK || !strings.HasSuffix(choose.Path, "/choose") {
		return nil, fmt.Errorf("the login leads to %s: %s", choose, res.Status)
	}
	back, err := v.http.PostForm(choose.String(), url.Values{"id": {choose.Query().Get("id")}, "subject": {pin}}) //nolint:noctx // as above
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
	res, err := v.http.Get(address) //nolint:noctx // bounded by the client's time-out
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
