package subject

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/ledger"
)

// Person is somebody who is logged in at a portal. It lives in memory alone, no longer than the session.
type Person struct {
	Subject countersign.SubjectID
	Expires time.Time // when the person's token ends, and the session with it
	session *identity.Session
	token   string

	mu   sync.Mutex
	view *View // on record, for the pages that are read now
}

// viewEvery is how long one record of a view stands for the pages that follow: a look at one's own history is a sitting, not a page.
const viewEvery = 5 * time.Minute

// view gives the record of the view that the person's pages belong to, making one where the last is old. Nothing is asked of any gateway before it is durable.
func (p *Portal) view(ctx context.Context, k *known, person *Person) (*View, error) {
	person.mu.Lock()
	defer person.mu.Unlock()
	now := p.o.Clock.Now()
	if v := person.view; v != nil && now.Sub(v.at) < viewEvery {
		return v, nil
	}
	v, err := recordView(ctx, p.o.Log, p.o.Member, person.Subject, k.doc.Version, now)
	if err != nil {
		return nil, err
	}
	person.view = v
	return v, nil
}

// PortalOptions are the parts of a portal: all are due but Patience.
type PortalOptions struct {
	Member    countersign.MemberID
	Cert      tls.Certificate // of the portal's gateway
	Directory Directory
	Log       *ledger.Log // the portal's own
	Verifier  *identity.Verifier
	Clock     clock.Clock
	Logger    *slog.Logger
	Patience  time.Duration // how long a page waits for gateways; 2 s where zero
}

// Portal asks every gateway of the federation on behalf of the person who is logged in, and keeps nothing of what it hears.
type Portal struct {
	o         PortalOptions
	directory directory
	caller    *caller
}

// NewPortal makes a portal.
func NewPortal(o PortalOptions) *Portal {
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	p := &Portal{o: o, directory: directory{current: o.Directory}}
	p.caller = newCaller(o.Cert, &p.directory)
	return p
}

// Login ends a login: it verifies the issuer's token against the session that began it, and gives the person. Errors are the verifier's.
func (p *Portal) Login(ctx context.Context, s *identity.Session, token string) (*Person, error) {
	who, err := p.o.Verifier.Login(ctx, s, token)
	if err != nil {
		return nil, err
	}
	k, err := p.directory.known()
	if err != nil {
		return nil, err
	}
	subject, err := k.subject(who.Scheme, who.Value)
	if err != nil {
		return nil, err
	}
	return &Person{Subject: subject, Expires: who.Expires, session: s, token: token}, nil
}

// HistoryQuery says which part of a history is wanted. The zero value is the newest page.
type HistoryQuery struct {
	From     Cursor    // where an earlier page ended; nil begins with the newest
	Limit    int       // entries from each gateway; DefaultLimit where zero
	Since    time.Time // none older
	Until    time.Time // none younger; zero is now
	Agency   string    // a member's identifier: who asked, or who answered
	Purpose  countersign.PurposeCode
	Category countersign.CategoryCode // of the fields that left
	Outcome  countersign.Outcome      // released or refused; zero is any
	Most     int                      // uses at most, or a few more that are of the same instant; no bound where zero
	Search   string                   // in the words of the agency, service, purpose, law and case, in any language

	lost map[string]error // gateways that are asked no more, with what became of them
}

// Cursor is where a page ended. It is for the same person's next query.
type Cursor struct {
	Until  countersign.Millis `json:"until"`
	Before map[string]uint64  `json:"before"` // by gateway; 0 is done
}

// IsZero reports that the newest page is meant.
func (c Cursor) IsZero() bool { return c.Until == 0 && len(c.Before) == 0 }

// History is a page of a person's timeline, as it was when it was asked for.
type History struct {
	View    countersign.ExchangeID
	At      time.Time
	Uses    []*Use // newest first
	Members []MemberState
	More    bool   // there are older uses
	Next    Cursor // for them
}

// Complete reports that every gateway has answered.
func (h *History) Complete() bool {
	return !slices.ContainsFunc(h.Members, func(m MemberState) bool { return m.Problem != nil })
}

// MemberState says what one gateway contributed. Every gateway of the directory has one, whatever became of it: none is left out in silence.
type MemberState struct {
	Member    countersign.MemberID
	Gateway   countersign.GatewayName
	Origin    countersign.LogOrigin
	Entries   int
	Size      uint64        // of its log
	Destroyed *Destroyed    // what its log has destroyed of all people's records; nil where nothing, or where it did not answer
	Took      time.Duration // until it answered, or was given up
	Problem   error         // CodeBusy: too slow; CodeNetwork: out of reach; anything else: it refused, or its answer does not verify
}

// source is one gateway's part in a query.
type source struct {
	gateway *gateway
	key     string
	before  uint64 // where this page begins
	done    bool   // it has told everything on earlier pages
	want    bool   // it is to be asked, from cursor on
	cursor  uint64
	state   MemberState
	held    []Held
	more    bool // it has older entries than those held
}

func sourceKey(m countersign.MemberID, g countersign.GatewayName) string {
	return m.String() + " " + string(g)
}

