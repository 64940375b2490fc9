package mandate

import (
	"crypto"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// Warrant is what a court signs: one person, one client, one service, listed fields, counted uses, a ground. It travels as a compact JWS
// of the type countersign-warrant+jwt. It may begin (nbf) no earlier than it stands in the court's log.
type Warrant struct {
	Scope
	Court     countersign.CourtName `json:"iss"`
	Judge     string                `json:"judge"`     // the judge's pseudonym at the court; a warrant is not reviewed by its own judge (A28)
	Uses      int                   `json:"uses"`      // exchanges that it is good for
	Ground    string                `json:"ground"`    // in plain words; the person reads it when the notice falls due
	Facts     countersign.Digest    `json:"facts"`     // SHA-256 of the facts that the court was shown
	Privilege string                `json:"privilege"` // what the court found about lawyers, journalists and others whose sources are protected; "none" where nobody is
	Delay     countersign.Duration  `json:"delay,omitzero"`
	Status    StatusRef             `json:"status"`
}

// MaxWarrantUses bounds the uses that one warrant may grant: it is for a person, not for watching one.
const MaxWarrantUses = 100

// SignWarrant makes a warrant's token. It checks nothing but the key: [Policy.VerifyWarrant] says what a gateway will refuse.
func SignWarrant(key crypto.Signer, w *Warrant) (string, error) {
	return signToken(key, typeWarrant, w)
}

type court struct {
	countersign.Court
	keys    []crypto.PublicKey
	origin  countersign.LogOrigin
	isCourt bool // its member has the role of a court, and none of a party
}

func (b *builder) courts() {
	for i := range b.d.Courts {
		c := &b.d.Courts[i]
		if b.p.courts[c.Name] != nil {
			b.lost("court %q is listed twice", c.Name)
		}
		k := &court{Court: *c}
		for _, text := range c.Keys {
			key, err := keys.PublicKeyText(text).Parse()
			if err != nil {
				b.bad("court %q: a key cannot be read", c.Name)
				continue
			}
			k.keys = append(k.keys, key)
		}
		if log, err := countersign.ParseLogKey(c.Log.VKey); err != nil {
			b.bad("court %q: its log's key cannot be read", c.Name)
		} else {
			k.origin = log.Origin
		}
		for j := range b.d.Members {
			if m := &b.d.Members[j]; m.ID == c.Member {
				// A26: the directory's court role only; who owns registers or asks is no judge.
				k.isCourt = slices.Contains(m.Roles, countersign.RoleCourt) && !slices.Contains(m.Roles, countersign.RoleAgency)
			}
		}
		if !k.isCourt {
			b.bad("court %q: its member %s is not a court and nothing else", c.Name, c.Member)
		}
		b.p.courts[c.Name] = k
	}
}

// VerifyWarrant checks a warrant at an instant: signed by a key that the directory holds for a court today, registered in that court's own
// log before it begins, not withdrawn by a fresh status list, within the caps. One that delays the notice is refused too while a review of what the
// asking member did under warrants is overdue. The error, a CodeMandateInvalid refusal, names the clause that fails. Whether the warrant fits a question, and whether a use is left, is for [Policy.Decide] and the ledger's reservation.
func (p *Policy) VerifyWarrant(token string, at time.Time, proof Registration, statuses StatusSource, rights Suspensions) (Mandate, *Warrant, error) {
	bad := func(format string, args ...any) (Mandate, *Warrant, error) {
		return Mandate{}, nil, countersign.Refuse(countersign.CodeMandateInvalid, "the warrant "+format, args...)
	}
	var named struct {
		Court countersign.CourtName `json:"iss"`
	}
	if err := unverifiedClaims(token, &named); err != nil {
		return Mandate{}, nil, err
	}
	c := p.courts[named.Court]
	if c == nil || !c.isCourt || len(c.keys) == 0 {
		return bad("is of no court of the directory") // A26
	}
	var w Warrant
	digest, err := openToken(token, MaxTokenBytes, typeWarrant, c.keys, &w)
	if err != nil {
		return Mandate{}, nil, err // A26: self-issued, or by a key that was removed
	}
	m, err := p.mandate(&w.Scope, countersign.MandateWarrant, digest, at)
	if err != nil {
		return Mandate{}, nil, err
	}
	switch {
	case w.Client.MemberID == c.Member:
		return bad("was issued to the court's own member: the requester is never the issuer")
	case w.Uses < 1 || w.Uses > MaxWarrantUses:
		return bad("grants %d uses: 1 to %d", w.Uses, MaxWarrantUses)
	case strings.TrimSpace(w.Judge) == "" || strings.TrimSpace(w.Ground) == "":
		return bad("names no judge or gives no ground")
	case w.Facts.IsZero() || strings.TrimSpace(w.Privilege) == "":
		// LAW: ECtHR, Szabó and Vissy v. Hungary (37138/14), Segerstedt-Wiberg v. Sweden (62332/00): necessity is shown in the individual case.
		return bad("lacks the digest of the facts, or the statement about protected professions")
	case m.NotAfter.Sub(m.NotBefore) > time.Duration(p.caps.WarrantLife):
		return bad("is valid for longer than %s", time.Duration(p.caps.WarrantLife))
	case w.Delay > p.caps.NoticeDelay:
		return bad("delays the notice by %s: %s at most", time.Duration(w.Delay), time.Duration(p.caps.NoticeDelay))
	case w.Delay != 0:
		if err := reviewed(w.Client.MemberID, at, rights); err != nil {
			return Mandate{}, nil, err
		}
		return bad("asks for a delay of notice, and this gateway has no sealing with which to keep one: ask the court for a warrant without delay")
	}
	if err := c.registered(&m, digest, proof, at); err != nil {
		return Mandate{}, nil, err
	}
	if err := checkStatus(w.Status, statuses, c.keys, at); err != nil {
		return Mandate{}, nil, err
	}
	m.Uses = w.Uses
	return m, &w, nil
}

// reviewed holds a member that wants the notice delayed to the reviews of what it did under warrants before. Only such a warrant depends on them: what
// the person reads at once, the person can contest; and no notice that is due waits for a review.
//
// LAW: SAFEGUARDS 16: each use of a warrant opens a review with a deadline. SAFEGUARDS 33: no more is hidden while what was done is not looked at.
func reviewed(member countersign.MemberID, at time.Time, rights Suspensions) error {
	if rights == nil {
		return countersign.Refuse(countersign.CodeMandateInvalid, "the warrant delays the notice, and whether the member's uses of warrants were reviewed cannot be checked here")
	}
	overdue, err := rights.Unreviewed(member, at)
	switch {
	case err != nil:
		return countersign.RefuseBecause(countersign.CodeMandateInvalid, err,
			"the warrant delays the notice, and whether the member's uses of warrants were reviewed cannot be learnt: a review counts as overdue")
	case overdue:
		return countersign.Refuse(countersign.CodeMandateInvalid,
			"the warrant delays the notice, and the review of an earlier use by the member is overdue: ask the overseer to review it, or the court for a warrant without delay")
	}
	return nil
}

// registered holds the warrant's beginning against its registration.
func (c *court) registered(m *Mandate, digest countersign.Digest, proof Registration, at time.Time) error {
	if proof == nil {
		return countersign.Refuse(countersign.CodeMandateInvalid, "the warrant comes without proof of its registration in the court's log")
	}
	log, since, err := proof.Registered(digest)
	switch {
	case err != nil:
		return err
	case c.origin == "" || log != c.origin:
		return countersign.Refuse(countersign.CodeMandateInvalid, "the warrant is not registered in its own court's log")
	case since.IsZero() || since.After(at.Add(Skew)):
		return countersign.Refuse(countersign.CodeMandateInvalid, "the warrant's registration lies in the future")
	case m.NotBefore.Add(Skew).Before(since):
		// A20: validity cannot begin before the registration.
		return countersign.Refuse(countersign.CodeMandateInvalid, "the warrant is back-dated: it begins before it was registered in the court's log")
	}
	return nil
}
