package notice_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
)

// TestNothingBeforeConfirmation: an address that nobody has confirmed gets a code and nothing else; wrong codes and late ones confirm nothing.
func TestNothingBeforeConfirmation(t *testing.T) {
	w := newWorld(t)
	w.save(notice.Wanted{Email: address, Frequency: notice.Now})
	w.deliver()
	if len(w.tray.letters) != 1 || w.tray.letters[0].What != notice.Confirm || w.tray.letters[0].Stop != "" {
		t.Fatalf("sent: %+v", w.tray.letters)
	}
	code := w.tray.letters[0].Code
	w.country.record(pop, subject.NewsEmergency)
	for range 3 {
		w.clock.Add(24 * time.Hour)
		w.round()
	}
	if len(w.tray.letters) != 1 || len(w.country.asked) > 0 {
		t.Errorf("an address that is not confirmed: %d letters, %v asked", len(w.tray.letters), w.country.asked)
	}
	w.confirm(code, false) // three days late
	w.save(notice.Wanted{Email: address, Frequency: notice.Now})
	w.deliver()
	fresh := w.tray.letters[1].Code
	for range 5 {
		w.confirm("0000-0000", false)
	}
	w.confirm(fresh, false) // tried too often
	w.clock.Add(25 * time.Hour)
	w.save(notice.Wanted{Email: address, Frequency: notice.Now})
	w.deliver()
	w.confirm(strings.ToLower(strings.ReplaceAll(w.tray.letters[2].Code, "-", " ")), true)
}

// TestDailyNotice: one message at a moment of the morning that nobody can foretell, however many uses there were, and none on a day without any.
func TestDailyNotice(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Daily)
	for range 3 {
		w.country.record(pop, subject.NewsSingle)
		w.country.record(mun, subject.NewsSingle)
		w.clock.Add(time.Minute)
	}
	w.country.record(pop, subject.NewsProgramme)
	var at []time.Time
	for range 4 * 24 * 12 {
		before := w.tray.of(notice.Something)
		w.round()
		if w.tray.of(notice.Something) > before {
			at = append(at, w.clock.Now())
		}
		w.clock.Add(5 * time.Minute)
	}
	if len(at) != 1 {
		t.Fatalf("notices at %v", at)
	}
	if at[0].Day() != 5 || at[0].Hour() < 8 || at[0].Hour() > 12 {
		t.Errorf("the notice left at %s", at[0])
	}
	l := w.tray.letters[len(w.tray.letters)-1]
	if l.Code != "" || !strings.HasPrefix(l.Stop, "https://my.example/stop/") || strings.Contains(l.Stop, "1ABC23D") {
		t.Errorf("the letter: %+v", l)
	}
}

// TestSoonAfter: whoever wants to know soon hears of it within the hour, at a random moment; of programmes once a day all the same.
func TestSoonAfter(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Now)
	w.country.record(mun, subject.NewsProgramme)
	for range 120 {
		w.round()
		w.clock.Add(time.Minute)
	}
	if n := w.tray.of(notice.Something); n != 0 {
		t.Errorf("a programme's use is told soon: %d letters", n)
	}
	var waits []time.Duration
	for range 12 {
		w.clock.Add(time.Minute)
		w.country.record(pop, subject.NewsSingle)
		begun, before := w.clock.Now(), w.tray.of(notice.Something)
		for range 62 {
			w.clock.Add(time.Minute)
			w.round()
			if w.tray.of(notice.Something) > before {
				break
			}
		}
		if w.tray.of(notice.Something) != before+1 {
			t.Fatalf("a use is told in %d letters", w.tray.of(notice.Something)-before)
		}
		waits = append(waits, w.clock.Now().Sub(begun))
	}
	slices.Sort(waits)
	if waits[len(waits)-1]-waits[0] < 5*time.Minute {
		t.Errorf("twelve waits that tell when something happened: %v", waits)
	}
}

// TestEmergencyAtOnce: an emergency is told in the next round, to whoever wants notices daily too, and people are asked about only where one was recorded.
func TestEmergencyAtOnce(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Daily)
	asked := len(w.country.asked)
	w.round()
	if len(w.country.asked) != asked {
		t.Errorf("without any emergency people are asked about: %v", w.country.asked[asked:])
	}
	w.country.record(mun, subject.NewsEmergency)
	w.clock.Add(time.Second)
	w.round()
	if n := w.tray.of(notice.Something); n != 1 {
		t.Errorf("%d letters", n)
	}
	if got := w.country.asked[asked:]; !slices.Equal(got, []string{"MUN emergency"}) {
		t.Errorf("asked: %v", got)
	}
	w.clock.Add(time.Minute)
	w.round()
	if n := w.tray.of(notice.Something); n != 1 {
		t.Errorf("the emergency is told %d times", n)
	}
}

