package countersign

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MemberID names an organisation of the federation: instance, member class and member code, for instance DEMO/GOV/1001.
// The zero value names nobody.
type MemberID struct {
	Instance string
	Class    string
	Code     string
}

// SubsystemID names an information system of a member: the X-Road client identifier in four parts.
// Subsystem is empty where only the member itself is meant (X-Road allows a client of three parts).
type SubsystemID struct {
	MemberID
	Subsystem string
}

// ServiceID names one service of a subsystem: the X-Road service identifier in five parts.
type ServiceID struct {
	SubsystemID
	Service string
}

// String joins the parts with slashes, undecorated. Parts hold no slash once the directory has registered them.
func (m MemberID) String() string { return m.Instance + "/" + m.Class + "/" + m.Code }

// IsZero reports whether the identifier names nobody.
func (m MemberID) IsZero() bool { return m == MemberID{} }

// String joins the parts with slashes; a missing subsystem leaves three parts.
func (s SubsystemID) String() string {
	if s.Subsystem == "" {
		return s.MemberID.String()
	}
	return s.Instance + "/" + s.Class + "/" + s.Code + "/" + s.Subsystem
}

// String joins the five parts with slashes.
func (s ServiceID) String() string {
	if s.Subsystem == "" {
		return s.MemberID.String() + "/" + s.Service
	}
	return s.Instance + "/" + s.Class + "/" + s.Code + "/" + s.Subsystem + "/" + s.Service
}

// ParseMemberID reads INSTANCE/CLASS/MEMBER.
func ParseMemberID(text string) (MemberID, error) {
	p, err := parts(text, "member", 3, 3)
	if err != nil {
		return MemberID{}, err
	}
	return MemberID{p[0], p[1], p[2]}, nil
}

// ParseSubsystemID reads INSTANCE/CLASS/MEMBER/SUBSYSTEM, or three parts for the member itself.
func ParseSubsystemID(text string) (SubsystemID, error) {
	p, err := parts(text, "subsystem", 3, 4)
	if err != nil {
		return SubsystemID{}, err
	}
	id := SubsystemID{MemberID: MemberID{p[0], p[1], p[2]}}
	if len(p) == 4 {
		id.Subsystem = p[3]
	}
	return id, nil
}

// ParseServiceID reads INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE.
func ParseServiceID(text string) (ServiceID, error) {
	p, err := parts(text, "service", 5, 5)
	if err != nil {
		return ServiceID{}, err
	}
	return ServiceID{SubsystemID{MemberID{p[0], p[1], p[2]}, p[3]}, p[4]}, nil
}

func parts(text, what string, least, most int) ([]string, error) {
	p := strings.Split(text, "/")
	if len(p) < least || len(p) > most {
		due := strconv.Itoa(most)
		if least < most {
			due = strconv.Itoa(least) + " or " + due
		}
		return nil, Refuse(CodeBadRequest, "%s identifier has %d parts: give %s parts joined by '/'", what, len(p), due)
	}
	for i, s := range p {
		if err := CheckIdentifierPart(s); err != nil {
			return nil, Refuse(CodeBadRequest, "%s identifier, part %d: %s", what, i+1, MessageOf(err))
		}
	}
	return p, nil
}

// CheckIdentifierPart refuses what no identifier may hold: nothing at all, invalid UTF-8, control characters, and the invisible
// characters that make two identifiers look alike.
//
// SPEC: PR-REST, identifiers: control characters, U+200B and U+FEFF are forbidden.
func CheckIdentifierPart(s string) error {
	switch {
	case s == "":
		return Refuse(CodeBadRequest, "an identifier part is empty: give every part")
	case len(s) > 255:
		return Refuse(CodeBadRequest, "an identifier part has %d bytes: 255 at most", len(s))
	case !utf8.ValidString(s):
		return Refuse(CodeBadRequest, "an identifier part is not UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u200B' || r == '\uFEFF' {
			return Refuse(CodeBadRequest, "an identifier part holds the character %U, which identifiers may not hold", r)
		}
	}
	return nil
}

