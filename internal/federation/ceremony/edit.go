package ceremony

import (
	"crypto"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// Edit proposes the newest published document as changed by a function, with the next version.
func Edit(f federation.Folder, change func(*countersign.Directory) error, o Options, now time.Time) (*Report, error) {
	p, err := begin(f, o)
	if err != nil {
		return nil, err
	}
	raw, err := p.edited(change)
	if err != nil {
		return nil, err
	}
	if err := p.set(raw, nil, o, now); err != nil {
		return nil, err
	}
	return p.stage(now)
}

func (p *proposal) edited(change func(*countersign.Directory) error) ([]byte, error) {
	if p.published == nil || len(p.published.Issues) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "nothing is published yet that could be changed: propose a first document")
	}
	d, err := countersign.ParseDirectory(p.published.Issues[len(p.published.Issues)-1].Raw())
	if err != nil {
		return nil, err
	}
	if err := change(d); err != nil {
		return nil, err
	}
	d.Version++
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	return raw, nil
}

// RemoveMember proposes the document without a member, and without what hangs on it: its services, grants, standing declarations, programmes,
// issuers and courts.
// It acts as soon as it is published.
func RemoveMember(f federation.Folder, id countersign.MemberID, o Options, now time.Time) (*Report, error) {
	return Edit(f, func(d *countersign.Directory) error { return withoutMember(d, id) }, o, now)
}

func withoutMember(d *countersign.Directory, id countersign.MemberID) error {
	n := len(d.Members)
	d.Members = slices.DeleteFunc(d.Members, func(m countersign.Member) bool { return m.ID == id })
	if len(d.Members) == n {
		return countersign.Refuse(countersign.CodeUnknownMember, "%s is not a member of this directory", id)
	}
	d.Services = slices.DeleteFunc(d.Services, func(s countersign.Service) bool { return s.ID.MemberID == id })
	for i := range d.Services {
		s := &d.Services[i]
		for j := range s.Grants {
			s.Grants[j].Clients = slices.DeleteFunc(s.Grants[j].Clients, func(text string) bool {
				client, err := countersign.ParseSubsystemID(text)
				return err == nil && client.MemberID == id
			})
		}
		s.Grants = slices.DeleteFunc(s.Grants, func(g countersign.Grant) bool { return len(g.Clients) == 0 })
		s.Disabled = s.Disabled || len(s.Grants) == 0
	}
	d.Standing = slices.DeleteFunc(d.Standing, func(s countersign.StandingDeclaration) bool {
		return s.Client.MemberID == id || s.Service.MemberID == id
	})
	d.Programmes = slices.DeleteFunc(d.Programmes, func(p countersign.Programme) bool {
		return p.Client.MemberID == id || p.Service.MemberID == id
	})
	for i := range d.Purposes {
		if r := d.Purposes[i].CaseRegister; r != nil && r.MemberID == id {
			d.Purposes[i].CaseRegister = nil
		}
	}
	d.Issuers = slices.DeleteFunc(d.Issuers, func(x countersign.Issuer) bool { return x.Member != nil && *x.Member == id })
	d.Courts = slices.DeleteFunc(d.Courts, func(c countersign.Court) bool { return c.Member == id })
	return nil
}

// ReplaceKey proposes the document with one key in the place of another: a TLS pin, a signing key, a court's key or a verifier key of a log or witness, each
// in the spelling of the document. It acts as soon as it is published.
func ReplaceKey(f federation.Folder, old, replacement string, o Options, now time.Time) (*Report, error) {
	return Edit(f, func(d *countersign.Directory) error {
		if replaceKey(d, old, replacement) == 0 {
			return countersign.Refuse(countersign.CodeBadRequest, "the document holds no such key: copy it from the document; a body's own key is changed by rotating the body")
		}
		return nil
	}, o, now)
}

// Successor proposes the document with a log in the place of the one that it names as the last before it. It acts as soon as it is published.
func Successor(f federation.Folder, log countersign.Log, o Options, now time.Time) (*Report, error) {
	if len(log.Before) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the log names none that it takes over from: give what gateway successor printed")
	}
	ended := log.Before[len(log.Before)-1].VKey
	return Edit(f, func(d *countersign.Directory) error {
		for i := range d.Members {
			for j := range d.Members[i].Gateways {
				if g := &d.Members[i].Gateways[j]; g.Log.VKey == ended {
					g.Log = countersign.Log{VKey: log.VKey, URL: g.Log.URL, Before: append(slices.Clone(g.Log.Before), log.Before[len(log.Before)-1])}
					return nil
				}
			}
		}
		return countersign.Refuse(countersign.CodeBadRequest, "no gateway of the document has the log %q", ended)
	}, o, now)
}

