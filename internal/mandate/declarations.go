package mandate

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"countersign.dev/countersign"
)

func (b *builder) declarations() {
	for code, u := range b.p.purposes {
		if u.CaseRegister != nil && b.p.services[*u.CaseRegister] == nil {
			b.bad("purpose %q: its case register %s is not listed as a service", code, *u.CaseRegister)
		}
	}
	for i := range b.d.Standing {
		s := &b.d.Standing[i]
		ref := "standing declaration of " + s.Client.String() + " for " + s.Service.String()
		r, u, v := route{s.Client, s.Service}, b.p.purposes[s.Purpose], b.p.services[s.Service]
		switch {
		case b.p.standing[r] != nil:
			b.lost("%s is listed twice", ref)
		case !b.p.knows(s.Client):
			b.bad("%s: the client is not listed", ref)
		case v == nil:
			b.bad("%s: the service is not listed", ref)
		case u == nil:
			b.bad("%s: the purpose %q is not listed", ref, s.Purpose)
		case !slices.Contains(u.Bases, s.Basis):
			b.bad("%s: the legal basis %q does not go with the purpose %q", ref, s.Basis, s.Purpose)
		case u.Case:
			b.bad("%s: the purpose %q needs a case, which a standing declaration cannot name", ref, s.Purpose)
		}
		if v != nil {
			for _, c := range v.categories {
				if c.class.Rank() > countersign.ClassRelation.Rank() {
					b.bad("%s: the category %q is of class %s; standing declarations are good for O and R alone", ref, c.code, c.class)
				}
			}
		}
		b.p.standing[r] = s
	}
}

func (b *builder) allProgrammes() {
	seen := map[countersign.ProgrammeID]bool{}
	for i := range b.d.Programmes {
		g := &b.d.Programmes[i]
		ref := "programme " + string(g.ID)
		u, v := b.p.purposes[g.Purpose], b.p.services[g.Service]
		switch {
		case g.ID == "" || seen[g.ID]:
			b.lost("%s: its id is empty or used twice", ref)
		case !b.p.knows(g.Client):
			b.bad("%s: the client %s is not listed", ref, g.Client)
		case v == nil:
			b.bad("%s: the service %s is not listed", ref, g.Service)
		case u == nil:
			b.bad("%s: the purpose %q is not listed", ref, g.Purpose)
		case !slices.Contains(u.Bases, g.Basis):
			b.bad("%s: the legal basis %q does not go with the purpose %q", ref, g.Basis, g.Purpose)
		case g.PerHour < 1:
			b.bad("%s: its rate is below 1 per hour", ref)
		case !g.From.Before(g.Until):
			b.bad("%s: it ends before it begins", ref)
		}
		if v == nil || g.PerHour < 1 || seen[g.ID] {
			continue
		}
		seen[g.ID] = true
		c := &programme{Programme: *g, fields: map[countersign.FieldPath]bool{}, says: fmt.Sprintf("the programme allows %s an hour: ask more slowly", count(g.PerHour, "question"))}
		for _, f := range g.Fields {
			if _, ok := v.fields[f]; !ok && f != AllFields {
				b.bad("%s: %q is not a field of the service", ref, f)
			}
			c.fields[f] = true
		}
		if raw, err := json.Marshal(g); err == nil {
			c.digest = sha256.Sum256(raw)
		}
		r := route{g.Client, g.Service}
		b.p.programmes[r] = append(b.p.programmes[r], c)
	}
}
