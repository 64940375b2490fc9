package ceremony

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// proposal is a staged folder, read and judged.
type proposal struct {
	folder    string
	published *federation.Approval // nil before the first publication
	root      *metadata.Metadata[metadata.RootType]
	targets   *metadata.Metadata[metadata.TargetsType]
	issues    []federation.Issue
	files     map[string][]byte
}

// The metadata of a proposal, in its folder.
const (
	rootFile    = "root.json"
	targetsFile = "targets.json"
)

// published is the folder within a staged one that proves what is published.
func publishedFolder(folder string) string { return filepath.Join(folder, "published") }

// open reads a staged folder and judges it at a time: what it returns is fit to be signed but for signatures.
func open(folder string, now time.Time) (*proposal, error) {
	p := &proposal{folder: folder}
	if err := p.read(); err != nil {
		return nil, err
	}
	if p.root == nil && p.targets == nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "%s holds no proposal: propose one first", folder)
	}
	if err := errors.Join(p.judgeRoot(now), p.judgeTargets(now)); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *proposal) read() (err error) {
	if p.published, err = federation.LoadApproval(publishedFolder(p.folder)); errors.Is(err, fs.ErrNotExist) {
		p.published = nil
	} else if err != nil {
		return fmt.Errorf("the published state in %s: %w", p.folder, err)
	}
	if raw, err := federation.ReadFile(p.folder, rootFile); err == nil {
		if p.root, err = metadata.Root().FromBytes(raw); err != nil {
			return fmt.Errorf("the proposed root: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the proposed root: %w", err)
	}
	raw, err := federation.ReadFile(p.folder, targetsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the proposed targets: %w", err)
	}
	if p.targets, err = metadata.Targets().FromBytes(raw); err != nil {
		return fmt.Errorf("the proposed targets: %w", err)
	}
	p.files = map[string][]byte{}
	read := func(name string, t *metadata.TargetFiles) ([]byte, error) {
		raw, err := federation.ReadTarget(filepath.Join(p.folder, "targets"), name, t)
		p.files[name] = raw
		return raw, err
	}
	if p.issues, err = federation.ReadIssues(p.targets.Signed.Targets, read); err != nil {
		return err
	}
	for name, t := range p.targets.Signed.Targets {
		if _, err := read(name, t); err != nil {
			return err
		}
	}
	return nil
}

// signingRoot is the root whose keys sign the proposed targets.
func (p *proposal) signingRoot() *metadata.Metadata[metadata.RootType] {
	if p.root != nil {
		return p.root
	}
	if p.published != nil {
		return p.published.Root
	}
	return nil
}

func (p *proposal) bad(format string, args ...any) error {
	return countersign.Refuse(countersign.CodeBadRequest, format, args...)
}

// judgeRoot holds a proposed root to the shape that this federation's roots have: one online key each for snapshot and timestamp, the bodies and
// their threshold for the rest, a majority.
func (p *proposal) judgeRoot(now time.Time) error {
	if p.root == nil {
		if p.published == nil {
			return p.bad("nothing is published and no root is proposed: begin with the federation's first root")
		}
		return nil
	}
	r := &p.root.Signed
	want := int64(1)
	if p.published != nil {
		want = p.published.Root.Signed.Version + 1
	}
	if r.Version != want {
		return p.bad("the proposed root has version %d, but %d is next: propose it again", r.Version, want)
	}
	if r.IsExpired(now) || !r.ConsistentSnapshot {
		return p.bad("the proposed root has expired or lacks consistent snapshots: propose it again")
	}
	mark, err := federation.MarkOf(r)
	if err != nil {
		return err
	}
	if err := mark.Admit(); err != nil {
		return err
	}
	for _, role := range []string{metadata.ROOT, metadata.TARGETS} {
		got := r.Roles[role]
		if got == nil || len(got.KeyIDs) != len(mark.Bodies) || got.Threshold < majority(len(mark.Bodies)) || got.Threshold > len(mark.Bodies) {
			return p.bad("the proposed root does not give %s to the bodies with a threshold of a majority", role)
		}
		for _, id := range got.KeyIDs {
			if mark.Bodies[id] == "" || r.Keys[id] == nil {
				return p.bad("the proposed root gives %s to a key of no body", role)
			}
		}
	}
	for _, role := range []string{metadata.SNAPSHOT, metadata.TIMESTAMP} {
		got := r.Roles[role]
		if got == nil || len(got.KeyIDs) != 1 || got.Threshold != 1 || mark.Bodies[got.KeyIDs[0]] != "" {
			return p.bad("the proposed root does not give %s to one online key that is no body's", role)
		}
	}
	for id, k := range r.Keys {
		if got, err := k.ID(); err != nil || got != id {
			return p.bad("the proposed root names the key %s by another name", id)
		}
	}
	if p.published != nil {
		before, err := federation.MarkOf(&p.published.Root.Signed)
		if err != nil {
			return err
		}
		if before.Instance != mark.Instance || before.Demo != mark.Demo {
			return p.bad("the proposed root is of another federation than the published one")
		}
		if p.targets == nil {
			return p.bad("a root with other keys needs the document signed anew: propose both together")
		}
	}
	return nil
}

// majority is the least threshold: no two groups of signers can disagree.
func majority(n int) int { return n/2 + 1 }

// judgeTargets holds a proposed document to the checks, to the order of versions and to the waiting period.
func (p *proposal) judgeTargets(now time.Time) error {
	if p.targets == nil {
		return nil
	}
	t := &p.targets.Signed
	want := int64(1)
	var before []federation.Issue
	if p.published != nil && p.published.Targets != nil {
		want = p.published.Targets.Signed.Version + 1
		before = p.published.Issues
	}
	if t.Version != want {
		return p.bad("the proposed targets have version %d, but %d is next: propose them again", t.Version, want)
	}
	if t.IsExpired(now) || t.Delegations != nil {
		return p.bad("the proposed targets have expired, or delegate to others: propose them again")
	}
	newest := p.issues[len(p.issues)-1]
	if err := errors.Join(federation.Check(newest.Document), federation.CheckTargets(newest.Document, func(name string) bool { return p.files[name] != nil })); err != nil {
		return err
	}
	if err := p.judgeBodies(newest.Document); err != nil {
		return err
	}
	if err := p.judgeHistory(before, now); err != nil {
		return err
	}
	return p.judgeDates(before, now)
}

// judgeBodies wants the document to list the bodies that the root lets sign.
func (p *proposal) judgeBodies(d *countersign.Directory) error {
	root := p.signingRoot()
	if root == nil {
		return nil // judgeRoot has said so
	}
	mark, err := federation.MarkOf(&root.Signed)
	if err != nil {
		return err
	}
	if d.Instance != mark.Instance {
		return p.bad("instance: the document says %q, its root %q", d.Instance, mark.Instance)
	}
	if mark.Demo && !d.Demo {
		return p.bad("demo: the root is of a demonstration on simulated time, and the document does not say so: label it")
	}
	named := map[string]bool{}
	for i, b := range d.Bodies {
		pub, err := keys.PublicKeyText(b.Key).Parse()
		if err != nil {
			return err
		}
		id, err := federation.TUFKeyID(pub)
		if err != nil {
			return err
		}
		if mark.Bodies[id] != b.Name {
			return p.bad("bodies[%d]: the root does not let %s sign with this key", i, b.Name)
		}
		named[id] = true
	}
	if len(named) != len(mark.Bodies) {
		return p.bad("bodies: the document lists %d, the root has %d", len(named), len(mark.Bodies))
	}
	return nil
}

// judgeHistory wants every published document that still matters to stay among the targets, unchanged.
func (p *proposal) judgeHistory(before []federation.Issue, now time.Time) error {
	if len(before) == 0 {
		if len(p.issues) != 1 || p.issues[0].Version != 1 {
			return p.bad("the first document has version 1 and stands alone")
		}
		return nil
	}
	last, newest := before[len(before)-1], p.issues[len(p.issues)-1]
	switch {
	case newest.Version == last.Version && newest.Digest() != last.Digest():
		return p.bad("version %d is published with another content: raise the version", newest.Version)
	case newest.Version != last.Version && newest.Version != last.Version+1:
		return p.bad("version: is %d, but %d is next", newest.Version, last.Version+1)
	}
	for _, old := range federation.Since(hold(before), now) {
		if !slices.ContainsFunc(p.issues, func(x federation.Issue) bool { return x.Digest() == old.Digest() && sameDates(x.Dates, old.Dates) }) {
			return p.bad("the proposal drops version %d, which is in force or waits: propose it again", old.Version)
		}
	}
	return nil
}

func sameDates(a, b federation.Dates) bool {
	return a.Version == b.Version && a.Announced.Equal(b.Announced) && a.Effective.Equal(b.Effective)
}

// judgeDates wants a widening change to wait its time in public, counted from now because it is not public before it is published.
func (p *proposal) judgeDates(before []federation.Issue, now time.Time) error {
	if len(before) == 0 {
		return nil // the first document widens nothing: there was no federation
	}
	last, newest := before[len(before)-1], p.issues[len(p.issues)-1]
	if newest.Version == last.Version || !federation.Widens(federation.Changes(last.Document, newest.Document)) {
		return nil
	}
	if earliest := now.Add(federation.WaitingPeriod(last.Document)); newest.Effective.Before(earliest) {
		return p.bad("the changes take effect at %s, but may not before %s: the waiting period is %s; propose them again with a later date",
			stamp(newest.Effective), stamp(earliest), federation.WaitingPeriod(last.Document))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func hold(issues []federation.Issue) []federation.Held {
	out := make([]federation.Held, len(issues))
	for i := range issues {
		out[i].Issue = issues[i]
	}
	return out
}

// write puts the proposal's own files into its folder.
func (p *proposal) write() error {
	for name, raw := range p.files {
		if err := federation.WriteFile(filepath.Join(p.folder, "targets", federation.HashedName(name, raw)), raw); err != nil {
			return err
		}
	}
	if p.published != nil {
		if err := federation.WriteApproval(publishedFolder(p.folder), p.published); err != nil {
			return err
		}
	}
	return p.writeSignatures()
}

func (p *proposal) writeSignatures() error {
	if p.root != nil {
		if err := writeMetadata(filepath.Join(p.folder, rootFile), p.root); err != nil {
			return err
		}
	}
	if p.targets != nil {
		return writeMetadata(filepath.Join(p.folder, targetsFile), p.targets)
	}
	return nil
}

func writeMetadata[T metadata.Roles](path string, m *metadata.Metadata[T]) error {
	raw, err := m.ToBytes(false)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return federation.WriteFile(path, raw)
}

// sameSigned compares what two metadata sign, not who signed it.
func sameSigned[T metadata.Roles](a, b *metadata.Metadata[T]) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.Signatures, y.Signatures = nil, nil
	rawX, errX := x.ToBytes(false)
	rawY, errY := y.ToBytes(false)
	return errX == nil && errY == nil && bytes.Equal(rawX, rawY)
}
