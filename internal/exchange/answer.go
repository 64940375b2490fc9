package exchange

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/xroad"
)

// streamAbove is the size from which a class O answer is streamed instead of being held whole.
const streamAbove = 256 << 10

// outgoing is what the provider is about to release: nothing of it leaves before release has made its record durable.
type outgoing struct {
	status  int
	header  http.Header
	body    []byte
	fields  []countersign.FieldPath
	outcome countersign.Outcome
	reasons []countersign.Code
	subject countersign.SubjectID // found in the answer
	others  []other               // further people in the answer: each gets a record of their own
}

// ask puts the permitted question to the register and lets through what the decision allows.
func (p *Provider) ask(ctx context.Context, w http.ResponseWriter, rules *rulebook, q *question, d mandate.Decision) {
	reg, ok := p.Registers[q.target.Service]
	if !ok {
		p.refuse(ctx, w, rules, q, d, countersign.Refuse(countersign.CodeServiceDisabled, "the service %s is not in use at its provider's gateway", q.target.Service))
		return
	}
	ans, err := p.askRegister(ctx, rules, reg, q, d)
	if err != nil {
		p.refuse(ctx, w, rules, q, d, err)
		return
	}
	defer ans.Body.Close()
	if !q.service.personal && (ans.Length < 0 || ans.Length > streamAbove) {
		p.stream(ctx, w, rules, q, d, ans)
		return
	}
	out, err := p.filtered(ctx, rules, q, d, ans)
	if err != nil {
		p.refuse(ctx, w, rules, q, d, err)
		return
	}
	p.release(ctx, w, rules, q, d, out)
}

func (p *Provider) askRegister(ctx context.Context, rules *rulebook, reg register.Register, q *question, d mandate.Decision) (*register.Answer, error) {
	req := &register.Request{Method: q.method, Path: q.target.Path, Query: q.target.Query, Subject: q.subject, Length: q.body.size, Stream: !q.service.personal}
	var err error
	if q.service.personal && q.body.size > 0 {
		if q.sent, err = checkWrites(rules, q, d); err != nil {
			return nil, err
		}
	}
	if q.body.size > 0 { // nil for none: an adapter takes even an empty body for one, which net/http would send twice
		if req.Body, err = q.body.reader(); err != nil {
			return nil, err
		}
	}
	req.Header = make(http.Header, 8)
	xroad.CopyRequestHeaders(req.Header, q.header, q.service.personal)
	req.Header[xroad.HeaderRequestID] = q.header[xroad.HeaderRequestID][:1:1] // parse has read it
	return reg.Ask(ctx, req)
}

// sentPrefix stands before a field of a request's body in a statement's list of fields, whose others were released.
const sentPrefix = "sent:"

// checkWrites refuses a personal request body with fields that the grant does not let the consumer send, and names those that it holds for the
// record: what is written about a person is on record like what is read.
//
// LAW: GDPR Art. 5(1)(c): what is sent is held to the purpose as what leaves is.
func checkWrites(rules *rulebook, q *question, d mandate.Decision) ([]countersign.FieldPath, error) {
	f, err := rules.filters.Get(d.Writes)
	if err != nil {
		return nil, err
	}
	fields, err := f.CheckRequest(q.header.Get("Content-Type"), q.header, q.body.bytes)
	for i := range fields {
		fields[i] = sentPrefix + fields[i]
	}
	return fields, err
}

// receivedFields are those of a statement's fields that an answer may hold.
func receivedFields(all []countersign.FieldPath) []countersign.FieldPath {
	first := slices.IndexFunc(all, func(f countersign.FieldPath) bool { return strings.HasPrefix(string(f), sentPrefix) })
	if first < 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(f countersign.FieldPath) bool { return strings.HasPrefix(string(f), sentPrefix) })
}

