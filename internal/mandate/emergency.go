package mandate

import (
	"crypto"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// EmergencyLife is how long an emergency's declaration is good for. It serves one question; the next one is declared anew.
const EmergencyLife = time.Hour

// Emergency is a member's declaration that a life is in danger: two named officials stand for it. It travels as a compact JWS of the type
// countersign-emergency+jwt, signed by the member's gateway, which has identified both.
type Emergency struct {
	Scope
	Member    countersign.MemberID `json:"iss"`
	Officials []EmergencyOfficial  `json:"officials"`
	Ground    string               `json:"ground"` // in plain words; the person reads it with the notice, at once
}

// EmergencyOfficial is one of those who stand for an emergency, by the pseudonym that only their member can turn back.
type EmergencyOfficial struct {
	Pseudonym string                `json:"pseudonym"`
	Role      string                `json:"role"`
	Assurance countersign.Assurance `json:"assurance"` // verified
}

// Suspensions tells whose rights are suspended because a review is overdue.
type Suspensions interface {
	// Suspended reports whether a member's emergency right is suspended at an instant (A30). An error means that it is not known, and the emergency
	// is refused.
	Suspended(member countersign.MemberID, at time.Time) (bool, error)
	// Unreviewed reports whether a use of a warrant by the member waits at an instant for longer than a review may take. An error means that it is not
	// known, and a warrant that delays the notice is refused.
	Unreviewed(member countersign.MemberID, at time.Time) (bool, error)
}

// SignEmergency makes an emergency's token with a key of the member's gateway.
func SignEmergency(key crypto.Signer, e *Emergency) (string, error) {
	return signToken(key, typeEmergency, e)
}

func (b *builder) gatewayKeys() {
	for i := range b.d.Members {
		m := &b.d.Members[i]
		if slices.Contains(m.Roles, countersign.RoleOverseer) && !slices.Contains(m.Roles, countersign.RoleAgency) {
			b.p.overseers[m.ID] = true
		}
		if slices.Contains(m.Roles, countersign.RolePortal) && !slices.Contains(m.Roles, countersign.RoleAgency) {
			b.p.portals[m.ID] = true
		}
		for j := range m.Gateways {
			for _, text := range m.Gateways[j].Sign {
				key, err := keys.PublicKeyText(text).Parse()
				if err != nil {
					b.bad("member %s: a key of its gateway %q cannot be read", m.ID, m.Gateways[j].Name)
					continue
				}
				b.p.gateways[m.ID] = append(b.p.gateways[m.ID], key)
			}
		}
	}
}

// VerifyEmergency checks an emergency's declaration at an instant: signed by a gateway of the asking member, by two different verified
// officials, with a ground, for one question within the hour, and the member's right not suspended. Errors are CodeMandateInvalid refusals.
//
// LAW: Convention 108+ Art. 5(2) and GDPR Art. 6(1)(d): vital interests. The quota per member is a budget (A29).
func (p *Policy) VerifyEmergency(token string, at time.Time, rights Suspensions) (Mandate, *Emergency, error) {
	bad := func(why string) (Mandate, *Emergency, error) {
		return Mandate{}, nil, countersign.Refuse(countersign.CodeMandateInvalid, "the emergency %s", why)
	}
	var named struct {
		Member countersign.MemberID `json:"iss"`
	}
	if err := unverifiedClaims(token, &named); err != nil {
		return Mandate{}, nil, err
	}
	if len(p.gateways[named.Member]) == 0 {
		return bad("is declared by no member of the directory")
	}
	var e Emergency
	digest, err := openToken(token, MaxTokenBytes, typeEmergency, p.gateways[named.Member], &e)
	if err != nil {
		return Mandate{}, nil, err
	}
	m, err := p.mandate(&e.Scope, countersign.MandateEmergency, digest, at)
	if err != nil {
		return Mandate{}, nil, err
	}
	switch {
	case e.Client.MemberID != e.Member:
		return bad("is declared by another member than asks")
	case m.NotAfter.Sub(m.NotBefore) > EmergencyLife || m.NotAfter.Sub(e.Issued.Time()) > EmergencyLife:
		return bad("is declared for longer than an hour")
	case strings.TrimSpace(e.Ground) == "":
		return bad("gives no ground")
	}
	if why := twoOfficials(e.Officials); why != "" {
		return bad(why)
	}
	if rights == nil {
		return bad("cannot be checked here")
	}
	suspended, err := rights.Suspended(e.Member, at)
	switch {
	case err != nil:
		return Mandate{}, nil, countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "whether the member's emergency right is suspended cannot be learnt: it counts as suspended")
	case suspended:
		return bad("is declared by a member whose emergency right is suspended: a review is overdue")
	}
	m.Uses = 1
	return m, &e, nil
}

// ReadEmergency reads a declaration without verifying anything: for whoever verified it before, and kept it.
func ReadEmergency(token string) (*Emergency, error) {
	e := new(Emergency)
	return e, unverifiedClaims(token, e)
}

// ReadWarrant reads a warrant without verifying anything: for whoever verified it before, and kept it.
func ReadWarrant(token string) (*Warrant, error) {
	w := new(Warrant)
	return w, unverifiedClaims(token, w)
}

func twoOfficials(list []EmergencyOfficial) string {
	if len(list) != 2 {
		return "needs exactly two officials"
	}
	for _, o := range list {
		if CanonicalOfficial(o.Pseudonym) == "" || strings.TrimSpace(o.Role) == "" || o.Assurance != countersign.AssuranceVerified {
			return "names an official without pseudonym, role or verified identity"
		}
	}
	if CanonicalOfficial(list[0].Pseudonym) == CanonicalOfficial(list[1].Pseudonym) {
		return "names one official twice"
	}
	return ""
}
