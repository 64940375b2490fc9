package ledger_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// Programs of other people that speak C2SP, from the Go module proxy: they share no code of ours.
const (
	litewitness = "filippo.io/torchwood/cmd/litewitness@v0.9.0"
	tesseraFsck = "github.com/transparency-dev/tessera/cmd/fsck@v1.0.4"
)

// install builds a foreign program. It stays out of go.mod.
func install(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "install", program)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", program, err, out)
	}
	path, _, _ := strings.Cut(program, "@")
	return filepath.Join(dir, filepath.Base(path))
}

// startLitewitness starts torchwood's witness for our log, with a key that an agent of ours holds, and gives its address and verifier key.
func startLitewitness(t *testing.T, vkey string) (url, witnessKey string) {
	t.Helper()
	bin, dir := install(t, litewitness), t.TempDir()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }() // ends with the connection
		}
	}()
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	db, name := filepath.Join(dir, "w.db"), "litewitness.example/w"
	var out bytes.Buffer
	cmd := exec.Command(bin, "-name", name, "-db", db, "-ssh-agent", socket, "-listen", address, "-key", ssh.FingerprintSHA256(key))
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("litewitness says:\n%s", out.Bytes())
		}
	})
	eventually(t, func() bool {
		res, err := http.Get("http://" + address + "/")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil
	})
	teach(t, db, vkey)
	plain, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		t.Fatal(err)
	}
	if witnessKey, err = fnote.VKeyToCosignatureV1(plain); err != nil {
		t.Fatal(err)
	}
	return "http://" + address, witnessKey
}

// teach does what torchwood's witnessctl does, which cannot be had from the module proxy.
func teach(t *testing.T, file, vkey string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, s := range []string{
		"INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=')",
		"INSERT INTO key (origin, key) VALUES (?, '" + vkey + "')",
	} {
		if _, err := db.ExecContext(t.Context(), s, string(origin)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAForeignWitnessCosigns has torchwood's witness cosign our log, as one of two organisations of which both are needed.
func TestAForeignWitnessCosigns(t *testing.T) {
	m := begin(t)
	_, own := witnesses(t, m, 1)
	url, vkey := startLitewitness(t, vkeyOf(t, m.key))
	text, _, _ := strings.Cut(string(own), "group quorum-group")
	m.cfg.Policy = []byte(text + "witness lite " + vkey + " " + url + "\ngroup both 2 w0x lite\nquorum both\n")
	m.cfg.Policy = bytes.Replace(bytes.Replace(m.cfg.Policy, []byte("group org0 1 w0\n"), nil, 1), []byte("w0x"), []byte("w0"), 1)
	m.cfg.Tick = 20 * time.Millisecond
	l := m.open()
	policy, err := countersign.ParsePolicy(m.cfg.Policy)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p, e := m.append(t)
		if err := l.WaitCosigned(within(t, 20*time.Second), p.Index); err != nil {
			t.Fatal(err)
		}
		proof, err := l.Proof(t.Context(), p.Index)
		if err != nil {
			t.Fatal(err)
		}
		r := p.Receipt(e.Record.Statement, e.Record.Salt[:])
		r.Proof = proof
		if f, err := policy.Verify(r); err != nil || !f.Cosigned {
			t.Fatalf("%+v, %v", f, err)
		}
	}
}

// TestAForeignCheckerReadsOurLog has tessera's fsck fetch and recompute our log over HTTP, and find out a changed tile.
func TestAForeignCheckerReadsOurLog(t *testing.T) {
	m := begin(t)
	l := m.open()
	for range 600 {
		m.append(t)
	}
	l.Tick(t.Context())
	var lies atomic.Bool
	tiles := l.Handler(ledger.ViewParty)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lies.Load() && r.URL.Path == "/tile/0/001" {
			_, _ = w.Write(make([]byte, 8192))
			return
		}
		tiles.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	bin, key := install(t, tesseraFsck), filepath.Join(t.TempDir(), "log.pub")
	if err := os.WriteFile(key, []byte(vkeyOf(t, m.key)), 0o600); err != nil {
		t.Fatal(err)
	}
	// It goes on asking for what it finds invalid, so that it is stopped at its first word of judgement.
	look := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, "-storage_url", server.URL+"/", "-public_key", key, "-ui=false", "-v=1", "-logtostderr")
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Wait() }() // it is killed, or has ended
		defer cancel()
		var said strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "Invalid") || strings.Contains(lines.Text(), "failed") {
				break
			}
		}
		return said.String()
	}
	if out := look(); strings.Contains(out, "failed") || strings.Contains(out, "Invalid") || !strings.Contains(out, "Completed") {
		t.Fatalf("tessera's fsck rejects our log:\n%s", out)
	}
	lies.Store(true)
	if out := look(); !strings.Contains(out, "Invalid") && !strings.Contains(out, "failed") {
		t.Fatalf("tessera's fsck does not see a changed tile:\n%s", out)
	}
}
