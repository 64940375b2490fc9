package portal

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/page"
)

// deed is a consent, or a withdrawal of one, for which the person is on the way to the login service. It lives in the person's session alone.
type deed struct {
	id       countersign.MandateID
	consent  []byte // the words that the person agrees to; nil for a withdrawal
	nonce    string
	state    string
	verifier string // of PKCE
	begun    time.Time
}

// maxDeeds bounds how many may be under way in one session: windows that were left open.
const maxDeeds = 8

// remember keeps a deed until the person is back, and forgets those that took too long.
func (s *session) remember(d *deed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deeds == nil {
		s.deeds = map[string]*deed{}
	}
	maps.DeleteFunc(s.deeds, func(_ string, old *deed) bool { return d.begun.Sub(old.begun) > loginLife })
	if len(s.deeds) >= maxDeeds {
		clear(s.deeds)
	}
	s.deeds[d.state] = d
}

// deed gives a deed that is under way, and takes it where it is to be done.
func (s *session) deed(state string, take bool, now time.Time) (*deed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deeds[state]
	if take {
		delete(s.deeds, state)
	}
	if d == nil || now.Sub(d.begun) > loginLife {
		return nil, countersign.Refuse(countersign.CodeAccessDenied, "this consent was not begun here, or too long ago: open it again")
	}
	return d, nil
}

func (s *Server) consentRoutes(own func(string, personalHandler)) {
	if s.o.Consents == nil {
		return // a portal that registers no consents has no pages for them
	}
	own("GET "+page.PathConsents, s.consentList)
	own("GET "+page.PathConsent, s.showConsent)
	own("POST "+page.PathConsent, s.answerConsent)
	own("POST "+page.PathConsentSign, s.signConsent)
	own("POST "+page.PathConsentEnd, s.endConsent)
	own("GET "+page.PathConsentReturn, s.consentReturn)
}

// waitingConsents is how many applications wait for the person.
func (s *Server) waitingConsents(ctx context.Context, one *session) int {
	if s.o.Consents == nil {
		return 0
	}
	n, err := s.o.Consents.Waiting(ctx, one.person.Subject)
	if err != nil {
		return 0 // the page of consents says what is wrong
	}
	return n
}

// consentList shows what the person has been asked to allow, allows, and has allowed.
func (s *Server) consentList(w http.ResponseWriter, r *http.Request, one *session) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	items, err := s.o.Consents.Of(r.Context(), one.person.Subject)
	if err != nil {
		return err
	}
	uses, sources, err := s.usesUnder(r.Context(), one, n, items)
	if err != nil {
		return err
	}
	v := page.Consents{Sources: sources}
	for i := range items {
		c := consentOf(one, n, &items[i], s.o.Clock.Now())
		c.Uses = len(uses[items[i].Digest])
		switch c.State {
		case page.ConsentPending:
			v.Pending = append(v.Pending, c)
		case page.ConsentGiven:
			v.Given = append(v.Given, c)
		default:
			v.Ended = append(v.Ended, c)
		}
	}
	return s.render(w, r, http.StatusOK, page.ConsentsPage(s.frame(r, one, page.SectionConsents), v))
}

// usesUnder looks the uses under consents up in the person's history: live, as everything that is shown of it, and with the members named that did not answer.
func (s *Server) usesUnder(ctx context.Context, one *session, n *names, items []exchange.ConsentItem) (map[countersign.Digest][]*subject.Use, []page.Source, error) {
	uses := map[countersign.Digest][]*subject.Use{}
	var since time.Time
	for i := range items {
		if items[i].Digest.IsZero() {
			continue
		}
		uses[items[i].Digest] = nil
		if from := items[i].From.Time(); since.IsZero() || from.Before(since) {
			since = from
		}
	}
	if len(uses) == 0 {
		return uses, nil, nil
	}
	var sources []page.Source
	err := s.o.Subject.Walk(ctx, one.person, subject.HistoryQuery{Since: since}, func(h *subject.History) bool {
		sources = sourcesOf(n, h)
		for _, u := range h.Uses {
			if u.Statement == nil || u.Statement.Outcome != countersign.OutcomeReleased {
				continue
			}
			if _, ok := uses[u.Statement.Mandate.Digest]; ok {
				uses[u.Statement.Mandate.Digest] = append(uses[u.Statement.Mandate.Digest], u)
			}
		}
		return true
	})
	return uses, sources, err
}

