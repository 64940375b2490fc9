package exchange

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
)

// PathWaiting is where a gateway tells overseers, known by their keys, which emergencies and uses of warrants on its record wait for a review.
const PathWaiting = "/countersign/emergencies/waiting"

// MaxWaiting bounds of how many emergencies, and of how many uses of warrants, one answer tells, the oldest first: those are due first.
const MaxWaiting = 1000

// WaitingReview is one emergency, or one use of a warrant, on a gateway's record that no overseer has reviewed. It tells what a reviewer must weigh, and not
// who the person is.
type WaitingReview struct {
	// Receipt is of the leaf that opened the review. Its commitment is that of the exchange's record, and the same in the other party's log.
	Receipt   *countersign.Receipt        `json:"receipt"`
	Exchange  countersign.ExchangeID      `json:"exchange"`
	Ground    string                      `json:"ground"`              // as both officials declared it, or the court
	Officials []mandate.EmergencyOfficial `json:"officials,omitempty"` // who stand for an emergency
	Court     countersign.CourtName       `json:"court,omitzero"`      // that issued the warrant
	Warrant   countersign.MandateID       `json:"warrant,omitzero"`    // its number at that court
}

// Waiting is the answer at PathWaiting.
type Waiting struct {
	Member      countersign.MemberID    `json:"member"`
	Gateway     countersign.GatewayName `json:"gateway"`
	Emergencies []WaitingReview         `json:"emergencies"`
	Warrants    []WaitingReview         `json:"warrants"` // their uses
	More        bool                    `json:"more"`     // there are more than MaxWaiting of either
}

// Watch lets overseers read what waits for their review.
type Watch struct {
	gateway *Provider
	rights  *Rights
}

// NewWatch makes it for a provider, whose log holds the emergencies and uses of warrants of both its roles.
func NewWatch(p *Provider, rights *Rights) *Watch { return &Watch{p, rights} }

// First serves PathWaiting and PathSignals, and everything else from next.
func (w *Watch) First(next http.Handler) http.Handler {
	return http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
		var out any
		var err error
		switch r.RequestURI {
		case PathWaiting:
			out, err = w.serve(r)
		case PathSignals:
			out, err = w.signals(r)
		default:
			next.ServeHTTP(res, r)
			return
		}
		if err != nil {
			w.gateway.noise(res, r, err)
			return
		}
		res.Header().Set("Content-Type", "application/json")
		res.Header().Set("Cache-Control", "no-store")
		_ = json.MarshalWrite(res, out) // whoever hung up asks again
	})
}

// serve answers an overseer, by its own key, once its reading is on record.
//
// LAW: guarantee 9, the watchers are watched (A53): what is read here is a leaf before it is an answer.
func (w *Watch) serve(r *http.Request) (*Waiting, error) {
	member, rules, err := w.overseer(r)
	if err != nil {
		return nil, err
	}
	out, err := w.rights.waiting(r.Context(), rules)
	if err != nil {
		return nil, err
	}
	return out, w.gateway.recordReading(r.Context(), member, "what waits for a review", len(out.Emergencies)+len(out.Warrants))
}

// overseer finds the overseer at the other end of the connection.
func (w *Watch) overseer(r *http.Request) (countersign.MemberID, *rulebook, error) {
	rules, err := w.gateway.rulebook()
	if err != nil {
		return countersign.MemberID{}, nil, err
	}
	member, _, err := w.gateway.peer(rules.view, r)
	switch {
	case err != nil:
	case !isOverseer(rules.view.Document(), member):
		err = countersign.Refuse(countersign.CodeAccessDenied, "what waits for a review is told to overseers of the directory alone")
	case r.Method != http.MethodGet:
		err = countersign.Refuse(countersign.CodeBadRequest, "what waits for a review is read by GET")
	}
	return member, rules, err
}

func isOverseer(d *countersign.Directory, id countersign.MemberID) bool {
	return slices.ContainsFunc(d.Members, func(m countersign.Member) bool {
		return m.ID == id && slices.Contains(m.Roles, countersign.RoleOverseer)
	})
}

