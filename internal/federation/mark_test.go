package federation_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
)

// otherTime turns a root into one of the other kind of time, signed by the same bodies.
func otherTime(t *testing.T, w *world, file string, version int64) {
	t.Helper()
	m, err := metadata.Root().FromFile(file)
	w.must(err)
	m.Signed.Version = version
	mark, err := federation.MarkOf(&m.Signed)
	w.must(err)
	if mark.Demo != clock.Simulated || mark.Admit() != nil {
		t.Fatalf("a program whose simulated time is %t marked its root demo %t: %v", clock.Simulated, mark.Demo, mark.Admit())
	}
	mark.Demo = !mark.Demo
	w.must(federation.SetMark(&m.Signed, mark))
	m.Signatures = nil
	for _, n := range []string{"assembly", "bar", "ministry"} {
		w.must(federation.Sign(m, keyOf("body "+n)))
	}
	w.must(m.ToFile(w.folder.RootFile(version), false))
}

func refusedForItsTime(t *testing.T, what string, err error) {
	t.Helper()
	if countersign.CodeOf(err) != countersign.CodeBadRequest || !strings.Contains(err.Error(), "simulated clock") {
		t.Errorf("%s: %v", what, err)
	}
}

// A federation on simulated time and an ordinary program, or the other way about, have nothing to do with each other, whoever signed.
func TestRootOfTheOtherTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otherTime(t, w, w.folder.RootFile(1), 1)
	_, err := federation.OpenClient(federation.ClientOptions{URL: w.server.URL, Root: w.root(), Folder: t.TempDir(), Clock: w.clock})
	refusedForItsTime(t, "client", err)
	refusedForItsTime(t, "host", w.host.Refresh(t.Context()))
	_, err = ceremony.Edit(w.folder, addSchoolsGrant, ceremony.Options{}, w.clock.Now())
	refusedForItsTime(t, "proposing", err)
}

// Nor does a threshold bring a federation from one kind to the other: clients stay with what they have.
func TestRootTurnsToTheOtherTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	otherTime(t, w, w.folder.RootFile(1), 2)
	refusedForItsTime(t, "host", w.host.Refresh(t.Context()))
	raw, err := os.ReadFile(w.folder.RootFile(2))
	w.must(err)
	w.must(federation.WriteFile(filepath.Join(w.folder.Served(), "metadata", "2.root.json"), raw))
	if err := c.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "simulated clock") {
		t.Errorf("client: %v", err)
	}
	if _, err := c.Current(); err != nil {
		t.Errorf("what was good is gone: %v", err)
	}
}

// A proposal that a body carries to its own machine is refused there.
func TestProposalOfTheOtherTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := ceremony.Renew(w.folder, ceremony.Options{}, w.clock.Now())
	w.must(err)
	otherTimeStaged(t, w)
	_, err = ceremony.Show(w.folder.Staged(), w.clock.Now())
	refusedForItsTime(t, "showing", err)
	_, err = ceremony.Sign(w.folder.Staged(), keyOf("body bar"), ceremony.SignOptions{}, w.clock.Now())
	refusedForItsTime(t, "signing", err)
}

func otherTimeStaged(t *testing.T, w *world) {
	t.Helper()
	file := w.folder.Staged() + "/root.json"
	m, err := metadata.Root().FromFile(file)
	w.must(err)
	mark, err := federation.MarkOf(&m.Signed)
	w.must(err)
	mark.Demo = !mark.Demo
	w.must(federation.SetMark(&m.Signed, mark))
	w.must(m.ToFile(file, false))
}

// The document's own label is for people: a demonstration on real time bears it, and may drop it.
func TestLabelOfADemonstration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := ceremony.Edit(w.folder, func(d *countersign.Directory) error { d.Demo = false; return nil }, ceremony.Options{}, w.clock.Now())
	if (err != nil) != clock.Simulated {
		t.Errorf("on simulated time %t: %v", clock.Simulated, err)
	}
}