func replaceKey(d *countersign.Directory, old, replacement string) (n int) {
	swap := func(s *string) {
		if *s == old {
			*s = replacement
			n++
		}
	}
	for i := range d.Members {
		for j := range d.Members[i].Gateways {
			g := &d.Members[i].Gateways[j]
			for k := range g.TLS {
				swap((*string)(&g.TLS[k]))
			}
			for k := range g.Sign {
				swap(&g.Sign[k])
			}
			swap(&g.Log.VKey)
		}
	}
	for i := range d.Courts {
		for k := range d.Courts[i].Keys {
			swap(&d.Courts[i].Keys[k])
		}
		swap(&d.Courts[i].Log.VKey)
	}
	for i := range d.Witnesses {
		swap(&d.Witnesses[i].VKey)
	}
	swap(&d.Log.VKey)
	return n
}

// RotateBody proposes a root in which a body has another key, and the document signed anew. The threshold of today's bodies signs it, the one whose key goes
// may be among them, and the threshold of the new root. The new key's holder signs too, or another body in its place. It acts as soon as it is published.
func RotateBody(f federation.Folder, name countersign.BodyName, key crypto.PublicKey, o Options, now time.Time) (*Report, error) {
	text, err := keys.EncodePublicKey(key)
	if err != nil {
		return nil, err
	}
	return rotate(f, o, now, func(root *metadata.RootType, mark *federation.Mark) error {
		for id, body := range mark.Bodies {
			if body != name {
				continue
			}
			for _, role := range []string{metadata.ROOT, metadata.TARGETS} {
				if err := root.RevokeKey(id, role); err != nil {
					return fmt.Errorf("replacing a key: %w", err)
				}
			}
			delete(mark.Bodies, id)
			return addBody(root, mark, name, key)
		}
		return countersign.Refuse(countersign.CodeBadRequest, "%q is no governing body of the root", name)
	}, func(d *countersign.Directory) error {
		for i := range d.Bodies {
			if d.Bodies[i].Name == name {
				d.Bodies[i].Key = string(text)
			}
		}
		return nil
	})
}

// RotateOnline proposes a root with other online keys; a nil key stays. It ends what a thief of the host's keys can do.
func RotateOnline(f federation.Folder, snapshot, timestamp crypto.PublicKey, o Options, now time.Time) (*Report, error) {
	return rotate(f, o, now, func(root *metadata.RootType, _ *federation.Mark) error {
		for role, pub := range map[string]crypto.PublicKey{metadata.SNAPSHOT: snapshot, metadata.TIMESTAMP: timestamp} {
			if pub == nil {
				continue
			}
			if err := setOnline(root, role, pub); err != nil {
				return fmt.Errorf("online key for %s: %w", role, err)
			}
		}
		return nil
	}, nil)
}

// Renew proposes root and document as they are with a new expiry. It is due once a year.
func Renew(f federation.Folder, o Options, now time.Time) (*Report, error) {
	return rotate(f, o, now, func(*metadata.RootType, *federation.Mark) error { return nil }, nil)
}

func rotate(f federation.Folder, o Options, now time.Time, changeRoot func(*metadata.RootType, *federation.Mark) error, changeDocument func(*countersign.Directory) error) (*Report, error) {
	p, err := begin(f, o)
	if err != nil {
		return nil, err
	}
	if p.published == nil || len(p.published.Issues) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "nothing is published yet: withdraw the first root and begin again")
	}
	if p.root, err = metadata.Root().FromBytes(p.published.Roots[len(p.published.Roots)-1]); err != nil {
		return nil, fmt.Errorf("reading the root: %w", err)
	}
	p.root.Signatures = nil
	p.root.Signed.Version++
	p.root.Signed.Expires = seconds(now.Add(RootLife))
	mark, err := federation.MarkOf(&p.root.Signed)
	if err != nil {
		return nil, err
	}
	if err := changeRoot(&p.root.Signed, &mark); err != nil {
		return nil, err
	}
	if err := federation.SetMark(&p.root.Signed, mark); err != nil {
		return nil, err
	}
	document := p.published.Issues[len(p.published.Issues)-1].Raw()
	if changeDocument != nil {
		if document, err = p.edited(changeDocument); err != nil {
			return nil, err
		}
	}
	if err := p.set(document, nil, o, now); err != nil {
		return nil, err
	}
	return p.stage(now)
}
