package main

import (
	"context"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/mandate"
)

// authorities puts together what a gateway verifies mandates with.
func authorities(g *exchange.Gateway, published *exchange.Published, verifier *identity.Verifier, directory *federation.Client) exchange.Authorities {
	return exchange.Authorities{
		Statuses: published.Statuses, Suspensions: exchange.NewRights(g, published).Of, Persons: persons{verifier, directory}, Own: persons{verifier, directory},
		Withdrawals: func(log countersign.LogOrigin) mandate.Withdrawals { return published.Withdrawals(g, log) },
	}
}

// persons verifies the identity tokens to which consents are bound.
type persons struct {
	verifier  *identity.Verifier
	directory *federation.Client
}

// Identify implements mandate.IdentityVerifier.
func (p persons) Identify(token string) (mandate.Identity, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := p.verifier.Bound(ctx, token)
	if err != nil {
		return mandate.Identity{}, countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "the person's login for the consent does not hold: %s", countersign.MessageOf(err))
	}
	view, err := p.directory.Current()
	if err != nil {
		return mandate.Identity{}, err
	}
	subject, err := view.Normalise(c.Issuer.Scheme, c.Value)
	if err != nil {
		return mandate.Identity{}, err
	}
	return mandate.Identity{Subject: subject, Nonce: c.Nonce, At: c.Issued}, nil
}

// Own implements mandate.OwnVerifier.
func (p persons) Own(portal countersign.MemberID, e mandate.OwnEvidence) (mandate.OwnRequest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	who, q, err := p.verifier.Query(ctx, portal, e.Token, e.Proof)
	if err != nil {
		return mandate.OwnRequest{}, countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "the person's own request does not hold: %s", countersign.MessageOf(err))
	}
	if q.Kind != identity.QueryOwn || q.Member != q.Service.MemberID {
		return mandate.OwnRequest{}, countersign.Refuse(countersign.CodeMandateInvalid, "the person's session asked for something else")
	}
	view, err := p.directory.Current()
	if err != nil {
		return mandate.OwnRequest{}, err
	}
	subject, err := view.Normalise(who.Scheme, who.Value)
	if err != nil {
		return mandate.OwnRequest{}, err
	}
	return mandate.OwnRequest{Subject: subject, Service: q.Service, ID: countersign.MandateID(q.ID.String()), At: q.At.Time()}, nil
}

// officialsOf verifies the tokens of a member's officials by the issuers that the directory lists for it. Where a token's identifier, or its claim of a
// scheme's name, is a person's, the official is known as that person too.
func officialsOf(member countersign.MemberID, verifier *identity.Verifier, directory *federation.Client) exchange.Officials {
	return exchange.Officials{Verify: func(ctx context.Context, token string) (*exchange.VerifiedOfficial, error) {
		claims, err := verifier.OfficialClaims(ctx, member, token)
		if err != nil {
			return nil, err
		}
		v := &exchange.VerifiedOfficial{ID: claims.Value, Role: claims.Text("role")}
		view, err := directory.Current()
		if err != nil {
			return nil, err
		}
		for _, scheme := range view.Document().Schemes {
			for _, text := range []string{claims.Text(string(scheme.Name)), claims.Value} {
				if id, err := view.Normalise(scheme.Name, text); err == nil && v.Person.IsZero() {
					v.Person = id
				}
			}
		}
		return v, nil
	}}
}
