package countersign

import (
	"encoding/binary"
	"time"
)

// Destruction is what a leaf of kind destruction says: that the records of a month were destroyed, by destroying the one key under which all
// of their own keys were wrapped. A log owes one for each month of its life, also where nothing was due, so that none can be left out unseen.
// It names nobody: how many records there were follows from the log's public leaves.
//
// With Consumer and Purpose it is a deletion receipt: the word of that subsystem that it has deleted what it received for the purpose and was to
// keep until the month at the longest. The gateway cannot see into the system; the leaf is the agency's word, in public.
type Destruction struct {
	Consumer string      `json:"consumer,omitempty"` // SubsystemID of a deletion receipt
	Purpose  PurposeCode `json:"purpose,omitempty"`  // of a deletion receipt

	Month   Month  `json:"month"`   // in which the records' time ended
	Records uint64 `json:"records"` // how many were destroyed; of a deletion receipt, answers
	First   uint64 `json:"first"`   // index of the first leaf whose record was destroyed; 0 where there was none
	Last    uint64 `json:"last"`    // index of the last one
	Kept    uint32 `json:"kept"`    // records of the month that an open case keeps: they were sealed under the key of a later month first; of a deletion receipt, answers that another law or a court has the agency keep
}

// DestructionWithin is how long after a month's end its destruction leaf may take to stand.
const DestructionWithin = 72 * time.Hour

// destructionSize: month (4 bytes), records, first and last (8 bytes each), kept (4 bytes), all big-endian. It is the size of a commitment,
// whose place it takes.
const destructionSize = 32

// IsReceipt reports a deletion receipt.
func (d *Destruction) IsReceipt() bool { return d.Consumer != "" }

// Leaf is the destruction as a leaf of the hour.
func (d *Destruction) Leaf(hour Hour) *Leaf {
	l := &Leaf{Kind: LeafDestruction, Hour: hour, Consumer: d.Consumer, Purpose: d.Purpose}
	if d.IsReceipt() {
		l.Side = SideConsumer
	}
	binary.BigEndian.PutUint32(l.Commitment[:], uint32(d.Month)) //nolint:gosec // months are positive
	binary.BigEndian.PutUint64(l.Commitment[4:], d.Records)
	binary.BigEndian.PutUint64(l.Commitment[12:], d.First)
	binary.BigEndian.PutUint64(l.Commitment[20:], d.Last)
	binary.BigEndian.PutUint32(l.Commitment[28:], d.Kept)
	return l
}

// Destruction reads what a leaf of kind destruction says. A leaf that contradicts itself, or that speaks of a month which was not over in its
// own hour, is a CodeBadRequest refusal.
func (l *Leaf) Destruction() (*Destruction, error) {
	if l.Kind != LeafDestruction {
		return nil, Refuse(CodeBadRequest, "a leaf of kind %s says nothing of a destruction", l.Kind)
	}
	c := l.Commitment[:destructionSize]
	month := binary.BigEndian.Uint32(c)
	d := &Destruction{Consumer: l.Consumer, Purpose: l.Purpose, Records: binary.BigEndian.Uint64(c[4:]), First: binary.BigEndian.Uint64(c[12:]), Last: binary.BigEndian.Uint64(c[20:]), Kept: binary.BigEndian.Uint32(c[28:])}
	if month < 12 || month >= 12*10000 {
		return nil, Refuse(CodeBadRequest, "the destruction's month %d is none: it is year × 12 + month − 1", month)
	}
	d.Month = Month(month)
	switch {
	case l.Service != "" || l.Mandate != 0 || l.Outcome != 0:
		return nil, Refuse(CodeBadRequest, "the destruction leaf names a service, a mandate or an outcome: those elements stay empty")
	case d.IsReceipt() != (l.Side == SideConsumer) || d.IsReceipt() != (d.Purpose != "") || l.Side != 0 && l.Side != SideConsumer:
		return nil, Refuse(CodeBadRequest, "a deletion receipt has side consumer, a consumer and a purpose; a destruction of records has none of them")
	case d.IsReceipt() && (d.First != 0 || d.Last != 0):
		return nil, Refuse(CodeBadRequest, "a deletion receipt tells of what stands in no log: first and last are 0")
	case d.IsReceipt() && !l.Hour.Time().Before(d.Month.End()):
		return d, nil
	case d.IsReceipt():
		return nil, Refuse(CodeBadRequest, "the deletion of %s stands in the log before that month was over", d.Month)
	case d.First > d.Last || d.Records == 0 && d.Last != 0 || d.Records > 0 && d.Records > d.Last-d.First+1:
		return nil, Refuse(CodeBadRequest, "the destruction of %s tells of %d records between leaves %d and %d: so many cannot stand there", d.Month, d.Records, d.First, d.Last)
	case l.Hour.Time().Before(d.Month.End()):
		return nil, Refuse(CodeBadRequest, "the destruction of %s stands in the log before that month was over", d.Month)
	}
	return d, nil
}
