package federation_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
	"countersign.dev/countersign/internal/keys"
)

// A48: a widening change waits its time, a narrowing one in the same document acts at once, and a restart forgets neither.
func TestWaitingPeriod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	folder := t.TempDir()
	c := w.client(folder)
	w.view(c)
	r := w.change(func(d *countersign.Directory) {
		w.must(addSchoolsGrant(d))                     // widens
		d.Members[0].Gateways[0].TLS[0] = randomPin(1) // replaces a key
		d.Matrix = d.Matrix[:len(d.Matrix)-1]          // narrows
	})
	if !r.Effective.Equal(start.Add(14*24*time.Hour + ceremony.SigningWindow)) {
		t.Errorf("effective %s", r.Effective)
	}
	check := func(c *federation.Client, widened bool, where string) {
		t.Helper()
		v := w.view(c)
		s, _ := v.Service(personData)
		if got := len(s.Grants(permits, "housing-permit")[1].Fields); (got == 3) != widened {
			t.Errorf("%s: %d fields granted, widened should be %t", where, got, widened)
		}
		if _, ok := v.Cell("criminal-case", "convictions"); ok {
			t.Errorf("%s: the removed cell still permits", where)
		}
		digest, err := keys.ParseSPKIDigest(countersign.KeyID(randomPin(1)))
		w.must(err)
		if _, ok := v.GatewayByPin(digest); !ok {
			t.Errorf("%s: the new key is not in force", where)
		}
		if (len(v.Waiting()) == 1) == widened || v.Version() != 2 {
			t.Errorf("%s: version %d waiting %v", where, v.Version(), v.Waiting())
		}
	}
	check(c, false, "at once")
	check(w.client(folder), false, "after a restart")
	check(w.client(t.TempDir()), false, "to a new client")
	w.clock.Add(14*24*time.Hour + ceremony.SigningWindow - time.Second)
	w.refresh()
	check(c, false, "a second before")
	w.clock.Add(time.Second)
	check(c, true, "when due")
	check(w.client(folder), true, "when due, after a restart")
	check(w.client(t.TempDir()), true, "when due, to a new client")
}

// The time of a waiting change comes although the directory is out of reach.
func TestWaitingEndsDuringOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	w.change(func(d *countersign.Directory) { w.must(addSchoolsGrant(d)) })
	w.view(c)
	w.clock.Add(14*24*time.Hour + ceremony.SigningWindow - time.Minute)
	w.refresh()
	if v := w.view(c); len(v.Waiting()) != 1 {
		t.Fatalf("waiting %v", v.Waiting())
	}
	w.server.Close()
	w.clock.Add(2 * time.Minute)
	refused(t, c.Poll(t.Context()), countersign.CodeStaleDirectory)
	if v, err := c.Current(); err != nil || len(v.Waiting()) != 0 {
		t.Errorf("waiting %v, error %v", v.Waiting(), err)
	}
}

// Three bodies that sign a shorter wait do not shorten it for a client that has been looking.
func TestShortenedWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	w.clock.Add(time.Hour)
	a, err := w.folder.LoadApproval()
	w.must(err)
	d := clone(t, a.Issues[0].Document)
	d.Version = 2
	w.must(addSchoolsGrant(d))
	w.publishUnjudged(a, encode(t, d), federation.Dates{Version: 2, Announced: start.Add(-20 * 24 * time.Hour), Effective: start.Add(-24 * time.Hour)}, true)
	v := w.view(c)
	want := start.Add(14 * 24 * time.Hour)
	if len(v.Waiting()) != 1 || !v.Waiting()[0].Effective.Equal(want) {
		t.Fatalf("waiting %v, want until %s: the wait counts from the client's last look", v.Waiting(), want)
	}
	// Even when the bodies drop the document that was in force.
	w.publishUnjudged(a, encode(t, d), federation.Dates{Version: 2, Announced: start.Add(-20 * 24 * time.Hour), Effective: start.Add(-24 * time.Hour)}, false)
	if v = w.view(c); len(v.Waiting()) != 1 {
		t.Errorf("waiting %v after the older document was dropped", v.Waiting())
	}
	w.clock.Set(want)
	w.refresh()
	if v = w.view(c); len(v.Waiting()) != 0 {
		t.Errorf("waiting %v when due", v.Waiting())
	}
}

// Nor do they bring forward what a new client was once told, or make it forget a version.
func TestDatesBroughtForward(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.change(func(d *countersign.Directory) { w.must(addSchoolsGrant(d)) })
	c := w.client(t.TempDir())
	told := w.view(c).Waiting()
	a, err := w.folder.LoadApproval()
	w.must(err)
	newest := a.Issues[len(a.Issues)-1]
	w.publishUnjudged(a, newest.Raw(), federation.Dates{Version: 2, Announced: start, Effective: start}, true)
	if v := w.view(c); len(v.Waiting()) != 1 || v.Waiting()[0] != told[0] {
		t.Errorf("waiting %v, told before: %v", v.Waiting(), told)
	}
	w.publishUnjudged(a, a.Issues[0].Raw(), a.Issues[0].Dates, false)
	refused(t, c.Poll(t.Context()), countersign.CodeStaleDirectory, "version 2 was seen before")
	if v, err := c.Current(); err != nil || v.Version() != 2 {
		t.Errorf("after an older document: %v", err)
	}
}

// publishUnjudged signs by three bodies what the ceremony would refuse, and serves it.
func (w *world) publishUnjudged(a *federation.Approval, raw []byte, dates federation.Dates, keepOlder bool) {
	w.t.Helper()
	w.approveUnjudged(a, raw, dates, keepOlder)
	w.refresh()
}

func (w *world) approveUnjudged(a *federation.Approval, raw []byte, dates federation.Dates, keepOlder bool) {
	w.t.Helper()
	m := metadata.Targets(w.clock.Now().Add(24 * 365 * time.Hour))
	last, err := w.folder.LoadApproval()
	w.must(err)
	m.Signed.Version = last.Targets.Signed.Version + 1
	add := func(name string, content []byte, dates *federation.Dates) {
		f, err := metadata.TargetFile().FromBytes(name, content, "sha256")
		w.must(err)
		if dates != nil {
			custom := encodeDates(w.t, *dates)
			f.Custom = &custom
		}
		m.Signed.Targets[name] = f
		w.must(federation.WriteFile(filepath.Join(w.folder.Approved(), "targets", federation.HashedName(name, content)), content))
	}
	add(federation.TargetDocument, raw, &dates)
	if keepOlder {
		add(federation.OlderDocument(1), a.Issues[0].Raw(), &a.Issues[0].Dates)
	}
	add("person.yaml", a.Files["person.yaml"], nil)
	for _, n := range []string{"assembly", "bar", "ministry"} {
		w.must(federation.Sign(m, keyOf("body "+n)))
	}
	out, err := m.ToBytes(false)
	w.must(err)
	w.must(federation.WriteFile(w.folder.TargetsFile(m.Signed.Version), out))
}
