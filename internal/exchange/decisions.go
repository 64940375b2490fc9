package exchange

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// PathDecisions is where a system of the member puts on record what was decided about a person, and on which answers: POST, on the clients' listener.
const PathDecisions = "/countersign/decisions"

// DecisionRequest is the body of a request to PathDecisions.
type DecisionRequest struct {
	Client    countersign.SubsystemID  `json:"client"`
	Subject   string                   `json:"subject"`   // scheme:VALUE
	Exchanges []countersign.ExchangeID `json:"exchanges"` // whose answers the decision rests on, each about this person
	Effect    countersign.Effect       `json:"effect"`
	Official  string                   `json:"official,omitempty"` // the named human who answers for it; nobody where a machine decided
	Role      string                   `json:"role,omitempty"`
	Text      string                   `json:"text"` // the reasons: the person reads them
}

// Bounds of a decision.
const (
	maxDecision      = 64 << 10
	maxDecisionCites = 100
)

func (c *Consumer) decide(w http.ResponseWriter, r *http.Request) {
	n, err := c.decided(r)
	if err != nil {
		c.fail(w, r, countersign.NewExchangeID(c.now()), err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.MarshalWrite(w, map[string]int{"recorded": n}) // it is on record whether or not that is heard
}

func (c *Consumer) decided(r *http.Request) (int, error) {
	if r.Method != http.MethodPost {
		return 0, countersign.Refuse(countersign.CodeBadRequest, "a decision is put on record by POST")
	}
	may, err := c.Authenticate(r)
	if err != nil {
		return 0, err
	}
	var d DecisionRequest
	if err := json.UnmarshalRead(http.MaxBytesReader(nil, r.Body, maxDecision), &d, json.RejectUnknownMembers(true)); err != nil {
		return 0, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the decision cannot be read: client, subject, exchanges, effect, official, role and text are due")
	}
	if !may(d.Client) || d.Client.MemberID != c.Member {
		return 0, countersign.Refuse(countersign.CodeUnauthenticated, "the system that decides did not prove to be the client that it names")
	}
	switch named, role := strings.TrimSpace(d.Official), strings.TrimSpace(d.Role); {
	case d.Effect != countersign.EffectAdverse && d.Effect != countersign.EffectFavourable:
		return 0, countersign.Refuse(countersign.CodeBadRequest, "a decision is adverse or favourable to the person")
	case strings.TrimSpace(d.Text) == "":
		return 0, countersign.Refuse(countersign.CodeBadRequest, "a decision gives its reasons, in plain words: the person reads them")
	case (named == "") != (role == ""):
		return 0, countersign.Refuse(countersign.CodeBadRequest, "the official who answers for a decision is named with their role")
	case len(d.Exchanges) == 0 || len(d.Exchanges) > maxDecisionCites:
		return 0, countersign.Refuse(countersign.CodeBadRequest, "a decision cites the exchanges that it rests on: 1 to %d", maxDecisionCites)
	}
	rules, err := c.rulebook()
	if err != nil {
		return 0, err
	}
	subject, err := rules.view.NormaliseSubject(d.Subject)
	if err != nil {
		return 0, err
	}
	entries, err := c.cited(r.Context(), &d, subject)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if _, err := c.Log.Append(r.Context(), e); err != nil {
			return 0, err
		}
	}
	return len(entries), nil
}

// cited makes the entries of a decision, and refuses one that cites what this log does not hold about the person.
func (c *Consumer) cited(ctx context.Context, d *DecisionRequest, subject countersign.SubjectID) ([]ledger.Entry, error) {
	var out []ledger.Entry
	now := c.now()
	slices.SortFunc(d.Exchanges, func(a, b countersign.ExchangeID) int { return strings.Compare(a.String(), b.String()) })
	d.Exchanges = slices.Compact(d.Exchanges)
	for _, id := range d.Exchanges {
		found, err := c.Log.ByExchange(ctx, id)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(found, func(s *ledger.Stored) bool {
			return s.Leaf.Side == countersign.SideConsumer && s.Leaf.Outcome == countersign.OutcomeReceived && slices.Contains(c.Log.TagsOf(subject), s.Tag)
		})
		if i < 0 {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "this gateway's log holds no answer of exchange %s about that person", id)
		}
		document, err := json.Marshal(&countersign.Decision{
			Member: c.Member, Exchange: id, Also: len(d.Exchanges) - 1, Effect: d.Effect, Official: strings.TrimSpace(d.Official), Role: strings.TrimSpace(d.Role),
			Text: strings.TrimSpace(d.Text), At: countersign.MillisOf(now),
		}, json.Deterministic(true))
		if err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the decision cannot be put on record")
		}
		var salt countersign.Salt
		_, _ = rand.Read(salt[:]) // crypto/rand.Read never fails
		out = append(out, ledger.Entry{
			Leaf: &countersign.Leaf{
				Kind: countersign.LeafDecision, Hour: countersign.HourOf(now), Service: found[i].Leaf.Service, Consumer: d.Client.String(),
				Purpose: found[i].Leaf.Purpose, Commitment: salt.Commit(document),
			},
			Exchange: countersign.NewExchangeID(now), Tag: c.Log.TagOf(countersign.DecisionTag(id)),
			Record: &ledger.Record{Note: document, Salt: salt}, Expires: now.Add(recordLife),
		})
	}
	return out, nil
}
