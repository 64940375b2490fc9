package exchange

import (
	"context"
	"net/http"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/xroad"
)

// Provider answers other members' gateways for the registers of its member. It serves behind TLS 1.3 with pinned keys
// (keys.PinnedServer): a request without a peer's key is nobody's.
type Provider struct {
	*Gateway
	// Registers are the member's services by identifier. A service of the directory that has none here is refused as out of use.
	Registers map[countersign.ServiceID]register.Register
	// Cases is the member's own asking side, through which case registers confirm relations. Without one no relation counts.
	Cases *Consumer

	slots    chan struct{}
	underway underway
}

// NewProvider makes a provider over a prepared gateway.
func NewProvider(g *Gateway, registers map[countersign.ServiceID]register.Register) *Provider {
	return &Provider{Gateway: g, Registers: registers, slots: make(chan struct{}, MaxInFlight), underway: underway{by: map[countersign.ExchangeID]countersign.MemberID{}}}
}

// ServeHTTP answers one signed question. Whoever is not a gateway of the directory, or signs wrongly, gets an unsigned error and is only
// counted; from then on every question ends in a record, whatever comes of it.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	xroad.CloseAfterChunks(w, r)
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		p.noise(w, r, countersign.Refuse(countersign.CodeBusy, "the provider's gateway is at its bound of %d questions at once: wait and ask again", MaxInFlight))
		return
	}
	rules, q, err := p.admit(r)
	if err != nil {
		p.noise(w, r, err)
		return
	}
	defer q.body.close()
	ctx, cancel := context.WithTimeout(r.Context(), q.timeout())
	defer cancel()
	if !p.underway.begin(q.id, q.head.Client.MemberID) {
		p.status(ctx, w, q)
		return
	}
	defer p.underway.end(q.id)
	p.answer(ctx, w, rules, q)
}

// noise answers what is not an authenticated question: unsigned, unrecorded, counted.
func (p *Provider) noise(w http.ResponseWriter, r *http.Request, err error) {
	id := countersign.NewExchangeID(p.now()).String()
	p.Metrics.noise(countersign.CodeOf(err))
	p.logFailure(r.Context(), "unauthenticated question", id, err)
	p.writeRefusal(w, err, id, xroad.NewFault(xroad.ServerProxy, p.Style, err, id).Status)
}

// admit establishes who asks and that the question is the one that they signed.
func (p *Provider) admit(r *http.Request) (*rulebook, *question, error) {
	rules, err := p.rulebook()
	if err != nil {
		return nil, nil, err
	}
	peer, gw, err := p.peer(rules.view, r)
	if err != nil {
		return nil, nil, err
	}
	q := &question{method: r.Method, header: r.Header}
	if err := q.parse(r, p.Member); err != nil {
		return nil, nil, err
	}
	if q.head.Client.MemberID != peer {
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the client %s does not belong to the member whose gateway asks", q.head.Client)
	}
	verified, err := p.profiles.request.Verify(httpsig.Message{Method: q.method, Path: q.rawPath(), Query: q.target.Query, Header: r.Header}, p.now(), keysOf(gw), p.roots)
	if err != nil {
		return nil, nil, err
	}
	if err := q.opening.checkAsked(p.now(), q.id); err != nil {
		return nil, nil, err
	}
	if err := q.offer(rules); err != nil {
		return nil, nil, err
	}
	if q.body, err = readBody(r, q.service.personal); err != nil {
		return nil, nil, err
	}
	if err := q.checkDigests(verified.Digest); err != nil {
		q.body.close()
		return nil, nil, err
	}
	return rules, q, nil
}

// peer finds the member whose gateway stands at the other end of the connection.
func (p *Provider) peer(view *federation.View, r *http.Request) (countersign.MemberID, *federation.Gateway, error) {
	pin, err := keys.PeerOf(r.TLS)
	if err != nil {
		return countersign.MemberID{}, nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "gateways call each other over TLS 1.3 with the keys of the directory")
	}
	gw, ok := view.GatewayByPin(pin)
	if !ok {
		return countersign.MemberID{}, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the key of this connection belongs to no gateway of the directory")
	}
	return gw.Member, gw, nil
}

// parse reads target and headers as another gateway sends them.
func (q *question) parse(r *http.Request, own countersign.MemberID) (err error) {
	if err := xroad.CheckVerb(r.Method); err != nil {
		return err
	}
	if q.target, err = xroad.ParseTarget(r.RequestURI); err != nil {
		return err
	}
	if q.target.Service.MemberID != own {
		return countersign.Refuse(countersign.CodeUnknownService, "the service %s is not of this gateway's member", q.target.Service)
	}
	q.name = r.Header.Get(xroad.HeaderRequestID)
	if q.id, err = countersign.ParseExchangeID(q.name); err != nil {
		return err
	}
	if q.head, err = xroad.ParseClientHeaders(r.Header); err != nil {
		return err
	}
	if q.opening, err = parseOpening(r.Header[headerExchange]); err != nil {
		return err
	}
	if q.official, err = parseOfficial(r.Header[HeaderOfficial]); err != nil {
		return err
	}
	fields := []struct {
		to   *string
		name string
	}{{(*string)(&q.purpose), HeaderPurpose}, {(*string)(&q.basis), HeaderBasis}, {&q.mandate, HeaderMandate}, {&q.hash, headerRequestHash}}
	for _, f := range fields {
		if *f.to, err = one(r.Header, f.name); err != nil {
			return err
		}
	}
	_, q.standing = r.Header[headerStanding]
	return nil
}

