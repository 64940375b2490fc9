package notice_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
)

// country stands for the gateways of a federation: what each has on record, when.
type country struct {
	clock *clocktest.Clock

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
	clock   *clocktest.Clock
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
	clock := clocktest.At(time.Date(2031, 3, 4, 15, 0, 0, 0, time.UTC))
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
	w.clock.Add(time.Minute)
}

func (w *world) confirm(code string, want bool) {
	w.t.Helper()
	ok, err := w.service.Confirm(w.t.Context(), w.alma.Subject, code)
	if err != nil || ok != want {
		w.t.Fatalf("the code %q confirms: %v, %v", code, ok, err)
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
