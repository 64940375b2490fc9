package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/xroad"
)

// standingOf is what a provider's gateway says of an exchange.
type standingOf struct {
	Status int    `json:"status"`
	Word   string `json:"word"`
	Code   string `json:"code,omitempty"`
	Signed bool   `json:"signed"`
	Answer bool   `json:"answer"`
}

// statusOf asks the gateway that stands in front of a provider's address what became of an exchange, with a member's TLS key.
func (s *story) statusOf(provider, as string) (func(id string) (*standingOf, error), error) {
	m := &middle{}
	if err := m.as(s.d.Members[as]); err != nil {
		return nil, err
	}
	m.out.DisableKeepAlives, m.out.MaxIdleConnsPerHost = false, statusAskers
	host := address(s.d.Members[provider].Peer)
	if in := s.middles[provider]; in != nil {
		host = in.real
	}
	return func(id string) (*standingOf, error) {
		res, err := m.out.RoundTrip(&http.Request{
			Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: host, Path: exchange.PathStatus + id}, Host: host, Header: http.Header{},
		})
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return nil, err
		}
		h := res.Header
		return &standingOf{
			Status: res.StatusCode, Word: h.Get("Countersign-Status"), Code: h.Get(xroad.HeaderCountersignError),
			Signed: h.Get("Signature") != "", Answer: h.Get(headerAnswerTest) != "",
		}, nil
	}, nil
}

// statusAskers is how many ask at once in a flood.
const statusAskers = 64

// cmdStatus: "status POP as=MUN exchange=ID" asks POP's gateway what became of an exchange, with the TLS key of MUN, and prints it as JSON;
// "ahead=1h" asks about a new id of that time, and "flood=N" about so many new ids at once: it prints how often which word or code came.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 3 || !strings.HasPrefix(args[1], "as=") {
		ts.Fatalf("usage: status PROVIDER as=AGENCY exchange=ID|ahead=DURATION|flood=N")
	}
	ask, err := s.statusOf(args[0], strings.TrimPrefix(args[1], "as="))
	ts.Check(err)
	how, value, _ := strings.Cut(args[2], "=")
	switch how {
	case "exchange":
	case "ahead":
		ahead, err := time.ParseDuration(value)
		ts.Check(err)
		value = countersign.NewExchangeID(time.Now().Add(ahead)).String()
	case "flood":
		n, err := strconv.Atoi(value)
		ts.Check(err)
		counts, err := floodStatus(ask, n)
		ts.Check(err)
		ts.Check(json.NewEncoder(ts.Stdout()).Encode(counts))
		return
	default:
		ts.Fatalf("%v: status %q", errUsage, how)
	}
	got, err := ask(value)
	ts.Check(err)
	ts.Check(json.NewEncoder(ts.Stdout()).Encode(got))
}

func floodStatus(ask func(string) (*standingOf, error), n int) (map[string]int, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	counts, next := map[string]int{}, make(chan string)
	for range statusAskers {
		wg.Go(func() {
			for id := range next {
				got, err := ask(id)
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					counts[got.Word+got.Code]++
				}
				mu.Unlock()
			}
		})
	}
	for range n {
		next <- countersign.NewExchangeID(time.Now()).String()
	}
	close(next)
	wg.Wait()
	return counts, failed
}

// cmdSettled: "settled MUN" waits until the gateway of MUN says that none of its questions is open; "settled MUN N" that N are.
func cmdSettled(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: settled AGENCY [N]")
	}
	want := "countersign_open_intents " + append(args, "0")[1] + "\n"
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ts.Check(until(ctx, func() error {
		res, err := storyClient.Get(s.d.Members[args[0]].Admin + "/metrics")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err == nil && !strings.Contains(string(text), want) {
			err = fmt.Errorf("%s does not say %q", args[0], want)
		}
		return err
	}))
}

// cmdReceipt: "receipt MUN exchange=ID" fetches a receipt from MUN's gateway as its system would, and prints what came as JSON.
func cmdReceipt(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 2 || !strings.HasPrefix(args[1], "exchange=") {
		ts.Fatalf("usage: receipt AGENCY exchange=ID")
	}
	m := s.d.Members[args[0]]
	token, err := readLine(m.TokenFile)
	ts.Check(err)
	req, err := http.NewRequest(http.MethodGet, m.Client+"/countersign/receipts/"+strings.TrimPrefix(args[1], "exchange="), nil)
	ts.Check(err)
	req.Header.Set(exchange.HeaderToken, token)
	a, err := put(req)
	ts.Check(err)
	ts.Check(json.NewEncoder(ts.Stdout()).Encode(a))
}
