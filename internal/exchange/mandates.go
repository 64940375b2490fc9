package exchange

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
)

// maxPresented bounds how many mandates one question may present.
const maxPresented = 4

// Presented is one mandate as it travels in Countersign-Mandate: base64url of its JSON, without padding. Exactly one of Warrant, Consent,
// Emergency and Own is there; a warrant and a consent come with the receipt of their registration, whose proof is cosigned. Several are separated by
// commas. A relation is never presented: the provider's gateway has it confirmed.
//
// SPEC: docs/spec/mandate.md, "How mandates travel".
type Presented struct {
	Warrant   string               `json:"warrant,omitzero"`
	Consent   []byte               `json:"consent,omitzero"` // the JSON of mandate.ConsentEvidence, as it was registered
	Emergency string               `json:"emergency,omitzero"`
	Own       *mandate.OwnEvidence `json:"own,omitzero"` // the person's own request, brought by a portal
	Receipt   *countersign.Receipt `json:"receipt,omitzero"`
}

// PurposeOwnAccess is the purpose for which people ask for their own data.
const PurposeOwnAccess = mandate.PurposeOwnAccess

// PresentOwn writes a person's own request as it travels in Countersign-Mandate.
func PresentOwn(token, proof string) (string, error) {
	return (&Presented{Own: &mandate.OwnEvidence{Token: token, Proof: proof}}).Encode()
}

// Encode writes one element of the header.
func (p *Presented) Encode() (string, error) {
	text, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "the mandate cannot be written")
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// ParsePresented reads the header. What cannot be read is a CodeMandateInvalid refusal: a mandate is never passed over.
func ParsePresented(header string) ([]Presented, error) {
	bad := func(cause error) ([]Presented, error) {
		return nil, countersign.RefuseBecause(countersign.CodeMandateInvalid, cause,
			"the header %s cannot be read: send what the court, the consent or the gateway gave, up to %d of them, separated by commas", HeaderMandate, maxPresented)
	}
	parts := strings.Split(header, ",")
	if len(parts) > maxPresented {
		return bad(nil)
	}
	out := make([]Presented, len(parts))
	for i, part := range parts {
		text, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSpace(part))
		if err != nil {
			return bad(err)
		}
		p := &out[i]
		if err := json.Unmarshal(text, p, json.RejectUnknownMembers(true)); err != nil {
			return bad(err)
		}
		kinds := 0
		for _, there := range []bool{p.Warrant != "", len(p.Consent) > 0, p.Emergency != "", p.Own != nil} {
			if there {
				kinds++
			}
		}
		if kinds != 1 {
			return bad(nil)
		}
	}
	return out, nil
}

// Authorities are what mandates are verified with beside the directory. A part that is nil refuses every mandate that needs it.
type Authorities struct {
	// Statuses looks up what courts publish about their warrants, under the directory as it stands.
	Statuses func(*countersign.Directory) mandate.StatusSource
	// Persons verifies the identity tokens to which consents are bound.
	Persons mandate.IdentityVerifier
	// Withdrawals tells which consents were withdrawn, by the log in which they are registered.
	Withdrawals func(countersign.LogOrigin) mandate.Withdrawals
	// Own verifies people's own requests.
	Own mandate.OwnVerifier
	// Suspensions tells whose emergency right is suspended, and whose uses of warrants wait too long for a review.
	Suspensions func(*countersign.Directory) mandate.Suspensions
}

// verifyMandates verifies every mandate that the question presents. One that does not hold refuses the question: it is never passed over in
// favour of a weaker authority.
func (g *Gateway) verifyMandates(rules *rulebook, q *question) error {
	if q.mandate == "" {
		return nil
	}
	if q.metadata {
		return countersign.Refuse(countersign.CodeMandateInvalid, "a metadata service is about nobody: ask without a mandate")
	}
	presented, err := ParsePresented(q.mandate)
	if err != nil {
		return err
	}
	logs, err := rules.logs()
	if err != nil {
		return err
	}
	for i := range presented {
		m, err := g.verifyMandate(rules, q, &presented[i], logs)
		if err != nil {
			return err
		}
		q.mandates = append(q.mandates, m)
	}
	return nil
}

