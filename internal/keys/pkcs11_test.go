//go:build pkcs11

package keys

import (
	"crypto/elliptic"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ThalesGroup/crypto11"

	"countersign.dev/countersign"
)

// softHSM is where Debian's softhsm2 keeps its library: apt-get install softhsm2.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// newToken makes a token with a P-256 key "sign", a P-384 key "other" and twins "twin". It gives the specification of a key by label.
func newToken(t *testing.T) (spec func(label string) string) {
	t.Helper()
	folder := keyFolder(t)
	conf, tokens, pin := filepath.Join(folder, "softhsm2.conf"), filepath.Join(folder, "tokens"), filepath.Join(folder, "pin")
	err := errors.Join(os.Mkdir(tokens, 0o700),
		os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600),
		os.WriteFile(pin, []byte("1234\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "a token", "--so-pin", "5678", "--pin", "1234").CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util (apt-get install softhsm2): %v\n%s", err, out)
	}
	token, err := crypto11.Configure(&crypto11.Config{Path: softHSM, TokenLabel: "a token", Pin: "1234"})
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range []struct {
		label string
		curve elliptic.Curve
	}{{"sign", elliptic.P256()}, {"other", elliptic.P384()}, {"twin", elliptic.P256()}, {"twin", elliptic.P256()}} {
		if _, err := token.GenerateECDSAKeyPairWithLabel([]byte{byte(i)}, []byte(k.label), k.curve); err != nil {
			t.Fatal(err)
		}
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	return func(label string) string {
		return "pkcs11:token=a%20token;object=" + label + "?module-path=" + softHSM + "&pin-source=file:" + pin
	}
}

func TestKeysInHardware(t *testing.T) {
	spec := newToken(t)
	key, err := Open(spec("sign"))
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	sig, err := countersign.SignPlain(key, message)
	if err != nil {
		t.Fatal(err)
	}
	if err := countersign.VerifyPlain(key.Public(), message, sig); err != nil {
		t.Error(err)
	}
	signer, err := NewBatchSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			wire, err := signer.Sign(t.Context(), countersign.DomainRequest, []byte{byte(i)})
			if err != nil {
				t.Error(err)
				return
			}
			checkWire(t, key, countersign.DomainRequest, []byte{byte(i)}, wire, 0)
		})
	}
	group.Wait()
	if err := signer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	peer := generate(t, countersign.AlgorithmEd25519)
	server := PinnedServer(certificate(t, key), directoryOf(t, peer).admit)
	client := PinnedClient(certificate(t, peer), directoryOf(t, key).admit)
	if _, _, serverErr, clientErr := shake(t, server, client); serverErr != nil || clientErr != nil {
		t.Error(serverErr, clientErr)
	}
	if err := errors.Join(key.Close(), key.Close()); err != nil {
		t.Error(err)
	}
	if _, err := countersign.SignPlain(key, message); err == nil {
		t.Error("a closed key signs")
	}
	for _, label := range []string{"absent", "other", "twin"} {
		if _, err := Open(spec(label)); countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", label, err)
		}
	}
	again, err := Open(spec("sign"))
	if err != nil || again.KeyID() != key.KeyID() {
		t.Errorf("opened again: %v", err)
	}
	if err == nil {
		_ = again.Close()
	}
}

func TestHardwareSpecs(t *testing.T) {
	const good = "pkcs11:token=a%20token;object=sign?module-path=/m.so&pin-source=file:/p"
	k, err := parsePKCS11(good)
	if err != nil || k != (hardwareKey{"a token", "sign", "/m.so", "/p"}) {
		t.Fatalf("%+v %v", k, err)
	}
	for _, spec := range []string{
		"pkcs11:", "pkcs11:token=a;object=b", good + "&pin-value=1234", good + "&module-path=/x", "pkcs11:token=a;token=b;object=c?module-path=/m&pin-source=/p",
		"pkcs11:token=a;object=b;serial=1?module-path=/m&pin-source=/p", "pkcs11:token=a;object=b?module-path=m&pin-source=/p",
		"pkcs11:token=a;object=b?module-path=/m&pin-source=p", "pkcs11:token=%zz;object=b?module-path=/m&pin-source=/p", "pkcs11:token=a;module-path=/m;object=b?pin-source=/p",
	} {
		if _, err := Open(spec); countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", spec, err)
		}
	}
}
