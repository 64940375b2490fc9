package ledger_test

import (
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// reader is a stranger's tile client: the library's, over HTTP.
type reader struct {
	t   *testing.T
	url string
}

func (r *reader) get(path string) (status int, body []byte, header http.Header) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, body, res.Header
}

// Height implements tlog.TileReader.
func (r *reader) Height() int { return 8 }

// path is a tile's under C2SP tlog-tiles, which leaves out the height that the library writes.
func path(t tlog.Tile) string { return strings.Replace("/"+t.Path(), "/tile/8/", "/tile/", 1) }

// ReadTiles implements tlog.TileReader.
func (r *reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		status, body, _ := r.get(path(t))
		if status != http.StatusOK {
			return nil, fmt.Errorf("%s: status %d", path(t), status)
		}
		out[i] = body
	}
	return out, nil
}

// SaveTiles implements tlog.TileReader.
func (r *reader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *reader) checkpoint(l *ledger.Log) *log.Checkpoint {
	r.t.Helper()
	status, body, header := r.get("/checkpoint")
	if status != http.StatusOK || header.Get("Content-Type") != "text/plain; charset=utf-8" {
		r.t.Fatalf("checkpoint: %d, %v", status, header)
	}
	v, err := note.NewVerifier(l.VerifierKey())
	if err != nil {
		r.t.Fatal(err)
	}
	cp, _, _, err := log.ParseCheckpoint(body, string(l.Origin()), v)
	if err != nil {
		r.t.Fatal(err)
	}
	return cp
}

func serve(t *testing.T, l *ledger.Log, v ledger.View) *reader {
	t.Helper()
	s := httptest.NewServer(l.Handler(v))
	t.Cleanup(s.Close)
	return &reader{t, s.URL}
}

func TestAStrangersTileReaderReadsTheLog(t *testing.T) {
	m := begin(t)
	l := m.open()
	var leaves [][]byte
	first, err := l.Leaf(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	leaves = append(leaves, first.LeafBytes)
	r := serve(t, l, ledger.ViewParty)
	for _, until := range []int{3, 255, 256, 257, 700} {
		for len(leaves) < until {
			p, _ := m.append(t)
			leaves = append(leaves, p.Leaf)
		}
		l.Tick(t.Context())
		for uint64(len(leaves)) < l.Size() { // the minute's sealed slot
			s, err := l.Leaf(t.Context(), uint64(len(leaves)))
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, s.LeafBytes)
		}
		l.Tick(t.Context())
		cp := r.checkpoint(l)
		if cp.Size != uint64(len(leaves)) {
			t.Fatalf("checkpoint of %d leaves, want %d", cp.Size, len(leaves))
		}
		tree := tlog.Tree{N: int64(cp.Size), Hash: tlog.Hash(cp.Hash)}
		hashes := tlog.TileHashReader(tree, r)
		for i := int64(0); i < tree.N; i += 37 {
			p, err := tlog.ProveRecord(tree.N, i, hashes)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p, tree.N, tree.Hash, i, tlog.RecordHash(leaves[i])); err != nil {
				t.Fatal(err)
			}
		}
		for n := 0; n*256 < len(leaves); n++ {
			width := min(256, len(leaves)-n*256)
			path := fmt.Sprintf("/tile/entries/%03d", n)
			if width < 256 {
				path += fmt.Sprintf(".p/%d", width)
			}
			status, body, header := r.get(path)
			if status != 200 || !strings.Contains(header.Get("Cache-Control"), "immutable") {
				t.Fatalf("%s: %d, %v", path, status, header)
			}
			for i := range width {
				size := int(binary.BigEndian.Uint16(body))
				if string(body[2:2+size]) != string(leaves[n*256+i]) {
					t.Fatalf("%s: entry %d is another one", path, i)
				}
				body = body[2+size:]
			}
			if len(body) != 0 {
				t.Fatalf("%s: %d bytes too many", path, len(body))
			}
		}
	}
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/tile/0/000", 200}, {"/tile/0/002.p/1", 200}, {"/tile/0/002.p/255", 404}, {"/tile/0/003", 404}, {"/tile/1/000.p/2", 200}, {"/tile/1/000.p/3", 404},
		{"/tile/2/000.p/1", 404}, {"/tile/entries/002.p/255", 404}, {"/tile/entries/099", 404}, {"/tile/63/000", 404}, {"/tile/0/x000/000", 400}, {"/tile/64/000", 400},
		{"/tile/00/000", 400}, {"/tile/0/0", 400}, {"/tile/0/000.p/0", 400}, {"/tile/0/000.p/256", 400}, {"/tile/0/000.p/01", 400}, {"/tile/0/-01", 400},
		{"/tile/entries/entries/000", 400}, {"/tile/8/0/000", 400}, {"/tile/data/000", 400}, {"/tile/0/x999/x999/x999/x999/x999/x999/999", 400}, {"/tile/0/x999/x999/x999/x999/999", 404}, {"/tile/", 400}, {"/", 404},
	} {
		if status, body, _ := r.get(c.path); status != c.status {
			t.Errorf("%s: status %d, want %d (%d bytes)", c.path, status, c.status, len(body))
		}
	}
	req := httptest.NewRequest(http.MethodGet, "/tile/entries/000", nil)
	req.Header.Set("Accept-Encoding", "br, gzip")
	rec := httptest.NewRecorder()
	l.Handler(ledger.ViewParty).ServeHTTP(rec, req)
	z, err := gzip.NewReader(rec.Body)
	if err != nil || rec.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v, %v", rec.Header(), err)
	}
	if body, err := io.ReadAll(z); err != nil || string(body[2:2+len(leaves[0])]) != string(leaves[0]) {
		t.Fatalf("compressed entries: %v", err)
	}
}

