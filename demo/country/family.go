package country

import (
	"fmt"
	"slices"
)

// makeFamily gives one family of the country everything that a year can bring them: a benefit, an episode of care, a car of both parents, a home
// of their own, and a police case in which the father is a witness. They are the mother, the father and a child of [Cast].
func (c *Country) makeFamily() {
	mother, father, child := c.findFamily()
	if mother == None {
		return // casting will say so
	}
	d := newDice(c.Config.Seed, "family")
	c.Family = Family{mother, father, child}
	c.benefit(d, mother, Childcare, max(c.People[child].Born, ReferenceDate-45), NoDate, 9_000, 16_000)
	c.episode(mother, "S82.6", "Fracture of the ankle", "orthopaedics", ReferenceDate-30)
	for _, p := range []Index{mother, father} {
		if !slices.ContainsFunc(c.Licences, func(l Licence) bool { return l.Person == p }) {
			issued := max(c.People[p].Born.AddYears(20), ReferenceDate-6*year)
			c.Licences = append(c.Licences, Licence{Person: p, Number: fmt.Sprintf("DL%08d", (int(p)+1)*97), Issued: issued, Expires: issued.AddYears(10), Categories: "B"})
		}
	}
	car := c.vehicle(d, len(c.Vehicles))
	car.Owners = []Index{father, mother}
	for _, o := range car.Owners {
		car.Registered = max(car.Registered, c.People[o].Born.AddYears(18))
	}
	c.Vehicles = append(c.Vehicles, car)
	home := c.Home(mother)
	if !slices.ContainsFunc(c.Properties, func(p Property) bool { return p.Address == home }) {
		c.property("flat", home, 78, ReferenceDate-4*year, []Share{{father, 50}, {mother, 50}})
	}
	opened := ReferenceDate - 20
	c.Police = append(c.Police, PoliceCase{
		Case: CaseID(fmt.Sprintf("POL-%d-%05d", opened.Year(), len(c.Police)+1)), Kind: "burglary", Opened: opened, Closed: NoDate,
		Parties: []Party{{father, Witness}},
	})
}

// episode writes an open treatment that began on a day.
func (c *Country) episode(p Index, code, name, ward string, started Date) {
	t := Index(len(c.Treatments))
	c.Treatments = append(c.Treatments, Treatment{
		ID: TreatmentID(fmt.Sprintf("TRT-%d-%06d", started.Year(), t+1)), Person: p, Code: code, Diagnosis: name, Ward: ward, Started: started, Ended: NoDate,
	})
	c.visit(p, t, started, "admission")
}

// findFamily finds the last couple of the register, both citizens of working age and in nobody's public service, who live with a child of theirs under 14.
func (c *Country) findFamily() (mother, father, child Index) {
	staff := make([]bool, len(c.People))
	for _, j := range c.Jobs {
		staff[j.Person] = staff[j.Person] || c.Companies[j.Company].Agency != ""
	}
	fits := func(i Index) bool {
		age := c.Age(i)
		return !staff[i] && age >= 22 && age < 60 && c.People[i].Citizenship == CitizenshipCode
	}
	for i := len(c.People) - 1; i >= 0; i-- {
		p := c.People[i]
		if p.Mother == None || c.Age(Index(i)) < 3 || c.Age(Index(i)) >= 14 {
			continue
		}
		m, f := p.Mother, p.Father
		if c.People[m].Spouse == f && fits(m) && fits(f) && p.Household == c.People[m].Household && p.Household == c.People[f].Household {
			return m, f, Index(i)
		}
	}
	return None, None, None
}

// theFamily casts the family before anybody else: it has only one part to play.
func (k *casting) theFamily(cast *Cast) {
	f := k.c.Family
	if f.Mother == None || f.Mother == f.Father {
		k.lack("mother")
		return
	}
	cast.Mother, cast.Father, cast.Minor = k.take(f.Mother), k.take(f.Father), k.take(f.Child)
	for _, b := range k.c.Benefits {
		if b.Person == f.Mother && b.Closed == NoDate {
			cast.Mother.Case = b.Case
		}
	}
	for _, t := range k.c.Treatments {
		if t.Person == f.Mother && t.Ended == NoDate {
			cast.Mother.Treatment = t.ID
		}
	}
	for _, v := range k.c.Vehicles {
		if slices.Equal(v.Owners, []Index{f.Father, f.Mother}) {
			cast.Mother.Plate, cast.Father.Plate = v.Plate, v.Plate
		}
	}
	for _, pc := range k.c.Police {
		if pc.Closed == NoDate && pc.Parties[0] == (Party{f.Father, Witness}) {
			cast.Father.Case = pc.Case
		}
	}
	k.need("mother", cast.Mother.Case != "" && cast.Mother.Treatment != "" && cast.Mother.Plate != "" && cast.Father.Case != "")
}
