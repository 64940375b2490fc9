package country

import (
	"fmt"
	"slices"
)

// Role is one named person of the [Cast], with what a scenario needs to ask about them. Fields that the role does not
// speak of are empty.
type Role struct {
	PIN       PIN    `json:"pin"`
	Surname   string `json:"surname"`
	GivenName string `json:"givenName"`
	Born      Date   `json:"born"`

	Case      CaseID      `json:"case,omitempty"`      // of the social fund or the police
	Treatment TreatmentID `json:"treatment,omitempty"` // of the clinic
	Plate     Plate       `json:"plate,omitempty"`     // of a vehicle that the person owns
	Parcel    ParcelID    `json:"parcel,omitempty"`    // of a property that the person owns
	Employer  AgencyCode  `json:"employer,omitempty"`  // public body where the person works now
}

// Cast is the people that scenarios play with. All roles are different people, chosen by the country alone, so that the
// same [Config] always casts the same.
type Cast struct {
	Mother Role `json:"mother"` // of the family whose year the demo plays: has an open benefit and treatment, and a car with the father
	Father Role `json:"father"` // witness in an open police case
	Minor  Role `json:"minor"`  // their child, under 14

	Applicant       Role `json:"applicant"`       // has an open case at the social fund
	FormerApplicant Role `json:"formerApplicant"` // had one; every case of theirs is closed
	Patient         Role `json:"patient"`         // has an open treatment at the clinic
	FormerPatient   Role `json:"formerPatient"`   // had one; every treatment of theirs has ended
	Driver          Role `json:"driver"`          // has a valid licence and owns a vehicle alone
	CoOwner         Role `json:"coOwner"`         // owns a vehicle together with the spouse: two people in one answer
	Suspect         Role `json:"suspect"`         // in an open police case, not wanted
	Cleared         Role `json:"cleared"`         // in a closed police case, and in no open one
	Wanted          Role `json:"wanted"`          // wanted in an open police case
	Parent          Role `json:"parent"`          // married, with at least two children
	Child           Role `json:"child"`           // under 18, lives with the parents
	Foreigner       Role `json:"foreigner"`       // has a residence permit
	Celebrity       Role `json:"celebrity"`       // a person whom everybody would like to look up; owns property
	Bystander       Role `json:"bystander"`       // has no case of any kind anywhere

	Official       Role `json:"official"`       // works at the municipality and lives in a block of flats
	Neighbour      Role `json:"neighbour"`      // lives in the official's building, in another household
	Relative       Role `json:"relative"`       // a parent, child, brother or sister of a second official
	RelativeOf     Role `json:"relativeOf"`     // that official, of the municipality too
	Registrar      Role `json:"registrar"`      // works at the population register
	Inspector      Role `json:"inspector"`      // works at the vehicle register
	SocialOfficer  Role `json:"socialOfficer"`  // works at the social fund
	Doctor         Role `json:"doctor"`         // works at the clinic
	Detective      Role `json:"detective"`      // works for the police
	Judge          Role `json:"judge"`          // works at the court
	SecondJudge    Role `json:"secondJudge"`    // works there too
	Overseer       Role `json:"overseer"`       // works at the data-protection authority
	SecondOverseer Role `json:"secondOverseer"` // works there too

	FleetPlate   Plate       `json:"fleetPlate"`   // of a vehicle that a company owns: no person in the answer
	Company      CompanyCode `json:"company"`      // an active company
	UnknownPIN   PIN         `json:"unknownPin"`   // a well-formed code that is nobody's
	MistypedPIN  string      `json:"mistypedPin"`  // the applicant's code with one wrong character: the check finds it
	UnknownCase  CaseID      `json:"unknownCase"`  // shaped like a case of the social fund; there is none
	UnknownPlate Plate       `json:"unknownPlate"` // shaped like a plate; there is none
}

// Cast chooses the people for every role. It returns an error naming the role that this country cannot fill, which a
// population of [MinPeople] or more does not come to.
func (c *Country) Cast() (Cast, error) {
	k := newCasting(c)
	var cast Cast
	k.theFamily(&cast)
	k.policeCases(&cast)
	k.officials(&cast)
	k.owners(&cast)
	k.cases(&cast)
	k.kin(&cast)
	k.nobody(&cast)
	if k.missing != "" {
		return Cast{}, fmt.Errorf("country: nobody fits the role %q: choose another seed or more people", k.missing)
	}
	return cast, nil
}

// casting holds what the choice of roles looks up, by person.
type casting struct {
	c          *Country
	used       map[Index]bool
	employer   map[Index]AgencyCode
	openSocial map[Index]bool
	openCare   map[Index]bool
	openPolice map[Index]bool
	anyRecord  map[Index]bool
	missing    string
}

