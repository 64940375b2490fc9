package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign.dev/countersign/internal/clock"
)

// Terms of case codes.
const (
	CaseCodeLife    = 90 * 24 * time.Hour  // unless the agency says less
	maxCaseCodeLife = 365 * 24 * time.Hour // a year: a longer case gets another letter
	caseCodeBytes   = 13                   // of which 100 bits are used

	// Tries from one address: this many at once, then one every two seconds. Guessing is hopeless; this keeps it from being a load too.
	guessBurst = 30
	guessEvery = 2 * time.Second
	maxGuessed = 100_000 // addresses remembered
)

// crockford has no letters that are taken for others on paper.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// CaseCodes lets people in who have no national identifier: each code is printed on one letter, for one case of one agency. What is kept is its hash, the case
// and an end: no name, no address, nothing that tells who the person is.
type CaseCodes struct {
	clock clock.Clock
	file  string

	mu      sync.Mutex
	by      map[string]caseCode // by the hash of the code, in base32
	guesses map[string]*rate.Limiter
}

type caseCode struct {
	Case string    `json:"case"`
	Ends time.Time `json:"ends"`
}

// OpenCaseCodes reads the codes of a file, which need not exist yet.
func OpenCaseCodes(file string, now clock.Clock) (*CaseCodes, error) {
	c := &CaseCodes{clock: now, file: file, by: map[string]caseCode{}, guesses: map[string]*rate.Limiter{}}
	text, err := os.ReadFile(file) //nolint:gosec // the demo chooses the file
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	return c, json.Unmarshal(text, &c.by)
}

// Issue makes a code for a case, in groups of four as it is printed. An earlier code for the same case ends.
func (c *CaseCodes) Issue(of string, life time.Duration) (string, error) {
	if life <= 0 || life > maxCaseCodeLife {
		life = CaseCodeLife
	}
	var b [caseCodeBytes]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	text := crockford.EncodeToString(b[:])[:20]
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	for hash, old := range c.by {
		if old.Case == of || !now.Before(old.Ends) {
			delete(c.by, hash)
		}
	}
	c.by[hashOf(text)] = caseCode{of, now.Add(life)}
	if err := c.save(); err != nil {
		return "", err
	}
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, "-"), nil
}

// Find gives the case of a code. It fits Options.Find: the case is who the person is here.
func (c *CaseCodes) Find(typed string) (Account, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	one, ok := c.by[hashOf(normal(typed))]
	if !ok || !now.Before(one.Ends) {
		return Account{}, false
	}
	return Account{Subject: one.Case}, true
}

// Allow says whether an address may try once more. It fits Options.Allow.
func (c *CaseCodes) Allow(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	one := c.guesses[address]
	if one == nil {
		if len(c.guesses) >= maxGuessed {
			clear(c.guesses)
		}
		one = rate.NewLimiter(rate.Every(guessEvery), guessBurst)
		c.guesses[address] = one
	}
	return one.AllowN(c.clock.Now(), 1)
}

// normal reads what people type: in any case, with or without hyphens, with letters where digits are meant.
func normal(typed string) string {
	return strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(typed))
}

func hashOf(code string) string {
	sum := sha256.Sum256([]byte("countersign case code\x00" + code))
	return crockford.EncodeToString(sum[:])
}

// save writes the file anew. It is called with mu held.
func (c *CaseCodes) save() error {
	text, err := json.Marshal(c.by)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(c.file+".new", c.file)
}
