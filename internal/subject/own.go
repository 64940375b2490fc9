package subject

import (
	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
)

// OwnRequest makes the proof that a person asks one service for their own data, now: the identity token, and what the session's key signed. Whoever holds
// neither, the portal between two logins for instance, can make none.
func (p *Portal) OwnRequest(person *Person, service countersign.ServiceID) (token, proof string, err error) {
	now := p.o.Clock.Now()
	proof, err = person.session.Sign(identity.Query{
		Member: service.MemberID, Kind: identity.QueryOwn, ID: countersign.NewExchangeID(now), At: countersign.MillisOf(now), Service: service,
	}, person.token)
	return person.token, proof, err
}
