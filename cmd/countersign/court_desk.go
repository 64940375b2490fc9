package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/mandate"
)

// courtDesk is what a court keeps in mind: its warrants, in the order of their places in the status list. All of it is rebuilt from the court's own log.
type courtDesk struct {
	*office
	warrants []*courtWarrant
}

// courtWarrant is one warrant as the court knows it.
type courtWarrant struct {
	ID        countersign.MandateID `json:"id"`
	Judge     string                `json:"judge"`
	Token     string                `json:"token"`
	From      time.Time             `json:"from"`
	Until     time.Time             `json:"until"`
	Uses      int                   `json:"uses"`
	Withdrawn *time.Time            `json:"withdrawn,omitempty"`
	Reviews   []courtReview         `json:"reviews,omitempty"`
}

type courtReview struct {
	Judge    string    `json:"judge"`
	Upheld   bool      `json:"upheld"`
	Reason   string    `json:"reason"`
	Reviewed time.Time `json:"reviewed"`
}

// courtNote is what the court's log keeps, sealed, of one act.
type courtNote struct {
	Issued    *courtWarrant         `json:"issued,omitempty"`
	Withdrawn countersign.MandateID `json:"withdrawn,omitempty"`
	Reviewed  countersign.MandateID `json:"reviewed,omitempty"`
	Review    *courtReview          `json:"review,omitempty"`
	At        time.Time             `json:"at"`
}

const pathStatusList = "/status/warrants"

func openCourt(ctx context.Context, o *office) (public, desk http.Handler, err error) {
	c := &courtDesk{office: o}
	notes, err := o.notes(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, text := range notes {
		var n courtNote
		if err := json.Unmarshal(text, &n); err != nil {
			return nil, nil, countersign.RefuseBecause(countersign.CodeStore, err, "the court's log holds a note that cannot be read")
		}
		c.take(&n)
	}
	front := http.NewServeMux()
	front.HandleFunc("GET "+pathStatusList, c.serveStatus)
	back := http.NewServeMux()
	back.Handle("POST /issue", deskHandler(c.issue))
	back.Handle("POST /withdraw", deskHandler(c.withdraw))
	back.Handle("POST /review", deskHandler(c.review))
	back.Handle("POST /list", deskHandler(c.list))
	return front, back, nil
}

// take applies a note to what the court keeps in mind.
func (c *courtDesk) take(n *courtNote) {
	if n.Issued != nil {
		c.warrants = append(c.warrants, n.Issued)
	}
	if w := c.find(n.Withdrawn); w != nil && w.Withdrawn == nil {
		at := n.At
		w.Withdrawn = &at
	}
	if w := c.find(n.Reviewed); w != nil && n.Review != nil {
		w.Reviews = append(w.Reviews, *n.Review)
	}
}

func (c *courtDesk) find(id countersign.MandateID) *courtWarrant {
	i := slices.IndexFunc(c.warrants, func(w *courtWarrant) bool { return id != "" && w.ID == id })
	if i < 0 {
		return nil
	}
	return c.warrants[i]
}

// issueRequest is what a judge decides.
type issueRequest struct {
	Judge     string                  `json:"judge"`
	Subject   string                  `json:"subject"`
	Client    countersign.SubsystemID `json:"client"`
	Service   countersign.ServiceID   `json:"service"`
	Fields    []countersign.FieldPath `json:"fields"`
	Purpose   countersign.PurposeCode `json:"purpose"`
	Basis     countersign.BasisCode   `json:"basis"`
	Case      countersign.CaseRef     `json:"case,omitzero"`
	Uses      int                     `json:"uses"`
	From      time.Time               `json:"from,omitzero"` // now where zero
	Life      countersign.Duration    `json:"life"`
	Ground    string                  `json:"ground"`
	Facts     countersign.Digest      `json:"facts"`
	Privilege string                  `json:"privilege"`
}

// issued is a warrant as the requester gets it.
type issued struct {
	ID      countersign.MandateID `json:"id"`
	Mandate string                `json:"mandate"` // for the header Countersign-Mandate
	Until   time.Time             `json:"until"`
}

// issue signs a warrant, registers it in the court's own log, waits for the witnesses, and has a gateway's own check judge it before it is handed out.
func (c *courtDesk) issue(ctx context.Context, r *issueRequest) (*issued, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	view, err := c.directory.Current()
	if err != nil {
		return nil, err
	}
	subject, err := view.NormaliseSubject(r.Subject)
	if err != nil {
		return nil, err
	}
	now := c.now.Now()
	from := r.From
	if from.IsZero() {
		from = now
	}
	if from.Before(now.Add(-time.Second)) {
		// A20: the court does not even register what begins before its registration.
		return nil, countersign.Refuse(countersign.CodeBadRequest, "a warrant begins when it is registered, or later: it is not back-dated")
	}
	w := &mandate.Warrant{
		Scope: mandate.Scope{
			ID: countersign.MandateID(countersign.NewExchangeID(now).String()), Subject: subject.Canonical(), Client: r.Client, Service: r.Service,
			Fields: countersign.SortFields(slices.Clone(r.Fields)), Purpose: r.Purpose, Basis: r.Basis, Case: r.Case,
			Issued: mandate.SecondsOf(now), From: mandate.SecondsOf(from), Until: mandate.SecondsOf(from.Add(time.Duration(r.Life))),
		},
		Court: countersign.CourtName(c.Name), Judge: strings.TrimSpace(r.Judge), Uses: r.Uses, Ground: r.Ground, Facts: r.Facts, Privilege: r.Privilege,
		Status: mandate.NewStatusRef(c.URL+pathStatusList, uint64(len(c.warrants))),
	}
	token, err := mandate.SignWarrant(c.key, w)
	if err != nil {
		return nil, err
	}
	known := &courtWarrant{ID: w.ID, Judge: w.Judge, Token: token, From: w.From.Time(), Until: w.Until.Time(), Uses: w.Uses}
	note := &courtNote{Issued: known, At: now}
	receipt, err := c.register(ctx, countersign.MandateWarrant, sha256.Sum256([]byte(token)), note)
	if err != nil {
		return nil, err
	}
	c.take(note)
	if err := c.check(token, receipt); err != nil {
		return nil, err
	}
	header, err := (&exchange.Presented{Warrant: token, Receipt: receipt}).Encode()
	if err != nil {
		return nil, err
	}
	return &issued{ID: w.ID, Mandate: header, Until: known.Until}, nil
}

// check judges a fresh warrant as a gateway will, so that the judge hears at once what would be refused.
func (c *courtDesk) check(token string, receipt *countersign.Receipt) error {
	view, err := c.directory.Current()
	if err != nil {
		return err
	}
	rules, err := mandate.Compile(view.Document())
	if err != nil {
		return err
	}
	logs, err := policyOf(view)
	if err != nil {
		return err
	}
	_, _, err = rules.VerifyWarrant(token, c.now.Now(), mandate.ReceiptProof{Policy: logs, Receipt: receipt}, c, nil)
	return err
}

// StatusList implements mandate.StatusSource.
func (c *courtDesk) StatusList(string) (string, error) {
	withdrawn := make([]bool, len(c.warrants))
	for i, w := range c.warrants {
		withdrawn[i] = w.Withdrawn != nil
	}
	return mandate.SignStatusList(c.key, c.URL+pathStatusList, withdrawn, c.now.Now())
}

func (c *courtDesk) serveStatus(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	list, err := c.StatusList("")
	c.mu.Unlock()
	c.publish(w, "application/statuslist+jwt", list, err)
}

// warrantAct is something that a judge does to a warrant.
type warrantAct struct {
	ID     countersign.MandateID `json:"id"`
	Judge  string                `json:"judge"`
	Upheld bool                  `json:"upheld,omitempty"`
	Reason string                `json:"reason"`
}

// withdraw puts a withdrawal on record; the status list tells it from then on.
func (c *courtDesk) withdraw(ctx context.Context, a *warrantAct) (*courtWarrant, error) {
	return c.act(ctx, a, func(w *courtWarrant, now time.Time) (*courtNote, error) {
		if w.Withdrawn != nil {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "the warrant was withdrawn before")
		}
		return &courtNote{Withdrawn: w.ID, At: now}, nil
	})
}

