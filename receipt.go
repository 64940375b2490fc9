package countersign

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Promise is what a log signs when a record is durable: this leaf stands at this index of this log, since this time.
// A log that later cannot show it has left signed evidence against itself.
type Promise struct {
	Origin LogOrigin `json:"origin"`
	Index  uint64    `json:"index"`
	Leaf   Digest    `json:"leaf"` // LeafHash of the encoded leaf
	Time   Millis    `json:"time"`
}

const promiseVersion = 1

type wirePromise struct {
	Version uint8
	Origin  string
	Index   uint64
	Leaf    []byte
	Millis  uint64
}

// DomainReceipt is the signature domain of promises.
const DomainReceipt SignatureDomain = "countersign-tree receipt"

// Encode writes the promise in deterministic CBOR: the bytes that the log's key signs under DomainReceipt.
func (p *Promise) Encode() []byte {
	return encodeCBOR(&wirePromise{promiseVersion, string(p.Origin), p.Index, p.Leaf[:], uint64(p.Time)})
}

// ParsePromise reads what Encode writes and nothing else.
func ParsePromise(b []byte) (*Promise, error) {
	var w wirePromise
	if err := decodeCBOR(b, &w, "promise"); err != nil {
		return nil, err
	}
	if w.Version != promiseVersion || len(w.Leaf) != len(Digest{}) {
		return nil, Refuse(CodeBadRequest, "the promise is of version %d with a leaf hash of %d bytes: version %d and 32 bytes are known here", w.Version, len(w.Leaf), promiseVersion)
	}
	p := &Promise{Origin: LogOrigin(w.Origin), Index: w.Index, Time: Millis(w.Millis)}
	copy(p.Leaf[:], w.Leaf)
	return p, nil
}

// Receipt is everything that one party needs to prove, offline and for ever, what was recorded of one exchange.
// It is a JSON file; Proof is a C2SP tlog-proof that any C2SP tool checks against the policy, for the leaf in Leaf.
type Receipt struct {
	Format    string `json:"format"` // "countersign-receipt"
	Promise   []byte `json:"promise"`
	Signature []byte `json:"signature"` // TreeSignature of Promise by the log's key under DomainReceipt
	Leaf      []byte `json:"leaf"`
	Statement []byte `json:"statement,omitempty"`
	Salt      []byte `json:"salt,omitempty"`
	Proof     string `json:"proof,omitempty"` // SPEC: C2SP tlog-proof; absent until a quorum has cosigned
}

// ReceiptFormat marks a receipt file.
const ReceiptFormat = "countersign-receipt"

// ParseReceipt reads a receipt file. Unknown members are refused: a receipt says nothing that is not checked.
func ParseReceipt(b []byte) (*Receipt, error) {
	if len(b) > 1<<20 {
		return nil, Refuse(CodeTooLarge, "the receipt has %d bytes: 1 MiB at most", len(b))
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	var r Receipt
	if err := dec.Decode(&r); err != nil {
		return nil, RefuseBecause(CodeBadRequest, err, "the file is not a receipt: JSON with format %q is due", ReceiptFormat)
	}
	if dec.More() || r.Format != ReceiptFormat {
		return nil, Refuse(CodeBadRequest, "the file is not a receipt: its format must be %q and nothing may follow it", ReceiptFormat)
	}
	return &r, nil
}

// Policy is a pinned C2SP tlog-policy: the logs that count, by verifier key, and the witnesses whose cosignatures make a quorum.
type Policy struct {
	logs    map[string]note.Verifier
	keys    map[string]*LogKey
	witness witness.Group
}

// ParsePolicy reads a policy file.
//
// SPEC: C2SP tlog-policy: lines "log VKEY [URL]", "witness NAME VKEY [URL]", "group NAME N MEMBER…", "quorum NAME".
func ParsePolicy(b []byte) (*Policy, error) {
	p := &Policy{logs: map[string]note.Verifier{}, keys: map[string]*LogKey{}}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "log" {
			continue
		}
		v, err := note.NewVerifier(f[1])
		if err != nil {
			return nil, RefuseBecause(CodeBadRequest, err, "the policy's log key %q cannot be read", f[1])
		}
		k, err := ParseLogKey(f[1])
		if err != nil {
			return nil, err
		}
		p.logs[v.Name()], p.keys[v.Name()] = v, k
	}
	if len(p.logs) == 0 {
		return nil, Refuse(CodeBadRequest, "the policy names no log: a line \"log VKEY\" is due")
	}
	var err error
	if p.witness, err = witness.ParsePolicy(b); err != nil {
		return nil, RefuseBecause(CodeBadRequest, err, "the policy's witnesses cannot be read")
	}
	return p, nil
}

// Finding is what a receipt's check established. Every field stands on a signature or a hash that was verified.
type Finding struct {
	Promise   *Promise   `json:"promise"`
	Leaf      *Leaf      `json:"leaf"`
	Statement *Statement `json:"statement,omitempty"`
	Cosigned  bool       `json:"cosigned"`       // the proof's checkpoint satisfies the policy's quorum
	TreeSize  uint64     `json:"size,omitempty"` // of that checkpoint
}

