package notice

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
)

// Frequency is how soon a notice leaves.
type Frequency string

// The frequencies. The zero value sends nothing.
const (
	Never Frequency = "never"
	Daily Frequency = "daily"
	Now   Frequency = "now"
)

// Kind is by what a contact is reached.
type Kind string

// The kinds.
const (
	Email   Kind = "email"
	Webhook Kind = "webhook"
)

// State is whether notices reach a contact.
type State string

// The states. The zero value gets no notice.
const (
	Unconfirmed State = "unconfirmed"
	Works       State = "works"
	Fails       State = "fails" // the last message could not be delivered
)

// Contact is one address of a person.
type Contact struct {
	ID      string             `json:"id"`
	Kind    Kind               `json:"kind"`
	Address string             `json:"address"`
	State   State              `json:"state"`
	Secret  []byte             `json:"secret,omitempty"` // of a webhook: with which messages are signed
	Code    countersign.Digest `json:"code"`             // of the confirmation code
	Until   countersign.Millis `json:"until,omitempty"`  // of the code
	Tries   int                `json:"tries,omitempty"`  // wrong codes so far
}

// Terms are all that a portal keeps of a person for notices.
type Terms struct {
	Language   string                                              `json:"language"`
	Frequency  Frequency                                           `json:"frequency"`
	Contacts   []Contact                                           `json:"contacts"`
	Permission *subject.Permission                                 `json:"permission,omitempty"`
	Since      countersign.Millis                                  `json:"since"`             // when notices were wanted first: nothing older is new
	Digest     countersign.Millis                                  `json:"digest"`            // when the next daily notice may leave
	Asked      map[subject.NewsClass]map[string]countersign.Millis `json:"asked,omitempty"`   // up to when each gateway has been asked; no word of what it answered
	Lacking    []string                                            `json:"lacking,omitempty"` // gateways that did not answer at the daily moment
	Again      countersign.Millis                                  `json:"again,omitempty"`   // when they are asked again
	Stale      bool                                                `json:"stale,omitempty"`   // gateways no longer take the permission
	Reminded   bool                                                `json:"reminded,omitempty"`
	Codes      []countersign.Millis                                `json:"codes,omitempty"` // when confirmation codes were sent, of the last day
}

// active says that somebody may be asked about, and told.
func (t *Terms) active(now time.Time) bool {
	return (t.Frequency == Daily || t.Frequency == Now) && t.confirmed() && t.Permission != nil && now.Before(t.Permission.Until.Time())
}

func (t *Terms) confirmed() bool {
	return slices.ContainsFunc(t.Contacts, func(c Contact) bool { return c.State == Works || c.State == Fails })
}

// contact finds a contact of a kind.
func (t *Terms) contact(kind Kind) *Contact {
	for i := range t.Contacts {
		if t.Contacts[i].Kind == kind {
			return &t.Contacts[i]
		}
	}
	return nil
}

func (t *Terms) byID(id string) *Contact {
	for i := range t.Contacts {
		if t.Contacts[i].ID == id {
			return &t.Contacts[i]
		}
	}
	return nil
}

// asked is up to when a gateway was asked about a class.
func (t *Terms) asked(class subject.NewsClass, gateway string) countersign.Millis {
	return max(t.Asked[class][gateway], t.Since)
}

func (t *Terms) noteAsked(class subject.NewsClass, gateway string, at countersign.Millis) {
	if t.Asked == nil {
		t.Asked = map[subject.NewsClass]map[string]countersign.Millis{}
	}
	if t.Asked[class] == nil {
		t.Asked[class] = map[string]countersign.Millis{}
	}
	t.Asked[class][gateway] = max(t.Asked[class][gateway], at)
}

// Bounds of confirmation.
const (
	codeLife  = time.Hour
	codeTries = 5
	codesADay = 5 // to one person, and to one address
)

// newCode draws a confirmation code, as it is sent: 40 random bits in eight characters.
func newCode() string {
	var raw [5]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	text := base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").EncodeToString(raw[:])
	return text[:4] + "-" + text[4:]
}

// readCode forgives what people do to codes.
func readCode(text string) countersign.Digest {
	text = strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, text))
	return sha256.Sum256([]byte(strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(text)))
}

// confirm tries a code on a contact.
func (c *Contact) confirm(given countersign.Digest, now time.Time) bool {
	if c.State != Unconfirmed || c.Tries >= codeTries || !now.Before(c.Until.Time()) {
		return false
	}
	if subtle.ConstantTimeCompare(given[:], c.Code[:]) != 1 {
		c.Tries++
		return false
	}
	c.State, c.Code, c.Until, c.Tries = Works, countersign.Digest{}, 0, 0
	return true
}

func newContactID() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	return hex.EncodeToString(raw[:])
}

// checkEmail wants one plain address: no name, no list, nothing that could begin a header or another recipient.
func checkEmail(text string) error {
	bad := countersign.Refuse(countersign.CodeBadRequest, "this is no e-mail address: write for instance name@example.org")
	if len(text) > 254 || strings.ContainsAny(text, " \t\r\n,;<>\"()") {
		return bad
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			return bad
		}
	}
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text || a.Name != "" {
		return bad
	}
	_, domain, ok := strings.Cut(text, "@")
	if !ok || !strings.Contains(strings.Trim(domain, "."), ".") || strings.HasPrefix(domain, "[") {
		return bad
	}
	return nil
}

// checkWebhook wants an https address of a named host, with nothing in it that would travel in the clear or into logs.
func checkWebhook(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > 1024 || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return countersign.Refuse(countersign.CodeBadRequest, "this is no address for messages: write https:// and a host, without user name and without #")
	}
	return nil
}

// Mask shows of an address what its owner knows it by.
func (c *Contact) Mask() string {
	if c.Kind == Webhook {
		if u, err := url.Parse(c.Address); err == nil {
			return "https://" + u.Host + "/…"
		}
		return "https://…"
	}
	name, domain, _ := strings.Cut(c.Address, "@")
	for i := range name {
		if i > 0 {
			name = name[:i]
			break
		}
	}
	return name + "…@" + domain
}
