package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/scenario"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

// readers is how much TestPortalLoad asks of a portal. `make load` asks for what docs/operate/portal.md gives figures of; the ordinary tests for a tenth.
type readers struct {
	people, entries int // so many people read histories of so many entries at once
	long            int // entries of one more person
}

func loadFromEnvironment(t *testing.T) readers {
	t.Helper()
	l := readers{20, 250, 4000}
	for name, to := range map[string]*int{"LOAD_PEOPLE": &l.people, "LOAD_ENTRIES": &l.entries, "LOAD_LONG": &l.long} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is no number of anything", name, text)
		}
		*to = n
	}
	return l
}

// Many people read long histories at once, and one person a very long one, through a portal and gateways that are processes of their own, over stores that hold
// what gateways would have written.
func TestPortalLoad(t *testing.T) {
	l := loadFromEnvironment(t)
	d, f := foundedLongAgo(t, law.MUN, law.POP, portalCode)
	atlas, err := country.Open(d.path("registers"))
	if err != nil {
		t.Fatal(err)
	}
	if l.people >= len(atlas.PINs) {
		t.Fatalf("LOAD_PEOPLE=%d: the country of the test has %d people", l.people, len(atlas.PINs))
	}
	bePatient(t, d.Portal.Config)
	begun := time.Now()
	fillHistories(t, d, l.plan(atlas.PINs))
	t.Logf("%d exchanges in the logs of both sides after %.0f s", l.people*l.entries+l.long, time.Since(begun).Seconds())
	if err := os.WriteFile(d.path("clock"), []byte("0s\n"), 0o600); err != nil { // the year is over: it is the present
		t.Fatal(err)
	}
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer f.stop()

	visitors := make([]*visitor, l.people)
	atOnce(t, l.people, 8, func(i int) (err error) {
		visitors[i], err = loginFrom(d.Portal.URL, string(atlas.PINs[i]), i+1)
		return err
	})
	before := spent(t, f)
	first, whole := readAtOnce(t, d, visitors, l.entries)
	t.Logf("%d people with %d entries each: first page p50 %v, p95 %v, longest %v; whole history p50 %v, p95 %v, longest %v", l.people, l.entries,
		quantile(first, .5), quantile(first, .95), quantile(first, 1), quantile(whole, .5), quantile(whole, .95), quantile(whole, 1))
	tellMemory(t, f)
	for part, d := range spent(t, f) {
		t.Logf("%s has spent %v of a processor for each entry read", part, ((d - before[part]) / time.Duration(l.people*l.entries)).Round(time.Microsecond))
	}
	readLong(t, d, string(atlas.PINs[l.people]), l.long)
	for part, peak := range tellMemory(t, f) {
		if peak > memoryBound(1024) {
			t.Errorf("%s held %.0f MiB", part, peak)
		}
	}
}

// foundedLongAgo makes a federation a year ago, whose logs can hold a year. That takes the program on simulated time, whose clock is put to the present before
// any part of it runs.
func foundedLongAgo(t *testing.T, agencies ...string) (*demoFile, *fleet) {
	t.Helper()
	simulated, dir := buildCountersign(t, "-tags", "simclock"), t.TempDir()
	clock := filepath.Join(dir, "clock")
	err := os.WriteFile(clock, []byte((-scenario.YearDays*24*time.Hour).String()+"\n"), 0o600)
	if err := errors.Join(err, shared.copyTo(filepath.Join(dir, "registers"))); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), simulated, append([]string{"demo-found", "--dir", dir, "--people", strconv.Itoa(storyPeople)}, agencies...)...)
	cmd.Env = append(os.Environ(), simulatedClock+"="+clock)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d, err := loadDemo(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.fleetOf(simulated)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.parts {
		p.env = []string{simulatedClock + "=" + clock}
	}
	return d, f
}

// bePatient lets pages wait for gateways longer than they do by themselves: how long all of them take is what is measured here.
func bePatient(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, "patience: 90s\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// quantile gives that part of durations.
func quantile(all []time.Duration, q float64) time.Duration {
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)].Round(time.Millisecond)
}

// tellMemory gives the most that portal and gateways have held, in MiB.
func tellMemory(t *testing.T, f *fleet) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, p := range f.parts {
		if p.name != "portal" && !strings.HasPrefix(p.name, "gateway-") {
			continue
		}
		peak, err := memoryPeak(p.pid())
		if err != nil {
			t.Fatal(err)
		}
		out[p.name] = peak
		t.Logf("%s has held %.0f MiB at most", p.name, peak)
	}
	return out
}

