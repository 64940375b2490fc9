package portal

import (
	"errors"
	"net/http"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
	"countersign.dev/countersign/internal/web/page"
)

// noticeRoutes adds the page of contact terms, and the one behind the address in each notice.
func (s *Server) noticeRoutes(open func(string, func(http.ResponseWriter, *http.Request) error), own func(string, personalHandler)) {
	own("GET "+page.PathSettings, func(w http.ResponseWriter, r *http.Request, one *session) error {
		return s.settings(w, r, one, http.StatusOK, nil, nil)
	})
	own("POST "+page.PathSettings, s.saveSettings)
	own("POST "+page.PathSettingsConfirm, s.confirmContact)
	own("POST "+page.PathSettingsRemove, s.removeContacts)
	open("GET "+page.PathNoticeStop, s.showStop)
	open("POST "+page.PathNoticeStop, s.stopNotices)
}

// settings shows what is stored, or what came back with errors. Addresses that are stored are shown masked.
func (s *Server) settings(w http.ResponseWriter, r *http.Request, one *session, status int, typed *notice.Wanted, wrong page.FieldErrors) error {
	v := page.Settings{Off: s.o.Notices == nil, Frequency: page.FrequencyDaily, Errors: wrong}
	if !v.Off {
		t, err := s.o.Notices.Terms(r.Context(), one.person.Subject)
		if err != nil {
			return err
		}
		v.Hooks = s.o.Notices.Offers(notice.Webhook)
		if t != nil {
			stored(&v, t)
		}
	}
	if typed != nil {
		v.Email, v.Webhook, v.Frequency = typed.Email, typed.Webhook, page.Frequency(typed.Frequency)
	}
	return s.render(w, r, status, page.SettingsPage(s.frame(r, one, page.SectionSettings), v))
}

func stored(v *page.Settings, t *notice.Terms) {
	v.Saved, v.Frequency, v.Stale = true, page.Frequency(t.Frequency), t.Stale && t.Frequency != notice.Never
	for i := range t.Contacts {
		c := &t.Contacts[i]
		v.CodeDue = v.CodeDue || c.State == notice.Unconfirmed
		if c.Kind == notice.Email {
			v.Email, v.EmailState = c.Mask(), page.ContactState(c.State)
		} else {
			v.Webhook, v.WebhookState, v.Secret = c.Mask(), page.ContactState(c.State), c.SigningSecret()
		}
	}
}

var errNoNotices = countersign.Refuse(countersign.CodeUnknownService, "this portal sends no notices")

func (s *Server) saveSettings(w http.ResponseWriter, r *http.Request, one *session) error {
	if s.o.Notices == nil {
		return errNoNotices
	}
	want := notice.Wanted{
		Language: s.language(r), Email: strings.TrimSpace(r.PostFormValue("email")), Webhook: strings.TrimSpace(r.PostFormValue("webhook")), Frequency: notice.Frequency(r.PostFormValue("frequency")),
	}
	bad, err := s.o.Notices.Save(r.Context(), one.person, want)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		wrong := page.FieldErrors{}
		for field := range bad {
			wrong[field] = field
		}
		if wrong["email"] != "" && want.Email == "" {
			wrong["email"] = "contact"
		}
		return s.settings(w, r, one, http.StatusUnprocessableEntity, &want, wrong)
	}
	one.say(page.FlashSettingsSaved)
	http.Redirect(w, r, page.PathSettings, http.StatusSeeOther)
	return nil
}

func (s *Server) confirmContact(w http.ResponseWriter, r *http.Request, one *session) error {
	if s.o.Notices == nil {
		return errNoNotices
	}
	code := r.PostFormValue("code")
	if len(code) > 64 {
		code = ""
	}
	ok, err := s.o.Notices.Confirm(r.Context(), one.person.Subject, code)
	if err != nil {
		return err
	}
	if !ok {
		return s.settings(w, r, one, http.StatusUnprocessableEntity, nil, page.FieldErrors{"code": "notice-code"})
	}
	one.say(page.FlashContactConfirmed)
	http.Redirect(w, r, page.PathSettings, http.StatusSeeOther)
	return nil
}

func (s *Server) removeContacts(w http.ResponseWriter, r *http.Request, one *session) error {
	if s.o.Notices == nil {
		return errNoNotices
	}
	if err := s.o.Notices.Remove(r.Context(), one.person.Subject); err != nil {
		return err
	}
	one.say(page.FlashContactRemoved)
	http.Redirect(w, r, page.PathSettings, http.StatusSeeOther)
	return nil
}

// showStop asks once more, because programs follow addresses in mail.
func (s *Server) showStop(w http.ResponseWriter, r *http.Request) error {
	if s.o.Notices == nil || !s.o.Notices.Stoppable(r.PathValue("handle")) {
		return errNoNotices
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	return s.render(w, r, http.StatusOK, page.NoticeStopPage(s.frame(r, nil, ""), page.NoticeStop{Handle: page.Handle(r.PathValue("handle"))}))
}

// stopNotices stops notices for whoever has the address, which nobody can guess: there is no session whose form it could be.
//
// SPEC: RFC 8058: a mail program posts List-Unsubscribe=One-Click there, without cookies.
func (s *Server) stopNotices(w http.ResponseWriter, r *http.Request) error {
	if s.o.Notices == nil {
		return errNoNotices
	}
	if err := s.o.Notices.Stop(r.Context(), r.PathValue("handle")); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, page.NoticeStopPage(s.frame(r, nil, ""), page.NoticeStop{Done: true}))
}

// renewNotices renews the permission of whoever has just logged in and wants notices. A failure is no reason to keep anybody out.
func (s *Server) renewNotices(r *http.Request, person *subject.Person) {
	if s.o.Notices == nil {
		return
	}
	if err := s.o.Notices.Renew(r.Context(), person); err != nil && !errors.Is(err, r.Context().Err()) {
		s.o.Logger.ErrorContext(r.Context(), "a permission for notices could not be renewed", "error", countersign.MessageOf(err))
	}
}
