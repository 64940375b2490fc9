package portal

import (
	"encoding/json"
	"net/http"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// entryRef is what a handle of an entry stands for.
type entryRef struct {
	Member  countersign.MemberID    `json:"m"`
	Gateway countersign.GatewayName `json:"g"`
	Index   uint64                  `json:"i"`
}

// The kinds of handles.
const (
	handleCursor   = "cursor"
	handleReceipt  = "receipt"
	handleEntry    = "entry"
	handlePolicy   = "policy"
	handleYear     = "year"
	handleRegister = "register"
	handleCase     = "case"
	handleConsent  = "consent"
	handleDeed     = "deed"
)

// apiHistory is a history for a program.
type apiHistory struct {
	View     countersign.ExchangeID `json:"view"`
	At       time.Time              `json:"at"`
	Complete bool                   `json:"complete"`
	Members  []apiMember            `json:"members"`
	Uses     []apiUse               `json:"uses"`
	Older    page.Handle            `json:"older,omitempty"` // for ?older=
}

type apiMember struct {
	Member    countersign.MemberID    `json:"member"`
	Name      string                  `json:"name"`
	Gateway   countersign.GatewayName `json:"gateway"`
	State     page.SourceState        `json:"state"`
	Entries   int                     `json:"entries"`
	Size      uint64                  `json:"treeSize"`
	Destroyed *subject.Destroyed      `json:"destroyed,omitempty"` // of all people's records, at their end
	Millis    int64                   `json:"tookMillis"`
	Problem   string                  `json:"problem,omitempty"`
}

type apiUse struct {
	Handle      page.Handle                `json:"handle"`
	Kind        countersign.LeafKind       `json:"kind"`
	Time        time.Time                  `json:"time"`
	Self        bool                       `json:"self,omitempty"`
	Statement   *countersign.Statement     `json:"statement,omitempty"`
	Asker       string                     `json:"asker,omitempty"`
	Holder      string                     `json:"holder,omitempty"`
	Service     string                     `json:"service,omitempty"`
	Purpose     string                     `json:"purpose,omitempty"`
	Law         string                     `json:"law,omitempty"`
	Article     string                     `json:"article,omitempty"`
	Categories  []countersign.CategoryCode `json:"categories,omitempty"`
	Differences []subject.Difference       `json:"differences,omitempty"`
	Delayed     bool                       `json:"delayed,omitempty"`
	ByProduct   bool                       `json:"byProduct,omitempty"`
	Pending     bool                       `json:"pending,omitempty"`
	Decisions   []countersign.Decision     `json:"decisions,omitempty"`
	Undecided   bool                       `json:"undecided,omitempty"` // a machine asked, and no decision that names a human rests on it
	Provider    *apiSide                   `json:"provider,omitempty"`
	Consumer    *apiSide                   `json:"consumer,omitempty"`
}

type apiSide struct {
	Log       countersign.LogOrigin `json:"log"`
	Index     uint64                `json:"index"`
	Outcome   countersign.Outcome   `json:"outcome"`
	Reasons   []countersign.Code    `json:"reasons,omitempty"`
	Rules     []string              `json:"rules,omitempty"`
	Destroyed bool                  `json:"destroyed,omitempty"`
	Broken    string                `json:"broken,omitempty"`
	Receipt   page.Handle           `json:"receipt"` // for GET /receipt/{handle}
}

// apiUses gives the timeline as JSON: ?since, ?until (dates or RFC 3339), ?agency, ?purpose, ?category, ?outcome, ?older.
func (s *Server) apiUses(w http.ResponseWriter, r *http.Request, one *session) error {
	q, err := s.apiQuery(r, one)
	if err != nil {
		return err
	}
	h, err := s.o.Subject.History(r.Context(), one.person, q)
	if err != nil {
		return err
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	out := apiHistory{View: h.View, At: h.At, Complete: h.Complete(), Uses: []apiUse{}}
	out.Members = apiMembers(n, h.Members)
	for _, u := range h.Uses {
		out.Uses = append(out.Uses, apiUseOf(one, n, u))
	}
	if h.More {
		out.Older = one.handle(handleCursor, cursorRef{Cursor: h.Next})
	}
	return writeJSON(w, out)
}

func apiMembers(n *names, members []subject.MemberState) (out []apiMember) {
	for _, m := range members {
		a := apiMember{Member: m.Member, Name: n.member(m.Member), Gateway: m.Gateway, State: stateOf(m), Entries: m.Entries, Size: m.Size, Destroyed: m.Destroyed, Millis: m.Took.Milliseconds()}
		if m.Problem != nil {
			a.Problem = countersign.MessageOf(m.Problem)
		}
		out = append(out, a)
	}
	return out
}

func (s *Server) apiQuery(r *http.Request, one *session) (q subject.HistoryQuery, err error) {
	f := r.URL.Query()
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		text := f.Get(name)
		if text == "" {
			continue
		}
		if *to, err = time.Parse(time.RFC3339, text); err != nil {
			if *to, err = time.ParseInLocation(time.DateOnly, text, s.o.Place); err != nil {
				return q, countersign.Refuse(countersign.CodeBadRequest, "%s is no date: write 2006-01-02 or an RFC 3339 time", name)
			}
			if name == "until" {
				*to = to.AddDate(0, 0, 1)
			}
		}
	}
	q.Agency, q.Purpose, q.Category = f.Get("agency"), countersign.PurposeCode(f.Get("purpose")), countersign.CategoryCode(f.Get("category"))
	if o := f.Get("outcome"); o != "" {
		if err := q.Outcome.UnmarshalText([]byte(o)); err != nil {
			return q, err
		}
	}
	if older := f.Get("older"); older != "" {
		var at cursorRef
		err := one.openHandle(handleCursor, older, &at)
		q.From = at.Cursor
		return q, err
	}
	return q, nil
}

func apiUseOf(one *session, n *names, u *subject.Use) apiUse {
	a := apiUse{
		Handle: useHandle(one, u), Kind: u.Kind, Time: u.Time, Statement: u.Statement, Categories: u.Categories, Differences: u.Differences,
		Delayed: u.Delayed, ByProduct: u.ByProduct, Pending: u.Pending, Decisions: u.Decisions, Undecided: u.Undecided, Self: u.Kind == countersign.LeafView || ownRequest(u),
		Provider: apiSideOf(one, u.Provider), Consumer: apiSideOf(one, u.Consumer),
	}
	if st := u.Statement; st != nil {
		law, article, _ := n.basis(st.Basis)
		a.Asker, a.Holder, a.Service = n.member(st.Consumer.MemberID), n.member(st.Service.MemberID), n.service(st.Service)
		a.Purpose, a.Law, a.Article = n.purpose(st.Purpose), law, article
	}
	return a
}

func apiSideOf(one *session, h *subject.Held) *apiSide {
	if h == nil {
		return nil
	}
	s := &apiSide{
		Log: h.Origin, Index: h.Entry.Index, Outcome: h.Leaf.Outcome, Reasons: h.Entry.Reasons, Rules: h.Entry.Rules, Destroyed: h.Entry.Destroyed,
		Receipt: one.handle(handleReceipt, refOf(h)),
	}
	if h.Broken != nil {
		s.Broken = countersign.MessageOf(h.Broken)
	}
	return s
}

func refOf(h *subject.Held) entryRef { return entryRef{h.Member, h.Gateway, h.Entry.Index} }

// useHandle names a use by the entry of the side that has most to say.
func useHandle(one *session, u *subject.Use) page.Handle {
	h := u.Provider
	if h == nil {
		h = u.Consumer
	}
	return one.handle(handleEntry, useRef{refOf(h), countersign.MillisOf(u.Time), u.ID})
}

// useRef is what a handle of a use stands for: where to find it again.
type useRef struct {
	Entry entryRef           `json:"e"`
	Time  countersign.Millis `json:"t"`
	ID    string             `json:"c"`
}

// stateOf says in a word what became of a member's answer.
func stateOf(m subject.MemberState) page.SourceState {
	if m.Problem == nil {
		return page.SourceAnswered
	}
	switch countersign.CodeOf(m.Problem) {
	case countersign.CodeBusy:
		return page.SourceSlow
	case countersign.CodeNetwork:
		return page.SourceDead
	case countersign.CodeSignature, countersign.CodeInconsistent, countersign.CodeTooLarge:
		return page.SourceInvalid
	}
	return page.SourceRefused
}

// apiSession tells a program when the session ends and the token that its POST requests carry in X-CSRF-Token.
func (s *Server) apiSession(w http.ResponseWriter, _ *http.Request, one *session) error {
	return writeJSON(w, map[string]any{"csrf": one.csrf, "expires": s.sessions.ends(one)})
}

// receipt gives the proof of one entry as a file for countersign verify.
func (s *Server) receipt(w http.ResponseWriter, r *http.Request, one *session) error {
	var ref entryRef
	if err := one.openHandle(handleReceipt, r.PathValue("handle"), &ref); err != nil {
		return err
	}
	got, err := s.o.Subject.Receipt(r.Context(), one.person, ref.Member, ref.Gateway, ref.Index)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="receipt.json"`)
	return writeJSON(w, got)
}

func writeJSON(w http.ResponseWriter, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInternal, err, "the answer cannot be written")
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
	return nil
}
