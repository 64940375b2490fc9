package identity

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign.dev/countersign"
)

// QueryLife is how long after it was signed a query is taken, skew on either side besides.
const QueryLife = time.Minute

// queryType is the typ header of a proof, so that no other signed thing passes for one.
const queryType = "countersign-person-query+jwt"

// QueryKind says what a person asks of a gateway.
type QueryKind string

// The kinds of query.
const (
	QueryHistory QueryKind = "history" // the entries about the person
	QueryReceipt QueryKind = "receipt" // the proof of one entry
	QueryOwn     QueryKind = "own"     // the person's own data, of one service, by an exchange
	QueryUsage   QueryKind = "usage"   // uses of the person's data in the words of the Data Tracker protocol
)

// Query is what a person asks of one gateway, as the session's key signs it. It holds no identifier of a person: whom it is about is the token's to say.
type Query struct {
	Portal  countersign.MemberID    `json:"portal"`  // through which the person asks
	Member  countersign.MemberID    `json:"member"`  // whose gateway is asked
	Gateway countersign.GatewayName `json:"gateway"` // and which of them
	Kind    QueryKind               `json:"kind"`
	View    countersign.ExchangeID  `json:"view"`  // the portal's record of this view
	ID      countersign.ExchangeID  `json:"id"`    // of this query alone: a gateway takes it once
	At      countersign.Millis      `json:"at"`    // when it was signed
	Token   countersign.Digest      `json:"token"` // SHA-256 of the identity token

	Before uint64             `json:"before,omitempty"` // history: entries below this index; 0 begins with the newest
	Limit  int                `json:"limit,omitempty"`  // history, usage: how many
	Since  countersign.Millis `json:"since,omitempty"`  // history, usage: none older than this
	Until  countersign.Millis `json:"until,omitempty"`  // history, usage: none younger; 0 is now
	Index  uint64             `json:"index,omitempty"`  // receipt: which entry
	Offset int                `json:"offset,omitempty"` // usage: how many of the newest to leave out
	Lang   string             `json:"lang,omitempty"`   // usage: language of the words, by its tag

	Service countersign.ServiceID `json:"service,omitzero"` // own: of which service
}

// Session is the key of one person's session with a portal. It lives in memory alone and ends with the session.
type Session struct {
	portal   countersign.MemberID
	public   ed25519.PublicKey
	signer   jose.Signer // of queries
	standing jose.Signer // of standing permissions
}

// NewSession draws a key for a session through the portal.
func NewSession(portal countersign.MemberID) (*Session, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a session's key could not be made")
	}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType(queryType)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: private}, options)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a session's key could not be made")
	}
	standing, err := newStandingSigner(private)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a session's key could not be made")
	}
	return &Session{portal: portal, public: public, signer: signer, standing: standing}, nil
}

// Nonce is what the login must ask the issuer to put into the token: a commitment to the session's key and its portal.
func (s *Session) Nonce() string { return nonceOf(s.portal, s.public) }

// nonceOf is base64url(SHA-256("countersign person session\n" || portal || "\n" || SubjectPublicKeyInfo of the session's key)).
func nonceOf(portal countersign.MemberID, key ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "" // never for an Ed25519 key; an empty nonce matches nothing
	}
	sum := sha256.Sum256(append([]byte("countersign person session\n"+portal.String()+"\n"), der...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Sign makes the proof of a query: a compact JWS by the session's key, which it carries. Portal and Token are filled in.
func (s *Session) Sign(q Query, token string) (string, error) {
	q.Portal, q.Token = s.portal, sha256.Sum256([]byte(token))
	text, err := json.Marshal(q)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "a query cannot be written")
	}
	return s.compact(s.signer, text)
}

func (s *Session) compact(signer jose.Signer, text []byte) (string, error) {
	signed, err := signer.Sign(text)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "a query cannot be signed")
	}
	proof, err := signed.CompactSerialize()
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "a query cannot be signed")
	}
	return proof, nil
}

// Person is a person whom an issuer vouches for. Scheme and Value are not normalised yet: the directory's scheme does that.
type Person struct {
	Scheme  countersign.SchemeName
	Value   string
	Expires time.Time
}

// Login verifies the token that ends a login, against the session that began it.
func (v *Verifier) Login(ctx context.Context, s *Session, token string) (*Person, error) {
	c, err := v.verify(ctx, token, countersign.IssuerPerson, nil)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(s.Nonce())) != 1 {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the identity token belongs to another login: log in again")
	}
	return &Person{c.Issuer.Scheme, c.Value, c.Expires}, nil
}

// Query verifies a person's token and the proof that the person's own session asks, through the portal at the other end of the connection. The caller
// checks that member and gateway of the query are its own, and takes a query's ID once.
//
// LAW: DESIGN, person's queries: they carry the person's own identity token, bound by nonce and verified by each gateway: a portal alone can read nothing.
func (v *Verifier) Query(ctx context.Context, portal countersign.MemberID, token, proof string) (*Person, *Query, error) {
	key, q, err := openProof(proof)
	if err != nil {
		return nil, nil, err
	}
	now := v.clock.Now()
	switch at := q.At.Time(); {
	case q.Portal != portal:
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the query was signed for another portal than the one that brings it")
	case q.Token != sha256.Sum256([]byte(token)):
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the query was signed with another identity token")
	case now.Sub(at) > QueryLife+Skew || at.Sub(now) > Skew:
		return nil, nil, countersign.Refuse(countersign.CodeClock, "the query was not signed within the last %s: one of the clocks is wrong, or it is old", QueryLife)
	}
	c, err := v.verify(ctx, token, countersign.IssuerPerson, nil)
	if err != nil {
		return nil, nil, err
	}
	if subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(nonceOf(portal, key))) != 1 {
		return nil, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the identity token is not bound to the key that signed the query")
	}
	return &Person{c.Issuer.Scheme, c.Value, c.Expires}, q, nil
}

// openProof verifies a proof under the key that it carries. What that key is worth is the token's to say.
func openProof(proof string) (ed25519.PublicKey, *Query, error) {
	key, text, err := openSigned(proof, queryType)
	if err != nil {
		return nil, nil, err
	}
	bad := func(err error) (ed25519.PublicKey, *Query, error) {
		return nil, nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the query carries no proof of the person's session that can be read")
	}
	q := new(Query)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(q); err != nil {
		return bad(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return bad(err)
	}
	return key, q, nil
}

// openSigned verifies what a session's key has signed, of one type, under the key that it carries.
func openSigned(proof, kind string) (ed25519.PublicKey, []byte, error) {
	bad := func(err error) (ed25519.PublicKey, []byte, error) {
		return nil, nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "the query carries no proof of the person's session that can be read")
	}
	if len(proof) > MaxToken {
		return bad(nil)
	}
	jws, err := jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(jws.Signatures) != 1 {
		return bad(err)
	}
	header := jws.Signatures[0].Protected
	if header.JSONWebKey == nil || header.ExtraHeaders[jose.HeaderType] != kind {
		return bad(nil)
	}
	key, ok := header.JSONWebKey.Key.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return bad(nil)
	}
	text, err := jws.Verify(key)
	if err != nil {
		return bad(err)
	}
	return key, text, nil
}

// unverifiedIssuer reads the iss claim in order to choose whose keys to verify with, and for nothing else.
func unverifiedIssuer(token string) (string, error) {
	bad := countersign.Refuse(countersign.CodeUnauthenticated, "the identity token is not a signed JSON web token")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", bad
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", bad
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Issuer == "" {
		return "", bad
	}
	return c.Issuer, nil
}