// consentOf says an application or a consent in the words of the directory.
func consentOf(one *session, n *names, c *exchange.ConsentItem, now time.Time) page.Consent {
	law, article, url := n.basis(c.Basis)
	v := page.Consent{
		Handle: one.handle(handleConsent, c.ID), Agency: n.member(c.Client.MemberID), Holder: n.member(c.Service.MemberID), Service: n.service(c.Service),
		Purpose: n.purpose(c.Purpose), Law: page.Law{Name: law, Article: article, URL: url}, Case: string(c.Case), Fields: c.Fields, Asked: c.Asked,
		From: c.From.Time(), Until: c.Until.Time(), Due: c.Due, State: page.ConsentState(c.State), Changed: c.Changed, Agreed: c.Text,
	}
	if c.From == 0 {
		v.From = now
	}
	if p := n.purposeOf(c.Purpose); p != nil {
		v.Keep = time.Duration(p.Retention)
	}
	if svc := n.find(c.Service); svc != nil {
		for _, f := range svc.Fields {
			if _, special := n.category(f.Category); special && slices.Contains(c.Fields, f.Path) {
				v.Special = true
			}
		}
	}
	return v
}

// oneConsent opens a consent of the session's person.
func (s *Server) oneConsent(r *http.Request, one *session) (*exchange.ConsentItem, error) {
	var id countersign.MandateID
	if err := one.openHandle(handleConsent, r.PathValue("handle"), &id); err != nil {
		return nil, err
	}
	return s.o.Consents.One(r.Context(), one.person.Subject, id)
}

func (s *Server) showConsent(w http.ResponseWriter, r *http.Request, one *session) error {
	return s.renderConsent(w, r, one, http.StatusOK, nil)
}