func newCasting(c *Country) *casting {
	k := &casting{c, map[Index]bool{}, map[Index]AgencyCode{}, map[Index]bool{}, map[Index]bool{}, map[Index]bool{}, map[Index]bool{}, ""}
	for _, j := range c.Jobs {
		if j.To == NoDate && c.Companies[j.Company].Agency != "" {
			k.employer[j.Person] = c.Companies[j.Company].Agency
		}
	}
	for _, b := range c.Benefits {
		k.anyRecord[b.Person] = true
		k.openSocial[b.Person] = k.openSocial[b.Person] || b.Closed == NoDate
	}
	for _, t := range c.Treatments {
		k.anyRecord[t.Person] = true
		k.openCare[t.Person] = k.openCare[t.Person] || t.Ended == NoDate
	}
	for _, pc := range c.Police {
		for _, party := range pc.Parties {
			k.anyRecord[party.Person] = true
			k.openPolice[party.Person] = k.openPolice[party.Person] || pc.Closed == NoDate
		}
	}
	return k
}

// free reports whether a person can still be cast as a member of the public of working age.
func (k *casting) free(i Index) bool {
	age := k.c.Age(i)
	return !k.used[i] && k.employer[i] == "" && age >= 21 && age < 65 && k.c.People[i].Citizenship == CitizenshipCode
}

func (k *casting) take(i Index) Role {
	k.used[i] = true
	p := k.c.People[i]
	return Role{PIN: p.PIN, Surname: p.Surname, GivenName: p.GivenName, Born: p.Born, Employer: k.employer[i]}
}

// person casts the first person who fits.
func (k *casting) person(role string, fits func(Index) bool) (Role, Index) {
	for i := range k.c.People {
		if fits(Index(i)) {
			return k.take(Index(i)), Index(i)
		}
	}
	k.lack(role)
	return Role{}, None
}

func (k *casting) lack(role string) {
	if k.missing == "" {
		k.missing = role
	}
}

func (k *casting) need(role string, filled bool) {
	if !filled {
		k.lack(role)
	}
}

func (k *casting) worker(role string, agency AgencyCode) Role {
	r, _ := k.person(role, func(i Index) bool { return !k.used[i] && k.employer[i] == agency })
	return r
}

// officials casts the municipality's two officials with the people close to them, then those of the other bodies.
func (k *casting) officials(cast *Cast) {
	neighbour, relative := None, None
	var official Index
	cast.Official, official = k.person("official", func(i Index) bool {
		if k.employer[i] != MUN {
			return false
		}
		neighbour = k.neighbour(i)
		return neighbour != None
	})
	if official != None {
		cast.Neighbour = k.take(neighbour)
	}
	cast.RelativeOf, official = k.person("relativeOf", func(i Index) bool {
		if k.used[i] || k.employer[i] != MUN {
			return false
		}
		relative = k.relative(i)
		return relative != None
	})
	if official != None {
		cast.Relative = k.take(relative)
	}
	cast.Registrar = k.worker("registrar", POP)
	cast.Inspector = k.worker("inspector", VEH)
	cast.SocialOfficer = k.worker("socialOfficer", SOC)
	cast.Doctor = k.worker("doctor", CLN)
	cast.Detective = k.worker("detective", POL)
	cast.Judge = k.worker("judge", Court)
	cast.SecondJudge = k.worker("secondJudge", Court)
	cast.Overseer = k.worker("overseer", Authority)
	cast.SecondOverseer = k.worker("secondOverseer", Authority)
}

// neighbour finds an adult in another household of the same building, who is not of the family.
func (k *casting) neighbour(official Index) Index {
	home := k.c.Home(official)
	if home.Flat == "" {
		return None
	}
	for i := range k.c.People {
		at := k.c.Home(Index(i))
		if at.City == home.City && at.Street == home.Street && at.House == home.House && at.Flat != home.Flat &&
			k.free(Index(i)) && !k.family(official, Index(i)) {
			return Index(i)
		}
	}
	return None
}

func (k *casting) relative(official Index) Index {
	for i := range k.c.People {
		if k.free(Index(i)) && k.family(official, Index(i)) {
			return Index(i)
		}
	}
	return None
}

// family reports whether two people are parent and child, or brothers and sisters.
func (k *casting) family(a, b Index) bool {
	p, q := k.c.People[a], k.c.People[b]
	siblings := a != b && p.Mother != None && p.Mother == q.Mother
	return siblings || p.Mother == b || p.Father == b || q.Mother == a || q.Father == a
}

func (k *casting) cases(cast *Cast) {
	cast.Applicant = k.benefit("applicant", true)
	cast.FormerApplicant = k.benefit("formerApplicant", false)
	cast.Patient = k.treatment("patient", true)
	cast.FormerPatient = k.treatment("formerPatient", false)
}

