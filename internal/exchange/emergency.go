package exchange

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
)

// PathReviews is where an overseer publishes its list of reviews, beside its log.
const PathReviews = "/countersign/reviews"

// PathEmergencies is where a system of the member declares an emergency at its own gateway.
const PathEmergencies = "/countersign/emergencies"

// underReview is the tag under which a member's emergencies, or its uses of warrants, are found again. It is no person's: no scheme has that name.
func (g *Gateway) underReview(kind countersign.MandateKind, member countersign.MemberID) countersign.SubjectID {
	return countersign.SubjectID{Scheme: countersign.SchemeName(kind.String() + "-of"), Value: member.String()}
}

// review is what a log keeps, sealed, of an emergency or of a warrant's use that waits for its review.
type review struct {
	Exchange countersign.ExchangeID `json:"exchange"`
	Declared string                 `json:"declared,omitzero"` // the declaration: who stood for it, and on what ground
	Warrant  string                 `json:"warrant,omitzero"`  // as the court signed it
}

// openReview puts on record that an emergency, or a use of a warrant, waits for its review. It is durable before anything of the answer leaves, on either
// side.
//
// LAW: A30: from this leaf the 72 hours run, whatever anybody does or forgets.
// LAW: SAFEGUARDS 16: each warrant and emergency use opens a review with a deadline.
func (g *Gateway) openReview(ctx context.Context, q *question, m countersign.MandateRef, main *countersign.Leaf) error {
	if m.Kind != countersign.MandateEmergency && m.Kind != countersign.MandateWarrant {
		return nil
	}
	note := review{Exchange: q.id}
	if presented, err := ParsePresented(q.mandate); err == nil {
		for _, p := range presented {
			switch {
			case p.Emergency != "" && m.Kind == countersign.MandateEmergency:
				note.Declared = p.Emergency
			case p.Warrant != "" && m.Kind == countersign.MandateWarrant && countersign.Digest(sha256.Sum256([]byte(p.Warrant))) == m.Digest:
				note.Warrant = p.Warrant
			}
		}
	}
	text, err := json.Marshal(&note, json.Deterministic(true))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "the emergency's review cannot be opened")
	}
	now := g.now()
	_, err = g.Log.Append(ctx, ledger.Entry{
		Leaf: &countersign.Leaf{
			Kind: countersign.LeafMandate, Hour: countersign.HourOf(now), Service: main.Service, Consumer: main.Consumer, Purpose: main.Purpose,
			Mandate: m.Kind, Outcome: main.Outcome, Commitment: main.Commitment,
		},
		Exchange: q.step("review"), Tag: g.Log.TagOf(g.underReview(m.Kind, q.head.Client.MemberID)), Record: &ledger.Record{Note: text}, Expires: now.Add(recordLife),
	})
	return err
}

// Rights tells whose emergency right is suspended, by an overseer's word or because an emergency that this gateway has on record was not reviewed in time,
// and whose uses of warrants were not. It needs no clockwork: each question is judged by what the log and the overseers' lists say at its instant.
type Rights struct {
	gateway   *Gateway
	published *Published

	mu    sync.Mutex
	known map[countersign.MemberID]known
}

type known struct {
	reviews *mandate.Reviews
	at      time.Time
}

// NewRights makes it for a gateway.
func NewRights(g *Gateway, p *Published) *Rights {
	return &Rights{gateway: g, published: p, known: map[countersign.MemberID]known{}}
}

// Of gives the suspensions under a directory.
func (r *Rights) Of(d *countersign.Directory) mandate.Suspensions { return suspensions{r, d} }

type suspensions struct {
	rights    *Rights
	directory *countersign.Directory
}

// Suspended implements mandate.Suspensions.
//
// LAW: A30: what is left unreviewed suspends the right by itself.
func (s suspensions) Suspended(member countersign.MemberID, at time.Time) (bool, error) {
	rules, err := s.rights.gateway.rulebook()
	if err != nil {
		return true, err
	}
	within := time.Duration(rules.view.Caps().EmergencyReview)
	lists, err := s.lists(rules, at, within)
	if err != nil {
		return true, err
	}
	if slices.ContainsFunc(lists, func(l *mandate.Reviews) bool { return slices.Contains(l.Suspended, member) }) {
		return true, nil
	}
	return s.rights.overdue(countersign.MandateEmergency, member, at, within, lists)
}

// Unreviewed implements mandate.Suspensions.
func (s suspensions) Unreviewed(member countersign.MemberID, at time.Time) (bool, error) {
	rules, err := s.rights.gateway.rulebook()
	if err != nil {
		return true, err
	}
	caps := rules.view.Caps()
	// An overseer that is out of reach is believed for as long as in an emergency: so long a review that it has made may count as missing, and no longer.
	lists, err := s.lists(rules, at, time.Duration(caps.EmergencyReview))
	if err != nil {
		return true, err
	}
	return s.rights.overdue(countersign.MandateWarrant, member, at, time.Duration(caps.WarrantReview), lists)
}

