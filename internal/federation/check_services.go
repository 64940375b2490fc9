package federation

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
)

// longestTimeout bounds how long a gateway waits for a register.
const longestTimeout = countersign.Duration(300 * time.Second)

func (c *checker) services() {
	for i := range c.d.Services {
		c.service(fmt.Sprintf("services[%d]", i), &c.d.Services[i])
	}
}

func (c *checker) service(at string, s *countersign.Service) {
	c.identifier(at+".id", s.ID.Instance, s.ID.Class, s.ID.Code, s.ID.Subsystem, s.ID.Service)
	c.once(at+".id", "identifier of a service", s.ID.String())
	c.owner(at+".id", s)
	c.text(at+".text", s.Text)
	for _, name := range append([]string{s.ID.Service}, sentences(s.Text)...) {
		if kind := forbidden(name); kind != "" {
			c.bad(at, "%q speaks of what is never exchanged (%s): it cannot be registered as a service", name, kind)
		}
	}
	personal := c.offered(at, s)
	c.selector(at+".subject", s, personal)
	c.endpoints(at+".endpoints", s)
	declared := c.fields(at, s, personal)
	if len(s.Grants) == 0 && !s.Disabled {
		c.bad(at+".grants", "is empty: nobody may use the service; add a grant or set disabled")
	}
	for i := range s.Grants {
		c.grant(fmt.Sprintf("%s.grants[%d]", at, i), s, &s.Grants[i], declared, personal)
	}
	if s.OpenAPI != "" && (!codeForm.MatchString(s.OpenAPI) || IsDocument(s.OpenAPI)) {
		c.bad(at+".openapi", "%q is not the name of a description: use letters, digits, dots, dashes and underscores; names of the document itself are taken", s.OpenAPI)
	}
	if s.Timeout < 0 || s.Timeout > longestTimeout {
		c.bad(at+".timeout", "is %s: at most %s", time.Duration(s.Timeout), time.Duration(longestTimeout))
	}
}

func (c *checker) owner(field string, s *countersign.Service) {
	m := c.memberOf[s.ID.MemberID]
	switch {
	case m == nil:
		c.bad(field, "%s is not a member of this directory", s.ID.MemberID)
	case !c.subsystems[s.ID.SubsystemID] || s.ID.Subsystem == "":
		c.bad(field, "%s is no subsystem of this directory", s.ID.SubsystemID)
	case !slices.Contains(m.Roles, countersign.RoleAgency):
		c.bad(field, "%s does not have the role agency, and so owns no register", m.ID)
	case len(m.Gateways) == 0:
		c.bad(field, "%s has no gateway that could answer", m.ID)
	}
}

// offered checks the service's categories and says whether any of them is personal.
func (c *checker) offered(at string, s *countersign.Service) (personal bool) {
	if len(s.Categories) == 0 {
		c.bad(at+".categories", "is empty: say what kinds of data the service holds")
		return true
	}
	for i, k := range s.Categories {
		class, known := c.classOf[k]
		switch {
		case !known:
			c.bad(at+".categories", "%q is no category of this directory", k)
		case class == countersign.ClassNever:
			// LAW: DATA-CLASSES, class N: never exchanged (A55, A56).
			c.bad(at+".categories", "%q is of class N, never exchanged: no service may offer it", k)
		}
		if slices.Contains(s.Categories[:i], k) {
			c.bad(at+".categories", "names %q twice", k)
		}
		personal = personal || class != countersign.ClassOpen
	}
	return personal
}

// selector holds every personal service to one person per question.
//
// LAW: DESIGN 2: one person per question (A01, A02): a personal service without a subject selector cannot be registered.
func (c *checker) selector(at string, s *countersign.Service, personal bool) {
	sel := s.Subject
	switch sel.From {
	case countersign.SubjectNone:
		if personal {
			c.bad(at+".from", "is none, but the service holds personal data: say where the request or the answer names the one person")
		}
		if sel.Scheme != "" || sel.In != "" || sel.Name != "" {
			c.bad(at, "is none: leave scheme, in and name out")
		}
		return
	case countersign.SubjectInAnswer:
		if sel.In != "" {
			c.bad(at+".in", "is for requests: leave it out")
		}
		c.fieldPath(at+".name", countersign.FieldPath(sel.Name))
	case countersign.SubjectInRequest:
		c.requestSelector(at, s)
	default:
		c.bad(at+".from", "%q: give request or answer, or none where every category is of class O", sel.From)
		return
	}
	if !c.schemeOf[sel.Scheme] {
		c.bad(at+".scheme", "%q is no scheme of this directory", sel.Scheme)
	}
}

