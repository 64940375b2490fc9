package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/mandate"
)

type oversightCmd struct {
	Init      oversightInitCmd      `cmd:"" help:"Make the overseer's keys and begin its log; print its entry for the directory."`
	Serve     oversightServeCmd     `cmd:"" help:"Publish the overseer's log and list of reviews, and serve its desk, until interrupted."`
	Review    oversightReviewCmd    `cmd:"" help:"Review an emergency or a use of a warrant: one that the list shows, or by the receipt of its exchange."`
	Suspend   oversightSuspendCmd   `cmd:"" help:"Suspend a member's emergency right."`
	Reinstate oversightReinstateCmd `cmd:"" help:"Give a member's emergency right back."`
	Findings  oversightFindingsCmd  `cmd:"" help:"Take what monitors found about the logs into the queue."`
	Settle    oversightSettleCmd    `cmd:"" help:"Take a finding out of the queue, with the reason."`
	List      oversightListCmd      `cmd:"" help:"List the emergencies and uses of warrants of all members that wait for a review, with their deadlines, whose are overdue, what monitors found, and the overseer's own acts. Reading is on record."`
}

type oversightInitCmd struct {
	officeFlags
	Peer string `required:"" help:"https address at which gateways reach the overseer." placeholder:"URL"`
}

// Run begins an overseer.
func (c *oversightInitCmd) Run(ctx context.Context, s streams) error {
	entry, err := c.entry(ctx)
	if err != nil {
		return err
	}
	return printJSON(s, entry)
}

func (c *oversightInitCmd) entry(ctx context.Context) (*countersign.Gateway, error) {
	o, vkey, err := c.begin(ctx, "oversight init", address(c.Peer))
	if err != nil {
		return nil, err
	}
	key, err := o.publicKey()
	if err != nil {
		return nil, err
	}
	tlsKey, err := ensureKey(o.tlsKey())
	if err != nil {
		return nil, err
	}
	return &countersign.Gateway{
		Name: deskGateway, URL: c.Peer, TLS: []countersign.Pin{countersign.Pin(tlsKey.KeyID())}, Sign: []string{key},
		Log: countersign.Log{VKey: vkey, URL: o.URL + "/log"},
	}, nil
}

type oversightServeCmd struct{ officeDir }

// Run serves the overseer.
func (c *oversightServeCmd) Run(ctx context.Context, s streams) error {
	o, err := loadOffice(c.Dir)
	if err != nil {
		return err
	}
	return o.serve(ctx, s, openOversight)
}

// oversightDesk is what an overseer keeps in mind, rebuilt from its own log.
type oversightDesk struct {
	*office
	acts     []*oversightAct
	findings findingsQueue
}

// oversightAct is one decision of an overseer, as its log keeps it, sealed.
type oversightAct struct {
	Overseer   string                `json:"overseer"` // who decided, by pseudonym
	Reason     string                `json:"reason"`
	At         time.Time             `json:"at"`
	Commitment *countersign.Digest   `json:"commitment,omitempty"` // of the reviewed record
	Exchange   string                `json:"exchange,omitempty"`
	Justified  bool                  `json:"justified,omitempty"`
	Suspend    *countersign.MemberID `json:"suspend,omitempty"`
	Reinstate  *countersign.MemberID `json:"reinstate,omitempty"`
	Finding    string                `json:"finding,omitempty"` // of a monitor, settled with this
	Read       bool                  `json:"read,omitempty"`    // nothing was decided: what waits was read
}

