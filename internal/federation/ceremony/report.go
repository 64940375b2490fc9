package ceremony

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

// Report says in words what a proposal would change, and whose signatures it has.
type Report struct {
	Version   uint64              `json:"version"` // of the document; 0 where only a root is proposed so far
	Announced time.Time           `json:"announced"`
	Effective time.Time           `json:"effective"` // of the changes that wait; narrowing changes act once published
	Root      []string            `json:"root,omitempty"`
	Changes   []federation.Change `json:"changes"`
	Approvals []Approval          `json:"approvals"`
}

// Approval is the state of one threshold that the proposal needs.
type Approval struct {
	What      string                 `json:"what"`
	Threshold int                    `json:"threshold"`
	Signed    []countersign.BodyName `json:"signed"`
	Unsigned  []countersign.BodyName `json:"unsigned"`
}

// Complete reports whether the threshold is reached.
func (a Approval) Complete() bool { return len(a.Signed) >= a.Threshold }

// String is the state as a sentence.
func (a Approval) String() string {
	if a.Complete() {
		return fmt.Sprintf("%s: signed by %s", a.What, names(a.Signed))
	}
	missing := a.Threshold - len(a.Signed)
	have := "nobody has signed"
	if len(a.Signed) > 0 {
		have = "signed by " + names(a.Signed)
	}
	return fmt.Sprintf("%s: %d of %d signatures (%s); %d more needed of %s", a.What, len(a.Signed), a.Threshold, have, missing, names(a.Unsigned))
}

func names(list []countersign.BodyName) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}

// Complete reports whether the proposal can be published.
func (r *Report) Complete() bool {
	return !slices.ContainsFunc(r.Approvals, func(a Approval) bool { return !a.Complete() })
}

