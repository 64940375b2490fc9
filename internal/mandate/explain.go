package mandate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign.dev/countersign"
)

// Explain says in words, line by line, why a question would be allowed or refused: every reason at once, what would leave and what would be
// withheld, on which cells and authority, and which budgets it would draw from. It names no person.
func (p *Policy) Explain(q *Question) []string {
	d := p.Decide(q)
	lines := []string{fmt.Sprintf("%s asks %s %s for the purpose %s on the basis %s", q.Consumer, q.Method, q.Service, orNone(string(q.Purpose)), orNone(string(q.Basis)))}
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if u := p.purposes[q.Purpose]; u != nil {
		for _, lang := range slices.Sorted(maps.Keys(u.Text)) {
			add("  the person will read (%s): %s", lang, u.Text[lang])
		}
	}
	if l := p.bases[q.Basis]; l != nil {
		add("  on the law: %s, %s", l.Law.In("en"), l.Article)
	}
	switch {
	case d.Allowed():
		add("allowed by version %d of the directory", d.Directory)
	case d.MayAsk():
		add("the register may be asked; each person in its answer is then decided on (version %d of the directory)", d.Directory)
	default:
		add("refused by version %d of the directory, for %s:", d.Directory, count(len(d.Reasons), "reason"))
	}
	for _, r := range d.Reasons {
		add("  - %s (%s; %s)", r.Message, r.Code, r.Ref)
	}
	for _, c := range d.Cells {
		add("  %s", c)
	}
	if d.MayAsk() {
		p.explainAllow(&d, add)
	}
	for _, w := range d.Withheld {
		add("  withheld: %s (%s): %s", w.Field, w.Category, w.Why)
	}
	return lines
}

func (p *Policy) explainAllow(d *Decision, add func(string, ...any)) {
	if len(d.Fields) > 0 {
		add("  may leave: %s", joined(d.Fields))
	}
	if len(d.Writes) > 0 {
		add("  may be sent: %s", joined(d.Writes))
	}
	switch d.Mandate.Kind {
	case countersign.MandateNone:
		add("  on the purpose alone")
	default:
		add("  on the %s %s", d.Mandate.Kind, d.Mandate.ID)
	}
	if d.NeedsQuorum {
		add("  only after witnesses have cosigned the record")
	}
	if d.Retention > 0 {
		add("  to be deleted after %s", d.Retention)
	}
	for _, b := range d.Budgets {
		what := count(b.Limit, "exchange")
		if b.DistinctPart != "" {
			what = fmt.Sprintf("%d different", b.Limit)
		}
		add("  draws from %s: %s in %s", b.Name, what, b.Window)
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func joined(fields []countersign.FieldPath) string {
	words := make([]string, len(fields))
	for i, f := range fields {
		words[i] = string(f)
	}
	return strings.Join(words, ", ")
}
