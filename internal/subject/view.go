package subject

import (
	"context"
	"crypto/rand"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// The built-in purpose of a person's own view. Neither is in the directory: no member can state them in an exchange.
const (
	PurposeOwnView countersign.PurposeCode = "own-view"
	BasisOwnView   countersign.BasisCode   = "own-view"

	// SubsystemPortal and ServiceOwnView name in records what a portal read.
	SubsystemPortal = "portal"
	ServiceOwnView  = "own-history"

	// PurposeNotices and ServiceNotices name a person's standing permission to ask whether there is anything new.
	PurposeNotices countersign.PurposeCode = "notices"
	ServiceNotices string                  = "notices"

	// MaxViewAge is how long pages of one view may be read after its record was made.
	MaxViewAge = 15 * time.Minute
)

// viewLife is how long the record of a view is kept: as long as records of access.
const viewLife = 3653 * 24 * time.Hour

// View is one look of a person at their own history, on the portal's record.
type View struct {
	ID      countersign.ExchangeID
	at      time.Time
	receipt *countersign.Receipt
}

// recordView makes the record of a view durable, before anything is asked of any gateway.
//
// LAW: guarantee 9, the watchers are watched: portal reads are records too; A50: the view itself is recorded and shown.
func recordView(ctx context.Context, log *ledger.Log, portal countersign.MemberID, person countersign.SubjectID, version uint64, now time.Time) (*View, error) {
	return recordViewAs(ctx, log, portal, countersign.NewExchangeID(now), person, version, now)
}

// recordPermission makes the record of a standing permission durable, before it is used.
func recordPermission(ctx context.Context, log *ledger.Log, portal countersign.MemberID, person countersign.SubjectID, version uint64, now time.Time) (*View, error) {
	return recordAct(ctx, log, portal, countersign.NewExchangeID(now), person, version, now, PurposeNotices, ServiceNotices)
}

// recordViewAs records a view under an identifier that somebody else has chosen.
func recordViewAs(ctx context.Context, log *ledger.Log, portal countersign.MemberID, id countersign.ExchangeID, person countersign.SubjectID, version uint64, now time.Time) (*View, error) {
	return recordAct(ctx, log, portal, id, person, version, now, PurposeOwnView, ServiceOwnView)
}

func recordAct(ctx context.Context, log *ledger.Log, portal countersign.MemberID, id countersign.ExchangeID, person countersign.SubjectID, version uint64, now time.Time,
	purpose countersign.PurposeCode, service string) (*View, error) {
	sub := countersign.SubsystemID{MemberID: portal, Subsystem: SubsystemPortal}
	st := &countersign.Statement{
		Exchange: id, Consumer: sub, Service: countersign.ServiceID{SubsystemID: sub, Service: service}, Subject: person.Canonical(),
		Purpose: purpose, Basis: BasisOwnView, Official: countersign.Official{Role: "data-subject", Assurance: countersign.AssuranceVerified},
		Outcome: countersign.OutcomeReleased, Asked: countersign.MillisOf(now), Answered: countersign.MillisOf(now), Directory: version,
	}
	text := st.Encode()
	var salt countersign.Salt
	_, _ = rand.Read(salt[:]) // crypto/rand.Read never fails
	leaf := countersign.ExchangeLeaf(st, countersign.SideConsumer, countersign.OutcomeReleased, salt.Commit(text))
	leaf.Kind = countersign.LeafView
	placed, err := log.Append(ctx, ledger.Entry{
		Leaf: leaf, Exchange: id, Tag: log.TagOf(person), Expires: now.Add(viewLife),
		Record: &ledger.Record{Statement: text, Salt: salt, Directory: version, Official: st.Official},
	})
	if err != nil {
		return nil, err
	}
	return &View{ID: id, at: now, receipt: placed.Receipt(text, salt[:])}, nil
}

// checkView verifies that a portal has this view of this person on record, since not long ago.
func checkView(k *known, portal countersign.MemberID, r *countersign.Receipt, id countersign.ExchangeID, person countersign.SubjectID, now time.Time) error {
	recorded, err := checkRecorded(k, portal, r, id, person, PurposeOwnView)
	if err != nil {
		return err
	}
	if age := now.Sub(recorded); age > MaxViewAge || age < -time.Minute {
		return countersign.Refuse(countersign.CodeNoReceipt, "the portal shows no record of this view: it is too old, or one of the clocks is wrong")
	}
	return nil
}

// checkPermission verifies that a portal has a standing permission of this person on record, since when it was given.
func checkPermission(k *known, portal countersign.MemberID, r *countersign.Receipt, id countersign.ExchangeID, person countersign.SubjectID, given time.Time) error {
	recorded, err := checkRecorded(k, portal, r, id, person, PurposeNotices)
	if err != nil {
		return err
	}
	if apart := recorded.Sub(given).Abs(); apart > MaxViewAge {
		return countersign.Refuse(countersign.CodeNoReceipt, "the portal recorded the permission at another time than the person gave it")
	}
	return nil
}

// checkRecorded verifies that a portal has this act of this person on record: a leaf of kind view, promised by the portal's own log, whose commitment its
// statement opens. It gives the time of the record.
func checkRecorded(k *known, portal countersign.MemberID, r *countersign.Receipt, id countersign.ExchangeID, person countersign.SubjectID, purpose countersign.PurposeCode) (time.Time, error) {
	bad := func(cause error, what string) (time.Time, error) {
		return time.Time{}, countersign.RefuseBecause(countersign.CodeNoReceipt, cause, "the portal shows no record of this view: %s", what)
	}
	if r == nil || r.Format != countersign.ReceiptFormat || len(r.Salt) != len(countersign.Salt{}) {
		return bad(nil, "a receipt of it is due")
	}
	promise, err := countersign.ParsePromise(r.Promise)
	if err != nil {
		return bad(err, "its promise cannot be read")
	}
	key := portalLog(k, portal, promise.Origin)
	if key == nil {
		return bad(nil, "its log is not the portal's")
	}
	if err := countersign.VerifyTree(key.Public, countersign.DomainReceipt, r.Promise, r.Signature, nil); err != nil {
		return bad(err, "its promise is not signed by the portal's log")
	}
	leaf, err := countersign.ParseLeaf(r.Leaf)
	if err != nil || countersign.LeafHash(r.Leaf) != promise.Leaf || leaf.Kind != countersign.LeafView {
		return bad(err, "its leaf is another, or not one of a view")
	}
	if !countersign.Salt(r.Salt).Opens(leaf.Commitment, r.Statement) {
		return bad(nil, "its statement does not open the leaf")
	}
	st, err := countersign.ParseStatement(r.Statement)
	if err != nil || st.Exchange != id || st.Subject != person.Canonical() || st.Consumer.MemberID != portal || st.Purpose != purpose {
		return bad(err, "its statement is of another view")
	}
	return promise.Time.Time(), nil
}

func portalLog(k *known, portal countersign.MemberID, origin countersign.LogOrigin) *countersign.LogKey {
	for _, g := range k.gateways {
		if g.member.ID == portal && g.log.Origin == origin {
			return g.log
		}
	}
	return nil
}
