package federation

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"countersign.dev/countersign"
)

// neverWords are kinds of data that no federation may offer under any name: each row is a set of word beginnings which, all found in one
// name, make the name forbidden unless its category is of class N.
//
// LAW: DATA-CLASSES: face templates, online activity, risk scores, predictions, loyalty categories, live video, psychiatric and narcological
// registers, religious membership: never exchanged. DESIGN 12: never built.
var neverWords = [][]string{
	{"risk", "scor"}, {"risk", "rating"}, {"social", "scor"}, {"trust", "scor"}, {"behavio", "scor"}, {"predict"}, {"forecast"}, {"loyalt"},
	{"reliability", "scor"}, {"reliability", "categor"}, {"profiling"}, {"face", "template"}, {"facial", "template"}, {"live", "video"},
	{"online", "activity"}, {"online", "activities"}, {"browsing", "histor"}, {"psychiatr"}, {"narcolog"}, {"religio", "member"},
}

// forbidden gives the forbidden kind that a name speaks of, or nothing. Names are split at everything but letters and at capitals within
// words, so that riskScore, risk-score and "Risk score" are one. A certificate of fitness is not a register of the ill.
func forbidden(name string) string {
	words := splitWords(name)
	has := func(beginning string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, beginning) })
	}
	if has("certificate") && (has("fit") || has("unfit")) {
		return ""
	}
	joined := strings.Join(words, "")
	for _, row := range neverWords {
		hit := true
		for _, w := range row {
			hit = hit && has(w)
		}
		if hit || strings.Contains(joined, strings.Join(row, "")) && len(row) > 1 {
			return strings.Join(row, "… ") + "…"
		}
	}
	return ""
}

func splitWords(name string) []string {
	var words []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	lower := false
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r):
			flush()
			lower = false
			continue
		case unicode.IsUpper(r) && lower:
			flush()
		}
		lower = unicode.IsLower(r)
		word.WriteRune(unicode.ToLower(r))
	}
	flush()
	return words
}

func (c *checker) categories() {
	for i, k := range c.d.Categories {
		at := fmt.Sprintf("categories[%d]", i)
		c.named(at+".code", "code of a category", string(k.Code))
		c.text(at+".text", k.Text)
		if !slices.Contains(classes, k.Class) {
			c.bad(at+".class", "%q is no class: give O, R, C, C/W, W or N", k.Class)
		}
		if k.Class == countersign.ClassNever {
			continue
		}
		for _, name := range append([]string{string(k.Code)}, sentences(k.Text)...) {
			if kind := forbidden(name); kind != "" {
				c.bad(at+".class", "is %q, but %q speaks of what is never exchanged (%s): the class is N", k.Class, name, kind)
			}
		}
	}
}

var classes = []countersign.Class{countersign.ClassOpen, countersign.ClassRelation, countersign.ClassConsent, countersign.ClassConsentWarrant,
	countersign.ClassWarrant, countersign.ClassNever}

func sentences(t countersign.Text) []string {
	out := make([]string, 0, len(t))
	for _, lang := range sortedKeys(t) {
		out = append(out, t[lang])
	}
	return out
}

func (c *checker) purposes() {
	for i, b := range c.d.Bases {
		at := fmt.Sprintf("bases[%d]", i)
		c.named(at+".code", "code of a legal basis", string(b.Code))
		c.text(at+".law", b.Law)
		if strings.TrimSpace(b.Article) == "" {
			c.bad(at+".article", "is empty: name the article of the law")
		}
		if b.URL != "" {
			c.url(at+".url", b.URL, "https", "http")
		}
	}
	for i := range c.d.Purposes {
		c.purpose(fmt.Sprintf("purposes[%d]", i), &c.d.Purposes[i])
	}
}