// CheckNewIdentifierPart is [CheckIdentifierPart] and the narrower rule for identifiers that are registered anew.
//
// SPEC: PR-REST, identifiers: percent, colon, semicolon, slash and backslash are refused in new identifiers.
func CheckNewIdentifierPart(s string) error {
	if err := CheckIdentifierPart(s); err != nil {
		return err
	}
	if i := strings.IndexAny(s, `%:;/\`); i >= 0 {
		return Refuse(CodeBadRequest, "an identifier part holds %q: the characters %% : ; / \\ cannot be registered", s[i])
	}
	return nil
}

// MarshalText and UnmarshalText make the identifiers readable in YAML and JSON, also as map keys.
func (m MemberID) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the form that MarshalText writes.
func (m *MemberID) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMemberID(string(b))
	return err
}

// MarshalText writes the slash-joined form.
func (s SubsystemID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the form that MarshalText writes.
func (s *SubsystemID) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSubsystemID(string(b))
	return err
}

// MarshalText writes the slash-joined form.
func (s ServiceID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the form that MarshalText writes.
func (s *ServiceID) UnmarshalText(b []byte) (err error) {
	*s, err = ParseServiceID(string(b))
	return err
}

// SubjectID is a canonical identifier of one data subject, "scheme:VALUE", already normalised by the scheme's rule in the
// directory. It is personal data: it appears in statements and records, never in logs, metrics or error bodies; its
// String method therefore tells only the scheme.
type SubjectID struct {
	Scheme SchemeName
	Value  string
}

// IsZero reports whether there is no subject (class O services have none).
func (s SubjectID) IsZero() bool { return s == SubjectID{} }

// Canonical is the full form "scheme:VALUE", for statements, tags and registers.
func (s SubjectID) Canonical() string {
	if s.IsZero() {
		return ""
	}
	return string(s.Scheme) + ":" + s.Value
}

// String hides the value, so that a subject that strays into a log line gives nobody away.
func (s SubjectID) String() string {
	if s.IsZero() {
		return ""
	}
	return string(s.Scheme) + ":…"
}

// ParseSubjectID reads "scheme:VALUE" without normalising; see [Scheme.Normalise].
func ParseSubjectID(text string) (SubjectID, error) {
	scheme, value, ok := strings.Cut(text, ":")
	if !ok || scheme == "" || value == "" {
		return SubjectID{}, Refuse(CodeBadRequest, "a person identifier is written scheme:VALUE")
	}
	return SubjectID{SchemeName(scheme), value}, nil
}

// Below are the coded values of the directory, one type for each kind. Free text is never accepted in their place (A08).

// SchemeName is a kind of person identifier, for instance pin.
type SchemeName string

// SchemeCase is the scheme of people without a national identifier: each is known by the number of one case of one agency.
const SchemeCase SchemeName = "case"

// PurposeCode names a purpose of the directory, for instance benefit-decision.
type PurposeCode string

// BasisCode names a law's article of the directory.
type BasisCode string

// CategoryCode names a category of data, for instance residence.
type CategoryCode string

// BodyName is a governing body of the federation.
type BodyName string

// WitnessName is a witness as the directory knows it.
type WitnessName string

// CourtName is a court of the directory.
type CourtName string

// GatewayName is one gateway (X-Road: security server code) of a member.
type GatewayName string

// ProgrammeID names a threshold-signed programme of legitimate volume.
type ProgrammeID string

// MandateID names one warrant, consent, case relation or emergency.
type MandateID string

// CaseRef is a case number as the agency writes it (X-Road-Issue). Personal data.
type CaseRef string

// FieldPath points at fields of a JSON answer: a JSON pointer in which * stands for every element or key.
type FieldPath string

// LogOrigin is a C2SP log origin, the first line of its checkpoints.
type LogOrigin string

// ExchangeID names one exchange: a UUID made by the consumer's gateway, which is also its X-Road-Request-Id.
// It is the replay key. UUID version 7 keeps the store's index growing at its right edge.
type ExchangeID [16]byte

// NewExchangeID makes an identifier for an exchange that begins now.
func NewExchangeID(now time.Time) ExchangeID {
	var id ExchangeID
	_, _ = rand.Read(id[6:]) // crypto/rand.Read never fails (Go 1.24)
	ms := now.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i) & 0xff)
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String is the usual UUID form.
func (e ExchangeID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], e[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], e[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], e[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], e[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], e[10:16])
	return string(b[:])
}

// ParseExchangeID reads the UUID form in lower case, and nothing else: one exchange has one spelling.
func ParseExchangeID(text string) (ExchangeID, error) {
	var id ExchangeID
	bad := func() (ExchangeID, error) {
		return ExchangeID{}, Refuse(CodeBadRequest, "an exchange id is a UUID in lower case, 36 characters")
	}
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return bad()
	}
	src := text[0:8] + text[9:13] + text[14:18] + text[19:23] + text[24:36]
	if src != strings.ToLower(src) {
		return bad()
	}
	if _, err := hex.Decode(id[:], []byte(src)); err != nil {
		return bad()
	}
	return id, nil
}

// Time is when the exchange began by the clock of the gateway that made its identifier: UUID version 7 opens with milliseconds since 1970.
func (e ExchangeID) Time() time.Time {
	var ms int64
	for _, b := range e[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}

// MarshalText writes the UUID form.
func (e ExchangeID) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the form that MarshalText writes.
func (e *ExchangeID) UnmarshalText(b []byte) (err error) {
	*e, err = ParseExchangeID(string(b))
	return err
}

// SubjectTag is the PRF of a canonical subject identifier under the member's tag key: how a store finds a person's records
// without holding the identifier. It protects against a thief of the database, not of the key.
type SubjectTag [16]byte

// Hour is a point in time rounded down to the hour, as public leaves tell it: hours since 1970-01-01T00:00Z.
type Hour uint32

// MaxHour is the last hour of the year 9999. Later ones are refused wherever they are read.
const MaxHour Hour = Hour(MaxMillis / (3600 * 1000))

// HourOf rounds t down. A time that no clock of ours tells, before 1970 or after 9999, gives an hour after MaxHour, which no reader accepts.
func HourOf(t time.Time) Hour {
	if t.Unix() < 0 || t.Unix()/3600 > int64(MaxHour) {
		return MaxHour + 1
	}
	return Hour(t.Unix() / 3600) //nolint:gosec // bounded above
}

// Time is the beginning of the hour.
func (h Hour) Time() time.Time { return time.Unix(int64(h)*3600, 0).UTC() }

// Millis is an instant in milliseconds since 1970-01-01T00:00Z, the resolution of statements and receipts.
type Millis int64

// MaxMillis is 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write. Times before 1970 and after it are refused wherever they
// are read.
const MaxMillis Millis = 253402300799999

// MillisOf converts t.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time converts back, in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// wire is the instant as the formats write it. An instant that they cannot tell becomes a number that every reader refuses: never another
// instant.
func (m Millis) wire() uint64 {
	if m < 0 || m > MaxMillis {
		return 1<<64 - 1
	}
	return uint64(m)
}

func parseMillis(w uint64, what string) (Millis, error) {
	if w > uint64(MaxMillis) {
		return 0, Refuse(CodeBadRequest, "%s is after the year 9999: a time is milliseconds since 1970", what)
	}
	return Millis(w), nil
}

// Digest is a SHA-256 value (or an HMAC-SHA-256 value where the name says salted).
type Digest [32]byte

// IsZero reports an absent digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes lower-case hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(d) {
		return Refuse(CodeBadRequest, "a digest is 64 hexadecimal digits")
	}
	copy(d[:], raw)
	return nil
}
