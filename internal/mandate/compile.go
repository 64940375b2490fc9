package mandate

import (
	"crypto"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"countersign.dev/countersign"
)

// PurposeMetadata and BasisMetadata are built in: they serve the metadata services of every provider, about nobody.
//
// SPEC: PR-MREST, PR-META: metadata services need no access right.
const (
	PurposeMetadata countersign.PurposeCode = "metadata"
	BasisMetadata   countersign.BasisCode   = "metadata"
)

// IsMetadata reports whether a service code is one of the built-in metadata services, which no directory may register.
func IsMetadata(service string) bool {
	switch service {
	case "listClients", "listMethods", "allowedMethods", "getOpenAPI":
		return true
	}
	return false
}

// AllFields stands for the whole body of an open service that is not filtered.
const AllFields countersign.FieldPath = "*"

// Policy is a directory made ready to decide. It is immutable and safe for concurrent use.
type Policy struct {
	version    uint64
	caps       countersign.Caps
	members    map[countersign.MemberID]string // as text
	subsystems map[countersign.SubsystemID]string
	schemes    map[countersign.SchemeName]*scheme
	categories map[countersign.CategoryCode]*category
	bases      map[countersign.BasisCode]*countersign.LegalBasis
	purposes   map[countersign.PurposeCode]*purpose
	services   map[countersign.ServiceID]*service
	standing   map[route]*countersign.StandingDeclaration
	programmes map[route][]*programme
	courts     map[countersign.CourtName]*court
	gateways   map[countersign.MemberID][]crypto.PublicKey // that sign for a member
	overseers  map[countersign.MemberID]bool
	portals    map[countersign.MemberID]bool
	entities   types.EntityMap // for rules
	rulings    rulings
}

type route struct {
	client  countersign.SubsystemID
	service countersign.ServiceID
}

type scheme struct {
	countersign.Scheme
	pattern *regexp.Regexp
}

type category struct {
	code    countersign.CategoryCode
	class   countersign.Class
	special bool
	floor   kinds
}

type purpose struct {
	countersign.Purpose
	kinds   kinds // that the purpose accepts at all; every kind where it lists none
	cells   map[countersign.CategoryCode]*cell
	budgets []BudgetSpec // that its questions draw from, but for whose they are
	ref     string       // for reasons
}

type cell struct {
	kinds kinds  // after the class's floor
	text  string // for the record
	needs string // why a field is withheld from whoever has none of them
}

type field struct {
	path     countersign.FieldPath
	category *category
}

type grant struct {
	everyone bool
	clients  map[countersign.SubsystemID]bool
	methods  []string
	fields   []grantField
	writes   []grantField
	open     bool         // the whole body of an open service passes, if every category in whole does
	whole    []grantField // the service's categories, for open
}

type grantField struct {
	field
	cell *cell // nil where the matrix is blank
}

type service struct {
	id         countersign.ServiceID
	name       string // its identifier as text
	provider   string // likewise its subsystem's
	ref        string // how a reason names it
	personal   bool
	answer     bool // the subject stands in the answer
	scheme     countersign.SchemeName
	disabled   bool
	assessed   bool
	incomplete bool                     // its entry names something missing, and cannot be judged
	never      countersign.CategoryCode // a category of class N that it carries, if any
	fields     map[countersign.FieldPath]field
	categories []*category
	grants     map[countersign.PurposeCode][]*grant
	rules      map[countersign.PurposeCode][]*rule // by the purpose that they ask for first, or by none
}

type programme struct {
	countersign.Programme
	fields map[countersign.FieldPath]bool
	digest countersign.Digest
	says   string // when its rate is used up
}

// Compile makes a policy of a directory. It refuses, all problems joined and each a CodeBadRequest refusal, what could lose a refusal: two
// entries under one name, and a rule that permits or cannot be evaluated. Anything else that is wrong in a directory permits nothing: an
// entry that names something missing is as good as blank, a cell that is looser than its category's class is cut down to it, a service of a
// category that is never exchanged refuses every question. [Check] names all of it, for whoever is about to sign.
//
// The policy keeps parts of the directory: the caller does not change it afterwards.
func Compile(d *countersign.Directory) (*Policy, error) {
	b := build(d)
	if len(b.fatal) > 0 {
		return nil, errors.Join(b.fatal...)
	}
	return b.p, nil
}

// Check lists everything in a directory that Compile refuses and everything that permits less than it says.
func Check(d *countersign.Directory) []error {
	b := build(d)
	return append(b.fatal, b.blank...)
}

type builder struct {
	p     *Policy
	d     *countersign.Directory
	fatal []error
	blank []error
}

