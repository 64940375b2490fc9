package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// visitor is a browser without a screen.
type visitor struct{ http *http.Client }

// loginAt logs a person in: to the identity provider, choose who to be, and back.
func loginAt(portal, pin string) (*visitor, error) {
	return loginThrough(portal, pin, http.DefaultTransport)
}

func loginThrough(portal, pin string, way http.RoundTripper) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{&http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: way}}
	res, err := v.do(http.MethodPost, portal+"/login", url.Values{})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	choose := res.Request.URL
	if res.StatusCode != http.StatusOK || !strings.HasSuffix(choose.Path, "/choose") {
		return nil, fmt.Errorf("the login leads to %s: %s", choose, res.Status)
	}
	back, err := v.do(http.MethodPost, choose.String(), url.Values{"id": {choose.Query().Get("id")}, "subject": {pin}})
	if err != nil {
		return nil, err
	}
	defer back.Body.Close()
	if back.StatusCode != http.StatusOK || back.Request.URL.Path != "/uses" {
		return nil, fmt.Errorf("the login ends at %s: %s", back.Request.URL.Path, back.Status)
	}
	return v, nil
}

// do asks for a page, or sends a form. The client's own patience bounds it.
func (v *visitor) do(method, address string, form url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return v.http.Do(req)
}

func (v *visitor) read(address string) ([]byte, error) {
	res, err := v.do(http.MethodGet, address, nil)
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

// send fills in a form of the portal, with the token that its pages carry.
func (v *visitor) send(portal, to string, fields url.Values) error {
	text, err := v.read(portal + "/api/session")
	if err != nil {
		return err
	}
	var session struct{ CSRF string }
	if err := json.Unmarshal(text, &session); err != nil {
		return err
	}
	fields.Set("csrf", session.CSRF)
	res, err := v.do(http.MethodPost, portal+to, fields)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the form answers %s", res.Status)
	}
	return nil
}
