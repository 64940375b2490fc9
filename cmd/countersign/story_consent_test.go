package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdAgree: "agree PIN give|refuse|withdraw [as=PIN]": logs in at the portal as a person, opens the newest consent that waits, or holds, and answers it as a
// browser without scripts does, with the login that the answer asks for, as another person where "as" says so. It prints the page that follows, as text.
func cmdAgree(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) < 2 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: agree PIN give|refuse|withdraw [as=PIN], in a federation with POR")
	}
	as := args[0]
	if len(args) == 3 {
		as = strings.TrimPrefix(args[2], "as=")
	}
	text, err := s.agree(args[0], args[1], as)
	if (err != nil) != neg {
		ts.Fatalf("%v", err)
	}
	if err != nil {
		text = err.Error()
	}
	_, err = fmt.Fprintln(ts.Stdout(), text)
	ts.Check(err)
}

var (
	tags      = regexp.MustCompile(`(?s)<(script|style|svg).*?</(script|style|svg)>|<[^>]*>`)
	csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	codeShown = regexp.MustCompile(`\b[0-9A-Z]{4}-[0-9A-Z]{4}\b`)
)

func plain(page string) string {
	return strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " ")
}

func (s *story) agree(pin, answer, as string) (string, error) {
	v, err := s.visit(pin)
	if err != nil {
		return "", err
	}
	portal := s.d.Portal.URL
	to, err := v.link(portal+"/consents", `href="(/consents/[^"/]+)"`)
	if err != nil {
		return "", err
	}
	page, err := v.read(portal + to)
	if err != nil {
		return "", err
	}
	csrf := csrfField.FindStringSubmatch(string(page))
	if csrf == nil {
		return "", fmt.Errorf("the page of the consent has no form: %s", plain(string(page)))
	}
	form := url.Values{"csrf": {csrf[1]}, "answer": {answer}, "sure": {"yes"}}
	if answer == "withdraw" {
		to += "/end"
	}
	at, text, err := v.post(portal+to, form)
	if err != nil || answer == "refuse" {
		return plain(text), err
	}
	code := ""
	if answer == "give" {
		code = codeShown.FindString(text)
		sign := regexp.MustCompile(`action="(/consents/[^"]+/sign)"`).FindStringSubmatch(text)
		if sign == nil || code == "" {
			return "", fmt.Errorf("nothing to sign: %s", plain(text))
		}
		if at, text, err = v.post(portal+sign[1], url.Values{"csrf": {csrf[1]}}); err != nil {
			return "", err
		}
	}
	if !strings.HasSuffix(at.Path, "/choose") || !strings.Contains(text, "for a consent") || !strings.Contains(text, code) {
		return "", fmt.Errorf("the login service does not ask for this consent, with the code %s: %s", code, plain(text))
	}
	_, text, err = v.post(at.String(), url.Values{"id": {at.Query().Get("id")}, "subject": {strings.TrimPrefix(as, "code:")}})
	return plain(text), err
}

// post sends a form and follows where it leads.
func (v *visitor) post(address string, form url.Values) (*url.URL, string, error) {
	res, err := v.http.PostForm(address, form)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, plain(string(text)))
	}
	return res.Request.URL, string(text), err
}
