package countersign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// SignatureAlgorithm names how a message is signed, as the alg parameter of RFC 9421 spells it.
type SignatureAlgorithm string

// The algorithms that gateways accept from one another.
const (
	// AlgorithmTree signs the root of a small Merkle tree of message digests: one signature serves a group of messages, and its
	// verification serves every message of the group. See [TreeSignature] for its form.
	AlgorithmTree SignatureAlgorithm = "countersign-tree"
	// AlgorithmEd25519 signs one message by itself.
	AlgorithmEd25519 SignatureAlgorithm = "ed25519"
	// AlgorithmP256 signs one message by itself; the signature is r || s, 64 bytes.
	AlgorithmP256 SignatureAlgorithm = "ecdsa-p256-sha256"
)

// SignatureDomain says what a signed message is and which way it travels, so that a signature made for one use proves nothing in
// another. It is 1 to 64 printable ASCII characters.
type SignatureDomain string

// The domains of messages between gateways; DomainReceipt is a receipt's. A new use takes a new domain.
const (
	DomainRequest  SignatureDomain = "countersign-tree request"  // consumer's gateway to provider's gateway
	DomainResponse SignatureDomain = "countersign-tree response" // provider's gateway to consumer's gateway
	DomainTrailer  SignatureDomain = "countersign-tree trailer"  // the digest at the end of a streamed answer
)

func (d SignatureDomain) check() error {
	if d == "" || len(d) > 64 {
		return Refuse(CodeSignature, "a signature domain has 1 to 64 characters, not %d", len(d))
	}
	for i := range len(d) {
		if d[i] < 0x20 || d[i] > 0x7e {
			return Refuse(CodeSignature, "a signature domain holds printable ASCII only")
		}
	}
	return nil
}

// KeyID names a public key: the SHA-256 of its SubjectPublicKeyInfo in unpadded base64url, 43 characters.
type KeyID string

// KeyIDOf names a public key. The key is Ed25519 or P-256; any other kind is refused.
func KeyIDOf(pub crypto.PublicKey) (KeyID, error) {
	if _, err := AlgorithmOf(pub); err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", RefuseBecause(CodeSignature, err, "a public key cannot be encoded: give a valid Ed25519 or P-256 key")
	}
	sum := sha256.Sum256(der)
	return KeyID(base64.RawURLEncoding.EncodeToString(sum[:])), nil
}

// AlgorithmOf is the plain algorithm of a key: AlgorithmEd25519 or AlgorithmP256. Every other kind of key is refused.
func AlgorithmOf(pub crypto.PublicKey) (SignatureAlgorithm, error) {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return AlgorithmEd25519, nil
		}
	case *ecdsa.PublicKey:
		if k != nil && k.Curve == elliptic.P256() {
			return AlgorithmP256, nil
		}
	}
	return "", Refuse(CodeSignature, "a key of kind %T does not sign messages: use Ed25519 or P-256", pub)
}

// plainSignatureSize is the length of an Ed25519 signature and of r || s of P-256.
const plainSignatureSize = 64

// SignPlain signs one message by itself, with the algorithm of the signer's key: 64 bytes. The key may live in hardware.
//
// SPEC: RFC 9421 3.3.4: the ECDSA signature is r and s as 32-octet big-endian integers, concatenated.
func SignPlain(signer crypto.Signer, message []byte) ([]byte, error) {
	alg, err := AlgorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	if alg == AlgorithmEd25519 {
		sig, err := signer.Sign(rand.Reader, message, crypto.Hash(0))
		if err != nil {
			return nil, RefuseBecause(CodeInternal, err, "the signing key failed")
		}
		if len(sig) != plainSignatureSize {
			return nil, Refuse(CodeInternal, "the signing key gave %d bytes where an Ed25519 signature has 64", len(sig))
		}
		return sig, nil
	}
	sum := sha256.Sum256(message)
	der, err := signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, RefuseBecause(CodeInternal, err, "the signing key failed")
	}
	var rs struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &rs)
	if err != nil || len(rest) != 0 || rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
		return nil, RefuseBecause(CodeInternal, err, "the signing key gave something that is no ECDSA P-256 signature")
	}
	sig := make([]byte, plainSignatureSize)
	rs.R.FillBytes(sig[:32])
	rs.S.FillBytes(sig[32:])
	return sig, nil
}

