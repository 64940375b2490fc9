package keys

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"time"

	"countersign.dev/countersign"
)

// SPKIDigest is the SHA-256 of a public key's SubjectPublicKeyInfo: what the directory pins. [countersign.KeyID] is its text form.
type SPKIDigest countersign.Digest

// KeyID is the text form.
func (d SPKIDigest) KeyID() countersign.KeyID {
	return countersign.KeyID(base64.RawURLEncoding.EncodeToString(d[:]))
}

// ParseSPKIDigest reads the text form.
func ParseSPKIDigest(id countersign.KeyID) (SPKIDigest, error) {
	var d SPKIDigest
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(id))
	if err != nil || len(raw) != len(d) {
		return SPKIDigest{}, countersign.Refuse(countersign.CodeBadRequest, "a key id is 43 characters of base64url")
	}
	copy(d[:], raw)
	return d, nil
}

// SPKIDigestOf digests a public key: Ed25519 or P-256.
func SPKIDigestOf(pub crypto.PublicKey) (SPKIDigest, error) {
	id, err := countersign.KeyIDOf(pub)
	if err != nil {
		return SPKIDigest{}, err
	}
	return ParseSPKIDigest(id)
}

// SelfSigned is a TLS certificate that carries the key and says nothing else: trust comes from the pin. It has no end of its own, because
// the directory ends a key, not a date.
//
// SPEC: RFC 5280 4.1.2.5: 99991231235959Z stands for no well-defined expiration date.
func SelfSigned(key Signer) (tls.Certificate, error) {
	digest, err := SPKIDigestOf(key.Public())
	if err != nil {
		return tls.Certificate{}, err
	}
	serial := new(big.Int).SetBytes(digest[:16])
	serial.SetBit(serial, 0, 1) // positive, also for a digest of zeros
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: string(key.KeyID())},
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, countersign.RefuseBecause(countersign.CodeInternal, err, "a TLS certificate could not be made")
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, countersign.RefuseBecause(countersign.CodeInternal, err, "a TLS certificate could not be made")
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// LoadSelfSigned loads the key of a file, as [Load] does, and certifies it by itself.
func LoadSelfSigned(path string) (tls.Certificate, error) {
	key, err := Load(path)
	if err != nil {
		return tls.Certificate{}, err
	}
	return SelfSigned(key)
}

// Admit decides at a handshake, resumed ones included, whether the peer's key may speak: nil admits. It is called concurrently and looks
// the key up anew each time, so that a removal from the directory acts on the next handshake.
type Admit func(peer SPKIDigest) error

// PinnedServer is the TLS configuration of a server for pinned peers: TLS 1.3, a client certificate required, its key admitted by admit
// alone. A nil admit admits nobody.
func PinnedServer(cert tls.Certificate, admit Admit) *tls.Config {
	c := pinned(cert, admit)
	c.ClientAuth = tls.RequireAnyClientCert
	return c
}

// PinnedClient is the TLS configuration of a client of one pinned server: TLS 1.3, the server's key admitted by admit alone, whatever
// name its certificate bears. A nil admit admits nobody. Make one for each server, because it remembers that server's sessions.
func PinnedClient(cert tls.Certificate, admit Admit) *tls.Config {
	c := pinned(cert, admit)
	c.InsecureSkipVerify = true // names and authorities prove nothing here; VerifyConnection checks the pin, also on resumption
	c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	return c
}

func pinned(cert tls.Certificate, admit Admit) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		Certificates:     []tls.Certificate{cert},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, err := PeerOf(&state)
			if err != nil {
				return err
			}
			if admit == nil {
				return countersign.Refuse(countersign.CodeSignature, "no key is admitted to this connection")
			}
			return admit(peer)
		},
	}
}

// PeerOf tells the key at the other end of a connection that a pinned configuration made. It refuses a connection without exactly one
// certificate, or with a key that is neither Ed25519 nor P-256.
func PeerOf(state *tls.ConnectionState) (SPKIDigest, error) {
	if state == nil || len(state.PeerCertificates) != 1 {
		return SPKIDigest{}, countersign.Refuse(countersign.CodeSignature, "the peer shows no certificate of its own, or a chain: one self-signed certificate is due")
	}
	leaf := state.PeerCertificates[0]
	if _, err := countersign.AlgorithmOf(leaf.PublicKey); err != nil {
		return SPKIDigest{}, err
	}
	return sha256.Sum256(leaf.RawSubjectPublicKeyInfo), nil
}
