package witness_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger/witness"
)

const origin = "log.example/a"

// foreign is a log in memory, made with the library alone: what any C2SP log may be.
type foreign struct {
	t      *testing.T
	signer note.Signer
	vkey   string
	stored []tlog.Hash
	size   int64
}

func newForeign(t *testing.T) *foreign {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &foreign{t: t, signer: signer, vkey: vkey}
}

func (f *foreign) ReadHashes(x []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(x))
	for i := range x {
		out[i] = f.stored[x[i]]
	}
	return out, nil
}

func (f *foreign) grow(entries ...string) {
	f.t.Helper()
	for _, e := range entries {
		h, err := tlog.StoredHashes(f.size, []byte(e), f)
		if err != nil {
			f.t.Fatal(err)
		}
		f.stored = append(f.stored, h...)
		f.size++
	}
}

func (f *foreign) root(size int64) tlog.Hash {
	f.t.Helper()
	h, err := tlog.TreeHash(size, f)
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

func (f *foreign) sign(size int64, root tlog.Hash) []byte {
	f.t.Helper()
	text := log.Checkpoint{Origin: origin, Size: uint64(size), Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, f.signer)
	if err != nil {
		f.t.Fatal(err)
	}
	return signed
}

// body is an add-checkpoint request.
func (f *foreign) body(old, size int64) string {
	f.t.Helper()
	var proof tlog.TreeProof
	if old > 0 && old < size {
		var err error
		if proof, err = tlog.ProveTree(size, old, f); err != nil {
			f.t.Fatal(err)
		}
	}
	return request(old, proof, f.sign(size, f.root(size)))
}

func request(old int64, proof []tlog.Hash, checkpoint []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	return b.String() + "\n" + string(checkpoint)
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type running struct {
	*witness.Witness
	url  string
	stop func()
}

func start(t *testing.T, dir string, key keys.Signer, vkeys ...string) *running {
	t.Helper()
	w, err := witness.Open(witness.Config{Name: "witness.example/w1", Key: key, Dir: dir, Clock: clock.Fixed(noon), Logs: func(o countersign.LogOrigin) (witness.KnownLog, bool) {
		return witness.KnownLog{Origin: origin, VKeys: vkeys}, o == origin
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler())
	var once sync.Once
	r := &running{w, server.URL, func() {
		once.Do(func() {
			server.Close()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}}
	t.Cleanup(r.stop)
	return r
}

func (r *running) post(t *testing.T, body string) (status int, answer string, header http.Header) {
	t.Helper()
	res, err := http.Post(r.url+"/add-checkpoint", "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func newKey(t *testing.T) keys.Signer {
	t.Helper()
	k, err := keys.Generate(countersign.AlgorithmEd25519)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// cosigned checks an answer with the library's own verifier.
func cosigned(t *testing.T, w *running, checkpoint []byte, answer string) {
	t.Helper()
	v, err := fnote.NewVerifierForCosignatureV1(w.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(append(bytes.Clone(checkpoint), answer...), note.VerifierList(v))
	if err != nil || len(n.Sigs) != 1 {
		t.Fatalf("cosignature %q: %v", answer, err)
	}
	if at, err := fnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(noon) {
		t.Fatalf("cosigned at %v, %v", at, err)
	}
}

func TestEachClauseOfAddCheckpoint(t *testing.T) {
	f := newForeign(t)
	for i := range 20 {
		f.grow(fmt.Sprint("entry ", i))
	}
	fork := newForeign(t)
	fork.signer = f.signer
	for i := range 20 {
		fork.grow(fmt.Sprint("other ", i))
	}
	stranger := newForeign(t)
	stranger.grow("x")
	dir := t.TempDir()
	w := start(t, dir, newKey(t), f.vkey)
	wrongProof := func(old, size int64) string {
		p, err := tlog.ProveTree(size, old, f)
		if err != nil {
			t.Fatal(err)
		}
		p[0][0] ^= 1
		return request(old, p, f.sign(size, f.root(size)))
	}
	broken := bytes.Clone(f.sign(5, f.root(5)))
	broken[len(broken)-10] ^= 1
	for i, c := range []struct {
		name   string
		body   string
		status int
		answer string // exact, where not empty
	}{
		{"no empty line", "old 0\nexample", 400, ""},
		{"leading zero", "old 00\n\n" + string(f.sign(5, f.root(5))), 400, ""},
		{"plus sign", "old +0\n\n" + string(f.sign(5, f.root(5))), 400, ""},
		{"proof line of another length", request(0, nil, nil)[:6] + "AAAA\n\n" + string(f.sign(5, f.root(5))), 400, ""},
		{"64 proof lines", request(1, make([]tlog.Hash, 64), f.sign(5, f.root(5))), 400, ""},
		{"unknown origin", "old 0\n\n" + strings.Replace(string(f.sign(5, f.root(5))), origin, "log.example/b", 1), 404, ""},
		{"another key's signature alone", "old 0\n\n" + string(stranger.sign(1, stranger.root(1))), 403, ""},
		{"our key's signature is broken", "old 0\n\n" + string(broken), 403, ""},
		{"old above size", request(6, nil, f.sign(5, f.root(5))), 400, ""},
		{"old where nothing was cosigned", f.body(3, 5), 409, "0\n"},
		{"proof from nothing", request(0, make([]tlog.Hash, 1), f.sign(5, f.root(5))), 422, ""},
		{"empty tree with a root", request(0, nil, f.sign(0, tlog.Hash{1})), 422, ""},
		{"first", f.body(0, 5), 200, ""},
		{"first again", f.body(0, 5), 409, "5\n"},
		{"same size", f.body(5, 5), 200, ""},
		{"same size, other root", request(5, nil, fork.sign(5, fork.root(5))), 422, ""},
		{"wrong proof", wrongProof(5, 9), 422, ""},
		{"missing proof", request(5, nil, f.sign(9, f.root(9))), 422, ""},
		{"a fork's proof", fork.body(5, 9), 422, ""},
		{"shrinking", request(3, nil, f.sign(3, f.root(3))), 409, "5\n"},
		{"growing", f.body(5, 9), 200, ""},
		{"growing by one", f.body(9, 10), 200, ""},
		{"another's signature beside", f.body(10, 11) + "— other.example/x AAAAAAAA\n", 200, ""},
	} {
		status, answer, header := w.post(t, c.body)
		if status != c.status || c.answer != "" && answer != c.answer {
			t.Fatalf("%d %s: %d %q, want %d %q", i, c.name, status, answer, c.status, c.answer)
		}
		if status == 409 && header.Get("Content-Type") != "text/x.tlog.size" {
			t.Fatalf("%s: Content-Type %q", c.name, header.Get("Content-Type"))
		}
		if status == 200 {
			_, checkpoint, _ := strings.Cut(c.body, "\n\n")
			cosigned(t, w, []byte(checkpoint), answer)
		}
	}
	evidence, err := filepath.Glob(filepath.Join(dir, "*.evidence"))
	if err != nil || len(evidence) != 1 {
		t.Fatalf("evidence of the fork: %v, %v", evidence, err)
	}
}

func TestStateSurvivesAndIsOneProcesss(t *testing.T) {
	f := newForeign(t)
	for i := range 12 {
		f.grow(fmt.Sprint("entry ", i))
	}
	dir, key := t.TempDir(), newKey(t)
	w := start(t, dir, key, f.vkey)
	if status, answer, _ := w.post(t, f.body(0, 7)); status != 200 {
		t.Fatalf("%d %q", status, answer)
	}
	if _, err := witness.Open(witness.Config{Name: "witness.example/w1", Key: key, Dir: dir, Clock: clock.System{}, Logs: func(countersign.LogOrigin) (witness.KnownLog, bool) { return witness.KnownLog{}, false }}); countersign.CodeOf(err) != countersign.CodeStore {
		t.Fatalf("a second process: %v", err)
	}
	w.stop()
	w = start(t, dir, key, f.vkey)
	if status, answer, _ := w.post(t, f.body(0, 12)); status != 409 || answer != "7\n" {
		t.Fatalf("after a restart: %d %q", status, answer)
	}
	res, err := http.Get(w.url + "/" + hash(origin) + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	held, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	logKey, err := note.NewVerifier(f.vkey)
	if err != nil {
		t.Fatal(err)
	}
	own, err := fnote.NewVerifierForCosignatureV1(w.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(held, note.VerifierList(logKey, own)); err != nil || len(n.Sigs) != 2 {
		t.Fatalf("monitoring shows %q: %v", held, err)
	}
	w.stop()
	// A state that the witness did not write is not believed.
	files, err := filepath.Glob(filepath.Join(dir, "*.checkpoint"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], f.sign(3, f.root(3)), 0o600); err != nil {
		t.Fatal(err)
	}
	w = start(t, dir, key, f.vkey)
	if status, _, _ := w.post(t, f.body(3, 12)); status != 503 {
		t.Fatalf("a foreign state: %d", status)
	}
}

func hash(o string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(o))) }

// Of submissions that race from one size, each either continues what is held or is refused: what is cosigned is one chain.
func TestRacingSubmissionsMakeOneChain(t *testing.T) {
	f := newForeign(t)
	for i := range 40 {
		f.grow(fmt.Sprint("entry ", i))
	}
	w := start(t, t.TempDir(), newKey(t), f.vkey)
	if status, answer, _ := w.post(t, f.body(0, 1)); status != 200 {
		t.Fatalf("%d %q", status, answer)
	}
	bodies := make([]string, 0, 39)
	for size := int64(2); size <= 40; size++ {
		bodies = append(bodies, f.body(1, size))
	}
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for _, b := range bodies {
		wg.Go(func() {
			res, err := http.Post(w.url+"/add-checkpoint", "", strings.NewReader(b))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			switch res.StatusCode {
			case http.StatusOK:
				won++
			case http.StatusConflict:
			default:
				t.Errorf("status %d", res.StatusCode)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Fatalf("%d submissions from the same size were cosigned", won)
	}
}

func TestStatusPage(t *testing.T) {
	f := newForeign(t)
	f.grow("a", "b")
	w := start(t, t.TempDir(), newKey(t), f.vkey)
	if status, answer, _ := w.post(t, f.body(0, 2)); status != 200 {
		t.Fatalf("%d %q", status, answer)
	}
	h := w.StatusHandler(func() []countersign.LogOrigin { return []countersign.LogOrigin{origin, "log.example/b"} })
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Accept", "application/json")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var page struct{ Logs []witness.LogStatus }
	if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || len(page.Logs) != 2 || page.Logs[0].Size != 2 || !page.Logs[1].Cosigned.IsZero() {
		t.Fatalf("%s: %v", rec.Body, err)
	}
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if !strings.Contains(rec.Body.String(), "log.example/b</th><td>0</td><td>never") {
		t.Fatalf("%s", rec.Body)
	}
}

func FuzzSubmission(f *testing.F) {
	f.Add([]byte("old 3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nlog.example/a\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— log.example/a AAAA\n"))
	key, err := keys.Generate(countersign.AlgorithmEd25519)
	if err != nil {
		f.Fatal(err)
	}
	_, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		f.Fatal(err)
	}
	w, err := witness.Open(witness.Config{Name: "witness.example/w1", Key: key, Dir: f.TempDir(), Clock: clock.System{}, Logs: func(o countersign.LogOrigin) (witness.KnownLog, bool) {
		return witness.KnownLog{Origin: origin, VKeys: []string{vkey}}, o == origin
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if line, err := w.AddCheckpoint(t.Context(), body); err == nil {
			t.Fatalf("cosigned without the log's key: %q", line)
		}
	})
}
