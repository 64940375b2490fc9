package portal

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// useOf asks for the use of a page's address again.
func (s *Server) useOf(r *http.Request, one *session) (*subject.Use, error) {
	var ref useRef
	if err := one.openHandle(handleEntry, r.PathValue("handle"), &ref); err != nil {
		return nil, err
	}
	u, _, err := s.o.Subject.Find(r.Context(), one.person, ref.Time.Time(), ref.ID)
	return u, err
}

// entry shows one use whole: it is asked for again, and its proofs are checked under the directory's policy.
func (s *Server) entry(w http.ResponseWriter, r *http.Request, one *session) error {
	u, err := s.useOf(r, one)
	if err != nil {
		return err
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	v := page.EntryDetail{Entry: entryOf(one, n, u), Proof: s.proof(r, one, n, u), KeptUntil: u.Time.Add(recordLife(n.doc)), Following: following(u)}
	v.AsRelative = u.ByProduct
	v.Differences = differences(n, u)
	if v.Cases, err = s.casesOn(r, one, n, u.ID); err != nil {
		return err
	}
	if len(v.Cases) > 0 {
		v.Entry.Notices = append(v.Entry.Notices, page.NoticeCase)
	}
	v.MayObject = u.Statement != nil && u.Kind != countersign.LeafView && !ownRequest(u)
	if st := u.Statement; st != nil {
		law, article, url := n.basis(st.Basis)
		v.Exchange, v.Asked, v.Case = st.Exchange, st.Asked.Time(), string(st.Case)
		v.Authority = page.Authority{Kind: st.Mandate.Kind, ID: string(st.Mandate.ID)}
		if st.Mandate.Kind == countersign.MandateConsent && s.o.Consents != nil {
			if _, err := s.o.Consents.One(r.Context(), one.person.Subject, st.Mandate.ID); err == nil {
				v.Authority.Consent = one.handle(handleConsent, st.Mandate.ID)
			}
		}
		if u.Kind != countersign.LeafView {
			v.Law = page.Law{Name: law, Article: article, URL: url}
		}
		if p := n.purposeOf(st.Purpose); p != nil && !ownRequest(u) { // what is shown to the person is kept by nobody
			v.Purposes.Keep = time.Duration(p.Retention)
		}
		if svc := n.find(st.Service); svc != nil && svc.Disclose {
			v.Entry.Notices = append(v.Entry.Notices, page.NoticeDisclosed)
		}
	}
	for _, h := range []*subject.Held{u.Provider, u.Consumer} {
		if h != nil && h.Entry.Notice > 0 {
			v.Authority.Hidden = h.Entry.Notice.Time()
		}
	}
	return s.render(w, r, http.StatusOK, page.EntryPage(s.frame(r, one, page.SectionTimeline), v))
}

// following says what happened after the provider's answer, as far as the logs tell.
func following(u *subject.Use) (out []page.Following) {
	if c := u.Consumer; c != nil && u.Provider != nil {
		switch c.Leaf.Outcome {
		case countersign.OutcomeReceived:
			if ownRequest(u) {
				break // by the portal, which showed it and kept nothing
			}
			out = append(out, page.Following{When: c.Entry.Time.Time(), Kind: page.FollowingReceived})
		case countersign.OutcomeNotAccepted:
			out = append(out, page.Following{When: c.Entry.Time.Time(), Kind: page.FollowingNotAccepted})
		}
	}
	for _, d := range u.Decisions {
		by := d.Official + ", " + d.Role
		if d.Official == "" {
			by = "—"
		}
		kind := page.FollowingFavour
		if d.Effect == countersign.EffectAdverse {
			kind = page.FollowingDecision
		}
		out = append(out, page.Following{When: d.At.Time(), Kind: kind, Text: d.Text, By: by})
	}
	for _, h := range []*subject.Held{u.Provider, u.Consumer} {
		if h != nil && h.Entry.Notice > 0 {
			out = append(out, page.Following{When: h.Entry.Notice.Time(), Kind: page.FollowingOpened})
			break
		}
	}
	return out
}

// differences tells point by point in what the two sides' records of one exchange differ.
func differences(n *names, u *subject.Use) (out []page.Difference) {
	if u.Provider == nil || u.Consumer == nil {
		return nil
	}
	add := func(point, provider, consumer string) {
		if provider != consumer {
			out = append(out, page.Difference{Point: point, Provider: provider, Consumer: consumer})
		}
	}
	if slices.Contains(u.Differences, subject.DifferenceOutcome) || slices.Contains(u.Differences, subject.DifferenceNotAccepted) {
		add("outcome", u.Provider.Leaf.Outcome.String(), u.Consumer.Leaf.Outcome.String())
	}
	p, c := u.Provider.Statement, u.Consumer.Statement
	if p == nil || c == nil || u.Provider.Leaf.Commitment == u.Consumer.Leaf.Commitment || c.Outcome == countersign.OutcomeFailed {
		return out // a question that was never answered has nothing else to differ in
	}
	add("fields", joined(p.Fields), joined(c.Fields))
	add("time", p.Asked.Time().Format(time.RFC3339), c.Asked.Time().Format(time.RFC3339))
	add("purpose", n.purpose(p.Purpose), n.purpose(c.Purpose))
	add("official", p.Official.Role+" "+p.Official.Pseudonym, c.Official.Role+" "+c.Official.Pseudonym)
	add("case", string(p.Case), string(c.Case))
	return out
}

func joined(f []countersign.FieldPath) string {
	var b strings.Builder
	for i, p := range f {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(p))
	}
	return b.String()
}