// VerifyPlain checks a signature that SignPlain made. Every failure is a CodeSignature refusal.
func VerifyPlain(pub crypto.PublicKey, message, sig []byte) error {
	if _, err := AlgorithmOf(pub); err != nil {
		return err
	}
	if len(sig) != plainSignatureSize {
		return Refuse(CodeSignature, "a signature has %d bytes: 64 are due", len(sig))
	}
	ok := false
	switch k := pub.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, message, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		ok = ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	}
	if !ok {
		return Refuse(CodeSignature, "a signature does not match the message and the key")
	}
	return nil
}

const (
	// MaxTreeSize bounds how many messages share one root.
	MaxTreeSize = 1024

	treeVersion   = 1
	treeHeadSize  = 1 + 1 + 2 + 2 + tlog.HashSize + treeNonceSize
	treeNonceSize = 16
	treePrefix    = "countersign-tree\n"
)

// treeAlgorithms gives the wire's algorithm byte. Zero is nothing.
var treeAlgorithms = [...]SignatureAlgorithm{1: AlgorithmEd25519, 2: AlgorithmP256}

// TreeNonce makes a leaf's hash unguessable: a sibling in someone else's inclusion path tells nothing about the message beneath it.
type TreeNonce [treeNonceSize]byte

// TreeSignature is the signature of one message under the algorithm countersign-tree. Its wire form, every integer big-endian:
//
//	version     1 byte, 1
//	algorithm   1 byte: 1 Ed25519, 2 ECDSA P-256 with SHA-256
//	index       2 bytes, the message's place in the tree
//	size        2 bytes, 1 to 1024
//	root        32 bytes
//	nonce       16 bytes
//	path        32 bytes each; how many follows from index and size (RFC 9162 2.1.3)
//	signature   64 bytes, over "countersign-tree\n" || uint32 size || root
//
// The leaf is RFC 9162's hash of: domain || 0x00 || nonce || SHA-256(message).
type TreeSignature struct {
	Algorithm SignatureAlgorithm // of the root's signature: AlgorithmEd25519 or AlgorithmP256
	Index     int                // 0 to Size-1
	Size      int                // 1 to MaxTreeSize
	Root      tlog.Hash
	Nonce     TreeNonce
	Path      tlog.RecordProof
	Signature []byte // 64 bytes
}

// pathLength is the number of hashes of an inclusion path.
func pathLength(index, size int) int {
	n := 0
	for size > 1 {
		k := 1
		for k*2 < size {
			k *= 2
		}
		if index < k {
			size = k
		} else {
			index, size = index-k, size-k
		}
		n++
	}
	return n
}

// Marshal writes the wire form. It refuses what ParseTreeSignature would refuse.
func (s TreeSignature) Marshal() ([]byte, error) {
	alg := byte(0)
	for i, name := range treeAlgorithms {
		if name != "" && name == s.Algorithm {
			alg = byte(i)
		}
	}
	switch {
	case alg == 0:
		return nil, Refuse(CodeSignature, "tree signature: algorithm %q is not known", s.Algorithm)
	case s.Size < 1 || s.Size > MaxTreeSize || s.Index < 0 || s.Index >= s.Size:
		return nil, Refuse(CodeSignature, "tree signature: index %d of size %d: size is 1 to %d", s.Index, s.Size, MaxTreeSize)
	case len(s.Path) != pathLength(s.Index, s.Size):
		return nil, Refuse(CodeSignature, "tree signature: the path has %d hashes: %d are due", len(s.Path), pathLength(s.Index, s.Size))
	case len(s.Signature) != plainSignatureSize:
		return nil, Refuse(CodeSignature, "tree signature: the signature has %d bytes: 64 are due", len(s.Signature))
	}
	b := make([]byte, 0, treeHeadSize+len(s.Path)*tlog.HashSize+plainSignatureSize)
	b = append(b, treeVersion, alg)
	b = binary.BigEndian.AppendUint16(b, uint16(s.Index)) //nolint:gosec // bounded above
	b = binary.BigEndian.AppendUint16(b, uint16(s.Size))
	b = append(b, s.Root[:]...)
	b = append(b, s.Nonce[:]...)
	for _, h := range s.Path {
		b = append(b, h[:]...)
	}
	return append(b, s.Signature...), nil
}

