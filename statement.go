package countersign

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"slices"
)

// Outcome says how one side's part in an exchange ended. The zero value is no outcome and is refused everywhere.
type Outcome uint8

// The outcomes. Released and Refused and Failed are the provider's word, kept in the statement; Received and NotAccepted close a consumer's intent.
const (
	OutcomeReleased    Outcome = 1 // the provider let the listed fields go
	OutcomeRefused     Outcome = 2 // one side refused; nothing was released
	OutcomeFailed      Outcome = 3 // allowed, but the register did not answer: nothing was released
	OutcomeReceived    Outcome = 4 // the consumer verified the answer and handed it over
	OutcomeNotAccepted Outcome = 5 // the consumer dropped what came, or nothing came
)

// String is the outcome's word in leaves' text form, logs and JSON.
func (o Outcome) String() string {
	return word(int(o), "", "released", "refused", "failed", "received", "not-accepted")
}

// MarshalText writes the word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the word.
func (o *Outcome) UnmarshalText(b []byte) error {
	for v := OutcomeReleased; v <= OutcomeNotAccepted; v++ {
		if v.String() == string(b) {
			*o = v
			return nil
		}
	}
	return Refuse(CodeBadRequest, "outcome %q is not one of released, refused, failed, received, not-accepted", b)
}

// Side says whose log a leaf stands in.
type Side uint8

// The sides of an exchange.
const (
	SideConsumer Side = 1
	SideProvider Side = 2
)

// String is the side's word.
func (s Side) String() string { return word(int(s), "", "consumer", "provider") }

// MarshalText writes the word.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *Side) UnmarshalText(b []byte) error {
	for v := SideConsumer; v <= SideProvider; v++ {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return Refuse(CodeBadRequest, "side %q is not one of consumer, provider", b)
}

// MandateKind says on whose authority an exchange stands beside its purpose and legal basis.
type MandateKind uint8

// The kinds of mandate. MandateNone is the zero value: the purpose alone, good for cells that ask for no more.
const (
	MandateNone      MandateKind = 0
	MandateRelation  MandateKind = 1 // an open case, application or treatment, confirmed by its register
	MandateConsent   MandateKind = 2 // the person's own consent
	MandateWarrant   MandateKind = 3 // a court's signed warrant
	MandateEmergency MandateKind = 4 // vital interests, reviewed within 72 hours
	MandateProgramme MandateKind = 5 // a threshold-signed programme of legitimate volume
	MandateOwn       MandateKind = 6 // the person asks for their own data, by their own identity token

	// MandateLast is the highest kind that there is.
	MandateLast = MandateOwn
)

// String is the kind's word.
func (k MandateKind) String() string {
	return word(int(k), "none", "relation", "consent", "warrant", "emergency", "programme", "own")
}