// Verify checks a receipt under the policy, offline: the promise's signature by a pinned log, the leaf against the promise, the statement
// against the leaf, and where there is a proof, the leaf's place in a tree whose checkpoint the log signed and a quorum cosigned.
// Every failure is a CodeSignature refusal that says which link is broken.
func (p *Policy) Verify(r *Receipt) (*Finding, error) {
	promise, err := ParsePromise(r.Promise)
	if err != nil {
		return nil, err
	}
	key := p.keys[string(promise.Origin)]
	if key == nil {
		return nil, Refuse(CodeSignature, "the receipt is of a log that the policy does not name: %q", promise.Origin)
	}
	if err := VerifyTree(key.Public, DomainReceipt, r.Promise, r.Signature, nil); err != nil {
		return nil, fmt.Errorf("the promise is not signed by the log %q: %w", promise.Origin, err)
	}
	if LeafHash(r.Leaf) != promise.Leaf {
		return nil, Refuse(CodeSignature, "the leaf is not the one that the log promised")
	}
	leaf, err := ParseLeaf(r.Leaf)
	if err != nil {
		return nil, err
	}
	f := &Finding{Promise: promise, Leaf: leaf}
	if len(r.Statement) > 0 || len(r.Salt) > 0 {
		if f.Statement, err = openLeaf(leaf, r.Statement, r.Salt); err != nil {
			return nil, err
		}
	}
	if r.Proof != "" {
		if f.TreeSize, err = p.VerifyProof(r.Proof, promise.Origin, promise.Index, promise.Leaf); err != nil {
			return nil, err
		}
		f.Cosigned = true
	}
	return f, nil
}

func openLeaf(leaf *Leaf, statement, salt []byte) (*Statement, error) {
	if len(salt) != len(Salt{}) {
		return nil, Refuse(CodeSignature, "the salt has %d bytes where 32 are due", len(salt))
	}
	if !Salt(salt).Opens(leaf.Commitment, statement) {
		return nil, Refuse(CodeSignature, "the statement does not open the leaf's commitment: it is not what was recorded")
	}
	s, err := ParseStatement(statement)
	if err != nil {
		return nil, err
	}
	if leaf.Kind == LeafExchange && (leaf.Service != s.Service.String() || leaf.Consumer != s.Consumer.String() || leaf.Purpose != s.Purpose || leaf.Mandate != s.Mandate.Kind) {
		return nil, Refuse(CodeSignature, "the leaf tells another service, consumer, purpose or mandate than its statement")
	}
	return s, nil
}

// VerifyProof checks a C2SP tlog-proof for a leaf and returns the tree size of its checkpoint.
//
// SPEC: C2SP tlog-proof: the checkpoint is signed by the log and by a quorum of witnesses, and the leaf is included in its tree.
func (p *Policy) VerifyProof(text string, origin LogOrigin, index uint64, leaf Digest) (uint64, error) {
	var tp proof.TLogProof
	if err := tp.Unmarshal([]byte(text)); err != nil {
		return 0, RefuseBecause(CodeSignature, err, "the proof is not a C2SP tlog-proof")
	}
	v := p.logs[string(origin)]
	if v == nil {
		return 0, Refuse(CodeSignature, "the proof is of a log that the policy does not name: %q", origin)
	}
	cp, _, _, err := log.ParseCheckpoint(tp.Checkpoint, string(origin), v)
	if err != nil {
		return 0, RefuseBecause(CodeSignature, err, "the proof's checkpoint is not signed by the log %q", origin)
	}
	if !p.witness.Satisfied(tp.Checkpoint) {
		return 0, Refuse(CodeSignature, "the proof's checkpoint is not cosigned by the policy's quorum of witnesses")
	}
	if tp.Index != index {
		return 0, Refuse(CodeSignature, "the proof is for index %d where the log promised index %d", tp.Index, index)
	}
	hashes := make(tlog.RecordProof, len(tp.Hashes))
	for i, h := range tp.Hashes {
		hashes[i] = tlog.Hash(h)
	}
	if len(cp.Hash) != tlog.HashSize || index >= cp.Size {
		return 0, Refuse(CodeSignature, "the proof's checkpoint does not reach index %d", index)
	}
	if err := tlog.CheckRecord(hashes, int64(cp.Size), tlog.Hash(cp.Hash), int64(index), tlog.Hash(leaf)); err != nil { //nolint:gosec // sizes of C2SP logs are below 2^63
		return 0, RefuseBecause(CodeSignature, err, "the leaf is not included in the proof's tree")
	}
	return cp.Size, nil
}

// CosigningDeadline is how long after its promise a record may wait for witnesses before the promise counts as broken.
const CosigningDeadline = 60 * time.Second
