package federation

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// ChangeKind says what part of the directory a change touches.
type ChangeKind string

// The kinds of change, in the order in which they are shown.
const (
	ChangeFederation ChangeKind = "federation" // its name, instance, mark as a demonstration
	ChangeBody       ChangeKind = "body"
	ChangeMember     ChangeKind = "member"
	ChangeSubsystem  ChangeKind = "subsystem"
	ChangeGateway    ChangeKind = "gateway"
	ChangeKey        ChangeKind = "key"
	ChangeScheme     ChangeKind = "scheme"
	ChangeCategory   ChangeKind = "category"
	ChangeBasis      ChangeKind = "basis"
	ChangePurpose    ChangeKind = "purpose"
	ChangeCell       ChangeKind = "cell"
	ChangeService    ChangeKind = "service"
	ChangeField      ChangeKind = "field"
	ChangeGrant      ChangeKind = "grant"
	ChangeStanding   ChangeKind = "standing"
	ChangeProgramme  ChangeKind = "programme"
	ChangeRule       ChangeKind = "rule"
	ChangeCourt      ChangeKind = "court"
	ChangeIssuer     ChangeKind = "issuer"
	ChangeWitness    ChangeKind = "witness"
	ChangeLog        ChangeKind = "log"
	ChangeCap        ChangeKind = "cap"
)

// Change is one difference between two documents, in words. An empty Before is an addition, an empty After a removal.
type Change struct {
	Kind   ChangeKind `json:"kind"`
	What   string     `json:"what"`
	Before string     `json:"before,omitempty"`
	After  string     `json:"after,omitempty"`
	// Narrowing changes, and keys that take others' place, act at once; every other change waits in public.
	Narrowing bool `json:"narrowing"`
}

// String is the change as a line for people.
func (c Change) String() string {
	when := "waits"
	if c.Narrowing {
		when = "at once"
	}
	switch {
	case c.Before == "":
		return fmt.Sprintf("+ %s %s: %s (%s)", c.Kind, c.What, c.After, when)
	case c.After == "":
		return fmt.Sprintf("- %s %s: %s (%s)", c.Kind, c.What, c.Before, when)
	}
	return fmt.Sprintf("~ %s %s: %s → %s (%s)", c.Kind, c.What, c.Before, c.After, when)
}

// Changes lists every difference that next makes, in a fixed order; before may be nil for a first document. The version is not a change.
func Changes(before, next *countersign.Directory) []Change {
	if before == nil {
		before = &countersign.Directory{Format: next.Format}
	}
	at := compare(before, Narrow(before, next))
	atOnce := make(map[Change]bool, len(at))
	for _, c := range at {
		atOnce[c] = true
	}
	changes := compare(before, next)
	for i := range changes {
		changes[i].Narrowing = atOnce[changes[i]]
	}
	return changes
}

// Widens reports whether any change waits in public.
func Widens(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return !c.Narrowing })
}

func compare(before, next *countersign.Directory) []Change {
	was, is := factsOf(before), factsOf(next)
	changes := []Change{}
	for _, f := range was.order {
		if v := is.value[f]; v != was.value[f] {
			changes = append(changes, Change{Kind: f.kind, What: f.what, Before: was.value[f], After: v})
		}
	}
	for _, f := range is.order {
		if _, old := was.value[f]; !old {
			changes = append(changes, Change{Kind: f.kind, What: f.what, After: is.value[f]})
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return rankOf(a.Kind) - rankOf(b.Kind) })
	return changes
}

var changeOrder = []ChangeKind{ChangeFederation, ChangeBody, ChangeMember, ChangeSubsystem, ChangeGateway, ChangeKey, ChangeScheme, ChangeCategory, ChangeBasis,
	ChangePurpose, ChangeCell, ChangeService, ChangeField, ChangeGrant, ChangeStanding, ChangeProgramme, ChangeRule, ChangeCourt, ChangeIssuer, ChangeWitness, ChangeLog, ChangeCap}