func openOversight(ctx context.Context, o *office) (public, desk http.Handler, err error) {
	d := &oversightDesk{office: o}
	notes, err := o.notes(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, text := range notes {
		if findings, err := d.findings.replay(text); err != nil {
			return nil, nil, err
		} else if findings {
			continue
		}
		a := new(oversightAct)
		if err := json.Unmarshal(text, a); err != nil {
			return nil, nil, countersign.RefuseBecause(countersign.CodeStore, err, "the overseer's log holds a note that cannot be read")
		}
		if !a.Read {
			d.acts = append(d.acts, a)
		}
	}
	front := http.NewServeMux()
	front.HandleFunc("GET "+exchange.PathReviews, d.serveReviews)
	back := http.NewServeMux()
	back.Handle("POST /review", deskHandler(d.review))
	back.Handle("POST /act", deskHandler(d.decide))
	back.Handle("POST /list", deskHandler(d.list))
	back.Handle("POST /findings", deskHandler(d.addFindings))
	back.Handle("POST /settle", deskHandler(d.settle))
	return front, back, nil
}

// published is the list as it stands: what was reviewed, and whose right is suspended now.
func (d *oversightDesk) published() *mandate.Reviews {
	r := &mandate.Reviews{Overseer: d.Member, Issued: mandate.SecondsOf(d.now.Now()), Reviewed: []countersign.Digest{}, Suspended: []countersign.MemberID{}}
	seen := map[countersign.Digest]bool{}
	for _, a := range d.acts {
		switch {
		case a.Commitment != nil && !seen[*a.Commitment]:
			seen[*a.Commitment] = true
			r.Reviewed = append(r.Reviewed, *a.Commitment)
		case a.Suspend != nil && !slices.Contains(r.Suspended, *a.Suspend):
			r.Suspended = append(r.Suspended, *a.Suspend)
		case a.Reinstate != nil:
			r.Suspended = slices.DeleteFunc(r.Suspended, func(m countersign.MemberID) bool { return m == *a.Reinstate })
		}
	}
	return r
}

func (d *oversightDesk) serveReviews(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	text, err := mandate.SignReviews(d.key, d.published())
	d.mu.Unlock()
	d.publish(w, "application/jwt", text, err)
}

// reviewRequest is an overseer's finding about an emergency or a use of a warrant.
type reviewRequest struct {
	Overseer  string               `json:"overseer"`
	Receipt   *countersign.Receipt `json:"receipt,omitempty"`
	Record    *countersign.Digest  `json:"record,omitempty"` // of the list of what waits, in the receipt's place
	Justified bool                 `json:"justified"`
	Reason    string               `json:"reason"`
}

// review checks the receipt of an emergency or of a use of a warrant, and puts the finding on record.
func (d *oversightDesk) review(ctx context.Context, r *reviewRequest) (*oversightAct, error) {
	if r.Record != nil {
		return d.reviewWaiting(ctx, r)
	}
	view, err := d.directory.Current()
	if err != nil {
		return nil, err
	}
	logs, err := policyOf(view)
	if err != nil {
		return nil, err
	}
	if r.Receipt == nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "an emergency or a use of a warrant is reviewed by its number in the list, or by the receipt of its exchange")
	}
	found, err := logs.Verify(r.Receipt)
	switch {
	case err != nil:
		return nil, err
	case found.Statement == nil || !reviewable(found.Statement.Mandate.Kind) || found.Statement.Outcome != countersign.OutcomeReleased:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the receipt is not of an emergency or a use of a warrant in which anything was released")
	}
	c := countersign.Digest(found.Leaf.Commitment)
	return d.decide(ctx, &oversightAct{Overseer: r.Overseer, Reason: r.Reason, Commitment: &c, Exchange: found.Statement.Exchange.String(), Justified: r.Justified})
}

// reviewable are the mandates whose use opens a review.
func reviewable(kind countersign.MandateKind) bool {
	return kind == countersign.MandateEmergency || kind == countersign.MandateWarrant
}

// decide puts an act on record; the list tells it from then on.
func (d *oversightDesk) decide(ctx context.Context, a *oversightAct) (*oversightAct, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if mandate.CanonicalOfficial(a.Overseer) == "" || strings.TrimSpace(a.Reason) == "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "say who decides, and why in plain words")
	}
	if a.Commitment != nil && len(d.published().Reviewed) >= mandate.MaxReviews {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "this overseer's list holds %d reviews, and gateways read no longer one: another overseer of the directory must review", mandate.MaxReviews)
	}
	a.At = d.now.Now()
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	if _, err := d.register(ctx, countersign.MandateEmergency, countersign.Digest(actDigest(text)), a); err != nil {
		return nil, err
	}
	d.acts = append(d.acts, a)
	return a, nil
}

// actDigest is the commitment of what an overseer did.
func actDigest(text []byte) countersign.Commitment {
	return sha256.Sum256(append([]byte("countersign oversight act\x00"), text...))
}

