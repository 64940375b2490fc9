//go:build unix

package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign.dev/countersign"
)

// keyFolder is a folder as an operator makes it for keys.
func keyFolder(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestKeyFiles(t *testing.T) {
	for _, kind := range []countersign.SignatureAlgorithm{countersign.AlgorithmEd25519, countersign.AlgorithmP256} {
		t.Run(string(kind), func(t *testing.T) {
			folder := keyFolder(t)
			path := filepath.Join(folder, "sign.pem")
			made, err := GenerateFile(path, kind)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Fatalf("%v %v", info.Mode(), err)
			}
			read, err := Open("file:" + path)
			if err != nil {
				t.Fatal(err)
			}
			if read.KeyID() != made.KeyID() || !read.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(made.Public()) {
				t.Error("another key came back")
			}
			sig, err := countersign.SignPlain(read, []byte("m"))
			if err != nil || countersign.VerifyPlain(made.Public(), []byte("m"), sig) != nil {
				t.Error(err)
			}
			if err := errors.Join(read.Close(), read.Close()); err != nil {
				t.Error(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := GenerateFile(path, kind); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a key is replaced: %v", err)
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file changed: %v", err)
			}
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v %v", entries, err)
			}
		})
	}
	if _, err := GenerateFile(filepath.Join(keyFolder(t), "k"), countersign.AlgorithmTree); countersign.CodeOf(err) != countersign.CodeBadRequest {
		t.Errorf("a kind that is none: %v", err)
	}
}

func TestUnsafeKeyFilesAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"group may read":  func(p string) error { return os.Chmod(p, 0o640) },
		"others may read": func(p string) error { return os.Chmod(p, 0o604) },
		"group may write": func(p string) error { return os.Chmod(p, 0o620) },
		"executable":      func(p string) error { return os.Chmod(p, 0o700) },
		"symbolic link": func(p string) error {
			return errors.Join(os.Rename(p, p+".real"), os.Symlink(p+".real", p))
		},
		"link to nothing": func(p string) error { return errors.Join(os.Remove(p), os.Symlink("nowhere", p)) },
		"folder":          func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o600)) },
		"pipe":            func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) },
		"open folder":     func(p string) error { return os.Chmod(filepath.Dir(p), 0o770) },
		"public folder":   func(p string) error { return os.Chmod(filepath.Dir(p), 0o1777) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(keyFolder(t), "sign.pem")
			if _, err := GenerateFile(path, countersign.AlgorithmEd25519); err != nil {
				t.Fatal(err)
			}
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); countersign.CodeOf(err) != countersign.CodeBadRequest {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := Load(filepath.Join(keyFolder(t), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := GenerateFile(filepath.Join(open, "k"), countersign.AlgorithmEd25519); countersign.CodeOf(err) != countersign.CodeBadRequest {
		t.Errorf("a key in an open folder: %v", err)
	}
}

func TestForeignKeyFilesAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		// Only root can give a file away; an ordinary user's own files prove the other half: what root owns is not ours.
		if ours(stat(t, "/")) {
			t.Fatal("the root folder is taken for ours")
		}
		return
	}
	path := filepath.Join(keyFolder(t), "sign.pem")
	if _, err := GenerateFile(path, countersign.AlgorithmEd25519); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); countersign.CodeOf(err) != countersign.CodeBadRequest {
		t.Errorf("another user's file: %v", err)
	}
	if err := errors.Join(os.Chown(path, 0, -1), os.Chown(filepath.Dir(path), 12345, -1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); countersign.CodeOf(err) != countersign.CodeBadRequest {
		t.Errorf("another user's folder: %v", err)
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestOtherContentsAreRefused(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, key any, headers map[string]string) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der, Headers: headers}))
	}
	signer := generate(t, countersign.AlgorithmEd25519).(*namedSigner).Signer
	good := encode(pemType, signer, nil)
	secret := strings.Split(good, "\n")[1]
	for name, text := range map[string]string{
		"nothing": "", "text": "a key", "twice": good + good, "after": good + "x", "before": "x\n" + good, "headers": encode(pemType, signer, map[string]string{"Proc-Type": "4,ENCRYPTED"}),
		"another type": encode("ED25519 PRIVATE KEY", signer, nil), "RSA": encode(pemType, rsaKey, nil), "P-384": encode(pemType, p384, nil),
		"long": good + strings.Repeat("\n", maxKeyFile), "broken": strings.Replace(good, "MC4C", "MC4D", 1),
	} {
		path := filepath.Join(keyFolder(t), "k")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the key", name)
		}
	}
	if err := Save(filepath.Join(keyFolder(t), "k"), &slowKey{Signer: generate(t, countersign.AlgorithmEd25519)}); countersign.CodeOf(err) != countersign.CodeBadRequest {
		t.Errorf("a key that is not in memory: %v", err)
	}
}

func TestSpecs(t *testing.T) {
	for _, spec := range []string{"", "file", "file:", "/etc/key", "pkcs12:x", "FILE:/x"} {
		if _, err := Open(spec); countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestPublicKeyText(t *testing.T) {
	for _, kind := range []countersign.SignatureAlgorithm{countersign.AlgorithmEd25519, countersign.AlgorithmP256} {
		key := generate(t, kind)
		text, err := EncodePublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		pub, err := text.Parse()
		if err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("%v", err)
		}
		digest, err := SPKIDigestOf(pub)
		if err != nil || digest.KeyID() != key.KeyID() {
			t.Errorf("%s, want %s: %v", digest.KeyID(), key.KeyID(), err)
		}
		if again, err := ParseSPKIDigest(key.KeyID()); err != nil || again != digest {
			t.Errorf("%v", err)
		}
		for _, bad := range []PublicKeyText{"", text + "=", text[1:], " " + text, text + "\n", PublicKeyText(strings.TrimRight(string(text), "=")) + "!", "AAAA"} {
			if bad == text {
				continue
			}
			if _, err := bad.Parse(); countersign.CodeOf(err) != countersign.CodeBadRequest {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(r.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := PublicKeyText(base64.StdEncoding.EncodeToString(der)).Parse(); err == nil {
		t.Error("an RSA key is read")
	}
	for _, bad := range []countersign.KeyID{"", "AA", "*", countersign.KeyID(strings.Repeat("A", 44))} {
		if _, err := ParseSPKIDigest(bad); countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzPublicKeyText(f *testing.F) {
	for _, kind := range []countersign.SignatureAlgorithm{countersign.AlgorithmEd25519, countersign.AlgorithmP256} {
		text, err := EncodePublicKey(generate(f, kind).Public())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		pub, err := PublicKeyText(text).Parse()
		if err != nil {
			return
		}
		again, err := EncodePublicKey(pub)
		if err != nil || string(again) != text {
			t.Fatalf("%q came back as %q (%v)", text, again, err)
		}
	})
}
