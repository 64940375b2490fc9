package federation_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

func TestFirstView(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	_, err := c.Current()
	refused(t, err, countersign.CodeStaleDirectory, "never fetched")
	v := w.view(c)
	if v.Version() != 1 || !v.Demo() || !v.Expires().Equal(start.Add(federation.TimestampLife)) {
		t.Errorf("version %d demo %t expires %s", v.Version(), v.Demo(), v.Expires())
	}
	if s, ok := v.Service(personData); !ok || !s.Active || s.Class != countersign.ClassRelation {
		t.Errorf("service: %+v %t", s, ok)
	}
	if raw, ok := v.OpenAPI("person.yaml"); !ok || len(raw) == 0 {
		t.Error("the description did not come along")
	}
}

// An old timestamp, snapshot or document after a newer one is refused, and the newer one stays.
func TestRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := filepath.Join(t.TempDir(), "before")
	w.must(os.CopyFS(before, os.DirFS(w.folder.Served())))
	folder := t.TempDir()
	c := w.client(folder)
	w.view(c)
	w.change(func(d *countersign.Directory) { w.must(dropSchools(d)) })
	if v := w.view(c); v.Version() != 2 {
		t.Fatalf("version %d, want 2", v.Version())
	}
	w.must(os.RemoveAll(w.folder.Served()))
	w.must(os.CopyFS(w.folder.Served(), os.DirFS(before)))
	refused(t, c.Poll(t.Context()), countersign.CodeStaleDirectory, "must be >=")
	if v, err := c.Current(); err != nil || v.Version() != 2 {
		t.Errorf("after the rollback: %v", err)
	}
	// Nor after a restart.
	c = w.client(folder)
	refused(t, c.Poll(t.Context()), countersign.CodeStaleDirectory, "must be >=")
	if v, err := c.Current(); err != nil || v.Version() != 2 {
		t.Errorf("after restart and rollback: %v", err)
	}
}

// dropSchools is a narrowing change.
func dropSchools(d *countersign.Directory) error {
	m := &d.Members[1]
	m.Subsystems = m.Subsystems[:1]
	d.Services[0].Grants[0].Clients = d.Services[0].Grants[0].Clients[:1]
	return nil
}

// A host that keeps showing the same signed state cannot hold a client back longer than the timestamp lives.
func TestFreeze(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	w.clock.Add(federation.TimestampLife)
	w.must(c.Poll(t.Context()))
	if _, err := c.Current(); err != nil {
		t.Fatalf("at its last second: %v", err)
	}
	w.clock.Add(time.Second)
	_, err := c.Current()
	refused(t, err, countersign.CodeStaleDirectory, "expired here at 2031-05-06T08:08:09Z")
	refused(t, c.Poll(t.Context()), countersign.CodeStaleDirectory, "expired")
	_, err = c.Current()
	refused(t, err, countersign.CodeStaleDirectory)
	w.refresh()
	w.view(c)
}

// Signed parts of different states do not make a state.
func TestMixAndMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	served := filepath.Join(w.folder.Served(), "metadata")
	oldSnapshot, err := os.ReadFile(filepath.Join(served, "1.snapshot.json"))
	w.must(err)
	oldTargets, err := os.ReadFile(filepath.Join(served, "1.targets.json"))
	w.must(err)
	w.change(func(d *countersign.Directory) { w.must(dropSchools(d)) })
	for _, part := range []struct {
		name string
		swap []byte
	}{{"2.snapshot.json", oldSnapshot}, {"2.targets.json", oldTargets}} {
		path := filepath.Join(served, part.name)
		good, err := os.ReadFile(path)
		w.must(err)
		w.must(put(path, part.swap))
		refused(t, c.Poll(t.Context()), countersign.CodeStaleDirectory)
		if v, err := c.Current(); err != nil || v.Version() != 1 {
			t.Errorf("%s: %v", part.name, err)
		}
		w.must(put(path, good))
	}
	if v := w.view(c); v.Version() != 2 {
		t.Errorf("version %d once the parts fit", v.Version())
	}
}

// A target that is cut, swollen or exchanged on its way is refused; the good one stays, on disk as well.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	folder := t.TempDir()
	w.view(w.client(folder))
	w.change(func(d *countersign.Directory) { w.must(dropSchools(d)) })
	var document string
	for name := range readAll(t, filepath.Join(w.folder.Served(), "targets")) {
		if a, err := w.folder.LoadApproval(); err == nil && name == federation.HashedName(federation.TargetDocument, a.Files[federation.TargetDocument]) {
			document = filepath.Join(w.folder.Served(), "targets", name)
		}
	}
	good, err := os.ReadFile(document)
	w.must(err)
	for name, bad := range map[string][]byte{"cut": good[:len(good)/2], "swollen": append(good[:len(good):len(good)], ' '), "other": []byte(strings.Repeat(" ", len(good))), "empty": nil} {
		w.must(put(document, bad))
		c := w.client(folder)
		refused(t, c.Poll(t.Context()), countersign.CodeStaleDirectory)
		if v, err := c.Current(); err != nil || v.Version() != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.must(put(document, good))
	if v := w.view(w.client(folder)); v.Version() != 2 {
		t.Errorf("version %d", v.Version())
	}
}