// ParseTreeSignature reads the wire form: exactly one spelling for each signature, nothing before or after it. It checks the form only.
// The result does not share memory with b.
func ParseTreeSignature(b []byte) (TreeSignature, error) {
	s, path, err := readTree(b, nil)
	s.Path, s.Signature = path, bytes.Clone(s.Signature)
	return s, err
}

// maxTreePath is how long the path in a tree of MaxTreeSize is.
const maxTreePath = 10

// readTree is ParseTreeSignature for whoever keeps nothing of the result: the signature shares memory with b, and the path, which comes beside it, lies
// in room where it fits.
func readTree(b []byte, room tlog.RecordProof) (s TreeSignature, path tlog.RecordProof, err error) {
	if len(b) < treeHeadSize+plainSignatureSize {
		return s, nil, Refuse(CodeSignature, "tree signature: %d bytes are too few", len(b))
	}
	if b[0] != treeVersion {
		return s, nil, Refuse(CodeSignature, "tree signature: version %d is not known", b[0])
	}
	if b[1] == 0 || int(b[1]) >= len(treeAlgorithms) {
		return s, nil, Refuse(CodeSignature, "tree signature: algorithm %d is not known", b[1])
	}
	index, size := int(binary.BigEndian.Uint16(b[2:])), int(binary.BigEndian.Uint16(b[4:]))
	if size < 1 || size > MaxTreeSize || index >= size {
		return s, nil, Refuse(CodeSignature, "tree signature: index %d of size %d: size is 1 to %d", index, size, MaxTreeSize)
	}
	hashes := pathLength(index, size)
	if want := treeHeadSize + hashes*tlog.HashSize + plainSignatureSize; len(b) != want {
		return s, nil, Refuse(CodeSignature, "tree signature: %d bytes where %d are due", len(b), want)
	}
	s.Algorithm, s.Index, s.Size = treeAlgorithms[b[1]], index, size
	b = b[6:]
	b = b[copy(s.Root[:], b):]
	b = b[copy(s.Nonce[:], b):]
	path = slices.Grow(room, hashes)[:hashes]
	for i := range path {
		b = b[copy(path[i][:], b):]
	}
	s.Signature = b
	return s, path, nil
}

// rootBytes is what the key signs: no other signed thing of Countersign begins with these bytes.
func rootBytes(size int, root tlog.Hash) []byte {
	b := make([]byte, 0, len(treePrefix)+4+len(root))
	b = append(b, treePrefix...)
	b = binary.BigEndian.AppendUint32(b, uint32(size)) //nolint:gosec // 1 to 1024
	return append(b, root[:]...)
}

// TreeLeaf is one message on its way into a tree.
type TreeLeaf struct {
	hash  tlog.Hash
	nonce TreeNonce
}

// NewTreeLeaf digests a message with a fresh nonce. The message is not kept.
func NewTreeLeaf(domain SignatureDomain, message []byte) (TreeLeaf, error) {
	var nonce TreeNonce
	_, _ = rand.Read(nonce[:]) // crypto/rand.Read never fails (Go 1.24)
	return newTreeLeaf(domain, nonce, message)
}

