// Package witness is an independent body's cosigner: it signs that it has seen a log's checkpoint only where that checkpoint continues
// everything that it has cosigned before (C2SP tlog-witness).
//
// Trusted? One witness alone is not: a quorum of several organisations is. The thief of a witness's key can cosign a fork, which shows as
// two cosigned heads; the thief of its state can make it forget what it cosigned, and so can an operator who restores an old copy.
package witness

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger/lockfile"
)

// KnownLog is one log that the witness cosigns.
type KnownLog struct {
	Origin countersign.LogOrigin
	VKeys  []string // signed-note verifier keys that are trusted for the origin; several while a key is replaced
	Ended  bool     // another has taken over from it: what was cosigned is still told, and nothing is cosigned any more
}

// Logs gives the logs that are to be cosigned now. It is asked at each submission and must be quick; an origin that it does not name is
// unknown.
type Logs func(origin countersign.LogOrigin) (KnownLog, bool)

// Config is what a witness needs.
type Config struct {
	Name   string      // of its key, for instance witness.example/w1
	Key    keys.Signer // Ed25519
	Dir    string      // of its state: one file for each log, ours alone
	Logs   Logs
	Clock  clock.Clock
	Logger *slog.Logger // nil discards
}

// Witness cosigns checkpoints. It is safe for concurrent use.
type Witness struct {
	cfg     Config
	vkey    string
	signer  *cosigner
	metrics *Metrics
	lock    *lockfile.Lock
	disk    disk
	started time.Time

	mu   sync.Mutex
	logs map[countersign.LogOrigin]*state
}

// state is what is held of one log.
type state struct {
	mu     sync.Mutex
	loaded bool
	size   uint64
	root   []byte
	note   []byte // signed by log and witness; nil before the first
	at     time.Time
}

// Open opens a witness's state. It refuses a folder that another process uses.
func Open(cfg Config) (*Witness, error) {
	switch {
	case cfg.Name == "" || strings.ContainsAny(cfg.Name, "+ \n\t"):
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the witness's name is empty or has a space or plus sign: write it like witness.example/w1")
	case cfg.Key == nil || cfg.Dir == "" || cfg.Logs == nil || cfg.Clock == nil:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the witness's configuration lacks its key, folder, logs or clock")
	}
	pub, ok := cfg.Key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the witness's key is not Ed25519 (C2SP tlog-cosignature)")
	}
	vkey, err := VerifierKey(cfg.Name, pub)
	if err != nil {
		return nil, err
	}
	v, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("the witness's verifier key: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Witness{cfg: cfg, vkey: vkey, signer: &cosigner{Verifier: v, key: cfg.Key, clock: cfg.Clock}, metrics: newMetrics(),
		disk: plainDisk, started: cfg.Clock.Now(), logs: map[countersign.LogOrigin]*state{}}
	w.lock, err = lockState(cfg.Dir)
	return w, err
}

// Close gives the state's folder up. Submissions must have ended.
func (w *Witness) Close() error { return w.lock.Release() }

// VerifierKey is the witness's key in signed-note form, with the type of timestamped cosignatures, as policies name it.
//
// SPEC: C2SP signed-note: "0x04 … Ed25519 cosignature/v1".
func VerifierKey(name string, pub ed25519.PublicKey) (string, error) {
	plain, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeBadRequest, err, "the witness's verifier key cannot be written for the name %q", name)
	}
	vkey, err := fnote.VKeyToCosignatureV1(plain)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeBadRequest, err, "the witness's verifier key cannot be written for the name %q", name)
	}
	return vkey, nil
}

// VerifierKey is this witness's key.
func (w *Witness) VerifierKey() string { return w.vkey }

// cosigner makes timestamped cosignatures with a key that may live in hardware, by the project's clock.
type cosigner struct {
	note.Verifier
	key   crypto.Signer
	clock clock.Clock
}