// offer finds the asked service in the directory, or recognises a metadata service.
func (q *question) offer(rules *rulebook) (err error) {
	if q.metadata = isMetadata(q.method, q.target.Service.Service); q.metadata {
		q.service = metadataService
		return nil
	}
	if q.service, err = rules.offered(q.target.Service); err != nil {
		return err
	}
	q.vars, err = q.service.operation(q.method, q.target.RulePath)
	return err
}

// checkDigests recomputes what the signature covers by digest only: the body, and by the request hash every header that passes.
func (q *question) checkDigests(content httpsig.ContentDigest) error {
	if q.body.size == 0 {
		if err := content.Check(nil); err != nil {
			return err
		}
	} else if content.Algorithm != httpsig.SHA256 || string(content.Sum) != string(q.body.sha256) {
		return countersign.Refuse(countersign.CodeSignature, "the body is not the one that was signed")
	}
	q.signature = []byte(q.header.Get("Signature"))
	dropSigned(q.header)
	if q.hash != q.requestHash(q.header) {
		return countersign.Refuse(countersign.CodeSignature, "a header or the path is not the one that was signed: the request hash differs")
	}
	return nil
}

// dropSigned removes the headers of a message's own signature, which are each hop's and reach neither service nor client.
func dropSigned(h http.Header) {
	for _, own := range []string{"Content-Digest", "Signature", "Signature-Input"} {
		delete(h, own)
	}
}

// requestHash is the X-Road request hash over the headers given.
func (q *question) requestHash(h http.Header) string {
	block := make([]byte, 0, 2048) // on the stack: most blocks are shorter
	block = xroad.AppendHashBlock(block, q.method, q.target.Raw, h, q.name, q.head.ID, q.opening.MadeID)
	return xroad.RequestHash(block, q.body.sha512, q.body.size > 0)
}

func (q *question) timeout() time.Duration {
	if t := time.Duration(q.service.Timeout); t > 0 {
		return min(t, 300*time.Second)
	}
	return 60 * time.Second
}

// answer decides, reserves, asks, records and releases. Whatever goes wrong on the way becomes a recorded, signed refusal.
func (p *Provider) answer(ctx context.Context, w http.ResponseWriter, rules *rulebook, q *question) {
	if q.metadata {
		p.answerMetadata(ctx, w, rules, q)
		return
	}
	err := q.findSubject(rules.view)
	if err == nil {
		err = p.counts(rules.view, q.service)
	}
	if err == nil {
		err = p.verifyMandates(rules, q)
	}
	asked := q.asked()
	decision := rules.policy.Decide(&asked)
	if err == nil {
		decision, err = p.relate(ctx, rules, q, decision)
	}
	if countersign.CodeOf(err) == countersign.CodeReplay {
		p.status(ctx, w, q)
		return
	}
	if reserved := p.reserve(ctx, q, decision, err); reserved != nil {
		if countersign.CodeOf(reserved) == countersign.CodeReplay {
			p.status(ctx, w, q)
			return
		}
		err = reserved
		// A budget took the whole reservation back. The refusal is this question's answer for ever, also when the budget has room again, and when whoever
		// asked has left meanwhile.
		switch again := p.reserve(context.WithoutCancel(ctx), q, decision, err); {
		case countersign.CodeOf(again) == countersign.CodeReplay:
			p.status(ctx, w, q)
			return
		case again != nil:
			// Nothing can be reserved, and so nothing may be recorded: the same question could be answered later beside its own refusal.
			p.unreserved(ctx, w, q, err)
			return
		}
	}
	if err != nil {
		p.refuse(ctx, w, rules, q, decision, err)
		return
	}
	p.ask(ctx, w, rules, q, decision)
}

// unreserved refuses a question that could not even be reserved, without a record. The consumer asks for its status until the store is well.
func (p *Provider) unreserved(ctx context.Context, w http.ResponseWriter, q *question, err error) {
	id := q.id.String()
	p.logFailure(ctx, "question not taken", id, err)
	p.writeRefusal(w, err, id, xroad.NewFault(xroad.ServerProxy, p.Style, err, id).Status)
}

// reserve makes the exchange id this question's for ever, and counts its budgets, in one transaction. A question that is refused anyway is
// reserved without budgets, so that its replay gets its status too.
func (p *Provider) reserve(ctx context.Context, q *question, d mandate.Decision, refused error) error {
	res := ledger.Reservation{
		Exchange: q.id, Consumer: q.head.Client, Until: p.now().Add(ReplayWindow),
		Durable: q.method != http.MethodGet && q.method != http.MethodHead,
	}
	if refused == nil {
		res.Budgets = p.budgets(d.ProviderBudgets(), countersign.SideProvider)
		res.Uses = q.uses(&d)
	}
	return p.Log.Reserve(ctx, res)
}

// budgets turns the mandate's descriptors into the ledger's counters, keyed so that a thief of the store learns nobody's name.
func (g *Gateway) budgets(specs []mandate.BudgetSpec, side countersign.Side) []ledger.Budget {
	out := make([]ledger.Budget, 0, len(specs))
	for i := range specs {
		s := &specs[i]
		b := ledger.Budget{Key: g.Log.BudgetKeyOf(side.String()+" "+s.Name, s.KeyParts...), Window: s.Window, Limit: s.Limit, Says: s.Says}
		if s.DistinctPart != "" {
			b.Member = g.Log.BudgetMemberOf(s.Name, s.DistinctPart)
		}
		out = append(out, b)
	}
	return out
}
