package ceremony

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// How long signed metadata live before the bodies must sign again, and how long signing may take before a proposal's dates no longer fit.
const (
	RootLife      = 365 * 24 * time.Hour
	TargetsLife   = 365 * 24 * time.Hour
	SigningWindow = 3 * 24 * time.Hour
)

// DefaultThreshold is how many of the bodies must sign.
const DefaultThreshold = 3

// InitOptions describe a new federation's root.
type InitOptions struct {
	Instance  string
	Bodies    []countersign.Body
	Threshold int // of bodies; 0 is DefaultThreshold; a majority at least
	Snapshot  crypto.PublicKey
	Timestamp crypto.PublicKey // the online keys of the directory's host; it may be the same key
}

// Init stages the first root. The first document is proposed next and signed with it. A folder that has a repository or a proposal is refused.
// A program on simulated time marks the root demo; none other does.
func Init(f federation.Folder, o InitOptions, now time.Time) error {
	if err := vacant(f); err != nil {
		return err
	}
	if _, err := os.Stat(f.FirstRoot()); !errors.Is(err, fs.ErrNotExist) {
		return countersign.Refuse(countersign.CodeBadRequest, "%s holds a repository already: choose an empty folder", f)
	}
	if o.Threshold == 0 {
		o.Threshold = DefaultThreshold
	}
	if err := countersign.CheckNewIdentifierPart(o.Instance); err != nil {
		return fmt.Errorf("instance: %w", err)
	}
	root := metadata.Root(seconds(now.Add(RootLife)))
	mark := federation.Mark{Instance: o.Instance, Demo: clock.Simulated, Bodies: map[string]countersign.BodyName{}}
	for i, b := range o.Bodies {
		pub, err := keys.PublicKeyText(b.Key).Parse()
		if err != nil {
			return fmt.Errorf("bodies[%d].key: %w", i, err)
		}
		if err := addBody(&root.Signed, &mark, b.Name, pub); err != nil {
			return fmt.Errorf("bodies[%d]: %w", i, err)
		}
	}
	if o.Threshold < majority(len(o.Bodies)) || o.Threshold > len(o.Bodies) || len(o.Bodies) < 3 {
		return countersign.Refuse(countersign.CodeBadRequest, "threshold: %d of %d bodies: name at least three bodies and a threshold of a majority of them", o.Threshold, len(o.Bodies))
	}
	root.Signed.Roles[metadata.ROOT].Threshold = o.Threshold
	root.Signed.Roles[metadata.TARGETS].Threshold = o.Threshold
	for role, pub := range map[string]crypto.PublicKey{metadata.SNAPSHOT: o.Snapshot, metadata.TIMESTAMP: o.Timestamp} {
		if err := setOnline(&root.Signed, role, pub); err != nil {
			return fmt.Errorf("online key for %s: %w", role, err)
		}
	}
	if err := federation.SetMark(&root.Signed, mark); err != nil {
		return err
	}
	p := &proposal{folder: f.Staged(), root: root}
	if err := p.judgeRoot(now); err != nil {
		return err
	}
	return p.write()
}

func addBody(root *metadata.RootType, mark *federation.Mark, name countersign.BodyName, pub crypto.PublicKey) error {
	id, err := federation.TUFKeyID(pub)
	if err != nil {
		return err
	}
	if mark.Bodies[id] != "" {
		return countersign.Refuse(countersign.CodeBadRequest, "the key is that of %s already: each body has its own", mark.Bodies[id])
	}
	for _, taken := range mark.Bodies {
		if taken == name {
			return countersign.Refuse(countersign.CodeBadRequest, "there is a body %q already", name)
		}
	}
	k, err := metadata.KeyFromPublicKey(pub)
	if err != nil {
		return fmt.Errorf("adding a key: %w", err)
	}
	for _, role := range []string{metadata.ROOT, metadata.TARGETS} {
		if err := root.AddKey(k, role); err != nil {
			return fmt.Errorf("adding a key: %w", err)
		}
	}
	mark.Bodies[id] = name
	return nil
}

func setOnline(root *metadata.RootType, role string, pub crypto.PublicKey) error {
	if _, err := federation.TUFKeyID(pub); err != nil {
		return err
	}
	for _, old := range append([]string{}, root.Roles[role].KeyIDs...) {
		if err := root.RevokeKey(old, role); err != nil {
			return fmt.Errorf("replacing a key: %w", err)
		}
	}
	k, err := metadata.KeyFromPublicKey(pub)
	if err != nil {
		return fmt.Errorf("adding a key: %w", err)
	}
	if err := root.AddKey(k, role); err != nil {
		return fmt.Errorf("adding a key: %w", err)
	}
	return nil
}

// seconds drops what TUF's dates do not carry.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Options of a proposal.
type Options struct {
	// Effective is when widening changes act; zero chooses the waiting period and SigningWindow from now. It is ignored where nothing widens.
	Effective time.Time
	// Replace drops a proposal that is staged already, with its signatures.
	Replace bool
}