// spent gives the processor time that portal and gateways have taken.
func spent(t *testing.T, f *fleet) map[string]time.Duration {
	t.Helper()
	out := map[string]time.Duration{}
	for _, p := range f.parts {
		if p.name != "portal" && !strings.HasPrefix(p.name, "gateway-") {
			continue
		}
		text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid()) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		// SPEC: proc_pid_stat(5): utime and stime are the 14th and 15th fields, in hundredths of a second; the second ends with the last parenthesis.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			out[p.name] += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return out
}

// steppedClock is the time at which the records of a test were made.
type steppedClock struct{ nanos atomic.Int64 }

// Now implements clock.Clock.
func (c *steppedClock) Now() time.Time { return time.Unix(0, c.nanos.Load()).UTC() }

// openAt opens a gateway's log at another time than the present.
func openAt(t *testing.T, d *demoFile, agency string, now *steppedClock) (*ledger.Log, func()) {
	t.Helper()
	conf, err := loadGatewayConfig(d.Members[agency].Config)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), conf.logParts().file(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := conf.logParts().config(db, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return log, func() {
		if err := errors.Join(log.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// plan says whom each exchange is about, in the order in which they happen: one person's after another's, the one's with the very long history among them.
func (l readers) plan(pins []country.PIN) []country.PIN {
	total := l.people*l.entries + l.long
	out := make([]country.PIN, 0, total)
	for n, longs, others := 0, 0, 0; n < total; n++ {
		if longs*total < l.long*n || others == l.people*l.entries {
			out, longs = append(out, pins[l.people]), longs+1
			continue
		}
		out, others = append(out, pins[others%l.people]), others+1
	}
	return out
}

// fillHistories records the exchanges in the logs of both sides, spread over the past year.
func fillHistories(t *testing.T, d *demoFile, plan []country.PIN) {
	t.Helper()
	total := int64(len(plan))
	from, now := time.Now().AddDate(0, 0, 1-scenario.YearDays), new(steppedClock)
	step := int64((scenario.YearDays-2)*24*time.Hour) / total
	now.nanos.Store(from.UnixNano())
	provider, closeProvider := openAt(t, d, law.POP, now)
	defer closeProvider()
	consumer, closeConsumer := openAt(t, d, law.MUN, now)
	defer closeConsumer()
	// A group of appends shares one write to disk.
	const group = 24
	for begin := int64(0); begin < total; begin += group {
		now.nanos.Store(from.UnixNano() + min(begin+group, total)*step) // what happened is recorded after it
		errs := make([]error, min(group, total-begin))
		var wg sync.WaitGroup
		for i := range errs {
			n := begin + int64(i)
			who := countersign.SubjectID{Scheme: "pin", Value: string(plan[n])}
			wg.Go(func() {
				errs[i] = appendPair(t.Context(), provider, consumer, who, time.Unix(0, from.UnixNano()+n*step), int(n))
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
}

// appendPair records one exchange as its two gateways do. Every ninth is a refusal.
func appendPair(ctx context.Context, provider, consumer *ledger.Log, who countersign.SubjectID, when time.Time, n int) error {
	kinds := []struct{ service, purpose, basis, fields string }{
		{"residence", "property-tax", "tax-code-202", "/address/city /address/street /pin"},
		{"person", "address-registration", "municipal-act-21", "/birthDate /givenName /pin /surname"},
		{"residence", "address-registration", "municipal-act-21", "/address/city /pin /since"},
	}
	k := kinds[n%len(kinds)]
	st := &countersign.Statement{
		Exchange: countersign.NewExchangeID(when), Service: law.Service(law.POP, k.service), Consumer: law.Client(law.MUN), Subject: who.Canonical(),
		Purpose: countersign.PurposeCode(k.purpose), Basis: countersign.BasisCode(k.basis), Outcome: countersign.OutcomeReleased,
		Official: countersign.Official{Assurance: countersign.AssuranceAsserted, Pseudonym: fmt.Sprintf("official-%d", n%40)},
		Asked:    countersign.MillisOf(when), Answered: countersign.MillisOf(when),
	}
	closed := countersign.OutcomeReceived
	if n%9 == 8 {
		st.Outcome, st.Reasons, closed = countersign.OutcomeRefused, []countersign.Code{countersign.CodeForbiddenCell}, countersign.OutcomeRefused
	} else {
		for _, f := range strings.Fields(k.fields) {
			st.Fields = append(st.Fields, countersign.FieldPath(f))
		}
		_, _ = rand.Read(st.Answer[:])
	}
	text := st.Encode()
	var salt countersign.Salt
	_, _ = rand.Read(salt[:])
	commitment := salt.Commit(text)
	for _, side := range []struct {
		log     *ledger.Log
		side    countersign.Side
		outcome countersign.Outcome
	}{{provider, countersign.SideProvider, st.Outcome}, {consumer, countersign.SideConsumer, closed}} {
		_, err := side.log.Append(ctx, ledger.Entry{
			Leaf: countersign.ExchangeLeaf(st, side.side, side.outcome, commitment), Exchange: st.Exchange, Tag: side.log.TagOf(who),
			Record: &ledger.Record{Statement: text, Salt: salt, Reasons: st.Reasons, Official: st.Official}, Expires: when.AddDate(10, 0, 0), Unpromised: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// loginFrom logs a person in from an address of their own, as people do: the portal bounds what one address may try.
func loginFrom(portal, pin string, n int) (*visitor, error) {
	own := &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}
	v, err := loginThrough(portal, pin, &http.Transport{DialContext: (&net.Dialer{LocalAddr: own}).DialContext})
	if err == nil {
		v.http.Timeout = 10 * time.Minute
	}
	return v, err
}

var olderPage = regexp.MustCompile(`rel="next" href="(/uses/[^"]+/page)"`)

// entryLinks are the entries of a page: each use has an address of its own.
var entryLinks = regexp.MustCompile(`href="/uses/[A-Za-z0-9_.~-]+"`)

// readAtOnce lets everybody read their history to its end at once, page by page.
func readAtOnce(t *testing.T, d *demoFile, visitors []*visitor, entries int) (first, whole []time.Duration) {
	t.Helper()
	first, whole = make([]time.Duration, len(visitors)), make([]time.Duration, len(visitors))
	atOnce(t, len(visitors), len(visitors), func(i int) error {
		begun := time.Now()
		text, err := visitors[i].read(d.Portal.URL + "/uses")
		if err != nil {
			return err
		}
		first[i] = time.Since(begun)
		read := uses(text)
		for m := olderPage.FindSubmatch(text); m != nil; m = olderPage.FindSubmatch(text) {
			if text, err = visitors[i].read(d.Portal.URL + string(m[1])); err != nil {
				return err
			}
			read += uses(text)
		}
		whole[i] = time.Since(begun)
		if read < entries {
			return fmt.Errorf("person %d read %d entries of %d", i, read, entries)
		}
		return nil
	})
	return first, whole
}

// uses counts the entries of a page of the timeline.
func uses(text []byte) int {
	seen := map[string]bool{}
	for _, m := range entryLinks.FindAll(text, -1) {
		seen[string(m)] = true
	}
	return len(seen)
}

// atOnce does something so many times, so many at once.
func atOnce(t *testing.T, times, most int, do func(i int) error) {
	t.Helper()
	slots, errs := make(chan struct{}, most), make([]error, times)
	var wg sync.WaitGroup
	for i := range times {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// readLong reads a very long history: its first page, some more, the year's chart, what is held, and all of it as a file.
func readLong(t *testing.T, d *demoFile, pin string, entries int) {
	t.Helper()
	v, err := loginFrom(d.Portal.URL, pin, 1<<15)
	if err != nil {
		t.Fatal(err)
	}
	timed := func(what, path string) []byte {
		begun := time.Now()
		text, err := v.read(d.Portal.URL + path)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%d entries: %s in %v, %d bytes", entries, what, time.Since(begun).Round(time.Millisecond), len(text))
		return text
	}
	text := timed("first page", "/uses")
	if n := uses(text); n < 90 {
		t.Errorf("the first page shows %d entries:\n%.300s", n, timed("its JSON", "/api/uses"))
	}
	for i := range 5 {
		m := olderPage.FindSubmatch(text)
		if m == nil {
			t.Fatalf("after %d pages there are no more", i+1)
		}
		text = timed(fmt.Sprintf("page %d", i+2), string(m[1]))
	}
	timed("the year at a glance", "/year")
	timed("what is held", "/held")
	file := timed("all of it as CSV", "/export/csv")
	if lines := bytes.Count(file, []byte("\n")); lines < entries {
		t.Errorf("the file has %d lines for %d entries", lines, entries)
	}
}
