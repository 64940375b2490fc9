package subject_test

import (
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/subject"
)

// newsOf asks one member whether there is anything new about a person.
func (w *world) newsOf(t *testing.T, p *subject.Permission, member string, since time.Time, classes ...subject.NewsClass) subject.News {
	t.Helper()
	a, err := w.portal.News(t.Context(), subject.GatewayRef{Member: code(member), Name: "gw1"}, []subject.NewsAsk{p.Ask(countersign.MillisOf(since), classes...)})
	if err != nil {
		t.Fatal(err)
	}
	return a.News[0]
}

func (w *world) permit(t *testing.T, value string) *subject.Permission {
	t.Helper()
	p, _, _ := w.login(t, value)
	permission, err := w.portal.Permit(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return permission
}

// TestNewsWithoutThePerson: with the person's permission a portal learns yes or no, from either side's log, long after the login; and nothing about anybody else.
func TestNewsWithoutThePerson(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	begun := w.clock.Now()
	mine, theirs := w.permit(t, alma), w.permit(t, bahar)
	w.clock.Add(48 * time.Hour) // the tokens are long over
	if n := w.newsOf(t, mine, "POP", begun, subject.NewsSingle); n.New || n.Refused != "" {
		t.Fatalf("before anything happened: %+v", n)
	}
	w.both(t, "POP", "MUN", alma)
	if n := w.newsOf(t, mine, "POP", begun, subject.NewsSingle); n.New {
		t.Error("an entry of this instant is told of, although one beside it may not be seen yet")
	}
	w.clock.Add(time.Minute)
	for _, member := range []string{"POP", "MUN"} {
		if n := w.newsOf(t, mine, member, begun, subject.NewsSingle); !n.New {
			t.Errorf("%s has nothing new: %+v", member, n)
		}
		if n := w.newsOf(t, theirs, member, begun, subject.NewsSingle, subject.NewsEmergency, subject.NewsProgramme); n.New || n.Refused != "" {
			t.Errorf("%s has something new about somebody else: %+v", member, n)
		}
		if n := w.newsOf(t, mine, member, begun, subject.NewsEmergency, subject.NewsProgramme); n.New {
			t.Errorf("%s tells an ordinary use as an emergency or a programme", member)
		}
		if n := w.newsOf(t, mine, member, w.clock.Now(), subject.NewsSingle); n.New {
			t.Errorf("%s tells old news", member)
		}
	}
	// The person's own looks are no news.
	if n := w.newsOf(t, mine, "POR", begun, subject.NewsSingle); n.New {
		t.Error("the permission itself is news")
	}
	w.clock.Add(identity.StandingLife)
	if n := w.newsOf(t, mine, "POP", begun, subject.NewsSingle); n.Refused != countersign.CodeUnauthenticated {
		t.Errorf("after half a year: %+v", n)
	}
}

// TestNewsOfDelayedEntries (A34): a court's delay hides an entry from news as it does from the history, until it ends.
func TestNewsOfDelayedEntries(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	begun := w.clock.Now()
	mine := w.permit(t, alma)
	e := w.exchange("POP", "MUN", alma)
	e.notice = countersign.MillisOf(begun.Add(30 * 24 * time.Hour))
	w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, e)
	w.clock.Add(29 * 24 * time.Hour)
	if n := w.newsOf(t, mine, "POP", begun, subject.NewsSingle); n.New {
		t.Error("the delay is over too soon")
	}
	asked := w.clock.Now()
	w.clock.Add(2 * 24 * time.Hour)
	if n := w.newsOf(t, mine, "POP", asked, subject.NewsSingle); !n.New {
		t.Error("an entry that has become due is no news")
	}
	if n := w.newsOf(t, mine, "POP", w.clock.Now(), subject.NewsSingle); n.New {
		t.Error("it is told twice")
	}
}