// lost notes what could lose a refusal.
func (b *builder) lost(format string, args ...any) {
	b.fatal = append(b.fatal, countersign.Refuse(countersign.CodeBadRequest, format, args...))
}

// bad notes what permits nothing as it stands.
func (b *builder) bad(format string, args ...any) {
	b.blank = append(b.blank, countersign.Refuse(countersign.CodeBadRequest, format, args...))
}

func build(d *countersign.Directory) *builder {
	b := &builder{d: d, p: &Policy{
		version: d.Version, caps: tighter(d.Caps),
		members: map[countersign.MemberID]string{}, subsystems: map[countersign.SubsystemID]string{},
		schemes: map[countersign.SchemeName]*scheme{}, categories: map[countersign.CategoryCode]*category{},
		bases: map[countersign.BasisCode]*countersign.LegalBasis{}, purposes: map[countersign.PurposeCode]*purpose{},
		services: map[countersign.ServiceID]*service{}, standing: map[route]*countersign.StandingDeclaration{},
		programmes: map[route][]*programme{}, entities: types.EntityMap{}, courts: map[countersign.CourtName]*court{},
		gateways:  map[countersign.MemberID][]crypto.PublicKey{},
		overseers: map[countersign.MemberID]bool{}, portals: map[countersign.MemberID]bool{},
	}}
	b.parties()
	b.vocabulary()
	b.matrix()
	for i := range d.Services {
		b.service(&d.Services[i])
	}
	b.declarations()
	b.allProgrammes()
	b.courts()
	b.gatewayKeys()
	b.entities()
	b.rules()
	return b
}

func (b *builder) parties() {
	for i := range b.d.Members {
		m := &b.d.Members[i]
		if b.p.members[m.ID] != "" {
			b.lost("member %s is listed twice", m.ID)
		}
		b.p.members[m.ID] = m.ID.String()
		for _, s := range m.Subsystems {
			id := countersign.SubsystemID{MemberID: m.ID, Subsystem: s.Code}
			b.p.subsystems[id] = id.String()
		}
	}
	for _, s := range b.d.Schemes {
		re, err := regexp.Compile(`\A(?:` + s.Pattern + `)\z`)
		switch {
		case err != nil:
			b.bad("scheme %q: its pattern is not a regular expression of RE2", s.Name)
			continue
		case b.p.schemes[s.Name] != nil:
			b.lost("scheme %q is listed twice", s.Name)
		}
		b.p.schemes[s.Name] = &scheme{s, re}
	}
}

func (b *builder) vocabulary() {
	for _, c := range b.d.Categories {
		if b.p.categories[c.Code] != nil {
			b.lost("category %q is listed twice", c.Code)
		}
		if c.Class.Rank() == countersign.ClassNever.Rank() && c.Class != countersign.ClassNever {
			b.bad("category %q has the class %q: give one of O, R, C, C/W, W, N", c.Code, c.Class)
		}
		b.p.categories[c.Code] = &category{c.Code, c.Class, c.Special, floor(c.Class, c.Special)}
	}
	for i := range b.d.Bases {
		l := &b.d.Bases[i]
		if b.p.bases[l.Code] != nil {
			b.lost("legal basis %q is listed twice", l.Code)
		}
		b.p.bases[l.Code] = l
	}
	for i := range b.d.Purposes {
		u := &b.d.Purposes[i]
		if b.p.purposes[u.Code] != nil {
			b.lost("purpose %q is listed twice", u.Code)
		}
		if len(u.Bases) == 0 && u.Code != PurposeMetadata {
			b.bad("purpose %q names no legal basis", u.Code)
		}
		for _, l := range u.Bases {
			if b.p.bases[l] == nil {
				b.bad("purpose %q names the legal basis %q, which is not listed", u.Code, l)
			}
		}
		if u.Polling != nil && (u.Polling.PerMinute < 1 || u.Polling.PerDay < 1) {
			b.bad("purpose %q has polling bounds below 1: leave them out for the federation's", u.Code)
		}
		k := kindsOf(u.Mandates...)
		if len(u.Mandates) == 0 {
			k = ^kinds(0)
		}
		if u.Assurance < countersign.AssuranceAutomated || u.Assurance > countersign.AssuranceVerified {
			b.bad("purpose %q does not say how well the official must be known", u.Code)
		}
		v := &purpose{Purpose: *u, ref: "purpose " + string(u.Code), kinds: k, cells: map[countersign.CategoryCode]*cell{}}
		v.budgets = b.p.budgetsOf(v)
		b.p.purposes[u.Code] = v
	}
}