// The public sees what was there when the hour began, and nothing newer until the next one, whatever it asks for.
func TestThePublicViewAdvancesOnTheHour(t *testing.T) {
	m := begin(t)
	l := m.open()
	public, party := serve(t, l, ledger.ViewPublic), serve(t, l, ledger.ViewParty)
	if status, _, _ := public.get("/checkpoint"); status != 404 {
		t.Fatalf("before the first hour: %d", status)
	}
	if status, _, _ := serve(t, l, ledger.View(0)).get("/checkpoint"); status != 404 {
		t.Fatalf("the zero view shows something: %d", status)
	}
	m.append(t)
	l.Tick(t.Context())
	l.Tick(t.Context())
	if status, _, _ := public.get("/checkpoint"); status != 404 {
		t.Fatalf("within the hour: %d", status)
	}
	seen := party.checkpoint(l).Size
	m.clock.Add(time.Hour - 25*time.Minute) // 10:20:30 → 10:55:30
	l.Tick(t.Context())
	before := l.Size()
	l.Tick(t.Context())
	m.clock.Add(5 * time.Minute) // 11:00:30
	l.Tick(t.Context())
	shown := public.checkpoint(l).Size
	if shown < seen || shown > l.Size() || shown < before {
		t.Fatalf("on the hour the public sees %d leaves, the party saw %d", shown, seen)
	}
	for range 300 {
		m.append(t)
	}
	m.clock.Add(58 * time.Minute) // 11:58:30
	l.Tick(t.Context())
	l.Tick(t.Context())
	if now := public.checkpoint(l).Size; now != shown {
		t.Fatalf("within the hour the public view went from %d to %d", shown, now)
	}
	for _, p := range []string{"/tile/0/000", "/tile/entries/000", fmt.Sprintf("/tile/0/000.p/%d", shown+1), fmt.Sprintf("/tile/entries/000.p/%d", shown+1)} {
		if status, _, _ := public.get(p); status != 404 {
			t.Errorf("%s is served before its hour: %d", p, status)
		}
	}
	// A restart within the hour shows neither more nor less.
	m.shut()
	l = m.open()
	public = serve(t, l, ledger.ViewPublic)
	l.Tick(t.Context())
	l.Tick(t.Context())
	if now := public.checkpoint(l).Size; now != shown {
		t.Fatalf("a restart took the public view from %d to %d", shown, now)
	}
	m.clock.Add(2 * time.Minute) // 12:00:30
	l.Tick(t.Context())
	cp := public.checkpoint(l)
	if cp.Size < shown+300 {
		t.Fatalf("the next hour shows %d leaves", cp.Size)
	}
	if _, err := tlog.ProveTree(int64(cp.Size), int64(shown), tlog.TileHashReader(tlog.Tree{N: int64(cp.Size), Hash: tlog.Hash(cp.Hash)}, public)); err != nil {
		t.Fatal(err)
	}
}

func TestHistorySpansTagEpochs(t *testing.T) {
	m := begin(t)
	l := m.open()
	who := countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"}
	add := func() {
		e := m.entry(who)
		e.Tag = l.TagOf(who)
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	add()
	m.shut()
	m.tags = append(m.tags, ledger.NewTagKey(2))
	again, err := ledger.ParseTagKeys(ledger.FormatTagKeys(m.tags))
	if err != nil || len(again) != 2 || again[1] != m.tags[1] {
		t.Fatalf("tag key file: %v", err)
	}
	l = m.open()
	add()
	if h, err := l.History(t.Context(), l.TagsOf(who), ledger.Page{}); err != nil || len(h) != 2 || h[0].Tag[0] != 2 || h[1].Tag[0] != 1 {
		t.Fatalf("%d entries, %v", len(h), err)
	}
	if h, err := l.History(t.Context(), l.TagsOf(countersign.SubjectID{Scheme: "pin", Value: "OTHER"}), ledger.Page{}); err != nil || len(h) != 0 {
		t.Fatalf("another person's history: %d entries, %v", len(h), err)
	}
}
