package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
)

var errRemoved = errors.New("the directory has removed this key")

// directory admits the keys it holds.
type directory struct {
	mu   sync.Mutex
	keys map[SPKIDigest]bool
}

func directoryOf(t testing.TB, keys ...Signer) *directory {
	t.Helper()
	d := &directory{keys: map[SPKIDigest]bool{}}
	for _, k := range keys {
		d.keys[digestOf(t, k)] = true
	}
	return d
}

func digestOf(t testing.TB, k Signer) SPKIDigest {
	t.Helper()
	digest, err := SPKIDigestOf(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func (d *directory) admit(peer SPKIDigest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.keys[peer] {
		return errRemoved
	}
	return nil
}

func (d *directory) remove(peer SPKIDigest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.keys, peer)
}

func certificate(t testing.TB, k Signer) tls.Certificate {
	t.Helper()
	c, err := SelfSigned(k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shake connects over loopback and says a word each way, so that session tickets arrive. It returns both sides' view and errors.
func shake(t testing.TB, server, client *tls.Config) (seen, sees tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			serverErr = err
			return
		}
		s := tls.Server(conn, server)
		defer func() { _ = s.Close() }()
		if serverErr = s.Handshake(); serverErr != nil {
			return
		}
		seen = s.ConnectionState()
		_, _ = s.Write([]byte("x"))
		_, _ = io.Copy(io.Discard, s)
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(conn, client)
	if clientErr = c.Handshake(); clientErr == nil {
		sees = c.ConnectionState()
		var word [1]byte
		_, clientErr = io.ReadFull(c, word[:]) // a refused client certificate shows here
	}
	_ = c.Close()
	<-done
	return seen, sees, serverErr, clientErr
}

func TestPinnedConnections(t *testing.T) {
	for _, kind := range []countersign.SignatureAlgorithm{countersign.AlgorithmEd25519, countersign.AlgorithmP256} {
		t.Run(string(kind), func(t *testing.T) {
			a, b := generate(t, kind), generate(t, kind)
			server := PinnedServer(certificate(t, b), directoryOf(t, a).admit)
			client := PinnedClient(certificate(t, a), directoryOf(t, b).admit)
			seen, sees, serverErr, clientErr := shake(t, server, client)
			if serverErr != nil || clientErr != nil {
				t.Fatal(serverErr, clientErr)
			}
			for _, side := range []struct {
				state tls.ConnectionState
				peer  Signer
			}{{seen, a}, {sees, b}} {
				if side.state.Version != tls.VersionTLS13 || side.state.CurveID != tls.X25519MLKEM768 {
					t.Errorf("TLS %x, key exchange %s", side.state.Version, side.state.CurveID)
				}
				if peer, err := PeerOf(&side.state); err != nil || peer != digestOf(t, side.peer) {
					t.Errorf("peer %s: %v", peer.KeyID(), err)
				}
			}
		})
	}
}

func TestStrangersAreRefused(t *testing.T) {
	a, b, stranger := generate(t, countersign.AlgorithmEd25519), generate(t, countersign.AlgorithmP256), generate(t, countersign.AlgorithmEd25519)
	server := PinnedServer(certificate(t, b), directoryOf(t, a).admit)
	client := PinnedClient(certificate(t, a), directoryOf(t, b).admit)
	for name, sides := range map[string][2]*tls.Config{
		"client":              {server, PinnedClient(certificate(t, stranger), directoryOf(t, b).admit)},
		"server":              {PinnedServer(certificate(t, stranger), directoryOf(t, a).admit), client},
		"server admits none":  {PinnedServer(certificate(t, b), nil), client},
		"client admits none":  {server, PinnedClient(certificate(t, a), nil)},
		"no certificate":      {server, PinnedClient(tls.Certificate{}, directoryOf(t, b).admit)},
		"older TLS":           {server, older(client)},
		"stolen certificate":  {server, PinnedClient(stolen(t, a, stranger), directoryOf(t, b).admit)},
		"a chain":             {server, PinnedClient(chain(t, a, stranger), directoryOf(t, b).admit)},
		"a key of other kind": {server, PinnedClient(rsaCertificate(t), directoryOf(t, b).admit)},
	} {
		_, _, serverErr, clientErr := shake(t, sides[0], sides[1])
		if serverErr == nil && clientErr == nil {
			t.Errorf("%s: admitted", name)
		}
	}
}

func older(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	return c
}

// stolen shows another's certificate without holding its key.
func stolen(t *testing.T, owner, thief Signer) tls.Certificate {
	c := certificate(t, owner)
	c.PrivateKey, c.Leaf = thief, nil
	return c
}

func chain(t *testing.T, first, second Signer) tls.Certificate {
	c := certificate(t, first)
	c.Certificate = append(c.Certificate, certificate(t, second).Certificate...)
	return c
}

func rsaCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A resumed session does not carry a removed key past the directory, on either side.
func TestRemovalActsOnResumedSessions(t *testing.T) {
	a, b := generate(t, countersign.AlgorithmEd25519), generate(t, countersign.AlgorithmEd25519)
	clients, servers := directoryOf(t, a), directoryOf(t, b)
	server := PinnedServer(certificate(t, b), clients.admit)
	client := PinnedClient(certificate(t, a), servers.admit)
	client.ServerName = "b" // the session cache's name; addresses differ here each time
	for i := range 2 {
		seen, sees, serverErr, clientErr := shake(t, server, client)
		if serverErr != nil || clientErr != nil {
			t.Fatal(serverErr, clientErr)
		}
		if resumed := i > 0; seen.DidResume != resumed || sees.DidResume != resumed {
			t.Fatalf("connection %d: resumed %v and %v", i, seen.DidResume, sees.DidResume)
		}
		if peer, err := PeerOf(&seen); err != nil || peer != digestOf(t, a) {
			t.Errorf("connection %d: peer %s: %v", i, peer.KeyID(), err)
		}
	}
	clients.remove(digestOf(t, a))
	if _, _, serverErr, _ := shake(t, server, client); !errors.Is(serverErr, errRemoved) {
		t.Errorf("a removed client resumes: %v", serverErr)
	}
	clients.keys[digestOf(t, a)] = true
	if _, _, serverErr, clientErr := shake(t, server, client); serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	servers.remove(digestOf(t, b))
	if _, _, _, clientErr := shake(t, server, client); !errors.Is(clientErr, errRemoved) {
		t.Errorf("a removed server resumes: %v", clientErr)
	}
}

func TestPeerOfNothing(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, state := range map[string]*tls.ConnectionState{
		"nil": nil, "no certificate": {}, "P-384": {PeerCertificates: []*x509.Certificate{{PublicKey: p384.Public()}}},
		"two": {PeerCertificates: make([]*x509.Certificate, 2)},
	} {
		if _, err := PeerOf(state); countersign.CodeOf(err) != countersign.CodeSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
}