// Propose stages a document, in the JSON form of countersign.Directory, with the descriptions of its services by target name. Descriptions that are published
// already need not be given again. Nothing is signed. Errors are those of the document, all at once, or say that another proposal is staged.
func Propose(f federation.Folder, document []byte, openapi map[string][]byte, o Options, now time.Time) (*Report, error) {
	p, err := begin(f, o)
	if err != nil {
		return nil, err
	}
	if err := p.set(document, openapi, o, now); err != nil {
		return nil, err
	}
	return p.stage(now)
}

// begin opens the folder for a new proposal: upon a staged first root, or upon what is published.
func begin(f federation.Folder, o Options) (*proposal, error) {
	p := &proposal{folder: f.Staged()}
	a, err := f.LoadApproval()
	if errors.Is(err, fs.ErrNotExist) {
		if err := p.read(); err != nil {
			return nil, err
		}
		if p.root == nil {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "%s holds no repository: begin with the federation's first root", f)
		}
		if p.targets != nil && !o.Replace {
			return nil, staged(f)
		}
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if o.Replace {
		if err := Withdraw(f); err != nil {
			return nil, err
		}
	}
	p.published = a
	return p, vacant(f)
}

func staged(f federation.Folder) error {
	return countersign.Refuse(countersign.CodeBadRequest, "%s holds a proposal that waits for signatures: publish or withdraw it first, or replace it", f.Staged())
}

func vacant(f federation.Folder) error {
	if _, err := os.Stat(f.Staged()); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading the proposal: %w", err)
	}
	return staged(f)
}

// Withdraw drops the staged proposal with its signatures.
func Withdraw(f federation.Folder) error {
	if err := os.RemoveAll(f.Staged()); err != nil {
		return fmt.Errorf("withdrawing the proposal: %w", err)
	}
	return nil
}

// set makes document the newest of the proposal's targets, beside the published ones that still matter.
func (p *proposal) set(document []byte, openapi map[string][]byte, o Options, now time.Time) error {
	d, err := countersign.ParseDirectory(document)
	if err != nil {
		return err
	}
	dates := federation.Dates{Version: d.Version, Announced: seconds(now), Effective: seconds(now)}
	var before []federation.Issue
	known := map[string][]byte{}
	version := int64(1)
	if p.published != nil && p.published.Targets != nil {
		before, known, version = p.published.Issues, p.published.Files, p.published.Targets.Signed.Version+1
	}
	if len(before) > 0 {
		last := before[len(before)-1]
		switch {
		case d.Version == last.Version:
			dates = last.Dates // the same document signed anew keeps its dates
		case federation.Widens(federation.Changes(last.Document, d)):
			if dates.Effective = seconds(o.Effective); o.Effective.IsZero() {
				dates.Effective = seconds(now.Add(federation.WaitingPeriod(last.Document) + SigningWindow))
			}
		case last.Effective.After(now):
			dates.Effective = last.Effective // it carries on what waits
		}
	}
	issue, err := federation.NewIssue(document, dates)
	if err != nil {
		return err
	}
	t := metadata.Targets(seconds(now.Add(TargetsLife)))
	t.Signed.Version = version
	p.targets, p.files = t, map[string][]byte{}
	older := federation.Since(hold(before), now)
	p.issues = nil
	for _, old := range older {
		if old.Version == issue.Version {
			continue
		}
		if err := p.addDocument(federation.OlderDocument(old.Version), old.Issue); err != nil {
			return err
		}
	}
	if err := p.addDocument(federation.TargetDocument, issue); err != nil {
		return err
	}
	return p.addDescriptions(d, known, openapi)
}

func (p *proposal) addDocument(name string, x federation.Issue) error {
	custom, err := json.Marshal(x.Dates)
	if err != nil {
		return fmt.Errorf("dating a document: %w", err)
	}
	raw := json.RawMessage(custom)
	p.issues = append(p.issues, x)
	return p.addFile(name, x.Raw(), &raw)
}

func (p *proposal) addFile(name string, content []byte, custom *json.RawMessage) error {
	file, err := metadata.TargetFile().FromBytes(name, content, "sha256")
	if err != nil {
		return fmt.Errorf("adding the target %s: %w", name, err)
	}
	file.Custom = custom
	p.targets.Signed.Targets[name] = file
	p.files[name] = content
	return nil
}

// addDescriptions adds those that the document names, the given ones before the published ones.
func (p *proposal) addDescriptions(d *countersign.Directory, known, given map[string][]byte) error {
	unused := maps.Clone(given)
	for _, s := range d.Services {
		content := given[s.OpenAPI]
		if content == nil {
			content = known[s.OpenAPI]
		}
		delete(unused, s.OpenAPI)
		if s.OpenAPI == "" || content == nil || federation.IsDocument(s.OpenAPI) {
			continue // the check names what is missing
		}
		if err := p.addFile(s.OpenAPI, content, nil); err != nil {
			return err
		}
	}
	for name := range unused {
		return countersign.Refuse(countersign.CodeBadRequest, "the description %q is named by no service of the document", name)
	}
	return nil
}

// stage judges and writes the proposal.
func (p *proposal) stage(now time.Time) (*Report, error) {
	if err := errors.Join(p.judgeRoot(now), p.judgeTargets(now)); err != nil {
		return nil, err
	}
	if err := p.write(); err != nil {
		return nil, err
	}
	return p.report()
}
