package federation_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
)

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res, page := get(t, w.server.URL+"/")
	for _, part := range []string{"Fictional federation", "demonstration", "Version 1", "Fresh until 2031-05-06 08:08:09 UTC", "DEMO/GOV/1002", "/metadata/1.targets.json"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("page: %s %s", res.Status, res.Header.Get("Content-Type"))
	}
	w.must(put(filepath.Join(w.folder.Served(), "metadata", "secret.json"), []byte("{}")))
	for path, want := range map[string]int{
		"/metadata/timestamp.json": 200, "/metadata/1.root.json": 200, "/metadata/1.snapshot.json": 200, "/metadata/1.targets.json": 200,
		"/metadata/2.root.json": 404, "/metadata/": 404, "/targets/": 404, "/metadata/secret.json": 404, "/metadata/..%2ftargets": 404, "/metadata/%2e%2e%2fx.json": 404,
		"/targets/person.yaml": 404, "/approved/1.root.json": 404, "/nothing": 404,
	} {
		if res, _ := get(t, w.server.URL+path); res.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, res.Status, want)
		}
	}
	if res, _ := get(t, w.server.URL+"/metadata/timestamp.json"); res.Header.Get("Cache-Control") != "no-store" {
		t.Error("the timestamp may be cached")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/metadata/timestamp.json", strings.NewReader("{}"))
	w.must(err)
	res, err = http.DefaultClient.Do(req)
	w.must(err)
	w.must(res.Body.Close())
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
	w.clock.Add(2 * federation.TimestampLife)
	if _, page = get(t, w.server.URL+"/"); !strings.Contains(page, "Stale since") {
		t.Error("the page does not say that it is stale")
	}
	if err := w.host.Fresh(); countersign.CodeOf(err) != countersign.CodeStaleDirectory {
		t.Errorf("fresh: %v", err)
	}
	w.change(func(d *countersign.Directory) { w.must(addSchoolsGrant(d)) })
	if _, page = get(t, w.server.URL+"/"); !strings.Contains(page, "Version 2 takes effect on 2031-05-23") {
		t.Errorf("the page does not say what waits:\n%s", page)
	}
	w.must(w.host.Fresh())
}

func TestServerBeforePublication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	empty := federation.Folder(t.TempDir())
	s := httptest.NewServer(federation.NewServer(empty, w.clock))
	defer s.Close()
	for _, path := range []string{"/metadata/timestamp.json", "/metadata/1.root.json"} {
		if res, _ := get(t, s.URL+path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	if res, _ := get(t, s.URL+"/"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("page: %s", res.Status)
	}
	h := federation.Host{Folder: empty, Snapshot: keyOf("snapshot"), Timestamp: keyOf("timestamp"), Clock: w.clock, Announcer: w.log, Log: w.host.Log}
	if err := h.Fresh(); countersign.CodeOf(err) != countersign.CodeStaleDirectory {
		t.Errorf("fresh: %v", err)
	}
	if err := h.Refresh(t.Context()); err == nil {
		t.Error("refreshed nothing")
	}
}

// The host picks up what was approved by itself and renews its signatures in time.
func TestHostRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.host.Run(ctx, time.Millisecond) }()
	w.removeMunicipality()
	w.signAndPublish("assembly", "bar", "ministry")
	for v := w.view(c); v.Version() != 2; v = w.view(c) {
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	w.clock.Add(federation.TimestampRenew)
	for v := w.view(c); !v.Expires().Equal(w.clock.Now().Add(federation.TimestampLife)); v = w.view(c) {
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	cancel()
	w.must(<-done)
	if len(w.log.all) != 3 {
		t.Errorf("%d announcements, want one root and two documents", len(w.log.all))
	}
}

// The snapshot outlives a day only by being signed again, and keeps its version while nothing changes.
func TestSnapshotRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	version := func() int64 {
		m, err := metadata.Timestamp().FromFile(filepath.Join(w.folder.Served(), "metadata", "timestamp.json"))
		w.must(err)
		return m.Signed.Meta["snapshot.json"].Version
	}
	w.clock.Add(6 * time.Hour)
	w.refresh()
	if v := version(); v != 1 {
		t.Errorf("snapshot version %d though nothing changed", v)
	}
	w.clock.Add(7 * time.Hour)
	w.refresh()
	if v := version(); v != 2 {
		t.Errorf("snapshot version %d after half its life, want 2", v)
	}
	w.clock.Add(7 * 24 * time.Hour) // the host was away for a week
	w.refresh()
	w.view(w.client(t.TempDir()))
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	bodies := document().Bodies
	good := ceremony.InitOptions{Instance: "DEMO", Bodies: bodies, Snapshot: publicKey("s"), Timestamp: publicKey("t")}
	for name, spoil := range map[string]func(o *ceremony.InitOptions){
		"no bodies":                      func(o *ceremony.InitOptions) { o.Bodies = nil },
		"two of five":                    func(o *ceremony.InitOptions) { o.Threshold = 2 },
		"six of five":                    func(o *ceremony.InitOptions) { o.Threshold = 6 },
		"one body twice":                 func(o *ceremony.InitOptions) { o.Bodies = append(o.Bodies[:4:4], o.Bodies[0]) },
		"an online key that is a body's": func(o *ceremony.InitOptions) { o.Snapshot = publicKey("body bar") },
		"no online key":                  func(o *ceremony.InitOptions) { o.Timestamp = nil },
		"no instance":                    func(o *ceremony.InitOptions) { o.Instance = "" },
	} {
		o := good
		spoil(&o)
		if err := ceremony.Init(federation.Folder(t.TempDir()), o, start); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	w := newWorld(t)
	if err := ceremony.Init(w.folder, good, start); err == nil {
		t.Error("a second federation in the same folder")
	}
}
