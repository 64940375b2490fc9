package ledger

import (
	"bytes"
	"sync"
	"time"

	"github.com/ugorji/go/codec"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// Record is the private part of a leaf: what the member itself keeps of its side of an exchange. It is sealed under a key of its own,
// which is wrapped by the key of its expiry month.
type Record struct {
	Statement []byte               // encoded countersign.Statement, which opens the leaf's commitment under Salt
	Salt      countersign.Salt     // zero where there is no statement
	Half      countersign.SaltHalf // the provider's contribution to Salt: an exchange's status tells it again
	Reasons   []countersign.Code
	Rules     []string             // ids of the rules and matrix cells that decided, in the order they were asked
	Directory uint64               // version of the signed directory that the decision stands on
	Official  countersign.Official // as the provider learns of him
	Clerk     string               // the consumer alone: the official's own name for himself, which opens the pseudonym; personal data

	RequestSignature  []byte // the consumer's, over the request
	ResponseSignature []byte // the provider's, over the answer

	// The other side's receipt, kept by the consumer: the provider's promise for its leaf.
	PeerPromise, PeerSignature, PeerLeaf []byte

	Notice countersign.Millis // when the person may see it; 0 at once
	Note   []byte             // of kinds other than exchanges: the document that the leaf's commitment stands for
}

// recordVersion opens every sealed record.
const recordVersion = 1

type wireRecord struct {
	Version                              uint8
	Statement, Salt, Half                []byte
	Reasons, Rules                       []string
	Directory                            uint64
	Pseudonym, Role                      string
	Assurance                            uint8
	Clerk                                string
	RequestSignature, ResponseSignature  []byte
	PeerPromise, PeerSignature, PeerLeaf []byte
	Notice                               int64
	Note                                 []byte
}

// recordHandle encodes as the public formats do: arrays of definite length.
var recordHandle = func() *codec.CborHandle {
	h := new(codec.CborHandle)
	h.StructToArray = true
	h.Canonical = true
	h.MaxDepth = 8
	return h
}()

var recordEncoders = sync.Pool{New: func() any { return codec.NewEncoderBytes(nil, recordHandle) }}

func (r *Record) encode() ([]byte, error) {
	w := wireRecord{
		Version: recordVersion, Statement: r.Statement, Salt: r.Salt[:], Half: r.Half[:], Rules: r.Rules, Directory: r.Directory,
		Pseudonym: r.Official.Pseudonym, Role: r.Official.Role, Assurance: uint8(r.Official.Assurance), Clerk: r.Clerk,
		RequestSignature: r.RequestSignature, ResponseSignature: r.ResponseSignature,
		PeerPromise: r.PeerPromise, PeerSignature: r.PeerSignature, PeerLeaf: r.PeerLeaf, Notice: int64(r.Notice), Note: r.Note,
	}
	for _, c := range r.Reasons {
		w.Reasons = append(w.Reasons, string(c))
	}
	enc, ok := recordEncoders.Get().(*codec.Encoder)
	if !ok {
		enc = codec.NewEncoderBytes(nil, recordHandle)
	}
	defer recordEncoders.Put(enc)
	out := make([]byte, 0, 256+len(r.Statement)+len(r.PeerLeaf)+len(r.PeerSignature)+len(r.Note))
	enc.ResetBytes(&out)
	if err := enc.Encode(&w); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a record does not encode")
	}
	return out, nil
}

func parseRecord(b []byte) (*Record, error) {
	var w wireRecord
	if err := codec.NewDecoder(bytes.NewReader(b), recordHandle).Decode(&w); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "a record is not of the expected form")
	}
	if w.Version != recordVersion || len(w.Salt) != len(countersign.Salt{}) || len(w.Half) != len(countersign.SaltHalf{}) {
		return nil, countersign.Refuse(countersign.CodeStore, "a record has version %d and a salt of %d bytes: version %d and 32 bytes are known here", w.Version, len(w.Salt), recordVersion)
	}
	r := &Record{
		Statement: w.Statement, Salt: countersign.Salt(w.Salt), Half: countersign.SaltHalf(w.Half), Rules: w.Rules, Directory: w.Directory, Clerk: w.Clerk,
		Official:         countersign.Official{Pseudonym: w.Pseudonym, Role: w.Role, Assurance: countersign.Assurance(w.Assurance)},
		RequestSignature: w.RequestSignature, ResponseSignature: w.ResponseSignature,
		PeerPromise: w.PeerPromise, PeerSignature: w.PeerSignature, PeerLeaf: w.PeerLeaf, Notice: countersign.Millis(w.Notice), Note: w.Note,
	}
	for _, c := range w.Reasons {
		r.Reasons = append(r.Reasons, countersign.Code(c))
	}
	return r, nil
}

// Entry is one leaf to be appended, with its record.
type Entry struct {
	Leaf        *countersign.Leaf
	Record      *Record // nil for leaves without a private part
	Exchange    countersign.ExchangeID
	Tag         countersign.SubjectTag // zero where there is no subject
	Expires     time.Time              // when the record is destroyed: with the month that this lies in; due where there is a record
	CloseIntent bool                   // the intent of Exchange is closed by this entry
	Also        []keys.Item            // messages to sign with the promise, under the same root: at most three
	Unpromised  bool                   // nobody outside is owed a promise for it: Placed comes without one, and costs no signature
}

// Placed says where an entry stands, with the log's promise for it.
type Placed struct {
	Index     uint64
	LeafHash  countersign.Digest
	Leaf      []byte // encoded
	Time      countersign.Millis
	Promise   []byte   // encoded countersign.Promise
	Signature []byte   // countersign.TreeSignature of Promise under countersign.DomainReceipt
	Also      [][]byte // the signatures of Entry.Also, in order, by the log's key
}

// Receipt is the promise as a file; statement and salt may be nil for a party that is not to know them.
func (p *Placed) Receipt(statement, salt []byte) *countersign.Receipt {
	return &countersign.Receipt{Format: countersign.ReceiptFormat, Promise: p.Promise, Signature: p.Signature, Leaf: p.Leaf, Statement: statement, Salt: salt}
}
