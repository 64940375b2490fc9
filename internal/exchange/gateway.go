package exchange

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/xroad"
)

// Bounds of one exchange. They hold the memory of a gateway to MaxInFlight times MaxPersonalBody and a little more.
const (
	MaxPersonalBody = 4 << 20   // bytes of a request or an answer about a person
	MaxOpenBody     = 256 << 20 // bytes of a request to a class O service; spooled to disk, which personal bodies never are
	MaxHeaderBytes  = 64 << 10
	MaxInFlight     = 1024

	// Skew is the tolerance between two gateways' clocks.
	Skew = 5 * time.Second
	// ReplayWindow is how long an exchange id stays reserved: a request signature lives five minutes, plus skew on either side.
	ReplayWindow = 6 * time.Minute
)

// Directory gives the signed federation as it stands now, or a CodeStaleDirectory refusal once it has expired here.
type Directory interface {
	Current() (*federation.View, error)
}

// Gateway is what a member's two roles, asking and answering, share.
type Gateway struct {
	Member    countersign.MemberID
	Name      countersign.GatewayName
	Directory Directory
	Log       *ledger.Log
	Signer    *keys.BatchSigner
	Clock     clock.Clock
	Logger    *slog.Logger
	Metrics   *Metrics
	Style     xroad.Style
	// PseudonymKey turns officials' identifiers into pseudonyms. It never leaves the member.
	PseudonymKey []byte
	// Authorities verify the mandates that questions present.
	Authorities Authorities

	profiles profiles
	roots    *countersign.RootCache
	rules    atomic.Pointer[rulebook]
	compile  sync.Mutex
}

// Prepare checks the gateway's parts and must be called once before it serves.
func (g *Gateway) Prepare() (err error) {
	if len(g.PseudonymKey) < 32 {
		return countersign.Refuse(countersign.CodeInternal, "the pseudonym key has %d bytes: 32 are due", len(g.PseudonymKey))
	}
	if g.profiles, err = newProfiles(); err != nil {
		return err
	}
	g.roots = countersign.NewRootCache(4096)
	return nil
}

// rulebook is one version of the directory, compiled for deciding.
type rulebook struct {
	view      *federation.View
	policy    *mandate.Policy
	services  sync.Map // countersign.ServiceID → *offered
	filters   register.Filters
	relatives relatives

	policyOnce   sync.Once
	logPolicy    *countersign.Policy
	logPolicyErr error
}

// offered is one service of the directory, compiled for use.
type offered struct {
	*countersign.Service
	personal  bool
	selector  *register.Selector
	endpoints []endpoint
}

type endpoint struct {
	method  string
	pattern *xroad.Pattern
}

// rulebook gives the compiled directory, compiling it once for each version.
func (g *Gateway) rulebook() (*rulebook, error) {
	view, err := g.Directory.Current()
	if err != nil {
		return nil, err
	}
	if r := g.rules.Load(); r != nil && r.view == view {
		return r, nil
	}
	g.compile.Lock()
	defer g.compile.Unlock()
	if r := g.rules.Load(); r != nil && r.view == view {
		return r, nil
	}
	policy, err := mandate.Compile(view.Document())
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeStaleDirectory, err, "the directory's rules cannot be read here: nothing is permitted until they can")
	}
	r := &rulebook{view: view, policy: policy}
	g.rules.Store(r)
	return r, nil
}

// offered finds a service of the directory.
func (r *rulebook) offered(id countersign.ServiceID) (*offered, error) {
	if o, ok := r.services.Load(id); ok {
		return o.(*offered), nil
	}
	s, ok := r.view.Service(id)
	if !ok {
		return nil, countersign.Refuse(countersign.CodeUnknownService, "the directory knows no service %s", id)
	}
	o := &offered{Service: s.Service, personal: s.Personal}
	var err error
	if o.selector, err = register.CompileSelector(s.Service, s.Class); err != nil {
		return nil, err
	}
	for _, e := range s.Endpoints {
		p, err := xroad.CompilePattern(e.Path)
		if err != nil {
			return nil, err
		}
		o.endpoints = append(o.endpoints, endpoint{e.Method, p})
	}
	was, _ := r.services.LoadOrStore(id, o)
	return was.(*offered), nil
}

// operation finds the declared operation of a request and the variables of its path.
func (o *offered) operation(method string, path xroad.RulePath) (xroad.Vars, error) {
	for _, e := range o.endpoints {
		if e.method != method && e.method != "*" {
			continue
		}
		if vars, ok := e.pattern.Match(path); ok {
			return vars, nil
		}
	}
	return xroad.Vars{}, countersign.Refuse(countersign.CodeUnknownService, "the service has no operation %s at this path: its description lists them", method)
}

// pseudonym hides an official from everyone but the member: the same official has the same pseudonym at one provider, and different ones
// at different providers, so that providers cannot follow an official across registers by it.
func (g *Gateway) pseudonym(userID string, provider countersign.MemberID) string {
	mac := hmac.New(sha256.New, g.PseudonymKey)
	mac.Write([]byte(provider.String()))
	mac.Write([]byte{0})
	mac.Write([]byte(userID))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:10])
}

// counts refuses questions about people at every gateway of the member but the first that the directory lists. What is counted exactly (uses of a mandate,
// people, polls, registers, emergencies) is counted in one store, and each gateway has its own: a second one would bring a second count (A25).
func (g *Gateway) counts(view *federation.View, o *offered) error {
	gws := view.Gateways(g.Member)
	if !o.personal || len(gws) == 0 || gws[0].Name == g.Name {
		return nil
	}
	return countersign.Refuse(countersign.CodeServiceDisabled,
		"questions about people go through the member's gateway %s, which counts them: this one would count them a second time", gws[0].Name)
}

// now is the gateway's time.
func (g *Gateway) now() time.Time { return g.Clock.Now() }

// keysOf gives the signature keys of one gateway of the directory.
func keysOf(gw *federation.Gateway) func(countersign.KeyID) (crypto.PublicKey, error) {
	return func(id countersign.KeyID) (crypto.PublicKey, error) {
		if k, ok := gw.SignKey(id); ok {
			return k, nil
		}
		return nil, countersign.Refuse(countersign.CodeSignature, "the message is signed by a key that the directory does not hold for this gateway")
	}
}

// finish is a context in which an exchange that has begun is recorded to its end, whatever its caller does meanwhile.
func finish(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}
