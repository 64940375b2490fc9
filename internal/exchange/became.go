package exchange

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/xroad"
)

// standing is a provider's word for what became of an exchange, as the header Countersign-Status carries it.
type standing string

const (
	standingRecorded standing = "recorded" // it has ended, and the provider's record of it is told
	standingUnknown  standing = "unknown"  // there is no record and never will be: the id is taken, and a late request with it is a replay
	standingPending  standing = "pending"  // the provider still works on it: ask again
)

// Status queries of one member about exchanges without a record reserve ids. A gateway in order asks about no more than it had under way.
const (
	statusWindow = time.Minute
	statusLimit  = 4 * MaxInFlight
)

// underway are the exchanges that a provider works on in this moment, each with the member that asked.
type underway struct {
	mu sync.Mutex
	by map[countersign.ExchangeID]countersign.MemberID
}

// begin takes an exchange in hand; false where it is in hand already.
func (u *underway) begin(id countersign.ExchangeID, member countersign.MemberID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.by[id]; ok {
		return false
	}
	u.by[id] = member
	return true
}

func (u *underway) end(id countersign.ExchangeID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.by, id)
}

func (u *underway) has(id countersign.ExchangeID, member countersign.MemberID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	by, ok := u.by[id]
	return ok && by == member
}

// Status serves PathStatus: the provider's part of the statement and the receipt of an exchange, to the member that asked it and to nobody
// else. The answer's content is never given again. What it says is signed, and "unknown" is for ever.
func (p *Provider) Status(w http.ResponseWriter, r *http.Request) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		p.noise(w, r, countersign.Refuse(countersign.CodeBusy, "the provider's gateway is at its bound of %d questions at once: wait and ask again", MaxInFlight))
		return
	}
	if err := p.serveStatus(w, r); err != nil {
		p.noise(w, r, err)
	}
}

func (p *Provider) serveStatus(w http.ResponseWriter, r *http.Request) error {
	rules, err := p.rulebook()
	if err != nil {
		return err
	}
	member, _, err := p.peer(rules.view, r)
	if err != nil {
		return err
	}
	id, err := countersign.ParseExchangeID(r.PathValue("id"))
	if err != nil {
		return err
	}
	word, stored, st, err := p.became(r.Context(), member, id)
	if err != nil {
		return err
	}
	h := http.Header{HeaderStatus: {string(word)}, xroad.HeaderRequestID: {id.String()}}
	if word == standingRecorded {
		if err := p.tell(r.Context(), h, stored, st); err != nil {
			return err
		}
	}
	signed, err := p.profiles.status.Sign(r.Context(), p.Signer, httpsig.OfResponse(http.StatusOK, h), p.now())
	if err != nil {
		return err
	}
	signed.Set(h)
	for n, v := range h {
		w.Header()[n] = v
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// became finds out what became of a member's exchange, and where nothing did, sees to it that nothing will: the id is reserved, in the same
// transactions as those of questions, so that a request that comes late is a replay.
func (p *Provider) became(ctx context.Context, member countersign.MemberID, id countersign.ExchangeID) (standing, *ledger.Stored, *countersign.Statement, error) {
	now := p.now()
	if id.Time().After(now.Add(Skew)) {
		return "", nil, nil, countersign.Refuse(countersign.CodeClock, "the exchange id is of a time that this gateway's clock has not reached: set the clocks right")
	}
	stored, st, err := p.latest(ctx, member, id)
	switch {
	case err != nil:
		return "", nil, nil, err
	case stored != nil && stored.Leaf.Kind != countersign.LeafRelease:
		return standingRecorded, stored, st, nil
	case p.underway.has(id, member):
		return standingPending, nil, nil, nil
	}
	take := ledger.Reservation{
		Exchange: id, Consumer: countersign.SubsystemID{MemberID: member}, Until: now.Add(ReplayWindow), Durable: true,
		Budgets: []ledger.Budget{{Key: p.Log.BudgetKeyOf("status", member.String()), Window: statusWindow, Limit: statusLimit}},
	}
	switch err := p.Log.Reserve(ctx, take); countersign.CodeOf(err) {
	case countersign.CodeReplay:
		// The question has come. Where nobody works on it any more, what it left in the log's queue lies before a second reservation.
		if p.underway.has(id, member) {
			return standingPending, nil, nil, nil
		}
		if err := p.Log.Reserve(ctx, take); countersign.CodeOf(err) != countersign.CodeReplay {
			return "", nil, nil, countersign.RefuseBecause(countersign.CodeBusy, err, "the exchange's id could not be held: ask again")
		}
	case countersign.CodeBudget:
		return "", nil, nil, countersign.RefuseBecause(countersign.CodeBusy, err, "%d exchanges without a record are told of in %s: wait and ask again", statusLimit, statusWindow)
	default:
		if err != nil {
			return "", nil, nil, err
		}
	}
	if stored, st, err = p.latest(ctx, member, id); err != nil {
		return "", nil, nil, err
	}
	if stored == nil {
		return standingUnknown, nil, nil, nil
	}
	return standingRecorded, stored, st, nil
}

// latest finds the newest record of a member's exchange, of a stream the completion before the release; nil where there is none of that member's.
func (p *Provider) latest(ctx context.Context, member countersign.MemberID, id countersign.ExchangeID) (*ledger.Stored, *countersign.Statement, error) {
	all, err := p.Log.ByExchange(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	for _, stored := range slices.Backward(all) {
		switch stored.Leaf.Kind {
		case countersign.LeafExchange, countersign.LeafRelease, countersign.LeafCompletion:
		default:
			continue
		}
		if stored.Leaf.Side != countersign.SideProvider || stored.Record == nil {
			continue
		}
		st, err := countersign.ParseStatement(stored.Record.Statement)
		if err != nil {
			return nil, nil, err
		}
		if st.Consumer.MemberID == member {
			return stored, st, nil
		}
	}
	return nil, nil, nil
}