func rankOf(k ChangeKind) int { return slices.Index(changeOrder, k) }

type fact struct {
	kind ChangeKind
	what string
}

// facts are everything that a document says, one small statement each.
type facts struct {
	order []fact
	value map[fact]string
}

func (f *facts) add(kind ChangeKind, what, value string) {
	if value == "" {
		value = "(empty)"
	}
	key := fact{kind, what}
	if _, twice := f.value[key]; !twice {
		f.order = append(f.order, key)
		f.value[key] = value
		return
	}
	f.value[key] += "; " + value
}

// some adds a fact only where there is something to say.
func (f *facts) some(kind ChangeKind, what, value string) {
	if value != "" {
		f.add(kind, what, value)
	}
}

func (f *facts) flag(kind ChangeKind, what string, set bool) {
	if set {
		f.add(kind, what, "yes")
	}
}

func factsOf(d *countersign.Directory) *facts {
	f := &facts{value: map[fact]string{}}
	f.some(ChangeFederation, "format", fmt.Sprint(d.Format))
	f.some(ChangeFederation, "instance", d.Instance)
	f.some(ChangeFederation, "name", textOf(d.Name))
	f.flag(ChangeFederation, "demonstration", d.Demo)
	for _, b := range d.Bodies {
		f.add(ChangeBody, string(b.Name), textOf(b.Text))
		f.add(ChangeBody, string(b.Name)+" key", b.Key)
	}
	for _, s := range d.Schemes {
		f.add(ChangeScheme, string(s.Name), fmt.Sprintf("%s; strip %q; upper %t; pattern %s", textOf(s.Text), s.Strip, s.Upper, s.Pattern))
	}
	for i := range d.Members {
		f.member(&d.Members[i])
	}
	for _, k := range d.Categories {
		f.add(ChangeCategory, string(k.Code), textOf(k.Text))
		f.add(ChangeCategory, string(k.Code)+" class", string(k.Class))
		f.flag(ChangeCategory, string(k.Code)+" special", k.Special)
	}
	for _, b := range d.Bases {
		f.add(ChangeBasis, string(b.Code), textOf(b.Law)+"; "+b.Article+"; "+b.URL)
	}
	for i := range d.Purposes {
		f.purpose(&d.Purposes[i])
	}
	for _, c := range d.Matrix {
		for _, k := range c.Mandates {
			f.add(ChangeCell, fmt.Sprintf("%s × %s on %s", c.Purpose, c.Category, k), "permits")
		}
		f.flag(ChangeCell, fmt.Sprintf("%s × %s", c.Purpose, c.Category), len(c.Mandates) == 0)
	}
	for i := range d.Services {
		f.service(&d.Services[i])
	}
	for _, s := range d.Standing {
		f.add(ChangeStanding, s.Client.String()+" → "+s.Service.String(), string(s.Purpose)+" on "+string(s.Basis))
	}
	for i := range d.Programmes {
		f.programme(&d.Programmes[i])
	}
	for _, r := range d.Rules {
		f.add(ChangeRule, strings.TrimSuffix(r.ID, ".next"), r.Policy)
		f.add(ChangeRule, strings.TrimSuffix(r.ID, ".next")+" text", textOf(r.Text))
	}
	f.institutions(d)
	f.caps(d.Caps)
	return f
}

func (f *facts) member(m *countersign.Member) {
	id := m.ID.String()
	f.add(ChangeMember, id, textOf(m.Text))
	for _, r := range m.Roles {
		f.add(ChangeMember, id+" role "+string(r), "yes")
	}
	for _, s := range m.Subsystems {
		f.add(ChangeSubsystem, id+"/"+s.Code, textOf(s.Text))
	}
	for _, g := range m.Gateways {
		at := id + " gateway " + string(g.Name)
		f.add(ChangeGateway, at, g.URL)
		f.keyList(at+" TLS key", g.TLS)
		f.keyList(at+" signing key", toStrings(g.Sign))
		f.log(at, g.Log)
	}
}