// listRequest says who reads what waits.
type listRequest struct {
	Overseer string `json:"overseer"`
}

// oversightState is what the list command prints.
type oversightState struct {
	Waiting     []*waitingReview       `json:"waiting"`     // the first due first
	Overdue     []*overdueReviews      `json:"overdue"`     // by member, the longest overdue first
	Unreachable []unreachable          `json:"unreachable"` // gateways that did not tell of one or the other: more may be there
	Suspended   []countersign.MemberID `json:"suspended"`   // by this overseer's word
	Acts        []*oversightAct        `json:"acts"`
	Targets     []*repeatSignal        `json:"repeatTargets"` // people about whom a register is asked again and again, unnamed
	Findings    []*queuedFinding       `json:"findings"`      // of monitors, not settled yet
}

func (d *oversightDesk) list(ctx context.Context, r *listRequest) (*oversightState, error) {
	open, failed, err := d.waiting(ctx, r.Overseer)
	if err != nil {
		return nil, err
	}
	targets, silent, err := d.signals(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range silent {
		if !slices.ContainsFunc(failed, func(u unreachable) bool { return u.Member == s.Member && u.Gateway == s.Gateway }) {
			failed = append(failed, s)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return &oversightState{open, overdue(open), failed, d.published().Suspended, append([]*oversightAct{}, d.acts...), targets, append([]*queuedFinding{}, d.findings.list()...)}, nil
}

type oversightReviewCmd struct {
	officeDir
	Record   string `arg:"" help:"The record's number in the list; or the file of its exchange's receipt." placeholder:"NUMBER|FILE"`
	Overseer string `required:"" help:"Who reviews, by pseudonym." placeholder:"NAME"`
	Finding  string `required:"" enum:"justified,unjustified" help:"justified or unjustified."`
	Reason   string `required:"" help:"Why, in plain words." placeholder:"TEXT"`
}

// Run reviews one emergency, or one use of a warrant.
func (c *oversightReviewCmd) Run(ctx context.Context, s streams) error {
	r := reviewRequest{Overseer: c.Overseer, Justified: c.Finding == "justified", Reason: c.Reason}
	var number countersign.Digest
	if number.UnmarshalText([]byte(c.Record)) == nil {
		r.Record = &number
	} else {
		text, err := readSmall(c.Record)
		if err != nil {
			return err
		}
		if r.Receipt, err = countersign.ParseReceipt(text); err != nil {
			return err
		}
	}
	a, err := atDesk[oversightAct](ctx, c.Dir, "/review", r)
	if err != nil {
		return err
	}
	return printJSON(s, a)
}

type oversightSuspendCmd struct {
	officeDir
	Member   string `arg:"" help:"The member: INSTANCE/CLASS/CODE."`
	Overseer string `required:"" help:"Who decides, by pseudonym." placeholder:"NAME"`
	Reason   string `required:"" help:"Why, in plain words." placeholder:"TEXT"`
}

func (c *oversightSuspendCmd) act(ctx context.Context, s streams, reinstate bool) error {
	member, err := countersign.ParseMemberID(c.Member)
	if err != nil {
		return fmt.Errorf("the member: %w", err)
	}
	a := &oversightAct{Overseer: c.Overseer, Reason: c.Reason}
	if reinstate {
		a.Reinstate = &member
	} else {
		a.Suspend = &member
	}
	if a, err = atDesk[oversightAct](ctx, c.Dir, "/act", a); err != nil {
		return err
	}
	return printJSON(s, a)
}

// Run suspends a member's emergency right.
func (c *oversightSuspendCmd) Run(ctx context.Context, s streams) error { return c.act(ctx, s, false) }

type oversightReinstateCmd struct{ oversightSuspendCmd }

// Run gives it back.
func (c *oversightReinstateCmd) Run(ctx context.Context, s streams) error { return c.act(ctx, s, true) }

type oversightListCmd struct {
	officeDir
	Overseer string `required:"" help:"Who reads, by pseudonym." placeholder:"NAME"`
}

// Run lists.
func (c *oversightListCmd) Run(ctx context.Context, s streams) error {
	state, err := atDesk[oversightState](ctx, c.Dir, "/list", listRequest{c.Overseer})
	if err != nil {
		return err
	}
	return printJSON(s, state)
}
