package exchange

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/register"
)

// other is somebody beside the data subject about whom an answer tells something.
type other struct {
	person countersign.SubjectID
	fields []countersign.FieldPath // that tell about them
	joint  bool                    // found as the subject was, by the service's own selector: a co-owner
}

// relatives compiles, once for each list of fields, which of them tell about relatives.
type relatives struct{ by sync.Map }

type relativesOf struct {
	related *register.Related
	fields  []countersign.FieldPath
}

var noRelatives = &relativesOf{}

func (r *relatives) get(s *countersign.Service, allowed []countersign.FieldPath) (*relativesOf, error) {
	if !slices.ContainsFunc(s.Fields, func(f countersign.Field) bool { return f.Related != "" }) {
		return noRelatives, nil
	}
	key := s.ID.String() + "\n" + joinFields(allowed)
	if found, ok := r.by.Load(key); ok {
		return found.(*relativesOf), nil
	}
	var told []countersign.Field
	out := &relativesOf{}
	for _, f := range s.Fields {
		if _, ok := slices.BinarySearch(allowed, f.Path); ok && f.Related != "" {
			told, out.fields = append(told, f), append(out.fields, f.Path)
		}
	}
	out.fields = countersign.SortFields(out.fields)
	if len(told) > 0 {
		var err error
		if out.related, err = register.CompileRelated(told); err != nil {
			return nil, err
		}
	}
	was, _ := r.by.LoadOrStore(key, out)
	return was.(*relativesOf), nil
}

func joinFields(fields []countersign.FieldPath) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(string(f))
		b.WriteByte('\n')
	}
	return b.String()
}

// keepRelatives lets an answer tell only about relatives who can be named, for each of them gets an access record of their own; all others are
// taken out before the filter sees them.
//
// LAW: A17: nobody is shown as a by-product without a record of their own.
func (p *Provider) keepRelatives(rules *rulebook, q *question, d *mandate.Decision, raw []byte, out *outgoing) ([]byte, error) {
	told, err := rules.relatives.get(q.service.Service, d.Fields)
	if err != nil || told.related == nil {
		return raw, err
	}
	scheme := q.service.Subject.Scheme
	kept, shown, err := told.related.Keep(raw, func(id string) bool {
		_, err := rules.view.Normalise(scheme, id)
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range shown {
		person, err := rules.view.Normalise(scheme, id)
		if err != nil {
			return nil, err
		}
		if person != q.subject && person != out.subject && !slices.ContainsFunc(out.others, func(o other) bool { return o.person == person }) {
			out.others = append(out.others, other{person: person, fields: told.fields})
		}
	}
	return kept, nil
}

// recordOthers gives each further person in an answer a record of their own: an exchange id, a salt and a commitment that no other record has, and
// neither case number nor number of the mandate, so that neither record gives the other away.
func (p *Provider) recordOthers(ctx context.Context, q *question, a *answering, d mandate.Decision, others []other) error {
	for _, o := range others {
		own, about := *a, *q
		own.Half = randomHalf()
		own.Mandate = countersign.MandateRef{Kind: a.Mandate.Kind}
		if !o.joint {
			own.Fields = slices.DeleteFunc(slices.Clone(o.fields), func(f countersign.FieldPath) bool { return !slices.Contains(a.Fields, f) })
		}
		if !o.joint && len(own.Fields) == 0 {
			continue // the filter left nothing about them
		}
		about.id, about.subject, about.head.Issue, about.signature = countersign.NewExchangeID(p.now()), o.person, "", nil
		e := p.entry(&about, &own, countersign.JoinSalt(q.opening.Half, own.Half), nil, d, countersign.LeafExchange)
		if _, err := p.append(ctx, e, d); err != nil {
			return err
		}
	}
	return nil
}

// reservePeople counts the people that were found in an answer, all of them in one transaction, before anything about any of them is released.
func (p *Provider) reservePeople(ctx context.Context, q *question, found []mandate.Decision) error {
	var budgets []ledger.Budget
	for i := range found {
		budgets = append(budgets, p.budgets(found[i].ProviderBudgets(), countersign.SideProvider)...)
	}
	if len(budgets) == 0 {
		return nil
	}
	return p.Log.Reserve(ctx, ledger.Reservation{
		Exchange: q.step("people"), Consumer: q.head.Client, Until: p.now().Add(ReplayWindow), Budgets: budgets,
	})
}

// reserveShown counts the relatives whom an answer shows, all of them in one transaction, before it is released: against the bounds on how many people
// the member and its official learn of in an hour. Whom the filter has left nothing about is not shown. Where the bound is reached the answer is
// refused whole: an answer that silently leaves somebody out would be wrong.
//
// LAW: A03, A17: families are no way around the enumeration breaker.
func (p *Provider) reserveShown(ctx context.Context, q *question, d *mandate.Decision, out *outgoing) error {
	var budgets []ledger.Budget
	for _, o := range out.others {
		if !o.joint && slices.ContainsFunc(o.fields, func(f countersign.FieldPath) bool { return slices.Contains(out.fields, f) }) {
			budgets = append(budgets, p.budgets(d.ShownBudgets(o.person), countersign.SideProvider)...)
		}
	}
	if len(budgets) == 0 {
		return nil
	}
	return p.Log.Reserve(ctx, ledger.Reservation{
		Exchange: q.step("relatives"), Consumer: q.head.Client, Until: p.now().Add(ReplayWindow), Budgets: budgets,
	})
}

// reserveFound counts, at the consumer, the person whom a provider found in its answer, before the answer is handed over.
func (c *Consumer) reserveFound(ctx context.Context, rules *rulebook, q *question, a *received) error {
	if !q.subject.IsZero() || a.Subject == "" {
		return nil
	}
	person, err := rules.view.NormaliseSubject(a.Subject)
	if err != nil {
		return err
	}
	about := *q
	about.subject = person
	if err := c.checkSelf(rules, &about); err != nil {
		return err
	}
	budgets := c.budgets(rules.consumerBudgets(&about), countersign.SideConsumer)
	if len(budgets) == 0 {
		return nil
	}
	return c.Log.Reserve(ctx, ledger.Reservation{Exchange: q.step("found"), Consumer: q.head.Client, Until: c.now().Add(ReplayWindow), Budgets: budgets})
}

// step derives the id under which one further step of an exchange is reserved: once, like the exchange.
func (q *question) step(name string) (id countersign.ExchangeID) {
	sum := sha256.Sum256(append([]byte("countersign step "+name+"\x00"), q.id[:]...))
	copy(id[:], sum[:])
	return id
}
