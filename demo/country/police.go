package country

import "fmt"

var caseKinds = []string{"theft", "burglary", "fraud", "assault", "traffic-injury", "vandalism", "missing-property"}

const (
	policeCasesPerThousand = 18
	leastPoliceCases       = 12
)

// makePolice writes case files with their parties, none of whom works for a public body; in some open cases the suspect
// is wanted.
func (c *Country) makePolice() {
	d := newDice(c.Config.Seed, "police")
	var grown []Index
	staff := make([]bool, len(c.People))
	for _, j := range c.Jobs {
		staff[j.Person] = staff[j.Person] || c.Companies[j.Company].Agency != ""
	}
	for i := range c.People {
		if age := c.Age(Index(i)); age >= 18 && age < 75 && !staff[i] {
			grown = append(grown, Index(i))
		}
	}
	shuffle(d, grown)
	count := max(leastPoliceCases, len(c.People)*policeCasesPerThousand/1000)
	for i := range count {
		opened := d.between(ReferenceDate-4*year, ReferenceDate)
		pc := PoliceCase{Kind: pick(d, caseKinds), Opened: opened, Closed: opened + d.span(20, 700)}
		// Every third file is young enough to be open, so that the smallest country has open files too.
		if i%3 == 0 {
			pc.Opened = d.between(ReferenceDate-200, ReferenceDate)
			pc.Closed = NoDate
		}
		if pc.Closed > ReferenceDate {
			pc.Closed = NoDate
		}
		pc.Case = CaseID(fmt.Sprintf("POL-%d-%05d", pc.Opened.Year(), i+1))
		// The list is walked, not drawn from, so that suspects differ and nobody is both suspect and victim of one case.
		pc.Parties = []Party{{grown[3*i%len(grown)], Suspect}}
		for k, role := range []PartyRole{Victim, Witness} {
			if d.chance(0.6) {
				pc.Parties = append(pc.Parties, Party{grown[(3*i+1+k)%len(grown)], role})
			}
		}
		pc.Wanted = pc.Closed == NoDate && i%6 == 3
		c.Police = append(c.Police, pc)
	}
}
