package mandate

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
)

type login struct {
	id  Identity
	err error
}

// Identify says what the test wants.
func (l login) Identify(string) (Identity, error) { return l.id, l.err }

type withdrawals struct {
	withdrawn bool
	asOf      time.Time
	err       error
}

// Withdrawn says what the test wants.
func (w withdrawals) Withdrawn(countersign.MandateID, countersign.Digest) (bool, time.Time, error) {
	return w.withdrawn, w.asOf, w.err
}

func TestConsents(t *testing.T) {
	p := compiled(t, judicial(t))
	for name, c := range map[string]struct {
		consent     func(c *Consent)
		id          func(id *Identity)
		proof       registered
		withdrawals withdrawals
		want        string
	}{
		"valid":                      {},
		"another person's login":     {id: func(id *Identity) { id.Subject = other }, want: "another person"},
		"a login for something else": {id: func(id *Identity) { id.Nonce = "x" }, want: "not the one that the person logged in for"},
		"an old login":               {id: func(id *Identity) { id.At = now.Add(-time.Hour) }, want: "not given at the time"},
		"not registered":             {proof: registered{err: countersign.Refuse(countersign.CodeMandateInvalid, "no leaf")}, want: "no leaf"},
		"registered later":           {proof: registered{log: "x", since: now.Add(time.Minute)}, want: "not registered yet"},
		"withdrawn":                  {withdrawals: withdrawals{withdrawn: true, asOf: now}, want: "was withdrawn"},
		"stale":                      {withdrawals: withdrawals{asOf: now.Add(-time.Hour)}, want: "not freshly known"},
		"unknown":                    {withdrawals: withdrawals{err: errors.New("down")}, want: "counts as withdrawn"},
		"no sentence":                {consent: func(c *Consent) { c.Text = "" }, want: "the sentence that the person saw"},
		"no salt":                    {consent: func(c *Consent) { c.Salt = "AAAA" }, want: "no salt"},
		"for ever":                   {consent: func(c *Consent) { c.Until = SecondsOf(now.Add(366 * day)) }, want: "longer than a year"},
		"expired":                    {consent: func(c *Consent) { c.Until = SecondsOf(now) }, want: "has expired"},
	} {
		consent := &Consent{
			Scope: Scope{ID: "C-1", Subject: person.Canonical(), Client: subsystem(welfare), Service: serviceID(people), Fields: list("/address/city /name"), Purpose: "benefit",
				Basis: "social-9", Issued: SecondsOf(now.Add(-5 * time.Minute)), From: SecondsOf(now.Add(-5 * time.Minute)), Until: SecondsOf(now.Add(day))},
			Text: "The social fund may see where I live.", Lang: "en", Salt: base64.RawURLEncoding.EncodeToString(make([]byte, 16)),
		}
		if c.consent != nil {
			c.consent(consent)
		}
		raw, nonce, err := NewConsent(consent)
		if err != nil {
			t.Fatal(err)
		}
		id := Identity{Subject: person, Nonce: nonce, At: now.Add(-4 * time.Minute)}
		if c.id != nil {
			c.id(&id)
		}
		if c.proof == (registered{}) {
			c.proof = registered{log: "x", since: now.Add(-3 * time.Minute)}
		}
		if c.withdrawals == (withdrawals{}) {
			c.withdrawals = withdrawals{asOf: now}
		}
		evidence, err := json.Marshal(ConsentEvidence{Consent: raw, Identity: "token"})
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := p.VerifyConsent(evidence, now, login{id: id}, c.proof, c.withdrawals)
		if c.want == "" {
			if err != nil || !m.verified || !m.NotBefore.Equal(c.proof.since) {
				t.Errorf("%s: %v %+v", name, err, m)
			}
			continue
		}
		if m.verified || countersign.CodeOf(err) != countersign.CodeMandateInvalid || !strings.Contains(countersign.MessageOf(err), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
