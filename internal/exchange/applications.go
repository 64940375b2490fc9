package exchange

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/mandate"
)

// PathConsentApplications is where agencies ask people for a consent, on the portal's listener of gateways.
//
//	POST PathConsentApplications        an Application; the answer tells its number
//	GET  PathConsentApplications/{id}   what became of it; once it is given, the mandate
const PathConsentApplications = "/countersign/consents/applications"

// Bounds of applications.
const (
	// ApplicationLife is how long a person has to answer; silence is no consent.
	ApplicationLife = 30 * 24 * time.Hour
	maxPending      = 3 // of one agency, at once, to one person: nobody is worn down by asking
)

// Application is what an agency asks a person to allow. It holds no words of the agency's: who asks, for what and why is said to the person in the
// directory's own words.
type Application struct {
	Subject string                  `json:"subject"` // scheme:VALUE
	Client  countersign.SubsystemID `json:"client"`
	Service countersign.ServiceID   `json:"service"`
	Fields  []countersign.FieldPath `json:"fields,omitzero"` // empty: all that the purpose may have under a consent
	Purpose countersign.PurposeCode `json:"purpose"`
	Basis   countersign.BasisCode   `json:"basis"`
	Case    countersign.CaseRef     `json:"case,omitzero"`
	Until   mandate.Seconds         `json:"until"` // when the consent is to end, a year from now at most
}

// ApplicationState is what an agency hears of its application.
type ApplicationState struct {
	ID      countersign.MandateID `json:"id"`
	State   ConsentState          `json:"state"`
	Mandate string                `json:"mandate,omitzero"` // for Countersign-Mandate, once the consent is given
}

// ConsentState is how an application or a consent stands.
type ConsentState string

// The states. An application that nobody answers in time ends as expired, as a consent does whose day has come.
const (
	ConsentPending   ConsentState = "pending"
	ConsentGiven     ConsentState = "given"
	ConsentRefused   ConsentState = "refused"
	ConsentWithdrawn ConsentState = "withdrawn"
	ConsentExpired   ConsentState = "expired"
)

// ConsentItem is one application or consent as its person sees it.
type ConsentItem struct {
	mandate.Scope
	State   ConsentState
	Asked   time.Time // zero for a consent that nobody applied for here
	Due     time.Time // until when an application may be answered
	Changed time.Time // given, refused, withdrawn or over since
	Digest  countersign.Digest
	Text    string // the sentence that was agreed to; empty before that
}

// PeerHandler serves applications to the gateways of the directory, and everything else from next.
func (c *Consents) PeerHandler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathConsentApplications, func(w http.ResponseWriter, r *http.Request) {
		var in Application
		if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, mandate.MaxTokenBytes), &in, json.RejectUnknownMembers(true)); err != nil {
			c.refuse(w, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the application cannot be read: subject, client, service, purpose, basis and until are due"))
			return
		}
		c.answerPeer(w, r, func(m countersign.MemberID) (*ApplicationState, error) { return c.apply(r.Context(), m, &in) })
	})
	mux.HandleFunc("GET "+PathConsentApplications+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		c.answerPeer(w, r, func(m countersign.MemberID) (*ApplicationState, error) {
			return c.collect(r.Context(), m, countersign.MandateID(r.PathValue("id")))
		})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answerPeer establishes which member calls, by the TLS key of its gateway.
func (c *Consents) answerPeer(w http.ResponseWriter, r *http.Request, act func(countersign.MemberID) (*ApplicationState, error)) {
	out, err := func() (*ApplicationState, error) {
		rules, err := c.Gateway.rulebook()
		if err != nil {
			return nil, err
		}
		pin, err := keys.PeerOf(r.TLS)
		if err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "members call over TLS 1.3 with the keys of the directory")
		}
		gw, ok := rules.view.GatewayByPin(pin)
		if !ok {
			return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the key of this connection belongs to no gateway of the directory")
		}
		return act(gw.Member)
	}()
	if err != nil {
		c.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.MarshalWrite(w, out) // whoever hung up asks again
}