// String is the report for a terminal.
func (r *Report) String() string {
	var b strings.Builder
	if r.Version > 0 {
		fmt.Fprintf(&b, "Directory version %d\n", r.Version)
	}
	for _, line := range r.Root {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	for _, c := range r.Changes {
		fmt.Fprintf(&b, "  %s\n", c)
	}
	if r.Version > 0 && len(r.Changes) == 0 {
		b.WriteString("  no change of the document\n")
	}
	if federation.Widens(r.Changes) {
		fmt.Fprintf(&b, "Changes that wait take effect at %s, if this is published in time; the others once it is.\n", stamp(r.Effective))
	}
	b.WriteString("Signatures\n")
	for _, a := range r.Approvals {
		fmt.Fprintf(&b, "  %s\n", a)
	}
	switch {
	case r.Version == 0:
		b.WriteString("Propose the first document: the bodies sign it together with the root.\n")
	case r.Complete():
		b.WriteString("It can be published.\n")
	default:
		b.WriteString("It cannot be published yet.\n")
	}
	return b.String()
}

// Show reads a staged folder, or a copy of one, and says what it would change. The errors are those of a proposal that must not be signed.
func Show(folder string, now time.Time) (*Report, error) {
	p, err := open(folder, now)
	if err != nil {
		return nil, err
	}
	return p.report()
}

func (p *proposal) report() (*Report, error) {
	r := &Report{Changes: []federation.Change{}}
	if err := p.reportRoot(r); err != nil {
		return nil, err
	}
	if p.targets == nil {
		return r, nil
	}
	newest := p.issues[len(p.issues)-1]
	r.Version, r.Announced, r.Effective = newest.Version, newest.Announced, newest.Effective
	var before *countersign.Directory
	if p.published != nil && len(p.published.Issues) > 0 {
		before = p.published.Issues[len(p.published.Issues)-1].Document
	}
	r.Changes = federation.Changes(before, newest.Document)
	if before == nil {
		for i := range r.Changes {
			r.Changes[i].Narrowing = true // the first document acts at once
		}
	}
	root := p.signingRoot()
	a, err := approval("the document", root, metadata.TARGETS, p.targets)
	if err != nil {
		return nil, err
	}
	r.Approvals = append(r.Approvals, a)
	return r, nil
}

func (p *proposal) reportRoot(r *Report) error {
	if p.root == nil {
		return nil
	}
	mark, err := federation.MarkOf(&p.root.Signed)
	if err != nil {
		return err
	}
	if p.published == nil {
		r.Root = append(r.Root, fmt.Sprintf("+ federation %s of %d bodies, threshold %d", mark.Instance, len(mark.Bodies), p.root.Signed.Roles[metadata.ROOT].Threshold))
		for _, id := range p.root.Signed.Roles[metadata.ROOT].KeyIDs {
			r.Root = append(r.Root, fmt.Sprintf("+ body %s with key %.16s…", mark.Bodies[id], id))
		}
	} else if err := p.reportRotation(r, mark); err != nil {
		return err
	} else {
		a, err := approval("the new root, by the bodies of today", p.published.Root, metadata.ROOT, p.root)
		if err != nil {
			return err
		}
		r.Approvals = append(r.Approvals, a)
	}
	a, err := approval("the root", p.root, metadata.ROOT, p.root)
	if err != nil {
		return err
	}
	r.Approvals = append(r.Approvals, a)
	return nil
}

func (p *proposal) reportRotation(r *Report, mark federation.Mark) error {
	before, err := federation.MarkOf(&p.published.Root.Signed)
	if err != nil {
		return err
	}
	old, next := &p.published.Root.Signed, &p.root.Signed
	if a, b := old.Roles[metadata.ROOT].Threshold, next.Roles[metadata.ROOT].Threshold; a != b {
		r.Root = append(r.Root, fmt.Sprintf("~ threshold %d → %d", a, b))
	}
	for _, id := range old.Roles[metadata.ROOT].KeyIDs {
		if mark.Bodies[id] == "" {
			r.Root = append(r.Root, fmt.Sprintf("- body %s with key %.16s…", before.Bodies[id], id))
		}
	}
	for _, id := range next.Roles[metadata.ROOT].KeyIDs {
		if before.Bodies[id] == "" {
			r.Root = append(r.Root, fmt.Sprintf("+ body %s with key %.16s…", mark.Bodies[id], id))
		}
	}
	for _, role := range []string{metadata.SNAPSHOT, metadata.TIMESTAMP} {
		if a, b := old.Roles[role].KeyIDs[0], next.Roles[role].KeyIDs[0]; a != b {
			r.Root = append(r.Root, fmt.Sprintf("~ online key for %s: %.16s… → %.16s…", role, a, b))
		}
	}
	r.Root = append(r.Root, fmt.Sprintf("~ the root expires at %s", stamp(next.Expires)))
	return nil
}

// approval counts the valid signatures of a role by the bodies that a root names.
func approval[T metadata.Roles](what string, root *metadata.Metadata[metadata.RootType], role string, m *metadata.Metadata[T]) (Approval, error) {
	mark, err := federation.MarkOf(&root.Signed)
	if err != nil {
		return Approval{}, err
	}
	a := Approval{What: what, Threshold: root.Signed.Roles[role].Threshold}
	for _, id := range root.Signed.Roles[role].KeyIDs {
		if validBy(root, role, id, m) {
			a.Signed = append(a.Signed, mark.Bodies[id])
		} else {
			a.Unsigned = append(a.Unsigned, mark.Bodies[id])
		}
	}
	slices.Sort(a.Signed)
	slices.Sort(a.Unsigned)
	return a, nil
}

// validBy asks the library about one key alone: the root's role with this key and a threshold of one.
func validBy[T metadata.Roles](root *metadata.Metadata[metadata.RootType], role, id string, m *metadata.Metadata[T]) bool {
	alone := *root
	alone.Signed.Roles = map[string]*metadata.Role{role: {KeyIDs: []string{id}, Threshold: 1}}
	return alone.VerifyDelegate(role, m) == nil
}
