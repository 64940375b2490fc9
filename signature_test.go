package countersign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

type treeVectors struct {
	Keys map[string]struct {
		Private []byte `json:"private"`
		Public  []byte `json:"public"`
	} `json:"keys"`
	Trees []struct {
		Name     string          `json:"name"`
		Key      string          `json:"key"`
		Root     string          `json:"root"`
		Messages []vectorMessage `json:"messages"`
	} `json:"trees"`
	Refused []struct {
		Name string `json:"name"`
		Key  string `json:"key"`
		vectorMessage
	} `json:"refused"`
}

type vectorMessage struct {
	Domain  SignatureDomain `json:"domain"`
	Nonce   string          `json:"nonce"`
	Message []byte          `json:"message"`
	Wire    []byte          `json:"wire"`
}

func readTreeVectors(t testing.TB) *treeVectors {
	t.Helper()
	text, err := os.ReadFile("docs/spec/vectors/signature/tree.json")
	if err != nil {
		t.Fatal(err)
	}
	var v treeVectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Trees) < 9 || len(v.Refused) < 20 {
		t.Fatalf("%d trees and %d refused cases were read", len(v.Trees), len(v.Refused))
	}
	return &v
}

func (v *treeVectors) signer(t testing.TB, name string) crypto.Signer {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(v.Keys[name].Private)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

func (v *treeVectors) public(t testing.TB, name string) crypto.PublicKey {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(v.Keys[name].Public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestTreeVectors(t *testing.T) {
	v := readTreeVectors(t)
	for _, tree := range v.Trees {
		t.Run(tree.Name, func(t *testing.T) {
			var leaves []TreeLeaf
			for _, m := range tree.Messages {
				nonce, err := hex.DecodeString(m.Nonce)
				if err != nil {
					t.Fatal(err)
				}
				leaf, err := newTreeLeaf(m.Domain, TreeNonce(nonce), m.Message)
				if err != nil {
					t.Fatal(err)
				}
				leaves = append(leaves, leaf)
			}
			signed, err := SignTree(v.signer(t, tree.Key), leaves)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(signed.root[:]); got != tree.Root {
				t.Fatalf("root %s, want %s", got, tree.Root)
			}
			cache := NewRootCache(4)
			for i, m := range tree.Messages {
				if err := VerifyTree(v.public(t, tree.Key), m.Domain, m.Message, m.Wire, cache); err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				s, err := signed.Signature(i)
				if err != nil {
					t.Fatal(err)
				}
				wire, err := s.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				if signed.algorithm == AlgorithmEd25519 && !bytes.Equal(wire, m.Wire) {
					t.Errorf("message %d: the wire form drifted\n%x\n%x", i, wire, m.Wire)
				}
				if err := VerifyTree(v.public(t, tree.Key), m.Domain, m.Message, wire, cache); err != nil {
					t.Errorf("message %d, signed here: %v", i, err)
				}
			}
		})
	}
	// A warm cache must refuse them as well as none.
	warm := NewRootCache(64)
	for _, m := range v.Trees[4].Messages {
		if err := VerifyTree(v.public(t, "ed25519"), m.Domain, m.Message, m.Wire, warm); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range v.Refused {
		for _, cache := range []*RootCache{nil, warm} {
			if err := VerifyTree(v.public(t, c.Key), c.Domain, c.Message, c.Wire, cache); CodeOf(err) != CodeSignature {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
}

func newTestSigner(t interface{ Fatal(...any) }, alg SignatureAlgorithm) crypto.Signer {
	if alg == AlgorithmP256 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signWires(t interface{ Fatal(...any) }, signer crypto.Signer, domain SignatureDomain, messages ...[]byte) [][]byte {
	var leaves []TreeLeaf
	for _, m := range messages {
		leaf, err := NewTreeLeaf(domain, m)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leaf)
	}
	tree, err := SignTree(signer, leaves)
	if err != nil {
		t.Fatal(err)
	}
	var wires [][]byte
	for i := range leaves {
		s, err := tree.Signature(i)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		wires = append(wires, wire)
	}
	return wires
}

func TestEveryChangeBreaksATreeSignature(t *testing.T) {
	signers := []crypto.Signer{newTestSigner(t, AlgorithmEd25519), newTestSigner(t, AlgorithmP256)}
	stranger := newTestSigner(t, AlgorithmEd25519).Public()
	rapid.Check(t, func(t *rapid.T) {
		signer := rapid.SampledFrom(signers).Draw(t, "signer")
		messages := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 1, 40).Draw(t, "messages")
		wires := signWires(t, signer, DomainRequest, messages...)
		i := rapid.IntRange(0, len(messages)-1).Draw(t, "i")
		cache := NewRootCache(8)
		if err := VerifyTree(signer.Public(), DomainRequest, messages[i], wires[i], cache); err != nil {
			t.Fatal(err)
		}
		refused := func(what string, err error) {
			if CodeOf(err) != CodeSignature {
				t.Fatalf("%s: %v", what, err)
			}
		}
		changed := bytes.Clone(wires[i])
		bit := rapid.IntRange(0, len(changed)*8-1).Draw(t, "bit")
		changed[bit/8] ^= 1 << (bit % 8)
		refused("flipped bit", VerifyTree(signer.Public(), DomainRequest, messages[i], changed, cache))
		longer := append(bytes.Clone(messages[i]), 0)
		refused("longer message", VerifyTree(signer.Public(), DomainRequest, longer, wires[i], cache))
		if len(messages[i]) > 0 {
			other := bytes.Clone(messages[i])
			bit := rapid.IntRange(0, len(other)*8-1).Draw(t, "message bit")
			other[bit/8] ^= 1 << (bit % 8)
			refused("changed message", VerifyTree(signer.Public(), DomainRequest, other, wires[i], cache))
		}
		refused("direction", VerifyTree(signer.Public(), DomainResponse, messages[i], wires[i], cache))
		refused("stranger", VerifyTree(stranger, DomainRequest, messages[i], wires[i], cache))
		j := rapid.IntRange(0, len(messages)-1).Draw(t, "j")
		if !bytes.Equal(messages[i], messages[j]) {
			refused("neighbour's signature", VerifyTree(signer.Public(), DomainRequest, messages[i], wires[j], cache))
		}
	})
}

func TestPathLengthIsThatOfTheLibrary(t *testing.T) {
	var stored storedHashes
	for n := range MaxTreeSize {
		hashes, err := tlog.StoredHashes(int64(n), []byte{byte(n)}, stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		for _, i := range []int{0, 1, n / 3, n / 2, n - 1, n} {
			if i < 0 || i > n {
				continue
			}
			path, err := tlog.ProveRecord(int64(n+1), int64(i), stored)
			if err != nil {
				t.Fatal(err)
			}
			if len(path) != pathLength(i, n+1) {
				t.Fatalf("index %d of %d: %d hashes, not %d", i, n+1, len(path), pathLength(i, n+1))
			}
		}
	}
}

func TestTreeSignatureForm(t *testing.T) {
	good := TreeSignature{Algorithm: AlgorithmEd25519, Index: 2, Size: 3, Path: make(tlog.RecordProof, 1), Signature: make([]byte, 64)}
	if _, err := good.Marshal(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*TreeSignature){
		"algorithm":       func(s *TreeSignature) { s.Algorithm = AlgorithmTree },
		"no algorithm":    func(s *TreeSignature) { s.Algorithm = "" },
		"size 0":          func(s *TreeSignature) { s.Size = 0 },
		"size 1025":       func(s *TreeSignature) { s.Size = MaxTreeSize + 1 },
		"index":           func(s *TreeSignature) { s.Index = 3 },
		"negative index":  func(s *TreeSignature) { s.Index = -1 },
		"path":            func(s *TreeSignature) { s.Path = nil },
		"short signature": func(s *TreeSignature) { s.Signature = s.Signature[1:] },
	} {
		s := good
		change(&s)
		if _, err := s.Marshal(); CodeOf(err) != CodeSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTreeSignatureHasOneLength(t *testing.T) {
	for _, tree := range readTreeVectors(t).Trees {
		for _, m := range tree.Messages {
			for _, b := range [][]byte{m.Wire[:len(m.Wire)-1], append(bytes.Clone(m.Wire), 0), append(bytes.Clone(m.Wire), make([]byte, 32)...)} {
				if _, err := ParseTreeSignature(b); CodeOf(err) != CodeSignature {
					t.Errorf("%d bytes in place of %d: %v", len(b), len(m.Wire), err)
				}
			}
		}
	}
}

// derSigner stands for a key behind an interface whose answers may be wrong.
type derSigner struct {
	crypto.PublicKey
	answer []byte
	err    error
}

func (s derSigner) Public() crypto.PublicKey { return s.PublicKey }

func (s derSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.answer, s.err }

func TestSigningKeyThatFails(t *testing.T) {
	ed, p := newTestSigner(t, AlgorithmEd25519).Public(), newTestSigner(t, AlgorithmP256).Public()
	broken := errors.New("session lost")
	for name, s := range map[string]derSigner{
		"error":             {ed, nil, broken},
		"P-256 error":       {p, nil, broken},
		"short":             {ed, make([]byte, 63), nil},
		"no DER":            {p, []byte("nothing"), nil},
		"zero":              {p, []byte{0x30, 6, 2, 1, 0, 2, 1, 0}, nil},
		"negative":          {p, []byte{0x30, 6, 2, 1, 0xff, 2, 1, 1}, nil},
		"trailing":          {p, []byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}, nil},
		"too long a number": {p, append([]byte{0x30, 0x26, 2, 0x21, 1}, append(make([]byte, 32), 2, 1, 1)...), nil},
	} {
		_, err := SignPlain(s, []byte("message"))
		if err == nil || CodeOf(err) != CodeInternal {
			t.Errorf("%s: %v", name, err)
		}
		if s.err != nil && !errors.Is(err, broken) {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
	if sig, err := SignPlain(derSigner{p, []byte{0x30, 6, 2, 1, 1, 2, 1, 2}, nil}, nil); err != nil || sig[31] != 1 || sig[63] != 2 {
		t.Errorf("small numbers are padded: %x %v", sig, err)
	}
}

func TestOtherKindsOfKeyAreRefused(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, pub := range []crypto.PublicKey{nil, r.Public(), p384.Public(), ed25519.PublicKey{1}, (*ecdsa.PublicKey)(nil), "text"} {
		if _, err := AlgorithmOf(pub); CodeOf(err) != CodeSignature {
			t.Errorf("%T: %v", pub, err)
		}
		if _, err := KeyIDOf(pub); CodeOf(err) != CodeSignature {
			t.Errorf("%T: %v", pub, err)
		}
		if err := VerifyPlain(pub, nil, make([]byte, 64)); CodeOf(err) != CodeSignature {
			t.Errorf("%T: %v", pub, err)
		}
		if err := VerifyTree(pub, DomainRequest, nil, nil, nil); CodeOf(err) != CodeSignature {
			t.Errorf("%T: %v", pub, err)
		}
	}
}

func TestDomains(t *testing.T) {
	for _, d := range []SignatureDomain{"", "a\x00b", "café", SignatureDomain(make([]byte, 65)), "line\n"} {
		if _, err := NewTreeLeaf(d, nil); CodeOf(err) != CodeSignature {
			t.Errorf("%q: %v", d, err)
		}
	}
}

func TestRootCacheIsBoundedAndExact(t *testing.T) {
	signer := newTestSigner(t, AlgorithmEd25519)
	cache := NewRootCache(8)
	message := []byte("m")
	var first []byte
	for i := range 100 {
		wire := signWires(t, signer, DomainReceipt, message)[0]
		if i == 0 {
			first = wire
		}
		for range 2 {
			if err := VerifyTree(signer.Public(), DomainReceipt, message, wire, cache); err != nil {
				t.Fatal(err)
			}
		}
		if cache.Len() < 1 || cache.Len() > 8 {
			t.Fatalf("%d roots are remembered", cache.Len())
		}
	}
	if err := VerifyTree(signer.Public(), DomainReceipt, message, first, cache); err != nil {
		t.Errorf("a forgotten root: %v", err)
	}
	// A signature that never was valid leaves nothing behind.
	bad := bytes.Clone(first)
	bad[len(bad)-1] ^= 1
	fresh := NewRootCache(8)
	for range 3 {
		if err := VerifyTree(signer.Public(), DomainReceipt, message, bad, fresh); CodeOf(err) != CodeSignature {
			t.Fatal(err)
		}
	}
	if fresh.Len() != 0 {
		t.Errorf("%d failures are remembered", fresh.Len())
	}
	var zero RootCache
	if err := VerifyTree(signer.Public(), DomainReceipt, message, first, &zero); err != nil || zero.Len() != 0 {
		t.Errorf("the zero cache: %v, %d", err, zero.Len())
	}
}

func TestRootCacheConcurrently(t *testing.T) {
	signer, stranger := newTestSigner(t, AlgorithmP256), newTestSigner(t, AlgorithmP256)
	var messages [][]byte
	for i := range 64 {
		messages = append(messages, fmt.Append(nil, i))
	}
	wires := signWires(t, signer, DomainRequest, messages...)
	cache := NewRootCache(4)
	var group sync.WaitGroup
	for i, m := range messages {
		group.Go(func() {
			if err := VerifyTree(signer.Public(), DomainRequest, m, wires[i], cache); err != nil {
				t.Error(err)
			}
			if err := VerifyTree(stranger.Public(), DomainRequest, m, wires[i], cache); CodeOf(err) != CodeSignature {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if cache.Len() != 1 {
		t.Errorf("%d roots are remembered", cache.Len())
	}
}

func FuzzParseTreeSignature(f *testing.F) {
	v := readTreeVectors(f)
	for _, tree := range v.Trees {
		for _, m := range tree.Messages {
			f.Add(m.Wire)
		}
	}
	for _, c := range v.Refused {
		f.Add(c.Wire)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseTreeSignature(b)
		if err != nil {
			if CodeOf(err) != CodeSignature {
				t.Fatal(err)
			}
			return
		}
		again, err := s.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x came back as %x (%v)", b, again, err)
		}
	})
}

func TestKeyID(t *testing.T) {
	v := readTreeVectors(t)
	id, err := KeyIDOf(v.public(t, "ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(id))
	if err != nil || len(raw) != 32 || len(id) != 43 {
		t.Fatalf("%s: %v", id, err)
	}
	if other, err := KeyIDOf(v.public(t, "other")); err != nil || other == id {
		t.Fatalf("two keys share a name: %v", err)
	}
}

func TestLongestPathFitsItsRoom(t *testing.T) {
	for i := range MaxTreeSize {
		if n := pathLength(i, MaxTreeSize); n > maxTreePath {
			t.Fatalf("the path of message %d has %d hashes: %d fit", i, n, maxTreePath)
		}
	}
}

func BenchmarkTree(b *testing.B) {
	for _, alg := range []SignatureAlgorithm{AlgorithmEd25519, AlgorithmP256} {
		signer := newTestSigner(b, alg)
		pub := signer.Public()
		for _, size := range []int{1, 16, 64, 256} {
			messages := make([][]byte, size)
			for i := range messages {
				messages[i] = bytes.Repeat([]byte{byte(i)}, 800)
			}
			b.Run(fmt.Sprintf("sign/%s/%d", alg, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					signWires(b, signer, DomainRequest, messages...)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/message")
			})
			wires := signWires(b, signer, DomainRequest, messages...)
			b.Run(fmt.Sprintf("verify/%s/%d", alg, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					cache := NewRootCache(16)
					for i := range messages {
						if err := VerifyTree(pub, DomainRequest, messages[i], wires[i], cache); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/message")
			})
		}
	}
}