// Sign implements note.Signer.
//
// SPEC: C2SP tlog-cosignature: the signed message is "cosignature/v1", newline, "time " and the seconds since 1970 in decimal, newline, and
// the whole note body; the signature is the time as a big-endian 64-bit integer and the Ed25519 signature.
func (s *cosigner) Sign(text []byte) ([]byte, error) {
	at := s.clock.Now().Unix()
	if at <= 0 {
		return nil, countersign.Refuse(countersign.CodeClock, "the witness's clock stands before 1970")
	}
	sig, err := s.key.Sign(rand.Reader, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), crypto.Hash(0))
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the witness's key failed")
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), sig...), nil
}

// outcome is a submission's end, as HTTP tells it.
type outcome struct {
	status int
	body   string
	kind   string // Content-Type; text/plain where empty
}

// refused is the end of a submission that is not cosigned, with the word that metrics count it under.
type refused struct {
	outcome
	why string
}

// Error implements error.
func (r *refused) Error() string { return r.why }

func refuse(status int, why, message string) error {
	return &refused{outcome{status, message + "\n", ""}, why}
}

// submission is a parsed add-checkpoint body.
type submission struct {
	old   uint64
	proof tlog.TreeProof
	note  []byte
}

// parseSubmission reads a request body.
//
// SPEC: C2SP tlog-witness: "The old size line MUST consist of the string old, a single space (0x20), and the tree size of the previous
// checkpoint encoded as an ASCII decimal with no leading zeroes (unless the size is zero, in which case the encoding MUST be 0). Each
// consistency proof line MUST encode a single hash in base64. The client MUST NOT send more than 63 consistency proof lines."
func parseSubmission(body []byte) (*submission, error) {
	head, text, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return nil, errors.New("no empty line before the checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	number, ok := strings.CutPrefix(lines[0], "old ")
	if !ok {
		return nil, errors.New("the first line is not an old size line")
	}
	s := &submission{note: text}
	var err error
	if s.old, err = parseSize(number); err != nil {
		return nil, err
	}
	if len(lines)-1 > maxProof {
		return nil, fmt.Errorf("%d proof lines: %d at most", len(lines)-1, maxProof)
	}
	for _, line := range lines[1:] {
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(raw) != tlog.HashSize {
			return nil, errors.New("a proof line is not the base64 of one hash")
		}
		s.proof = append(s.proof, tlog.Hash(raw))
	}
	return s, nil
}

const (
	maxProof = 63
	// maxBody is ample for 63 hashes and a checkpoint with many signatures.
	maxBody = 64 << 10
)

func parseSize(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, errors.New("a size is not a decimal number without leading zeroes")
	}
	return n, nil
}

// AddCheckpoint cosigns a submission and returns the cosignature's line, or refuses.
func (w *Witness) AddCheckpoint(ctx context.Context, body []byte) (line []byte, err error) {
	s, err := parseSubmission(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "malformed", "malformed request: "+err.Error())
	}
	origin, _, _ := strings.Cut(string(s.note), "\n")
	known, ok := w.cfg.Logs(countersign.LogOrigin(origin))
	if !ok {
		// SPEC: "If the checkpoint origin is unknown, the witness MUST respond with a 404 Not Found HTTP status code."
		return nil, refuse(http.StatusNotFound, "unknown_log", "this witness does not know the log")
	}
	if known.Ended {
		return nil, refuse(http.StatusNotFound, "ended_log", "the log has ended: this witness cosigns its successor")
	}
	cp, signed, err := openCheckpoint(s.note, known)
	if err != nil {
		return nil, err
	}
	// SPEC: "The old size MUST be equal to or lower than the checkpoint size. Otherwise, the witness MUST respond with a 400 Bad Request
	// HTTP status code."
	if s.old > cp.Size {
		return nil, refuse(http.StatusBadRequest, "malformed", "the old size is above the checkpoint's")
	}
	st := w.state(known.Origin)
	// SPEC: "checking the old size against the latest checkpoint and persisting the new checkpoint must be performed atomically"
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := w.load(known, st); err != nil {
		return nil, err
	}
	if err := st.check(s, cp); err != nil {
		var r *refused
		if errors.As(err, &r) && r.why == "inconsistent" {
			w.evidence(known.Origin, s.note)
		}
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the log has left: %w", err)
	}
	return w.cosign(known.Origin, st, cp, signed)
}

