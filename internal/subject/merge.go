package subject

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// Held is one side's record of a use, opened and checked as far as the entry allows.
type Held struct {
	Member    countersign.MemberID
	Gateway   countersign.GatewayName
	Origin    countersign.LogOrigin
	Entry     Entry
	Leaf      *countersign.Leaf
	Statement *countersign.Statement // nil where the record was destroyed, or is of a kind without one
	Broken    error                  // the entry is not what its own log committed to
}

// at is the time by which pages are cut: both sides of an exchange agree on it.
func (h *Held) at() time.Time {
	recorded := h.Entry.Time.Time()
	if h.Statement == nil {
		return recorded
	}
	// Nothing was answered after it was recorded. A statement that says so is put where its log has it: by its own word it would belong to a page that was shown
	// already, and be on none.
	if answered := h.Statement.Answered.Time(); answered.Before(recorded.Add(clockSlack)) {
		return answered
	}
	return recorded
}

// clockSlack is by how much a record may be older than the answer that it is of: a hand's breadth between two readings of one clock, or two members' clocks.
const clockSlack = 10 * time.Second

// openEntry reads an entry and checks that its statement opens its leaf.
func openEntry(a *Answer, e *Entry) Held {
	h := Held{Member: a.Member, Gateway: a.Gateway, Origin: a.Origin, Entry: *e}
	var err error
	if h.Leaf, err = countersign.ParseLeaf(e.Leaf); err != nil {
		h.Leaf, h.Broken = &countersign.Leaf{}, err
		return h
	}
	if len(e.Statement) == 0 {
		return h
	}
	if len(e.Salt) != len(countersign.Salt{}) || !countersign.Salt(e.Salt).Opens(h.Leaf.Commitment, e.Statement) {
		h.Broken = countersign.Refuse(countersign.CodeSignature, "the statement does not open the leaf's commitment: it is not what was recorded")
	}
	st, err := countersign.ParseStatement(e.Statement)
	if err != nil {
		h.Broken = err
		return h
	}
	h.Statement = st
	return h
}

// Difference says in what the records of the two sides of one use differ.
type Difference string

// The differences. Each is a matter for a question to the agency, or to the independent body.
const (
	DifferenceProviderSilent Difference = "provider-silent" // the asker says that it received data, the holder has no record of giving it
	DifferenceConsumerSilent Difference = "consumer-silent" // the holder gave data, the asker has no record of having received it
	DifferenceNotAccepted    Difference = "not-accepted"    // the holder gave data, the asker's gateway dropped them and says why
	DifferenceStatements     Difference = "statements"      // both have a record of the same exchange, and the records say different things
	DifferenceOutcome        Difference = "outcome"         // the asker says that it received what the holder refused
	DifferenceBroken         Difference = "broken"          // a record does not match what its own log committed to in public
)

// Use is one use of the person's data, or an attempt at one: what provider and consumer each recorded, put together.
type Use struct {
	ID          string // the commitment that pairs both logs, in hexadecimal
	Kind        countersign.LeafKind
	Time        time.Time
	Statement   *countersign.Statement // of the provider, where there is one; nil where every record was destroyed
	Provider    *Held
	Consumer    *Held
	Categories  []countersign.CategoryCode // of the fields that left
	Differences []Difference
	Delayed     bool // a court had delayed its notice
	ByProduct   bool // the question was about somebody else: the person was in the answer
	Pending     bool // so young that the other side may be about to record it

	Decisions []countersign.Decision // of the agency that asked, resting on this
	Undecided bool                   // a machine asked, and no decision that names a human rests on it
}

// merger puts the records of all gateways together.
type merger struct {
	known  *known
	person string
	now    time.Time
}

// horizon is the time down to which every source has told everything: older uses stay for the next page.
func (m *merger) horizon(sources []*source) countersign.Millis {
	var h countersign.Millis
	for _, s := range sources {
		if s.more && len(s.held) > 0 {
			oldest := s.held[len(s.held)-1].Entry.Time
			h = max(h, oldest+countersign.Millis(clockSlack.Milliseconds()))
		}
	}
	return h
}

