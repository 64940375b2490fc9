package federation

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"countersign.dev/countersign"
)

// Folder is a repository on the directory's host:
//
//	approved/  N.root.json, N.targets.json and targets/: what the bodies' threshold has signed; the ceremony writes here
//	served/    metadata/ and targets/ as clients read them; [Host] alone writes here
//	staged/    the proposal that waits for signatures; the ceremony's own
//
// Trusted? Nothing in it is: every reader verifies signatures from a root that it got elsewhere. A thief of the folder learns nothing that is not
// public and can serve nothing new; a saboteur can stop the directory, which then goes stale.
type Folder string

// Approved is the folder of what the threshold has signed.
func (f Folder) Approved() string { return filepath.Join(string(f), "approved") }

// Served is the folder that clients read.
func (f Folder) Served() string { return filepath.Join(string(f), "served") }

// Staged is the folder of the proposal.
func (f Folder) Staged() string { return filepath.Join(string(f), "staged") }

// FirstRoot is the file from which trust in this repository begins: members get a copy of it by a way of their own.
func (f Folder) FirstRoot() string { return filepath.Join(f.Approved(), rootName(1)) }

// RootFile names a version of the root metadata in the approved folder.
func (f Folder) RootFile(version int64) string {
	return filepath.Join(f.Approved(), rootName(version))
}

// TargetsFile names a version of the targets metadata in the approved folder.
func (f Folder) TargetsFile(version int64) string {
	return filepath.Join(f.Approved(), targetsName(version))
}

// HashedName is how a repository of consistent snapshots names a target's file.
//
// SPEC: TUF 1.0.31 §6.2: HASH.FILENAME.EXT.
func HashedName(name string, content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]) + "." + name
}

// Approval is the newest state that the bodies' threshold has signed.
type Approval struct {
	Root         *metadata.Metadata[metadata.RootType]
	Roots        [][]byte                                 // every version, the first first
	Targets      *metadata.Metadata[metadata.TargetsType] // nil before the first document
	TargetsBytes []byte
	Issues       []Issue
	Files        map[string][]byte // every target by its name
}

// LoadApproval reads and verifies the approved folder, from its first root on.
func (f Folder) LoadApproval() (*Approval, error) { return LoadApproval(f.Approved()) }

// LoadApproval reads and verifies a folder of the approved form, from its first root on. The error wraps fs.ErrNotExist where there is no root.
func LoadApproval(folder string) (*Approval, error) {
	raw, err := ReadFile(folder, rootName(1))
	if err != nil {
		return nil, fmt.Errorf("reading the repository: %w", err)
	}
	trusted, err := trustedmetadata.New(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the first root: %w", err)
	}
	a := &Approval{Roots: [][]byte{raw}, Files: map[string][]byte{}}
	for v := int64(2); ; v++ {
		raw, err := ReadFile(folder, rootName(v))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the repository: %w", err)
		}
		if _, err := trusted.UpdateRoot(raw); err != nil {
			return nil, fmt.Errorf("root version %d: %w", v, err)
		}
		a.Roots = append(a.Roots, raw)
	}
	a.Root = trusted.Root
	if _, err := admitRoot(&a.Root.Signed); err != nil {
		return nil, err
	}
	newest, err := newestVersion(folder, ".targets.json")
	if err != nil || newest == 0 {
		return a, err
	}
	if a.TargetsBytes, err = ReadFile(folder, targetsName(newest)); err != nil {
		return nil, fmt.Errorf("reading the repository: %w", err)
	}
	if err := a.readTargets(folder); err != nil {
		return nil, fmt.Errorf("targets version %d: %w", newest, err)
	}
	return a, nil
}

// WriteApproval writes an approval into a folder of the approved form: a copy that proves itself to whoever carries it away.
func WriteApproval(folder string, a *Approval) error {
	for i, raw := range a.Roots {
		if err := WriteFile(filepath.Join(folder, rootName(int64(i+1))), raw); err != nil {
			return err
		}
	}
	if a.Targets == nil {
		return nil
	}
	for name, raw := range a.Files {
		if err := WriteFile(filepath.Join(folder, "targets", HashedName(name, raw)), raw); err != nil {
			return err
		}
	}
	return WriteFile(filepath.Join(folder, targetsName(a.Targets.Signed.Version)), a.TargetsBytes)
}

func rootName(version int64) string { return fmt.Sprintf("%d.root.json", version) }

func parseTargets(raw []byte) (*metadata.Metadata[metadata.TargetsType], error) {
	t, err := metadata.Targets().FromBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("reading targets: %w", err)
	}
	return t, nil
}

