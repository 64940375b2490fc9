package subject

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/xroad"
)

// Headers that a national portal adds to the Data Tracker protocol. Gateways hand neither on to a register.
const (
	HeaderPersonToken = "Countersign-Person-Token"
	HeaderPersonProof = "Countersign-Person-Proof"
)

// TrackerOptions are the parts of a tracker: all are due but Style and Patience.
type TrackerOptions struct {
	Member       countersign.MemberID // the portal's own
	Cert         tls.Certificate      // of its gateway
	Directory    Directory
	Log          *ledger.Log // its own: views are recorded here
	Verifier     *identity.Verifier
	Clock        clock.Clock
	Logger       *slog.Logger
	Authenticate func(*http.Request) (func(countersign.SubsystemID) bool, error)
	Style        xroad.Style
	Patience     time.Duration // with the other gateway; 30 s where zero
}

// Tracker speaks the Data Tracker protocol to the systems of a member that is a portal: it stands before the gateway's ordinary service, takes what is asked
// of the service findUsage of any member, records the view, and asks that member's gateway for the person.
type Tracker struct {
	o         TrackerOptions
	directory directory
	caller    *caller
	slots     chan struct{}

	mu    sync.Mutex
	views map[countersign.ExchangeID]*trackerSeen
}

// trackerSeen is a view that this process has put on record.
type trackerSeen struct {
	person string
	view   *View
}

// NewTracker makes a tracker.
func NewTracker(o TrackerOptions) *Tracker {
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	t := &Tracker{o: o, directory: directory{current: o.Directory}, slots: make(chan struct{}, deskSlots), views: map[countersign.ExchangeID]*trackerSeen{}}
	t.caller = newCaller(o.Cert, &t.directory)
	return t
}

// Before serves what is asked of the service findUsage, and hands everything else on, byte for byte.
func (t *Tracker) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if target, err := xroad.ParseTarget(r.RequestURI); err == nil && target.Service.Service == ServiceTracker {
			t.serve(w, r, target)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (t *Tracker) serve(w http.ResponseWriter, r *http.Request, target xroad.Target) {
	id := countersign.NewExchangeID(t.o.Clock.Now())
	body, head, err := t.answer(r, target)
	if err != nil {
		t.o.Logger.InfoContext(r.Context(), "data tracker not answered", "code", countersign.CodeOf(err).String(), "error", countersign.MessageOf(err), "detail", id.String())
		xroad.WriteError(w, r, xroad.ClientProxy, t.o.Style, err, id.String())
		return
	}
	madeID := head.ID == ""
	if madeID {
		head.ID = xroad.NewMessageID(target.Service.Instance)
	}
	hash := xroad.RequestHash(xroad.HashBlock(r.Method, target.Raw, r.Header, id.String(), head.ID, madeID), nil, false)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	xroad.Echo{ID: head.ID, Client: head.Client, Service: target.Service, RequestID: id.String(), RequestHash: hash}.Set(h)
	_, _ = w.Write(body) //nolint:gosec // JSON, and a portal that hung up asks again
}

// answer reads the request from the outside inwards: who calls, which operation, whose gateway, and only then for which person.
func (t *Tracker) answer(r *http.Request, target xroad.Target) ([]byte, *xroad.ClientHeaders, error) {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	default:
		return nil, nil, countersign.Refuse(countersign.CodeBusy, "the gateway is at its bound of %d queries at once: ask again", deskSlots)
	}
	head, err := xroad.ParseClientHeaders(r.Header)
	if err != nil {
		return nil, nil, err
	}
	k, err := t.directory.known()
	if err != nil {
		return nil, nil, err
	}
	if err := t.admit(r, k, head.Client); err != nil {
		return nil, nil, err
	}
	op, err := trackerOperation(target.Path)
	if err != nil {
		return nil, nil, err
	}
	if err := bare(r); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), t.o.Patience)
	defer cancel()
	var out any
	if op == TrackerUsage {
		out, err = t.usage(ctx, r, k, target, &head)
	} else {
		out, err = t.state(ctx, k, target, &head, op)
	}
	if err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the answer cannot be written")
	}
	return body, &head, nil
}

