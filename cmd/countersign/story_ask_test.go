package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/xroad"
)

// asked is what came of one question, as stories see it.
type asked struct {
	Status   int             `json:"status"`
	Error    string          `json:"error,omitempty"` // X-Road-Error
	Code     string          `json:"code,omitempty"`  // Countersign-Error
	Exchange string          `json:"exchange,omitempty"`
	Receipt  bool            `json:"receipt"`
	Headers  http.Header     `json:"headers"`
	Body     json.RawMessage `json:"body,omitempty"`
	Text     string          `json:"text,omitempty"`
	Length   int             `json:"length"`
	Cut      bool            `json:"cut,omitempty"` // the body ended before its end
}

// questionOf reads a question in the words of a story:
//
//	MUN POP/residence/$CELEBRITY property-tax/tax-code-202 official=clerk+ case=C method=PUT data='{…}' header:Name=value
//
// The purpose may be "-". The path behind the service is taken as it stands, query and all.
func questionOf(d *demoFile, args []string) (*http.Request, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("%w: AGENCY PROVIDER/service[/path] PURPOSE/BASIS [official=] [case=] [method=] [data=] [header:NAME=]", errUsage)
	}
	from, ok := d.Members[args[0]]
	if !ok {
		return nil, fmt.Errorf("the federation runs no gateway of %q", args[0])
	}
	provider, rest, _ := strings.Cut(args[1], "/")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	method, body := http.MethodGet, ""
	h := http.Header{}
	h.Set(xroad.HeaderClient, xroad.EncodeSubsystem(law.Client(args[0])))
	token, err := readLine(from.TokenFile)
	if err != nil {
		return nil, err
	}
	h.Set(exchange.HeaderToken, token)
	if purpose, basis, ok := strings.Cut(args[2], "/"); ok {
		h.Set(exchange.HeaderPurpose, purpose)
		h.Set(exchange.HeaderBasis, basis)
	}
	for _, a := range args[3:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "official":
			h.Set(xroad.HeaderUserID, strings.ReplaceAll(value, "+", "-"+strconv.FormatInt(officials.Add(1), 10)))
		case "case":
			h.Set(xroad.HeaderIssue, value)
		case "method":
			method = value
		case "data":
			body = value
			h.Set("Content-Type", "application/json")
		default:
			field, ok := strings.CutPrefix(name, "header:")
			if !ok {
				return nil, fmt.Errorf("%w: %q is no part of a question", errUsage, a)
			}
			h.Add(field, value)
		}
	}
	req, err := http.NewRequest(method, from.Client, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = h
	req.URL.Opaque = "/r1/" + xroad.EncodeService(law.Service(provider, rest[:end])) + rest[end:] // as written, byte for byte
	return req, nil
}

// officials numbers those who ask as "clerk+": each question has another official then, and draws from another polling budget.
var officials atomic.Int64

var storyClient = &http.Client{
	Timeout:       2 * time.Minute,
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func put(req *http.Request) (*asked, error) {
	res, err := storyClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	out := &asked{
		Status: res.StatusCode, Error: res.Header.Get(xroad.HeaderError), Code: res.Header.Get(xroad.HeaderCountersignError),
		Exchange: res.Header.Get(xroad.HeaderRequestID), Receipt: res.Header.Get(exchange.HeaderReceipt) != "", Headers: res.Header,
		Length: len(body), Cut: err != nil,
	}
	if json.Valid(body) {
		out.Body = body
	} else if len(body) < 1<<16 {
		out.Text = string(body)
	}
	return out, nil
}

// cmdAsk: "ask …" puts a question and expects an answer of the service; "! ask …" expects a refusal (X-Road-Error). It prints what came as
// one JSON object and sets $EXCHANGE.
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	req, err := questionOf(storyOf(ts).d, args)
	ts.Check(err)
	a, err := put(req)
	ts.Check(err)
	ts.Check(json.NewEncoder(ts.Stdout()).Encode(a))
	ts.Setenv("EXCHANGE", a.Exchange)
	if refused := a.Error != ""; refused != neg {
		ts.Fatalf("refused is %t: HTTP %d %s %s %s%s", refused, a.Status, a.Error, a.Code, a.Body, a.Text)
	}
}

// cmdRaw: "raw URL FILE" writes the file's bytes to the address and prints what came back, with LF for CRLF; a closed connection without an
// answer prints nothing. In the file, \r\n must be written as line ends; {name} is not expanded, so use envsubst's like in scripts.
func cmdRaw(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: raw URL FILE")
	}
	u, err := url.Parse(args[0])
	ts.Check(err)
	text := os.Expand(ts.ReadFile(args[1]), ts.Getenv)
	conn, err := net.Dial("tcp", u.Host)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n"))
	ts.Check(err)
	back, err := io.ReadAll(conn)
	if err != nil && len(back) == 0 && !errors.Is(err, io.EOF) {
		fmt.Fprintln(ts.Stderr(), err)
	}
	_, _ = ts.Stdout().Write(bytes.ReplaceAll(back, []byte("\r\n"), []byte("\n")))
}

// cmdAwaitCode: "await-code CODE QUESTION…" puts a question again and again until it is refused with the code; CODE "-" waits for an answer.
func cmdAwaitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await-code CODE QUESTION…")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	want := strings.TrimPrefix(args[0], "-")
	ts.Check(until(ctx, func() error {
		req, err := questionOf(storyOf(ts).d, args[1:])
		if err != nil {
			return err
		}
		a, err := put(req)
		if err == nil && a.Code != want {
			err = fmt.Errorf("HTTP %d, code %q", a.Status, a.Code)
		}
		return err
	}))
}

// cmdWalk: "walk N QUESTION…" puts a question about one person after another, "PERSON" in it standing for each in turn, and prints how many
// were answered and how the first that was not was refused, as one JSON object.
func cmdWalk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: walk N QUESTION…")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := storyOf(ts)
	atlas, err := country.Open(s.d.path("registers"))
	ts.Check(err)
	answered, refused := 0, &asked{}
	for _, pin := range atlas.PINs[:n] {
		question := slices.Clone(args[1:])
		for i := range question {
			question[i] = strings.ReplaceAll(question[i], "PERSON", string(pin))
		}
		req, err := questionOf(s.d, question)
		ts.Check(err)
		if refused, err = put(req); err != nil || refused.Error != "" {
			ts.Check(err)
			break
		}
		answered++
	}
	ts.Check(json.NewEncoder(ts.Stdout()).Encode(map[string]any{"answered": answered, "refused": refused}))
}