func (s *Server) renderConsent(w http.ResponseWriter, r *http.Request, one *session, status int, wrong page.FieldErrors) error {
	item, err := s.oneConsent(r, one)
	if err != nil {
		return err
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	uses, sources, err := s.usesUnder(r.Context(), one, n, []exchange.ConsentItem{*item})
	if err != nil {
		return err
	}
	v := page.ConsentView{Consent: consentOf(one, n, item, s.o.Clock.Now()), Errors: wrong, MaySign: one.issuer.Consents != "", Sources: sources}
	for _, u := range uses[item.Digest] {
		v.Entries = append(v.Entries, entryOf(one, n, u))
	}
	v.Consent.Uses = len(v.Entries)
	return s.render(w, r, status, page.ConsentPage(s.frame(r, one, page.SectionConsents), v))
}

// answerConsent takes the person's answer to an application. A refusal is done at once. A consent is written down word for word, and shown with the code
// under which the login service will ask for exactly that.
func (s *Server) answerConsent(w http.ResponseWriter, r *http.Request, one *session) error {
	item, err := s.oneConsent(r, one)
	if err != nil {
		return err
	}
	if r.PostFormValue("answer") == "refuse" {
		if err := s.o.Consents.Refuse(r.Context(), one.person.Subject, item.ID); err != nil {
			return err
		}
		one.say(page.FlashConsentRefused)
		http.Redirect(w, r, page.PathConsents, http.StatusSeeOther)
		return nil
	}
	// LAW: GDPR Art. 4(11): a clear affirmative act; a box that nobody ticked is none.
	if r.PostFormValue("sure") != "yes" {
		return s.renderConsent(w, r, one, http.StatusUnprocessableEntity, page.FieldErrors{"sure": "sure"})
	}
	if one.issuer.Consents == "" {
		return countersign.Refuse(countersign.CodeBadRequest, "this way of logging in gives no consents")
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	frame := s.frame(r, one, page.SectionConsents)
	c := consentOf(one, n, item, s.o.Clock.Now())
	sentence := sentenceOf(frame.Locale, &c)
	draft, err := s.o.Consents.Draft(r.Context(), one.person.Subject, item.ID, sentence, n.lang)
	if err != nil {
		return err
	}
	d := &deed{id: item.ID, consent: draft.Consent, nonce: draft.Nonce, state: token(), verifier: oauth2.GenerateVerifier(), begun: s.o.Clock.Now()}
	one.remember(d)
	return s.render(w, r, http.StatusOK, page.ConsentSignPage(frame, page.ConsentSign{
		Consent: c, Sentence: sentence, Code: draft.Code, Deed: one.handle(handleDeed, d.state), Provider: s.issuerName(one.issuer, n.lang),
	}))
}

// sentenceOf is what the person agrees to, in one sentence of the person's language: it stands in the consent, and every gateway has it.
func sentenceOf(l *web.Localizer, c *page.Consent) string {
	var fields []string
	for _, g := range l.Fields(c.Fields) {
		if g.Name == "" {
			fields = append(fields, g.Fields...)
			continue
		}
		var names []string
		for _, name := range g.Fields {
			names = append(names, l.Lower(name))
		}
		fields = append(fields, g.Name+": "+strings.Join(names, ", "))
	}
	return l.T("consent.sentence", "Agency", c.Agency, "Holder", c.Holder, "Service", c.Service, "Fields", strings.Join(fields, "; "), "Purpose", c.Purpose,
		"Law", l.T("law.article", "Law", c.Law.Name, "Article", c.Law.Article), "Date", l.Date(c.Until))
}

// signConsent sends the person to the login service for a consent that is written down.
func (s *Server) signConsent(w http.ResponseWriter, r *http.Request, one *session) error {
	var state string
	if err := one.openHandle(handleDeed, r.PathValue("handle"), &state); err != nil {
		return err
	}
	d, err := one.deed(state, false, s.o.Clock.Now())
	if err != nil {
		return err
	}
	return s.askForDeed(w, r, one, d)
}

// endConsent sends the person to the login service for withdrawing a consent: in one step, as nothing is opened by it.
//
// LAW: GDPR Art. 7(3): it is as easy to withdraw as to give consent.
func (s *Server) endConsent(w http.ResponseWriter, r *http.Request, one *session) error {
	item, err := s.oneConsent(r, one)
	if err != nil {
		return err
	}
	nonce, err := s.o.Consents.WithdrawalNonce(r.Context(), one.person.Subject, item.ID)
	if err != nil {
		return err
	}
	d := &deed{id: item.ID, nonce: nonce, state: token(), verifier: oauth2.GenerateVerifier(), begun: s.o.Clock.Now()}
	one.remember(d)
	return s.askForDeed(w, r, one, d)
}

// askForDeed begins a login of its own, under the client id for consents: its token is bound to the deed by nonce, and is good for nothing else.
func (s *Server) askForDeed(w http.ResponseWriter, r *http.Request, one *session, d *deed) error {
	conf, err := one.issuer.consentConfig(r.Context())
	if err != nil {
		return err
	}
	// SPEC: OpenID Connect Core 3.1.2.1: prompt=login makes the provider ask the person again, whoever has a session there.
	http.Redirect(w, r, conf.AuthCodeURL(d.state, oidc.Nonce(d.nonce), oauth2.S256ChallengeOption(d.verifier), oauth2.SetAuthURLParam("prompt", "login")), http.StatusSeeOther)
	return nil
}

// consentReturn takes the person back from the login service, and does the deed.
func (s *Server) consentReturn(w http.ResponseWriter, r *http.Request, one *session) error {
	q := r.URL.Query()
	d, err := one.deed(q.Get("state"), true, s.o.Clock.Now())
	if err != nil {
		return err
	}
	err = s.do(r.Context(), one, d, q.Get("code"))
	var refused *countersign.Refusal
	switch {
	case err == nil && d.consent != nil:
		one.say(page.FlashConsentGiven)
	case err == nil:
		one.say(page.FlashConsentWithdrawn)
	case errors.As(err, &refused) && (errors.Is(err, countersign.CodeMandateInvalid) || errors.Is(err, countersign.CodeUnauthenticated)):
		s.o.Logger.InfoContext(r.Context(), "consent not taken", "code", countersign.CodeOf(err).String(), "error", countersign.MessageOf(err))
		one.say(page.FlashConsentStopped)
	default:
		return err
	}
	http.Redirect(w, r, strings.Replace(page.PathConsent, "{handle}", string(one.handle(handleConsent, d.id)), 1), http.StatusSeeOther)
	return nil
}

func (s *Server) do(ctx context.Context, one *session, d *deed, code string) error {
	if code == "" {
		return countersign.Refuse(countersign.CodeUnauthenticated, "the login service did not log the person in")
	}
	conf, err := one.issuer.consentConfig(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, s.o.HTTP), time.Minute)
	defer cancel()
	text, err := identityToken(ctx, conf, code, d.verifier)
	if err != nil {
		return err
	}
	if d.consent != nil {
		return s.o.Consents.Give(ctx, d.consent, text)
	}
	return s.o.Consents.Withdraw(ctx, one.person.Subject, d.id, text)
}

// issuerName is what a way to log in is called.
func (s *Server) issuerName(i *issuer, lang string) string {
	if name := i.Name.In(lang); name != "" {
		return name
	}
	return i.Issuer
}
