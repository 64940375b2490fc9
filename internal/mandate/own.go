package mandate

import (
	"crypto/sha256"
	"time"

	"countersign.dev/countersign"
)

// PurposeOwnAccess is the purpose for which people ask for their own data. A directory that lists it, with its legal basis, its cells and its grants, lets
// portals bring such requests; no other purpose accepts them.
const PurposeOwnAccess countersign.PurposeCode = "own-access"

// ownLife is how long a person's own request is good for: one question, at once.
const ownLife = 2 * time.Minute

// OwnEvidence is a person's own request as it travels: the identity token, and the proof that the token's session asks one service, now.
type OwnEvidence struct {
	Token string `json:"token"`
	Proof string `json:"proof"`
}

// OwnRequest is what verified evidence says.
type OwnRequest struct {
	Subject countersign.SubjectID
	Service countersign.ServiceID
	ID      countersign.MandateID // of this request alone
	At      time.Time
}

// OwnVerifier verifies a person's own request: token, proof, the binding of the one to the other and to the portal that brings it, and that it is fresh. The
// error is a CodeMandateInvalid refusal.
type OwnVerifier interface {
	Own(portal countersign.MemberID, e OwnEvidence) (OwnRequest, error)
}

// VerifyOwn verifies a person's own request, brought by a client of a portal. It is good for one question to one service about the person whose token it is.
//
// LAW: GDPR Art. 15, Convention 108+ Art. 9(1)(b): people get the data that are held about them. DESIGN, person's queries: a portal alone can read nothing.
func (p *Policy) VerifyOwn(e OwnEvidence, client countersign.SubsystemID, at time.Time, who OwnVerifier) (Mandate, error) {
	bad := func(why string) (Mandate, error) {
		return Mandate{}, countersign.Refuse(countersign.CodeMandateInvalid, "the person's own request %s", why)
	}
	switch {
	case len(e.Token)+len(e.Proof) > MaxTokenBytes:
		return bad("is longer than 16 KiB")
	case who == nil:
		return bad("cannot be checked here")
	case !p.portals[client.MemberID]:
		return bad("is brought by no portal of the directory")
	}
	r, err := who.Own(client.MemberID, e)
	if err != nil {
		return Mandate{}, err
	}
	if k := p.schemes[r.Subject.Scheme]; k == nil || !k.canonical(r.Subject.Value) {
		return bad("does not name its person by a canonical identifier")
	}
	s := p.services[r.Service]
	if s == nil || r.ID == "" {
		return bad("names no service of the directory, or has no number")
	}
	m := Mandate{
		Kind: countersign.MandateOwn, ID: r.ID, Digest: sha256.Sum256([]byte(e.Proof)), Consumer: client, Service: r.Service, Purpose: PurposeOwnAccess,
		Subject: r.Subject, NotBefore: r.At.Add(-Skew), NotAfter: r.At.Add(ownLife), Uses: 1, verified: true,
	}
	for _, g := range s.grants[PurposeOwnAccess] {
		for i := range g.fields {
			m.Fields = append(m.Fields, g.fields[i].path)
		}
	}
	m.Fields = countersign.SortFields(m.Fields)
	if len(m.Fields) == 0 {
		return bad("is for a service that shows people nothing in this way: ask the register itself")
	}
	return m, nil
}
