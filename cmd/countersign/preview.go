package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/web"
)

type previewCmd struct {
	questionFlags
	Lang string `default:"en" help:"Language of the person: az, en or ru." placeholder:"L"`
}

// Run shows an official, before asking, what the person will later read: in the words of the portal, from the same catalogue of words.
func (c *previewCmd) Run(ctx context.Context, s streams) error {
	d, q, r, err := c.rehearse(ctx, s)
	if err != nil {
		return err
	}
	locales, err := web.LoadLocales()
	if err != nil {
		return err
	}
	p := preview{d: d, l: locales.In(locales.Match(c.Lang), time.UTC), lang: locales.Match(c.Lang)}
	fmt.Fprint(s.out, p.text(q, r))
	if !r.Allowed {
		return exit(exitFailed)
	}
	return nil
}

// preview writes an entry of the person's list as it will stand there.
type preview struct {
	d    *countersign.Directory
	l    *web.Localizer
	lang string
}

func (p preview) text(q *mandate.Question, r *mandate.Rehearsal) string {
	var b strings.Builder
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", label, value)
		}
	}
	asker := p.member(q.Consumer.MemberID)
	fmt.Fprintf(&b, "%s\n\n", p.l.T("entry.title", "Agency", asker))
	line(p.l.T("entry.who.agency"), asker)
	line(p.l.T("entry.who.holder"), p.member(q.Service.MemberID)+": "+p.service(q.Service))
	line(p.l.T("entry.why.purpose"), p.purpose(q.Purpose))
	line(p.l.T("entry.why.law"), p.basis(q.Basis))
	line(p.l.T("entry.why.case"), string(q.Case))
	b.WriteString("\n" + p.l.T("entry.fields.title") + "\n")
	if !r.Allowed {
		b.WriteString(p.l.T("entry.fields.none") + "\n")
		for _, l := range r.Lines {
			if text, ok := strings.CutPrefix(l, "  - "); ok {
				b.WriteString("  - " + text + "\n")
			}
		}
		return b.String()
	}
	b.WriteString(p.l.T("entry.fields.text") + "\n")
	for _, g := range p.l.Fields(r.Fields) {
		fmt.Fprintf(&b, "  - %s\n", strings.TrimPrefix(g.Name+": "+strings.Join(g.Fields, ", "), ": "))
	}
	if r.Retention > 0 {
		b.WriteString(p.l.T("entry.fields.keep", "Span", p.l.Lasts(r.Retention)) + "\n")
	}
	return b.String()
}

func (p preview) member(id countersign.MemberID) string {
	for i := range p.d.Members {
		if p.d.Members[i].ID == id {
			return p.d.Members[i].Text.In(p.lang)
		}
	}
	return id.String()
}

func (p preview) service(id countersign.ServiceID) string {
	for i := range p.d.Services {
		if p.d.Services[i].ID == id {
			return p.d.Services[i].Text.In(p.lang)
		}
	}
	return id.String()
}

func (p preview) purpose(code countersign.PurposeCode) string {
	for i := range p.d.Purposes {
		if p.d.Purposes[i].Code == code {
			return p.d.Purposes[i].Text.In(p.lang)
		}
	}
	return string(code)
}

func (p preview) basis(code countersign.BasisCode) string {
	for i := range p.d.Bases {
		if b := &p.d.Bases[i]; b.Code == code {
			return b.Law.In(p.lang) + ", " + b.Article
		}
	}
	return string(code)
}
