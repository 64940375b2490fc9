package subject

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
)

// Permission is a person's standing permission with all that a portal needs to use it. It is the person's contact terms' neighbour: kept encrypted for the
// person, and destroyed with them.
type Permission struct {
	Token   string               `json:"token"`
	Signed  string               `json:"signed"`
	Receipt *countersign.Receipt `json:"receipt"`
	Given   countersign.Millis   `json:"given"`
	Until   countersign.Millis   `json:"until"`
}

// GatewayRef names a gateway of the directory.
type GatewayRef struct {
	Member countersign.MemberID
	Name   countersign.GatewayName
}

// String is the form under which a portal keeps it.
func (g GatewayRef) String() string { return sourceKey(g.Member, g.Name) }

// Permit has the person who is logged in permit the portal to ask members' gateways whether there is anything new. The permission is on record, where the person
// sees it, before it is used.
func (p *Portal) Permit(ctx context.Context, person *Person) (*Permission, error) {
	k, err := p.directory.known()
	if err != nil {
		return nil, err
	}
	now := p.o.Clock.Now()
	v, err := recordPermission(ctx, p.o.Log, p.o.Member, person.Subject, k.doc.Version, now)
	if err != nil {
		return nil, err
	}
	out := &Permission{Token: person.token, Receipt: v.receipt, Given: countersign.MillisOf(now), Until: countersign.MillisOf(now.Add(identity.StandingLife))}
	out.Signed, err = person.session.Stand(identity.Standing{View: v.ID, At: out.Given, Until: out.Until}, person.token)
	return out, err
}

// Ask makes what the portal presents for a person.
func (p *Permission) Ask(since countersign.Millis, classes ...NewsClass) NewsAsk {
	return NewsAsk{Token: p.Token, Permission: p.Signed, Receipt: p.Receipt, Since: since, Classes: classes}
}

// Gateways lists every gateway of the directory: each is asked.
func (p *Portal) Gateways() ([]GatewayRef, error) {
	k, err := p.directory.known()
	if err != nil {
		return nil, err
	}
	var out []GatewayRef
	for _, g := range k.gateways {
		out = append(out, GatewayRef{g.member.ID, g.name})
	}
	return out, nil
}

// News asks one gateway about up to MaxNewsAsks people.
func (p *Portal) News(ctx context.Context, to GatewayRef, asks []NewsAsk) (*NewsAnswer, error) {
	body, err := json.Marshal(newsRequest{asks})
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the request cannot be written")
	}
	a, err := p.news(ctx, to, http.MethodPost, body)
	if err != nil {
		return nil, err
	}
	if a.Request != sha256.Sum256(body) || len(a.News) != len(asks) {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the gateway's answer is to another request")
	}
	return a, nil
}

// Emergency asks one gateway when its newest emergency was recorded.
func (p *Portal) Emergency(ctx context.Context, at GatewayRef) (*NewsAnswer, error) {
	return p.news(ctx, at, http.MethodGet, nil)
}

// newsPatience is how long a gateway may take over news: nobody waits for a page.
const newsPatience = 30 * time.Second

func (p *Portal) news(ctx context.Context, to GatewayRef, method string, body []byte) (*NewsAnswer, error) {
	k, err := p.directory.known()
	if err != nil {
		return nil, err
	}
	g, ok := k.gateway(to.Member, to.Name)
	if !ok {
		return nil, countersign.Refuse(countersign.CodeUnknownMember, "the directory knows no such gateway")
	}
	ctx, cancel := context.WithTimeout(ctx, newsPatience)
	defer cancel()
	h, text, err := p.caller.call(ctx, g, method, PathNews, body)
	if err != nil {
		return nil, err
	}
	if err := p.caller.signed(g, h, text); err != nil {
		return nil, err
	}
	a := new(NewsAnswer)
	if err := json.Unmarshal(text, a); err != nil || a.Member != to.Member || a.Gateway != to.Name {
		return nil, countersign.RefuseBecause(countersign.CodeInconsistent, err, "the gateway's answer cannot be read, or is another gateway's")
	}
	return a, nil
}
