package subject

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// PathNews is where a gateway tells portals, on the listener of gateways, whether there is anything new about people who permit them to ask. POST asks; GET tells
// when the newest emergency was recorded, whoever it is about: leaves say as much in public.
const PathNews = "/countersign/person/news"

// NewsClass says how soon a notice of an entry is due.
type NewsClass string

// The classes. Each entry is of one.
const (
	NewsEmergency NewsClass = "emergency" // at once
	NewsSingle    NewsClass = "single"    // as the person chose
	NewsProgramme NewsClass = "programme" // once a day, grouped
)

// Bounds of news.
const (
	MaxNewsAsks    = 64 // people of one request
	maxNewsRequest = 2 << 20

	// newsSettle is how old an entry is before news tell of it: what is being recorded has its time already and is not yet to be seen, and would be missed.
	newsSettle = 10 * time.Second
)

// NewsAsk is what a portal presents for one person.
type NewsAsk struct {
	Token      string               `json:"token"`      // of the login in which the person permitted it
	Permission string               `json:"permission"` // identity.Standing, signed by that session's key
	Receipt    *countersign.Receipt `json:"receipt"`    // the portal's record of the permission
	Since      countersign.Millis   `json:"since"`
	Classes    []NewsClass          `json:"classes"`
}

type newsRequest struct {
	Asks []NewsAsk `json:"asks"`
}

// News is what a gateway says about one person, and all that it says.
type News struct {
	New     bool             `json:"new"`
	Refused countersign.Code `json:"refused,omitempty"`
}

// NewsAnswer is a gateway's answer. The gateway signs its JSON.
type NewsAnswer struct {
	Member    countersign.MemberID    `json:"member"`
	Gateway   countersign.GatewayName `json:"gateway"`
	Request   countersign.Digest      `json:"request"` // SHA-256 of the request's body
	At        countersign.Millis      `json:"at"`      // up to when it has looked: the next Since
	News      []News                  `json:"news,omitempty"`
	Emergency countersign.Millis      `json:"emergency,omitempty"` // of a GET: the newest emergency on record since Listening; zero where there was none
	Listening countersign.Millis      `json:"listening,omitempty"` // of a GET: since when the gateway's process has taken note of emergencies
}

// news answers for each person yes or no. An entry that is not due is no news, whatever class it is of: that there is one follows from nothing here (A34).
func (d *Desk) news(r *http.Request) (*NewsAnswer, error) {
	k, portal, err := d.portal(r)
	if err != nil {
		return nil, err
	}
	now := d.o.Clock.Now()
	out := &NewsAnswer{Member: d.o.Member, Gateway: d.o.Gateway, At: countersign.MillisOf(now.Add(-newsSettle))}
	switch r.Method {
	case http.MethodGet:
		out.Emergency, out.Listening, err = d.bell.newest(r.Context(), d.o.Log, now)
		return out, err
	case http.MethodPost:
	default:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "news are asked for by POST, the newest emergency by GET")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxNewsRequest+1))
	if err != nil || len(body) > maxNewsRequest {
		return nil, countersign.RefuseBecause(countersign.CodeTooLarge, err, "a request for news has %d bytes at most", maxNewsRequest)
	}
	in, err := parseNews(body)
	if err != nil {
		return nil, err
	}
	out.Request = sha256.Sum256(body)
	for i := range in.Asks {
		found, err := d.newsOf(r.Context(), k, portal, &in.Asks[i], out.At)
		n := News{New: found}
		if err != nil {
			n.Refused = countersign.CodeOf(err)
			if n.Refused == countersign.CodeInternal {
				return nil, err
			}
		}
		out.News = append(out.News, n)
	}
	return out, nil
}

// parseNews reads a portal's request.
func parseNews(body []byte) (*newsRequest, error) {
	in := new(newsRequest)
	if err := decodeStrict(body, in); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the request is not JSON of asks")
	}
	if len(in.Asks) == 0 || len(in.Asks) > MaxNewsAsks {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "a request has %d asks: 1 to %d", len(in.Asks), MaxNewsAsks)
	}
	for _, a := range in.Asks {
		for _, c := range a.Classes {
			if c != NewsEmergency && c != NewsSingle && c != NewsProgramme {
				return nil, countersign.Refuse(countersign.CodeBadRequest, "classes are %s, %s and %s", NewsEmergency, NewsSingle, NewsProgramme)
			}
		}
		if a.Since < 0 || len(a.Classes) == 0 {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "an ask names classes, and since when")
		}
	}
	return in, nil
}

// newsOf looks for an entry about the person that has become due since the last time.
func (d *Desk) newsOf(ctx context.Context, k *known, portal countersign.MemberID, a *NewsAsk, until countersign.Millis) (bool, error) {
	who, permitted, err := d.o.Verifier.Standing(ctx, portal, a.Token, a.Permission)
	if err != nil {
		return false, err
	}
	person, err := k.subject(who.Scheme, who.Value)
	if err != nil {
		return false, err
	}
	if err := checkPermission(k, portal, a.Receipt, permitted.View, person, permitted.At.Time()); err != nil {
		return false, err
	}
	tags := d.o.Log.TagsOf(person)
	oldest := a.Since - countersign.Millis(k.cap.Milliseconds()) // an older entry that was delayed has been due since before
	page := ledger.Page{Limit: ledger.MaxPage}
	for {
		found, err := d.o.Log.History(ctx, tags, page)
		if err != nil {
			return false, err
		}
		for _, s := range found {
			page.Before = s.Index
			if s.Time <= oldest {
				return false, nil
			}
			if at := dueAt(s, k.cap); at > a.Since && at <= until && slices.Contains(a.Classes, classOf(s)) {
				return true, nil
			}
		}
		if len(found) < ledger.MaxPage {
			return false, nil
		}
	}
}

// dueAt is when the person may see an entry: see due.
func dueAt(s *ledger.Stored, limit time.Duration) countersign.Millis {
	if s.Record == nil || s.Record.Notice <= s.Time {
		return s.Time
	}
	return min(s.Record.Notice, s.Time+countersign.Millis(limit.Milliseconds()))
}

// classOf gives an entry's class; none for what the person did.
func classOf(s *ledger.Stored) NewsClass {
	switch s.Leaf.Kind {
	case countersign.LeafView:
		return "" // or each look at the news would be news
	case countersign.LeafCase:
		step, err := stepOf(s)
		if err != nil || step.By == PartyPerson {
			return ""
		}
		return NewsSingle
	}
	kind := s.Leaf.Mandate
	if s.Record != nil && len(s.Record.Statement) > 0 {
		st, err := countersign.ParseStatement(s.Record.Statement)
		if err != nil {
			return NewsSingle
		}
		kind = st.Mandate.Kind
	}
	switch kind {
	case countersign.MandateEmergency:
		return NewsEmergency
	case countersign.MandateProgramme:
		return NewsProgramme
	}
	return NewsSingle
}

// decodeStrict reads one JSON value of known fields and nothing after it.
func decodeStrict(text []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return countersign.Refuse(countersign.CodeBadRequest, "something follows the JSON value")
	}
	return nil
}
