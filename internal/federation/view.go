package federation

import (
	"crypto"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// View is one state of the directory made ready for look-ups: immutable, safe for concurrent use, and every look-up by key is one map access
// without allocation. What it returns by pointer or slice is shared and must not be changed.
type View struct {
	document   *countersign.Directory
	version    uint64
	expires    time.Time
	waiting    []Waiting
	openapi    map[string][]byte
	members    map[countersign.MemberID]*countersign.Member
	subsystems map[countersign.SubsystemID]*countersign.Subsystem
	services   map[countersign.ServiceID]*Service
	gateways   map[countersign.MemberID][]*Gateway
	byPin      map[keys.SPKIDigest]*Gateway
	bySign     map[countersign.KeyID]*Gateway
	schemes    map[countersign.SchemeName]*scheme
	categories map[countersign.CategoryCode]*countersign.Category
	bases      map[countersign.BasisCode]*countersign.LegalBasis
	purposes   map[countersign.PurposeCode]*countersign.Purpose
	cells      map[cellKey]*countersign.Cell
	standing   map[standingKey]*countersign.StandingDeclaration
	programmes map[countersign.ProgrammeID]*countersign.Programme
	courts     map[countersign.CourtName]*Court
	logs       map[countersign.LogOrigin]*Log
	caps       countersign.Caps
}

type cellKey struct {
	purpose  countersign.PurposeCode
	category countersign.CategoryCode
}

type standingKey struct {
	client  countersign.SubsystemID
	service countersign.ServiceID
}

type scheme struct {
	*countersign.Scheme
	pattern *regexp.Regexp
}

// Gateway is a gateway of a member with its keys parsed.
type Gateway struct {
	*countersign.Gateway
	Member countersign.MemberID
	Pins   []keys.SPKIDigest
	Signs  map[countersign.KeyID]crypto.PublicKey
	LogKey *countersign.LogKey
}

// SignKey gives a key that the gateway may sign messages with.
func (g *Gateway) SignKey(id countersign.KeyID) (crypto.PublicKey, bool) {
	k, ok := g.Signs[id]
	return k, ok
}

// Court is a court with its keys parsed.
type Court struct {
	*countersign.Court
	Keys   map[countersign.KeyID]crypto.PublicKey
	LogKey *countersign.LogKey
}

// Log is a log of the directory, and whose it is: a gateway's, a court's or, with a zero owner, the directory's own.
type Log struct {
	countersign.Log
	Key     *countersign.LogKey
	Owner   countersign.MemberID
	Gateway countersign.GatewayName
	Court   countersign.CourtName
	// Ended says which of its owner's ended logs it is, counted from 1 for the oldest; 0 for the present log.
	Ended int
}

// Service is a service with what follows from its categories.
type Service struct {
	*countersign.Service
	Class    countersign.Class // the strictest of its categories
	Personal bool              // any category is other than O
	// Active says that the service may be asked at all: not disabled and, where personal, with a signed impact assessment (SAFEGUARDS 10).
	Active   bool
	fields   map[countersign.FieldPath]countersign.CategoryCode
	grants   map[grantKey][]*countersign.Grant
	everyone map[countersign.PurposeCode][]*countersign.Grant
}

type grantKey struct {
	purpose countersign.PurposeCode
	client  countersign.SubsystemID
}

// Category gives the category of a declared field; a field that is not declared has none and does not leave.
func (s *Service) Category(path countersign.FieldPath) (countersign.CategoryCode, bool) {
	c, ok := s.fields[path]
	return c, ok
}

// Grants gives what a client gets for a purpose: its own grants and those of everybody. None means refusal.
func (s *Service) Grants(client countersign.SubsystemID, purpose countersign.PurposeCode) []*countersign.Grant {
	if g, ok := s.grants[grantKey{purpose, client}]; ok {
		return g
	}
	return s.everyone[purpose]
}

// Waiting is a signed version whose widening changes have not taken effect yet.
type Waiting struct {
	Version   uint64    `json:"version"`
	Effective time.Time `json:"effective"`
}

// NewView compiles a document that [Check] has passed; expires is when it goes stale. The errors are [Check]'s.
func NewView(d *countersign.Directory, expires time.Time) (*View, error) {
	if err := Check(d); err != nil {
		return nil, err
	}
	return compile(d, expires)
}

// compile skips the check: a document between two versions ([InForce]) may lack what the check wants and refuses more for it.
func compile(d *countersign.Directory, expires time.Time) (*View, error) {
	v := &View{
		document: d, version: d.Version, expires: expires, openapi: map[string][]byte{},
		members: map[countersign.MemberID]*countersign.Member{}, subsystems: map[countersign.SubsystemID]*countersign.Subsystem{},
		services: map[countersign.ServiceID]*Service{}, gateways: map[countersign.MemberID][]*Gateway{},
		byPin: map[keys.SPKIDigest]*Gateway{}, bySign: map[countersign.KeyID]*Gateway{},
		schemes: map[countersign.SchemeName]*scheme{}, categories: index(d.Categories, func(x *countersign.Category) countersign.CategoryCode { return x.Code }),
		bases:      index(d.Bases, func(x *countersign.LegalBasis) countersign.BasisCode { return x.Code }),
		purposes:   index(d.Purposes, func(x *countersign.Purpose) countersign.PurposeCode { return x.Code }),
		cells:      index(d.Matrix, func(x *countersign.Cell) cellKey { return cellKey{x.Purpose, x.Category} }),
		standing:   index(d.Standing, func(x *countersign.StandingDeclaration) standingKey { return standingKey{x.Client, x.Service} }),
		programmes: index(d.Programmes, func(x *countersign.Programme) countersign.ProgrammeID { return x.ID }),
		courts:     map[countersign.CourtName]*Court{}, logs: map[countersign.LogOrigin]*Log{}, caps: effectiveCaps(d.Caps),
	}
	for i := range d.Schemes {
		re, err := compileScheme(&d.Schemes[i])
		if err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "schemes[%d].pattern: is not an RE2 expression", i)
		}
		v.schemes[d.Schemes[i].Name] = &scheme{&d.Schemes[i], re}
	}
	if err := v.addLog("log", Log{Log: d.Log}); err != nil {
		return nil, err
	}
	for i := range d.Members {
		if err := v.addMember(&d.Members[i]); err != nil {
			return nil, err
		}
	}
	for i := range d.Courts {
		if err := v.addCourt(&d.Courts[i]); err != nil {
			return nil, err
		}
	}
	for i := range d.Services {
		if err := v.addService(&d.Services[i]); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func index[K comparable, T any](list []T, key func(*T) K) map[K]*T {
	m := make(map[K]*T, len(list))
	for i := range list {
		m[key(&list[i])] = &list[i]
	}
	return m
}

func compileScheme(s *countersign.Scheme) (*regexp.Regexp, error) {
	return regexp.Compile(`\A(?:` + s.Pattern + `)\z`)
}

func (v *View) addLog(at string, l Log) error {
	key, err := countersign.ParseLogKey(l.VKey)
	if err != nil {
		return fmt.Errorf("%s.vkey: %w", at, err)
	}
	l.Key = key
	v.logs[key.Origin] = &l
	for i, before := range l.Before {
		ended := l
		ended.Log, ended.Ended = countersign.Log{VKey: before.VKey, URL: before.URL}, i+1
		if err := v.addLog(fmt.Sprintf("%s.before[%d]", at, i), ended); err != nil {
			return err
		}
	}
	return nil
}

func (v *View) addMember(m *countersign.Member) error {
	v.members[m.ID] = m
	for j := range m.Subsystems {
		v.subsystems[countersign.SubsystemID{MemberID: m.ID, Subsystem: m.Subsystems[j].Code}] = &m.Subsystems[j]
	}
	for j := range m.Gateways {
		at := fmt.Sprintf("member %s, gateway %s", m.ID, m.Gateways[j].Name)
		g := &Gateway{Gateway: &m.Gateways[j], Member: m.ID, Signs: map[countersign.KeyID]crypto.PublicKey{}}
		for _, pin := range g.TLS {
			digest, err := keys.ParseSPKIDigest(countersign.KeyID(pin))
			if err != nil {
				return fmt.Errorf("%s, tls: %w", at, err)
			}
			g.Pins = append(g.Pins, digest)
			v.byPin[digest] = g
		}
		if err := parseKeys(g.Sign, g.Signs); err != nil {
			return fmt.Errorf("%s, sign: %w", at, err)
		}
		for id := range g.Signs {
			v.bySign[id] = g
		}
		if err := v.addLog(at+", log", Log{Log: g.Log, Owner: m.ID, Gateway: g.Name}); err != nil {
			return err
		}
		g.LogKey, _ = countersign.ParseLogKey(g.Log.VKey) // addLog has just read it
		v.gateways[m.ID] = append(v.gateways[m.ID], g)
	}
	return nil
}

func parseKeys(texts []string, into map[countersign.KeyID]crypto.PublicKey) error {
	for _, t := range texts {
		pub, err := keys.PublicKeyText(t).Parse()
		if err != nil {
			return err
		}
		id, err := countersign.KeyIDOf(pub)
		if err != nil {
			return err
		}
		into[id] = pub
	}
	return nil
}

func (v *View) addCourt(c *countersign.Court) error {
	court := &Court{Court: c, Keys: map[countersign.KeyID]crypto.PublicKey{}}
	at := fmt.Sprintf("court %s", c.Name)
	if err := parseKeys(c.Keys, court.Keys); err != nil {
		return fmt.Errorf("%s, keys: %w", at, err)
	}
	if err := v.addLog(at+", log", Log{Log: c.Log, Owner: c.Member, Court: c.Name}); err != nil {
		return err
	}
	court.LogKey, _ = countersign.ParseLogKey(c.Log.VKey) // addLog has just read it
	v.courts[c.Name] = court
	return nil
}

func (v *View) addService(d *countersign.Service) error {
	s := &Service{Service: d, Class: countersign.ClassOpen, fields: make(map[countersign.FieldPath]countersign.CategoryCode, len(d.Fields)),
		grants: map[grantKey][]*countersign.Grant{}, everyone: map[countersign.PurposeCode][]*countersign.Grant{}}
	if len(d.Categories) == 0 {
		s.Class = countersign.ClassNever
	}
	for _, code := range d.Categories {
		class := countersign.ClassNever // a category that nobody defined is not exchanged
		if k := v.categories[code]; k != nil {
			class = k.Class
		}
		if class.Rank() > s.Class.Rank() {
			s.Class = class
		}
	}
	s.Personal = s.Class != countersign.ClassOpen
	s.Active = !d.Disabled && s.Class != countersign.ClassNever && (!s.Personal || d.Assessment != nil)
	for _, f := range d.Fields {
		s.fields[f.Path] = f.Category
	}
	for i := range d.Grants {
		g := &d.Grants[i]
		if slices.Contains(g.Clients, "*") {
			s.everyone[g.Purpose] = append(s.everyone[g.Purpose], g)
		}
	}
	for i := range d.Grants {
		g := &d.Grants[i]
		if slices.Contains(g.Clients, "*") {
			continue
		}
		for _, text := range g.Clients {
			client, err := countersign.ParseSubsystemID(text)
			if err != nil {
				return fmt.Errorf("service %s, grants[%d].clients: %w", d.ID, i, err)
			}
			key := grantKey{g.Purpose, client}
			if s.grants[key] == nil {
				s.grants[key] = slices.Clone(s.everyone[g.Purpose])
			}
			s.grants[key] = append(s.grants[key], g)
		}
	}
	v.services[d.ID] = s
	return nil
}

// Document is the document that is in force, for the mandate's compilation.
func (v *View) Document() *countersign.Directory { return v.document }

// Version is the newest signed version of the document, which statements cite.
func (v *View) Version() uint64 { return v.version }

// Expires is when this view goes stale unless the directory is reached before.
func (v *View) Expires() time.Time { return v.expires }

// Waiting lists the signed versions whose widening changes wait in public, soonest first.
func (v *View) Waiting() []Waiting { return v.waiting }

// Demo says that the federation is a demonstration, with fictional people and perhaps a simulated clock.
func (v *View) Demo() bool { return v.document.Demo }

// Caps are the federation's bounds with the defaults filled in.
func (v *View) Caps() countersign.Caps { return v.caps }

// OpenAPI gives a service's description as the directory signed it.
func (v *View) OpenAPI(name string) ([]byte, bool) {
	b, ok := v.openapi[name]
	return b, ok
}

// Member looks a member up.
func (v *View) Member(id countersign.MemberID) (*countersign.Member, bool) {
	return lookup(v.members, id)
}

// Subsystem looks a subsystem up. A SubsystemID without a subsystem is no subsystem: see [View.Client].
func (v *View) Subsystem(id countersign.SubsystemID) (*countersign.Subsystem, bool) {
	return lookup(v.subsystems, id)
}

// Client reports whether id may appear as a client: a subsystem, or a member by itself.
func (v *View) Client(id countersign.SubsystemID) bool {
	if id.Subsystem == "" {
		return v.members[id.MemberID] != nil
	}
	return v.subsystems[id] != nil
}

// Service looks a service up.
func (v *View) Service(id countersign.ServiceID) (*Service, bool) { return lookup(v.services, id) }

// Gateways gives a member's gateways in the document's order; none for an unknown member.
func (v *View) Gateways(id countersign.MemberID) []*Gateway { return v.gateways[id] }

// GatewayByPin finds the gateway that presents a TLS key.
func (v *View) GatewayByPin(pin keys.SPKIDigest) (*Gateway, bool) { return lookup(v.byPin, pin) }

// GatewayBySignKey finds the gateway that signs messages with a key.
func (v *View) GatewayBySignKey(id countersign.KeyID) (*Gateway, bool) { return lookup(v.bySign, id) }

// Category looks a category up.
func (v *View) Category(code countersign.CategoryCode) (*countersign.Category, bool) {
	return lookup(v.categories, code)
}

// Basis looks a legal basis up.
func (v *View) Basis(code countersign.BasisCode) (*countersign.LegalBasis, bool) {
	return lookup(v.bases, code)
}

// Purpose looks a purpose up. The built-in [PurposeMetadata] is not in the document.
func (v *View) Purpose(code countersign.PurposeCode) (*countersign.Purpose, bool) {
	return lookup(v.purposes, code)
}

// Cell gives the cell of the matrix; a blank one refuses.
func (v *View) Cell(purpose countersign.PurposeCode, category countersign.CategoryCode) (*countersign.Cell, bool) {
	return lookup(v.cells, cellKey{purpose, category})
}

// Standing gives the standing declaration of a client for a service.
func (v *View) Standing(client countersign.SubsystemID, service countersign.ServiceID) (*countersign.StandingDeclaration, bool) {
	return lookup(v.standing, standingKey{client, service})
}

// Programme looks a programme up; whether it runs at this hour is the caller's to judge.
func (v *View) Programme(id countersign.ProgrammeID) (*countersign.Programme, bool) {
	return lookup(v.programmes, id)
}

// Court looks a court up.
func (v *View) Court(name countersign.CourtName) (*Court, bool) { return lookup(v.courts, name) }

// LogByOrigin finds a log of the federation by the first line of its checkpoints, one that has ended too.
func (v *View) LogByOrigin(origin countersign.LogOrigin) (*Log, bool) { return lookup(v.logs, origin) }

// Witnesses gives the witnesses in the document's order.
func (v *View) Witnesses() []countersign.Witness { return v.document.Witnesses }

// Issuers gives the providers whose identity tokens count, in the document's order.
func (v *View) Issuers() []countersign.Issuer { return v.document.Issuers }

// Quorum is how many organisations' witnesses must cosign.
func (v *View) Quorum() int { return v.document.Quorum }

func lookup[K comparable, T any](m map[K]*T, key K) (*T, bool) {
	t, ok := m[key]
	return t, ok
}

// NormaliseSubject reads "scheme:VALUE" and gives the person's one spelling by the scheme's rule. Refusals are CodeNoSubject and CodeBadRequest
// and do not repeat the value.
func (v *View) NormaliseSubject(text string) (countersign.SubjectID, error) {
	id, err := countersign.ParseSubjectID(text)
	if err != nil {
		return countersign.SubjectID{}, err
	}
	s, ok := v.schemes[id.Scheme]
	if !ok {
		return countersign.SubjectID{}, countersign.Refuse(countersign.CodeNoSubject, "the person identifier is of a scheme that the directory does not know")
	}
	return s.normalise(id.Value)
}

// Normalise gives the one spelling of a bare value under a scheme, as [View.NormaliseSubject] does.
func (v *View) Normalise(name countersign.SchemeName, value string) (countersign.SubjectID, error) {
	s, ok := v.schemes[name]
	if !ok {
		return countersign.SubjectID{}, countersign.Refuse(countersign.CodeNoSubject, "the person identifier is of a scheme that the directory does not know")
	}
	return s.normalise(value)
}

// normalise is [countersign.Scheme.Normalise] with the pattern compiled once. A value that is spelt right already is not copied.
func (s *scheme) normalise(value string) (countersign.SubjectID, error) {
	if s.Strip != "" && strings.ContainsAny(value, s.Strip) {
		value = strings.Map(func(r rune) rune {
			if strings.ContainsRune(s.Strip, r) {
				return -1
			}
			return r
		}, value)
	}
	if s.Upper && strings.ContainsFunc(value, func(r rune) bool { return r >= 'a' && r <= 'z' }) {
		value = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, value)
	}
	if value == "" || len(value) > 128 || !s.pattern.MatchString(value) {
		return countersign.SubjectID{}, countersign.Refuse(countersign.CodeNoSubject, "the person identifier is not one of the scheme %q: check its spelling", s.Name)
	}
	return countersign.SubjectID{Scheme: s.Name, Value: value}, nil
}

// effectiveCaps fills the defaults in.
func effectiveCaps(c countersign.Caps) countersign.Caps {
	d := countersign.DefaultCaps()
	fill := func(v *countersign.Duration, dflt countersign.Duration) {
		if *v == 0 {
			*v = dflt
		}
	}
	fillInt := func(v *int, dflt int) {
		if *v == 0 {
			*v = dflt
		}
	}
	fill(&c.NoticeDelay, d.NoticeDelay)
	fill(&c.NoticeCap, d.NoticeCap)
	fill(&c.WarrantLife, d.WarrantLife)
	fill(&c.EmergencyReview, d.EmergencyReview)
	fill(&c.WarrantReview, d.WarrantReview)
	fill(&c.RecordLife, d.RecordLife)
	fill(&c.WaitingPeriod, d.WaitingPeriod)
	fillInt(&c.PeopleOfficial, d.PeopleOfficial)
	fillInt(&c.PeopleMember, d.PeopleMember)
	fillInt(&c.Linkage, d.Linkage)
	fillInt(&c.EmergencyQuota, d.EmergencyQuota)
	return c
}