// policeCases comes first: a small country has only a handful of suspects.
func (k *casting) policeCases(cast *Cast) {
	cast.Wanted = k.police("wanted", func(pc PoliceCase, p Index) bool { return pc.Wanted })
	cast.Suspect = k.police("suspect", func(pc PoliceCase, p Index) bool { return pc.Closed == NoDate && !pc.Wanted })
	cast.Cleared = k.police("cleared", func(pc PoliceCase, p Index) bool { return !k.openPolice[p] })
}

func (k *casting) benefit(role string, open bool) Role {
	for _, b := range k.c.Benefits {
		if (b.Closed == NoDate) == open && k.openSocial[b.Person] == open && k.free(b.Person) {
			r := k.take(b.Person)
			r.Case = b.Case
			return r
		}
	}
	k.lack(role)
	return Role{}
}

func (k *casting) treatment(role string, open bool) Role {
	for _, t := range k.c.Treatments {
		if (t.Ended == NoDate) == open && k.openCare[t.Person] == open && k.free(t.Person) {
			r := k.take(t.Person)
			r.Treatment = t.ID
			return r
		}
	}
	k.lack(role)
	return Role{}
}

func (k *casting) police(role string, fits func(PoliceCase, Index) bool) Role {
	for _, pc := range k.c.Police {
		p := pc.Parties[0].Person
		if fits(pc, p) && !k.used[p] && k.employer[p] == "" {
			r := k.take(p)
			r.Case = pc.Case
			return r
		}
	}
	k.lack(role)
	return Role{}
}

func (k *casting) owners(cast *Cast) {
	licensed := map[Index]bool{}
	for _, l := range k.c.Licences {
		licensed[l.Person] = !l.Suspended && l.Expires > ReferenceDate
	}
	for _, v := range k.c.Vehicles {
		switch {
		case len(v.Owners) == 0:
			if cast.FleetPlate == "" {
				cast.FleetPlate = v.Plate
			}
		case len(v.Owners) == 2 && cast.CoOwner.PIN == "":
			if i := slices.IndexFunc(v.Owners, k.free); i >= 0 {
				cast.CoOwner = k.take(v.Owners[i])
				cast.CoOwner.Plate = v.Plate
			}
		case len(v.Owners) == 1 && cast.Driver.PIN == "" && licensed[v.Owners[0]] && k.free(v.Owners[0]):
			cast.Driver = k.take(v.Owners[0])
			cast.Driver.Plate = v.Plate
		}
	}
	for _, p := range k.c.Properties {
		if owner := p.Owners[0].Person; k.free(owner) {
			cast.Celebrity = k.take(owner)
			cast.Celebrity.Parcel = p.Parcel
			break
		}
	}
	k.need("driver", cast.Driver.PIN != "")
	k.need("coOwner", cast.CoOwner.PIN != "")
	k.need("celebrity", cast.Celebrity.PIN != "")
	k.need("fleetPlate", cast.FleetPlate != "")
}

func (k *casting) kin(cast *Cast) {
	cast.Parent, _ = k.person("parent", func(i Index) bool {
		return k.free(i) && k.c.People[i].Spouse != None && len(k.c.Children(i)) >= 2
	})
	cast.Child, _ = k.person("child", func(i Index) bool {
		p := k.c.People[i]
		return !k.used[i] && k.c.Age(i) >= 6 && k.c.Age(i) < 18 && p.Mother != None &&
			p.Household == k.c.People[p.Mother].Household && p.Household == k.c.People[p.Father].Household
	})
	cast.Foreigner, _ = k.person("foreigner", func(i Index) bool { return !k.used[i] && k.c.People[i].Citizenship != CitizenshipCode })
	cast.Bystander, _ = k.person("bystander", func(i Index) bool { return k.free(i) && !k.anyRecord[i] })
}

// nobody names codes that fit their pattern and belong to no one.
func (k *casting) nobody(cast *Cast) {
	pins := make(map[PIN]bool, len(k.c.People))
	for i := range k.c.People {
		pins[k.c.People[i].PIN] = true
	}
	for n := uint64(1_234_567_890); cast.UnknownPIN == ""; n++ {
		if p := pinFromNumber(n); !pins[p] {
			cast.UnknownPIN = p
		}
	}
	if a := []byte(cast.Applicant.PIN); len(a) == PINLength {
		a[2] = pinAlphabet[(pinDigit(a[2])+1)%36]
		cast.MistypedPIN = string(a)
	}
	for i := len(publicBodies); i < len(k.c.Companies) && cast.Company == ""; i++ {
		if k.c.Companies[i].Active {
			cast.Company = k.c.Companies[i].Code
		}
	}
	cast.UnknownCase = "SOC-1999-000001"
	cast.UnknownPlate = plate(len(k.c.Vehicles))
}