// apply takes an application, if a consent to it would open what it names.
func (c *Consents) apply(ctx context.Context, member countersign.MemberID, in *Application) (*ApplicationState, error) {
	if in.Client.MemberID != member {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the client %s does not belong to the member whose gateway asks", in.Client)
	}
	rules, err := c.Gateway.rulebook()
	if err != nil {
		return nil, err
	}
	person, err := rules.view.NormaliseSubject(in.Subject)
	if err != nil {
		return nil, err
	}
	now := c.Gateway.now()
	if until := in.Until.Time(); !until.After(now) || until.Sub(now) > mandate.MaxConsentLife {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "until must lie in the future, a year away at most")
	}
	supposed := rules.policy.Rehearse(&mandate.Question{
		Consumer: in.Client, Service: in.Service, Method: http.MethodGet, Subject: person, Purpose: in.Purpose, Basis: in.Basis, Case: in.Case,
		Official: countersign.Official{Pseudonym: "somebody", Assurance: countersign.AssuranceVerified}, At: now,
	}, countersign.MandateConsent)
	if !supposed.Allowed {
		return nil, countersign.Refuse(countersign.CodeForbiddenCell, "no consent can open this: `countersign policy explain` says what is missing")
	}
	if len(in.Fields) == 0 {
		in.Fields = supposed.Fields
	}
	in.Subject, in.Fields = person.Canonical(), countersign.SortFields(slices.Clone(in.Fields))
	for _, f := range in.Fields {
		if !slices.Contains(supposed.Fields, f) {
			return nil, countersign.Refuse(countersign.CodeForbiddenCell, "the purpose %s may not have the field %s, even with consent", in.Purpose, f)
		}
	}
	if err := c.mayApply(ctx, member, person, now); err != nil {
		return nil, err
	}
	id := countersign.MandateID(countersign.NewExchangeID(now).String())
	note := &consentNote{ID: id, Asked: in}
	placed, err := c.append(ctx, saltedDigest(), note)
	if err != nil {
		return nil, err
	}
	return &ApplicationState{ID: id, State: ConsentPending}, c.take(placed, note)
}

func (c *Consents) mayApply(ctx context.Context, member countersign.MemberID, person countersign.SubjectID, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return err
	}
	pending := 0
	for _, x := range c.of(person) {
		if x.client.MemberID == member && x.state(now) == ConsentPending {
			pending++
		}
	}
	if pending >= maxPending {
		return countersign.Refuse(countersign.CodeBudget, "the person has %d applications of yours to answer: wait for that", pending)
	}
	return nil
}

// saltedDigest is the commitment of an act that nobody has to prove: random, so that the public leaf says nothing.
func saltedDigest() countersign.Digest {
	var d countersign.Digest
	_, _ = rand.Read(d[:]) // crypto/rand.Read never fails
	return d
}

// collect tells the agency that applied what became of it.
func (c *Consents) collect(ctx context.Context, member countersign.MemberID, id countersign.MandateID) (*ApplicationState, error) {
	leaf, out, err := c.applied(ctx, member, id)
	if err != nil || out.State != ConsentGiven {
		return out, err
	}
	note, stored, err := c.read(ctx, leaf)
	if err != nil {
		return nil, err
	}
	placed, err := c.Gateway.Log.Promise(ctx, stored)
	if err != nil {
		return nil, err
	}
	receipt, err := c.cosigned(ctx, placed)
	if err != nil {
		return nil, err
	}
	out.Mandate, err = (&Presented{Consent: note.Registered, Receipt: receipt}).Encode()
	return out, err
}

// applied finds an application of a member, and where the consent to it is registered.
func (c *Consents) applied(ctx context.Context, member countersign.MemberID, id countersign.MandateID) (leaf uint64, out *ApplicationState, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return 0, nil, err
	}
	x := c.find(c.asked[id])
	if x == nil || x.client.MemberID != member {
		return 0, nil, countersign.Refuse(countersign.CodeUnknownService, "there is no such application of yours here")
	}
	return x.registered, &ApplicationState{ID: id, State: x.state(c.Gateway.now())}, nil
}

// Waiting is how many applications wait for a person's answer.
func (c *Consents) Waiting(ctx context.Context, person countersign.SubjectID) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return 0, err
	}
	for _, x := range c.of(person) {
		if x.state(c.Gateway.now()) == ConsentPending {
			n++
		}
	}
	return n, nil
}

// Of lists a person's applications and consents, newest first. What they say is read from the log's sealed records, each time.
func (c *Consents) Of(ctx context.Context, person countersign.SubjectID) ([]ConsentItem, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	var out []ConsentItem
	for _, x := range c.of(person) {
		item, err := c.item(ctx, x)
		if err != nil {
			return nil, err
		}
		out = append(out, *item)
	}
	slices.SortFunc(out, func(a, b ConsentItem) int { return b.Changed.Compare(a.Changed) })
	return out, nil
}

// One gives one of a person's applications or consents. Somebody else's is as unknown as one that is not there.
func (c *Consents) One(ctx context.Context, person countersign.SubjectID, id countersign.MandateID) (*ConsentItem, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, err := c.one(ctx, person, id)
	if err != nil {
		return nil, err
	}
	return c.item(ctx, x)
}

