package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign.dev/countersign"
)

// StandingLife is the longest that a standing permission counts: half a year. Each login may renew it.
const StandingLife = 183 * 24 * time.Hour

// standingType is the typ header of a standing permission, so that it passes for no query and no query for it.
const standingType = "countersign-person-standing+jwt"

// Standing is a person's permission, given while logged in, that a portal asks members' gateways one thing without the person: whether there is anything new
// about the person, yes or no. It opens no history: no gateway takes it for a query.
type Standing struct {
	Portal countersign.MemberID   `json:"portal"`
	View   countersign.ExchangeID `json:"view"`  // the portal's record of this permission
	Token  countersign.Digest     `json:"token"` // SHA-256 of the identity token
	At     countersign.Millis     `json:"at"`
	Until  countersign.Millis     `json:"until"`
}

// Stand signs a standing permission with the session's key. Portal and Token are filled in.
func (s *Session) Stand(p Standing, token string) (string, error) {
	p.Portal, p.Token = s.portal, sha256.Sum256([]byte(token))
	text, err := json.Marshal(p)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "a permission cannot be written")
	}
	return s.compact(s.standing, text)
}

// Standing verifies a standing permission that the portal at the other end of the connection presents, with the token of the login in which it was given. The
// token's own time may be over; the permission must have been signed within it, and its issuer must still publish the token's key.
//
// LAW: DESIGN, person's queries: bound by nonce and verified by each gateway. A portal makes none by itself: it has neither the session's key nor the token.
func (v *Verifier) Standing(ctx context.Context, portal countersign.MemberID, token, permission string) (*Person, *Standing, error) {
	key, text, err := openSigned(permission, standingType)
	if err != nil {
		return nil, nil, err
	}
	p := new(Standing)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(p); err != nil {
		return nil, nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the standing permission cannot be read")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the standing permission cannot be read")
	}
	now := v.clock.Now()
	switch at, until := p.At.Time(), p.Until.Time(); {
	case p.Portal != portal:
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the permission was given to another portal than the one that brings it")
	case p.Token != sha256.Sum256([]byte(token)):
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the permission was signed with another identity token")
	case at.After(now.Add(Skew)) || until.Sub(at) > StandingLife || !now.Before(until):
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the permission has ended, or was given for longer than %s: log in again", StandingLife)
	}
	c, err := v.past(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	if at := p.At.Time(); at.Before(c.Issued.Add(-Skew)) || at.After(c.Issued.Add(MaxTokenAge)) || at.After(c.Expires.Add(Skew)) {
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the permission was not given while its login lasted")
	}
	if subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(nonceOf(portal, key))) != 1 {
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the identity token is not bound to the key that signed the permission")
	}
	return &Person{c.Issuer.Scheme, c.Value, c.Expires}, p, nil
}

// past verifies the token of a person's login for reading by everything but the present time.
func (v *Verifier) past(ctx context.Context, token string) (*Claims, error) {
	c, audience, err := v.timeless(ctx, token)
	if err != nil {
		return nil, err
	}
	if c.Value == "" {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the identity token lacks the claim in which the directory says the identifier is")
	}
	return c, checkAudience(c.Issuer.Audience, audience, c.Text("azp"))
}

// newStandingSigner makes the signer of standing permissions for a session's key.
func newStandingSigner(private any) (jose.Signer, error) {
	return jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: private}, (&jose.SignerOptions{EmbedJWK: true}).WithType(standingType))
}
