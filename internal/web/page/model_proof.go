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

// Year is a year at a glance, or one of its months.
type Year struct {
	Year     int
	Month    time.Month // zero is the whole year
	Earlier  Handle     // the year or month before, when there is one; likewise Later
	Later    Handle
	Whole    Handle      // of a month: its year
	Months   [12]Handle  // of a year: its months
	Counts   []PeriodUse // by month, or by day of the month
	Agencies []AgencyUse // sorted by the page: most uses first
	Sources  []Source
	Begun    time.Time // what is younger is counted on an earlier page; zero where this page begins with the newest
	Reached  time.Time // what is older, or of the same instant, is not counted here; zero where everything is
	Rest     Handle    // of a month: counts on from Reached
}

// PeriodUse is how often a month or a day saw a person's data used.
type PeriodUse struct {
	Released int // answers that left
	Refused  int // refused or failed attempts
	State    CountState
}

// CountState says whether a page has counted the whole of a month or day.
type CountState uint8

// The zero value is counted.
const (
	Counted CountState = iota
	CountedPart
	CountedNot
)

// AgencyUse is how often an agency asked in each month or day.
type AgencyUse struct {
	Agency string
	Counts []int
}

// Total adds them up.
func (a AgencyUse) Total() int {
	n := 0
	for _, m := range a.Counts {
		n += m
	}
	return n
}
