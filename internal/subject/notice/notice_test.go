package notice_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
)

// moved is a clock that a test moves.
type moved struct {
	mu  sync.Mutex
	now time.Time
}

func (c *moved) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *moved) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// country stands for the gateways of a federation: what each has on record, when.
type country struct {
	clock *moved

	mu      sync.Mutex
	entries map[string][]entry
	dead    map[string]bool
	refuses countersign.Code
	asked   []string // gateway and class of each question
}

type entry struct {
	class subject.NewsClass
	at    countersign.Millis
}

var pop, mun = ref("POP"), ref("MUN")

func ref(code string) subject.GatewayRef {
	return subject.GatewayRef{Member: countersign.MemberID{Instance: "T", Class: "GOV", Code: code}, Name: "gw1"}
}

func (c *country) record(at subject.GatewayRef, class subject.NewsClass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[at.String()] = append(c.entries[at.String()], entry{class, countersign.MillisOf(c.clock.Now())})
}

func (c *country) Gateways() ([]subject.GatewayRef, error) {
	return []subject.GatewayRef{pop, mun}, nil
}

var errDead = countersign.Refuse(countersign.CodeNetwork, "out of reach")

func (c *country) Emergency(_ context.Context, at subject.GatewayRef) (*subject.NewsAnswer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead[at.String()] {
		return nil, errDead
	}
	a := &subject.NewsAnswer{At: countersign.MillisOf(c.clock.Now()), Listening: 1}
	for _, e := range c.entries[at.String()] {
		if e.class == subject.NewsEmergency {
			a.Emergency = e.at
		}
	}
	return a, nil
}

func (c *country) News(_ context.Context, to subject.GatewayRef, asks []subject.NewsAsk) (*subject.NewsAnswer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead[to.String()] {
		return nil, errDead
	}
	a := &subject.NewsAnswer{At: countersign.MillisOf(c.clock.Now())}
	for _, q := range asks {
		c.asked = append(c.asked, to.Member.Code+" "+string(q.Classes[0]))
		found := slices.ContainsFunc(c.entries[to.String()], func(e entry) bool { return e.at > q.Since && slices.Contains(q.Classes, e.class) })
		if c.refuses != "" {
			found = false
		}
		a.News = append(a.News, subject.News{New: found, Refused: c.refuses})
	}
	return a, nil
}

func (c *country) Permit(context.Context, *subject.Person) (*subject.Permission, error) {
	now := c.clock.Now()
	return &subject.Permission{Token: "token", Signed: "signed", Given: countersign.MillisOf(now), Until: countersign.MillisOf(now.Add(183 * 24 * time.Hour))}, nil
}

// tray is a sender that keeps what it is given, or fails.
type tray struct {
	mu      sync.Mutex
	letters []notice.Letter
	tried   []string // names of messages, each time
	fails   error
}

func (s *tray) Send(_ context.Context, _ *notice.Contact, l *notice.Letter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = append(s.tried, l.Name())
	if s.fails != nil {
		return s.fails
	}
	s.letters = append(s.letters, *l)
	return nil
}

func (s *tray) of(what notice.What) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.letters {
		if l.What == what {
			n++
		}
	}
	return n
}

type world struct {
	t       *testing.T
	clock   *moved
	country *country
	tray    *tray
	dir     string
	store   *store.Notices
	vault   *notice.Vault
	service *notice.Service
	alma    *subject.Person
}

const address = "alma@post.example"

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := &moved{now: time.Date(2031, 3, 4, 15, 0, 0, 0, time.UTC)}
	w := &world{
		t: t, clock: clock, tray: &tray{}, dir: t.TempDir(), country: &country{clock: clock, entries: map[string][]entry{}, dead: map[string]bool{}},
		alma: &subject.Person{Subject: countersign.SubjectID{Scheme: "pin", Value: "1ABC23D"}},
	}
	vault, err := notice.NewVault(notice.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	w.vault = vault
	w.open()
	t.Cleanup(func() { _ = w.store.Close() })
	return w
}

// open begins the process anew, over what is on the disk.
func (w *world) open() {
	w.t.Helper()
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	var err error
	if w.store, err = store.OpenNotices(w.t.Context(), filepath.Join(w.dir, "notices.db")); err != nil {
		w.t.Fatal(err)
	}
	w.service = notice.New(notice.Options{
		Asker: w.country, Store: w.store, Vault: w.vault, Senders: map[notice.Kind]notice.Sender{notice.Email: w.tray, notice.Webhook: w.tray}, Clock: w.clock,
		Logger: slog.New(slog.DiscardHandler), StopURL: "https://my.example/stop/",
		Write: func(language string, what notice.What, code, _ string) (string, string) {
			return language, string(what) + " " + code
		},
	})
}

func (w *world) save(want notice.Wanted) notice.Wrong {
	w.t.Helper()
	want.Language = "en"
	wrong, err := w.service.Save(w.t.Context(), w.alma, want)
	if err != nil {
		w.t.Fatal(err)
	}
	return wrong
}