func (c *checker) purpose(at string, p *countersign.Purpose) {
	c.named(at+".code", "code of a purpose", string(p.Code))
	if p.Code == PurposeMetadata {
		c.bad(at+".code", "%q is built in: take another code", p.Code)
	}
	c.text(at+".text", p.Text)
	if len(p.Bases) == 0 {
		c.bad(at+".bases", "is empty: without a legal basis nothing may be asked")
	}
	for _, b := range p.Bases {
		if !c.basisOf[b] {
			c.bad(at+".bases", "%q is no legal basis of this directory: add it to bases or leave it out", b)
		}
	}
	if p.Assurance < countersign.AssuranceAutomated || p.Assurance > countersign.AssuranceVerified {
		c.bad(at+".assurance", "is missing: give automated, asserted or verified")
	}
	if p.Retention <= 0 {
		c.bad(at+".retention", "is missing: say how long the consumer may keep what it receives")
	}
	c.mandates(at+".mandates", p.Mandates)
	if r := p.CaseRegister; r != nil && c.serviceOf[*r] == nil {
		c.bad(at+".caseRegister", "%s is no service of this directory", r)
	}
	if p.Linkage < 0 {
		c.bad(at+".linkage", "is negative")
	}
	if p.Polling != nil && (p.Polling.PerMinute < 1 || p.Polling.PerDay < 1) {
		c.bad(at+".polling", "has a bound below 1: leave polling out for the federation's own bounds")
	}
}

func (c *checker) mandates(field string, kinds []countersign.MandateKind) {
	for i, k := range kinds {
		if k < countersign.MandateNone || k > countersign.MandateLast {
			c.bad(field, "kind %d is not known", k)
		}
		if slices.Contains(kinds[:i], k) {
			c.bad(field, "names %q twice", k)
		}
	}
}

// permitted gives the mandates that a cell of a class may list. A stricter mandate than the class asks for is always welcome where it exists.
//
// LAW: DATA-CLASSES: R needs purpose and a relation; C consent; W a court's warrant; C/W either; N never. An emergency (vital interests)
// may stand in for R, C and C/W, never for W alone or N. GDPR Art. 15: the person sees their own data, but for W, where a court decides who knows what
// (Art. 23), and N, which is asked of the register itself.
func permitted(class countersign.Class) []countersign.MandateKind {
	const none, relation, consent, warrant, emergency, programme, own = countersign.MandateNone, countersign.MandateRelation, countersign.MandateConsent,
		countersign.MandateWarrant, countersign.MandateEmergency, countersign.MandateProgramme, countersign.MandateOwn
	switch class {
	case countersign.ClassOpen, countersign.ClassRelation:
		return []countersign.MandateKind{none, relation, consent, warrant, emergency, programme, own}
	case countersign.ClassConsent:
		return []countersign.MandateKind{consent, emergency, own}
	case countersign.ClassConsentWarrant:
		return []countersign.MandateKind{consent, warrant, emergency, own}
	case countersign.ClassWarrant:
		return []countersign.MandateKind{warrant}
	}
	return nil
}

func (c *checker) matrix() {
	for i := range c.d.Matrix {
		cell := &c.d.Matrix[i]
		at := fmt.Sprintf("matrix[%d]", i)
		c.once(at, "cell", string(cell.Purpose)+" × "+string(cell.Category))
		if c.purposeOf[cell.Purpose] == nil {
			c.bad(at+".purpose", "%q is no purpose of this directory", cell.Purpose)
		}
		class, known := c.classOf[cell.Category]
		if !known {
			c.bad(at+".category", "%q is no category of this directory", cell.Category)
			continue
		}
		if class == countersign.ClassNever {
			c.bad(at, "%q is of class N, never exchanged: remove the cell", cell.Category)
			continue
		}
		c.mandates(at+".mandates", cell.Mandates)
		if len(cell.Mandates) == 0 {
			c.bad(at+".mandates", "is empty: list the mandates that permit, or remove the cell; where the purpose alone is enough write none")
		}
		for _, k := range cell.Mandates {
			if !slices.Contains(permitted(class), k) {
				c.bad(at+".mandates", "%q does not permit class %s: list only %s", k, class, words(permitted(class)))
			}
		}
	}
}

func words(kinds []countersign.MandateKind) string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = k.String()
	}
	return strings.Join(out, ", ")
}