// openCheckpoint verifies the log's own signatures and returns the note with those alone.
//
// SPEC: "The witness MUST verify the checkpoint signature against the public key(s) it trusts for the checkpoint origin, and it MUST ignore
// signatures from unknown keys. … The witness MUST respond with a 403 Forbidden HTTP status code if either no signature from a trusted key
// for the origin is present, or a signature line's key name and ID match a trusted key but the signature itself fails to verify"
func openCheckpoint(text []byte, known KnownLog) (*log.Checkpoint, *note.Note, error) {
	forbidden := func() error {
		return refuse(http.StatusForbidden, "signature", "the checkpoint is not signed by a key that is trusted for its origin")
	}
	var verifiers []note.Verifier
	for _, k := range known.VKeys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return nil, nil, fmt.Errorf("a key configured for %s: %w", known.Origin, err)
		}
		verifiers = append(verifiers, v)
	}
	n, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil {
		return nil, nil, forbidden()
	}
	var cp log.Checkpoint
	rest, err := cp.Unmarshal([]byte(n.Text))
	if err != nil || cp.Origin != string(known.Origin) || len(cp.Hash) != tlog.HashSize || cp.Size > 1<<62 {
		return nil, nil, refuse(http.StatusBadRequest, "malformed", "the note is not a checkpoint of the log (C2SP tlog-checkpoint)")
	}
	// One checkpoint has one spelling: what is signed is what was understood.
	if !bytes.Equal(append(cp.Marshal(), rest...), []byte(n.Text)) {
		return nil, nil, refuse(http.StatusBadRequest, "malformed", "the checkpoint is not in its one form (C2SP tlog-checkpoint)")
	}
	n.UnverifiedSigs = nil
	return &cp, n, nil
}

// check compares a submission with what is held. It is called with st.mu held.
func (st *state) check(s *submission, cp *log.Checkpoint) error {
	// SPEC: "The witness MUST check that the old size matches the size of the latest checkpoint it cosigned for the checkpoint's origin (or
	// zero if it never cosigned a checkpoint for that origin). If it doesn't match, the witness MUST respond with a 409 Conflict HTTP status
	// code. The response body MUST consist of the tree size of the latest cosigned checkpoint in decimal, followed by a newline (U+000A).
	// The response MUST have a Content-Type of text/x.tlog.size."
	if s.old != st.size {
		return &refused{outcome{http.StatusConflict, strconv.FormatUint(st.size, 10) + "\n", "text/x.tlog.size"}, "conflict"}
	}
	inconsistent := func(message string) error {
		return refuse(http.StatusUnprocessableEntity, "inconsistent", message)
	}
	// SPEC: "A checkpoint of size zero MUST have the root hash of the empty tree … Otherwise, the witness MUST respond with a 422
	// Unprocessable Entity HTTP status code."
	empty := sha256.Sum256(nil)
	if cp.Size == 0 && !bytes.Equal(cp.Hash, empty[:]) {
		return inconsistent("the root of an empty tree is the hash of nothing")
	}
	// SPEC: "If the proof is not empty when the old size is zero, or if a Merkle Consistency Proof doesn't verify, the witness MUST respond
	// with a 422 Unprocessable Entity HTTP status code."
	if s.old == 0 {
		if len(s.proof) != 0 {
			return inconsistent("the proof from an empty tree is empty")
		}
		if st.note != nil && cp.Size == 0 && !bytes.Equal(st.root, cp.Hash) {
			return inconsistent("the root is another than the one cosigned at this size")
		}
		return nil
	}
	// SPEC: "If the old size matches the checkpoint size, the witness MUST check that the root hashes are also identical. If they don't
	// match, the witness MUST respond with a 422 Unprocessable Entity HTTP status code."
	if s.old == cp.Size {
		if !bytes.Equal(st.root, cp.Hash) {
			return inconsistent("the root is another than the one cosigned at this size")
		}
		if len(s.proof) != 0 {
			return inconsistent("the proof between equal sizes is empty")
		}
		return nil
	}
	if err := tlog.CheckTree(s.proof, int64(cp.Size), tlog.Hash(cp.Hash), int64(s.old), tlog.Hash(st.root)); err != nil { //nolint:gosec // below 2^63
		return inconsistent("the consistency proof does not verify")
	}
	return nil
}

