// Package keys holds the private keys of a member: it opens them from guarded files or hardware, names them, signs messages with them
// singly or in groups, and builds TLS configurations that trust pinned keys instead of certificate authorities.
//
// Trusted? Key files are trusted to be ours once owner, mode and folder are checked; a thief of a key file is the member until the
// directory removes the key, which acts on the next handshake and the next message.
package keys

import (
	"context"
	"crypto"
	"strings"

	"countersign.dev/countersign"
)

// Signer is a private key that knows its name. Implementations are safe for concurrent use.
type Signer interface {
	crypto.Signer
	// KeyID names the public half.
	KeyID() countersign.KeyID
	// Close releases what the key holds open (a hardware session). Signing afterwards is an error. It may be called twice.
	Close() error
}

type namedSigner struct {
	crypto.Signer
	id    countersign.KeyID
	close func() error
}

func (s *namedSigner) KeyID() countersign.KeyID { return s.id }

func (s *namedSigner) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// NewSigner names a private key: Ed25519 or P-256, in memory or behind an interface to hardware.
func NewSigner(key crypto.Signer) (Signer, error) {
	id, err := countersign.KeyIDOf(key.Public())
	if err != nil {
		return nil, err
	}
	return &namedSigner{Signer: key, id: id}, nil
}

// Open opens the private key that spec names, as configuration writes it:
//
//	file:PATH     a PKCS#8 PEM file, see [Load]
//	pkcs11:...    a key in hardware, in binaries built with the tag pkcs11
//
// The specification itself holds no secret: it may be logged.
func Open(spec string) (Signer, error) {
	scheme, rest, ok := strings.Cut(spec, ":")
	switch {
	case ok && scheme == "file" && rest != "":
		return Load(rest)
	case ok && scheme == "pkcs11":
		return openPKCS11(spec)
	}
	return nil, countersign.Refuse(countersign.CodeBadRequest, "key %q: write file:PATH or pkcs11:...", spec)
}

// PlainSigner signs each message by itself, with the plain algorithm of its key. The domain is not part of what is signed: it serves
// messages whose own form tells what they are and which way they travel, as RFC 9421's signature bases do.
type PlainSigner struct {
	key Signer
	alg countersign.SignatureAlgorithm
}

// NewPlainSigner makes a PlainSigner.
func NewPlainSigner(key Signer) (*PlainSigner, error) {
	alg, err := countersign.AlgorithmOf(key.Public())
	if err != nil {
		return nil, err
	}
	return &PlainSigner{key, alg}, nil
}

// Algorithm is that of the key.
func (s *PlainSigner) Algorithm() countersign.SignatureAlgorithm { return s.alg }

// KeyID names the key.
func (s *PlainSigner) KeyID() countersign.KeyID { return s.key.KeyID() }

// Sign signs one message: 64 bytes.
func (s *PlainSigner) Sign(ctx context.Context, _ countersign.SignatureDomain, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return countersign.SignPlain(s.key, message)
}