func (g *Gateway) verifyMandate(rules *rulebook, q *question, p *Presented, logs *countersign.Policy) (m mandate.Mandate, err error) {
	at, doc := g.now(), rules.view.Document()
	proof := mandate.ReceiptProof{Policy: logs, Receipt: p.Receipt}
	switch {
	case p.Warrant != "":
		var statuses mandate.StatusSource
		if g.Authorities.Statuses != nil {
			statuses = g.Authorities.Statuses(doc)
		}
		m, _, err = rules.policy.VerifyWarrant(p.Warrant, at, proof, statuses, g.rights(doc))
	case p.Emergency != "":
		rights := g.rights(doc)
		m, _, err = rules.policy.VerifyEmergency(p.Emergency, at, rights)
	case p.Own != nil:
		m, err = rules.policy.VerifyOwn(*p.Own, q.head.Client, at, g.Authorities.Own)
	default:
		var withdrawn mandate.Withdrawals
		if g.Authorities.Withdrawals != nil && p.Receipt != nil {
			if promise, err := countersign.ParsePromise(p.Receipt.Promise); err == nil { // verified with the receipt
				withdrawn = g.Authorities.Withdrawals(promise.Origin)
			}
		}
		m, _, err = rules.policy.VerifyConsent(p.Consent, at, g.Authorities.Persons, proof, withdrawn)
	}
	return m, err
}

// rights tell whose rights are suspended; nil where nobody can tell, which refuses what depends on it.
func (g *Gateway) rights(d *countersign.Directory) mandate.Suspensions {
	if g.Authorities.Suspensions == nil {
		return nil
	}
	return g.Authorities.Suspensions(d)
}

// logs is the pinned policy of all logs of the directory, under which registrations and confirmations are checked.
func (r *rulebook) logs() (*countersign.Policy, error) {
	r.policyOnce.Do(func() {
		doc := r.view.Document()
		list := []countersign.Log{doc.Log}
		for i := range doc.Members {
			for _, gw := range doc.Members[i].Gateways {
				list = append(list, gw.Log)
			}
		}
		for _, c := range doc.Courts {
			list = append(list, c.Log)
		}
		r.logPolicy, r.logPolicyErr = countersign.ParsePolicy([]byte(r.view.PolicyText(list...)))
	})
	if r.logPolicyErr != nil {
		return nil, countersign.RefuseBecause(countersign.CodeMandateInvalid, r.logPolicyErr, "registrations cannot be checked: the directory's logs and witnesses make no policy")
	}
	return r.logPolicy, nil
}

// uses lists what the mandate that decided may be used, so that the reservation counts it exactly, also under parallel fire (A25). The counter's
// name is the token's digest: two courts may give one number.
func (q *question) uses(d *mandate.Decision) []ledger.Use {
	for i := range q.mandates {
		if m := &q.mandates[i]; m.Uses > 0 && m.Digest == d.Mandate.Digest {
			return []ledger.Use{{Mandate: countersign.MandateID(hex.EncodeToString(m.Digest[:])), Limit: m.Uses, Begins: m.NotBefore, Ends: m.NotAfter.Add(time.Hour)}}
		}
	}
	return nil
}

// consumerBudgets lists what the consumer's gateway counts for a question. Where only a mandate is missing, which the provider may have confirmed or
// verify, the question counts as if it stood: no budget is escaped by an authority that this gateway does not judge.
func (r *rulebook) consumerBudgets(q *question) []mandate.BudgetSpec {
	asked := q.asked()
	d := r.policy.Decide(&asked)
	if d.MayAsk() || len(d.Reasons) == 0 {
		return d.ConsumerBudgets()
	}
	u, ok := r.view.Purpose(q.purpose)
	confirmable := ok && u.CaseRegister != nil && q.head.Issue != "" && slices.Contains(d.Lacks, countersign.MandateRelation)
	if !d.LacksMandateAlone() || q.mandate == "" && !confirmable {
		return nil // the provider refuses it too
	}
	kind := countersign.MandateNone
	if presented, err := ParsePresented(q.mandate); q.mandate != "" && err == nil {
		for i := range presented {
			switch {
			case presented[i].Emergency != "":
				kind = countersign.MandateEmergency
			case presented[i].Own != nil && kind == countersign.MandateNone && q.purpose == mandate.PurposeOwnAccess:
				kind = countersign.MandateOwn
			}
		}
	}
	return r.policy.ConsumerBudgets(&asked, kind)
}
