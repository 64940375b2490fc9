package ceremony

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

// Publish hands what the threshold has signed to the directory's host, which announces it in the log and serves it ([federation.Host]), and clears the staged folder. Without
// the threshold it changes nothing, and the CodeSignature refusal says how many signatures are missing, and whose (A46).
// It may be repeated after a crash.
func Publish(f federation.Folder, now time.Time) (*Report, error) {
	p, err := open(f.Staged(), now)
	if err != nil {
		return nil, err
	}
	if p.targets == nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the first root is published together with the first document: propose one")
	}
	r, err := p.report()
	if err != nil {
		return nil, err
	}
	for _, a := range r.Approvals {
		if !a.Complete() {
			return r, countersign.Refuse(countersign.CodeSignature, "not published: %s", a)
		}
	}
	if err := p.isNext(f); err != nil {
		return nil, err
	}
	if err := p.approve(f); err != nil {
		return nil, err
	}
	return r, Withdraw(f)
}

// isNext wants the approved folder to be in the state that the proposal changes, or in one that this very publication left half done.
func (p *proposal) isNext(f federation.Folder) error {
	if p.published == nil {
		if raw, err := os.ReadFile(f.FirstRoot()); err == nil && !p.isRoot(raw) {
			return countersign.Refuse(countersign.CodeBadRequest, "%s holds another repository", f)
		}
		return nil
	}
	last := p.published.Roots[len(p.published.Roots)-1]
	if raw, err := os.ReadFile(f.RootFile(p.published.Root.Signed.Version)); err != nil || !bytes.Equal(raw, last) {
		return countersign.Refuse(countersign.CodeBadRequest, "the proposal builds upon another root than is published here: propose it again")
	}
	for _, x := range []struct {
		path string
		mine func([]byte) bool
	}{
		{f.RootFile(p.published.Root.Signed.Version + 1), p.isRoot},
		{f.TargetsFile(p.targets.Signed.Version), p.isTargets},
	} {
		raw, err := os.ReadFile(x.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !x.mine(raw) {
			return countersign.Refuse(countersign.CodeBadRequest, "something else was published since this was proposed: propose it again")
		}
	}
	return nil
}

func (p *proposal) isRoot(raw []byte) bool {
	if p.root == nil {
		return false
	}
	mine, err := p.root.ToBytes(false)
	return err == nil && bytes.Equal(mine, raw)
}

func (p *proposal) isTargets(raw []byte) bool {
	mine, err := p.targets.ToBytes(false)
	return err == nil && bytes.Equal(mine, raw)
}

// approve writes what was signed: targets before the metadata that name them, the root before the targets metadata that it lets sign.
func (p *proposal) approve(f federation.Folder) error {
	for name, raw := range p.files {
		if err := federation.WriteFile(filepath.Join(f.Approved(), "targets", federation.HashedName(name, raw)), raw); err != nil {
			return err
		}
	}
	if p.root != nil {
		if err := writeMetadata(f.RootFile(p.root.Signed.Version), p.root); err != nil {
			return err
		}
	}
	return writeMetadata(f.TargetsFile(p.targets.Signed.Version), p.targets)
}
