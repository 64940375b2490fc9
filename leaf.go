package countersign

import (
	"golang.org/x/mod/sumdb/tlog"
)

// LeafKind says what a leaf records.
type LeafKind uint8

// The kinds of leaf. A public reader skips kinds that it does not know.
const (
	LeafExchange    LeafKind = 1  // one side of one exchange
	LeafSealed      LeafKind = 2  // a fixed-size slot, used or empty: the two look alike
	LeafRelease     LeafKind = 3  // class O: a streamed answer begins
	LeafCompletion  LeafKind = 4  // class O: a streamed answer ended, with its digest
	LeafDirectory   LeafKind = 5  // a version of the signed directory
	LeafDestruction LeafKind = 6  // a month of records was destroyed by key
	LeafInception   LeafKind = 7  // the first leaf of a log, or of a successor log
	LeafCoarse      LeafKind = 8  // an exchange of a small or delicate service: provider and quarter only
	LeafMandate     LeafKind = 9  // a warrant, consent or other mandate was registered, withdrawn or reviewed
	LeafCase        LeafKind = 10 // a person's objection, correction or appeal took a step
	LeafReport      LeafKind = 11 // a report or privacy-noised figures were published
	LeafView        LeafKind = 12 // records were read through a portal: a person's own view of them is a record too
	LeafDecision    LeafKind = 13 // a member decided about a person on the answer of an exchange
)

// String is the kind's word.
func (k LeafKind) String() string {
	return word(int(k), "unknown", "exchange", "sealed", "release", "completion", "directory", "destruction", "inception", "coarse", "mandate", "case", "report", "view", "decision")
}

// MarshalText writes the word.
func (k LeafKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the word.
func (k *LeafKind) UnmarshalText(b []byte) error {
	for v := LeafExchange; v <= LeafDecision; v++ {
		if v.String() == string(b) {
			*k = v
			return nil
		}
	}
	return Refuse(CodeBadRequest, "leaf kind %q is not known here", b)
}

// Leaf is one public entry of a log. It names no person and no official; the commitment stands for everything private.
// Kinds other than exchanges leave the fields that do not concern them empty; Commitment is then the digest or commitment that the
// kind's chapter of docs/spec/ledger.md names.
type Leaf struct {
	Kind       LeafKind    `json:"kind"`
	Hour       Hour        `json:"hour"`
	Side       Side        `json:"side,omitempty"`
	Service    string      `json:"service,omitempty"`  // ServiceID; for coarse leaves the provider's MemberID
	Consumer   string      `json:"consumer,omitempty"` // SubsystemID
	Purpose    PurposeCode `json:"purpose,omitempty"`
	Mandate    MandateKind `json:"mandate,omitempty"`
	Outcome    Outcome     `json:"outcome,omitempty"`
	Commitment Commitment  `json:"-"`
}

const leafVersion = 1

type wireLeaf struct {
	Version, Kind              uint8
	Hour                       uint32
	Side                       uint8
	Service, Consumer, Purpose string
	Mandate, Outcome           uint8
	Commitment                 []byte
}

func (w *wireLeaf) form(f *cborForm) {
	f.array(10)
	cborNumber(f, &w.Version)
	cborNumber(f, &w.Kind)
	cborNumber(f, &w.Hour)
	cborNumber(f, &w.Side)
	f.text(&w.Service)
	f.text(&w.Consumer)
	f.text(&w.Purpose)
	cborNumber(f, &w.Mandate)
	cborNumber(f, &w.Outcome)
	f.bytes(&w.Commitment)
}

// Encode writes the leaf in deterministic CBOR: an array of 10 elements.
func (l *Leaf) Encode() []byte {
	return encodeCBOR(&wireLeaf{leafVersion, uint8(l.Kind), uint32(l.Hour), uint8(l.Side), l.Service, l.Consumer, string(l.Purpose),
		uint8(l.Mandate), uint8(l.Outcome), l.Commitment[:]})
}

// ParseLeaf reads what Encode writes and nothing else.
func ParseLeaf(b []byte) (*Leaf, error) {
	var w wireLeaf
	if err := decodeCBOR(b, &w, "leaf"); err != nil {
		return nil, err
	}
	if w.Version != leafVersion {
		return nil, Refuse(CodeBadRequest, "leaf version %d is not known here: this program reads version %d", w.Version, leafVersion)
	}
	if w.Kind == 0 || Hour(w.Hour) > MaxHour {
		return nil, Refuse(CodeBadRequest, "the leaf's kind %d or hour %d is none: kinds begin at 1, hours end with the year 9999", w.Kind, w.Hour)
	}
	if len(w.Commitment) != len(Commitment{}) {
		return nil, Refuse(CodeBadRequest, "the leaf's commitment has %d bytes where 32 are due", len(w.Commitment))
	}
	l := &Leaf{Kind: LeafKind(w.Kind), Hour: Hour(w.Hour), Side: Side(w.Side), Service: w.Service, Consumer: w.Consumer,
		Purpose: PurposeCode(w.Purpose), Mandate: MandateKind(w.Mandate), Outcome: Outcome(w.Outcome)}
	copy(l.Commitment[:], w.Commitment)
	return l, nil
}

// LeafHash is the RFC 6962 hash of an encoded leaf, as tiles hold it.
func LeafHash(encoded []byte) Digest { return Digest(tlog.RecordHash(encoded)) }

// ExchangeLeaf is the leaf that either side owes for a statement under a salt. The provider's leaf takes its outcome from the
// statement; the consumer's says how its intent was closed.
func ExchangeLeaf(s *Statement, side Side, outcome Outcome, c Commitment) *Leaf {
	return &Leaf{Kind: LeafExchange, Hour: HourOf(s.Answered.Time()), Side: side, Service: s.Service.String(), Consumer: s.Consumer.String(),
		Purpose: s.Purpose, Mandate: s.Mandate.Kind, Outcome: outcome, Commitment: c}
}
