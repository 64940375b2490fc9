package notice

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"

	"countersign.dev/countersign"
)

// PersonID names a person in the store: a PRF of the canonical identifier under the portal's key.
type PersonID [16]byte

// Vault seals what is kept of people. Its key is a file of the portal's that no backup of the store takes.
type Vault struct {
	master [32]byte
	names  []byte
	stops  cipher.AEAD
}

// NewKey draws the text of a key file.
func NewKey() []byte {
	var k [32]byte
	_, _ = rand.Read(k[:]) // crypto/rand.Read never fails
	return []byte(hex.EncodeToString(k[:]) + "\n")
}

// NewVault reads the text of a key file.
func NewVault(text []byte) (*Vault, error) {
	v := &Vault{}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(v.master) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the key file of notices does not hold 64 hexadecimal digits")
	}
	copy(v.master[:], raw)
	if v.names, err = v.derive(nil, "people"); err != nil {
		return nil, err
	}
	key, err := v.derive(nil, "stop")
	if err != nil {
		return nil, err
	}
	v.stops, err = newAEAD(key)
	return v, err
}

func (v *Vault) derive(salt []byte, purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, v.master[:], salt, "countersign notices "+purpose, 32)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a key of notices cannot be derived")
	}
	return key, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a key of notices cannot be used")
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a key of notices cannot be used")
	}
	return a, nil
}

// IDOf gives a person's name in the store.
func (v *Vault) IDOf(person countersign.SubjectID) (id PersonID) {
	mac := hmac.New(sha256.New, v.names)
	mac.Write([]byte(person.Canonical()))
	copy(id[:], mac.Sum(nil))
	return id
}

// saltSize is how long the random value is that stands before each sealed text. Without it the text's key cannot be made again.
const saltSize = 32

// seal encrypts a value for a person, under a key that is drawn anew each time. The context binds it to its place.
func (v *Vault) seal(id PersonID, context string, value any) ([]byte, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "contact terms cannot be written")
	}
	out := make([]byte, saltSize, saltSize+len(plain)+64)
	_, _ = rand.Read(out) // crypto/rand.Read never fails
	a, err := v.person(id, out[:saltSize])
	if err != nil {
		return nil, err
	}
	//nolint:gosec // the nonce is drawn inside
	return a.Seal(out, nil, plain, append([]byte(context+"\x00"), id[:]...)), nil
}

func (v *Vault) open(id PersonID, context string, sealed []byte, to any) error {
	if len(sealed) < saltSize {
		return countersign.Refuse(countersign.CodeStore, "contact terms are too short: the store was changed")
	}
	a, err := v.person(id, sealed[:saltSize])
	if err != nil {
		return err
	}
	plain, err := a.Open(nil, nil, sealed[saltSize:], append([]byte(context+"\x00"), id[:]...))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "contact terms do not open: store or key of notices was changed")
	}
	if err := json.Unmarshal(plain, to); err != nil {
		return countersign.RefuseBecause(countersign.CodeStore, err, "contact terms cannot be read")
	}
	return nil
}

func (v *Vault) person(id PersonID, salt []byte) (cipher.AEAD, error) {
	key, err := v.derive(salt, "terms "+hex.EncodeToString(id[:]))
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

// stopToken names a person in an address at which notices are stopped. It is another one in each message, and tells nothing to anybody but this portal.
func (v *Vault) stopToken(id PersonID) string {
	//nolint:gosec // the nonce is drawn inside
	return base64.RawURLEncoding.EncodeToString(v.stops.Seal(nil, nil, id[:], []byte("stop")))
}

// readStop reads what stopToken wrote.
func (v *Vault) readStop(token string) (id PersonID, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil {
		raw, err = v.stops.Open(nil, nil, raw, []byte("stop"))
	}
	if err != nil || len(raw) != len(id) {
		return id, countersign.Refuse(countersign.CodeUnknownService, "this address stops nobody's notices")
	}
	copy(id[:], raw)
	return id, nil
}