func (c *checker) rules() {
	for i, r := range c.d.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		c.named(at+".id", "identifier of a rule", r.ID)
		c.text(at+".text", r.Text)
		if strings.TrimSpace(r.Policy) == "" {
			c.bad(at+".policy", "is empty: give a Cedar policy that forbids")
		}
	}
}

func (c *checker) standing() {
	type pair struct {
		client  countersign.SubsystemID
		service countersign.ServiceID
	}
	seen := map[pair]bool{}
	for i, s := range c.d.Standing {
		at := fmt.Sprintf("standing[%d]", i)
		if seen[pair{s.Client, s.Service}] {
			c.bad(at, "%s has a declaration for %s already: a client that needs two purposes must state them", s.Client, s.Service)
		}
		seen[pair{s.Client, s.Service}] = true
		grant, purpose := c.use(at, s.Client, s.Service, s.Purpose, s.Basis)
		if grant == nil || purpose == nil {
			continue
		}
		// LAW: DESIGN, one exchange: a standing declaration is good only for classes O and R without a case.
		if purpose.Case {
			c.bad(at+".purpose", "%q requires a case, which a standing declaration cannot state", purpose.Code)
		}
		if purpose.Assurance > countersign.AssuranceAutomated {
			c.bad(at+".purpose", "%q wants an official who is %s, which a standing declaration cannot be", purpose.Code, purpose.Assurance)
		}
		for _, k := range c.serviceOf[s.Service].Categories {
			if c.classOf[k].Rank() > countersign.ClassRelation.Rank() {
				c.bad(at+".service", "%s offers %q of class %s: standing declarations are for classes O and R", s.Service, k, c.classOf[k])
			}
		}
	}
}

func (c *checker) programmes() {
	for i := range c.d.Programmes {
		p := &c.d.Programmes[i]
		at := fmt.Sprintf("programmes[%d]", i)
		c.named(at+".id", "identifier of a programme", string(p.ID))
		c.text(at+".text", p.Text)
		if strings.TrimSpace(p.Population) == "" {
			c.bad(at+".population", "is empty: say in words whom it may ask about")
		}
		if p.PerHour < 1 {
			c.bad(at+".perHour", "is %d: give the rate, at least 1", p.PerHour)
		}
		if p.From.IsZero() || p.Until.IsZero() || !p.Until.After(p.From) {
			c.bad(at+".until", "a programme has a first day and an end after it")
		}
		if len(p.Fields) == 0 {
			c.bad(at+".fields", "is empty: list the fields that the programme may receive")
		}
		grant, _ := c.use(at, p.Client, p.Service, p.Purpose, p.Basis)
		if grant == nil {
			continue
		}
		for _, f := range p.Fields {
			if !slices.Contains(grant.Fields, f) {
				c.bad(at+".fields", "%q is not among the fields that the service grants for %q", f, p.Purpose)
			}
		}
	}
}

// use checks that a client may use a service for a purpose on a basis at all, and gives the grant and the purpose when they exist.
func (c *checker) use(at string, client countersign.SubsystemID, id countersign.ServiceID, code countersign.PurposeCode, basis countersign.BasisCode) (*countersign.Grant, *countersign.Purpose) {
	if !c.subsystems[client] {
		c.bad(at+".client", "%s is no member or subsystem of this directory", client)
	}
	purpose := c.purposeOf[code]
	if purpose == nil {
		c.bad(at+".purpose", "%q is no purpose of this directory", code)
	} else if !slices.Contains(purpose.Bases, basis) {
		c.bad(at+".basis", "%q is not a legal basis of the purpose %q", basis, code)
	}
	service := c.serviceOf[id]
	if service == nil {
		c.bad(at+".service", "%s is no service of this directory", id)
		return nil, purpose
	}
	for i := range service.Grants {
		g := &service.Grants[i]
		if g.Purpose == code && (slices.Contains(g.Clients, "*") || slices.Contains(g.Clients, client.String())) {
			return g, purpose
		}
	}
	c.bad(at+".service", "%s grants %s nothing for %q: add a grant first", id, client, code)
	return nil, purpose
}
