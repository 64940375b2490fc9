package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/go-jose/go-jose/v4"
)

// Keys are the signing keys of one provider, in a file: the last signs, all are published. A provider reads the file at each use, so that whoever changes it needs
// not start the provider again.
type Keys struct{ file string }

// OpenKeys takes the keys of a file, and begins it with one key where there is none. One process at a time changes a file.
func OpenKeys(file string) (*Keys, error) {
	k := &Keys{file}
	_, err := k.read()
	if errors.Is(err, fs.ErrNotExist) {
		return k, k.Rotate()
	}
	return k, err
}

// Rotate lets a new key sign. The earlier ones stay published, so that tokens that they made still verify.
func (k *Keys) Rotate() error {
	list, err := k.read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	return k.write(append(list, *key))
}

// Withdraw publishes the key that signs and no other: what earlier keys made verifies no more.
func (k *Keys) Withdraw() error {
	list, err := k.read()
	if err != nil {
		return err
	}
	return k.write(list[len(list)-1:])
}

func newKey() (*jose.JSONWebKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	out := &jose.JSONWebKey{Key: key, Algorithm: string(jose.ES256), Use: "sig"}
	thumb, err := out.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	out.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	return out, nil
}

var errNoKeys = errors.New("the provider's file of keys holds none, or one that signs nothing: remove it, and the provider begins another")

func (k *Keys) read() ([]jose.JSONWebKey, error) {
	text, err := os.ReadFile(k.file)
	if err != nil {
		return nil, err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	for i := range set.Keys {
		if set.Keys[i].IsPublic() || !set.Keys[i].Valid() {
			return nil, errNoKeys
		}
	}
	if len(set.Keys) == 0 {
		return nil, errNoKeys
	}
	return set.Keys, nil
}

func (k *Keys) write(list []jose.JSONWebKey) error {
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: list})
	if err != nil {
		return err
	}
	if err := os.WriteFile(k.file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(k.file+".new", k.file) // the provider reads the old keys or the new ones
}