// reading is what a log keeps, sealed, of an overseer's reading.
type reading struct {
	Overseer countersign.MemberID `json:"overseer"`
	What     string               `json:"what"`
	Told     int                  `json:"told"`
}

// recordReading puts an overseer's reading on record: a leaf of the kind view that names the overseer.
func (g *Gateway) recordReading(ctx context.Context, overseer countersign.MemberID, what string, told int) error {
	text, err := json.Marshal(&reading{overseer, what, told}, json.Deterministic(true))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "the reading cannot be put on record")
	}
	now := g.now()
	id := countersign.NewExchangeID(now)
	_, err = g.Log.Append(ctx, ledger.Entry{
		Leaf: &countersign.Leaf{
			Kind: countersign.LeafView, Hour: countersign.HourOf(now), Side: countersign.SideProvider, Consumer: overseer.String(), Mandate: countersign.MandateEmergency,
			Outcome: countersign.OutcomeReleased, Commitment: sha256.Sum256(append([]byte("countersign overseer's reading\x00"+id.String()+"\x00"), text...)),
		},
		Exchange: id, Record: &ledger.Record{Note: text}, Expires: now.Add(recordLife),
	})
	return err
}

// waiting gathers the emergencies and uses of warrants on this gateway's record that no overseer is known to have reviewed, the oldest first. An overseer whose
// list cannot be had hides none: too much is told rather than too little.
func (r *Rights) waiting(ctx context.Context, rules *rulebook) (*Waiting, error) {
	g := r.gateway
	out := &Waiting{Member: g.Member, Gateway: g.Name}
	at, within := g.now(), time.Duration(rules.view.Caps().EmergencyReview)
	var lists []*mandate.Reviews
	var members []countersign.MemberID
	doc := rules.view.Document()
	for i := range doc.Members {
		m := &doc.Members[i]
		members = append(members, m.ID)
		if slices.Contains(m.Roles, countersign.RoleOverseer) && len(m.Gateways) > 0 {
			if list, err := r.reviewsOf(rules, m, at, within); err == nil {
				lists = append(lists, list)
			}
		}
	}
	var err error
	if out.Emergencies, err = r.waitingOf(ctx, countersign.MandateEmergency, members, lists, &out.More); err != nil {
		return nil, err
	}
	out.Warrants, err = r.waitingOf(ctx, countersign.MandateWarrant, members, lists, &out.More)
	return out, err
}

// waitingOf gathers what waits of one kind.
func (r *Rights) waitingOf(ctx context.Context, kind countersign.MandateKind, members []countersign.MemberID, lists []*mandate.Reviews, more *bool) ([]WaitingReview, error) {
	var open []*ledger.Stored
	for _, m := range members {
		err := r.eachReview(ctx, kind, m, func(s *ledger.Stored) bool {
			if !slices.ContainsFunc(lists, func(l *mandate.Reviews) bool { return l.Has(s.Leaf.Commitment) }) {
				open = append(open, s)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(open, func(a, b *ledger.Stored) int { return a.Time.Time().Compare(b.Time.Time()) })
	if len(open) > MaxWaiting {
		*more, open = true, open[:MaxWaiting]
	}
	out := []WaitingReview{}
	for _, s := range open {
		placed, err := r.gateway.Log.Promise(ctx, s)
		if err != nil {
			return nil, err
		}
		e := WaitingReview{Receipt: placed.Receipt(nil, nil)}
		e.tell(s)
		out = append(out, e)
	}
	return out, nil
}

// tell reads the sealed note of a review: a declaration or a warrant that this gateway verified before it put it there. What the note no longer tells stays
// empty.
func (e *WaitingReview) tell(s *ledger.Stored) {
	var note review
	if s.Record == nil || json.Unmarshal(s.Record.Note, &note) != nil {
		return
	}
	e.Exchange = note.Exchange
	if declared, err := mandate.ReadEmergency(note.Declared); err == nil {
		e.Ground, e.Officials = declared.Ground, declared.Officials
	}
	if w, err := mandate.ReadWarrant(note.Warrant); err == nil {
		e.Ground, e.Court, e.Warrant = w.Ground, w.Court, w.ID
	}
}
