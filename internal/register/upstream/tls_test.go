package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/register/registertest"
)

func TestConformanceOverMutualTLS(t *testing.T) {
	pki := newPKI(t)
	registertest.Run(t, func(t *testing.T) registertest.Harness {
		s := pki.server(t, personService())
		return registertest.Harness{
			Register: start(t, Config{URL: s.URL + "/", CA: pki.ca, Cert: pki.cert, Key: pki.key, ServerName: "register.demo"}),
			Break:    s.Close,
		}
	})
}

func TestForeignCertificatesAreRefused(t *testing.T) {
	pki, other := newPKI(t), newPKI(t)
	s := pki.server(t, personService())
	for name, c := range map[string]Config{
		"other authority":   {URL: s.URL, CA: other.ca, Cert: pki.cert, Key: pki.key, ServerName: "register.demo"},
		"other name":        {URL: s.URL, CA: pki.ca, Cert: pki.cert, Key: pki.key, ServerName: "other.demo"},
		"no certificate":    {URL: s.URL, CA: pki.ca, ServerName: "register.demo"},
		"other certificate": {URL: s.URL, CA: pki.ca, Cert: other.cert, Key: other.key, ServerName: "register.demo"},
	} {
		a, err := start(t, c).Ask(t.Context(), registertest.Question("GET", "4B10000"))
		if err == nil {
			_, err = register.ReadBounded(a, 0)
		}
		if !errors.Is(err, countersign.CodeNetwork) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type pki struct {
	ca, cert, key string
	pool          *x509.CertPool
	serverPair    tls.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	dir := t.TempDir()
	p := &pki{ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), pool: x509.NewCertPool()}
	var caCert *x509.Certificate
	var caKey *ecdsa.PrivateKey
	issue := func(serial int64, name string, usage x509.ExtKeyUsage, isCA bool) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{usage}, IsCA: isCA, BasicConstraintsValid: true,
		}
		parent, signer := caCert, caKey
		if isCA {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	der, key := issue(1, "authority.demo", x509.ExtKeyUsageAny, true)
	var err error
	if caCert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	caKey = key
	p.pool.AddCert(caCert)
	write(p.ca, "CERTIFICATE", der)
	der, key = issue(2, "register.demo", x509.ExtKeyUsageServerAuth, false)
	p.serverPair = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	der, key = issue(3, "gateway.demo", x509.ExtKeyUsageClientAuth, false)
	write(p.cert, "CERTIFICATE", der)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(p.key, "PRIVATE KEY", pkcs8)
	return p
}

func (p *pki) server(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.serverPair}, ClientCAs: p.pool, ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}
