package country

import "encoding/hex"

// Identifiers of the country's records. Each is unique across the country.
type (
	// CaseID names a case of the social fund or of the police, for instance SOC-2024-000123 or POL-2025-00012.
	CaseID string
	// TreatmentID names an episode of care at the clinic, for instance TRT-2025-000045.
	TreatmentID string
	// VisitID names one visit to the clinic.
	VisitID string
	// Plate is a vehicle's number plate, for instance 12-AB-345.
	Plate string
	// ParcelID names a piece of real property.
	ParcelID string
	// CompanyCode names a legal person (a company or a public body): ten digits, never a person's code.
	CompanyCode string
	// AgencyCode is the member code of an agency of the federation.
	AgencyCode string
)

// The six agencies.
const (
	POP AgencyCode = "POP" // population register
	VEH AgencyCode = "VEH" // vehicle register
	SOC AgencyCode = "SOC" // social fund
	CLN AgencyCode = "CLN" // clinic
	MUN AgencyCode = "MUN" // municipality
	POL AgencyCode = "POL" // police
)

// Two public bodies that employ people of the cast and keep no register.
const (
	Court     AgencyCode = "CRT"
	Authority AgencyCode = "DPA" // data-protection authority
)

// Index finds a record in one of the slices of [Country]; None is no record.
type Index int32

// None is the index of no record.
const None Index = -1

// Sex is F or M.
type Sex string

// The two codes of Sex.
const (
	Female Sex = "F"
	Male   Sex = "M"
)

// Place is a settlement in a region; people abroad have the country's code as region.
type Place struct {
	Region string `json:"region"`
	City   string `json:"city"`
}

// Address is a home. Flat is empty for a house of its own.
type Address struct {
	Region   string `json:"region"`
	City     string `json:"city"`
	Street   string `json:"street"`
	House    string `json:"house"`
	Flat     string `json:"flat,omitempty"`
	Postcode string `json:"postcode"`
}

// Digest is a SHA-256 digest, written in text as sha256: and hexadecimal digits.
type Digest [32]byte

// String writes the digest with its algorithm.
func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Document is a person's identity card.
type Document struct {
	Number  string
	Issued  Date
	Expires Date
	Issuer  string
}

// Person is one inhabitant. Mother and Father are set together, for everybody born in the country to inhabitants; Spouse
// is mutual and ends with a divorce.
type Person struct {
	PIN         PIN
	Surname     string
	GivenName   string
	Patronymic  string
	Sex         Sex
	Born        Date
	Birthplace  Place
	Citizenship string
	Document    Document
	PhotoDigest Digest
	Mother      Index
	Father      Index
	Spouse      Index
	Married     Date // of the marriage to Spouse, else NoDate
	Divorced    bool
	Household   Index
	Resident    Date // lives at the household's address since
}

// Household is the people who share one address.
type Household struct {
	Address Address
	Members []Index
	Since   Date
}

// Company is a legal person: it employs, owns vehicles and is open data.
type Company struct {
	Code       CompanyCode
	Name       string
	Form       string
	Activity   string
	Registered Date
	Address    Address
	Active     bool
	Agency     AgencyCode // set for public bodies
}

// Job is an employment contract; To is NoDate while it runs.
type Job struct {
	Person   Index
	Company  Index
	Position string
	From     Date
	To       Date
}

// Vehicle belongs to one or two people or to a company (and then to no person).
type Vehicle struct {
	Plate      Plate
	VIN        string
	Make       string
	Model      string
	Year       int
	Colour     string
	Registered Date
	Owners     []Index
	Company    Index
}

// Licence is a driving licence. Categories are separated by commas.
type Licence struct {
	Person     Index
	Number     string
	Categories string
	Issued     Date
	Expires    Date
	Suspended  bool
}

// Benefit is a case of the social fund; Closed is NoDate while it is open.
type Benefit struct {
	Case    CaseID
	Person  Index
	Kind    string
	Opened  Date
	Closed  Date
	Monthly int64 // hundredths of Currency
}

// Treatment is an episode of care; Ended is NoDate while it is open.
type Treatment struct {
	ID        TreatmentID
	Person    Index
	Code      string // diagnosis, as ICD-10 writes it; never of chapter F
	Diagnosis string
	Ward      string
	Started   Date
	Ended     Date
}

// Visit is one encounter at the clinic, within a treatment or by itself.
type Visit struct {
	ID        VisitID
	Person    Index
	Treatment Index
	On        Date
	Reason    string
}

// PartyRole says how a person takes part in a police case.
type PartyRole string

// The roles in a police case.
const (
	Suspect PartyRole = "suspect"
	Witness PartyRole = "witness"
	Victim  PartyRole = "victim"
)

// Party is one person's part in a police case.
type Party struct {
	Person Index
	Role   PartyRole
}

// PoliceCase is a case file of the police; Closed is NoDate while it is open.
type PoliceCase struct {
	Case    CaseID
	Kind    string
	Opened  Date
	Closed  Date
	Parties []Party
	Wanted  bool // the suspect is wanted; only in an open case
}

// Share is one owner's part of a property, in percent.
type Share struct {
	Person  Index
	Percent int
}

// Property is a home or a piece of land owned by people.
type Property struct {
	Parcel  ParcelID
	Kind    string
	Address Address
	Area    int // square metres
	Since   Date
	Owners  []Share
}

// Permit is the residence permit of a foreigner.
type Permit struct {
	Number  string
	Person  Index
	Kind    string
	Issued  Date
	Expires Date
}

// Country is everything that was generated. It is not changed after [Generate] returns.
type Country struct {
	Config     Config
	People     []Person
	Households []Household
	Companies  []Company
	Jobs       []Job
	Vehicles   []Vehicle
	Licences   []Licence
	Benefits   []Benefit
	Treatments []Treatment
	Visits     []Visit
	Police     []PoliceCase
	Properties []Property
	Permits    []Permit
	Family     Family // whose year the demo plays
}

// Family is the people of one home whose year the demo plays.
type Family struct{ Mother, Father, Child Index }

// Children lists the children of a person, eldest first within a couple.
func (c *Country) Children(i Index) []Index {
	var children []Index
	for j := range c.People {
		if c.People[j].Mother == i || c.People[j].Father == i {
			children = append(children, Index(j))
		}
	}
	return children
}

// Age is the person's age in whole years on the [ReferenceDate].
func (c *Country) Age(i Index) int { return c.People[i].Born.Age(ReferenceDate) }

// Home is the address of the person's household.
func (c *Country) Home(i Index) Address { return c.Households[c.People[i].Household].Address }

// MaritalStatus is one of single, married and divorced.
func (c *Country) MaritalStatus(i Index) string {
	switch p := c.People[i]; {
	case p.Spouse != None:
		return "married"
	case p.Divorced:
		return "divorced"
	}
	return "single"
}
