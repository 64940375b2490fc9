package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"

	"countersign.dev/countersign"
)

// maxKeyFile bounds a key file: a PKCS#8 P-256 key has some 240 bytes of PEM.
const maxKeyFile = 4096

// pemType is PKCS#8's.
const pemType = "PRIVATE KEY"

// Generate makes a private key: countersign.AlgorithmEd25519 or countersign.AlgorithmP256.
func Generate(kind countersign.SignatureAlgorithm) (Signer, error) {
	switch kind {
	case countersign.AlgorithmEd25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating a key: %w", err)
		}
		return NewSigner(key)
	case countersign.AlgorithmP256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating a key: %w", err)
		}
		return NewSigner(key)
	}
	return nil, countersign.Refuse(countersign.CodeBadRequest, "key kind %q: give %s or %s", kind, countersign.AlgorithmEd25519, countersign.AlgorithmP256)
}

// GenerateFile makes a private key and writes it to a new file. A file that exists is never replaced: the error wraps fs.ErrExist.
func GenerateFile(path string, kind countersign.SignatureAlgorithm) (Signer, error) {
	key, err := Generate(kind)
	if err != nil {
		return nil, err
	}
	if err := Save(path, key); err != nil {
		return nil, err
	}
	return key, nil
}

// Save writes a private key as PKCS#8 PEM, mode 0600, to a new file: whole and durable, or not at all. A file that exists is never
// replaced: the error wraps fs.ErrExist. A key in hardware cannot be saved.
func Save(path string, key Signer) error {
	private := crypto.Signer(key)
	if named, ok := key.(*namedSigner); ok {
		private = named.Signer
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "key file %s: only a key in memory can be saved", path)
	}
	return writeNewFile(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
}

// Load reads a private key from a PKCS#8 PEM file. It refuses a file that others may read or could have put there: a symbolic link,
// anything that is no regular file, another owner, a mode looser than 0600, a folder that others may write to.
func Load(path string) (Signer, error) {
	text, err := readGuardedFile(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	bad := func(cause error, what string) (Signer, error) {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, cause, "key file %s: %s: one PKCS#8 PEM block of an Ed25519 or P-256 key is due", path, what)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(block.Headers) != 0 || len(bytes.TrimSpace(rest)) != 0 || !bytes.HasPrefix(text, []byte("-----BEGIN")) {
		return bad(nil, "it is not that")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return bad(nil, "it cannot be parsed") // the parser's error may quote the file
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return bad(nil, "its key does not sign")
	}
	key, err := NewSigner(private)
	if err != nil {
		return bad(err, "its key is of another kind")
	}
	return key, nil
}

// PublicKeyText is a public key as the directory writes it: its SubjectPublicKeyInfo in padded base64.
type PublicKeyText string

// EncodePublicKey writes an Ed25519 or P-256 key.
func EncodePublicKey(pub crypto.PublicKey) (PublicKeyText, error) {
	if _, err := countersign.AlgorithmOf(pub); err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeBadRequest, err, "a public key cannot be encoded: give a valid Ed25519 or P-256 key")
	}
	return PublicKeyText(base64.StdEncoding.EncodeToString(der)), nil
}

// Parse reads the key: exactly what EncodePublicKey writes.
func (t PublicKeyText) Parse() (crypto.PublicKey, error) {
	der, err := base64.StdEncoding.Strict().DecodeString(string(t))
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "a public key is the base64 of its SubjectPublicKeyInfo")
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "a public key is the base64 of its SubjectPublicKeyInfo")
	}
	again, err := EncodePublicKey(pub)
	if err != nil {
		return nil, err
	}
	if again != t {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "a public key has one spelling only: encode it anew")
	}
	return pub, nil
}