// slack covers the clocks of two members and the time between an answer and its record.
const slack = 10 * time.Minute

// History records the view, asks every gateway at once, and merges what comes within the portal's patience.
//
// LAW: guarantee 7, the person sees it; and no member is silently left out: a gateway that is slow or dead is named in Members.
func (p *Portal) History(ctx context.Context, person *Person, q HistoryQuery) (*History, error) {
	k, err := p.directory.known()
	if err != nil {
		return nil, err
	}
	now := p.o.Clock.Now()
	view, err := p.view(ctx, k, person)
	if err != nil {
		return nil, err
	}
	h := p.page(ctx, k, person, view, q)
	for range maxRounds { // a narrow filter may find nothing on many pages
		if !h.More || len(h.Uses) > 0 || p.o.Clock.Now().Sub(now) > 2*p.o.Patience || ctx.Err() != nil {
			break
		}
		q.From = h.Next
		older := p.page(ctx, k, person, view, q)
		for i := range older.Members {
			older.Members[i].Entries += h.Members[i].Entries
			if older.Members[i].Problem == nil {
				older.Members[i].Problem = h.Members[i].Problem
			}
		}
		h = older
	}
	return h, nil //nolint:nilerr // a context that ended leaves what was found, with the members that did not answer named in it
}

// Find gives one use again, from the instant and the identifier under which it was shown.
func (p *Portal) Find(ctx context.Context, person *Person, at time.Time, id string) (*Use, *History, error) {
	h, err := p.History(ctx, person, HistoryQuery{Since: at, Until: at, Limit: PageLimit})
	if err != nil {
		return nil, nil, err
	}
	for _, u := range h.Uses {
		if u.ID == id {
			return u, h, nil
		}
	}
	if !h.Complete() {
		return nil, h, countersign.Refuse(countersign.CodeNetwork, "the gateway that holds this entry does not answer now: try again later")
	}
	return nil, h, countersign.Refuse(countersign.CodeUnknownService, "no gateway shows this entry any more")
}

// maxRounds bounds how many pages one query looks through.
const maxRounds = 50

// page asks for one page and merges it.
func (p *Portal) page(ctx context.Context, k *known, person *Person, view *View, q HistoryQuery) *History {
	sources := sourcesOf(k, q)
	begun := p.o.Clock.Now()
	p.askAll(ctx, sources, person, view, q)
	m := &merger{known: k, person: person.Subject.Canonical(), now: p.o.Clock.Now()}
	for m.stuck(sources, q.From) && ctx.Err() == nil && m.now.Sub(begun) < 2*p.o.Patience {
		// So much lies in one short stretch of time that a page does not reach across it: the next ones are fetched as well.
		p.askAll(ctx, sources, person, view, q)
		m.now = p.o.Clock.Now()
	}
	h := &History{View: view.ID, At: p.o.Clock.Now(), Next: Cursor{Before: map[string]uint64{}}}
	horizon := m.horizon(sources)
	for _, u := range m.merge(sources) {
		at := countersign.MillisOf(u.Time)
		if at <= horizon || !q.From.IsZero() && at > q.From.Until {
			continue // on an older page, or on a newer one that has shown it
		}
		if q.fits(k, u) {
			h.Uses = append(h.Uses, u)
		}
	}
	h.Uses, horizon = cut(h.Uses, q.Most, horizon)
	for _, s := range sources {
		h.Members = append(h.Members, s.state)
		h.Next.Before[s.key] = s.next(horizon)
		h.More = h.More || s.state.Problem == nil && h.Next.Before[s.key] > 0
	}
	h.Next.Until = horizon
	return h
}

// cut leaves the uses after the most for the next page, but parts none that are of the same instant.
func cut(uses []*Use, most int, horizon countersign.Millis) ([]*Use, countersign.Millis) {
	if most <= 0 {
		return uses, horizon
	}
	for i := most; i < len(uses); i++ {
		if at := countersign.MillisOf(uses[i].Time); at < countersign.MillisOf(uses[i-1].Time) {
			return uses[:i], at
		}
	}
	return uses, horizon
}

func sourcesOf(k *known, q HistoryQuery) []*source {
	from := q.From
	var out []*source
	for _, g := range k.gateways {
		s := &source{gateway: g, key: sourceKey(g.member.ID, g.name)}
		if !from.IsZero() {
			before, ok := from.Before[s.key]
			s.before, s.done = before, ok && before == 0
		}
		s.state = MemberState{Member: g.member.ID, Gateway: g.name, Origin: g.log.Origin, Problem: q.lost[s.key]}
		s.done = s.done || s.state.Problem != nil
		s.want, s.cursor = !s.done, s.before
		out = append(out, s)
	}
	return out
}