// MarshalText writes the word.
func (k MandateKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the word.
func (k *MandateKind) UnmarshalText(b []byte) error {
	for v := MandateNone; v <= MandateLast; v++ {
		if v.String() == string(b) {
			*k = v
			return nil
		}
	}
	return Refuse(CodeBadRequest, "mandate kind %q is not one of none, relation, consent, warrant, emergency, programme, own", b)
}

// Assurance says how well the asking official is known. Higher is better known.
type Assurance uint8

// The assurances; the zero value is none and satisfies no purpose.
const (
	AssuranceAutomated Assurance = 1 // no official: a standing declaration or a programme
	AssuranceAsserted  Assurance = 2 // the agency's word (X-Road-UserId), and shown as that
	AssuranceVerified  Assurance = 3 // OpenID Connect or certificate, verified by the consumer's gateway
)

// String is the assurance's word.
func (a Assurance) String() string { return word(int(a), "", "automated", "asserted", "verified") }

// MarshalText writes the word.
func (a Assurance) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the word.
func (a *Assurance) UnmarshalText(b []byte) error {
	for v := AssuranceAutomated; v <= AssuranceVerified; v++ {
		if v.String() == string(b) {
			*a = v
			return nil
		}
	}
	return Refuse(CodeBadRequest, "assurance %q is not one of automated, asserted, verified", b)
}

func word(i int, zero string, rest ...string) string {
	if i >= 1 && i <= len(rest) {
		return rest[i-1]
	}
	return zero
}

// Official is the person who asks, as the provider and the data subject learn of them: a pseudonym that only the consumer can turn
// back, a role, and how well the consumer knows them.
type Official struct {
	Pseudonym string    `json:"pseudonym,omitempty"`
	Role      string    `json:"role,omitempty"`
	Assurance Assurance `json:"assurance"`
}

// MandateRef names the authority that an exchange used. Digest is SHA-256 of the token that carried it.
type MandateRef struct {
	Kind   MandateKind `json:"kind"`
	ID     MandateID   `json:"id,omitempty"`
	Digest Digest      `json:"digest"`
}

// Statement is what both parties of an exchange can recompute: who asked whom about whom, why, on what authority, and what left.
// Both logs commit to the same statement under the same salt, which is how an exchange is paired.
type Statement struct {
	Exchange   ExchangeID   `json:"exchange"`
	Consumer   SubsystemID  `json:"consumer"`
	Service    ServiceID    `json:"service"`
	OnBehalfOf []string     `json:"onBehalfOf"` // the signed chain, nearest principal first; X-Road-Represented-Party begins it
	Subject    string       `json:"subject"`    // SubjectID.Canonical; empty for class O
	Purpose    PurposeCode  `json:"purpose"`
	Basis      BasisCode    `json:"basis"`
	Case       CaseRef      `json:"case"`
	Mandate    MandateRef   `json:"mandate"`
	Official   Official     `json:"official"`
	Fields     []FieldPath  `json:"fields"`  // released, sorted; empty when refused, "*" alone for class O that is not filtered
	Outcome    Outcome      `json:"outcome"` // the provider's: released, refused or failed
	Reasons    []Code       `json:"reasons"` // why refused, all of them
	Asked      Millis       `json:"asked"`   // by the consumer's clock, from the signed request
	Answered   Millis       `json:"answered"`
	Request    SaltedDigest `json:"request"` // of the X-Road request hash
	Answer     SaltedDigest `json:"answer"`  // of the answer's body as it left; zero when nothing left
	Directory  uint64       `json:"directory"`
}

// statementVersion opens every encoded statement.
const statementVersion = 1

type wireStatement struct {
	Version                         uint8
	Exchange                        []byte
	Consumer, Service               string
	OnBehalfOf                      []string
	Subject, Purpose, Basis, Case   string
	MandateKind                     uint8
	MandateID                       string
	MandateDigest                   []byte
	OfficialPseudonym, OfficialRole string
	OfficialAssurance               uint8
	Fields                          []string
	Outcome                         uint8
	Reasons                         []string
	Asked, Answered                 uint64
	Request, Answer                 []byte
	Directory                       uint64
}

func (w *wireStatement) form(f *cborForm) {
	f.array(23)
	cborNumber(f, &w.Version)
	f.bytes(&w.Exchange)
	f.text(&w.Consumer)
	f.text(&w.Service)
	f.texts(&w.OnBehalfOf)
	f.text(&w.Subject)
	f.text(&w.Purpose)
	f.text(&w.Basis)
	f.text(&w.Case)
	cborNumber(f, &w.MandateKind)
	f.text(&w.MandateID)
	f.bytes(&w.MandateDigest)
	f.text(&w.OfficialPseudonym)
	f.text(&w.OfficialRole)
	cborNumber(f, &w.OfficialAssurance)
	f.texts(&w.Fields)
	cborNumber(f, &w.Outcome)
	f.texts(&w.Reasons)
	cborNumber(f, &w.Asked)
	cborNumber(f, &w.Answered)
	f.bytes(&w.Request)
	f.bytes(&w.Answer)
	cborNumber(f, &w.Directory)
}

// Encode writes the statement in deterministic CBOR: an array of 23 elements in the order of docs/spec/protocol.md.
func (s *Statement) Encode() []byte { return s.encode(s.Consumer.String(), s.Service.String()) }

func (s *Statement) encode(consumer, service string) []byte {
	return encodeCBOR(&wireStatement{
		Version: statementVersion, Exchange: s.Exchange[:], Consumer: consumer, Service: service,
		OnBehalfOf: texts(s.OnBehalfOf), Subject: s.Subject, Purpose: string(s.Purpose), Basis: string(s.Basis), Case: string(s.Case),
		MandateKind: uint8(s.Mandate.Kind), MandateID: string(s.Mandate.ID), MandateDigest: s.Mandate.Digest[:],
		OfficialPseudonym: s.Official.Pseudonym, OfficialRole: s.Official.Role, OfficialAssurance: uint8(s.Official.Assurance),
		Fields: texts(s.Fields), Outcome: uint8(s.Outcome), Reasons: texts(s.Reasons), Asked: s.Asked.wire(), Answered: s.Answered.wire(),
		Request: s.Request[:], Answer: s.Answer[:], Directory: s.Directory,
	})
}

// ParseStatement reads what Encode writes and nothing else; errors are CodeBadRequest or CodeTooLarge refusals.
func ParseStatement(b []byte) (*Statement, error) {
	var w wireStatement
	if err := decodeCBOR(b, &w, "statement"); err != nil {
		return nil, err
	}
	if w.Version != statementVersion {
		return nil, Refuse(CodeBadRequest, "statement version %d is not known here: this program reads version %d", w.Version, statementVersion)
	}
	s := &Statement{
		OnBehalfOf: w.OnBehalfOf, Subject: w.Subject, Purpose: PurposeCode(w.Purpose), Basis: BasisCode(w.Basis), Case: CaseRef(w.Case),
		Mandate:  MandateRef{Kind: MandateKind(w.MandateKind), ID: MandateID(w.MandateID)},
		Official: Official{w.OfficialPseudonym, w.OfficialRole, Assurance(w.OfficialAssurance)},
		Fields:   named[FieldPath](w.Fields), Outcome: Outcome(w.Outcome), Reasons: named[Code](w.Reasons),
		Directory: w.Directory,
	}
	var err error
	if s.Asked, err = parseMillis(w.Asked, "the statement's time of asking"); err != nil {
		return nil, err
	}
	if s.Answered, err = parseMillis(w.Answered, "the statement's time of answering"); err != nil {
		return nil, err
	}
	if s.Consumer, err = ParseSubsystemID(w.Consumer); err != nil {
		return nil, err
	}
	if s.Service, err = ParseServiceID(w.Service); err != nil {
		return nil, err
	}
	for _, f := range []struct{ to, from []byte }{
		{s.Exchange[:], w.Exchange}, {s.Mandate.Digest[:], w.MandateDigest}, {s.Request[:], w.Request}, {s.Answer[:], w.Answer},
	} {
		if len(f.from) != len(f.to) {
			return nil, Refuse(CodeBadRequest, "the statement holds a byte string of %d bytes where %d are due", len(f.from), len(f.to))
		}
		copy(f.to, f.from)
	}
	if s.Outcome < OutcomeReleased || s.Outcome > OutcomeFailed {
		return nil, Refuse(CodeBadRequest, "the statement's outcome %d is not released, refused or failed", w.Outcome)
	}
	return s, nil
}

func texts[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func named[S ~string](in []string) []S {
	out := make([]S, len(in))
	for i, s := range in {
		out[i] = S(s)
	}
	return out
}

// Salt blinds a commitment. Both parties contribute a half, so that neither can prepare a statement that fits an old commitment.
type Salt [32]byte

// SaltHalf is one party's contribution: 256 random bits.
type SaltHalf [32]byte

// Commitment is HMAC-SHA-256 of a statement under the salt: all that the public log holds of it.
type Commitment [32]byte

// SaltedDigest is HMAC-SHA-256 under the salt of a digest of payload bytes. Payloads have little entropy: a plain digest in a
// statement would let its reader guess them.
type SaltedDigest [32]byte

// IsZero reports an absent digest.
func (d SaltedDigest) IsZero() bool { return d == SaltedDigest{} }

// MarshalText writes lower-case hexadecimal.
func (d SaltedDigest) MarshalText() ([]byte, error) { return Digest(d).MarshalText() }

// UnmarshalText reads 64 hexadecimal digits.
func (d *SaltedDigest) UnmarshalText(b []byte) error { return (*Digest)(d).UnmarshalText(b) }

// JoinSalt makes the exchange's salt: SHA-256 of "countersign salt", a zero byte, the consumer's half, the provider's half.
func JoinSalt(consumer, provider SaltHalf) Salt {
	buf := make([]byte, 0, 17+64)
	buf = append(buf, "countersign salt\x00"...)
	buf = append(buf, consumer[:]...)
	buf = append(buf, provider[:]...)
	return sha256.Sum256(buf)
}

// Commit computes the commitment of an encoded statement.
func (s Salt) Commit(statement []byte) Commitment { return s.Keyed().Commit(statement) }

// Opens reports whether the statement and this salt give the commitment.
func (s Salt) Opens(c Commitment, statement []byte) bool {
	got := s.Commit(statement)
	return hmac.Equal(got[:], c[:])
}

// Blind salts a digest of payload bytes; label tells request from answer.
func (s Salt) Blind(label string, digest []byte) SaltedDigest { return s.Keyed().Blind(label, digest) }

// Keyed makes the salt ready for several computations in turn; it is not for concurrent use.
func (s Salt) Keyed() KeyedSalt {
	return KeyedSalt{hmac.New(sha256.New, s[:]), make([]byte, 0, 128)}
}

// KeyedSalt is HMAC-SHA-256 under a salt.
type KeyedSalt struct {
	mac  hash.Hash
	room []byte // for what the hash reads and writes, instead of new memory each time
}

// Commit is [Salt.Commit].
func (k KeyedSalt) Commit(statement []byte) Commitment {
	k.begin("commitment")
	k.mac.Write(statement)
	return Commitment(k.mac.Sum(k.room))
}

// Blind is [Salt.Blind].
func (k KeyedSalt) Blind(label string, digest []byte) SaltedDigest {
	k.begin(label)
	k.mac.Write(append(k.room, digest...))
	return SaltedDigest(k.mac.Sum(k.room))
}

// Commits encodes a statement and makes the leaf that commits a side to it; see [ExchangeLeaf].
func (k KeyedSalt) Commits(s *Statement, side Side, outcome Outcome) (text []byte, leaf *Leaf) {
	leaf = ExchangeLeaf(s, side, outcome, Commitment{})
	text = s.encode(leaf.Consumer, leaf.Service)
	leaf.Commitment = k.Commit(text)
	return text, leaf
}

func (k KeyedSalt) begin(label string) {
	k.mac.Reset()
	b := append(append(k.room, "countersign "...), label...)
	k.mac.Write(append(b, 0))
}

// SortFields gives field paths their one order and drops repeats.
func SortFields(f []FieldPath) []FieldPath {
	slices.Sort(f)
	return slices.Compact(f)
}
