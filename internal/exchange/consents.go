package exchange

import (
	"context"
	"crypto"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
)

// Paths of a registry of consents, beside its log.
const (
	PathConsents        = "/countersign/consents"             // POST: register a consent
	PathConsentWithdraw = "/countersign/consents/withdrawals" // POST: withdraw one; GET: the signed list of those that were
)

// Withdrawals gives the withdrawals that the registry of a log publishes. A consent counts only in the log of a portal.
func (p *Published) Withdrawals(g *Gateway, origin countersign.LogOrigin) mandate.Withdrawals {
	return withdrawals{p, g, origin}
}

type withdrawals struct {
	published *Published
	gateway   *Gateway
	origin    countersign.LogOrigin
}

// Withdrawn implements mandate.Withdrawals.
func (w withdrawals) Withdrawn(_ countersign.MandateID, evidence countersign.Digest) (bool, time.Time, error) {
	rules, err := w.gateway.rulebook()
	if err != nil {
		return true, time.Time{}, err
	}
	log, ok := rules.view.LogByOrigin(w.origin)
	if !ok {
		return true, time.Time{}, countersign.Refuse(countersign.CodeMandateInvalid, "the consent is registered in no log of the directory")
	}
	address, err := beside(log.Log, PathConsentWithdraw)
	if err != nil {
		return true, time.Time{}, err
	}
	text, err := w.published.read(address)
	if err != nil {
		return true, time.Time{}, err
	}
	list, err := rules.policy.VerifyWithdrawals(text, log.Owner)
	if err != nil {
		return true, time.Time{}, err
	}
	return list.Has(evidence), list.Issued.Time(), nil
}

// Consents is a portal's registry of consents: it registers what a person agreed to in the portal's own witnessed log, and publishes what was
// withdrawn. It keeps no list of anybody's consents but the log itself, sealed.
type Consents struct {
	Gateway *Gateway
	Key     crypto.Signer // of the portal's gateway
	Persons mandate.IdentityVerifier

	mu        sync.Mutex
	rows      map[countersign.SubjectTag]map[countersign.MandateID]*consentRow // nil until the log has been read
	asked     map[countersign.MandateID]consentKey                             // applications
	given     map[countersign.Digest]consentKey                                // by the digest of their evidence
	withdrawn []countersign.Digest
}

// Handler serves the registry's paths, and everything else from next.
func (c *Consents) Handler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathConsents, func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, c.register) })
	mux.HandleFunc("POST "+PathConsentWithdraw, func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, c.withdraw) })
	mux.HandleFunc("GET "+PathConsentWithdraw, func(w http.ResponseWriter, r *http.Request) {
		list, err := c.list(r.Context())
		if err != nil {
			c.refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/jwt")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(list))
	})
	mux.Handle("/", next)
	return mux
}

// ConsentRequest gives or withdraws a consent: the evidence, and for a withdrawal the token of a login for it.
type ConsentRequest struct {
	Evidence []byte `json:"evidence"`
	Identity string `json:"identity,omitzero"`
}

// ConsentRegistered is the answer: what to send in Countersign-Mandate.
type ConsentRegistered struct {
	Mandate string `json:"mandate,omitzero"`
}

func (c *Consents) serve(w http.ResponseWriter, r *http.Request, act func(context.Context, *ConsentRequest) (*ConsentRegistered, error)) {
	var in ConsentRequest
	err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 4*mandate.MaxTokenBytes), &in, json.RejectUnknownMembers(true))
	if err != nil {
		c.refuse(w, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the request cannot be read: evidence is due"))
		return
	}
	out, err := act(r.Context(), &in)
	if err != nil {
		c.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, out) // whoever hung up asks again
}

func (c *Consents) refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.MarshalWrite(w, struct {
		Code    countersign.Code `json:"code"`
		Message string           `json:"message"`
		Title   string           `json:"title"` // the same, where a problem document is looked for
	}{countersign.CodeOf(err), countersign.MessageOf(err), countersign.MessageOf(err)})
}

// register checks a consent as every gateway will, and puts it on record; it counts from then on.
func (c *Consents) register(ctx context.Context, in *ConsentRequest) (*ConsentRegistered, error) {
	rules, err := c.Gateway.rulebook()
	if err != nil {
		return nil, err
	}
	now := c.Gateway.now()
	if _, _, err := rules.policy.VerifyConsent(in.Evidence, now, c.Persons, registering{c.Gateway.Log.Origin(), now}, noneYet{now}); err != nil {
		return nil, err
	}
	done, err := c.begin(ctx, in.Evidence)
	if err != nil {
		return nil, err
	}
	defer done()
	note := &consentNote{Registered: in.Evidence}
	placed, err := c.append(ctx, evidenceDigest(in.Evidence), note)
	if err != nil {
		return nil, err
	}
	receipt, err := c.cosigned(ctx, placed)
	if err != nil {
		return nil, err
	}
	if err := c.take(placed, note); err != nil {
		return nil, err
	}
	header, err := (&Presented{Consent: in.Evidence, Receipt: receipt}).Encode()
	return &ConsentRegistered{header}, err
}

