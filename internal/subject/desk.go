package subject

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
)

// Signer signs a gateway's answers: keys.BatchSigner.
type Signer interface {
	Sign(ctx context.Context, domain countersign.SignatureDomain, message []byte) ([]byte, error)
	KeyID() countersign.KeyID
}

// DeskOptions are the parts of a desk: all are due.
type DeskOptions struct {
	Member    countersign.MemberID
	Gateway   countersign.GatewayName
	Directory Directory
	Log       *ledger.Log
	Verifier  *identity.Verifier
	Signer    Signer
	Clock     clock.Clock
	Logger    *slog.Logger
}

// Desk answers, at a member's gateway, the queries of people about the member's own log. It serves behind TLS 1.3 with pinned keys, as gateways do, and
// takes queries from gateways of portals alone.
type Desk struct {
	o         DeskOptions
	directory directory
	turns     *turns

	bell bell

	mu   sync.Mutex
	seen map[countersign.ExchangeID]time.Time // queries taken, until they can no longer be repeated
}

const (
	deskSlots = 128       // queries of a Data Tracker at once
	maxSeen   = 1_000_000 // queries remembered, of the last minute or so
)

// NewDesk makes a desk.
func NewDesk(o DeskOptions) *Desk {
	return &Desk{o: o, directory: directory{current: o.Directory}, turns: newTurns(), seen: map[countersign.ExchangeID]time.Time{}}
}

// ServeHTTP answers one query.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	done, err := d.turns.take(r.Context())
	if err != nil {
		WriteProblem(w, err)
		return
	}
	defer done()
	answer, err := d.serve(r)
	if err == nil {
		err = d.send(r.Context(), w, answer)
	}
	if err != nil {
		d.o.Logger.InfoContext(r.Context(), "person's query not answered", "code", countersign.CodeOf(err).String(), "error", countersign.MessageOf(err))
		WriteProblem(w, err)
	}
}

// asked is a query whose portal and person are established.
type asked struct {
	known  *known
	person countersign.SubjectID
	query  *identity.Query
	now    time.Time
}

// serve finds what is asked for: a person's query, or one about no person.
func (d *Desk) serve(r *http.Request) (any, error) {
	if r.URL.Path == PathNews {
		return d.news(r)
	}
	if about, ok := strings.CutPrefix(r.URL.Path, PathTracker); ok {
		return d.tracker(r, about)
	}
	return d.answer(r)
}

func (d *Desk) answer(r *http.Request) (*Answer, error) {
	if r.Method != http.MethodPost {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "a query is a POST request")
	}
	k, portal, err := d.portal(r)
	if err != nil {
		return nil, err
	}
	a, err := d.admit(r, k, portal)
	if err != nil {
		return nil, err
	}
	out := &Answer{
		Member: d.o.Member, Gateway: d.o.Gateway, Query: a.query.ID, Origin: d.o.Log.Origin(), Size: d.o.Log.Size(),
		At: countersign.MillisOf(a.now), Entries: []Entry{},
	}
	switch a.query.Kind {
	case identity.QueryHistory:
		err = d.history(r.Context(), a, out)
	case identity.QueryReceipt:
		err = d.receipt(r.Context(), a, out)
	case identity.QueryUsage:
		err = d.usage(r.Context(), a, out)
	default:
		err = countersign.Refuse(countersign.CodeBadRequest, "the query is of no kind that is known here")
	}
	return out, err
}

// portal finds the portal that asks, in the directory as it is now.
func (d *Desk) portal(r *http.Request) (*known, countersign.MemberID, error) {
	k, err := d.directory.known()
	if err != nil {
		return nil, countersign.MemberID{}, err
	}
	portal, err := k.portal(r)
	return k, portal, err
}

// portal finds the portal at the other end of the connection.
//
// LAW: XROAD-REST, Data Tracker, and guarantee 7: only portals that the directory names bring people's queries.
func (k *known) portal(r *http.Request) (countersign.MemberID, error) {
	pin, err := keys.PeerOf(r.TLS)
	if err != nil {
		return countersign.MemberID{}, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "portals call over TLS 1.3 with the keys of the directory")
	}
	gw := k.byPin[countersign.Pin(pin.KeyID())]
	if gw == nil || !slices.Contains(gw.member.Roles, countersign.RolePortal) {
		return countersign.MemberID{}, countersign.Refuse(countersign.CodeAccessDenied, "the key of this connection belongs to no portal of the directory")
	}
	return gw.member.ID, nil
}

// admit establishes that the person asks, now, once, and that the portal has the view on record.
func (d *Desk) admit(r *http.Request, k *known, portal countersign.MemberID) (*asked, error) {
	var in request
	dec := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the query is not JSON of token, proof and view")
	}
	who, q, err := d.o.Verifier.Query(r.Context(), portal, in.Token, in.Proof)
	if err != nil {
		return nil, err
	}
	if q.Member != d.o.Member || q.Gateway != d.o.Gateway {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the query was signed for another gateway")
	}
	person, err := k.subject(who.Scheme, who.Value)
	if err != nil {
		return nil, err
	}
	now := d.o.Clock.Now()
	if err := checkView(k, portal, in.View, q.View, person, now); err != nil {
		return nil, err
	}
	if err := d.once(q.ID, now); err != nil {
		return nil, err
	}
	return &asked{k, person, q, now}, nil
}

