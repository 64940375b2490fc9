package main

import (
	"context"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/identity"
)

// authorities puts together what a gateway verifies mandates with.
func authorities(g *exchange.Gateway, published *exchange.Published) exchange.Authorities {
	return exchange.Authorities{Statuses: published.Statuses, Suspensions: exchange.NewRights(g, published).Of}
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
