package mandate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// Change is one difference between two directories, in words.
type Change struct {
	Who    string        `json:"who"`    // a client, "every client", or the federation
	What   string        `json:"what"`   // what it may do from then on, or no longer
	Widens bool          `json:"widens"` // more may be asked, by more, or with less
	After  time.Duration `json:"after"`  // how long after publication it acts: 0 is at once, within the directory's freshness
}

// String is one line.
func (c Change) String() string {
	when := "at once"
	if c.After > 0 {
		when = fmt.Sprintf("after %d days in public", int(c.After/day))
	}
	return c.Who + ": " + c.What + " (" + when + ")"
}

// Diff says what a new directory changes about who may ask what, for whom and from when: what narrows first, then what widens. Access is
// compared as it takes effect, whichever entries bring it about: a field that a client loses because its category's class was raised
// is told as the field that the client loses.
//
// LAW: DESIGN 6: removals act within the directory's freshness; every other change waits in public (A48).
func Diff(before, after *countersign.Directory) []Change {
	f := &differ{old: build(before).p, new: build(after).p}
	f.access()
	f.purposes()
	f.declarations(before, after)
	f.rules(before, after)
	f.courts(before, after)
	f.caps()
	slices.SortStableFunc(f.changes, func(a, b Change) int {
		if a.Widens != b.Widens {
			if b.Widens {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.Who, b.Who), strings.Compare(a.What, b.What))
	})
	return slices.Compact(f.changes)
}

type differ struct {
	old, new *Policy
	changes  []Change
}

func (f *differ) add(widens bool, who, format string, args ...any) {
	c := Change{Who: who, What: fmt.Sprintf(format, args...), Widens: widens}
	if widens {
		c.After = time.Duration(f.old.caps.WaitingPeriod)
	}
	f.changes = append(f.changes, c)
}

// use is one way to use a service.
type use struct{ client, service, purpose, method string }

func (u use) String() string { return u.method + " " + u.service + " for " + u.purpose }

// uses lists what each client may receive ("/field") and send ("to /field"), and on which mandates.
func (p *Policy) uses() map[use]map[string]kinds {
	out := map[use]map[string]kinds{}
	for id, s := range p.services {
		if s.never != "" || s.disabled || s.incomplete || s.personal && !s.assessed {
			continue
		}
		for purpose, grants := range s.grants {
			for _, g := range grants {
				fields := g.opens()
				if len(fields) == 0 {
					continue
				}
				for _, client := range g.names() {
					for _, m := range g.methods {
						u := use{client, id.String(), string(purpose), m}
						if out[u] == nil {
							out[u] = map[string]kinds{}
						}
						for f, k := range fields {
							out[u][f] |= k
						}
					}
				}
			}
		}
	}
	return out
}

func (g *grant) opens() map[string]kinds {
	out := map[string]kinds{}
	note := func(prefix string, list []grantField) {
		for _, f := range list {
			if f.cell != nil && f.cell.kinds&f.category.floor != 0 {
				out[prefix+string(f.path)] |= f.cell.kinds & f.category.floor
			}
		}
	}
	note("", g.fields)
	note("to ", g.writes)
	if g.open {
		note("", g.whole)
	}
	return out
}

func (g *grant) names() []string {
	var out []string
	if g.everyone {
		out = append(out, "every client")
	}
	for id := range g.clients {
		out = append(out, id.String())
	}
	return out
}

func (f *differ) access() {
	before, after := f.old.uses(), f.new.uses()
	all := maps.Clone(before)
	maps.Copy(all, after)
	for u := range all {
		var lost []string
		looser, tighter := map[kinds][]string{}, map[kinds][]string{}
		for field, k := range before[u] {
			switch now, still := after[u][field]; {
			case !still:
				lost = append(lost, field)
			case now&^k != 0:
				looser[now] = append(looser[now], field)
			case now != k:
				tighter[now] = append(tighter[now], field)
			}
		}
		byKind := map[kinds][]string{}
		for field, k := range after[u] {
			if _, had := before[u][field]; !had {
				byKind[k] = append(byKind[k], field)
			}
		}
		if len(lost) > 0 {
			f.add(false, u.client, "no longer gets %s by %s", sorted(lost), u)
		}
		for k, fields := range tighter {
			f.add(false, u.client, "gets %s by %s only on %s", sorted(fields), u, k)
		}
		for k, fields := range looser {
			f.add(true, u.client, "gets %s by %s on %s", sorted(fields), u, k)
		}
		for k, fields := range byKind {
			f.add(true, u.client, "may get %s by %s, on %s", sorted(fields), u, k)
		}
	}
}