// lists are what all overseers publish.
func (s suspensions) lists(rules *rulebook, at time.Time, within time.Duration) ([]*mandate.Reviews, error) {
	var lists []*mandate.Reviews
	for i := range s.directory.Members {
		m := &s.directory.Members[i]
		if !slices.Contains(m.Roles, countersign.RoleOverseer) || len(m.Gateways) == 0 {
			continue
		}
		list, err := s.rights.reviewsOf(rules, m, at, within)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// reviewsOf fetches an overseer's list. An overseer that is out of reach does not take everybody's emergency right away: its last word counts as long
// as a review may take.
func (r *Rights) reviewsOf(rules *rulebook, m *countersign.Member, at time.Time, within time.Duration) (*mandate.Reviews, error) {
	address, err := beside(m.Gateways[0].Log, PathReviews)
	if err != nil {
		return nil, err
	}
	text, err := r.published.read(address)
	var list *mandate.Reviews
	if err == nil {
		list, err = rules.policy.VerifyReviews(text, m.ID, r.gateway.now())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.known[m.ID] = known{list, at}
		return list, nil
	}
	if last, ok := r.known[m.ID]; ok && at.Sub(last.at) < within {
		return last.reviews, nil
	}
	return nil, err
}

// overdue looks for an emergency of the member, or a use of a warrant, that is on this gateway's record for longer than a review may take and that no overseer
// has reviewed.
func (r *Rights) overdue(kind countersign.MandateKind, member countersign.MemberID, at time.Time, within time.Duration, lists []*mandate.Reviews) (overdue bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = r.eachReview(ctx, kind, member, func(s *ledger.Stored) bool {
		overdue = mandate.Overdue(lists, s.Leaf.Commitment, s.Time.Time(), at, within)
		return !overdue
	})
	return overdue || err != nil, err
}

// eachReview calls f for each emergency of the member on this gateway's record, or each use of a warrant, newest first, until f says that it has seen enough.
func (r *Rights) eachReview(ctx context.Context, kind countersign.MandateKind, member countersign.MemberID, f func(*ledger.Stored) bool) error {
	log := r.gateway.Log
	page := ledger.Page{}
	for {
		entries, err := log.History(ctx, log.TagsOf(r.gateway.underReview(kind, member)), page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			page.Before = e.Index
			if e.Leaf.Kind == countersign.LeafMandate && !f(e) {
				return nil
			}
		}
		if len(entries) < ledger.MaxPage || page.Before == 0 {
			return nil
		}
	}
}

// Declaration is what a system of the member asks its own gateway to declare.
type Declaration struct {
	Client    countersign.SubsystemID `json:"client"`
	Service   countersign.ServiceID   `json:"service"`
	Subject   string                  `json:"subject"` // scheme:VALUE
	Fields    []countersign.FieldPath `json:"fields"`
	Purpose   countersign.PurposeCode `json:"purpose"`
	Basis     countersign.BasisCode   `json:"basis"`
	Case      countersign.CaseRef     `json:"case,omitzero"`
	Ground    string                  `json:"ground"`    // in plain words: the person reads it
	Officials []string                `json:"officials"` // tokens of two officials
}

// Declared is the answer: what to send in Countersign-Mandate.
type Declared struct {
	ID      countersign.MandateID `json:"id"`
	Mandate string                `json:"mandate"`
}

const maxDeclaration = 64 << 10

// declare serves PathEmergencies: it identifies both officials by their own tokens and signs the declaration with the gateway's key. Whether it opens
// anything is for the provider to decide.
func (c *Consumer) declare(w http.ResponseWriter, r *http.Request) {
	out, err := c.declared(r)
	if err != nil {
		c.fail(w, r, countersign.NewExchangeID(c.now()), err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.MarshalWrite(w, out) // whoever hung up declares again
}

func (c *Consumer) declared(r *http.Request) (*Declared, error) {
	if r.Method != http.MethodPost {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "an emergency is declared by POST")
	}
	may, err := c.Authenticate(r)
	if err != nil {
		return nil, err
	}
	var d Declaration
	if err := json.UnmarshalRead(http.MaxBytesReader(nil, r.Body, maxDeclaration), &d, json.RejectUnknownMembers(true)); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the declaration cannot be read: client, service, subject, fields, purpose, basis, ground and officials are due")
	}
	if !may(d.Client) || d.Client.MemberID != c.Member {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the system that declares did not prove to be the client that it names")
	}
	if len(d.Officials) != 2 || strings.TrimSpace(d.Ground) == "" || c.Declares == nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "an emergency needs two officials and a ground in plain words")
	}
	rules, err := c.rulebook()
	if err != nil {
		return nil, err
	}
	subject, err := rules.view.NormaliseSubject(d.Subject)
	if err != nil {
		return nil, err
	}
	now := c.now()
	e := &mandate.Emergency{
		Scope: mandate.Scope{
			ID: countersign.MandateID(countersign.NewExchangeID(now).String()), Subject: subject.Canonical(), Client: d.Client, Service: d.Service,
			Fields: countersign.SortFields(slices.Clone(d.Fields)), Purpose: d.Purpose, Basis: d.Basis, Case: d.Case,
			Issued: mandate.SecondsOf(now), From: mandate.SecondsOf(now), Until: mandate.SecondsOf(now.Add(mandate.EmergencyLife)),
		},
		Member: c.Member, Ground: d.Ground,
	}
	for _, token := range d.Officials {
		v, err := c.verifyOfficial(r.Context(), token)
		if err != nil {
			return nil, err
		}
		if v.Person == subject {
			return nil, countersign.Refuse(countersign.CodeSelfLookup, "an official does not stand for an emergency of their own")
		}
		e.Officials = append(e.Officials, mandate.EmergencyOfficial{
			Pseudonym: c.pseudonym(mandate.CanonicalOfficial(v.ID), d.Service.MemberID), Role: v.Role, Assurance: countersign.AssuranceVerified,
		})
	}
	token, err := mandate.SignEmergency(c.Declares, e)
	if err != nil {
		return nil, err
	}
	rights := c.rights(rules.view.Document())
	// Judged here as the provider will judge it, so that both officials hear at once what stands against it.
	if _, _, err := rules.policy.VerifyEmergency(token, now, rights); err != nil {
		return nil, err
	}
	header, err := (&Presented{Emergency: token}).Encode()
	return &Declared{e.ID, header}, err
}
