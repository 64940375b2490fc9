package subject

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// PathCases is where agencies and the independent body work on cases: on the portal's listener of gateways.
//
//	GET  PathCases            the cases that the calling member has to do with
//	GET  PathCases/{number}   one of them with its thread
//	GET  PathKept             the exchanges that open cases are about, for a gateway whose records end
//	POST PathCases/{number}   an act of the member
const PathCases = "/countersign/cases"

// DomainAct is the signature domain of a member's act in a case.
const DomainAct countersign.SignatureDomain = "countersign-tree case-act"

// Act is what a member does in a case: the JSON that it signs. It names the step that it follows, so that it acts on what its author has read.
type Act struct {
	Case     CaseNumber           `json:"case"`
	Follows  int                  `json:"follows"` // number of the newest step that its author knows
	Member   countersign.MemberID `json:"member"`
	Kind     StepKind             `json:"kind"`
	Official string               `json:"official"`
	Role     string               `json:"role"`
	Text     string               `json:"text"`
	Before   countersign.Digest   `json:"before"`
	After    countersign.Digest   `json:"after"`
}

// SignedAct is an act as it travels.
type SignedAct struct {
	Act       []byte            `json:"act"`
	Key       countersign.KeyID `json:"key"`
	Signature []byte            `json:"signature"` // TreeSignature of Act under DomainAct
}

// CaseDesk serves members on a portal's cases.
type CaseDesk struct {
	cases     *Cases
	directory directory
}

// NewCaseDesk makes a desk over a portal's cases.
func NewCaseDesk(cases *Cases, current Directory) *CaseDesk {
	return &CaseDesk{cases: cases, directory: directory{current: current}}
}

// threadAnswer is a case with its thread.
type threadAnswer struct {
	Case  Case           `json:"case"`
	Steps []RecordedStep `json:"steps"`
}

// ServeHTTP implements http.Handler. A member is known by the TLS key of its gateway.
func (d *CaseDesk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := d.serve(r)
	if err != nil {
		WriteProblem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(out)
}

func (d *CaseDesk) serve(r *http.Request) (any, error) {
	k, err := d.directory.known()
	if err != nil {
		return nil, err
	}
	pin, err := keys.PeerOf(r.TLS)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeUnauthenticated, err, "members call over TLS 1.3 with the keys of the directory")
	}
	gw := k.byPin[countersign.Pin(pin.KeyID())]
	if gw == nil {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the key of this connection belongs to no gateway of the directory")
	}
	if err := d.cases.Tick(r.Context()); err != nil { // members see the clock as it is
		return nil, err
	}
	body := slices.Contains(gw.member.Roles, countersign.RoleOverseer)
	number := CaseNumber(r.PathValue("number"))
	switch {
	case r.Method == http.MethodGet && number == "":
		return d.cases.For(gw.member.ID, body), nil
	case r.Method == http.MethodGet && number == numberKept:
		return d.cases.Kept(r.Context(), gw.member.ID)
	case r.Method == http.MethodGet:
		one, steps, err := d.cases.ThreadFor(r.Context(), gw.member.ID, body, number)
		return threadAnswer{one, steps}, err
	case r.Method == http.MethodPost && number != "":
		return d.act(r, gw, body, number)
	}
	return nil, countersign.Refuse(countersign.CodeBadRequest, "cases are read with GET and acted on with POST")
}

// act takes a member's signed act. Nobody can put words into a member's mouth: neither the portal nor another member has its key.
func (d *CaseDesk) act(r *http.Request, gw *gateway, body bool, number CaseNumber) (any, error) {
	var signed SignedAct
	dec := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&signed); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "an act is JSON of act, key and signature")
	}
	pub, ok := gw.signs[signed.Key]
	if !ok {
		return nil, countersign.Refuse(countersign.CodeSignature, "the act is signed by a key that the directory does not hold for the member")
	}
	if err := countersign.VerifyTree(pub, DomainAct, signed.Act, signed.Signature, nil); err != nil {
		return nil, err
	}
	var a Act
	if err := json.Unmarshal(signed.Act, &a); err != nil || a.Case != number || a.Member != gw.member.ID {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the act is for another case, or by another member")
	}
	by := PartyAgency
	if body {
		by = PartyBody
	}
	s := &Step{
		Kind: a.Kind, By: by, Member: a.Member, Official: a.Official, Role: a.Role, Text: a.Text, Before: a.Before, After: a.After,
		Key: signed.Key, Signature: signed.Signature, Act: signed.Act,
	}
	return d.cases.step(r.Context(), number, max(a.Follows, 0), s, func(one *Case) bool { return one.concerns(gw.member.ID, body) })
}
