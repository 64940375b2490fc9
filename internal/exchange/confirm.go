package exchange

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/xroad"
)

// relate has the relation confirmed on which a question may stand: where a case would open more than the purpose alone, and the question names one,
// the case register that the directory names is asked through the exchange whether that case is open for that person. It decides again with
// the relation, or says why there is none. Nothing of the confirmation is kept but both sides' records.
//
// LAW: A05, A07: a neighbour has no case, and an invented number is confirmed by nobody.
func (p *Provider) relate(ctx context.Context, rules *rulebook, q *question, d mandate.Decision) (mandate.Decision, error) {
	u, ok := rules.view.Purpose(q.purpose)
	switch {
	case !ok || u.CaseRegister == nil || q.head.Issue == "" || q.subject.IsZero() || len(q.mandates) > 0:
		return d, d.Err()
	case !slices.Contains(d.Lacks, countersign.MandateRelation) || !d.LacksMandateAlone():
		return d, d.Err()
	case p.Cases == nil:
		return d, countersign.Refuse(countersign.CodeNoMandate, "this gateway cannot ask case registers, so that no relation can be confirmed")
	}
	// A repeated request is answered by its status, and asks no case register again.
	err := p.Log.Reserve(ctx, ledger.Reservation{Exchange: q.step("relation"), Consumer: q.head.Client, Until: p.now().Add(ReplayWindow)})
	if err != nil {
		return d, err
	}
	asker := q.target.Service.SubsystemID
	evidence, err := p.Cases.confirm(ctx, rules, asker, *u.CaseRegister, q.head.Issue, q.subject)
	if err != nil {
		return d, err
	}
	text, err := json.Marshal(evidence, json.Deterministic(true))
	if err != nil {
		return d, countersign.RefuseBecause(countersign.CodeInternal, err, "the confirmation of the case cannot be written")
	}
	logs, err := rules.logs()
	if err != nil {
		return d, err
	}
	m, err := rules.policy.VerifyRelation(text, mandate.Relation{
		Client: q.head.Client, Service: q.target.Service, Purpose: q.purpose, Case: q.head.Issue, AskedBy: p.Member,
	}, p.now(), logs)
	if err != nil {
		return d, err
	}
	q.mandates = append(q.mandates, m)
	asked := q.asked()
	d = rules.policy.Decide(&asked)
	return d, d.Err()
}

// confirm asks a case register through the exchange, as a system of this member would, under the standing declaration that the directory holds
// for it, and gives the receipt with the answer that it is for.
func (c *Consumer) confirm(ctx context.Context, rules *rulebook, asker countersign.SubsystemID, register countersign.ServiceID, file countersign.CaseRef, subject countersign.SubjectID) (*mandate.RelationEvidence, error) {
	target, err := caseTarget(rules, register, file, subject)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the case number cannot be asked about")
	}
	r.RequestURI = target
	r.Header.Set(xroad.HeaderClient, xroad.EncodeSubsystem(asker))
	w := &answered{header: http.Header{}}
	own := *c
	own.Authenticate = func(*http.Request) (func(countersign.SubsystemID) bool, error) {
		return func(id countersign.SubsystemID) bool { return id == asker && id.MemberID == c.Member }, nil
	}
	own.ServeHTTP(w, r)
	if code := w.header.Get(xroad.HeaderCountersignError); code != "" || w.header.Get(xroad.HeaderError) != "" {
		return nil, unconfirmed(countersign.Code(code))
	}
	id, err := countersign.ParseExchangeID(w.header.Get(xroad.HeaderRequestID))
	if err != nil {
		return nil, err
	}
	stored, st, err := c.recorded(ctx, id, countersign.SideConsumer)
	if err != nil {
		return nil, err
	}
	receipt, err := peerReceipt(stored, st)
	if err != nil {
		return nil, err
	}
	if w.status != http.StatusOK {
		return nil, countersign.Refuse(countersign.CodeMandateInvalid, "the case register knows no such case of this person")
	}
	return &mandate.RelationEvidence{Receipt: receipt, Answer: w.body.Bytes()}, nil
}

// unconfirmed says why a case register did not answer: what may pass by waiting keeps its code.
func unconfirmed(code countersign.Code) error {
	if code.Temporary() {
		return countersign.Refuse(code, "the case register cannot be asked at present, so that the relation is not confirmed: wait and ask again")
	}
	return countersign.Refuse(countersign.CodeMandateInvalid, "the case register refused to confirm the case (%s)", code)
}

// caseTarget writes the address of a case of a person at a case register: its first operation that reads, the case in its one variable, the person
// where its selector looks.
func caseTarget(rules *rulebook, register countersign.ServiceID, file countersign.CaseRef, subject countersign.SubjectID) (string, error) {
	bad := func(why string) (string, error) {
		return "", countersign.Refuse(countersign.CodeMandateInvalid, "the case register %s cannot be asked: %s", register, why)
	}
	s, err := rules.offered(register)
	if err != nil {
		return "", err
	}
	if s.Subject.From != countersign.SubjectInRequest || s.Subject.Scheme != subject.Scheme {
		return bad("it does not name its people as the question does")
	}
	for _, e := range s.Endpoints {
		if e.Method != http.MethodGet && e.Method != "*" {
			continue
		}
		path, cases := "", 0
		for segment := range strings.SplitSeq(strings.Trim(e.Path, "/"), "/") {
			switch name, isVar := strings.CutPrefix(segment, "{"); {
			case !isVar:
				path += "/" + segment
			case s.Subject.In == "path" && strings.TrimSuffix(name, "}") == s.Subject.Name:
				path += "/" + url.PathEscape(subject.Value)
			default:
				path += "/" + url.PathEscape(string(file))
				cases++
			}
		}
		if cases != 1 {
			continue
		}
		target := "/r1/" + xroad.EncodeService(register) + path
		if s.Subject.In == "query" {
			target += "?" + url.Values{s.Subject.Name: {subject.Value}}.Encode()
		}
		return target, nil
	}
	return bad("the directory declares no operation of it that reads one case")
}

// peerReceipt is the provider's receipt as the consumer's own record keeps it, without the proof that comes later.
func peerReceipt(stored *ledger.Stored, st *countersign.Statement) (*countersign.Receipt, error) {
	if len(stored.Record.PeerPromise) == 0 {
		return nil, countersign.Refuse(countersign.CodeNoReceipt, "the other gateway gave no receipt for this exchange")
	}
	leaf := countersign.ExchangeLeaf(st, countersign.SideProvider, st.Outcome, stored.Record.Salt.Commit(stored.Record.Statement))
	leaf.Kind = stored.Leaf.Kind
	return &countersign.Receipt{
		Format: countersign.ReceiptFormat, Promise: stored.Record.PeerPromise, Signature: stored.Record.PeerSignature,
		Leaf: leaf.Encode(), Statement: stored.Record.Statement, Salt: stored.Record.Salt[:],
	}, nil
}

// answered keeps what the member's own gateway answers to itself.
type answered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

var _ http.ResponseWriter = (*answered)(nil)

// Header implements http.ResponseWriter.
func (a *answered) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answered) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}
