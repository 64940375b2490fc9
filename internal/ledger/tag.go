package ledger

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"

	"countersign.dev/countersign"
)

// TagKey is a member's key for subject tags and budget keys of one epoch, 256 random bits, shared by the member's replicas. It is a
// secret file: one line "EPOCH HEX" for each epoch, the newest last.
type TagKey struct {
	Epoch  uint8 // 1 to 255
	Secret [32]byte
	macs   *sync.Pool // of HMACs under Secret, in a log that is open; nil elsewhere
}

// NewTagKey draws a key.
func NewTagKey(epoch uint8) TagKey {
	k := TagKey{Epoch: epoch}
	_, _ = rand.Read(k.Secret[:]) // crypto/rand.Read never fails (Go 1.24)
	return k
}

// FormatTagKeys writes a tag key file.
func FormatTagKeys(keys []TagKey) []byte {
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%d %x\n", k.Epoch, k.Secret)
	}
	return []byte(b.String())
}

// ParseTagKeys reads a tag key file: epochs rise from line to line.
func ParseTagKeys(text []byte) ([]TagKey, error) {
	var out []TagKey
	for line := range strings.Lines(string(text)) {
		var k TagKey
		var secret string
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "%d %64s", &k.Epoch, &secret); err != nil || len(secret) != 64 {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "tag key file, line %d: write an epoch (1 to 255) and 64 hexadecimal digits", len(out)+1)
		}
		if _, err := hex.Decode(k.Secret[:], []byte(secret)); err != nil {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "tag key file, line %d: the key is 64 hexadecimal digits", len(out)+1)
		}
		if k.Epoch == 0 || len(out) > 0 && out[len(out)-1].Epoch >= k.Epoch {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "tag key file, line %d: epochs rise from 1, the newest last", len(out)+1)
		}
		out = append(out, k)
	}
	if len(out) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the tag key file is empty: at least one epoch's key is due")
	}
	return out, nil
}

// prf is HMAC-SHA-256 over a label, a zero byte and the parts, each with its length before it, so that no two inputs read alike.
func (k *TagKey) prf(label string, parts ...string) [sha256.Size]byte {
	mac, ok := k.mac()
	if ok {
		defer k.macs.Put(mac)
		mac.Reset()
	}
	buf := make([]byte, 0, 128)
	buf = append(append(buf, label...), 0)
	for _, p := range parts {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	mac.Write(buf)
	var out [sha256.Size]byte
	mac.Sum(out[:0])
	return out
}

// mac gives an HMAC under the secret; kept tells whether it belongs to the pool.
func (k *TagKey) mac() (mac hash.Hash, kept bool) {
	if k.macs == nil {
		return hmac.New(sha256.New, k.Secret[:]), false
	}
	if mac, ok := k.macs.Get().(hash.Hash); ok {
		return mac, true
	}
	return hmac.New(sha256.New, k.Secret[:]), true
}

// keepMACs lets each key's HMACs be used again: every exchange asks for several.
func keepMACs(keys []TagKey) []TagKey {
	out := slices.Clone(keys)
	for i := range out {
		out[i].macs = new(sync.Pool)
	}
	return out
}

// tag is the epoch and 120 bits of the PRF.
func (k *TagKey) tag(subject countersign.SubjectID) (t countersign.SubjectTag) {
	sum := k.prf("countersign subject tag", subject.Canonical())
	t[0] = k.Epoch
	copy(t[1:], sum[:])
	return t
}

// TagOf is the subject's tag under the newest epoch's key: the zero tag for no subject.
func (l *Log) TagOf(subject countersign.SubjectID) countersign.SubjectTag {
	if subject.IsZero() {
		return countersign.SubjectTag{}
	}
	return l.tagKeys[len(l.tagKeys)-1].tag(subject)
}

// TagsOf gives the subject's tags under every epoch's key, for looking up a history that spans epochs.
func (l *Log) TagsOf(subject countersign.SubjectID) []countersign.SubjectTag {
	if subject.IsZero() {
		return nil
	}
	out := make([]countersign.SubjectTag, len(l.tagKeys))
	for i := range l.tagKeys {
		out[i] = l.tagKeys[i].tag(subject)
	}
	return out
}

// BudgetKeyOf makes the key of a budget from what is counted, for instance BudgetKeyOf("people per official and hour", member, official).
func (l *Log) BudgetKeyOf(what string, parts ...string) (k BudgetKey) {
	sum := l.tagKeys[0].prf("countersign budget "+what, parts...)
	copy(k[:], sum[:])
	return k
}

// BudgetMemberOf makes the pseudonym of a thing whose distinct number is counted.
func (l *Log) BudgetMemberOf(what string, parts ...string) (m BudgetMember) {
	sum := l.tagKeys[0].prf("countersign budget member "+what, parts...)
	copy(m[:], sum[:])
	return m
}