// keyList makes each key one fact. A key in the place of another shows as the one going and the other coming.
func (f *facts) keyList(what string, list []countersign.Pin) {
	for _, k := range list {
		f.add(ChangeKey, what+" "+string(k), "in use")
	}
}

func toStrings(list []string) []countersign.Pin {
	out := make([]countersign.Pin, len(list))
	for i, k := range list {
		out[i] = countersign.Pin(k)
	}
	return out
}

func (f *facts) log(at string, l countersign.Log) {
	f.some(ChangeLog, at+" log key", l.VKey)
	f.some(ChangeLog, at+" log address", l.URL)
	for i := range l.Before {
		before, end := &l.Before[i], "no checkpoint"
		if cp, err := endOf(before); err == nil {
			end = fmt.Sprintf("%d leaves, root %s", cp.Size, base64.StdEncoding.EncodeToString(cp.Hash))
		}
		f.add(ChangeLog, at+" log ended: "+before.VKey, fmt.Sprintf("%s, from %s on; kept at %s", end, before.From.UTC().Format(time.RFC3339), before.URL))
	}
}

func (f *facts) purpose(p *countersign.Purpose) {
	code := string(p.Code)
	f.add(ChangePurpose, code, textOf(p.Text))
	for _, b := range p.Bases {
		f.add(ChangePurpose, code+" basis "+string(b), "yes")
	}
	f.add(ChangePurpose, code+" least assurance", p.Assurance.String())
	f.add(ChangePurpose, code+" retention", time.Duration(p.Retention).String())
	mandates := make([]string, len(p.Mandates))
	for i, k := range p.Mandates {
		mandates[i] = k.String()
	}
	f.some(ChangePurpose, code+" mandates", strings.Join(mandates, ", "))
	f.flag(ChangePurpose, code+" needs a case", p.Case)
	if p.CaseRegister != nil {
		f.add(ChangePurpose, code+" cases confirmed by", p.CaseRegister.String())
	}
	if p.Linkage != 0 {
		f.add(ChangePurpose, code+" linkage", fmt.Sprint(p.Linkage))
	}
	if p.Polling != nil {
		f.add(ChangePurpose, code+" polling", fmt.Sprintf("%d a minute, %d a day", p.Polling.PerMinute, p.Polling.PerDay))
	}
}

func (f *facts) service(s *countersign.Service) {
	id := s.ID.String()
	f.add(ChangeService, id, textOf(s.Text))
	for _, k := range s.Categories {
		f.add(ChangeService, id+" holds "+string(k), "yes")
	}
	f.add(ChangeService, id+" subject", fmt.Sprintf("%s %s %s %s", s.Subject.From, s.Subject.In, s.Subject.Name, s.Subject.Scheme))
	for _, e := range s.Endpoints {
		f.add(ChangeService, id+" operation "+e.Method+" "+e.Path, "offered")
	}
	for _, x := range s.Fields {
		f.add(ChangeField, id+" "+string(x.Path), string(x.Category))
		f.some(ChangeField, id+" "+string(x.Path)+" tells of", string(x.Related))
	}
	for _, g := range s.Grants {
		f.grant(id, &g)
	}
	f.some(ChangeService, id+" description", s.OpenAPI)
	if s.Assessment != nil {
		f.add(ChangeService, id+" impact assessment", s.Assessment.String())
	}
	f.flag(ChangeService, id+" discloses the official", s.Disclose)
	f.flag(ChangeService, id+" coarse leaves", s.Coarse)
	f.flag(ChangeService, id+" out of use", s.Disabled)
	if s.Timeout != 0 {
		f.add(ChangeService, id+" time-out", time.Duration(s.Timeout).String())
	}
}

