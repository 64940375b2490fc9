package federation

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"countersign.dev/countersign"
)

// memberOfIssuer says which role the member of an issuer has, by whom the issuer identifies. Persons belong to no member.
var memberOfIssuer = map[countersign.IssuerRole]countersign.Role{
	countersign.IssuerOfficial: countersign.RoleAgency, countersign.IssuerJudge: countersign.RoleCourt, countersign.IssuerOverseer: countersign.RoleOverseer,
}

func (c *checker) issuers() {
	for i := range c.d.Issuers {
		x := &c.d.Issuers[i]
		at := fmt.Sprintf("issuers[%d]", i)
		c.once(at, "issuer", issuerKey(*x))
		c.issuerURL(at+".url", x.URL)
		if len(x.Audience) == 0 || slices.ContainsFunc(x.Audience, func(a string) bool { return strings.TrimSpace(a) == "" }) {
			c.bad(at+".audience", "is empty or holds an empty client id: list the clients that tokens may be made for")
		}
		for _, a := range x.Consents {
			if strings.TrimSpace(a) == "" || slices.Contains(x.Audience, a) {
				c.bad(at+".consents", "holds a client id that is empty or stands in audience too: a login for a consent must be one for nothing else")
			}
		}
		if len(x.Consents) > 0 && !slices.Contains(x.For, countersign.IssuerPerson) {
			c.bad(at+".consents", "is only for an issuer of persons")
		}
		if len(x.For) == 0 {
			c.bad(at+".for", "is empty: give person, official, judge or overseer")
		}
		for _, role := range x.For {
			c.issuerFor(at, x, role)
		}
	}
}

// issuerFor checks that an issuer has what its role needs. Whom it knows decides whose member it belongs to, so that an agency's provider cannot make judges.
func (c *checker) issuerFor(at string, x *countersign.Issuer, role countersign.IssuerRole) {
	need, official := memberOfIssuer[role]
	switch {
	case role == countersign.IssuerPerson:
		if !c.schemeOf[x.Scheme] {
			c.bad(at+".scheme", "%q is no scheme of this directory: persons are known by one", x.Scheme)
		}
	case !official:
		c.bad(at+".for", "%q: give person, official, judge or overseer", role)
	case x.Member == nil:
		c.bad(at+".member", "is missing: say whose %s the issuer knows", role)
	case c.memberOf[*x.Member] == nil:
		c.bad(at+".member", "%s is not a member of this directory", x.Member)
	case !slices.Contains(c.memberOf[*x.Member].Roles, need):
		c.bad(at+".member", "%s does not have the role %s, which an issuer for %s needs", x.Member, need, role)
	}
}

// issuerURL wants https, except on this machine, as internal/identity does when it fetches keys.
func (c *checker) issuerURL(field, text string) {
	schemes := []string{"https"}
	if u, err := url.Parse(text); err == nil {
		if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
			schemes = append(schemes, "http")
		}
	}
	c.url(field, text, schemes...)
}
