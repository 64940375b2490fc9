package exchange

import (
	"context"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/mandate"
)

// Officials establishes who asks. The zero value takes the agency's word (assurance asserted) and refuses every token.
type Officials struct {
	// Verify checks an OpenID Connect token of the member's own issuer, or refuses with CodeUnauthenticated.
	Verify func(ctx context.Context, token string) (*VerifiedOfficial, error)
}

// VerifiedOfficial is what a verified token says of an official.
type VerifiedOfficial struct {
	ID     string                // of the official at the agency
	Role   string                // in the agency's words; empty where the token says none
	Person countersign.SubjectID // who the official is as a person; zero where the token does not say
}

// nameOfficial establishes who asks, and replaces the name by a pseudonym before anything leaves the member. A token that does not verify refuses
// the question: it is never taken for a name.
func (c *Consumer) nameOfficial(ctx context.Context, q *question) error {
	stated, err := one(q.header, HeaderOfficial)
	if err != nil {
		return err
	}
	name := q.head.UserID
	if stated != "" {
		name = stated
	}
	q.official = countersign.Official{Assurance: countersign.AssuranceAsserted}
	if looksSigned(stated) {
		v, err := c.verifyOfficial(ctx, stated)
		if err != nil {
			q.official = countersign.Official{Assurance: countersign.AssuranceAutomated} // nobody was established
			return err
		}
		name, q.person = v.ID, v.Person
		q.official.Role, q.official.Assurance = v.Role, countersign.AssuranceVerified
	}
	if q.clerk = mandate.CanonicalOfficial(name); q.clerk == "" {
		q.official = countersign.Official{Assurance: countersign.AssuranceAutomated}
		return nil
	}
	q.official.Pseudonym = c.pseudonym(q.clerk, q.target.Service.MemberID)
	return nil
}

func (c *Consumer) verifyOfficial(ctx context.Context, token string) (*VerifiedOfficial, error) {
	if c.Officials.Verify == nil {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "this gateway knows no issuer of its officials' tokens: the directory lists none for this member")
	}
	v, err := c.Officials.Verify(ctx, token)
	if err == nil && mandate.CanonicalOfficial(v.ID) == "" {
		err = countersign.Refuse(countersign.CodeUnauthenticated, "the official's token names nobody")
	}
	return v, err
}

// looksSigned tells a token from a name: three parts of base64url, the first of which begins a JSON object. No official is named so.
func looksSigned(text string) bool {
	return strings.HasPrefix(text, "eyJ") || strings.Count(text, ".") == 2 && len(text) > 64
}

// checkSelf refuses an official's question about themselves, which only this gateway can know: by the token, or by the official's own word, which
// information systems of X-Road write as a person's code, with or without the two letters of a country before it.
//
// LAW: A06: officials see their own data as everybody does, in the portal.
func (c *Consumer) checkSelf(rules *rulebook, q *question) error {
	if q.subject.IsZero() || q.official.Assurance == countersign.AssuranceAutomated {
		return nil
	}
	if q.person.IsZero() && q.official.Assurance == countersign.AssuranceAsserted {
		for _, name := range []string{q.head.UserID, q.header.Get(HeaderOfficial)} {
			for _, text := range []string{name, name[min(2, len(name)):]} {
				if id, err := rules.view.Normalise(q.subject.Scheme, text); err == nil && id == q.subject {
					q.person = id
				}
			}
		}
	}
	if q.subject == q.person {
		return countersign.Refuse(countersign.CodeSelfLookup, "officials see their own data in the portal, as everybody does, and not through their office")
	}
	return nil
}
