package portal

import (
	"net/http"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/page"
)

// checkHandle leads to the check in the browser, where this program carries it.
func (s *Server) checkHandle(one *session, u *subject.Use) page.Handle {
	if !s.o.Assets.Has(web.CheckProgram) {
		return ""
	}
	return useHandle(one, u)
}

// browserCheck is the page on which the person's browser checks the proofs of one use by itself.
func (s *Server) browserCheck(w http.ResponseWriter, r *http.Request, one *session) error {
	if !s.o.Assets.Has(web.CheckProgram) {
		return countersign.Refuse(countersign.CodeUnknownService, "this portal was built without the check for browsers")
	}
	u, err := s.useOf(r, one)
	if err != nil {
		return err
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	e := entryOf(one, n, u)
	frame := s.frame(r, one, page.SectionTimeline)
	v := page.Check{Entry: useHandle(one, u), Agency: e.Asker.Agency, When: e.When, Policy: one.handle(handlePolicy, "all")}
	for _, side := range []*subject.Held{u.Provider, u.Consumer} {
		if side != nil {
			v.Sides = append(v.Sides, page.SideProof{Agency: n.member(side.Member), Side: side.Leaf.Side, Log: side.Origin, Index: side.Entry.Index, Receipt: one.handle(handleReceipt, refOf(side))})
		}
	}
	s.security.AllowScripts(w)
	return s.render(w, r, http.StatusOK, page.CheckPage(frame, v))
}