// proof fetches both sides' receipts and checks them as `countersign verify` does. The check here is a convenience: the file is the proof.
func (s *Server) proof(r *http.Request, one *session, n *names, u *subject.Use) page.Proof {
	out := page.Proof{Checked: s.o.Clock.Now(), Policy: one.handle(handlePolicy, "all"), State: page.ProofMissing, Check: s.checkHandle(one, u)}
	policy, err := s.policy()
	for _, side := range []*subject.Held{u.Provider, u.Consumer} {
		if side == nil {
			continue
		}
		p := s.sideProof(r, one, policy, err, side)
		p.Agency = n.member(side.Member)
		p.Side = side.Leaf.Side
		out.Sides = append(out.Sides, p)
		if len(out.Sides) == 1 || worse(p.State, out.State) {
			out.State = p.State
		}
		if p.State == page.ProofPromised {
			out.Deadline = side.Entry.Time.Time().Add(countersign.CosigningDeadline)
		}
		if out.Receipt == "" {
			out.Receipt = p.Receipt
		}
	}
	return out
}

// badness orders the states from good to bad.
var badness = []page.ProofState{page.ProofHolds, page.ProofDestroyed, page.ProofPromised, page.ProofUnchecked, page.ProofMissing, page.ProofBroken, page.ProofFails}

func worse(a, b page.ProofState) bool { return slices.Index(badness, a) > slices.Index(badness, b) }

func (s *Server) sideProof(r *http.Request, one *session, policy *countersign.Policy, noPolicy error, h *subject.Held) page.SideProof {
	p := page.SideProof{Log: h.Origin, Index: h.Entry.Index, Receipt: one.handle(handleReceipt, refOf(h))}
	if h.Broken != nil {
		p.State, p.Reason = page.ProofFails, countersign.MessageOf(h.Broken)
		return p
	}
	if noPolicy != nil {
		p.State, p.Reason = page.ProofUnchecked, countersign.MessageOf(noPolicy)
		return p
	}
	receipt, err := s.o.Subject.Receipt(r.Context(), one.person, h.Member, h.Gateway, h.Entry.Index)
	if err != nil {
		p.State, p.Reason = page.ProofMissing, countersign.MessageOf(err)
		return p
	}
	found, err := policy.Verify(receipt)
	switch {
	case err != nil:
		p.State, p.Reason = page.ProofFails, countersign.MessageOf(err)
	case found.Leaf.Commitment != h.Leaf.Commitment || found.Promise.Index != h.Entry.Index:
		p.State, p.Reason = page.ProofFails, "the receipt proves another record than the one that is shown"
	case found.Cosigned:
		p.State, p.Tree = page.ProofHolds, found.TreeSize
		if h.Entry.Destroyed {
			p.State = page.ProofDestroyed
		}
	case s.o.Clock.Now().Sub(found.Promise.Time.Time()) < countersign.CosigningDeadline:
		p.State = page.ProofPromised
	default:
		p.State = page.ProofBroken
	}
	return p
}

// policy is the directory's witnesses and logs, as the C2SP tlog-policy that verify takes.
func (s *Server) policy() (*countersign.Policy, error) {
	text, err := s.o.Policy()
	if err != nil {
		return nil, err
	}
	return countersign.ParsePolicy(text)
}

// policyFile gives the policy as a file.
func (s *Server) policyFile(w http.ResponseWriter, r *http.Request, one *session) error {
	var what string
	if err := one.openHandle(handlePolicy, r.PathValue("handle"), &what); err != nil {
		return err
	}
	text, err := s.o.Policy()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="policy.txt"`)
	_, _ = w.Write(text)
	return nil
}
