package ceremony

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

// SignOptions let a body on its own machine judge more than the folder shows by itself.
type SignOptions struct {
	// Trusted is a root that the body trusts from before, any version of it. When given, the folder's published state must follow from it.
	Trusted []byte
	// Judge is a further check of the document, for instance that its Cedar rules compile; may be nil.
	Judge func(*countersign.Directory) error
}

// Sign judges a staged folder, or a copy of one, and adds a body's signature to all in it that the body's key may sign. A key of no body is refused, and so is a
// proposal that must not be signed. Signing again replaces the body's signature.
func Sign(folder string, key crypto.Signer, o SignOptions, now time.Time) (*Report, error) {
	p, err := open(folder, now)
	if err != nil {
		return nil, err
	}
	if err := p.follows(o.Trusted); err != nil {
		return nil, err
	}
	if o.Judge != nil && p.targets != nil {
		if err := o.Judge(p.issues[len(p.issues)-1].Document); err != nil {
			return nil, err
		}
	}
	id, err := federation.TUFKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	var signed bool
	if p.root != nil && (lists(p.root, metadata.ROOT, id) || p.published != nil && lists(p.published.Root, metadata.ROOT, id)) {
		if err := federation.Sign(p.root, key); err != nil {
			return nil, err
		}
		signed = true
	}
	if p.targets != nil && lists(p.signingRoot(), metadata.TARGETS, id) {
		if err := federation.Sign(p.targets, key); err != nil {
			return nil, err
		}
		signed = true
	}
	if !signed {
		return nil, countersign.Refuse(countersign.CodeSignature, "this key is of no governing body of the proposal's root: sign with the key that the root lists")
	}
	if err := p.writeSignatures(); err != nil {
		return nil, err
	}
	return p.report()
}

func lists(root *metadata.Metadata[metadata.RootType], role, id string) bool {
	return slices.Contains(root.Signed.Roles[role].KeyIDs, id)
}

// follows wants the published state to come from the trusted root: to be it, or to have it in its verified chain.
func (p *proposal) follows(trusted []byte) error {
	if trusted == nil {
		return nil
	}
	if p.published != nil && slices.ContainsFunc(p.published.Roots, func(r []byte) bool { return bytes.Equal(r, trusted) }) {
		return nil
	}
	return countersign.Refuse(countersign.CodeSignature, "the proposal does not build upon the root that you trust: fetch it from the directory's host again")
}

// Merge brings the signatures of a copy into the staged folder. The copy must propose the very same; signatures that are not valid are left out, and the
// report shows whose are there. The copy is only read.
func Merge(f federation.Folder, copied string, now time.Time) (*Report, error) {
	p, err := open(f.Staged(), now)
	if err != nil {
		return nil, err
	}
	q := &proposal{folder: copied}
	if err := q.readSigned(); err != nil {
		return nil, err
	}
	if !sameSigned(p.root, q.root) || !sameSigned(p.targets, q.targets) {
		return nil, countersign.Refuse(countersign.CodeSignature, "%s holds signatures of another proposal: give the bodies a copy of %s", copied, f.Staged())
	}
	if p.root != nil {
		roots := []*metadata.Metadata[metadata.RootType]{p.root}
		if p.published != nil {
			roots = append(roots, p.published.Root)
		}
		adopt(p.root, q.root, metadata.ROOT, roots...)
	}
	if p.targets != nil {
		adopt(p.targets, q.targets, metadata.TARGETS, p.signingRoot())
	}
	if err := p.writeSignatures(); err != nil {
		return nil, err
	}
	return p.report()
}

// readSigned reads the metadata alone: a body may bring back the two files without the rest.
func (p *proposal) readSigned() (err error) {
	if p.root, err = optional(p.folder, rootFile, metadata.Root().FromBytes); err != nil {
		return err
	}
	p.targets, err = optional(p.folder, targetsFile, metadata.Targets().FromBytes)
	return err
}

func optional[T metadata.Roles](folder, name string, parse func([]byte) (*metadata.Metadata[T], error)) (*metadata.Metadata[T], error) {
	raw, err := federation.ReadFile(folder, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // an absent file is no proposal for that role
	}
	if err != nil {
		return nil, fmt.Errorf("reading the copy: %w", err)
	}
	m, err := parse(raw)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "%s in %s is not signed metadata", name, folder)
	}
	return m, nil
}

// adopt takes from copied each signature that one of the roots accepts for the role and that is not in m yet.
func adopt[T metadata.Roles](m, copied *metadata.Metadata[T], role string, roots ...*metadata.Metadata[metadata.RootType]) {
	for _, s := range copied.Signatures {
		single := *copied
		single.Signatures = []metadata.Signature{s}
		valid := slices.ContainsFunc(roots, func(r *metadata.Metadata[metadata.RootType]) bool {
			return lists(r, role, s.KeyID) && validBy(r, role, s.KeyID, &single)
		})
		if valid && !slices.ContainsFunc(m.Signatures, func(x metadata.Signature) bool { return x.KeyID == s.KeyID }) {
			m.Signatures = append(m.Signatures, s)
		}
	}
}