// TestOneSideIsEnough (A33): a gateway that is down holds back nothing of what the other side says, and is asked from where it was left.
func TestOneSideIsEnough(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Daily)
	w.country.record(pop, subject.NewsSingle)
	w.country.record(mun, subject.NewsSingle)
	w.country.dead[pop.String()] = true
	w.clock.Add(24 * time.Hour)
	w.round()
	if n := w.tray.of(notice.Something); n != 1 {
		t.Fatalf("with one gateway down: %d letters", n)
	}
	asked := len(w.country.asked)
	w.clock.Add(time.Hour)
	w.round()
	w.country.dead[pop.String()] = false
	w.clock.Add(time.Hour)
	w.round()
	if n := w.tray.of(notice.Something); n != 2 {
		t.Errorf("what the gateway had to say since is lost: %d letters", n)
	}
	if slices.ContainsFunc(w.country.asked[asked:], func(q string) bool { return strings.HasPrefix(q, "MUN") }) {
		t.Errorf("a gateway that had answered is asked again before the next day: %v", w.country.asked[asked:])
	}
	w.clock.Add(24 * time.Hour)
	w.round()
	if n := w.tray.of(notice.Something); n != 2 {
		t.Errorf("and is told again: %d letters", n)
	}
}

// TestRetries: a message that is not taken is tried again and again, ever more seldom and always under one name, survives the process, and is given up after days.
func TestRetries(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Daily)
	w.country.record(pop, subject.NewsEmergency)
	w.tray.fails = errors.New("the server is away")
	begun := len(w.tray.tried)
	w.clock.Add(time.Second)
	w.round()
	for range 20 {
		w.clock.Add(time.Minute)
		w.open() // the process dies and begins anew
		w.deliver()
	}
	tried := w.tray.tried[begun:]
	if len(tried) < 3 || len(tried) > 6 || len(slices.Compact(slices.Clone(tried))) != 1 {
		t.Fatalf("tried %d times within twenty minutes: %v", len(tried), tried)
	}
	w.tray.fails = nil
	w.clock.Add(6 * time.Hour)
	w.deliver()
	if n := w.tray.of(notice.Something); n != 1 || w.tray.letters[len(w.tray.letters)-1].Name() != tried[0] {
		t.Errorf("%d letters", n)
	}
	w.country.record(pop, subject.NewsEmergency)
	w.tray.fails = errors.New("the server is away")
	w.clock.Add(time.Second)
	w.round()
	for range 6 * 4 {
		w.clock.Add(9 * time.Hour)
		w.deliver()
	}
	if count, _, err := w.store.Waiting(t.Context()); err != nil || count != 0 {
		t.Errorf("%d messages wait: %v", count, err)
	}
	terms, err := w.service.Terms(t.Context(), w.alma.Subject)
	if err != nil || terms.Contacts[0].State != notice.Fails {
		t.Errorf("the person is not told that messages do not arrive: %+v, %v", terms, err)
	}
}

// TestWhatIsKept: the store names nobody, and removing somebody leaves nothing of them; stopping needs no login.
func TestWhatIsKept(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Now)
	w.country.record(pop, subject.NewsSingle)
	w.round()
	sealed, err := w.store.Person(t.Context(), w.vault.IDOf(w.alma.Subject))
	if err != nil {
		t.Fatal(err)
	}
	w.nowhere("alma", "post.example", "1ABC23D", "signed", "POP", "something new")
	stop := w.vault // another portal's key opens nothing
	if other, err := notice.NewVault(notice.NewKey()); err != nil || other.IDOf(w.alma.Subject) == stop.IDOf(w.alma.Subject) {
		t.Errorf("two portals name a person alike: %v", err)
	}
	w.clock.Add(2 * time.Hour)
	w.deliver()
	address := w.tray.letters[len(w.tray.letters)-1].Stop
	token := strings.TrimPrefix(address, "https://my.example/stop/")
	if err := w.service.Stop(t.Context(), token[:len(token)-2]+"AA"); countersign.CodeOf(err) != countersign.CodeUnknownService {
		t.Errorf("a token that was changed: %v", err)
	}
	if err := w.service.Stop(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	before := len(w.country.asked)
	w.country.record(pop, subject.NewsEmergency)
	w.clock.Add(48 * time.Hour)
	w.round()
	if len(w.country.asked) != before {
		t.Error("a person who has stopped notices is asked about")
	}
	if err := w.service.Remove(t.Context(), w.alma.Subject); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.nowhere(string(sealed[:32]))
	w.store = nil
	w.open()
	if terms, err := w.service.Terms(t.Context(), w.alma.Subject); err != nil || terms != nil {
		t.Errorf("after removal: %+v, %v", terms, err)
	}
}

// TestStalePermission: once gateways take a permission no more, the person is told once to log in, and a login makes it good.
func TestStalePermission(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Daily)
	w.country.refuses = countersign.CodeUnauthenticated
	for range 5 {
		w.clock.Add(24 * time.Hour)
		w.round()
	}
	if n := w.tray.of(notice.Ending); n != 1 {
		t.Errorf("%d reminders", n)
	}
	if err := w.service.Renew(t.Context(), w.alma); err != nil {
		t.Fatal(err)
	}
	w.country.refuses = ""
	w.country.record(pop, subject.NewsSingle)
	w.clock.Add(24 * time.Hour)
	w.round()
	if n := w.tray.of(notice.Something); n != 1 {
		t.Errorf("after the login: %d letters", n)
	}
}