// TestNewsNeedThePermission: what a portal could make by itself, or take from somewhere else, is refused.
func TestNewsNeedThePermission(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	w.both(t, "POP", "MUN", alma)
	begun := w.clock.Now().Add(-time.Hour)
	mine, theirs := w.permit(t, alma), w.permit(t, bahar)
	_, session, token := w.login(t, alma)
	query, err := session.Sign(identity.Query{Member: code("POP"), Gateway: "gw1", Kind: identity.QueryHistory, ID: countersign.NewExchangeID(w.clock.Now()), At: countersign.MillisOf(w.clock.Now())}, token)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := identity.NewSession(code("POR"))
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.Stand(identity.Standing{At: mine.Given, Until: mine.Until}, mine.Token)
	if err != nil {
		t.Fatal(err)
	}
	long, err := session.Stand(identity.Standing{At: mine.Given, Until: mine.Until + 1000}, token)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Add(time.Minute)
	for name, c := range map[string]struct {
		p    subject.Permission
		want countersign.Code
	}{
		"the person's":                  {*mine, ""},
		"without the permission":        {subject.Permission{Token: mine.Token, Receipt: mine.Receipt}, countersign.CodeUnauthenticated},
		"without the token":             {subject.Permission{Signed: mine.Signed, Receipt: mine.Receipt}, countersign.CodeUnauthenticated},
		"without the record":            {subject.Permission{Token: mine.Token, Signed: mine.Signed}, countersign.CodeNoReceipt},
		"with another's record":         {subject.Permission{Token: mine.Token, Signed: mine.Signed, Receipt: theirs.Receipt}, countersign.CodeNoReceipt},
		"signed by a key of one's own":  {subject.Permission{Token: mine.Token, Signed: forged, Receipt: mine.Receipt}, countersign.CodeUnauthenticated},
		"a query in its place":          {subject.Permission{Token: token, Signed: query, Receipt: mine.Receipt}, countersign.CodeUnauthenticated},
		"for longer than half a year":   {subject.Permission{Token: token, Signed: long, Receipt: mine.Receipt}, countersign.CodeUnauthenticated},
		"another's permission and mine": {subject.Permission{Token: mine.Token, Signed: theirs.Signed, Receipt: mine.Receipt}, countersign.CodeUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			n := w.newsOf(t, &c.p, "POP", begun, subject.NewsSingle)
			if n.Refused != c.want || n.New != (c.want == "") {
				t.Errorf("got %+v, want %q", n, c.want)
			}
		})
	}
	// A permission opens no history.
	if status, refused, _ := w.post(t, w.members["POR"].cert, "POP", body{Token: mine.Token, Proof: mine.Signed, View: mine.Receipt}); refused != countersign.CodeUnauthenticated {
		t.Errorf("a permission as a query: status %d, %q", status, refused)
	}
	// Nor does an agency ask with one.
	w.members["POR"].cert = w.members["MUN"].cert
	w.wait(patience)
	if _, err := w.portal.News(t.Context(), subject.GatewayRef{Member: code("POP"), Name: "gw1"}, []subject.NewsAsk{mine.Ask(0, subject.NewsSingle)}); countersign.CodeOf(err) != countersign.CodeAccessDenied {
		t.Errorf("an agency asks: %v", err)
	}
}

// TestEmergencyBell: an emergency is heard of without asking for anybody.
func TestEmergencyBell(t *testing.T) {
	w := newWorld(t, "POP", "MUN")
	pop := subject.GatewayRef{Member: code("POP"), Name: "gw1"}
	first, err := w.portal.Emergency(t.Context(), pop)
	if err != nil || first.Emergency != 0 || first.Listening == 0 {
		t.Fatalf("got %+v, %v", first, err)
	}
	w.clock.Add(time.Minute)
	w.both(t, "POP", "MUN", alma)
	if a, err := w.portal.Emergency(t.Context(), pop); err != nil || a.Emergency != 0 {
		t.Errorf("an ordinary use rings: %+v, %v", a, err)
	}
	mine := w.permit(t, alma)
	e := w.exchange("POP", "MUN", alma)
	e.statement.Mandate.Kind = countersign.MandateEmergency
	w.record(t, "POP", countersign.SideProvider, countersign.OutcomeReleased, e)
	at := countersign.MillisOf(w.clock.Now())
	a, err := w.portal.Emergency(t.Context(), pop)
	if err != nil || a.Emergency != at || a.Listening != first.Listening {
		t.Errorf("got %+v, %v", a, err)
	}
	w.clock.Add(time.Minute)
	if n := w.newsOf(t, mine, "POP", w.clock.Now().Add(-time.Hour), subject.NewsEmergency); !n.New {
		t.Errorf("the emergency is no news: %+v", n)
	}
}

// FuzzNewsRequest: whatever a portal sends is read whole or refused.
func FuzzNewsRequest(f *testing.F) {
	f.Add([]byte(`{"asks":[{"token":"a","permission":"b","receipt":null,"since":1,"classes":["single"]}]}`))
	f.Add([]byte(`{"asks":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := subject.ParseNews(text)
		if err != nil {
			if c := countersign.CodeOf(err); c != countersign.CodeBadRequest {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if n < 1 || n > subject.MaxNewsAsks {
			t.Errorf("%d asks", n)
		}
	})
}