func (w *world) deliver() {
	w.t.Helper()
	if err := w.service.Deliver(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// round asks and delivers, as each minute does.
func (w *world) round() {
	w.t.Helper()
	if err := w.service.Ask(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.deliver()
}

// enrol gives the person notices that reach a confirmed address.
func (w *world) enrol(f notice.Frequency) {
	w.t.Helper()
	if wrong := w.save(notice.Wanted{Email: address, Frequency: f}); len(wrong) > 0 {
		w.t.Fatal(wrong)
	}
	w.deliver()
	w.confirm(w.tray.letters[len(w.tray.letters)-1].Code, true)
	w.round() // whatever was before is not new
	w.clock.add(time.Minute)
}

func (w *world) confirm(code string, want bool) {
	w.t.Helper()
	ok, err := w.service.Confirm(w.t.Context(), w.alma.Subject, code)
	if err != nil || ok != want {
		w.t.Fatalf("the code %q confirms: %v, %v", code, ok, err)
	}
}

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
		w.clock.add(24 * time.Hour)
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
	w.clock.add(25 * time.Hour)
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
		w.clock.add(time.Minute)
	}
	w.country.record(pop, subject.NewsProgramme)
	var at []time.Time
	for range 4 * 24 * 12 {
		before := w.tray.of(notice.Something)
		w.round()
		if w.tray.of(notice.Something) > before {
			at = append(at, w.clock.Now())
		}
		w.clock.add(5 * time.Minute)
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
		w.clock.add(time.Minute)
	}
	if n := w.tray.of(notice.Something); n != 0 {
		t.Errorf("a programme's use is told soon: %d letters", n)
	}
	var waits []time.Duration
	for range 12 {
		w.clock.add(time.Minute)
		w.country.record(pop, subject.NewsSingle)
		begun, before := w.clock.Now(), w.tray.of(notice.Something)
		for range 62 {
			w.clock.add(time.Minute)
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
	w.clock.add(time.Second)
	w.round()
	if n := w.tray.of(notice.Something); n != 1 {
		t.Errorf("%d letters", n)
	}
	if got := w.country.asked[asked:]; !slices.Equal(got, []string{"MUN emergency"}) {
		t.Errorf("asked: %v", got)
	}
	w.clock.add(time.Minute)
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
	w.clock.add(24 * time.Hour)
	w.round()
	if n := w.tray.of(notice.Something); n != 1 {
		t.Fatalf("with one gateway down: %d letters", n)
	}
	asked := len(w.country.asked)
	w.clock.add(time.Hour)
	w.round()
	w.country.dead[pop.String()] = false
	w.clock.add(time.Hour)
	w.round()
	if n := w.tray.of(notice.Something); n != 2 {
		t.Errorf("what the gateway had to say since is lost: %d letters", n)
	}
	if slices.ContainsFunc(w.country.asked[asked:], func(q string) bool { return strings.HasPrefix(q, "MUN") }) {
		t.Errorf("a gateway that had answered is asked again before the next day: %v", w.country.asked[asked:])
	}
	w.clock.add(24 * time.Hour)
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
	w.clock.add(time.Second)
	w.round()
	for range 20 {
		w.clock.add(time.Minute)
		w.open() // the process dies and begins anew
		w.deliver()
	}
	tried := w.tray.tried[begun:]
	if len(tried) < 3 || len(tried) > 6 || len(slices.Compact(slices.Clone(tried))) != 1 {
		t.Fatalf("tried %d times within twenty minutes: %v", len(tried), tried)
	}
	w.tray.fails = nil
	w.clock.add(6 * time.Hour)
	w.deliver()
	if n := w.tray.of(notice.Something); n != 1 || w.tray.letters[len(w.tray.letters)-1].Name() != tried[0] {
		t.Errorf("%d letters", n)
	}
	w.country.record(pop, subject.NewsEmergency)
	w.tray.fails = errors.New("the server is away")
	w.clock.add(time.Second)
	w.round()
	for range 6 * 4 {
		w.clock.add(9 * time.Hour)
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
	w.clock.add(2 * time.Hour)
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
	w.clock.add(48 * time.Hour)
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

// nowhere checks that no file of the store holds a text.
func (w *world) nowhere(texts ...string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil || len(files) == 0 {
		w.t.Fatal(err, files)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range texts {
			if bytes.Contains(text, []byte(s)) {
				w.t.Errorf("%s holds %q", filepath.Base(f), s)
			}
		}
	}
}

// TestStalePermission: once gateways take a permission no more, the person is told once to log in, and a login makes it good.
func TestStalePermission(t *testing.T) {
	w := newWorld(t)
	w.enrol(notice.Daily)
	w.country.refuses = countersign.CodeUnauthenticated
	for range 5 {
		w.clock.add(24 * time.Hour)
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
	w.clock.add(24 * time.Hour)
	w.round()
	if n := w.tray.of(notice.Something); n != 1 {
		t.Errorf("after the login: %d letters", n)
	}
}