func (b *builder) matrix() {
	for _, c := range b.d.Matrix {
		ref := string(c.Purpose) + " × " + string(c.Category)
		u, k := b.p.purposes[c.Purpose], b.p.categories[c.Category]
		switch {
		case u == nil:
			b.bad("cell %s: the purpose is not listed", ref)
			continue
		case k == nil:
			b.bad("cell %s: the category is not listed", ref)
			continue
		case c.Purpose == PurposeMetadata:
			b.bad("cell %s: the built-in purpose %q touches no category", ref, PurposeMetadata)
		case u.cells[c.Category] != nil:
			b.lost("cell %s is listed twice", ref)
		case len(c.Mandates) == 0:
			b.bad("cell %s lists no mandate: list \"none\" where the purpose alone is enough, or leave the cell out", ref)
		case kindsOf(c.Mandates...)&^k.floor != 0:
			// The matrix may narrow what a class protects and never widen it (A48, A56).
			b.bad("cell %s: class %s does not accept %s", ref, k.class, kindsOf(c.Mandates...)&^k.floor)
		}
		allowed := kindsOf(c.Mandates...) & k.floor & u.kinds
		u.cells[c.Category] = &cell{allowed, "cell " + ref + " (" + string(k.class) + "): " + allowed.String(), "its category needs " + allowed.String()}
	}
}

func (b *builder) service(s *countersign.Service) {
	ref := s.ID.String()
	switch {
	case b.p.services[s.ID] != nil:
		b.lost("service %s is listed twice", ref)
	case IsMetadata(s.ID.Service):
		b.bad("service %s: the code %q belongs to the metadata services", ref, s.ID.Service)
	case b.p.subsystems[s.ID.SubsystemID] == "":
		b.bad("service %s: its subsystem is not listed", ref)
	}
	v := &service{
		id: s.ID, name: s.ID.String(), provider: s.ID.SubsystemID.String(), ref: "service " + s.ID.String(), personal: s.Subject.From != countersign.SubjectNone, answer: s.Subject.From == countersign.SubjectInAnswer, scheme: s.Subject.Scheme,
		disabled: s.Disabled, assessed: s.Assessment != nil && !s.Assessment.IsZero(), fields: map[countersign.FieldPath]field{},
		grants: map[countersign.PurposeCode][]*grant{}, rules: map[countersign.PurposeCode][]*rule{},
	}
	b.p.services[s.ID] = v
	b.serviceCategories(s, v, ref)
	switch s.Subject.From {
	case countersign.SubjectInRequest, countersign.SubjectInAnswer:
		if b.p.schemes[s.Subject.Scheme] == nil {
			b.bad("service %s: the identifier scheme %q of its subject is not listed", ref, s.Subject.Scheme)
		}
	case countersign.SubjectNone:
		// A02: what is about people names the person that a question is about.
		for _, c := range v.categories {
			if c.class != countersign.ClassOpen {
				b.bad("service %s has no data subject, but the category %q is of class %s: give it a selector", ref, c.code, c.class)
			}
		}
	default:
		b.bad("service %s: its subject is found in %q: give request, answer or none", ref, s.Subject.From)
		v.incomplete = true
	}
	for i := range s.Grants {
		b.grant(s, v, &s.Grants[i])
	}
}

func (b *builder) serviceCategories(s *countersign.Service, v *service, ref string) {
	add := func(code countersign.CategoryCode) *category {
		c := b.p.categories[code]
		if c == nil {
			b.bad("service %s: the category %q is not listed", ref, code)
			v.incomplete = true
			return nil
		}
		if !slices.Contains(v.categories, c) {
			v.categories = append(v.categories, c)
		}
		if c.floor == 0 && v.never == "" {
			// LAW: Convention 108+ Art. 6; A55, A56: such a category can be neither registered nor asked.
			v.never = c.code
			b.bad("service %s carries the category %q, which is never exchanged", ref, c.code)
		}
		return c
	}
	for _, code := range s.Categories {
		add(code)
	}
	if len(s.Categories) == 0 {
		b.bad("service %s names no category", ref)
		v.incomplete = true
	}
	for _, f := range s.Fields {
		if _, twice := v.fields[f.Path]; twice {
			b.lost("service %s: the field %q is listed twice", ref, f.Path)
		}
		if c := add(f.Category); c != nil {
			v.fields[f.Path] = field{f.Path, c}
		}
	}
}