func targetsName(version int64) string { return fmt.Sprintf("%d.targets.json", version) }

// readHashed reads the targets of a folder that holds them in its folder targets.
func readHashed(folder string) func(string, *metadata.TargetFiles) ([]byte, error) {
	return func(name string, t *metadata.TargetFiles) ([]byte, error) {
		return ReadTarget(filepath.Join(folder, "targets"), name, t)
	}
}

func (a *Approval) readTargets(folder string) (err error) {
	if a.Targets, err = parseTargets(a.TargetsBytes); err != nil {
		return err
	}
	if err := a.Root.VerifyDelegate(metadata.TARGETS, a.Targets); err != nil {
		return err
	}
	if a.Issues, err = ReadIssues(a.Targets.Signed.Targets, readHashed(folder)); err != nil {
		return err
	}
	for name, t := range a.Targets.Signed.Targets {
		if a.Files[name], err = readHashed(folder)(name, t); err != nil {
			return err
		}
	}
	return nil
}

// ReadTarget reads a target from a folder of hashed names and verifies it.
func ReadTarget(folder, name string, t *metadata.TargetFiles) ([]byte, error) {
	if !codeForm.MatchString(name) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "%q is no name of a target", name)
	}
	raw, err := ReadFile(folder, t.Hashes["sha256"].String()+"."+name)
	if err != nil {
		return nil, fmt.Errorf("reading the target %s: %w", name, err)
	}
	if err := t.VerifyLengthHashes(raw); err != nil {
		return nil, fmt.Errorf("the target %s is not what was signed: %w", name, err)
	}
	return raw, nil
}

// newestVersion finds the highest N of files named N and the suffix; 0 where there is none.
func newestVersion(folder, suffix string) (int64, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the repository: %w", err)
	}
	var newest int64
	for _, e := range entries {
		if text, ok := strings.CutSuffix(e.Name(), suffix); ok {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				newest = max(newest, n)
			}
		}
	}
	return newest, nil
}

// WriteFile puts a file in its place whole and durable, or not at all.
func WriteFile(path string, content []byte) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(folder, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// ReadFile reads a file of a folder, and no other, whatever its name or the links in its way say.
func ReadFile(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // opened to read
	return root.ReadFile(name)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder) //nolint:gosec // the folder that was just written to
	if err != nil {
		return fmt.Errorf("syncing %s: %w", folder, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sign adds a key's signature to TUF metadata, in the place of an older one by the same key. The key may live in hardware.
func Sign[T metadata.Roles](m *metadata.Metadata[T], key crypto.Signer) error {
	id, err := TUFKeyID(key.Public())
	if err != nil {
		return err
	}
	kept := m.Signatures[:0:0]
	for _, s := range m.Signatures {
		if s.KeyID != id {
			kept = append(kept, s)
		}
	}
	m.Signatures = kept
	if _, err := m.Sign(tufSigner{key}); err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	return nil
}

// TUFKeyID is a public key's identifier in TUF metadata.
func TUFKeyID(pub crypto.PublicKey) (string, error) {
	if _, err := countersign.AlgorithmOf(pub); err != nil {
		return "", err
	}
	k, err := metadata.KeyFromPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("naming a key: %w", err)
	}
	return k.ID()
}

// tufSigner lets go-tuf sign with any crypto.Signer: sigstore's own loader takes keys in memory only.
type tufSigner struct{ key crypto.Signer }

var _ signature.Signer = tufSigner{}

// PublicKey implements signature.Signer.
func (s tufSigner) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return s.key.Public(), nil
}

// SignMessage implements signature.Signer.
//
// SPEC: TUF 1.0.31 §4.2, keyids and signature schemes: ed25519 signs the message, ecdsa-sha2-nistp256 its SHA-256 in ASN.1 form.
func (s tufSigner) SignMessage(message io.Reader, _ ...signature.SignOption) ([]byte, error) {
	raw, err := io.ReadAll(message)
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	alg, err := countersign.AlgorithmOf(s.key.Public())
	if err != nil {
		return nil, err
	}
	if alg == countersign.AlgorithmEd25519 {
		return s.key.Sign(rand.Reader, raw, crypto.Hash(0))
	}
	sum := sha256.Sum256(raw)
	return s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// sameFile reports whether a file holds exactly this.
func sameFile(path string, content []byte) bool {
	have, err := ReadFile(filepath.Dir(path), filepath.Base(path))
	return err == nil && bytes.Equal(have, content)
}