// askAll asks every source that is wanted, all at once. It returns when each has answered or the portal's patience is at its end.
func (p *Portal) askAll(ctx context.Context, sources []*source, person *Person, view *View, q HistoryQuery) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Patience)
	defer cancel()
	type reply struct {
		at     int
		answer *Answer
		err    error
	}
	replies := make(chan reply, len(sources)) // so that a late one finds room and nobody waits for it
	begun := p.o.Clock.Now()
	waiting := 0
	for i, s := range sources {
		if !s.want {
			continue
		}
		waiting++
		go func() {
			iq := identity.Query{Kind: identity.QueryHistory, Before: s.cursor, Limit: q.Limit}
			if !q.Since.IsZero() {
				iq.Since = max(countersign.MillisOf(q.Since.Add(-slack)), 0)
			}
			if !q.Until.IsZero() {
				iq.Until = countersign.MillisOf(q.Until.Add(slack))
			}
			a, err := p.caller.ask(ctx, s.gateway, person, view, iq, p.o.Clock.Now())
			replies <- reply{i, a, err}
		}()
	}
	answered := make([]bool, len(sources))
	for ; waiting > 0; waiting-- {
		select {
		case r := <-replies:
			answered[r.at] = true
			s := sources[r.at]
			s.state.Took += p.o.Clock.Now().Sub(begun)
			s.state.Problem = r.err
			if r.err == nil {
				s.take(r.answer)
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	for i, s := range sources {
		if s.want && !answered[i] {
			s.state.Took += p.o.Clock.Now().Sub(begun)
			s.state.Problem = countersign.Refuse(countersign.CodeBusy, "the gateway has not answered within %s", p.o.Patience)
		}
	}
}

func (s *source) take(a *Answer) {
	s.more, s.state.Size, s.state.Destroyed = a.More, a.Size, a.Destroyed
	s.state.Entries += a.Count
	for i := range a.Entries {
		s.held = append(s.held, openEntry(a, &a.Entries[i]))
		s.cursor = a.Entries[i].Index
	}
}

// stuck reports that nothing could be shown although there is more, and marks the sources that hold it back.
func (m *merger) stuck(sources []*source, from Cursor) bool {
	horizon := m.horizon(sources)
	for _, s := range sources {
		s.want = false
		for i := range s.held {
			if at := countersign.MillisOf(s.held[i].at()); at > horizon && (from.IsZero() || at <= from.Until) {
				return false
			}
		}
	}
	stuck := false
	for _, s := range sources {
		if s.state.Problem == nil && s.more && len(s.held) > 0 {
			s.want, stuck = true, true
		}
	}
	return stuck
}

// next is below which index the source's older entries lie, 0 where there are none: those at or before the horizon are yet to be shown. A source that
// failed begins again where it would have begun.
func (s *source) next(horizon countersign.Millis) uint64 {
	if s.done {
		return 0
	}
	if s.state.Problem != nil {
		if s.before == 0 {
			return ^uint64(0) >> 1 // not 0, which is done; no log is as long
		}
		return s.before
	}
	for i := range s.held { // newest first: the newest that is not shown yet
		if countersign.MillisOf(s.held[i].at()) <= horizon {
			return s.held[i].Entry.Index + 1
		}
	}
	if s.more && len(s.held) > 0 {
		return s.held[len(s.held)-1].Entry.Index
	}
	return 0
}

// Receipt asks a gateway for the proof of one entry of the person's history: a file for `countersign verify` and any C2SP tool. It belongs to the
// view whose page showed the entry.
func (p *Portal) Receipt(ctx context.Context, person *Person, member countersign.MemberID, name countersign.GatewayName, index uint64) (*countersign.Receipt, error) {
	k, err := p.directory.known()
	if err != nil {
		return nil, err
	}
	g, ok := k.gateway(member, name)
	if !ok {
		return nil, countersign.Refuse(countersign.CodeUnknownMember, "the directory knows no such gateway")
	}
	now := p.o.Clock.Now()
	view, err := p.view(ctx, k, person)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*p.o.Patience)
	defer cancel()
	a, err := p.caller.ask(ctx, g, person, view, identity.Query{Kind: identity.QueryReceipt, Index: index}, now)
	if err != nil {
		return nil, err
	}
	if a.Receipt == nil {
		return nil, countersign.Refuse(countersign.CodeNoReceipt, "the gateway gave no receipt")
	}
	return a.Receipt, nil
}

// fits applies what the person filtered by.
func (q *HistoryQuery) fits(k *known, u *Use) bool {
	if !q.Since.IsZero() && u.Time.Before(q.Since) || !q.Until.IsZero() && u.Time.After(q.Until) {
		return false
	}
	st := u.Statement
	if st == nil {
		return q.Agency == "" && q.Purpose == "" && q.Category == "" && q.Outcome == 0 && q.Search == ""
	}
	switch {
	case q.Agency != "" && st.Consumer.MemberID.String() != q.Agency && st.Service.MemberID.String() != q.Agency,
		q.Purpose != "" && st.Purpose != q.Purpose,
		q.Outcome != 0 && st.Outcome != q.Outcome,
		q.Category != "" && !slices.Contains(u.Categories, q.Category):
		return false
	}
	return q.Search == "" || strings.Contains(strings.ToLower(k.words(st)), strings.ToLower(q.Search))
}
