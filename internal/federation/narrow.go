package federation

import (
	"slices"

	"countersign.dev/countersign"
)

// Narrow gives what is in force while next waits: before, with everything of next that takes something away or replaces a key, and nothing of
// next that permits, adds or reveals more. It permits no more than before does, and no more than next does, but for keys that took others' place.
// The result carries next's version. Neither document is changed; the result shares their parts.
//
// LAW: DESIGN 6: removing a member, court, service or matrix cell acts within the directory's freshness; replacing a compromised key too;
// every other change waits in public (A48).
func Narrow(before, next *countersign.Directory) *countersign.Directory {
	n := *before
	n.Version = next.Version
	n.Bodies = next.Bodies // a list for readers: who may sign is TUF's root to say, and that acts at once
	n.Members = both(before.Members, next.Members, memberKey, narrowMember)
	n.Categories = both(before.Categories, next.Categories, categoryKey, narrowCategory)
	n.Bases = both(before.Bases, next.Bases, func(b countersign.LegalBasis) countersign.BasisCode { return b.Code }, keepBefore)
	n.Purposes = both(before.Purposes, next.Purposes, purposeKey, narrowPurpose)
	n.Matrix = both(before.Matrix, next.Matrix, func(c countersign.Cell) cellKey { return cellKey{c.Purpose, c.Category} }, narrowCell)
	n.Services = both(before.Services, next.Services, func(s countersign.Service) countersign.ServiceID { return s.ID },
		func(b, a countersign.Service) (countersign.Service, bool) {
			return narrowService(b, a, before, next)
		})
	n.Standing = both(before.Standing, next.Standing, func(s countersign.StandingDeclaration) countersign.StandingDeclaration { return s }, keepBefore)
	n.Programmes = both(before.Programmes, next.Programmes, func(p countersign.Programme) countersign.ProgrammeID { return p.ID }, narrowProgramme)
	n.Rules = narrowRules(before.Rules, next.Rules)
	n.Courts = both(before.Courts, next.Courts, func(c countersign.Court) countersign.CourtName { return c.Name }, narrowCourt)
	n.Issuers = both(before.Issuers, next.Issuers, issuerKey, narrowIssuer)
	n.Witnesses = narrowWitnesses(before.Witnesses, next.Witnesses)
	n.Quorum = narrowQuorum(before.Quorum, next.Quorum, n.Witnesses)
	n.Log = narrowLog(before.Log, next.Log)
	n.Caps = narrowCaps(before.Caps, next.Caps)
	prune(&n)
	return &n
}

// both keeps the elements of before that next has too, each as merge says; merge may drop it.
func both[T any, K comparable](before, next []T, key func(T) K, merge func(before, next T) (T, bool)) []T {
	other := make(map[K]T, len(next))
	for _, x := range next {
		other[key(x)] = x
	}
	var out []T
	for _, b := range before {
		if a, ok := other[key(b)]; ok {
			if merged, keep := merge(b, a); keep {
				out = append(out, merged)
			}
		}
	}
	return out
}

func keepBefore[T any](before, _ T) (T, bool) { return before, true }

// common keeps what both lists have, in before's order.
func common[T comparable](before, next []T) []T {
	var out []T
	for _, x := range before {
		if slices.Contains(next, x) {
			out = append(out, x)
		}
	}
	return out
}

