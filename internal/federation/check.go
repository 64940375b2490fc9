package federation

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// PurposeMetadata is the built-in purpose of metadata services, which are about nobody. No document defines it.
const PurposeMetadata countersign.PurposeCode = "metadata"

// Check judges a directory document: every reference resolves, and nothing in it breaks a rule that the federation may not change. The
// error joins one CodeBadRequest refusal for each problem, all of them, each naming the field and the remedy; nil means that the document may be signed.
// Whether the OpenAPI descriptions exist is [CheckTargets]' to say, and whether the Cedar rules compile is internal/mandate's.
func Check(d *countersign.Directory) error {
	if d == nil {
		return countersign.Refuse(countersign.CodeBadRequest, "there is no directory document")
	}
	c := newChecker(d)
	c.head()
	c.schemes()
	c.members()
	c.categories()
	c.purposes()
	c.matrix()
	c.services()
	c.standing()
	c.programmes()
	c.rules()
	c.courts()
	c.issuers()
	c.witnesses()
	c.caps()
	return errors.Join(c.problems...)
}

// CheckTargets refuses services that name an OpenAPI description which is not among the names of the repository's targets.
func CheckTargets(d *countersign.Directory, exists func(name string) bool) error {
	var problems []error
	for i := range d.Services {
		if name := d.Services[i].OpenAPI; name != "" && !exists(name) {
			problems = append(problems, countersign.Refuse(countersign.CodeBadRequest,
				"services[%d].openapi: no description %q is among the targets: add the file or empty the field", i, name))
		}
	}
	return errors.Join(problems...)
}

// checker gathers problems and holds the look-ups that several checks share.
type checker struct {
	d          *countersign.Directory
	problems   []error
	memberOf   map[countersign.MemberID]*countersign.Member
	subsystems map[countersign.SubsystemID]bool
	schemeOf   map[countersign.SchemeName]bool
	classOf    map[countersign.CategoryCode]countersign.Class
	basisOf    map[countersign.BasisCode]bool
	purposeOf  map[countersign.PurposeCode]*countersign.Purpose
	cellOf     map[cellKey]*countersign.Cell
	serviceOf  map[countersign.ServiceID]*countersign.Service
	usedOnce   map[string]string // keys and log origins, which nobody shares: value → field
}

func newChecker(d *countersign.Directory) *checker {
	c := &checker{
		d: d, memberOf: map[countersign.MemberID]*countersign.Member{}, subsystems: map[countersign.SubsystemID]bool{},
		schemeOf: map[countersign.SchemeName]bool{}, classOf: map[countersign.CategoryCode]countersign.Class{},
		basisOf: map[countersign.BasisCode]bool{}, purposeOf: map[countersign.PurposeCode]*countersign.Purpose{},
		cellOf: map[cellKey]*countersign.Cell{}, serviceOf: map[countersign.ServiceID]*countersign.Service{}, usedOnce: map[string]string{},
	}
	for i := range d.Members {
		m := &d.Members[i]
		c.memberOf[m.ID] = m
		c.subsystems[countersign.SubsystemID{MemberID: m.ID}] = true
		for _, s := range m.Subsystems {
			c.subsystems[countersign.SubsystemID{MemberID: m.ID, Subsystem: s.Code}] = true
		}
	}
	for _, s := range d.Schemes {
		c.schemeOf[s.Name] = true
	}
	for _, k := range d.Categories {
		c.classOf[k.Code] = k.Class
	}
	for _, b := range d.Bases {
		c.basisOf[b.Code] = true
	}
	for i := range d.Purposes {
		c.purposeOf[d.Purposes[i].Code] = &d.Purposes[i]
	}
	for i := range d.Matrix {
		c.cellOf[cellKey{d.Matrix[i].Purpose, d.Matrix[i].Category}] = &d.Matrix[i]
	}
	for i := range d.Services {
		c.serviceOf[d.Services[i].ID] = &d.Services[i]
	}
	return c
}

// bad records a problem at a field; format says what is wrong and what to do.
func (c *checker) bad(field, format string, args ...any) {
	c.problems = append(c.problems, countersign.Refuse(countersign.CodeBadRequest, "%s: %s", field, fmt.Sprintf(format, args...)))
}