// begin keeps a number from being registered twice: a second consent under it would hide the first from its person.
func (c *Consents) begin(ctx context.Context, evidence []byte) (done func(), err error) {
	_, consent, err := mandate.ReadConsent(evidence)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	x, err := c.row(consent.ID, consent.Subject)
	if err != nil {
		return nil, err
	}
	if x.busy || !x.given.IsZero() {
		return nil, countersign.Refuse(countersign.CodeMandateInvalid, "a consent of this number stands on record already")
	}
	if !x.refused.IsZero() {
		return nil, countersign.Refuse(countersign.CodeMandateInvalid, "the person has refused this application")
	}
	x.busy = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if x.busy = false; x.given.IsZero() && x.asked.IsZero() {
			delete(c.rows[x.tag], x.id)
		}
	}, nil
}

// registering stands for the registration that is about to happen: now, in the registry's own log.
type registering struct {
	log countersign.LogOrigin
	at  time.Time
}

// Registered implements mandate.Registration.
func (r registering) Registered(countersign.Digest) (countersign.LogOrigin, time.Time, error) {
	return r.log, r.at, nil
}

// noneYet says of a consent that is being registered that nobody has withdrawn it.
type noneYet struct{ at time.Time }

// Withdrawn implements mandate.Withdrawals.
func (n noneYet) Withdrawn(countersign.MandateID, countersign.Digest) (bool, time.Time, error) {
	return false, n.at, nil
}

// withdraw takes a consent back, by a login of the same person for exactly that.
//
// LAW: GDPR Art. 7(3): it is as easy to withdraw as to give consent.
func (c *Consents) withdraw(ctx context.Context, in *ConsentRequest) (*ConsentRegistered, error) {
	_, consent, err := mandate.ReadConsent(in.Evidence)
	if err != nil {
		return nil, err
	}
	digest := countersign.Digest(sha256.Sum256(in.Evidence))
	who, err := c.Persons.Identify(in.Identity)
	switch {
	case err != nil:
		return nil, err
	case who.Nonce != mandate.WithdrawalNonce(digest) || who.Subject.Canonical() != consent.Subject || who.Subject.IsZero():
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the login is not of the person who gave this consent, for withdrawing it")
	case c.Gateway.now().Sub(who.At).Abs() > mandate.ConsentMoment:
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the login for the withdrawal is not of this hour: log in again")
	}
	note := &consentNote{Withdrawn: digest}
	placed, err := c.append(ctx, sha256.Sum256(append([]byte("countersign consent withdrawal\x00"), digest[:]...)), note)
	if err != nil {
		return nil, err
	}
	// It counts from here on, before witnesses have seen it: what narrows waits for nobody.
	return &ConsentRegistered{}, c.take(placed, note)
}

func (c *Consents) append(ctx context.Context, commitment countersign.Digest, note *consentNote) (*ledger.Placed, error) {
	text, err := json.Marshal(note, json.Deterministic(true))
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the consent cannot be written")
	}
	log, now := c.Gateway.Log, c.Gateway.now()
	return log.Append(ctx, ledger.Entry{
		Leaf:   &countersign.Leaf{Kind: countersign.LeafMandate, Hour: countersign.HourOf(now), Mandate: countersign.MandateConsent, Commitment: countersign.Commitment(commitment)},
		Tag:    log.TagOf(consentsOf(c.Gateway.Member)),
		Record: &ledger.Record{Note: text}, Expires: now.Add(recordLife),
	})
}

// cosigned waits until witnesses have cosigned an act, and gives its receipt with the proof of that.
func (c *Consents) cosigned(ctx context.Context, placed *ledger.Placed) (*countersign.Receipt, error) {
	log := c.Gateway.Log
	if err := log.WaitCosigned(ctx, placed.Index); err != nil {
		return nil, err
	}
	receipt := placed.Receipt(nil, nil)
	var err error
	receipt.Proof, err = log.Proof(ctx, placed.Index)
	return receipt, err
}

// list signs what was withdrawn, as the log tells it.
func (c *Consents) list(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return "", err
	}
	return mandate.SignWithdrawals(c.Key, &mandate.WithdrawalList{
		Registry: c.Gateway.Member, Issued: mandate.SecondsOf(c.Gateway.now()), Withdrawn: append([]countersign.Digest{}, c.withdrawn...),
	})
}
