package exchange

import (
	"context"
	"crypto"
	"net/http"
	"strings"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/xroad"
)

// Authenticate tells which subsystems the caller of a request proved to be: by a client certificate or a token.
// A caller who proves nothing gets a CodeUnauthenticated refusal.
type Authenticate func(*http.Request) (func(countersign.SubsystemID) bool, error)

// Consumer asks other members' registers for the systems of its member. It speaks the X-Road REST protocol to them.
type Consumer struct {
	*Gateway
	Authenticate Authenticate
	Officials    Officials
	// Declares is the gateway's key, which signs the emergencies that two officials declare. Nil declares none.
	Declares crypto.Signer

	peers     *peers
	started   time.Time
	slots     chan struct{}
	unsettled *unsettled
	deletions *sync.Mutex // held while one is put on record
}

// NewConsumer makes a consumer over a prepared gateway; dial gives the pinned transport of a provider's gateway.
func NewConsumer(g *Gateway, auth Authenticate, officials Officials, dial Dial) *Consumer {
	return &Consumer{Gateway: g, Authenticate: auth, Officials: officials, peers: newPeers(dial), started: g.now(), slots: make(chan struct{}, MaxInFlight), unsettled: newUnsettled(), deletions: new(sync.Mutex)}
}

// ServeHTTP takes one question from a system of the member and hands the answer over.
func (c *Consumer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	xroad.CloseAfterChunks(w, r)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		c.fail(w, r, countersign.NewExchangeID(c.now()), countersign.Refuse(countersign.CodeBusy, "the gateway is at its bound of %d questions at once: wait and ask again", MaxInFlight))
		return
	}
	if r.URL.Path == "/listClients" {
		c.listClients(w, r)
		return
	}
	if r.URL.Path == PathEmergencies {
		c.declare(w, r)
		return
	}
	if r.URL.Path == PathDeletions {
		c.deleted(w, r)
		return
	}
	if r.URL.Path == PathDecisions {
		c.decide(w, r)
		return
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/countersign/receipts/"); ok {
		c.receipt(w, r, id)
		return
	}
	id := countersign.NewExchangeID(c.now())
	rules, q, err := c.take(r, id)
	if err != nil {
		c.fail(w, r, id, err)
		return
	}
	defer q.body.close()
	if err := c.check(r.Context(), rules, q); err != nil {
		c.refuseHere(w, r, rules, q, err)
		return
	}
	c.send(w, r, rules, q)
}

// take reads the question and establishes which system asks. What fails here is not yet a question of anyone, and leaves no record.
func (c *Consumer) take(r *http.Request, id countersign.ExchangeID) (*rulebook, *question, error) {
	asked := c.now()
	q := &question{id: id, name: id.String(), method: r.Method, header: r.Header}
	if err := xroad.CheckVerb(r.Method); err != nil {
		return nil, nil, err
	}
	var err error
	if q.target, err = xroad.ParseTarget(r.RequestURI); err != nil {
		return nil, nil, err
	}
	if q.head, err = xroad.ParseClientHeaders(r.Header); err != nil {
		return nil, nil, err
	}
	may, err := c.Authenticate(r)
	if err != nil {
		return nil, nil, err
	}
	if !may(q.head.Client) {
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the system that called did not prove to be %s: its token or certificate is another's", q.head.Client)
	}
	rules, err := c.rulebook()
	if err != nil {
		return nil, nil, err
	}
	if _, ok := rules.view.Subsystem(q.head.Client); !ok {
		return nil, nil, countersign.Refuse(countersign.CodeUnknownMember, "the directory knows no client %s", q.head.Client)
	}
	if _, ok := rules.view.Member(q.target.Service.MemberID); !ok {
		return nil, nil, countersign.Refuse(countersign.CodeUnknownMember, "the directory knows no member %s", q.target.Service.MemberID)
	}
	if err := q.offer(rules); err != nil {
		return nil, nil, err
	}
	if q.service.personal {
		if err := xroad.CheckPersonalRequest(r.Header); err != nil {
			return nil, nil, err
		}
	}
	q.opening = newOpening(asked)
	if q.head.ID == "" {
		q.head.ID, q.opening.MadeID = xroad.NewMessageID(q.target.Service.Instance), true
	}
	if q.body, err = readBody(r, q.service.personal); err != nil {
		return nil, nil, err
	}
	return rules, q, nil
}

// check refuses what only the consumer can know, or can know as well: a purpose that is no code of the directory, an official who cannot
// be named, a question about nobody. Everything else the provider decides for itself.
func (c *Consumer) check(ctx context.Context, rules *rulebook, q *question) error {
	// Person and official come first, so that whatever is refused after them is found by the person, and has its official on record (A08).
	nobody := q.findSubject(rules.view)
	if err := c.nameOfficial(ctx, q); err != nil {
		return err
	}
	if err := c.statePurpose(rules, q); err != nil {
		return err
	}
	if nobody != nil {
		return nobody
	}
	if err := c.counts(rules.view, q.service); err != nil {
		return err
	}
	return c.checkSelf(rules, q)
}

// statePurpose reads the coded purpose and legal basis, or takes them from a standing declaration of the directory.
//
// LAW: guarantee 3, coded purposes and legal bases: free text and unknown codes are refused (A08).
func (c *Consumer) statePurpose(rules *rulebook, q *question) error {
	var err error
	if q.mandate, err = one(q.header, HeaderMandate); err != nil {
		return err
	}
	if q.metadata {
		q.purpose, q.basis = mandate.PurposeMetadata, mandate.BasisMetadata
		return nil
	}
	purpose, err := one(q.header, HeaderPurpose)
	if err != nil {
		return err
	}
	basis, err := one(q.header, HeaderBasis)
	if err != nil {
		return err
	}
	if purpose == "" && basis == "" {
		d, ok := rules.policy.StandingFor(q.head.Client, q.target.Service)
		if !ok {
			return countersign.Refuse(countersign.CodeNoPurpose, "state the purpose and the legal basis in the headers %s and %s: this client has no standing declaration for this service", HeaderPurpose, HeaderBasis)
		}
		q.purpose, q.basis, q.standing = d.Purpose, d.Basis, true
		return nil
	}
	q.purpose, q.basis = countersign.PurposeCode(purpose), countersign.BasisCode(basis)
	if _, ok := rules.view.Purpose(q.purpose); !ok {
		q.purpose = "" // free text may be personal: it reaches no record
		return countersign.Refuse(countersign.CodeUnknownPurpose, "the header %s is not a purpose of the directory: use one of its codes", HeaderPurpose)
	}
	if _, ok := rules.view.Basis(q.basis); !ok {
		q.basis = ""
		return countersign.Refuse(countersign.CodeUnknownBasis, "the header %s is not a legal basis of the directory: use one of its codes", HeaderBasis)
	}
	return nil
}

// fail answers a question that could not be taken: nobody's question, so only counted.
func (c *Consumer) fail(w http.ResponseWriter, r *http.Request, id countersign.ExchangeID, err error) {
	c.Metrics.noise(countersign.CodeOf(err))
	c.logFailure(r.Context(), "request not taken", id.String(), err)
	xroad.WriteError(w, r, xroad.ClientProxy, c.Style, err, id.String())
}

// newOpening begins the consumer's part of an exchange.
func newOpening(asked time.Time) (o opening) {
	o.Asked = countersign.MillisOf(asked)
	o.Half = randomHalf()
	return o
}