// admit lets systems of a portal ask, and nobody else.
func (t *Tracker) admit(r *http.Request, k *known, client countersign.SubsystemID) error {
	may, err := t.o.Authenticate(r)
	if err != nil {
		return err
	}
	if !may(client) {
		return countersign.Refuse(countersign.CodeUnauthenticated, "the system that called did not prove to be the client that X-Road-Client names")
	}
	for _, g := range k.gateways {
		if g.member.ID == t.o.Member && slices.Contains(g.member.Roles, countersign.RolePortal) {
			return nil
		}
	}
	return countersign.Refuse(countersign.CodeAccessDenied, "the service %s answers portals of the directory: this member is none", ServiceTracker)
}

// bare wants a GET without body.
func bare(r *http.Request) error {
	if r.Method != http.MethodGet {
		return countersign.Refuse(countersign.CodeBadRequest, "the service %s is asked by GET", ServiceTracker)
	}
	var one [1]byte
	if n, err := r.Body.Read(one[:]); n > 0 || err != nil && !errors.Is(err, io.EOF) {
		return countersign.Refuse(countersign.CodeBadRequest, "the service %s takes no body", ServiceTracker)
	}
	return nil
}

// provider finds the gateway that is asked: the one that X-Road-Security-Server names, or the only one.
func (t *Tracker) provider(k *known, target xroad.Target, head *xroad.ClientHeaders, name countersign.GatewayName) (*gateway, error) {
	if s := head.SecurityServer; !s.IsZero() {
		if s.Member != target.Service.MemberID {
			return nil, xroad.InvalidSecurityServer("X-Road-Security-Server names a gateway of another member than the path")
		}
		if name != "" && name != s.Server {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "X-Road-Security-Server names another gateway than the one that the person's session has signed for")
		}
		name = s.Server
	}
	for _, g := range k.gateways {
		if g.member.ID == target.Service.MemberID && (name == "" || name == g.name) {
			return g, nil
		}
	}
	return nil, countersign.Refuse(countersign.CodeUnknownMember, "the directory knows no such member, or no such gateway of it")
}

// state asks for what concerns no person.
func (t *Tracker) state(ctx context.Context, k *known, target xroad.Target, head *xroad.ClientHeaders, op string) (any, error) {
	if target.HasQuery && target.Query != "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "%s takes no parameters", op)
	}
	g, err := t.provider(k, target, head, "")
	if err != nil {
		return nil, err
	}
	h, text, err := t.caller.call(ctx, g, http.MethodGet, PathTracker+op, nil)
	if err != nil {
		return nil, err
	}
	if err := t.caller.signed(g, h, text); err != nil {
		return nil, err
	}
	var s TrackerState
	err = json.Unmarshal(text, &s)
	switch {
	case err != nil || s.Member != g.member.ID || s.Gateway != g.name:
	case op == TrackerPeriod && s.Period != nil:
		return s.Period, nil
	case op == TrackerHeartbeat && s.Heartbeat != nil:
		return s.Heartbeat, nil
	}
	return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's answer is to another question, or cannot be read")
}

// trackerAnswer is the answer of findUsage.
type trackerAnswer struct {
	Total  int     `json:"totalUsages"`
	Usages []Usage `json:"usages"`
}

// usage establishes that the person asks, has the view on record, and asks.
//
// LAW: DESIGN, person's queries, and A50: without the person's token and session no history is given, and no gateway is asked before the view is durable.
func (t *Tracker) usage(ctx context.Context, r *http.Request, k *known, target xroad.Target, head *xroad.ClientHeaders) (any, error) {
	in, err := parseTracker(target.Query)
	if err != nil {
		return nil, err
	}
	if head.UserID == "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the header X-Road-UserId is due: the person who asks")
	}
	token, proof := r.Header.Get(HeaderPersonToken), r.Header.Get(HeaderPersonProof)
	if len(r.Header.Values(HeaderPersonToken)) != 1 || len(r.Header.Values(HeaderPersonProof)) != 1 {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "send the person's identity token in %s and the proof of the person's session in %s, each once: a portal's own keys read nothing", HeaderPersonToken, HeaderPersonProof)
	}
	who, q, err := t.o.Verifier.Query(ctx, t.o.Member, token, proof)
	if err != nil {
		return nil, err
	}
	person, err := k.subject(who.Scheme, who.Value)
	if err != nil {
		return nil, err
	}
	if !k.means(person, in.userCode) || !k.means(person, head.UserID) {
		return nil, countersign.Refuse(countersign.CodeAccessDenied, "userCode and X-Road-UserId must both be the person whose token it is: nobody asks for somebody else here")
	}
	if !in.fits(q) || q.Member != target.Service.MemberID {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the person's session has signed another query than this one: member, period, offset and limit must agree")
	}
	g, err := t.provider(k, target, head, q.Gateway)
	if err != nil {
		return nil, err
	}
	v, err := t.view(ctx, k, person, q.View)
	if err != nil {
		return nil, err
	}
	a, err := t.caller.put(ctx, g, request{Token: token, Proof: proof, View: v.receipt}, *q)
	if err != nil {
		return nil, err
	}
	if a.Usages == nil {
		a.Usages = []Usage{}
	}
	return &trackerAnswer{a.Total, a.Usages}, nil
}