// A restart without network works on the cache until it expires, and not on a cache that somebody changed.
func TestRestartOffline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	folder := t.TempDir()
	w.view(w.client(folder))
	w.server.Close()
	v, err := w.client(folder).Current()
	w.must(err)
	if _, ok := v.OpenAPI("person.yaml"); v.Version() != 1 || !ok {
		t.Error("the cached directory is not whole")
	}
	w.clock.Add(federation.TimestampLife + time.Second)
	_, err = w.client(folder).Current()
	refused(t, err, countersign.CodeStaleDirectory, "expired")
	w.clock.Add(-federation.TimestampLife)

	for name, spoil := range map[string]func(path string) error{
		"state.json is cut": func(path string) error { return os.Truncate(filepath.Join(path, "state.json"), 100) },
		"state.json is of another root": func(path string) error {
			raw, err := os.ReadFile(filepath.Join(path, "state.json"))
			return errors.Join(err, put(filepath.Join(path, "state.json"), []byte(strings.Replace(string(raw), `"timestamp":"e`, `"timestamp":"f`, 1))))
		},
		"the document is changed": func(path string) error {
			return put(filepath.Join(path, "targets", targetDigest(t, w, federation.TargetDocument)), []byte("{}"))
		},
		"a description is changed": func(path string) error {
			return put(filepath.Join(path, "targets", targetDigest(t, w, "person.yaml")), []byte("openapi: 3.1.0\n"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoiled := filepath.Join(t.TempDir(), "cache")
			w.must(os.CopyFS(spoiled, os.DirFS(folder)))
			w.must(spoil(spoiled))
			_, err := w.client(spoiled).Current()
			refused(t, err, countersign.CodeStaleDirectory)
		})
	}
}

func targetDigest(t *testing.T, w *world, name string) string {
	t.Helper()
	a, err := w.folder.LoadApproval()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(a.Files[name])
	return hex.EncodeToString(sum[:])
}

// What a crash left unreadable in the cache does not stop the client for ever.
func TestUnreadableCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	folder := t.TempDir()
	w.view(w.client(folder))
	for _, file := range []string{"tuf/timestamp.json", "tuf/snapshot.json", "tuf/targets.json", "state.json", "roots/2.root.json"} {
		w.must(put(filepath.Join(folder, file), []byte(`{"signed":`)))
		if v := w.view(w.client(folder)); v.Version() != 1 {
			t.Errorf("%s unreadable: version %d", file, v.Version())
		}
	}
}

// An outage is worked through until expiry, then refused, and the client resumes by itself.
func TestOutageAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var down atomic.Bool
	asked := make(chan struct{})
	target, err := url.Parse(w.server.URL)
	w.must(err)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		if down.Load() {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		forward(rw, r, target)
	}))
	defer front.Close()
	c, err := federation.OpenClient(federation.ClientOptions{URL: front.URL, Root: w.root(), Folder: t.TempDir(), Clock: w.clock, Every: 2 * time.Millisecond})
	w.must(err)
	changed := make(chan uint64, 16)
	c.OnChange(func(v *federation.View) { changed <- v.Version() })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	if got := <-changed; got != 1 {
		t.Fatalf("first change to version %d", got)
	}
	down.Store(true)
	for range 3 {
		<-asked
	}
	if v, err := c.Current(); err != nil || v.Version() != 1 {
		t.Fatalf("during the outage: %v", err)
	}
	w.clock.Add(federation.TimestampLife + time.Second)
	_, err = c.Current()
	refused(t, err, countersign.CodeStaleDirectory, "could not be renewed")
	w.change(func(d *countersign.Directory) { w.must(dropSchools(d)) })
	down.Store(false)
	if got := <-changed; got != 2 {
		t.Fatalf("changed to version %d, want 2", got)
	}
	if _, err := c.Current(); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	cancel()
	w.must(<-done)
	if len(changed) != 0 {
		t.Errorf("%d more changes were told of: a fresh signature is none", len(changed))
	}
}

func forward(rw http.ResponseWriter, r *http.Request, target *url.URL) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, target.JoinPath(r.URL.Path).String(), nil) //nolint:gosec // to the test's own server
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	res, err := http.DefaultClient.Do(req) //nolint:gosec // to the test's own server
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	rw.WriteHeader(res.StatusCode)
	if _, err := io.Copy(rw, res.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// A document that breaks this program's rules is not taken, however many signed it.
func TestSignedNonsense(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*countersign.Directory){
		"personal service without a selector": func(d *countersign.Directory) {
			d.Services[0].Subject = countersign.Selector{From: countersign.SubjectNone}
		},
		"joint roles": func(d *countersign.Directory) {
			d.Members[0].Roles = append(d.Members[0].Roles, countersign.RoleOverseer)
		},
		"another instance": func(d *countersign.Directory) { d.Instance = "OTHER" },
		"an older version": func(d *countersign.Directory) { d.Version = 1; d.Name = en("changed") },
		"another format":   func(d *countersign.Directory) { d.Format = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client(t.TempDir())
			w.view(c)
			a, err := w.folder.LoadApproval()
			w.must(err)
			d := clone(t, a.Issues[0].Document)
			d.Version = 2
			spoil(d)
			// The host judges form alone, so some of these it serves; the client judges sense.
			w.approveUnjudged(a, encode(t, d), federation.Dates{Version: d.Version, Announced: w.clock.Now(), Effective: w.clock.Now()}, d.Version != 1)
			served := w.host.Refresh(t.Context())
			if err := c.Poll(t.Context()); err == nil && served == nil {
				t.Error("taken")
			}
			if v, err := c.Current(); err != nil || v.Version() != 1 || v.Document().Name.In("en") != "Fictional federation" {
				t.Errorf("what was good is gone: %v", err)
			}
		})
	}
}

func TestWrongRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, o := range map[string]federation.ClientOptions{
		"no root":     {URL: w.server.URL, Root: []byte("{}"), Folder: t.TempDir(), Clock: w.clock},
		"unsigned":    {URL: w.server.URL, Root: keylessRoot(t, w), Folder: t.TempDir(), Clock: w.clock},
		"a bare host": {URL: "directory.example", Root: w.root(), Folder: t.TempDir(), Clock: w.clock},
	} {
		_, err := federation.OpenClient(o)
		if countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
