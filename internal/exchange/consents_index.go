package exchange

import (
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/mandate"
)

// consentNote is what the log keeps, sealed, of one act.
type consentNote struct {
	ID         countersign.MandateID `json:"id,omitzero"`         // of the application that is asked or refused
	Asked      *Application          `json:"asked,omitzero"`      // an agency applies
	Refused    bool                  `json:"refused,omitzero"`    // the person does not consent
	Registered []byte                `json:"registered,omitzero"` // the evidence: the person consents
	Withdrawn  countersign.Digest    `json:"withdrawn,omitzero"`  // the person takes it back
}

// consentKey names a row: a number is unique for one person, since whoever registers a consent chooses its number.
type consentKey struct {
	id  countersign.MandateID
	tag countersign.SubjectTag
}

// consentRow is what is in memory of one application or consent: where the log holds it and how it stands, and nothing that it says of anybody.
type consentRow struct {
	consentKey
	client      countersign.SubsystemID
	application uint64 // leaf, where asked is set
	registered  uint64 // leaf, where given is set
	busy        bool   // being registered
	digest      countersign.Digest
	asked, due  time.Time
	until       time.Time
	given       time.Time
	refused     time.Time
	withdrawn   time.Time
}

func (x *consentRow) state(now time.Time) ConsentState {
	switch {
	case !x.withdrawn.IsZero():
		return ConsentWithdrawn
	case !x.given.IsZero() && now.Before(x.until):
		return ConsentGiven
	case !x.given.IsZero():
		return ConsentExpired
	case !x.refused.IsZero():
		return ConsentRefused
	case now.Before(x.due):
		return ConsentPending
	}
	return ConsentExpired
}

// changed is since when it stands as it does.
func (x *consentRow) changed(now time.Time) time.Time {
	switch x.state(now) {
	case ConsentWithdrawn:
		return x.withdrawn
	case ConsentGiven:
		return x.given
	case ConsentRefused:
		return x.refused
	case ConsentExpired:
		if x.given.IsZero() {
			return x.due
		}
		return x.until
	}
	return x.asked
}

// consentsOf is the tag under which a registry finds its acts again. It is no person's.
func consentsOf(member countersign.MemberID) countersign.SubjectID {
	return countersign.SubjectID{Scheme: "consents-of", Value: member.String()}
}

// load reads, once, what the log holds. It is called with mu held.
func (c *Consents) load(ctx context.Context) error {
	if c.rows != nil {
		return nil
	}
	log := c.Gateway.Log
	var found []*ledger.Stored
	page := ledger.Page{}
	for {
		entries, err := log.History(ctx, log.TagsOf(consentsOf(c.Gateway.Member)), page)
		if err != nil {
			return err
		}
		found = append(found, entries...)
		if len(entries) < ledger.MaxPage {
			break
		}
		if page.Before = entries[len(entries)-1].Index; page.Before == 0 {
			break
		}
	}
	c.rows = map[countersign.SubjectTag]map[countersign.MandateID]*consentRow{}
	c.asked, c.given, c.withdrawn = map[countersign.MandateID]consentKey{}, map[countersign.Digest]consentKey{}, nil
	for _, e := range slices.Backward(found) {
		var n consentNote
		if e.Record == nil || json.Unmarshal(e.Record.Note, &n) != nil {
			continue // its time is over
		}
		if err := c.index(e.Index, e.Time.Time(), &n); err != nil {
			c.rows = nil
			return err
		}
	}
	return nil
}

// take puts an act that has just been recorded into the index. Where the index is not read yet, reading it will find the act.
func (c *Consents) take(placed *ledger.Placed, n *consentNote) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		return nil
	}
	return c.index(placed.Index, placed.Time.Time(), n)
}

func (c *Consents) index(leaf uint64, at time.Time, n *consentNote) error {
	switch {
	case n.Asked != nil:
		x, err := c.row(n.ID, n.Asked.Subject)
		if err != nil {
			return err
		}
		x.application, x.asked, x.due, x.client = leaf, at, at.Add(ApplicationLife), n.Asked.Client
		if until := n.Asked.Until.Time(); until.Before(x.due) {
			x.due = until
		}
		c.asked[n.ID] = x.consentKey
	case n.Refused:
		if x := c.find(c.asked[n.ID]); x != nil {
			x.refused = at
		}
	case len(n.Registered) > 0:
		_, consent, err := mandate.ReadConsent(n.Registered)
		if err != nil {
			return err
		}
		x, err := c.row(consent.ID, consent.Subject)
		if err != nil {
			return err
		}
		x.registered, x.given, x.until, x.digest = leaf, at, consent.Until.Time(), evidenceDigest(n.Registered)
		c.given[x.digest] = x.consentKey
	default:
		c.withdrawn = append(c.withdrawn, n.Withdrawn)
		if x := c.find(c.given[n.Withdrawn]); x != nil {
			x.withdrawn = at
		}
	}
	return nil
}

// row finds the row of a number and a person, or makes one. It is called with mu held.
func (c *Consents) row(id countersign.MandateID, subject string) (*consentRow, error) {
	person, err := countersign.ParseSubjectID(subject)
	if err != nil {
		return nil, err
	}
	key := consentKey{id, c.Gateway.Log.TagOf(person)}
	x := c.find(key)
	if x != nil {
		return x, nil
	}
	if c.rows[key.tag] == nil {
		c.rows[key.tag] = map[countersign.MandateID]*consentRow{}
	}
	x = &consentRow{consentKey: key}
	c.rows[key.tag][id] = x
	return x, nil
}

func (c *Consents) find(key consentKey) *consentRow { return c.rows[key.tag][key.id] }

// of finds a person's rows. It is called with mu held.
func (c *Consents) of(person countersign.SubjectID) (out []*consentRow) {
	for _, x := range c.rows[c.Gateway.Log.TagOf(person)] {
		if !x.asked.IsZero() || !x.given.IsZero() {
			out = append(out, x)
		}
	}
	return out
}

// one finds a person's row of a number. It is called with mu held.
func (c *Consents) one(ctx context.Context, person countersign.SubjectID, id countersign.MandateID) (*consentRow, error) {
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	if x := c.find(consentKey{id, c.Gateway.Log.TagOf(person)}); x != nil && (!x.asked.IsZero() || !x.given.IsZero()) {
		return x, nil
	}
	return nil, countersign.Refuse(countersign.CodeUnknownService, "there is no such consent of yours here")
}

// read opens the record of an act.
func (c *Consents) read(ctx context.Context, leaf uint64) (*consentNote, *ledger.Stored, error) {
	stored, err := c.Gateway.Log.Leaf(ctx, leaf)
	if err != nil {
		return nil, nil, err
	}
	n := new(consentNote)
	if stored.Record == nil || json.Unmarshal(stored.Record.Note, n) != nil {
		return nil, nil, countersign.Refuse(countersign.CodeStore, "the record of a consent cannot be read, or its time is over")
	}
	return n, stored, nil
}