// cosign signs, persists, and only then gives the cosignature away. It is called with st.mu held.
//
// SPEC: "The witness MUST persist the new checkpoint before responding."
func (w *Witness) cosign(origin countersign.LogOrigin, st *state, cp *log.Checkpoint, signed *note.Note) ([]byte, error) {
	both, err := note.Sign(signed, w.signer)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	if err := w.disk.replace(w.statePath(origin), both); err != nil {
		st.loaded = false // it may be there all the same: it is read before the next submission is judged
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the witness cannot keep its state: it cosigns nothing")
	}
	st.size, st.root, st.note, st.at = cp.Size, cp.Hash, both, w.cfg.Clock.Now()
	w.metrics.size.WithLabelValues(string(origin)).Set(float64(cp.Size))
	w.metrics.cosigned.WithLabelValues(string(origin)).Inc()
	lines := bytes.SplitAfter(bytes.TrimSuffix(both, []byte("\n")), []byte("\n"))
	return append(bytes.TrimSuffix(lines[len(lines)-1], []byte("\n")), '\n'), nil
}

// state finds what is held of a log.
func (w *Witness) state(origin countersign.LogOrigin) *state {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.logs[origin]
	if st == nil {
		st = new(state)
		w.logs[origin] = st
	}
	return st
}

// load reads the state from disk at the first use. It is called with st.mu held.
func (w *Witness) load(known KnownLog, st *state) error {
	if st.loaded {
		return nil
	}
	text, err := readState(w.statePath(known.Origin))
	if errors.Is(err, fs.ErrNotExist) {
		st.loaded = true
		return nil
	}
	if err != nil {
		return err
	}
	// Our own signature tells that we wrote it; the log's key may have been replaced since.
	n, err := note.Open(text, note.VerifierList(w.signer))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the witness's state of the log %s does not bear the witness's signature: restore it", known.Origin)
	}
	var cp log.Checkpoint
	if _, err := cp.Unmarshal([]byte(n.Text)); err != nil || cp.Origin != string(known.Origin) || len(cp.Hash) != tlog.HashSize {
		return countersign.RefuseBecause(countersign.CodeStore, err, "the witness's state of the log %s is of something else: restore it", known.Origin)
	}
	for _, s := range n.Sigs {
		if at, err := fnote.CoSigV1Timestamp(s); err == nil {
			st.at = at
		}
	}
	st.size, st.root, st.note, st.loaded = cp.Size, cp.Hash, text, true
	w.metrics.size.WithLabelValues(string(known.Origin)).Set(float64(cp.Size))
	return nil
}

// Latest is the newest checkpoint cosigned for an origin, with the log's signature and ours; an error wrapping fs.ErrNotExist where there
// is none.
func (w *Witness) Latest(origin countersign.LogOrigin) (text []byte, at time.Time, size uint64, err error) {
	known, ok := w.cfg.Logs(origin)
	if !ok {
		return nil, at, 0, fs.ErrNotExist
	}
	st := w.state(origin)
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := w.load(known, st); err != nil {
		return nil, at, 0, err
	}
	if st.note == nil {
		return nil, at, 0, fs.ErrNotExist
	}
	return st.note, st.at, st.size, nil
}

func originHash(origin countersign.LogOrigin) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// readBody reads a bounded request body.
func readBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "malformed", "the request ended early")
	}
	if len(body) > maxBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, "malformed", "the request is longer than 64 KiB")
	}
	return body, nil
}