func (m *merger) merge(sources []*source) []*Use {
	by := map[string]*Use{}
	var uses []*Use
	for _, s := range sources {
		for i := range s.held {
			h := &s.held[i]
			if h.Leaf.Kind == countersign.LeafCase {
				continue // a step of the person's own case is no use of data: the portal shows cases by themselves
			}
			if h.Statement != nil && h.Statement.Subject != m.person {
				h.Broken = countersign.Refuse(countersign.CodeInconsistent, "the record is about somebody else")
				h.Statement = nil // not this person's to see
			}
			id := hex.EncodeToString(h.Leaf.Commitment[:])
			u := by[id]
			if u == nil {
				u = &Use{ID: id, Kind: h.Leaf.Kind}
				by[id] = u
				uses = append(uses, u)
			}
			u.add(h)
		}
	}
	uses = joinByExchange(uses)
	answered := map[countersign.MemberID]bool{}
	for _, s := range sources {
		ok, seen := answered[s.gateway.member.ID]
		answered[s.gateway.member.ID] = (ok || !seen) && s.state.Problem == nil
	}
	for _, u := range uses {
		m.judge(u, answered)
	}
	slices.SortStableFunc(uses, func(a, b *Use) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return uses
}

// add puts one side's record in its place.
func (u *Use) add(h *Held) {
	side := h.Leaf.Side
	if side == 0 && h.Statement != nil { // a sealed leaf tells no side: the statement and the log's owner do
		side = countersign.SideConsumer
		if h.Statement.Service.MemberID == h.Member {
			side = countersign.SideProvider
		}
	}
	switch {
	case side == countersign.SideConsumer && u.Consumer == nil:
		u.Consumer = h
	case u.Provider == nil:
		u.Provider = h
	}
	if h.Statement != nil && (u.Statement == nil || side == countersign.SideProvider) {
		u.Statement = h.Statement
	}
	if u.Time.IsZero() || h.Statement != nil {
		u.Time = h.at()
	}
	u.Delayed = u.Delayed || h.Entry.Notice > 0
}

// joinByExchange puts together what the two sides recorded of one exchange with different statements: each was left alone by its commitment.
func joinByExchange(uses []*Use) []*Use {
	alone := map[countersign.ExchangeID]*Use{}
	for _, u := range uses {
		if u.Provider != nil && u.Consumer == nil && u.Statement != nil && !byProduct(u.Statement) {
			alone[u.Statement.Exchange] = u
		}
	}
	return slices.DeleteFunc(uses, func(u *Use) bool {
		if u.Consumer == nil || u.Provider != nil || u.Statement == nil {
			return false
		}
		p := alone[u.Statement.Exchange]
		if p == nil || p.Consumer != nil {
			return false
		}
		p.Consumer = u.Consumer
		return true
	})
}

// byProduct recognises the record of a person who was in the answer to a question about somebody else: it has no digest of the answer, which is the other
// person's too.
func byProduct(s *countersign.Statement) bool {
	return s.Outcome == countersign.OutcomeReleased && s.Answer.IsZero() && s.Purpose != PurposeOwnView
}

// grace is how long after its time a use may wait for the other side's record.
const grace = 2 * time.Minute

// judge finds the differences between the two sides.
//
// LAW: A39, a consumer that drops its own record is exposed by pairing; A38 and guarantee 5, a provider without a record of what was received.
func (m *merger) judge(u *Use, answered map[countersign.MemberID]bool) {
	for _, h := range []*Held{u.Provider, u.Consumer} {
		if h != nil && h.Broken != nil {
			u.Differences = append(u.Differences, DifferenceBroken)
			break
		}
	}
	st := u.Statement
	if st == nil || u.Kind == countersign.LeafView || u.Kind == countersign.LeafMandate || u.Kind == countersign.LeafCase {
		return
	}
	u.Categories = m.known.categories(st)
	u.ByProduct = u.Consumer == nil && byProduct(st)
	if u.Consumer != nil {
		u.Decisions = openDecisions(&u.Consumer.Entry, u.Consumer.Statement)
	}
	u.Undecided = m.undecided(u)
	young := m.now.Sub(u.Time) < grace
	switch {
	case u.Provider == nil && u.Consumer.Leaf.Outcome == countersign.OutcomeReceived && answered[st.Service.MemberID]:
		u.differ(DifferenceProviderSilent, young)
	case u.Consumer == nil && !u.ByProduct && st.Outcome == countersign.OutcomeReleased && answered[st.Consumer.MemberID]:
		u.differ(DifferenceConsumerSilent, young)
	case u.Provider == nil || u.Consumer == nil:
	case u.Consumer.Leaf.Outcome == countersign.OutcomeNotAccepted:
		u.Differences = append(u.Differences, DifferenceNotAccepted)
	case u.Provider.Leaf.Commitment != u.Consumer.Leaf.Commitment:
		u.Differences = append(u.Differences, DifferenceStatements)
	case u.Consumer.Leaf.Outcome == countersign.OutcomeReceived && st.Outcome != countersign.OutcomeReleased:
		u.Differences = append(u.Differences, DifferenceOutcome)
	}
}

func (u *Use) differ(d Difference, young bool) {
	if young {
		u.Pending = true
		return
	}
	u.Differences = append(u.Differences, d)
}

// categories gives the kinds of data that the released fields belong to, by the directory; of a service without declared fields, its own.
func (k *known) categories(st *countersign.Statement) []countersign.CategoryCode {
	i := slices.IndexFunc(k.doc.Services, func(s countersign.Service) bool { return s.ID == st.Service })
	if i < 0 {
		return nil
	}
	s := &k.doc.Services[i]
	var out []countersign.CategoryCode
	for _, path := range st.Fields {
		for _, f := range s.Fields {
			if f.Path == path && !slices.Contains(out, f.Category) {
				out = append(out, f.Category)
			}
		}
	}
	if out == nil && st.Outcome != countersign.OutcomeReleased {
		return s.Categories // what the attempt was after
	}
	return out
}

// words is what a search looks through: the names and texts of a use in every language that the directory has.
func (k *known) words(st *countersign.Statement) string {
	var b strings.Builder
	add := func(t countersign.Text) {
		for _, s := range t {
			b.WriteString(s)
			b.WriteByte('\n')
		}
	}
	for _, s := range []string{st.Consumer.String(), st.Service.String(), string(st.Purpose), string(st.Basis), string(st.Case), strings.Join(st.OnBehalfOf, " ")} {
		b.WriteString(s)
		b.WriteByte('\n')
	}
	for i := range k.doc.Members {
		if id := k.doc.Members[i].ID; id == st.Consumer.MemberID || id == st.Service.MemberID {
			add(k.doc.Members[i].Text)
		}
	}
	for i := range k.doc.Services {
		if k.doc.Services[i].ID == st.Service {
			add(k.doc.Services[i].Text)
		}
	}
	for i := range k.doc.Purposes {
		if k.doc.Purposes[i].Code == st.Purpose {
			add(k.doc.Purposes[i].Text)
		}
	}
	for i := range k.doc.Bases {
		if k.doc.Bases[i].Code == st.Basis {
			add(k.doc.Bases[i].Law)
		}
	}
	return b.String()
}
