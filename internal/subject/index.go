package subject

import (
	"crypto"
	"slices"
	"sync"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// Directory gives the signed federation as it stands now, or a CodeStaleDirectory refusal once it has expired here. It gives the same pointer for as long
// as nothing has changed.
type Directory func() (*countersign.Directory, error)

// known is the directory made ready for looking up who asks and who answers.
type known struct {
	doc      *countersign.Directory
	gateways []*gateway
	byPin    map[countersign.Pin]*gateway
	schemes  map[countersign.SchemeName]*countersign.Scheme
	cap      time.Duration // on the delay of notices
}

// gateway is one gateway of the directory with its keys parsed.
type gateway struct {
	member *countersign.Member
	name   countersign.GatewayName
	url    string
	pins   []countersign.Pin
	signs  map[countersign.KeyID]crypto.PublicKey
	log    *countersign.LogKey
}

// directory caches what follows from a document until there is another.
type directory struct {
	current Directory

	mu   sync.Mutex
	last *known
}

func (d *directory) known() (*known, error) {
	doc, err := d.current()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil && d.last.doc == doc {
		return d.last, nil
	}
	k, err := index(doc)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStaleDirectory, err, "the signed directory cannot be used here")
	}
	d.last = k
	return k, nil
}

func index(doc *countersign.Directory) (*known, error) {
	k := &known{doc: doc, byPin: map[countersign.Pin]*gateway{}, schemes: map[countersign.SchemeName]*countersign.Scheme{}, cap: time.Duration(countersign.DefaultCaps().NoticeCap)}
	if c := time.Duration(doc.Caps.NoticeCap); c > 0 {
		k.cap = min(k.cap, c) // a federation may tighten the cap, never loosen it
	}
	for i := range doc.Schemes {
		k.schemes[doc.Schemes[i].Name] = &doc.Schemes[i]
	}
	for i := range doc.Members {
		m := &doc.Members[i]
		for _, g := range m.Gateways {
			gw := &gateway{member: m, name: g.Name, url: g.URL, pins: g.TLS, signs: map[countersign.KeyID]crypto.PublicKey{}}
			for _, text := range g.Sign {
				pub, err := keys.PublicKeyText(text).Parse()
				if err != nil {
					return nil, err
				}
				id, err := countersign.KeyIDOf(pub)
				if err != nil {
					return nil, err
				}
				gw.signs[id] = pub
			}
			var err error
			if gw.log, err = countersign.ParseLogKey(g.Log.VKey); err != nil {
				return nil, err
			}
			for _, p := range g.TLS {
				k.byPin[p] = gw
			}
			k.gateways = append(k.gateways, gw)
		}
	}
	return k, nil
}

// gateway finds one gateway of a member.
func (k *known) gateway(member countersign.MemberID, name countersign.GatewayName) (*gateway, bool) {
	i := slices.IndexFunc(k.gateways, func(g *gateway) bool { return g.member.ID == member && g.name == name })
	if i < 0 {
		return nil, false
	}
	return k.gateways[i], true
}

// subject gives a person's canonical identifier.
func (k *known) subject(scheme countersign.SchemeName, value string) (countersign.SubjectID, error) {
	s := k.schemes[scheme]
	if s == nil {
		return countersign.SubjectID{}, countersign.Refuse(countersign.CodeUnauthenticated, "the directory knows no person identifiers of the issuer's scheme")
	}
	return s.Normalise(value)
}
