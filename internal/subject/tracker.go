package subject

import (
	"context"
	"net/http"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/ledger"
)

// PathTracker is where a gateway tells portals what concerns no person: GET of PathTracker + TrackerPeriod or TrackerHeartbeat, on the listener of gateways.
const PathTracker = "/countersign/person/tracker/"

// The service of the Data Tracker protocol and its operations, as they stand in paths.
//
// SPEC: Andmejälgija kasutusteabe esitamise protokoll 1.6, 6: the service is called findUsage, and all three operations are mandatory.
const (
	ServiceTracker   = "findUsage"
	TrackerUsage     = "findUsage"
	TrackerPeriod    = "usagePeriod"
	TrackerHeartbeat = "heartbeat"
)

// TrackerLimit is the most usages of one page, and how many a query gets that does not say.
//
// SPEC: 6.1.3: at most 1000 records are returned by default.
const TrackerLimit = 1000

// Usage is one use of a person's data, or one attempt, as the Data Tracker protocol tells it.
type Usage struct {
	LogTime        string `json:"logtime"`      // RFC 3339 in UTC, to the second
	Action         string `json:"action"`       // why, in plain words
	ReceiverCode   string `json:"receiverCode"` // of the agency that asked
	ReceiverName   string `json:"receiverName,omitempty"`
	ReceiverSystem string `json:"receiverSystem"`
}

// UsagePeriod is since when a gateway has records.
type UsagePeriod struct {
	Start string `json:"periodStart"` // RFC 3339; there is no end: records reach until now
}

// Heartbeat is whether a gateway can answer.
type Heartbeat struct {
	Status  string `json:"status"` // OK or FAIL
	Message string `json:"message,omitempty"`
}

// TrackerState is what a gateway tells about itself. The gateway signs its JSON.
type TrackerState struct {
	Member    countersign.MemberID    `json:"member"`
	Gateway   countersign.GatewayName `json:"gateway"`
	At        countersign.Millis      `json:"at"`
	Period    *UsagePeriod            `json:"period,omitempty"`
	Heartbeat *Heartbeat              `json:"heartbeat,omitempty"`
}

// tracker answers what concerns no person. It asks for no person's token, and tells nothing about any.
func (d *Desk) tracker(r *http.Request, about string) (*TrackerState, error) {
	if r.Method != http.MethodGet {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "%s and %s are asked by GET", TrackerPeriod, TrackerHeartbeat)
	}
	if _, _, err := d.portal(r); err != nil {
		return nil, err
	}
	out := &TrackerState{Member: d.o.Member, Gateway: d.o.Gateway, At: countersign.MillisOf(d.o.Clock.Now())}
	switch about {
	case TrackerPeriod:
		first, err := d.o.Log.Leaf(r.Context(), 0) // its inception
		if err != nil {
			return nil, err
		}
		out.Period = &UsagePeriod{Start: trackerTime(first.Time.Time())}
	case TrackerHeartbeat:
		out.Heartbeat = &Heartbeat{Status: "OK", Message: "the log takes records"}
		if err := d.o.Log.Healthy(); err != nil {
			out.Heartbeat = &Heartbeat{Status: "FAIL", Message: "the log takes no records at present"}
		}
	default:
		return nil, countersign.Refuse(countersign.CodeUnknownService, "a gateway tells portals of its %s and its %s", TrackerPeriod, TrackerHeartbeat)
	}
	return out, nil
}

// trackerTime writes a time as the protocol does.
//
// SPEC: 6: RFC 3339 with a zone or Z, for instance YYYY-MM-DDTHH:MM:SSZ.
func trackerTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// usage gives a page of the uses of the person's data that this member holds, and of views through its own portal, newest first.
//
// SPEC: 6.1.4: totalUsages says how many there are; records come in descending order of time. The count is of all pages, as the protocol's OpenAPI has it.
func (d *Desk) usage(ctx context.Context, a *asked, out *Answer) error {
	q := a.query
	if q.Limit < 1 || q.Limit > TrackerLimit || q.Offset < 0 {
		return countersign.Refuse(countersign.CodeBadRequest, "the limit is from 1 to %d, the offset from 0", TrackerLimit)
	}
	words := &trackerWords{known: a.known, lang: q.Lang}
	out.Usages = []Usage{}
	page := ledger.Page{Limit: ledger.MaxPage}
	tags := d.o.Log.TagsOf(a.person)
	for {
		found, err := d.o.Log.History(ctx, tags, page)
		if err != nil {
			return err
		}
		for _, s := range found {
			page.Before = s.Index
			if s.Time < q.Since {
				return nil
			}
			if q.Until > 0 && s.Time > q.Until || !due(s, a.now, a.known.cap) {
				continue // one that is not due leaves no trace: neither in the count nor in the order
			}
			u, ok := d.usageOf(s, a, words)
			if !ok {
				continue
			}
			if out.Total >= q.Offset && len(out.Usages) < q.Limit {
				out.Usages = append(out.Usages, u)
			}
			out.Total++
		}
		if len(found) < ledger.MaxPage {
			return nil
		}
	}
}

// usageOf reads an entry as the protocol tells it: what was asked of this member about the person, and who looked through this member's portal. What
// the member itself asked of others is theirs to tell, so that a portal that asks everybody counts each use once.
func (d *Desk) usageOf(s *ledger.Stored, a *asked, words *trackerWords) (Usage, bool) {
	st := &countersign.Statement{Purpose: s.Leaf.Purpose, Outcome: s.Leaf.Outcome}
	if s.Record != nil && len(s.Record.Statement) > 0 {
		parsed, err := countersign.ParseStatement(s.Record.Statement)
		if err != nil || parsed.Subject != a.person.Canonical() {
			return Usage{}, false
		}
		st = parsed
	} else if !s.Destroyed || words.leaf(s.Leaf, st) != nil {
		return Usage{}, false // a step of a case or of a mandate: no use of data
	}
	view := s.Leaf.Kind == countersign.LeafView
	side := s.Leaf.Side
	if side == 0 && st.Service.MemberID == d.o.Member { // a slot that was sealed, or a coarse leaf, does not say
		side = countersign.SideProvider
	}
	if !view && side != countersign.SideProvider {
		return Usage{}, false
	}
	return Usage{
		LogTime: trackerTime(s.Time.Time()), Action: words.action(st, view), ReceiverCode: st.Consumer.Code, ReceiverName: words.member(st.Consumer.MemberID),
		ReceiverSystem: words.system(st.Consumer),
	}, true
}

// trackerQuery is what findUsage was asked for, besides whom it is about.
type trackerQuery struct {
	since, until  countersign.Millis
	offset, limit int
}

// fits compares a request with what the person's session has signed.
func (t *trackerQuery) fits(q *identity.Query) bool {
	return q.Kind == identity.QueryUsage && q.Since == t.since && q.Until == t.until && q.Offset == t.offset && q.Limit == t.limit
}

// trackerOperation reads what follows the service in a path: /findUsage, /v2/findUsage and the like.
func trackerOperation(path string) (string, error) {
	op := strings.TrimPrefix(strings.TrimPrefix(path, "/v2"), "/")
	switch op {
	case TrackerUsage, TrackerPeriod, TrackerHeartbeat:
		return op, nil
	}
	return "", countersign.Refuse(countersign.CodeUnknownService, "the service %s has the operations %s, %s and %s, alone or after /v2", ServiceTracker, TrackerUsage, TrackerPeriod, TrackerHeartbeat)
}