// view has a view on record under the identifier that the portal has chosen for it, once for all queries that belong to it.
func (t *Tracker) view(ctx context.Context, k *known, person countersign.SubjectID, id countersign.ExchangeID) (*View, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Clock.Now()
	for old, s := range t.views {
		if now.Sub(s.view.at) > MaxViewAge {
			delete(t.views, old)
		}
	}
	if s := t.views[id]; s != nil {
		if s.person != person.Canonical() {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "the view in the proof is another person's: choose a new identifier for each")
		}
		return s.view, nil
	}
	if id == (countersign.ExchangeID{}) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the proof names no view: choose a new UUID of version 7 for each")
	}
	v, err := recordViewAs(ctx, t.o.Log, t.o.Member, id, person, k.doc.Version, now)
	if err != nil {
		return nil, err
	}
	t.views[id] = &trackerSeen{person.Canonical(), v}
	return v, nil
}

// means says whether a code names the person: as the directory's scheme writes it, with the scheme before it, or with the country before it.
//
// SPEC: X-Road-UserId begins with the ISO 3166-1 alpha-2 code of the country that gave the identifier; findUsage's userCode is written the same way.
func (k *known) means(person countersign.SubjectID, code string) bool {
	code = strings.TrimPrefix(code, string(person.Scheme)+":")
	forms := []string{code}
	if len(code) > 2 && upper(code[0]) && upper(code[1]) {
		forms = append(forms, code[2:])
	}
	for _, f := range forms {
		if id, err := k.subject(person.Scheme, f); err == nil && id == person {
			return true
		}
	}
	return false
}

func upper(c byte) bool { return 'A' <= c && c <= 'Z' }

// trackerInput is a parsed query of findUsage.
type trackerInput struct {
	trackerQuery
	userCode string
}

// parseTracker reads the query of findUsage. It refuses what it does not know and what stands twice: a filter that is dropped unseen would make a wrong history.
// Values are not repeated: they may be personal data.
func parseTracker(query string) (*trackerInput, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the query cannot be read: percent-encode its values")
	}
	in := &trackerInput{trackerQuery: trackerQuery{limit: TrackerLimit}}
	for name, list := range values {
		if len(list) != 1 {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "a parameter of findUsage is sent %d times: send each once", len(list))
		}
		v := list[0]
		switch name {
		case "userCode":
			in.userCode = v
		case "periodStart":
			in.since, err = trackerInstant(name, v, false)
		case "periodEnd":
			in.until, err = trackerInstant(name, v, true)
		case "offset":
			in.offset, err = trackerNumber(name, v, 0, 1<<31-1)
		case "limit":
			in.limit, err = trackerNumber(name, v, 1, TrackerLimit)
		default:
			err = countersign.Refuse(countersign.CodeBadRequest, "findUsage takes userCode, periodStart, periodEnd, offset and limit, and nothing else")
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case in.userCode == "":
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the parameter userCode is due: whom the usages are about")
	case in.until > 0 && in.since > in.until:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "periodEnd lies before periodStart")
	}
	return in, nil
}

// trackerInstant reads a time. The end of a period takes in its whole second, so that the logtime of a usage can be its own end.
func trackerInstant(name, text string, end bool) (countersign.Millis, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1971 || at.Year() > 9998 {
		return 0, countersign.Refuse(countersign.CodeBadRequest, "the parameter %s is no time of RFC 3339 with its zone: write for instance 2031-03-04T09:30:00Z, and %%2B for a plus sign", name)
	}
	if end && at.Nanosecond() == 0 {
		at = at.Add(time.Second - time.Millisecond)
	}
	return countersign.MillisOf(at), nil
}

func trackerNumber(name, text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most || strconv.Itoa(n) != text {
		return 0, countersign.Refuse(countersign.CodeBadRequest, "the parameter %s is no whole number from %d to %d", name, least, most)
	}
	return n, nil
}
