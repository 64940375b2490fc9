package countersign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// RootCache remembers which roots of countersign-tree verified, so that the messages of a group cost one public-key operation together.
// It remembers successes only, each under the exact key, root, size and signature: a remembered root never vouches for another key or
// another signature. It is bounded, safe for concurrent use, and holds nothing that a thief could use. The zero value and nil remember
// nothing and verify everything.
type RootCache struct {
	half int // how many entries each generation holds

	mu      sync.Mutex
	young   map[rootKey]struct{}
	old     map[rootKey]struct{}
	pending map[rootKey]*rootCheck
}

// rootKey is SHA-256 over key, size, root and signature.
type rootKey [sha256.Size]byte

// rootCheck is one verification under way, which others with the same question wait for.
type rootCheck struct {
	done chan struct{}
	err  error
}

// NewRootCache makes a cache that holds at most capacity roots. When half are young, the older half is forgotten; a root in use stays.
func NewRootCache(capacity int) *RootCache {
	return &RootCache{half: capacity / 2, young: map[rootKey]struct{}{}, pending: map[rootKey]*rootCheck{}}
}

func newRootKey(pub crypto.PublicKey, s TreeSignature) (rootKey, error) {
	var raw []byte
	switch k := pub.(type) {
	case ed25519.PublicKey:
		raw = k
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return rootKey{}, RefuseBecause(CodeSignature, err, "a public key is no point of P-256")
		}
		raw = point
	}
	// Each part has one length for its algorithm, and the algorithm follows from the key's length: no two questions share a key.
	b := make([]byte, 0, 256)
	b = append(b, byte(len(raw))) //nolint:gosec // 32 or 65
	b = append(b, raw...)
	b = binary.BigEndian.AppendUint32(b, uint32(s.Size)) //nolint:gosec // 1 to 1024
	b = append(b, s.Root[:]...)
	b = append(b, s.Signature...)
	return sha256.Sum256(b), nil
}

// verify checks the root's signature, or remembers that it was checked.
func (c *RootCache) verify(pub crypto.PublicKey, s TreeSignature) error {
	if c == nil || c.half < 1 {
		return VerifyPlain(pub, rootBytes(s.Size, s.Root), s.Signature)
	}
	key, err := newRootKey(pub, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.knows(key) {
		c.mu.Unlock()
		return nil
	}
	if other := c.pending[key]; other != nil {
		c.mu.Unlock()
		<-other.done
		return other.err
	}
	mine := &rootCheck{done: make(chan struct{}), err: Refuse(CodeSignature, "a signature could not be checked")}
	c.pending[key] = mine
	c.mu.Unlock()

	defer func() {
		c.mu.Lock()
		delete(c.pending, key)
		if mine.err == nil {
			c.learn(key)
		}
		c.mu.Unlock()
		close(mine.done)
	}()
	mine.err = VerifyPlain(pub, rootBytes(s.Size, s.Root), s.Signature)
	return mine.err
}

func (c *RootCache) knows(key rootKey) bool {
	if _, ok := c.young[key]; ok {
		return true
	}
	if _, ok := c.old[key]; ok {
		c.learn(key)
		return true
	}
	return false
}

func (c *RootCache) learn(key rootKey) {
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[rootKey]struct{}, c.half)
	}
	c.young[key] = struct{}{}
}

// Len is how many roots are remembered, for the operator's metrics.
func (c *RootCache) Len() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.young)
	for k := range c.old {
		if _, both := c.young[k]; !both {
			n++
		}
	}
	return n
}
