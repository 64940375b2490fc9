package mandate

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
)

// testKey is an Ed25519 key that follows from its name.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("countersign mandate test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func noteID(name string, kind byte, key ed25519.PrivateKey) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"+string(kind)), public(key)...))
	return binary.BigEndian.Uint32(sum[:])
}

func vkey(name string, kind byte, key ed25519.PrivateKey) string {
	return fmt.Sprintf("%s+%08x+%s", name, noteID(name, kind, key), base64.StdEncoding.EncodeToString(append([]byte{kind}, public(key)...)))
}

func noteLine(name string, kind byte, key ed25519.PrivateKey, sig []byte) string {
	b := binary.BigEndian.AppendUint32(nil, noteID(name, kind, key))
	return fmt.Sprintf("— %s %s\n", name, base64.StdEncoding.EncodeToString(append(b, sig...)))
}

type hashes []tlog.Hash

// ReadHashes reads from memory.
func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = h[x]
	}
	return out, nil
}

const witnessName = "archive"

// logPolicy is a policy of one witness over the logs.
func logPolicy(t testing.TB, origins ...string) *countersign.Policy {
	t.Helper()
	text := ""
	for _, o := range origins {
		text += "log " + vkey(o, 1, testKey(o)) + "\n"
	}
	text += "witness " + witnessName + " " + vkey(witnessName, 4, testKey(witnessName)) + " https://archive.example\nquorum " + witnessName + "\n"
	p, err := countersign.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// receipt puts a leaf into a log of its own after another leaf, promises it at an instant, and has the checkpoint cosigned if wanted.
func receipt(t testing.TB, origin string, leaf *countersign.Leaf, since time.Time, cosigned bool) *countersign.Receipt {
	t.Helper()
	key := testKey(origin)
	encoded := leaf.Encode()
	var stored hashes
	for i, l := range [][]byte{(&countersign.Leaf{Kind: countersign.LeafInception}).Encode(), encoded} {
		h, err := tlog.StoredHashes(int64(i), l, stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, h...)
	}
	promise := (&countersign.Promise{Origin: countersign.LogOrigin(origin), Index: 1, Leaf: countersign.LeafHash(encoded), Time: countersign.MillisOf(since)}).Encode()
	r := &countersign.Receipt{Format: countersign.ReceiptFormat, Promise: promise, Leaf: encoded, Signature: signTree(t, key, promise)}
	if !cosigned {
		return r
	}
	root, err := tlog.TreeHash(2, stored)
	if err != nil {
		t.Fatal(err)
	}
	text := string(log.Checkpoint{Origin: origin, Size: 2, Hash: root[:]}.Marshal())
	at := since.Unix() + 1
	witness := testKey(witnessName)
	sig := append(binary.BigEndian.AppendUint64(nil, uint64(at)), ed25519.Sign(witness, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))...)
	checkpoint := text + "\n" + noteLine(origin, 1, key, ed25519.Sign(key, []byte(text))) + noteLine(witnessName, 4, witness, sig)
	path, err := tlog.ProveRecord(2, 1, stored)
	if err != nil {
		t.Fatal(err)
	}
	p := proof.TLogProof{Index: 1, Checkpoint: []byte(checkpoint)}
	for _, h := range path {
		p.Hashes = append(p.Hashes, h)
	}
	r.Proof = string(p.Marshal())
	return r
}

func signTree(t testing.TB, key ed25519.PrivateKey, message []byte) []byte {
	t.Helper()
	leaf, err := countersign.NewTreeLeaf(countersign.DomainReceipt, message)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := countersign.SignTree(key, []countersign.TreeLeaf{leaf})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tree.Signature(0)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