func (f *facts) grant(id string, g *countersign.Grant) {
	for _, client := range g.Clients {
		at := fmt.Sprintf("%s to %s for %s", id, client, g.Purpose)
		if len(g.Methods) > 0 {
			at += " by " + strings.Join(g.Methods, ", ")
		}
		f.add(ChangeGrant, at, "granted")
		for _, x := range g.Fields {
			f.add(ChangeGrant, at+" field "+string(x), "granted")
		}
		for _, x := range g.Writes {
			f.add(ChangeGrant, at+" may send "+string(x), "granted")
		}
	}
	f.flag(ChangeGrant, fmt.Sprintf("%s to nobody for %s", id, g.Purpose), len(g.Clients) == 0)
}

func (f *facts) programme(p *countersign.Programme) {
	id := string(p.ID)
	f.add(ChangeProgramme, id, fmt.Sprintf("%s; %s asks %s for %s on %s; %s", textOf(p.Text), p.Client, p.Service, p.Purpose, p.Basis, p.Population))
	for _, x := range p.Fields {
		f.add(ChangeProgramme, id+" field "+string(x), "yes")
	}
	f.add(ChangeProgramme, id+" rate", fmt.Sprintf("%d an hour", p.PerHour))
	f.add(ChangeProgramme, id+" from", p.From.UTC().Format(time.RFC3339Nano))
	f.add(ChangeProgramme, id+" until", p.Until.UTC().Format(time.RFC3339Nano))
}

func (f *facts) institutions(d *countersign.Directory) {
	for _, c := range d.Courts {
		f.add(ChangeCourt, string(c.Name), textOf(c.Text)+"; "+c.Member.String())
		f.keyList("court "+string(c.Name)+" key", toStrings(c.Keys))
		f.log("court "+string(c.Name), c.Log)
	}
	for _, x := range d.Issuers {
		at := issuerKey(x)
		f.add(ChangeIssuer, at, fmt.Sprintf("scheme %q, claim %q", x.Scheme, x.Claim))
		for _, r := range x.For {
			f.add(ChangeIssuer, at+" for "+string(r), "yes")
		}
		for _, a := range x.Audience {
			f.add(ChangeIssuer, at+" audience "+a, "yes")
		}
		for _, a := range x.Consents {
			f.add(ChangeIssuer, at+" consents under "+a, "yes")
		}
	}
	for _, w := range d.Witnesses {
		f.add(ChangeWitness, string(w.Name), w.Organisation+"; "+w.URL)
		f.add(ChangeKey, "witness "+string(w.Name)+" key", w.VKey)
	}
	if d.Quorum != 0 {
		f.add(ChangeWitness, "quorum of organisations", fmt.Sprint(d.Quorum))
	}
	f.log("directory", d.Log)
}

// caps are told as they act: a value left out and its default are the same.
func (f *facts) caps(c countersign.Caps) {
	e := effectiveCaps(c)
	for _, x := range []struct {
		what string
		v    countersign.Duration
	}{
		{"delay of notice", e.NoticeDelay}, {"longest delay of notice", e.NoticeCap}, {"life of a warrant", e.WarrantLife},
		{"review of an emergency", e.EmergencyReview}, {"review of a warrant's use", e.WarrantReview}, {"life of a record", e.RecordLife}, {"waiting period", e.WaitingPeriod},
	} {
		f.add(ChangeCap, x.what, time.Duration(x.v).String())
	}
	for _, x := range []struct {
		what string
		v    int
	}{
		{"people per official and hour", e.PeopleOfficial}, {"people per member and hour", e.PeopleMember},
		{"registers about one person in a day", e.Linkage}, {"emergencies per member and day", e.EmergencyQuota},
	} {
		f.add(ChangeCap, x.what, strconv.Itoa(x.v))
	}
}

// textOf writes a text in all its languages, in one spelling.
func textOf(t countersign.Text) string {
	if len(t) == 0 {
		return ""
	}
	b, err := json.Marshal(t) // sorted keys
	if err != nil {
		return fmt.Sprint(t)
	}
	return string(b)
}
