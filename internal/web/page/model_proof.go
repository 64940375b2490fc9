package page

import (
	"time"

	"countersign.dev/countersign"
)

// ProofState is the result of checking an entry's proof.
type ProofState string

// The states. The zero value has not been checked and is shown as that, never as good.
const (
	ProofUnchecked ProofState = ""
	ProofHolds     ProofState = "holds"     // in the log, under a checkpoint that a quorum has cosigned
	ProofPromised  ProofState = "promised"  // the log has promised it; witnesses have until Deadline
	ProofFails     ProofState = "fails"     // it does not hold: unmistakable, and says what to do
	ProofBroken    ProofState = "broken"    // a promise whose time has passed: public evidence against the log
	ProofMissing   ProofState = "missing"   // the member gave none
	ProofDestroyed ProofState = "destroyed" // the record has been destroyed by key; the leaf still stands
)

// Proof is the box that says whether an entry can be trusted.
type Proof struct {
	State    ProofState // the worst of Sides
	Checked  time.Time
	Sides    []SideProof
	Deadline time.Time // for ProofPromised
	Receipt  Handle    // to download; empty when there is nothing
	Policy   Handle    // the policy file that pins the logs and witnesses
	Check    Handle    // leads to the check in the browser; empty where there is none
}

// Check is the page on which the person's own browser checks the proofs of an entry.
type Check struct {
	Entry  Handle
	Agency string // whose entry it is
	When   time.Time
	Sides  []SideProof // with their receipts
	Policy Handle
}

// SideProof is the check of one party's log.
type SideProof struct {
	Side      countersign.Side
	Agency    string
	State     ProofState
	Reason    string // what failed, as the verifier says it; shown as it is
	Log       countersign.LogOrigin
	Index     uint64
	Tree      uint64 // size of the tree that it was checked in
	Witnesses []string
	Quorum    int
	Receipt   Handle
}

// Year is the year at a glance.
type Year struct {
	Year     int
	Earlier  Handle // the year before, when there is one; likewise Later
	Later    Handle
	Months   [12]MonthUse
	Agencies []AgencyUse // sorted by the page: most uses first
	Sources  []Source
}

// MonthUse is how often a month saw a person's data used.
type MonthUse struct {
	Released int // answers that left
	Refused  int // refused or failed attempts
}

// AgencyUse is how often an agency asked in each month.
type AgencyUse struct {
	Agency string
	Months [12]int
}

// Total adds the months.
func (a AgencyUse) Total() int {
	n := 0
	for _, m := range a.Months {
		n += m
	}
	return n
}
