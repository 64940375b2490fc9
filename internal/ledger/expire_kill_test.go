package ledger_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

// expiringDir names the folder of the log whose months a child process ends until it is killed; expiringNow is what time it is for it.
const (
	expiringDir = "COUNTERSIGN_TEST_EXPIRING_CHILD"
	expiringNow = "COUNTERSIGN_TEST_EXPIRING_NOW"
)

// expiringChild destroys what is due, and tells "step" before and after each step, so that its parent can kill it in any of them.
func expiringChild(dir string) error {
	ctx := context.Background()
	now, err := time.Parse(time.RFC3339, os.Getenv(expiringNow))
	if err != nil {
		return err
	}
	key, err := keys.Load(filepath.Join(dir, "log.key"))
	if err != nil {
		return err
	}
	text, err := keys.LoadSecret(filepath.Join(dir, "tags"))
	if err != nil {
		return err
	}
	tags, err := ledger.ParseTagKeys(text)
	if err != nil {
		return err
	}
	s, err := store.OpenSQLite(ctx, filepath.Join(dir, "log.db"), store.Options{})
	if err != nil {
		return err
	}
	step := func() (before, after bool) {
		_, _ = fmt.Fprintln(os.Stdout, "step")
		return false, false
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: &faultyExpiry{Store: s, step: step}, Origin: origin, Key: key, TagKeys: tags, MonthKeys: dir, Clock: clock.Fixed(now), Tick: time.Hour})
	if err != nil {
		return err
	}
	l.SetErase(func(erase func(string) error) func(string) error {
		return func(path string) error {
			step()
			defer step()
			return erase(path)
		}
	})
	if err := l.Expire(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, "done")
	return nil
}

// A process that is killed in any step of ending its records, again and again, ends each month once.
func TestKilledWhileRecordsEnd(t *testing.T) {
	m := begin(t)
	m.open()
	const months, each = 12, 150
	month := m.month()
	for i := range months {
		for range each {
			m.ending(time.Duration(1+30*i) * aDay)
		}
	}
	last, _ := m.ending(500 * aDay)
	m.shut()
	if err := keys.Save(filepath.Join(m.dir, "log.key"), m.key); err != nil {
		t.Fatal(err)
	}
	if err := keys.SaveSecret(filepath.Join(m.dir, "tags"), ledger.FormatTagKeys(m.tags)); err != nil {
		t.Fatal(err)
	}
	m.pass(month + months)
	killed := 0
	for !killedWhileExpiring(t, m, 1+rand.IntN(9)) {
		if killed++; killed > 200 {
			t.Fatal("it does not get on: what one life has done the next one does not find")
		}
	}
	t.Logf("%d kills until %d months were destroyed", killed, months)
	if killed < 3 {
		t.Fatalf("%d kills: the months were over too soon", killed)
	}
	l := m.open()
	got := destructions(t, l)
	if len(got) != months+1 {
		t.Fatalf("%+v", got)
	}
	records := uint64(0)
	for i, d := range got {
		if d.Month != month+ledger.Month(i) {
			t.Fatalf("%+v", got)
		}
		records += d.Records
		gone(t, keyFile(m, d.Month))
	}
	if records != months*each {
		t.Fatalf("%d records are told of, and there were %d", records, months*each)
	}
	if history, err := l.History(t.Context(), l.TagsOf(alma), ledger.Page{}); err != nil || len(history) != 1 || history[0].Index != last.Index || history[0].Record == nil {
		t.Fatalf("%d entries, %v", len(history), err)
	}
	if r := check(t, m, false); r.Broken() || r.Destroyed != months*each {
		t.Fatalf("%+v", r)
	}
}

// killedWhileExpiring kills a child after so many lines; done reports that it ended first.
func killedWhileExpiring(t *testing.T, m *member, lines int) (done bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), expiringDir+"="+m.dir, expiringNow+"="+m.clock.Now().Format(time.RFC3339))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewScanner(out)
	for r.Scan() {
		if r.Text() == "done" {
			done = true
		}
		if lines--; lines == 0 && !done {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); done && err != nil {
		t.Fatal(err)
	}
	return done
}
