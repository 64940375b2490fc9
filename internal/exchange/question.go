package exchange

import (
	"net/http"
	"strings"

	"github.com/dunglas/httpsfv"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/xroad"
)

// question is what was asked: the half of a statement that both gateways know before anything is answered.
type question struct {
	id        countersign.ExchangeID
	name      string // the id as it is written
	method    string
	target    xroad.Target
	head      xroad.ClientHeaders
	service   *offered
	vars      xroad.Vars
	metadata  bool // listMethods, allowedMethods, getOpenAPI: no subject, purpose metadata
	subject   countersign.SubjectID
	purpose   countersign.PurposeCode
	basis     countersign.BasisCode
	standing  bool
	official  countersign.Official
	mandate   string // the header Countersign-Mandate, as presented
	mandates  []mandate.Mandate
	clerk     string                // the official's canonical name, which the consumer alone knows
	person    countersign.SubjectID // the official as a person, where the consumer knows it
	opening   opening
	body      *body
	sent      []countersign.FieldPath // of the body, as the record names them: the provider alone sets it, when they go to the register
	hash      string                  // X-Road request hash, base64
	header    http.Header
	signature []byte // of the request, as the provider received it
}

// statement completes the question with the provider's part: the text that both logs commit to.
func (q *question) statement(a *answering, salt countersign.KeyedSalt, answerDigest []byte) *countersign.Statement {
	s := q.unsalted(a)
	s.Request = salt.Blind("request", []byte(q.hash))
	if answerDigest != nil {
		s.Answer = salt.Blind("answer", answerDigest)
	}
	return s
}

// unsalted is the statement but for what its salt hides.
func (q *question) unsalted(a *answering) *countersign.Statement {
	s := &countersign.Statement{
		Exchange: q.id, Consumer: q.head.Client, Service: q.target.Service, Purpose: q.purpose, Basis: q.basis,
		Case: q.head.Issue, Mandate: a.Mandate, Official: q.official, Fields: a.Fields, Outcome: a.Outcome, Reasons: a.Reasons,
		Asked: q.opening.Asked, Answered: a.Answered, Directory: a.Directory, Subject: q.subject.Canonical(),
	}
	if s.Subject == "" {
		s.Subject = a.Subject
	}
	if !q.head.RepresentedParty.IsZero() {
		s.OnBehalfOf = []string{q.head.RepresentedParty.String()}
	}
	return s
}

// asked is the question in the words of the mandate.
func (q *question) asked() mandate.Question {
	m := mandate.Question{
		Consumer: q.head.Client, Service: q.target.Service, Method: q.method, Subject: q.subject, Purpose: q.purpose, Basis: q.basis,
		Case: q.head.Issue, Official: q.official, OfficialName: q.clerk, OfficialSubject: q.person, Mandates: q.mandates, Standing: q.standing,
		At: q.opening.Asked.Time(),
	}
	if !q.head.RepresentedParty.IsZero() {
		m.OnBehalfOf = []string{q.head.RepresentedParty.String()}
	}
	return m
}

// echo is what every answer repeats of its question.
func (q *question) echo() xroad.Echo {
	return xroad.Echo{ID: q.head.ID, Client: q.head.Client, Service: q.target.Service, RequestID: q.name, RequestHash: q.hash}
}

// findSubject reads the data subject out of the request by the service's own selector and gives it its canonical spelling.
//
// LAW: guarantee 2, one person per question: a request that names none, or several, is refused.
func (q *question) findSubject(view *federation.View) error {
	if q.metadata || q.service.Subject.From != countersign.SubjectInRequest {
		return nil
	}
	var named string
	if q.service.Subject.In == "path" {
		named, _ = q.vars.Get(q.service.Subject.Name)
	}
	raw, err := q.service.selector.Subject(&register.Question{
		Var: named, Query: q.target.Query, Header: q.header, Body: q.body.bytes,
	})
	if err != nil {
		return err
	}
	q.subject, err = view.Normalise(q.service.Subject.Scheme, raw)
	return err
}

// nobody is the official of an automated question, and nobodyHeader how it travels.
var nobody = countersign.Official{Assurance: countersign.AssuranceAutomated}

const nobodyHeader = `"";assurance=automated`

// officialHeader carries pseudonym, role and assurance between gateways.
//
// SPEC: RFC 9651 item: the pseudonym as a string, parameters role (string) and assurance (token).
func officialHeader(o countersign.Official) (string, error) {
	if o == nobody {
		return nobodyHeader, nil
	}
	item := httpsfv.NewItem(o.Pseudonym)
	if o.Role != "" {
		item.Params.Add("role", o.Role)
	}
	item.Params.Add("assurance", httpsfv.Token(o.Assurance.String()))
	return httpsfv.Marshal(item)
}

func parseOfficial(values []string) (o countersign.Official, err error) {
	if len(values) == 1 && values[0] == nobodyHeader {
		return nobody, nil
	}
	bad := countersign.Refuse(countersign.CodeBadRequest, "the header %s between gateways must be a string with the parameters role and assurance", HeaderOfficial)
	item, err := httpsfv.UnmarshalItem(values)
	if err != nil || len(values) != 1 {
		return o, bad
	}
	var ok bool
	if o.Pseudonym, ok = item.Value.(string); !ok {
		return o, bad
	}
	for _, name := range item.Params.Names() {
		v, _ := item.Params.Get(name)
		switch v := v.(type) {
		case string:
			if name != "role" {
				return o, bad
			}
			o.Role = v
		case httpsfv.Token:
			if name != "assurance" || o.Assurance.UnmarshalText([]byte(v)) != nil {
				return o, bad
			}
		default:
			return o, bad
		}
	}
	if o.Assurance == 0 || (o.Assurance == countersign.AssuranceAutomated) != (o.Pseudonym == "") {
		return o, bad
	}
	return o, nil
}

// one reads a header that may appear once, trimmed; absent is empty.
func one(h http.Header, name string) (string, error) {
	switch v := h[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		return strings.TrimSpace(v[0]), nil
	}
	return "", countersign.Refuse(countersign.CodeBadRequest, "the header %s appears several times: send it once", name)
}
