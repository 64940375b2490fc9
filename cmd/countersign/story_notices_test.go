package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign/demo/mail"
)

// cmdNotices: "notices PIN email=ADDRESS frequency=daily|now|never": logs a person in at the portal and fills in the page of notices as a browser does. "notices PIN confirm" enters the
// code of the newest letter; "notices PIN remove" removes the contact terms. It prints the page's text; "! notices" expects that the form comes back.
func cmdNotices(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) < 2 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: notices PIN confirm|remove|FIELD=VALUE…, in a federation with POR")
	}
	form := url.Values{}
	path := "/notices"
	switch args[1] {
	case "confirm":
		letters, err := s.letters()
		ts.Check(err)
		code := regexp.MustCompile(`[0-9A-Z]{4}-[0-9A-Z]{4}`).FindString(letters[len(letters)-1].Body)
		form.Set("code", code)
		path += "/confirm"
	case "remove":
		path += "/remove"
	default:
		for _, a := range args[1:] {
			key, value, _ := strings.Cut(a, "=")
			form.Set(key, value)
		}
	}
	status, text, err := s.fillNotices(args[0], path, form)
	ts.Check(err)
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
	if (status != http.StatusOK) != neg {
		ts.Fatalf("the portal answered %d", status)
	}
}

func (s *story) fillNotices(pin, path string, form url.Values) (int, []byte, error) {
	b, err := loginAt(s.d.Portal.URL, pin)
	if err != nil {
		return 0, nil, err
	}
	text, err := b.read(s.d.Portal.URL + "/api/session")
	if err != nil {
		return 0, nil, err
	}
	var session struct{ CSRF string }
	if err := json.Unmarshal(text, &session); err != nil {
		return 0, nil, err
	}
	form.Set("csrf", session.CSRF)
	res, err := b.http.PostForm(s.d.Portal.URL+path, form)
	if err != nil {
		return 0, nil, err
	}
	return answered(res)
}

// letters reads what the demo's mail server has.
func (s *story) letters() ([]mail.Letter, error) {
	res, err := storyClient.Get(s.d.Mail.URL + "/letters.json")
	if err != nil {
		return nil, err
	}
	_, text, err := answered(res)
	if err != nil {
		return nil, err
	}
	var out []mail.Letter
	return out, json.Unmarshal(text, &out)
}

// cmdLetters: "letters N [step=20m]": waits until the mail server has exactly so many letters, a minute at most, and prints the newest as it was sent; with a step, simulated time
// goes on by that each two seconds, in which the directory is signed anew. "! letters N" expects that there are fewer now.
func cmdLetters(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) < 1 || len(args) > 2 || s.d == nil || s.d.Mail == nil {
		ts.Fatalf("usage: letters N [step=DURATION], in a federation with POR")
	}
	step := ""
	if len(args) == 2 {
		step = strings.TrimPrefix(args[1], "step=")
	}
	moved := time.Now()
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var all []mail.Letter
	look := func() error {
		if all, err = s.letters(); err == nil && len(all) < n {
			if step != "" && time.Since(moved) > 2*time.Second {
				moved = time.Now()
				_, err := s.simulate(context.Background(), "clock", "advance", step)
				ts.Check(err)
			}
			return fmt.Errorf("the mail server has %d letters", len(all))
		}
		return err
	}
	if neg {
		if look() == nil {
			ts.Fatalf("the mail server has %d letters", len(all))
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ts.Check(until(ctx, look))
	if len(all) > n {
		ts.Fatalf("the mail server has %d letters", len(all))
	}
	_, err = fmt.Fprintln(ts.Stdout(), all[len(all)-1].Raw)
	ts.Check(err)
}

// cmdStopped: "stopped": stops notices as a mail program does that a person clicks: the address is in the newest letter.
func cmdStopped(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 0 {
		ts.Fatalf("usage: stopped")
	}
	letters, err := s.letters()
	ts.Check(err)
	m := regexp.MustCompile(`(?s)List-Unsubscribe:\s*<([^>]+)>`).FindStringSubmatch(letters[len(letters)-1].Raw)
	if m == nil {
		ts.Fatalf("the newest letter cannot be stopped")
	}
	address := regexp.MustCompile(`\s`).ReplaceAllString(m[1], "")
	res, err := storyClient.PostForm(address, url.Values{"List-Unsubscribe": {"One-Click"}})
	ts.Check(err)
	status, _, err := answered(res)
	ts.Check(err)
	if status != http.StatusOK {
		ts.Fatalf("stopping notices: status %d", status)
	}
}

// answered reads an answer whole.
func answered(res *http.Response) (int, []byte, error) {
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, text, err
}