func (c *checker) requestSelector(at string, s *countersign.Service) {
	name := s.Subject.Name
	switch s.Subject.In {
	case "path":
		for _, e := range s.Endpoints {
			if !slices.Contains(pathVariables(e.Path), name) {
				c.bad(at+".name", "the path %q has no variable {%s}: every operation names the person", e.Path, name)
			}
		}
	case "query", "header":
		if !codeForm.MatchString(name) {
			c.bad(at+".name", "%q is not a name of a %s", name, s.Subject.In)
		}
	case "body":
		c.fieldPath(at+".name", countersign.FieldPath(name))
		if strings.Contains(name, "*") {
			c.bad(at+".name", "holds *: a question names one person")
		}
		for _, e := range s.Endpoints {
			if e.Method == http.MethodGet || e.Method == http.MethodHead || e.Method == http.MethodDelete {
				c.bad(at+".in", "%s requests have no body that could name the person", e.Method)
			}
		}
	default:
		c.bad(at+".in", "%q: give path, query, header or body", s.Subject.In)
	}
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

func (c *checker) endpoints(at string, s *countersign.Service) {
	if len(s.Endpoints) == 0 {
		c.bad(at, "is empty: list the operations of the service")
	}
	for i, e := range s.Endpoints {
		field := fmt.Sprintf("%s[%d]", at, i)
		if !slices.Contains(methods, e.Method) {
			c.bad(field+".method", "%q is none of %s", e.Method, strings.Join(methods, ", "))
		}
		if slices.Contains(s.Endpoints[:i], e) {
			c.bad(field, "repeats %s %s", e.Method, e.Path)
		}
		if why := badPath(e.Path); why != "" {
			c.bad(field+".path", "%s", why)
		}
	}
}

// badPath says what is wrong with the pattern of an operation's path, or nothing.
func badPath(path string) string {
	if path != "" && !strings.HasPrefix(path, "/") {
		return "begins with / and is matched after the service's code"
	}
	if path == "/" || path == "" {
		return "" // SPEC: XROAD-REST: an empty path after the service (…/service and …/service/) is valid
	}
	names := map[string]bool{}
	for _, seg := range strings.Split(path[1:], "/") {
		switch {
		case seg == "*" || seg == "**":
		case strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}"):
			name := seg[1 : len(seg)-1]
			if !codeForm.MatchString(name) || names[name] {
				return fmt.Sprintf("the variable %q has no name, an odd one or one that is used twice", seg)
			}
			names[name] = true
		case seg == "" || seg == "." || seg == ".." || strings.ContainsAny(seg, `{}*?#%;\`) || countersign.CheckIdentifierPart(seg) != nil:
			return fmt.Sprintf("the segment %q is empty or holds a character that a cleaned path does not hold", seg)
		}
	}
	return ""
}

func pathVariables(path string) []string {
	var names []string
	for seg := range strings.SplitSeq(path, "/") {
		if len(seg) > 2 && seg[0] == '{' && seg[len(seg)-1] == '}' {
			names = append(names, seg[1:len(seg)-1])
		}
	}
	return names
}

func (c *checker) fieldPath(field string, p countersign.FieldPath) {
	if !goodFieldPath(p) {
		c.bad(field, "%q is not a JSON pointer such as /person/name or /children/*/name", p)
	}
}

// goodFieldPath accepts RFC 6901 pointers that are not empty; * is a whole segment or none of it.
func goodFieldPath(p countersign.FieldPath) bool {
	s := string(p)
	if len(s) < 2 || s[0] != '/' || countersign.CheckIdentifierPart(s) != nil {
		return false
	}
	for seg := range strings.SplitSeq(s[1:], "/") {
		if seg == "" || strings.Contains(seg, "*") && seg != "*" {
			return false
		}
		for i := range len(seg) {
			if seg[i] == '~' && (i+1 == len(seg) || seg[i+1] != '0' && seg[i+1] != '1') {
				return false
			}
		}
	}
	return true
}

func (c *checker) fields(at string, s *countersign.Service, personal bool) map[countersign.FieldPath]countersign.CategoryCode {
	declared := make(map[countersign.FieldPath]countersign.CategoryCode, len(s.Fields))
	for i, f := range s.Fields {
		field := fmt.Sprintf("%s.fields[%d]", at, i)
		c.fieldPath(field+".path", f.Path)
		if _, twice := declared[f.Path]; twice {
			c.bad(field+".path", "%q is declared twice", f.Path)
		}
		declared[f.Path] = f.Category
		if !slices.Contains(s.Categories, f.Category) {
			c.bad(field+".category", "%q is not among the service's categories", f.Category)
		}
		if kind := forbidden(string(f.Path)); kind != "" {
			c.bad(field+".path", "%q speaks of what is never exchanged (%s)", f.Path, kind)
		}
		if f.Related != "" && (!goodFieldPath(f.Related) || parent(f.Related) != parent(f.Path)) {
			c.bad(field+".related", "%q is not a sibling of %q", f.Related, f.Path)
		}
	}
	if personal && len(s.Fields) == 0 {
		c.bad(at+".fields", "is empty: list the fields that may ever leave; others are withheld")
	}
	return declared
}

func parent(p countersign.FieldPath) string {
	i := strings.LastIndexByte(string(p), '/')
	return string(p[:max(i, 0)])
}

func (c *checker) grant(at string, s *countersign.Service, g *countersign.Grant, declared map[countersign.FieldPath]countersign.CategoryCode, personal bool) {
	if c.purposeOf[g.Purpose] == nil {
		c.bad(at+".purpose", "%q is no purpose of this directory", g.Purpose)
	}
	c.clients(at+".clients", g.Clients)
	if personal && len(g.Fields) == 0 && len(g.Writes) == 0 {
		c.bad(at+".fields", "is empty: list the fields that this purpose needs")
	}
	for i, f := range g.Fields {
		if slices.Contains(g.Fields[:i], f) {
			c.bad(at+".fields", "names %q twice", f)
		}
		category, known := declared[f]
		switch {
		case f == "*":
			if personal {
				c.bad(at+".fields", "* is for services of class O alone: list the fields")
			}
		case !known:
			c.bad(at+".fields", "%q is not declared in the service's fields", f)
		case c.cellOf[cellKey{g.Purpose, category}] == nil:
			c.bad(at+".fields", "%q is of the category %q, which has no cell for the purpose %q: the cell is blank, and refuses", f, category, g.Purpose)
		}
	}
	if !personal {
		for _, k := range s.Categories {
			if c.cellOf[cellKey{g.Purpose, k}] == nil {
				c.bad(at+".purpose", "the category %q has no cell for the purpose %q", k, g.Purpose)
			}
		}
	}
	for _, f := range g.Writes {
		c.fieldPath(at+".writes", f)
	}
	for _, m := range g.Methods {
		if !slices.ContainsFunc(s.Endpoints, func(e countersign.Endpoint) bool { return e.Method == m }) {
			c.bad(at+".methods", "%q is the method of no endpoint of the service", m)
		}
	}
}

func (c *checker) clients(field string, clients []string) {
	if len(clients) == 0 {
		c.bad(field, "is empty: list subsystems, or * for every client of the federation")
	}
	for i, text := range clients {
		if slices.Contains(clients[:i], text) {
			c.bad(field, "names %q twice", text)
		}
		if text == "*" {
			continue
		}
		id, err := countersign.ParseSubsystemID(text)
		if err != nil {
			c.wrong(field, err)
		} else if !c.subsystems[id] {
			c.bad(field, "%s is no member or subsystem of this directory", id)
		}
	}
}