// filtered holds a bounded answer in memory, finds the people in it where the service says so, and drops every field that the decision does
// not allow.
//
// LAW: GDPR Art. 5(1)(c), data minimisation: no more than the purpose needs leaves the provider.
func (p *Provider) filtered(ctx context.Context, rules *rulebook, q *question, d mandate.Decision, ans *register.Answer) (*outgoing, error) {
	var raw []byte
	if q.method != http.MethodHead {
		var err error
		if raw, err = register.ReadBounded(ans, MaxPersonalBody); err != nil {
			return nil, err
		}
	}
	out := &outgoing{status: ans.Status, outcome: countersign.OutcomeReleased}
	if !q.service.personal {
		out.header, out.body, out.fields = http.Header{}, raw, []countersign.FieldPath{mandate.AllFields}
		passing(out.header, ans.Header, false)
		return out, nil
	}
	out.header = register.PersonalHeader(ans.Status, ans.Header)
	if len(raw) == 0 {
		out.header.Del("Content-Type")
		return out, nil
	}
	fine := ans.Status >= 200 && ans.Status <= 299
	var err error
	if fine && q.service.Subject.From == countersign.SubjectInAnswer {
		if d.Budgets, err = p.peopleIn(ctx, rules, q, raw, out); err != nil {
			return nil, err
		}
	}
	f, err := rules.filters.Get(d.Fields)
	if err != nil {
		return nil, err
	}
	if raw, err = p.keepRelatives(rules, q, &d, raw, out); err == nil {
		out.body, out.fields, err = f.Apply(ans.Header.Get("Content-Type"), ans.Header, raw)
	}
	if err != nil && !fine { // the register's no is told by its status; a text that cannot be filtered stays behind
		out.body, out.fields, out.others, err = nil, nil, nil, nil
		out.header.Del("Content-Type")
	}
	if err == nil {
		err = p.reserveShown(ctx, q, &d, out)
	}
	return out, err
}

// peopleIn resolves every person in an answer, decides on each and counts each, before anything is released. It gives what the question about the
// first of them draws from.
func (p *Provider) peopleIn(ctx context.Context, rules *rulebook, q *question, raw []byte, out *outgoing) ([]mandate.BudgetSpec, error) {
	found, err := q.service.selector.People(raw)
	if err != nil {
		return nil, err
	}
	decided := make([]mandate.Decision, len(found))
	for i, text := range found {
		person, err := rules.view.Normalise(q.service.Subject.Scheme, text)
		if err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeUnfilterable, err, "the register's answer names a person whose identifier cannot be read: it is withheld")
		}
		asked := q.asked()
		asked.Subject = person
		if decided[i] = rules.policy.Decide(&asked); !decided[i].Allowed() {
			return nil, decided[i].Err()
		}
		if i == 0 {
			out.subject = person
		} else {
			out.others = append(out.others, other{person: person, joint: true})
		}
	}
	return decided[0].Budgets, p.reservePeople(ctx, q, decided)
}

// refuse records and signs that nothing was released, and why.
func (p *Provider) refuse(ctx context.Context, w http.ResponseWriter, rules *rulebook, q *question, d mandate.Decision, err error) {
	id := q.id.String()
	code := countersign.CodeOf(err)
	out := &outgoing{outcome: countersign.OutcomeRefused, reasons: reasons(code, d)}
	switch code {
	case countersign.CodeNetwork, countersign.CodeRegister, countersign.CodeUnfilterable, countersign.CodeTooLarge, countersign.CodeInternal, countersign.CodeServiceDisabled:
		out.outcome = countersign.OutcomeFailed
	}
	if errors.Is(err, context.Canceled) {
		err = countersign.RefuseBecause(countersign.CodeNetwork, err, "the asking gateway closed the connection before the answer was ready")
	}
	p.logFailure(ctx, "question refused", id, err)
	out.status = xroad.NewFault(xroad.ServerProxy, p.Style, err, id).Status
	out.header = http.Header{"Content-Type": {"application/json"}}
	out.body = xroad.RefusalBody(xroad.ServerProxy, err, id)
	p.release(ctx, w, rules, q, d, out)
}

// reasons lists the codes of a refusal, the deciding one first, each once.
func reasons(first countersign.Code, d mandate.Decision) []countersign.Code {
	if first == countersign.CodeInternal {
		first = "internal"
	}
	out := []countersign.Code{first}
	for _, r := range d.Reasons {
		seen := false
		for _, c := range out {
			seen = seen || c == r.Code
		}
		if !seen {
			out = append(out, r.Code)
		}
	}
	return out
}