func (b *builder) grant(s *countersign.Service, v *service, g *countersign.Grant) {
	ref := "service " + s.ID.String() + ", grant for " + string(g.Purpose)
	u := b.p.purposes[g.Purpose]
	if u == nil || g.Purpose == PurposeMetadata {
		b.bad("%s: the purpose is not one that a grant may name", ref)
		return
	}
	c := &grant{clients: map[countersign.SubsystemID]bool{}, methods: g.Methods}
	if len(c.methods) == 0 {
		c.methods = []string{http.MethodGet, http.MethodHead} // reading is the least that a grant can mean
	}
	if slices.Contains(g.Fields, AllFields) && v.personal {
		b.bad("%s: the whole body leaves only open services", ref)
	}
	if len(g.Clients) == 0 {
		b.bad("%s names no client", ref)
	}
	for _, text := range g.Clients {
		if text == "*" {
			c.everyone = true
			continue
		}
		id, err := countersign.ParseSubsystemID(text)
		if err != nil || !b.p.knows(id) {
			b.bad("%s: the client %q is not listed as a subsystem", ref, text)
			continue
		}
		c.clients[id] = true
	}
	for _, m := range c.methods {
		if m == "" || m != strings.ToUpper(m) {
			b.bad("%s: the method %q is not an HTTP verb in capitals", ref, m)
		}
	}
	whole := func(f countersign.FieldPath) bool { return f == AllFields }
	pick := func(paths []countersign.FieldPath, what string) (out []grantField) {
		for _, path := range paths {
			if whole(path) {
				continue
			}
			f, ok := v.fields[path]
			if !ok {
				b.bad("%s: the %s %q is not a field of the service", ref, what, path)
				continue
			}
			out = append(out, grantField{f, u.cells[f.category.code]})
		}
		slices.SortFunc(out, func(x, y grantField) int { return strings.Compare(string(x.path), string(y.path)) })
		return out
	}
	c.fields, c.writes = pick(g.Fields, "field"), pick(g.Writes, "written field")
	if c.open = !v.personal && (len(s.Fields) == 0 || slices.ContainsFunc(g.Fields, whole)); c.open {
		for _, k := range v.categories {
			c.whole = append(c.whole, grantField{field{AllFields, k}, u.cells[k.code]})
		}
	}
	v.grants[g.Purpose] = append(v.grants[g.Purpose], c)
}

// knows reports whether an identifier is a subsystem of the directory, or a member itself (X-Road clients of three parts).
func (p *Policy) knows(id countersign.SubsystemID) bool {
	return p.subsystems[id] != "" || id.Subsystem == "" && p.members[id.MemberID] != ""
}

// textOf writes a client and its member as text, for the most part as it was written when the directory was compiled.
func (p *Policy) textOf(id countersign.SubsystemID) (client, member string) {
	client, member = p.subsystems[id], p.members[id.MemberID]
	if member == "" {
		member = id.MemberID.String()
	}
	switch {
	case client != "":
	case id.Subsystem == "":
		client = member
	default:
		client = id.String()
	}
	return client, member
}

// Version is the directory version that the policy was made of.
func (p *Policy) Version() uint64 { return p.version }

// Caps are the bounds that hold: the federation's where they tighten the defaults.
func (p *Policy) Caps() countersign.Caps { return p.caps }

// Normalise gives the canonical identifier of a person under a scheme of the directory; see [countersign.Scheme.Normalise], which this
// does without reading the pattern anew.
func (p *Policy) Normalise(name countersign.SchemeName, value string) (countersign.SubjectID, error) {
	s := p.schemes[name]
	if s == nil {
		return countersign.SubjectID{}, countersign.Refuse(countersign.CodeNoSubject, "the identifier scheme %q is not one of the directory", name)
	}
	return s.normalise(value)
}

func (s *scheme) normalise(value string) (countersign.SubjectID, error) {
	value = strings.Map(func(r rune) rune {
		switch {
		case s.Strip != "" && strings.ContainsRune(s.Strip, r):
			return -1
		case s.Upper && r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, value)
	if value == "" || len(value) > 128 || !s.pattern.MatchString(value) {
		return countersign.SubjectID{}, countersign.Refuse(countersign.CodeNoSubject, "the person identifier is not one of the scheme %q: check its spelling", s.Name)
	}
	return countersign.SubjectID{Scheme: s.Name, Value: value}, nil
}

// StandingFor gives the standing declaration of a client for a service; false where there is none.
func (p *Policy) StandingFor(client countersign.SubsystemID, service countersign.ServiceID) (countersign.StandingDeclaration, bool) {
	s := p.standing[route{client, service}]
	if s == nil {
		return countersign.StandingDeclaration{}, false
	}
	return *s, true
}
