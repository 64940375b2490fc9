package ledger

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// ErrDestroyed says that the key of a record's expiry month is no more: the record cannot be read by anyone. The caller shows that it
// was destroyed, and when.
var ErrDestroyed = errors.New("the record was destroyed at the end of its time")

// vault seals records under keys of their own, each wrapped by the key of its expiry month. Month keys are files of mode 0600 in a
// folder that no backup takes: DIR/YYYY-MM.key, a Tink keyset (XAES-256-GCM, whose nonces are long enough to be drawn at random for
// every record of a month, however many).
type vault struct {
	dir string

	erase func(path string) error // keys.DestroySecret

	mu     sync.RWMutex
	months map[Month]tink.AEAD
	gone   Month // months up to this one were destroyed: a key file that comes back from somewhere opens nothing
}

func newVault(dir string) *vault {
	return &vault{dir: dir, erase: keys.DestroySecret, months: map[Month]tink.AEAD{}}
}

func (v *vault) path(m Month) string { return filepath.Join(v.dir, m.String()+".key") }

// month gives the wrapping key of a month, making it where create is set and there is none.
func (v *vault) month(m Month, create bool) (tink.AEAD, error) {
	v.mu.RLock()
	a, gone := v.months[m], m <= v.gone
	v.mu.RUnlock()
	if gone {
		return nil, ErrDestroyed
	}
	if a != nil {
		return a, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if m <= v.gone {
		return nil, ErrDestroyed
	}
	if a := v.months[m]; a != nil {
		return a, nil
	}
	text, err := keys.LoadSecret(v.path(m))
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, ErrDestroyed
		}
		text, err = newMonthKey(v.path(m))
	}
	if err != nil {
		return nil, fmt.Errorf("the key of records that expire in %s: %w", m, err)
	}
	if len(bytes.Trim(text, "\x00")) == 0 {
		return nil, ErrDestroyed // overwritten, and not yet removed
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the key file of %s is not a keyset", m)
	}
	wrapping, err := aead.New(handle)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the key file of %s holds no key that wraps", m)
	}
	v.months[m] = wrapping
	return wrapping, nil
}

func newMonthKey(path string) ([]byte, error) {
	handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceNoPrefixKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a month's key: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("making a month's key: %w", err)
	}
	switch err := keys.SaveSecret(path, text.Bytes()); {
	case errors.Is(err, fs.ErrExist): // another process of this member made it first
		return keys.LoadSecret(path)
	case err != nil:
		return nil, err
	}
	return text.Bytes(), nil
}

// A sealed text is: version 1 (1 byte) || the data key wrapped by the month's key (72 bytes) || nonce, ciphertext and tag of
// AES-256-GCM under the data key. The context is associated data of both, so that neither text nor key can be moved to another place.
//
// What is not kept, an open intent, has no data key of its own: version 2 (1 byte) || nonce, ciphertext and tag under the month's key.
const (
	sealVersion = 1
	sealBriefly = 2
	dataKeySize = 32
	wrappedSize = 24 + dataKeySize + 16
)

// seal encrypts under a fresh key.
func (v *vault) seal(m Month, plain, context []byte) ([]byte, error) {
	wrapping, err := v.month(m, true)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the record cannot be sealed: the keys of expiry months need a folder that this program may write to and nobody else")
	}
	var dataKey [dataKeySize]byte
	_, _ = rand.Read(dataKey[:]) // crypto/rand.Read never fails (Go 1.24)
	wrapped, err := wrapping.Encrypt(dataKey[:], context)
	if err == nil && len(wrapped) != wrappedSize {
		err = fmt.Errorf("a wrapped key has %d bytes where %d are due", len(wrapped), wrappedSize)
	}
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a record cannot be sealed")
	}
	data, err := subtle.NewAESGCM(dataKey[:])
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a record cannot be sealed")
	}
	text, err := data.Encrypt(plain, context)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "a record cannot be sealed")
	}
	out := make([]byte, 0, 1+wrappedSize+len(text))
	return append(append(append(out, sealVersion), wrapped...), text...), nil
}

// sealBrief encrypts what is removed within minutes.
func (v *vault) sealBrief(m Month, plain, context []byte) ([]byte, error) {
	key, err := v.month(m, true)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "the intent cannot be sealed: the keys of expiry months need a folder that this program may write to and nobody else")
	}
	text, err := key.Encrypt(plain, context)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "an intent cannot be sealed")
	}
	return append(append(make([]byte, 0, 1+len(text)), sealBriefly), text...), nil
}

// open decrypts either form.
func (v *vault) open(m Month, sealed, context []byte) ([]byte, error) {
	wrapping, err := v.month(m, false)
	if err != nil {
		return nil, err
	}
	changed := func(err error) ([]byte, error) {
		return nil, countersign.RefuseBecause(countersign.CodeStore, err, "a record does not open under the key of %s: the store or the key was changed", m)
	}
	if len(sealed) > 0 && sealed[0] == sealBriefly {
		plain, err := wrapping.Decrypt(sealed[1:], context)
		if err != nil {
			return changed(err)
		}
		return plain, nil
	}
	if len(sealed) < 1+wrappedSize || sealed[0] != sealVersion {
		return changed(nil)
	}
	dataKey, err := wrapping.Decrypt(sealed[1:1+wrappedSize], context)
	if err != nil {
		return changed(err)
	}
	data, err := subtle.NewAESGCM(dataKey)
	if err != nil {
		return changed(err)
	}
	plain, err := data.Decrypt(sealed[1+wrappedSize:], context)
	if err != nil {
		return changed(err)
	}
	return plain, nil
}

// endOf is the month that a record's end lies in, refusing ends that make no sense.
func endOf(now, expires time.Time) (Month, error) {
	switch {
	case expires.IsZero():
		return 0, countersign.Refuse(countersign.CodeInternal, "a record has no end: its purpose's retention gives it one")
	case expires.Before(now):
		return 0, countersign.Refuse(countersign.CodeInternal, "a record's end lies in the past: check clock and retention")
	case expires.After(now.AddDate(100, 0, 0)):
		return 0, countersign.Refuse(countersign.CodeInternal, "a record's end lies more than a hundred years ahead")
	}
	return MonthOf(expires), nil
}
