package page

import (
	"time"

	"countersign.dev/countersign"
)

// Catalogue is "what is held about me, and who may ask".
type Catalogue struct {
	Registers []Register
	Outside   []OutsideLaw
	Sources   []Source
	Reached   time.Time // uses as old or older are not counted; zero where those of the whole year are
}

// Register is one service of a member that holds personal data.
type Register struct {
	Handle     Handle
	Name       string // the service's
	Holder     string // the member's
	Categories []HeldCategory
	Uses       []AgencyCount // who asked it about this person in the past year, most first
	Refused    int
	OwnData    bool // the person may ask for their own data
	Assessment string
	Disabled   bool
}

// HeldCategory is one category that a register holds, and who may ask for it.
type HeldCategory struct {
	Name    string
	Class   countersign.Class
	Special bool
	Fields  []countersign.FieldPath
	Grants  []HeldGrant
}

// HeldGrant is one purpose for which some agencies may ask.
type HeldGrant struct {
	Purpose   string
	Laws      []Law
	Agencies  []string // empty: every agency of the federation
	Mandates  []countersign.MandateKind
	Keep      time.Duration // how long the asker may keep it
	Fields    []countersign.FieldPath
	Programme string
}

// AgencyCount is how often an agency asked.
type AgencyCount struct {
	Agency string
	Count  int
}

// OutsideLaw is a law that demands a disclosure outside Countersign, which the catalogue says and the gateways refuse.
type OutsideLaw struct {
	Law  Law
	What string
}

// OwnData is the person's own data as a register has just answered it. It is shown and kept nowhere.
type OwnData struct {
	Register string
	Holder   string
	Handle   Handle // of the register, for correcting
	Asked    time.Time
	Rows     []DataRow
	Empty    bool // the register holds nothing about the person
	Failed   countersign.Code
}

// DataRow is one value. Group numbers elements of a list that belong together, zero for the top.
type DataRow struct {
	Path  countersign.FieldPath
	Value string
	Group int
}