// review puts another judge's review on record; a warrant that is not upheld is withdrawn with it.
func (c *courtDesk) review(ctx context.Context, a *warrantAct) (*courtWarrant, error) {
	return c.act(ctx, a, func(w *courtWarrant, now time.Time) (*courtNote, error) {
		if mandate.CanonicalOfficial(a.Judge) == mandate.CanonicalOfficial(w.Judge) {
			// A28: nobody judges their own decision.
			return nil, countersign.Refuse(countersign.CodeAccessDenied, "a warrant is not reviewed by the judge who issued it: another judge must")
		}
		n := &courtNote{Reviewed: w.ID, Review: &courtReview{a.Judge, a.Upheld, a.Reason, now}, At: now}
		if !a.Upheld {
			n.Withdrawn = w.ID
		}
		return n, nil
	})
}

func (c *courtDesk) act(ctx context.Context, a *warrantAct, do func(*courtWarrant, time.Time) (*courtNote, error)) (*courtWarrant, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.find(a.ID)
	switch {
	case w == nil:
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the court has issued no warrant of that number")
	case mandate.CanonicalOfficial(a.Judge) == "":
		return nil, countersign.Refuse(countersign.CodeBadRequest, "say which judge decides")
	}
	now := c.now.Now()
	note, err := do(w, now)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(note)
	if err != nil {
		return nil, err
	}
	if _, err := c.register(ctx, countersign.MandateWarrant, sha256.Sum256(append([]byte("countersign court act\x00"+w.Token+"\x00"), text...)), note); err != nil {
		return nil, err
	}
	c.take(note)
	return w, nil
}

// list tells every warrant of the court.
func (c *courtDesk) list(context.Context, *struct{}) (*[]*courtWarrant, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := append([]*courtWarrant{}, c.warrants...)
	return &out, nil
}