// item reads what the log holds of one. It is called with mu held.
func (c *Consents) item(ctx context.Context, x *consentRow) (*ConsentItem, error) {
	now := c.Gateway.now()
	item := &ConsentItem{State: x.state(now), Asked: x.asked, Due: x.due, Changed: x.changed(now), Digest: x.digest}
	at := x.application
	if !x.given.IsZero() {
		at = x.registered
	}
	note, _, err := c.read(ctx, at)
	switch {
	case err != nil:
		return nil, err
	case len(note.Registered) > 0:
		_, consent, err := mandate.ReadConsent(note.Registered)
		if err != nil {
			return nil, err
		}
		item.Scope, item.Text = consent.Scope, consent.Text
	case note.Asked != nil:
		a := note.Asked
		item.Scope = mandate.Scope{
			ID: x.id, Subject: a.Subject, Client: a.Client, Service: a.Service, Fields: a.Fields, Purpose: a.Purpose, Basis: a.Basis, Case: a.Case, Until: a.Until,
		}
	}
	return item, nil
}

// Draft is a consent, word for word, to which nobody has agreed yet.
type Draft struct {
	Consent []byte
	Nonce   string // under which the person must log in for it
	Code    string // that portal and identity provider both show: mandate.ConsentCode
}

// Draft writes the consent that a person is about to give to an application.
func (c *Consents) Draft(ctx context.Context, person countersign.SubjectID, id countersign.MandateID, text, lang string) (*Draft, error) {
	item, err := c.One(ctx, person, id)
	if err != nil {
		return nil, err
	}
	if item.State != ConsentPending {
		return nil, alreadyAnswered()
	}
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // crypto/rand.Read never fails
	scope := item.Scope
	scope.Issued = mandate.SecondsOf(c.Gateway.now())
	scope.From = scope.Issued
	consent, nonce, err := mandate.NewConsent(&mandate.Consent{Scope: scope, Text: text, Lang: lang, Salt: base64.RawURLEncoding.EncodeToString(salt[:])})
	if err != nil {
		return nil, err
	}
	return &Draft{Consent: consent, Nonce: nonce, Code: mandate.ConsentCode(nonce)}, nil
}

func alreadyAnswered() error {
	return countersign.Refuse(countersign.CodeMandateInvalid, "this application has been answered, or its time is over")
}

// Give registers a drafted consent with the identity token of the person's login for it. It is good for the gateways from then on.
func (c *Consents) Give(ctx context.Context, consent []byte, identity string) error {
	evidence, err := json.Marshal(mandate.ConsentEvidence{Consent: consent, Identity: identity}, json.Deterministic(true))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "the consent cannot be written")
	}
	_, err = c.register(ctx, &ConsentRequest{Evidence: evidence})
	return err
}

// Refuse notes that a person does not consent. Nothing was open, so that nothing but the session is asked for.
func (c *Consents) Refuse(ctx context.Context, person countersign.SubjectID, id countersign.MandateID) error {
	item, err := c.One(ctx, person, id)
	if err != nil {
		return err
	}
	if item.State != ConsentPending {
		return alreadyAnswered()
	}
	note := &consentNote{ID: id, Refused: true}
	placed, err := c.append(ctx, saltedDigest(), note)
	if err != nil {
		return err
	}
	return c.take(placed, note)
}

// WithdrawalNonce is the nonce under which a person must log in to withdraw a consent of theirs.
func (c *Consents) WithdrawalNonce(ctx context.Context, person countersign.SubjectID, id countersign.MandateID) (string, error) {
	item, err := c.One(ctx, person, id)
	if err != nil {
		return "", err
	}
	if item.State != ConsentGiven {
		return "", countersign.Refuse(countersign.CodeMandateInvalid, "this consent does not stand any more")
	}
	return mandate.WithdrawalNonce(item.Digest), nil
}

// Withdraw takes a consent back with the identity token of the person's login for that.
func (c *Consents) Withdraw(ctx context.Context, person countersign.SubjectID, id countersign.MandateID, identity string) error {
	c.mu.Lock()
	x, err := c.one(ctx, person, id)
	var note *consentNote
	if err == nil {
		note, _, err = c.read(ctx, x.registered)
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = c.withdraw(ctx, &ConsentRequest{Evidence: note.Registered, Identity: identity})
	return err
}

// evidenceDigest names a consent as mandates and withdrawals do.
func evidenceDigest(evidence []byte) countersign.Digest { return sha256.Sum256(evidence) }
