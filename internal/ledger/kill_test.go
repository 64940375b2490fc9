package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/clock/clocktest"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

// childDir names the folder of the log that a child process writes to until it is killed.
const childDir = "COUNTERSIGN_TEST_LEDGER_CHILD"

func TestMain(m *testing.M) {
	for variable, run := range map[string]func(string) error{childDir: child, diskChild: fullDisk} {
		dir := os.Getenv(variable)
		if dir == "" {
			continue
		}
		if err := run(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(expiringDir); dir != "" {
		if err := expiringChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child appends for as long as it lives, and tells each thing that it was told is safe: "append INDEX EXCHANGE", "reserve EXCHANGE",
// "intend EXCHANGE".
func child(dir string) error {
	ctx := context.Background()
	l, m, err := openChild(dir)
	if err != nil {
		return err
	}
	tell := tellLine
	errs := make(chan error)
	for w := range 6 {
		go func() {
			for {
				e := m.entry(countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"})
				if w%2 == 0 {
					if err := l.Reserve(ctx, ledger.Reservation{Exchange: e.Exchange, Consumer: consumer, Until: time.Now().Add(time.Hour)}); err != nil {
						errs <- err
						return
					}
					tell("reserve %s", e.Exchange)
				} else {
					if _, err := l.Intend(ctx, ledger.Intent{Exchange: e.Exchange, Body: []byte("x")}); err != nil {
						errs <- err
						return
					}
					tell("intend %s", e.Exchange)
					e.CloseIntent = true
				}
				p, err := l.Append(ctx, e)
				if err != nil {
					errs <- err
					return
				}
				tell("append %d %s", p.Index, e.Exchange)
			}
		}()
	}
	return <-errs
}

// openChild opens the log that prepareChild has left in a folder.
func openChild(dir string) (*ledger.Log, *member, error) {
	ctx := context.Background()
	key, err := keys.Load(filepath.Join(dir, "log.key"))
	if err != nil {
		return nil, nil, err
	}
	text, err := keys.LoadSecret(filepath.Join(dir, "tags"))
	if err != nil {
		return nil, nil, err
	}
	tags, err := ledger.ParseTagKeys(text)
	if err != nil {
		return nil, nil, err
	}
	s, err := store.OpenSQLite(ctx, filepath.Join(dir, "log.db"), store.Options{})
	if err != nil {
		return nil, nil, err
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: s, Origin: origin, Key: key, TagKeys: tags, MonthKeys: dir, Clock: clock.System{}, Tick: 20 * time.Millisecond})
	return l, &member{clock: clocktest.At(time.Now())}, err
}

var telling sync.Mutex

// tellLine tells the parent something, whole.
func tellLine(format string, args ...any) {
	telling.Lock()
	defer telling.Unlock()
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
}

// prepareChild leaves a member's keys where a child finds them, and its store to the child.
func prepareChild(t *testing.T, m *member) {
	t.Helper()
	m.shut()
	if err := keys.Save(filepath.Join(m.dir, "log.key"), m.key); err != nil {
		t.Fatal(err)
	}
	if err := keys.SaveSecret(filepath.Join(m.dir, "tags"), ledger.FormatTagKeys(m.tags)); err != nil {
		t.Fatal(err)
	}
}

// runChild runs a child of this test to its end, and gives what it told.
func runChild(t *testing.T, m *member, mode string) []string {
	t.Helper()
	prepareChild(t, m)
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), mode+"="+m.dir)
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), stderr.String())
	}
	m.clock.Set(time.Now())
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

// checkAppended finds every record that a child was told is safe.
func checkAppended(t *testing.T, l *ledger.Log, told []string) {
	t.Helper()
	for _, line := range told {
		var index uint64
		var id string
		if n, _ := fmt.Sscanf(line, "append %d %s", &index, &id); n != 2 {
			continue
		}
		s, err := l.Leaf(t.Context(), index)
		if err != nil || s.Exchange.String() != id || s.Record == nil {
			t.Fatalf("leaf %d of %s is gone or another: %v", index, id, err)
		}
	}
}

// A process that is killed at any instant loses nothing that it was told is safe.
func TestKilledAtAnyInstant(t *testing.T) {
	m := begin(t)
	prepareChild(t, m)
	appended := map[uint64]countersign.ExchangeID{}
	reserved, intended := map[countersign.ExchangeID]bool{}, map[countersign.ExchangeID]bool{}
	for range kills(t) {
		told := runAndKill(t, m.dir, 20+rand.IntN(120))
		for _, line := range told {
			var word, id string
			var index uint64
			if n, _ := fmt.Sscanf(line, "append %d %s", &index, &id); n == 2 {
				word = "append"
			} else if n, err := fmt.Sscanf(line, "%s %s", &word, &id); n != 2 {
				t.Fatalf("the child says %q: %v", line, err)
			}
			x, err := countersign.ParseExchangeID(id)
			if err != nil {
				t.Fatalf("the child says %q: %v", line, err)
			}
			switch word {
			case "append":
				if _, twice := appended[index]; twice {
					t.Fatalf("index %d was given twice", index)
				}
				appended[index] = x
			case "reserve":
				reserved[x] = true
			case "intend":
				intended[x] = true
			}
		}
		// What is left of the child's last line is not looked at: it had not told it.
		m.clock.Set(time.Now())
		l := m.open()
		for index, x := range appended {
			if s, err := l.Leaf(t.Context(), index); err != nil || s.Exchange != x || s.Record == nil {
				t.Fatalf("leaf %d of %s is gone or another: %v", index, x, err)
			}
			delete(intended, x)
		}
		open, err := l.OpenIntents(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		still := map[countersign.ExchangeID]bool{}
		for _, o := range open {
			still[o.Exchange] = true
		}
		for x := range intended {
			if s, err := l.ByExchange(t.Context(), x); err != nil || len(s) == 0 && !still[x] {
				t.Fatalf("the intent of %s is gone: %v", x, err)
			}
		}
		for x := range reserved {
			err := l.Reserve(t.Context(), ledger.Reservation{Exchange: x, Consumer: consumer, Until: time.Now().Add(time.Hour)})
			if countersign.CodeOf(err) != countersign.CodeReplay {
				t.Fatalf("the reservation of %s is gone: %v", x, err)
			}
			delete(reserved, x) // checked once is enough: it stays
		}
		l.Tick(t.Context())
		if r := check(t, m, false); r.Broken() {
			t.Fatalf("%+v", r)
		}
		m.shut()
	}
	t.Logf("%d kills: %d acknowledged records, all there", kills(t), len(appended))
	if len(appended) < 100 {
		t.Fatalf("only %d appends in all: the children did no work", len(appended))
	}
}

// kills is how often the process is killed: a dozen times, or as many as SOAK_KILLS says.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SOAK_KILLS")
	if text == "" {
		return 12
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOAK_KILLS=%q: give a number of kills", text)
	}
	return n
}

// runAndKill starts a child, reads that many lines, kills it, and gives all whole lines that it told.
func runAndKill(t *testing.T, dir string, lines int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told []string
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break // a line without its end was not told
		}
		told = append(told, strings.TrimSuffix(line, "\n"))
		if len(told) == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child was not killed but ended by itself: %v\n%s", err, stderr.String())
	}
	return told
}
