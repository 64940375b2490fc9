package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web/page"
	"countersign.dev/countersign/internal/web/portal"
)

// deskCallback is where the demo's officials are sent back to: nobody listens there, the address alone is read.
const deskCallback = "http://127.0.0.1/callback"

type demoLoginCmd struct {
	Dir    string `required:"" help:"Folder of the demo." type:"existingdir"`
	As     string `required:"" help:"Personal code of the fictional person to be." placeholder:"CODE"`
	Agency string `help:"Log in as an official of this agency; as a person if not given." placeholder:"CODE"`
	Nonce  string `help:"What the token is to be bound to." placeholder:"TEXT"`
	// A login for a consent is one for nothing else.
	Consent bool `help:"Log in to give or withdraw the consent of that nonce."`
}

// Run logs in at the demo's identity provider, as a browser would, and prints the identity token.
func (c *demoLoginCmd) Run(ctx context.Context, s streams) error {
	d, err := loadDemo(c.Dir)
	if err != nil {
		return err
	}
	if d.Identity == nil {
		return countersign.Refuse(countersign.CodeBadRequest, "the demo in %s has no identity provider", c.Dir)
	}
	as := d.asPerson()
	switch {
	case c.Agency != "":
		as = d.asOfficial(c.Agency)
	case c.Consent:
		as = d.asConsenting()
	}
	token, err := d.loginAt(ctx, as, c.As, c.Nonce)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, token)
	return err
}

// registration is a client of one of the demo's issuers.
type registration struct{ issuer, client, redirect string }

func (d *demoFile) asPerson() registration {
	return registration{d.Identity.URL + "/people", clientPortal, d.Portal.URL + portal.PathCallback}
}

func (d *demoFile) asConsenting() registration {
	return registration{d.Identity.URL + "/people", clientConsent, d.Portal.URL + page.PathConsentReturn}
}

func (d *demoFile) asOfficial(agency string) registration {
	return registration{d.Identity.URL + "/staff/" + folderOf(agency), clientDesk, deskCallback}
}

// login gets an identity token for somebody of the demo country: for an official of an agency, or for a person where agency is empty.
func (d *demoFile) login(ctx context.Context, agency, as, nonce string) (string, error) {
	if agency != "" {
		return d.loginAt(ctx, d.asOfficial(agency), as, nonce)
	}
	return d.loginAt(ctx, d.asPerson(), as, nonce)
}

func (d *demoFile) loginAt(ctx context.Context, at registration, as, nonce string) (string, error) {
	issuer, client, redirect := at.issuer, at.client, at.redirect
	browser := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var endpoints struct {
		Authorize string `json:"authorization_endpoint"`
		Token     string `json:"token_endpoint"`
	}
	if err := getJSON(ctx, browser, issuer+"/.well-known/openid-configuration", &endpoints); err != nil {
		return "", err
	}
	conf := oauth2.Config{
		ClientID: client, RedirectURL: redirect, Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{AuthURL: endpoints.Authorize, TokenURL: endpoints.Token, AuthStyle: oauth2.AuthStyleInParams},
	}
	verifier, state := oauth2.GenerateVerifier(), rand.Text()
	if nonce == "" {
		nonce = rand.Text()
	}
	next := conf.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", nonce))
	for range 8 {
		at, err := follow(ctx, browser, next, as)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(at.String(), redirect) {
			next = at.String()
			continue
		}
		if at.Query().Get("state") != state {
			return "", countersign.Refuse(countersign.CodeUnauthenticated, "the identity provider answered another login")
		}
		tokens, err := conf.Exchange(context.WithValue(ctx, oauth2.HTTPClient, browser), at.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			return "", err
		}
		id, ok := tokens.Extra("id_token").(string)
		if !ok {
			return "", countersign.Refuse(countersign.CodeUnauthenticated, "the identity provider gave no identity token")
		}
		return id, nil
	}
	return "", countersign.Refuse(countersign.CodeUnauthenticated, "the identity provider does not come to an end")
}

// follow takes one step of a login: where there is a page on which to choose who to be, it chooses.
func follow(ctx context.Context, browser *http.Client, at, as string) (*url.URL, error) {
	here, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if strings.HasSuffix(here.Path, "/choose") {
		form := url.Values{"id": {here.Query().Get("id")}, "subject": {as}}.Encode()
		here.RawQuery = ""
		if req, err = http.NewRequestWithContext(ctx, http.MethodPost, here.String(), strings.NewReader(form)); err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	if err != nil {
		return nil, err
	}
	res, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode < 300 || res.StatusCode > 399 {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the identity provider does not let that person in: %s", res.Status)
	}
	return res.Location()
}

func getJSON(ctx context.Context, client *http.Client, address string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(to)
}
