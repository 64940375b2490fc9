package portal

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign.dev/countersign"
)

// Logins from one address: this many at once, then one every two seconds. IPv6 addresses count by their /64.
const (
	loginBurst = 30
	loginEvery = 2 * time.Second
	maxLimited = 100_000
)

// limits bounds what comes from one address before anybody is logged in.
type limits struct {
	mu sync.Mutex
	by map[netip.Prefix]*rate.Limiter
}

func newLimits() *limits { return &limits{by: map[netip.Prefix]*rate.Limiter{}} }

// allow counts one more login from an address; the zero address is one more visitor.
func (l *limits) allow(ip netip.Addr, now time.Time) error {
	bits := 32
	if ip = ip.Unmap(); ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits)
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[prefix]
	if one == nil {
		if len(l.by) >= maxLimited {
			clear(l.by) // who waits has waited long enough for a new start to give little away
		}
		one = rate.NewLimiter(rate.Every(loginEvery), loginBurst)
		l.by[prefix] = one
	}
	if !one.AllowN(now, 1) {
		return countersign.Refuse(countersign.CodeBudget, "too many logins from your address: wait a minute")
	}
	return nil
}
