package country

import "fmt"

// The kinds of benefit that the social fund pays.
const (
	Pension      = "old-age-pension"
	Childcare    = "child-allowance"
	Unemployment = "unemployment-benefit"
	Disability   = "disability-benefit"
	Housing      = "housing-subsidy"
)

// makeBenefits opens and closes the social fund's cases.
func (c *Country) makeBenefits() {
	d := newDice(c.Config.Seed, "benefits")
	working := make([]bool, len(c.People))
	for _, j := range c.Jobs {
		working[j.Person] = working[j.Person] || j.To == NoDate
	}
	youngest := make([]Date, len(c.People))
	for i := range youngest {
		youngest[i] = NoDate
	}
	for _, p := range c.People {
		if p.Mother != None {
			youngest[p.Mother] = max(youngest[p.Mother], p.Born)
		}
	}
	for i := range c.People {
		p, born := Index(i), c.People[i].Born
		age := c.Age(p)
		if age >= 65 {
			c.benefit(d, p, Pension, born.AddYears(65)+d.span(5, 90), NoDate, 24_000, 78_000)
		}
		if child := youngest[i]; child != NoDate && child.Age(ReferenceDate) < 18 && d.chance(0.5) {
			c.benefit(d, p, Childcare, child+d.span(10, 200), NoDate, 6_000, 19_000)
		}
		if age < 19 || age >= 65 {
			continue
		}
		if d.chance(0.10) {
			opened := d.between(max(born.AddYears(19), ReferenceDate-8*year), ReferenceDate-10)
			closed := opened + d.span(30, 400)
			if !working[i] && ReferenceDate-opened < year {
				closed = NoDate
			}
			c.benefit(d, p, Unemployment, opened, closed, 18_000, 40_000)
		}
		if d.chance(0.03) {
			c.benefit(d, p, Disability, d.between(max(born.AddYears(19), ReferenceDate-15*year), ReferenceDate), NoDate, 20_000, 60_000)
		}
		if d.chance(0.07) {
			opened := d.between(max(born.AddYears(19), ReferenceDate-5*year), ReferenceDate)
			c.benefit(d, p, Housing, opened, opened+d.span(1*year, 4*year), 4_000, 15_000)
		}
	}
}

// benefit adds a case; an opening after the reference date is dropped, a closing after it leaves the case open.
func (c *Country) benefit(d dice, p Index, kind string, opened, closed Date, least, most int) {
	if opened > ReferenceDate {
		return
	}
	if closed > ReferenceDate {
		closed = NoDate
	}
	c.Benefits = append(c.Benefits, Benefit{Case: CaseID(fmt.Sprintf("SOC-%d-%06d", opened.Year(), len(c.Benefits)+1)),
		Person: p, Kind: kind, Opened: opened, Closed: closed, Monthly: int64(d.IntRange(least, most))})
}