// wrong records the message of an error found at a field.
func (c *checker) wrong(field string, err error) {
	if err != nil {
		c.bad(field, "%s", countersign.MessageOf(err))
	}
}

func (c *checker) once(field, what, value string) {
	if before, taken := c.usedOnce[what+" "+value]; taken {
		c.bad(field, "the %s is that of %s already: each has its own", what, before)
		return
	}
	c.usedOnce[what+" "+value] = field
}

func (c *checker) text(field string, t countersign.Text) {
	if strings.TrimSpace(t.In("en")) == "" {
		c.bad(field, "is empty: say it in at least one language (az, en, ru)")
	}
	for lang, s := range t {
		if lang == "" || strings.TrimSpace(s) == "" {
			c.bad(field, "has an empty language or sentence: fill it or leave it out")
		}
	}
}

// codeForm is what purposes, bases, categories and names of things look like: they travel in headers, policies and URLs.
var codeForm = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z`)

func (c *checker) code(field, value string) {
	if !codeForm.MatchString(value) {
		c.bad(field, "%q is not a code: use 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first", value)
	}
}

// named checks a code that nothing else of its kind has.
func (c *checker) named(field, what, value string) {
	c.code(field, value)
	c.once(field, what, value)
}

func (c *checker) head() {
	d := c.d
	if d.Format != 1 {
		c.bad("format", "is %d: this program knows format 1", d.Format)
	}
	c.wrong("instance", countersign.CheckNewIdentifierPart(d.Instance))
	if d.Version == 0 {
		c.bad("version", "is 0: versions begin at 1 and grow by one")
	}
	c.text("name", d.Name)
	if len(d.Bodies) == 0 {
		c.bad("bodies", "is empty: name the governing bodies that sign this document")
	}
	for i, b := range d.Bodies {
		at := fmt.Sprintf("bodies[%d]", i)
		c.named(at+".name", "name of a body", string(b.Name))
		c.text(at+".text", b.Text)
		c.key(at+".key", b.Key)
	}
	c.log("log", d.Log)
}

func (c *checker) key(field, text string) {
	if _, err := keys.PublicKeyText(text).Parse(); err != nil {
		c.wrong(field, err)
		return
	}
	c.once(field, "public key", text)
}

func (c *checker) log(field string, l countersign.Log) {
	if _, err := countersign.ParseLogKey(l.VKey); err != nil {
		c.wrong(field+".vkey", err)
	} else if v, err := note.NewVerifier(l.VKey); err != nil {
		c.bad(field+".vkey", "the hash in the verifier key does not belong to its name and key: copy it whole from the log")
	} else {
		c.once(field+".vkey", "log origin", v.Name())
	}
	c.url(field+".url", l.URL, "https", "http")
	for i := range l.Before {
		c.endedLog(fmt.Sprintf("%s.before[%d]", field, i), &l.Before[i])
	}
}

// endedLog wants a checkpoint that the ended log has signed: its end is the log's own word, and not that of whoever proposes it.
func (c *checker) endedLog(field string, l *countersign.EndedLog) {
	c.log(field, countersign.Log{VKey: l.VKey, URL: l.URL})
	if _, err := endOf(l); err != nil {
		c.wrong(field+".checkpoint", err)
	}
	if l.From.IsZero() {
		c.bad(field+".from", "is missing: say since when the successor stands in its place")
	}
}

// url wants an absolute URL with a host and nothing that carries secrets or names a part of a page.
func (c *checker) url(field, text string, schemes ...string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(text, "?# \t") || !slices.Contains(schemes, u.Scheme) {
		c.bad(field, "is not an absolute URL of the scheme %s without user, query and fragment", strings.Join(schemes, " or "))
	}
}

func (c *checker) schemes() {
	for i, s := range c.d.Schemes {
		at := fmt.Sprintf("schemes[%d]", i)
		c.named(at+".name", "name of a scheme", string(s.Name))
		c.text(at+".text", s.Text)
		if s.Pattern == "" {
			c.bad(at+".pattern", "is empty: give the RE2 expression of a whole identifier")
		} else if re, err := compileScheme(&s); err != nil {
			c.bad(at+".pattern", "is not an RE2 expression: %s", err)
		} else if re.MatchString("") {
			c.bad(at+".pattern", "matches nothing at all: an identifier has at least one character")
		}
	}
}

// exclusive are the roles that never join in one member.
//
// LAW: SAFEGUARDS 11: owner, operator and overseer are different organisations.
var exclusive = []countersign.Role{countersign.RoleAgency, countersign.RoleOperator, countersign.RoleOverseer, countersign.RoleCourt}

func (c *checker) members() {
	for i := range c.d.Members {
		m := &c.d.Members[i]
		at := fmt.Sprintf("members[%d]", i)
		c.once(at+".id", "identifier of a member", m.ID.String())
		c.identifier(at+".id", m.ID.Instance, m.ID.Class, m.ID.Code)
		c.text(at+".text", m.Text)
		c.roles(at+".roles", m.Roles)
		for j, s := range m.Subsystems {
			sat := fmt.Sprintf("%s.subsystems[%d]", at, j)
			c.wrong(sat+".code", countersign.CheckNewIdentifierPart(s.Code))
			c.once(sat+".code", "identifier of a subsystem", m.ID.String()+"/"+s.Code)
			c.text(sat+".text", s.Text)
		}
		for j := range m.Gateways {
			c.gateway(fmt.Sprintf("%s.gateways[%d]", at, j), m, &m.Gateways[j])
		}
	}
}

func (c *checker) identifier(field string, parts ...string) {
	for _, p := range parts {
		c.wrong(field, countersign.CheckNewIdentifierPart(p))
	}
	if parts[0] != c.d.Instance {
		c.bad(field, "is of the instance %q, but this directory is of %q", parts[0], c.d.Instance)
	}
}

func (c *checker) roles(field string, roles []countersign.Role) {
	if len(roles) == 0 {
		c.bad(field, "is empty: give agency, operator, overseer, court or portal")
	}
	var held []string
	for i, r := range roles {
		if r != countersign.RolePortal && !slices.Contains(exclusive, r) {
			c.bad(field, "%q is no role: give agency, operator, overseer, court or portal", r)
		}
		if slices.Contains(roles[:i], r) {
			c.bad(field, "names %q twice", r)
		} else if slices.Contains(exclusive, r) {
			held = append(held, string(r))
		}
	}
	if len(held) > 1 {
		c.bad(field, "joins %s in one member: these are different organisations; register each by itself", strings.Join(held, " and "))
	}
}

func (c *checker) gateway(at string, m *countersign.Member, g *countersign.Gateway) {
	c.code(at+".name", string(g.Name))
	c.once(at+".name", "name of a gateway", m.ID.String()+" "+string(g.Name))
	c.url(at+".url", g.URL, "https")
	if len(g.TLS) == 0 {
		c.bad(at+".tls", "is empty: pin at least one TLS key, or nobody can reach the gateway")
	}
	for i, pin := range g.TLS {
		field := fmt.Sprintf("%s.tls[%d]", at, i)
		if raw, err := base64.RawURLEncoding.Strict().DecodeString(string(pin)); err != nil || len(raw) != 32 {
			c.bad(field, "is not the SHA-256 of a SubjectPublicKeyInfo in unpadded base64url, 43 characters")
		} else {
			c.once(field, "TLS key", string(pin))
		}
	}
	if len(g.Sign) == 0 {
		c.bad(at+".sign", "is empty: register at least one key for its messages")
	}
	for i, k := range g.Sign {
		c.key(fmt.Sprintf("%s.sign[%d]", at, i), k)
	}
	c.log(at+".log", g.Log)
}

func (c *checker) courts() {
	for i := range c.d.Courts {
		court := &c.d.Courts[i]
		at := fmt.Sprintf("courts[%d]", i)
		c.named(at+".name", "name of a court", string(court.Name))
		c.text(at+".text", court.Text)
		if m := c.memberOf[court.Member]; m == nil {
			c.bad(at+".member", "%s is not a member of this directory", court.Member)
		} else if !slices.Contains(m.Roles, countersign.RoleCourt) {
			c.bad(at+".member", "%s does not have the role court", court.Member)
		}
		if len(court.Keys) == 0 {
			c.bad(at+".keys", "is empty: a court without a key issues no warrant")
		}
		for j, k := range court.Keys {
			c.key(fmt.Sprintf("%s.keys[%d]", at, j), k)
		}
		c.log(at+".log", court.Log)
	}
}

func (c *checker) witnesses() {
	organisations := map[string]bool{}
	for i := range c.d.Witnesses {
		w := &c.d.Witnesses[i]
		at := fmt.Sprintf("witnesses[%d]", i)
		c.named(at+".name", "name of a witness", string(w.Name))
		if reservedInPolicy[string(w.Name)] {
			c.bad(at+".name", "%q is a word of witness policies: take another", w.Name)
		}
		if strings.TrimSpace(w.Organisation) == "" {
			c.bad(at+".organisation", "is empty: witnesses count by organisation")
		} else {
			organisations[w.Organisation] = true
		}
		if v, err := cosignature.NewVerifierForCosignatureV1(w.VKey); err != nil || strings.Contains(w.VKey, "#") {
			c.bad(at+".vkey", "is not a verifier key NAME+HASH+KEY of a cosigner, with a name without #")
		} else {
			c.once(at+".vkey", "witness key", v.Name())
		}
		c.url(at+".url", w.URL, "https", "http")
	}
	// Witnesses of one organisation count as one (A42).
	switch {
	case c.d.Quorum < 1:
		c.bad("quorum", "is %d: at least one organisation must cosign", c.d.Quorum)
	case c.d.Quorum > len(organisations):
		c.bad("quorum", "is %d, but the witnesses belong to %d organisations: add witnesses of others or lower it", c.d.Quorum, len(organisations))
	}
}

// leastRecordLife lets a record outlive the longest delay of its notice and the window for an appeal after it.
const leastRecordLife = countersign.Duration((730 + 90) * 24 * time.Hour)

// caps holds the federation to the defaults as the loosest.
//
// LAW: DATA-CLASSES, defaults: a federation may tighten them.
func (c *checker) caps() {
	got, most := c.d.Caps, countersign.DefaultCaps()
	for _, b := range []struct {
		field     string
		got, most countersign.Duration
	}{
		{"noticeDelay", got.NoticeDelay, most.NoticeDelay}, {"noticeCap", got.NoticeCap, most.NoticeCap},
		{"warrantLife", got.WarrantLife, most.WarrantLife}, {"emergencyReview", got.EmergencyReview, most.EmergencyReview},
		{"warrantReview", got.WarrantReview, most.WarrantReview}, {"recordLife", got.RecordLife, most.RecordLife},
	} {
		if b.got < 0 || b.got > b.most {
			c.bad("caps."+b.field, "is %s: at most %s; leave it out for that", time.Duration(b.got), time.Duration(b.most))
		}
	}
	if got.RecordLife != 0 && got.RecordLife < leastRecordLife {
		c.bad("caps.recordLife", "is %s: records outlive the longest delay of notice and the appeal window, %s", time.Duration(got.RecordLife), time.Duration(leastRecordLife))
	}
	if got.WaitingPeriod != 0 && got.WaitingPeriod < most.WaitingPeriod {
		c.bad("caps.waitingPeriod", "is %s: at least %s; leave it out for that", time.Duration(got.WaitingPeriod), time.Duration(most.WaitingPeriod))
	}
	for _, b := range []struct {
		field     string
		got, most int
	}{
		{"peoplePerOfficialHour", got.PeopleOfficial, most.PeopleOfficial}, {"peoplePerMemberHour", got.PeopleMember, most.PeopleMember},
		{"registersPerPersonDay", got.Linkage, most.Linkage}, {"emergenciesPerMemberDay", got.EmergencyQuota, most.EmergencyQuota},
	} {
		if b.got < 0 || b.got > b.most {
			c.bad("caps."+b.field, "is %d: 1 to %d; leave it out for the most", b.got, b.most)
		}
	}
}