func sorted(words []string) string {
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func (f *differ) purposes() {
	for code, a := range f.new.purposes {
		b := f.old.purposes[code]
		if b == nil {
			continue // what a new purpose opens is told as access
		}
		who := "the purpose " + string(code)
		if a.Assurance != b.Assurance {
			f.add(a.Assurance < b.Assurance, who, "wants the official %s instead of %s", a.Assurance, b.Assurance)
		}
		if a.Case != b.Case {
			f.add(b.Case, who, "%s a case number", map[bool]string{true: "needs", false: "no longer needs"}[a.Case])
		}
		if a.Retention != b.Retention {
			f.add(a.Retention > b.Retention, who, "lets answers be kept %s instead of %s", time.Duration(a.Retention), time.Duration(b.Retention))
		}
		if x, y := f.new.linkageOf(a), f.old.linkageOf(b); x != y {
			f.add(x > y, who, "lets %d registers be asked about one person in a day instead of %d", x, y)
		}
		if x, y := pollingOf(a), pollingOf(b); x != y {
			f.add(x.PerMinute > y.PerMinute || x.PerDay > y.PerDay, who, "lets one person be asked about %d times a minute and %d a day instead of %d and %d",
				x.PerMinute, x.PerDay, y.PerMinute, y.PerDay)
		}
		if x, y := registerOf(a), registerOf(b); x != y {
			f.add(x != "(none)", who, "has its cases confirmed by %s instead of %s", x, y)
		}
		for _, l := range a.Bases {
			if !slices.Contains(b.Bases, l) {
				f.add(true, who, "stands on the legal basis %s too", l)
			}
		}
		for _, l := range b.Bases {
			if !slices.Contains(a.Bases, l) {
				f.add(false, who, "no longer stands on the legal basis %s", l)
			}
		}
	}
}

func (p *Policy) linkageOf(u *purpose) int {
	if u.Linkage > 0 {
		return u.Linkage
	}
	return p.caps.Linkage
}

func registerOf(u *purpose) string {
	if u.CaseRegister == nil {
		return "(none)"
	}
	return u.CaseRegister.String()
}

func pollingOf(u *purpose) countersign.Polling {
	if u.Polling != nil {
		return *u.Polling
	}
	return countersign.Polling{PerMinute: defaultPollsPerMinute, PerDay: defaultPollsPerDay}
}

func (f *differ) declarations(before, after *countersign.Directory) {
	for r, s := range f.new.standing {
		if o := f.old.standing[r]; o == nil || *o != *s {
			f.add(true, s.Client.String(), "need not state its purpose to %s: it stands as %s on %s", s.Service, s.Purpose, s.Basis)
		}
	}
	for r, s := range f.old.standing {
		if f.new.standing[r] == nil {
			f.add(false, s.Client.String(), "must state its purpose to %s", s.Service)
		}
	}
	find := func(list []countersign.Programme, id countersign.ProgrammeID) *countersign.Programme {
		i := slices.IndexFunc(list, func(p countersign.Programme) bool { return p.ID == id })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	for i := range after.Programmes {
		a := &after.Programmes[i]
		b := find(before.Programmes, a.ID)
		switch {
		case b == nil:
			f.add(true, a.Client.String(), "may ask %s for %s %d times an hour under the programme %s, about %s, until %s", a.Service, a.Purpose, a.PerHour, a.ID,
				a.Population, a.Until.UTC().Format(time.DateOnly))
		case a.PerHour != b.PerHour:
			f.add(a.PerHour > b.PerHour, a.Client.String(), "may ask %d times an hour instead of %d under the programme %s", a.PerHour, b.PerHour, a.ID)
		}
		if b != nil && (!a.From.Equal(b.From) || !a.Until.Equal(b.Until)) {
			f.add(a.From.Before(b.From) || a.Until.After(b.Until), a.Client.String(), "has the programme %s from %s until %s instead of from %s until %s", a.ID,
				a.From.UTC().Format(time.DateOnly), a.Until.UTC().Format(time.DateOnly), b.From.UTC().Format(time.DateOnly), b.Until.UTC().Format(time.DateOnly))
		}
		if b != nil && (a.Client != b.Client || a.Service != b.Service || a.Purpose != b.Purpose || !slices.Equal(a.Fields, b.Fields)) {
			f.add(true, a.Client.String(), "has another programme %s: %s of %s for %s", a.ID, joined(a.Fields), a.Service, a.Purpose)
		}
	}
	for i := range before.Programmes {
		if b := &before.Programmes[i]; find(after.Programmes, b.ID) == nil {
			f.add(false, b.Client.String(), "has the programme %s no longer, and the ordinary budgets again", b.ID)
		}
	}
}

func (f *differ) rules(before, after *countersign.Directory) {
	text := func(r countersign.Rule) string { return orNone(r.Text.In("en")) }
	for _, a := range after.Rules {
		if !slices.ContainsFunc(before.Rules, func(b countersign.Rule) bool { return b.ID == a.ID && b.Policy == a.Policy }) {
			f.add(false, "the federation", "forbids by the rule %s: %s", a.ID, text(a))
		}
	}
	for _, b := range before.Rules {
		if !slices.ContainsFunc(after.Rules, func(a countersign.Rule) bool { return b.ID == a.ID && b.Policy == a.Policy }) {
			f.add(true, "the federation", "no longer forbids by the rule %s as it was: %s", b.ID, text(b))
		}
	}
}

func (f *differ) courts(before, after *countersign.Directory) {
	keys := func(d *countersign.Directory) map[string]countersign.CourtName {
		m := map[string]countersign.CourtName{}
		for _, c := range d.Courts {
			for _, k := range c.Keys {
				m[k] = c.Name
			}
		}
		return m
	}
	old, now := keys(before), keys(after)
	for k, court := range now {
		if old[k] != court {
			f.add(true, "the court "+string(court), "signs warrants with a further key %s", short(k))
		}
	}
	for k, court := range old {
		if now[k] != court {
			f.add(false, "the court "+string(court), "no longer signs warrants with the key %s", short(k))
		}
	}
}

func short(key string) string {
	if len(key) > 12 {
		return "…" + key[len(key)-12:]
	}
	return key
}

func (f *differ) caps() {
	b, a := f.old.caps, f.new.caps
	number := func(what string, was, is int) {
		if was != is {
			f.add(is > was, "the federation", "%s: %d instead of %d", what, is, was)
		}
	}
	span := func(what string, was, is countersign.Duration, longerIsWider bool) {
		if was != is {
			f.add((is > was) == longerIsWider, "the federation", "%s: %s instead of %s", what, time.Duration(is), time.Duration(was))
		}
	}
	number("different people per official and hour", b.PeopleOfficial, a.PeopleOfficial)
	number("different people per member and hour", b.PeopleMember, a.PeopleMember)
	number("registers about one person in a day", b.Linkage, a.Linkage)
	number("emergencies per member and day", b.EmergencyQuota, a.EmergencyQuota)
	span("delay of a notice", b.NoticeDelay, a.NoticeDelay, true)
	span("cap on the delay of a notice", b.NoticeCap, a.NoticeCap, true)
	span("life of a warrant", b.WarrantLife, a.WarrantLife, true)
	span("review of an emergency", b.EmergencyReview, a.EmergencyReview, true)
	span("review of a warrant's use", b.WarrantReview, a.WarrantReview, true)
	span("life of a record", b.RecordLife, a.RecordLife, false)
	span("waiting period of changes", b.WaitingPeriod, a.WaitingPeriod, false)
}
