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

// Published is what the threshold has signed and the host has been handed.
type Published struct {
	Instance  string                 `json:"instance"`
	Version   uint64                 `json:"version"` // of the newest document
	InForce   uint64                 `json:"inForce"` // version whose widening changes act now; what narrows acts already
	Announced time.Time              `json:"announced"`
	Waiting   []federation.Waiting   `json:"waiting"`
	Bodies    []countersign.BodyName `json:"bodies"`
	Threshold int                    `json:"threshold"`
	Members   int                    `json:"members"`
	Services  int                    `json:"services"`
	// RenewBefore is when the first of root and targets expires: by then the bodies must have signed again.
	RenewBefore time.Time `json:"renewBefore"`
}

// ShowPublished reads and verifies what is published in a directory's folder. The error wraps fs.ErrNotExist where nothing is.
func ShowPublished(f federation.Folder, now time.Time) (*Published, error) {
	a, err := f.LoadApproval()
	if err != nil {
		return nil, err
	}
	mark, err := federation.MarkOf(&a.Root.Signed)
	if err != nil {
		return nil, err
	}
	p := &Published{
		Instance: mark.Instance, Waiting: []federation.Waiting{}, Threshold: a.Root.Signed.Roles[metadata.ROOT].Threshold, RenewBefore: a.Root.Signed.Expires,
	}
	for _, name := range mark.Bodies {
		p.Bodies = append(p.Bodies, name)
	}
	slices.Sort(p.Bodies)
	if a.Targets == nil {
		return p, nil
	}
	if e := a.Targets.Signed.Expires; e.Before(p.RenewBefore) {
		p.RenewBefore = e
	}
	newest := a.Issues[len(a.Issues)-1]
	p.Version, p.Announced = newest.Version, newest.Announced
	d, waiting, err := federation.InForce(federation.Since(hold(a.Issues), now), now)
	if err != nil {
		return nil, err
	}
	p.InForce, p.Members, p.Services = newest.Version, len(d.Members), len(d.Services)
	if len(waiting) > 0 {
		p.Waiting, p.InForce = waiting, waiting[0].Version-1
	}
	return p, nil
}

// String is the state for a terminal.
func (p *Published) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Federation %s of %d bodies, %d must sign: %s\n", p.Instance, len(p.Bodies), p.Threshold, names(p.Bodies))
	if p.Version == 0 {
		b.WriteString("No document is published yet.\n")
		return b.String()
	}
	fmt.Fprintf(&b, "Directory version %d, announced at %s: %d members, %d services\n", p.Version, stamp(p.Announced), p.Members, p.Services)
	for _, w := range p.Waiting {
		fmt.Fprintf(&b, "  version %d takes effect at %s; what it narrows acts already\n", w.Version, stamp(w.Effective))
	}
	if len(p.Waiting) == 0 {
		b.WriteString("  nothing waits\n")
	}
	fmt.Fprintf(&b, "The bodies must sign again before %s.\n", stamp(p.RenewBefore))
	return b.String()
}
