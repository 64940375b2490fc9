package countersign

import (
	"encoding/base64"
	"math"
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

func (w *wirePromise) form(f *cborForm) {
	f.array(5)
	cborNumber(f, &w.Version)
	f.text(&w.Origin)
	cborNumber(f, &w.Index)
	f.bytes(&w.Leaf)
	cborNumber(f, &w.Millis)
}

// DomainReceipt is the signature domain of promises.
const DomainReceipt SignatureDomain = "countersign-tree receipt"

// Encode writes the promise in deterministic CBOR: the bytes that the log's key signs under DomainReceipt.
func (p *Promise) Encode() []byte {
	return encodeCBOR(&wirePromise{promiseVersion, string(p.Origin), p.Index, p.Leaf[:], p.Time.wire()})
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
	p := &Promise{Origin: LogOrigin(w.Origin), Index: w.Index}
	copy(p.Leaf[:], w.Leaf)
	var err error
	p.Time, err = parseMillis(w.Millis, "the promise's time")
	return p, err
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
	var r Receipt
	if err := decodeJSON(b, &r); err != nil {
		return nil, RefuseBecause(CodeBadRequest, err, "the file is not a receipt: one JSON object with format %q is due, and nothing after it", ReceiptFormat)
	}
	if r.Format != ReceiptFormat {
		return nil, Refuse(CodeBadRequest, "the file is not a receipt: its format must be %q", ReceiptFormat)
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
		line, _, _ = strings.Cut(line, "#")
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
		if p.logs[v.Name()] != nil {
			return nil, Refuse(CodeBadRequest, "the policy names the log %q twice: a log has one key", v.Name())
		}
		p.logs[v.Name()], p.keys[v.Name()] = v, k
	}
	if len(p.logs) == 0 {
		return nil, Refuse(CodeBadRequest, "the policy names no log: a line \"log VKEY\" is due")
	}
	if err := checkQuorum(b); err != nil {
		return nil, err
	}
	var err error
	if p.witness, err = witness.ParsePolicy(b); err != nil {
		return nil, RefuseBecause(CodeBadRequest, err, "the policy's witnesses cannot be read: %s", err)
	}
	return p, nil
}

// checkQuorum refuses policies whose quorum would say more than stands behind it: one key as two witnesses, one component counted twice, a
// group or quorum that nobody need join. The policy library lets all of them pass.
//
// SPEC: C2SP tlog-policy: a group's threshold is at least one, and a witness or group is a direct member of at most one group.
func checkQuorum(b []byte) error {
	keys, member := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 4 && f[0] == "witness":
			_, rest, _ := strings.Cut(f[2], "+")
			_, b64, _ := strings.Cut(rest, "+")
			raw, err := base64.StdEncoding.DecodeString(b64)
			if err != nil || len(raw) < 2 {
				return Refuse(CodeBadRequest, "the policy's witness key %q cannot be read", f[2])
			}
			key := string(raw[1:]) // the first byte tells the use: the same key under another use is the same witness
			if keys[key] {
				return Refuse(CodeBadRequest, "the policy names the key of witness %q twice: a key counts once", f[1])
			}
			keys[key] = true
		case len(f) >= 3 && f[0] == "group":
			if strings.Trim(f[2], "0") == "" {
				return Refuse(CodeBadRequest, "the policy's group %q asks for no member: a group asks for one at least", f[1])
			}
			for _, name := range f[3:] {
				if member[name] {
					return Refuse(CodeBadRequest, "the policy counts %q twice: each witness and group is in one group at most", name)
				}
				member[name] = true
			}
			if f[2] == "all" && len(f) == 3 {
				return Refuse(CodeBadRequest, "the policy's group %q has no member", f[1])
			}
		case len(f) == 2 && f[0] == "quorum" && f[1] == "none":
			return Refuse(CodeBadRequest, "the policy's quorum is none: without a witness nothing is cosigned")
		}
	}
	return nil
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
		return nil, RefuseBecause(CodeSignature, err, "the promise cannot be read: %s", MessageOf(err))
	}
	key := p.keys[string(promise.Origin)]
	if key == nil {
		return nil, Refuse(CodeSignature, "the receipt is of a log that the policy does not name: %q", promise.Origin)
	}
	if err := VerifyTree(key.Public, DomainReceipt, r.Promise, r.Signature, nil); err != nil {
		return nil, RefuseBecause(CodeSignature, err, "the promise is not signed by the log %q: %s", promise.Origin, MessageOf(err))
	}
	if LeafHash(r.Leaf) != promise.Leaf {
		return nil, Refuse(CodeSignature, "the leaf is not the one that the log promised")
	}
	leaf, err := ParseLeaf(r.Leaf)
	if err != nil {
		return nil, RefuseBecause(CodeSignature, err, "the log promised something that is no leaf: %s", MessageOf(err))
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
		return nil, RefuseBecause(CodeSignature, err, "the recorded statement cannot be read: %s", MessageOf(err))
	}
	switch leaf.Kind {
	case LeafExchange, LeafRelease, LeafCompletion, LeafView:
		owed := ExchangeLeaf(s, leaf.Side, s.Outcome, leaf.Commitment)
		owed.Kind = leaf.Kind
		if leaf.Side == SideConsumer {
			owed.Outcome = leaf.Outcome // the consumer says for itself how its intent was closed
		}
		if *leaf != *owed {
			return nil, Refuse(CodeSignature, "the leaf tells another service, consumer, purpose, mandate, outcome or hour than its statement")
		}
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
	if len(cp.Hash) != tlog.HashSize || index >= cp.Size || cp.Size > math.MaxInt64 {
		return 0, Refuse(CodeSignature, "the proof's checkpoint does not reach index %d", index)
	}
	if err := tlog.CheckRecord(hashes, int64(cp.Size), tlog.Hash(cp.Hash), int64(index), tlog.Hash(leaf)); err != nil { //nolint:gosec // both bounded above
		return 0, RefuseBecause(CodeSignature, err, "the leaf is not included in the proof's tree")
	}
	return cp.Size, nil
}

// CosigningDeadline is how long after its promise a record may wait for witnesses before the promise counts as broken.
const CosigningDeadline = 60 * time.Second
