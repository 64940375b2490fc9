package countersign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// testKey is an Ed25519 key that follows from its name: for tests and vectors only.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("countersign test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// vkey writes a verifier key by hand.
//
// SPEC: C2SP signed-note: the key ID is the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ key); type 0x01 Ed25519, 0x04 cosignature/v1.
func vkey(name string, kind byte, key ed25519.PrivateKey) string {
	return fmt.Sprintf("%s+%08x+%s", name, keyID(name, kind, key), base64.StdEncoding.EncodeToString(append([]byte{kind}, publicOf(key)...)))
}

func keyID(name string, kind byte, key ed25519.PrivateKey) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"+string(kind)), publicOf(key)...))
	return binary.BigEndian.Uint32(sum[:])
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// noteLine is one signature line of a signed note.
func noteLine(name string, kind byte, key ed25519.PrivateKey, sig []byte) string {
	b := binary.BigEndian.AppendUint32(nil, keyID(name, kind, key))
	return fmt.Sprintf("— %s %s\n", name, base64.StdEncoding.EncodeToString(append(b, sig...)))
}

// testLog is a small log that signs promises and checkpoints.
type testLog struct {
	origin string
	key    ed25519.PrivateKey
	leaves [][]byte
	stored storedHashes
}

func newTestLog(t testing.TB, origin string, leaves ...[]byte) *testLog {
	t.Helper()
	l := &testLog{origin: origin, key: testKey(origin), leaves: leaves}
	for i, leaf := range leaves {
		hashes, err := tlog.StoredHashes(int64(i), leaf, l.stored)
		if err != nil {
			t.Fatal(err)
		}
		l.stored = append(l.stored, hashes...)
	}
	return l
}

func (l *testLog) vkey() string { return vkey(l.origin, 1, l.key) }

// promise signs the promise for one leaf under a nonce that follows from the index, so that vectors stay as they are.
func (l *testLog) promise(t testing.TB, p *Promise) (text, signature []byte) {
	t.Helper()
	text = p.Encode()
	leaf, err := newTreeLeaf(DomainReceipt, TreeNonce(sha256.New().Sum(nil)[:treeNonceSize]), text)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := SignTree(l.key, []TreeLeaf{leaf})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tree.Signature(0)
	if err != nil {
		t.Fatal(err)
	}
	if signature, err = s.Marshal(); err != nil {
		t.Fatal(err)
	}
	return text, signature
}

// checkpoint signs the tree of all leaves; witnesses cosign it.
//
// SPEC: C2SP tlog-cosignature: "cosignature/v1", "time" and the checkpoint's text are signed; the signature is a timestamp and 64 bytes.
func (l *testLog) checkpoint(t testing.TB, witnesses ...string) string {
	t.Helper()
	root, err := tlog.TreeHash(int64(len(l.leaves)), l.stored)
	if err != nil {
		t.Fatal(err)
	}
	text := string(log.Checkpoint{Origin: l.origin, Size: uint64(len(l.leaves)), Hash: root[:]}.Marshal())
	out := text + "\n" + noteLine(l.origin, 1, l.key, ed25519.Sign(l.key, []byte(text)))
	for _, name := range witnesses {
		const at = 1772366402
		key := testKey(name)
		sig := binary.BigEndian.AppendUint64(nil, at)
		sig = append(sig, ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))...)
		out += noteLine(name, 4, key, sig)
	}
	return out
}

func (l *testLog) proof(t testing.TB, index int, checkpoint string) string {
	t.Helper()
	path, err := tlog.ProveRecord(int64(len(l.leaves)), int64(index), l.stored)
	if err != nil {
		t.Fatal(err)
	}
	p := proof.TLogProof{Index: uint64(index), Checkpoint: []byte(checkpoint)}
	for _, h := range path {
		p.Hashes = append(p.Hashes, h)
	}
	return string(p.Marshal())
}

// quorumText is a policy of two organisations, the first with two witnesses: both organisations are needed.
func quorumText() string {
	return "witness archive-a " + vkey("archive-a", 4, testKey("archive-a")) + " https://a.archive.example\n" +
		"witness archive-b " + vkey("archive-b", 4, testKey("archive-b")) + " https://b.archive.example\n" +
		"witness bar " + vkey("bar", 4, testKey("bar")) + " https://witness.bar.example\n" +
		"group archive any archive-a archive-b\n" +
		"group association any bar\n" +
		"group organisations 2 archive association\n" +
		"quorum organisations\n"
}

// scene is a receipt that is good in every link, and the logs behind it.
type scene struct {
	provider, other *testLog
	policyText      string
	receipt         *Receipt
	salt            Salt
	index           int
}

func newScene(t testing.TB) *scene {
	t.Helper()
	st := sampleStatement()
	sc := &scene{salt: JoinSalt(SaltHalf{1}, SaltHalf{2}), index: 3}
	leaf := ExchangeLeaf(st, SideProvider, st.Outcome, sc.salt.Commit(st.Encode())).Encode()
	var leaves [][]byte
	for i := range 7 {
		leaves = append(leaves, (&Leaf{Kind: LeafExchange, Hour: HourOf(st.Answered.Time()), Commitment: Commitment{byte(i)}}).Encode())
	}
	leaves[sc.index] = leaf
	sc.provider = newTestLog(t, "population.example/log", leaves...)
	sc.other = newTestLog(t, "vehicles.example/log", leaves...)
	sc.policyText = "log " + sc.provider.vkey() + " https://population.example/log\n" + quorumText()
	promise := &Promise{Origin: LogOrigin(sc.provider.origin), Index: uint64(sc.index), Leaf: LeafHash(leaf), Time: st.Answered + 4}
	text, signature := sc.provider.promise(t, promise)
	sc.receipt = &Receipt{
		Format: ReceiptFormat, Promise: text, Signature: signature, Leaf: leaf, Statement: st.Encode(), Salt: slices.Clone(sc.salt[:]),
		Proof: sc.provider.proof(t, sc.index, sc.provider.checkpoint(t, "archive-a", "bar")),
	}
	return sc
}

// restate puts another statement into the receipt, with leaf, promise and proof that fit it in every way.
func (sc *scene) restate(t testing.TB, st *Statement, change func(*Leaf)) {
	t.Helper()
	leaf := ExchangeLeaf(st, SideProvider, st.Outcome, sc.salt.Commit(st.Encode()))
	change(leaf)
	leaves := slices.Clone(sc.provider.leaves)
	leaves[sc.index] = leaf.Encode()
	sc.provider = newTestLog(t, sc.provider.origin, leaves...)
	r := sc.receipt
	r.Leaf, r.Statement = leaf.Encode(), st.Encode()
	r.Promise, r.Signature = sc.provider.promise(t, &Promise{Origin: LogOrigin(sc.provider.origin), Index: uint64(sc.index), Leaf: LeafHash(r.Leaf), Time: st.Answered})
	r.Proof = sc.provider.proof(t, sc.index, sc.provider.checkpoint(t, "archive-a", "bar"))
}

// repromise signs the receipt's promise anew after a change of it.
func (sc *scene) repromise(t testing.TB, by *testLog, change func(*Promise)) {
	t.Helper()
	p, err := ParsePromise(sc.receipt.Promise)
	if err != nil {
		t.Fatal(err)
	}
	change(p)
	sc.receipt.Promise, sc.receipt.Signature = by.promise(t, p)
}
