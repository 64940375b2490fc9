package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/xroad"
)

// cmdOwn: "own PIN REGISTER": logs in at the portal as a person, finds the register of that name among what is held, asks it for the person's own data, and
// prints the page as text.
func cmdOwn(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) != 2 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: own PIN REGISTER, in a federation with POR")
	}
	text, err := s.own(args[0], args[1])
	if (err != nil) != neg {
		ts.Fatalf("%v", err)
	}
	if err != nil {
		text = err.Error()
	}
	_, err = fmt.Fprintln(ts.Stdout(), text)
	ts.Check(err)
}

func (s *story) own(pin, register string) (string, error) {
	v, err := s.visit(pin)
	if err != nil {
		return "", err
	}
	text, err := v.read(s.d.Portal.URL + "/held")
	if err != nil {
		return "", err
	}
	for section := range strings.SplitSeq(string(text), `<section class="cs-register">`) {
		if !strings.HasPrefix(section, "<h2>"+register+"</h2>") {
			continue
		}
		to := regexp.MustCompile(`action="(/held/[^"/]+)"`).FindStringSubmatch(section)
		if to == nil {
			return "", fmt.Errorf("%s shows people nothing in this way", register)
		}
		_, text, err := v.post(s.d.Portal.URL+to[1], url.Values{"csrf": {csrfField.FindStringSubmatch(section)[1]}})
		return plain(text), err
	}
	return "", fmt.Errorf("the portal lists no register %q", register)
}

// cmdPortalAlone: "portalalone PIN AGENCY SERVICE": what a thief of all that the portal has can do. It opens the portal's own gateway, with its keys, and asks a
// register about a person: as it is; with an identity token of the person's that another login left behind, and a proof by a key of the thief's; and with
// the same for a service that the proof does not name. It prints the refusals' codes.
func cmdPortalAlone(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 3 || s.d == nil || s.d.Portal == nil {
		ts.Fatalf("usage: portalalone PIN AGENCY SERVICE, with the portal stopped")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conf, err := loadPortalConfig(s.d.Portal.Config)
	ts.Check(err)
	p, err := openPortalParts(ctx, conf, clock.Default(), slog.New(slog.DiscardHandler))
	ts.Check(err)
	defer func() { ts.Check(p.close()) }()
	ts.Check(p.directory.Poll(ctx))
	token, err := s.d.login(ctx, "", args[0], "the nonce of another session")
	ts.Check(err)
	session, err := identity.NewSession(s.d.Portal.ID)
	ts.Check(err)
	service := s.d.Members[args[1]].ID
	id := countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: service, Subsystem: "registry"}, Service: args[2]}
	now := clock.Default().Now()
	proof, err := session.Sign(identity.Query{Member: service, Kind: identity.QueryOwn, ID: countersign.NewExchangeID(now), At: countersign.MillisOf(now), Service: id}, token)
	ts.Check(err)
	forged, err := exchange.PresentOwn(token, proof)
	ts.Check(err)
	for _, mandate := range []string{"", forged} {
		target := "/r1/" + id.String() + "/" + args[0]
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
		h := req.Header
		h.Set(xroad.HeaderClient, s.d.Portal.ID.String()+"/"+subject.SubsystemPortal)
		h[exchange.HeaderPurpose], h[exchange.HeaderBasis] = []string{string(exchange.PurposeOwnAccess)}, []string{"data-act-15"}
		if mandate != "" {
			h[exchange.HeaderMandate] = []string{mandate}
		}
		w := httptest.NewRecorder()
		p.consumer.ServeHTTP(w, req)
		_, err = fmt.Fprintln(ts.Stdout(), w.Code, w.Header().Get(xroad.HeaderCountersignError), w.Body.String())
		ts.Check(err)
	}
}