// once takes each query a single time.
func (d *Desk) once(id countersign.ExchangeID, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.seen[id]; ok {
		return countersign.Refuse(countersign.CodeReplay, "this query was asked before: it is answered once")
	}
	if len(d.seen) >= maxSeen {
		for k, until := range d.seen {
			if now.After(until) {
				delete(d.seen, k)
			}
		}
		if len(d.seen) >= maxSeen {
			return countersign.Refuse(countersign.CodeBusy, "the gateway has taken %d queries within the last minutes: ask again", maxSeen)
		}
	}
	d.seen[id] = now.Add(identity.QueryLife + 2*identity.Skew)
	return nil
}

// due says whether the person may see an entry now.
//
// LAW: guarantee 7: at once, or when a court's delay ends; the cap on delay is absolute (A32), and no agency is asked (A33).
func due(s *ledger.Stored, now time.Time, limit time.Duration) bool {
	if s.Record == nil || s.Record.Notice == 0 {
		return true
	}
	return !s.Record.Notice.Time().After(now) || !s.Time.Time().Add(limit).After(now)
}

// history gives a page of the entries about the person. Entries that are not due leave no trace: neither a gap in Count nor a page that turns out empty.
func (d *Desk) history(ctx context.Context, a *asked, out *Answer) error {
	limit := a.query.Limit
	if limit < 1 {
		limit = DefaultLimit
	}
	limit = min(limit, PageLimit)
	tags := d.o.Log.TagsOf(a.person)
	page := ledger.Page{Before: a.query.Before, Limit: limit + 1}
	var stored []*ledger.Stored
	for {
		found, err := d.o.Log.History(ctx, tags, page)
		if err != nil {
			return err
		}
		for _, s := range found {
			page.Before = s.Index
			if s.Time < a.query.Since {
				found = nil
				break
			}
			if !due(s, a.now, a.known.cap) || a.query.Until > 0 && s.Time > a.query.Until {
				continue
			}
			if len(out.Entries) == limit {
				out.More = true
				break
			}
			out.Entries, stored = append(out.Entries, entryOf(s)), append(stored, s)
		}
		if out.More || len(found) < min(page.Limit, ledger.MaxPage) {
			break
		}
	}
	out.Count = len(out.Entries)
	if err := d.decisions(ctx, out, stored); err != nil {
		return err
	}
	var err error
	out.Destroyed, err = d.destroyed(ctx)
	return err
}

// destroyed tells what is no more: a history that is short because its time has ended is not to look like one that was never longer.
//
// LAW: guarantee 8: data expire, and their destruction is on record.
func (d *Desk) destroyed(ctx context.Context) (*Destroyed, error) {
	months, err := d.o.Log.Destructions(ctx)
	if err != nil || len(months) == 0 {
		return nil, err
	}
	out := &Destroyed{Through: months[0].Month, Leaf: months[0].Index}
	for i := range months {
		out.Records += months[i].Records
	}
	if out.Records == 0 {
		return nil, nil //nolint:nilnil // nothing was destroyed, and nothing is told
	}
	return out, nil
}

func entryOf(s *ledger.Stored) Entry {
	e := Entry{Index: s.Index, Time: s.Time, Leaf: s.LeafBytes, Destroyed: s.Destroyed}
	if r := s.Record; r != nil {
		e.Statement, e.Reasons, e.Rules, e.Notice, e.Document = r.Statement, r.Reasons, r.Rules, r.Notice, r.Note
		if len(r.Statement) > 0 || len(r.Note) > 0 {
			e.Salt = bytes.Clone(r.Salt[:])
		}
	}
	return e
}

// receipt gives everything that proves one entry about the person: promise, leaf, statement, salt, and the tlog-proof once there is one.
func (d *Desk) receipt(ctx context.Context, a *asked, out *Answer) error {
	none := countersign.Refuse(countersign.CodeUnknownService, "this gateway has no such entry about the person who asks")
	s, err := d.o.Log.Leaf(ctx, a.query.Index)
	if errors.Is(err, ledger.ErrNotFound) {
		return none
	}
	if err != nil {
		return err
	}
	if s.Tag == (countersign.SubjectTag{}) || !slices.Contains(d.o.Log.TagsOf(a.person), s.Tag) || !due(s, a.now, a.known.cap) {
		return none // another person's entry, one that is not due and one that is not there look alike
	}
	placed, err := d.o.Log.Promise(ctx, s)
	if err != nil {
		return err
	}
	out.Receipt = placed.Receipt(nil, nil)
	if s.Record != nil && len(s.Record.Statement) > 0 {
		out.Receipt.Statement, out.Receipt.Salt = s.Record.Statement, bytes.Clone(s.Record.Salt[:])
	}
	if out.Receipt.Proof, err = d.o.Log.Proof(ctx, s.Index); err != nil && countersign.CodeOf(err) != countersign.CodeNoQuorum {
		return err
	}
	out.Entries, out.Count = []Entry{entryOf(s)}, 1
	return nil
}

// send signs and writes an answer.
func (d *Desk) send(ctx context.Context, w http.ResponseWriter, a any) error {
	body, err := json.Marshal(a)
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "the answer cannot be written")
	}
	sig, err := d.o.Signer.Sign(ctx, DomainAnswer, body)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set(headerSignature, base64.StdEncoding.EncodeToString(sig))
	h.Set(headerKey, string(d.o.Signer.KeyID()))
	_, _ = w.Write(body) // a portal that hung up asks again
	return nil
}