func newTreeLeaf(domain SignatureDomain, nonce TreeNonce, message []byte) (TreeLeaf, error) {
	if err := domain.check(); err != nil {
		return TreeLeaf{}, err
	}
	sum := sha256.Sum256(message)
	data := make([]byte, 0, 64+1+treeNonceSize+sha256.Size)
	data = append(data, domain...)
	data = append(data, 0)
	data = append(data, nonce[:]...)
	data = append(data, sum[:]...)
	return TreeLeaf{tlog.RecordHash(data), nonce}, nil
}

// SignedTree is a signed group of leaves. It is immutable, so that each message's owner may take its signature concurrently.
type SignedTree struct {
	algorithm SignatureAlgorithm
	leaves    []TreeLeaf
	stored    storedHashes
	root      tlog.Hash
	signature []byte
}

type storedHashes []tlog.Hash

// ReadHashes implements tlog.HashReader.
func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(s)) {
			return nil, Refuse(CodeInternal, "hash %d of a tree with %d stored hashes", x, len(s))
		}
		out[i] = s[x]
	}
	return out, nil
}

// SignTree puts 1 to MaxTreeSize leaves under one signature. The slice belongs to the tree from then on.
func SignTree(signer crypto.Signer, leaves []TreeLeaf) (*SignedTree, error) {
	if len(leaves) < 1 || len(leaves) > MaxTreeSize {
		return nil, Refuse(CodeInternal, "a tree of %d messages: 1 to %d share a root", len(leaves), MaxTreeSize)
	}
	alg, err := AlgorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	t := &SignedTree{algorithm: alg, leaves: leaves, stored: make(storedHashes, 0, 2*len(leaves))}
	for i, l := range leaves {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), l.hash, &t.stored)
		if err != nil {
			return nil, RefuseBecause(CodeInternal, err, "a signature tree could not be built")
		}
		t.stored = append(t.stored, hashes...)
	}
	if t.root, err = tlog.TreeHash(int64(len(leaves)), &t.stored); err != nil {
		return nil, RefuseBecause(CodeInternal, err, "a signature tree could not be built")
	}
	t.signature, err = SignPlain(signer, rootBytes(len(leaves), t.root))
	return t, err
}

// Signature is the signature of the leaf at index, in memory form.
func (t *SignedTree) Signature(index int) (TreeSignature, error) {
	if index < 0 || index >= len(t.leaves) {
		return TreeSignature{}, Refuse(CodeInternal, "message %d of a tree of %d", index, len(t.leaves))
	}
	path, err := tlog.ProveRecord(int64(len(t.leaves)), int64(index), &t.stored)
	if err != nil {
		return TreeSignature{}, RefuseBecause(CodeInternal, err, "a signature tree could not be proved")
	}
	return TreeSignature{
		Algorithm: t.algorithm, Index: index, Size: len(t.leaves), Root: t.root,
		Nonce: t.leaves[index].nonce, Path: path, Signature: t.signature,
	}, nil
}

// VerifyTree checks the wire form sig of a countersign-tree signature of message in domain under pub. A cache saves the public-key
// operation for messages of one group; nil verifies each anew. Every failure is a CodeSignature refusal.
func VerifyTree(pub crypto.PublicKey, domain SignatureDomain, message, sig []byte, cache *RootCache) error {
	alg, err := AlgorithmOf(pub)
	if err != nil {
		return err
	}
	var room [maxTreePath]tlog.Hash
	s, path, err := readTree(sig, room[:0])
	if err != nil {
		return err
	}
	if s.Algorithm != alg {
		return Refuse(CodeSignature, "tree signature: made with %s, but the key is for %s", s.Algorithm, alg)
	}
	leaf, err := newTreeLeaf(domain, s.Nonce, message)
	if err != nil {
		return err
	}
	// The path first: it is cheap, so that a message that is not in the tree costs no public-key operation.
	if err := tlog.CheckRecord(path, int64(s.Size), s.Root, int64(s.Index), leaf.hash); err != nil {
		return RefuseBecause(CodeSignature, err, "tree signature: the message is not under the signed root")
	}
	return cache.verify(pub, s)
}