// replaced is the keys in force: those that stay, and of the new ones as many as old ones went. One more key than before waits.
func replaced[T comparable](before, next []T) []T {
	out := common(before, next)
	for _, x := range next {
		if len(out) < len(before) && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

func memberKey(m countersign.Member) countersign.MemberID         { return m.ID }
func categoryKey(k countersign.Category) countersign.CategoryCode { return k.Code }
func purposeKey(p countersign.Purpose) countersign.PurposeCode    { return p.Code }
func subsystemKey(s countersign.Subsystem) string                 { return s.Code }
func gatewayKey(g countersign.Gateway) countersign.GatewayName    { return g.Name }
func witnessKey(w countersign.Witness) countersign.WitnessName    { return w.Name }
func fieldKey(f countersign.Field) countersign.FieldPath          { return f.Path }
func endpointKey(e countersign.Endpoint) countersign.Endpoint     { return e }

// issuerKey tells issuers apart: one provider may know the officials of several agencies.
func issuerKey(i countersign.Issuer) string {
	if i.Member == nil {
		return i.URL
	}
	return i.URL + " " + i.Member.String()
}

func narrowMember(b, a countersign.Member) (countersign.Member, bool) {
	b.Roles = common(b.Roles, a.Roles)
	b.Subsystems = both(b.Subsystems, a.Subsystems, subsystemKey, keepBefore)
	b.Gateways = both(b.Gateways, a.Gateways, gatewayKey, func(b, a countersign.Gateway) (countersign.Gateway, bool) {
		b.TLS = replaced(b.TLS, a.TLS)
		b.Sign = replaced(b.Sign, a.Sign)
		b.Log = narrowLog(b.Log, a.Log)
		return b, true
	})
	return b, true
}

// narrowLog puts a key in the place of another, and with it a successor in the place of its log: its operator answers nothing until then.
func narrowLog(b, a countersign.Log) countersign.Log {
	if a.VKey != b.VKey {
		b.VKey, b.Before = a.VKey, a.Before
	}
	return b
}

func narrowCategory(b, a countersign.Category) (countersign.Category, bool) {
	if a.Class.Rank() > b.Class.Rank() {
		b.Class = a.Class
	}
	b.Special = b.Special || a.Special
	return b, true
}

func narrowPurpose(b, a countersign.Purpose) (countersign.Purpose, bool) {
	b.Bases = common(b.Bases, a.Bases)
	b.Assurance = max(b.Assurance, a.Assurance)
	b.Retention = min(b.Retention, a.Retention)
	b.Case = b.Case || a.Case
	if a.CaseRegister == nil {
		b.CaseRegister = nil // no register, no confirmed relation; another register waits
	}
	switch {
	case len(b.Mandates) == 0:
		b.Mandates = a.Mandates // from any that the cells permit to some
	case len(a.Mandates) > 0:
		b.Mandates = common(b.Mandates, a.Mandates)
		if len(b.Mandates) == 0 {
			return b, false // an empty list would mean any
		}
	}
	// Zero stands for the federation's own bound, which only a purpose's own may exceed: the two cannot be ordered without it, and so a
	// change from or to zero acts when it falls back to the federation's bound.
	if a.Linkage == 0 || b.Linkage != 0 && a.Linkage < b.Linkage {
		b.Linkage = a.Linkage
	}
	switch {
	case a.Polling == nil:
		b.Polling = nil
	case b.Polling != nil:
		b.Polling = &countersign.Polling{PerMinute: min(b.Polling.PerMinute, a.Polling.PerMinute), PerDay: min(b.Polling.PerDay, a.Polling.PerDay)}
	}
	return b, len(b.Bases) > 0
}

func narrowCell(b, a countersign.Cell) (countersign.Cell, bool) {
	b.Mandates = common(b.Mandates, a.Mandates)
	return b, len(b.Mandates) > 0
}

func narrowService(b, a countersign.Service, before, next *countersign.Directory) (countersign.Service, bool) {
	b.Endpoints = both(b.Endpoints, a.Endpoints, endpointKey, keepBefore)
	b.Fields = both(b.Fields, a.Fields, fieldKey, func(bf, af countersign.Field) (countersign.Field, bool) {
		if bf.Category != af.Category && classIn(next, af.Category).Rank() > classIn(before, bf.Category).Rank() {
			bf.Category = af.Category // reclassified to something stricter
		}
		return bf, true
	})
	b.Grants = narrowGrants(b.Grants, a.Grants)
	// The categories that the service holds tell how strict it is: more of them permit nothing by themselves.
	for _, k := range a.Categories {
		if !slices.Contains(b.Categories, k) && classIn(before, k) != countersign.ClassNever {
			b.Categories = append(slices.Clone(b.Categories), k)
		}
	}
	b.Disabled = b.Disabled || a.Disabled
	b.Disclose = b.Disclose && a.Disclose
	if a.Assessment == nil {
		b.Assessment = nil
	}
	return b, true
}

func classIn(d *countersign.Directory, code countersign.CategoryCode) countersign.Class {
	for _, k := range d.Categories {
		if k.Code == code {
			return k.Class
		}
	}
	return countersign.ClassNever
}

// narrowGrants compares grants client by client, because grants may be cut and joined without a change of meaning.
func narrowGrants(before, next []countersign.Grant) []countersign.Grant {
	var out []countersign.Grant
	for _, b := range before {
		for _, client := range b.Clients {
			for _, a := range next {
				if a.Purpose != b.Purpose || !slices.Contains(a.Clients, client) && !slices.Contains(a.Clients, "*") && client != "*" {
					continue
				}
				g := b
				g.Clients = []string{client}
				if client == "*" {
					g.Clients = a.Clients // from everybody to some
				}
				g.Fields = common(b.Fields, a.Fields)
				g.Writes = common(b.Writes, a.Writes)
				switch { // an empty list of methods means all
				case len(b.Methods) == 0:
					g.Methods = a.Methods
				case len(a.Methods) > 0:
					if g.Methods = common(b.Methods, a.Methods); len(g.Methods) == 0 {
						continue
					}
				}
				if len(g.Fields) == 0 && len(g.Writes) == 0 && (len(b.Fields) > 0 || len(b.Writes) > 0) {
					continue
				}
				out = append(out, g)
			}
		}
	}
	return joinGrants(out)
}

// joinGrants puts clients with equal grants together again, so that an unchanged list of grants comes out as it was.
func joinGrants(grants []countersign.Grant) []countersign.Grant {
	var out []countersign.Grant
next:
	for _, g := range grants {
		for i := range out {
			o := &out[i]
			if o.Purpose == g.Purpose && slices.Equal(o.Fields, g.Fields) && slices.Equal(o.Writes, g.Writes) && slices.Equal(o.Methods, g.Methods) {
				for _, c := range g.Clients {
					if !slices.Contains(o.Clients, c) {
						o.Clients = append(slices.Clone(o.Clients), c)
					}
				}
				continue next
			}
		}
		out = append(out, g)
	}
	return out
}

func narrowProgramme(b, a countersign.Programme) (countersign.Programme, bool) {
	if b.Client != a.Client || b.Service != a.Service || b.Purpose != a.Purpose || b.Basis != a.Basis {
		return b, false // another programme under the same name: the old one ended
	}
	b.Fields = common(b.Fields, a.Fields)
	b.PerHour = min(b.PerHour, a.PerHour)
	if a.From.After(b.From) {
		b.From = a.From
	}
	if a.Until.Before(b.Until) {
		b.Until = a.Until
	}
	return b, len(b.Fields) > 0
}

// narrowRules joins both lists: a rule can only forbid, so that a new one acts at once and a removed one acts until its end was public.
func narrowRules(before, next []countersign.Rule) []countersign.Rule {
	out := slices.Clone(before)
	for _, a := range next {
		i := slices.IndexFunc(out, func(b countersign.Rule) bool { return b.ID == a.ID })
		switch {
		case i < 0:
			out = append(out, a)
		case out[i].Policy != a.Policy:
			a.ID += ".next"
			out = append(out, a)
		}
	}
	return out
}

func narrowCourt(b, a countersign.Court) (countersign.Court, bool) {
	b.Keys = replaced(b.Keys, a.Keys)
	b.Log = narrowLog(b.Log, a.Log)
	return b, b.Member == a.Member
}

// narrowWitnesses replaces keys. A witness that leaves is not narrowing: fewer eyes see less.
func narrowWitnesses(before, next []countersign.Witness) []countersign.Witness {
	out := slices.Clone(before)
	for i := range out {
		for _, a := range next {
			if witnessKey(a) == witnessKey(out[i]) && a.Organisation == out[i].Organisation {
				out[i].VKey = a.VKey
			}
		}
	}
	return out
}

// narrowQuorum is raised at once where the witnesses of today can satisfy it, and lowered never.
func narrowQuorum(before, next int, witnesses []countersign.Witness) int {
	organisations := map[string]bool{}
	for _, w := range witnesses {
		organisations[w.Organisation] = true
	}
	return max(before, min(next, len(organisations)))
}

func narrowCaps(b, a countersign.Caps) countersign.Caps {
	before, next := effectiveCaps(b), effectiveCaps(a)
	if next == before {
		return b
	}
	return countersign.Caps{
		NoticeDelay: min(before.NoticeDelay, next.NoticeDelay), NoticeCap: min(before.NoticeCap, next.NoticeCap),
		WarrantLife: min(before.WarrantLife, next.WarrantLife), EmergencyReview: min(before.EmergencyReview, next.EmergencyReview),
		WarrantReview:  min(before.WarrantReview, next.WarrantReview),
		RecordLife:     before.RecordLife, // shorter forgets, longer keeps: neither is narrower
		WaitingPeriod:  max(before.WaitingPeriod, next.WaitingPeriod),
		PeopleOfficial: min(before.PeopleOfficial, next.PeopleOfficial), PeopleMember: min(before.PeopleMember, next.PeopleMember),
		Linkage: min(before.Linkage, next.Linkage), EmergencyQuota: min(before.EmergencyQuota, next.EmergencyQuota),
	}
}

// prune drops what refers to something that went, so that nothing dangles and nothing falls back to a laxer meaning.
func prune(d *countersign.Directory) {
	categories := index(d.Categories, func(k *countersign.Category) countersign.CategoryCode { return k.Code })
	purposes := index(d.Purposes, func(p *countersign.Purpose) countersign.PurposeCode { return p.Code })
	bases := index(d.Bases, func(b *countersign.LegalBasis) countersign.BasisCode { return b.Code })
	members := index(d.Members, func(m *countersign.Member) countersign.MemberID { return m.ID })
	hasClient := func(id countersign.SubsystemID) bool {
		m := members[id.MemberID]
		return m != nil && (id.Subsystem == "" || slices.ContainsFunc(m.Subsystems, func(s countersign.Subsystem) bool { return s.Code == id.Subsystem }))
	}
	for i := range d.Purposes {
		p := &d.Purposes[i]
		p.Bases = slices.DeleteFunc(slices.Clone(p.Bases), func(b countersign.BasisCode) bool { return bases[b] == nil })
	}
	d.Matrix = keepCells(d.Matrix, categories, purposes)
	d.Services = slices.DeleteFunc(slices.Clone(d.Services), func(s countersign.Service) bool {
		return !hasClient(s.ID.SubsystemID) || len(s.Endpoints) == 0
	})
	for i := range d.Services {
		pruneService(&d.Services[i], categories, purposes, hasClient)
	}
	services := index(d.Services, func(s *countersign.Service) countersign.ServiceID { return s.ID })
	usable := func(client countersign.SubsystemID, service countersign.ServiceID, purpose countersign.PurposeCode, basis countersign.BasisCode) bool {
		p := purposes[purpose]
		return hasClient(client) && services[service] != nil && p != nil && slices.Contains(p.Bases, basis)
	}
	d.Standing = slices.DeleteFunc(slices.Clone(d.Standing), func(s countersign.StandingDeclaration) bool {
		return !usable(s.Client, s.Service, s.Purpose, s.Basis)
	})
	d.Programmes = slices.DeleteFunc(slices.Clone(d.Programmes), func(p countersign.Programme) bool {
		return !usable(p.Client, p.Service, p.Purpose, p.Basis)
	})
	for i := range d.Purposes {
		if r := d.Purposes[i].CaseRegister; r != nil && services[*r] == nil {
			d.Purposes[i].CaseRegister = nil
		}
	}
	d.Issuers = slices.DeleteFunc(slices.Clone(d.Issuers), func(i countersign.Issuer) bool { return i.Member != nil && members[*i.Member] == nil })
	d.Courts = slices.DeleteFunc(slices.Clone(d.Courts), func(c countersign.Court) bool {
		m := members[c.Member]
		return m == nil || !slices.Contains(m.Roles, countersign.RoleCourt) || len(c.Keys) == 0
	})
}

// keepCells drops cells without purpose or category, and takes from the others the mandates that a stricter class no longer permits.
func keepCells(cells []countersign.Cell, categories map[countersign.CategoryCode]*countersign.Category, purposes map[countersign.PurposeCode]*countersign.Purpose) []countersign.Cell {
	var out []countersign.Cell
	for _, c := range cells {
		k := categories[c.Category]
		if k == nil || purposes[c.Purpose] == nil {
			continue
		}
		if c.Mandates = common(c.Mandates, permitted(k.Class)); len(c.Mandates) > 0 {
			out = append(out, c)
		}
	}
	return out
}

func pruneService(s *countersign.Service, categories map[countersign.CategoryCode]*countersign.Category, purposes map[countersign.PurposeCode]*countersign.Purpose,
	hasClient func(countersign.SubsystemID) bool) {
	s.Fields = slices.DeleteFunc(slices.Clone(s.Fields), func(f countersign.Field) bool { return categories[f.Category] == nil })
	declared := index(s.Fields, func(f *countersign.Field) countersign.FieldPath { return f.Path })
	var grants []countersign.Grant
	for _, g := range s.Grants {
		if purposes[g.Purpose] == nil {
			continue
		}
		had := len(g.Fields)
		g.Fields = slices.DeleteFunc(slices.Clone(g.Fields), func(f countersign.FieldPath) bool { return f != "*" && declared[f] == nil })
		g.Clients = slices.DeleteFunc(slices.Clone(g.Clients), func(text string) bool {
			id, err := countersign.ParseSubsystemID(text)
			return text != "*" && (err != nil || !hasClient(id))
		})
		if len(g.Clients) > 0 && (had == 0 || len(g.Fields) > 0 || len(g.Writes) > 0) {
			grants = append(grants, g)
		}
	}
	s.Grants = grants
	if len(s.Grants) == 0 {
		s.Disabled = true // nobody may use it; an empty list must not read as anything else
	}
}

// narrowIssuer keeps whom an issuer speaks for and whom its tokens may be made for, where both versions say so. An issuer whose member, scheme or claim is
// another speaks of other people, and waits.
func narrowIssuer(b, a countersign.Issuer) (countersign.Issuer, bool) {
	same := b.Scheme == a.Scheme && b.Claim == a.Claim && (b.Member == nil) == (a.Member == nil) && (b.Member == nil || *b.Member == *a.Member)
	b.For, b.Audience, b.Consents = common(b.For, a.For), common(b.Audience, a.Audience), common(b.Consents, a.Consents)
	return b, same && len(b.For) > 0 && len(b.Audience) > 0
}
