package countersign

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
)

// LogKey is a log's verifier key in signed-note form, which names the log and holds the key that signs its checkpoints and its promises.
//
// SPEC: C2SP signed-note, verifier keys: NAME+HASH+base64(0x01 ‖ Ed25519 public key).
type LogKey struct {
	Origin LogOrigin
	VKey   string
	Public crypto.PublicKey
}

// ParseLogKey reads an Ed25519 verifier key. The note library has checked name and hash before a key of ours is used on checkpoints; here the
// public key itself is wanted, for promises.
func ParseLogKey(vkey string) (*LogKey, error) {
	name, rest, ok := strings.Cut(vkey, "+")
	_, b64, ok2 := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(b64)
	if !ok || !ok2 || err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != 1 {
		return nil, Refuse(CodeBadRequest, "the log key %q is not an Ed25519 verifier key NAME+HASH+KEY", vkey)
	}
	return &LogKey{Origin: LogOrigin(name), VKey: vkey, Public: ed25519.PublicKey(raw[1:])}, nil
}
