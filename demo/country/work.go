package country

import (
	"fmt"
	"strings"
)

const (
	peoplePerCompany = 40
	staffPerAgency   = 3
)

// makeCompanies founds the public bodies, then companies of the fictional country.
func (c *Country) makeCompanies() {
	d := newDice(c.Config.Seed, "companies")
	count := len(publicBodies) + max(6, len(c.People)/peoplePerCompany)
	c.Companies = make([]Company, 0, count)
	names := map[string]bool{}
	for i := range count {
		co := Company{Code: companyCode(i), Registered: d.between(DateOf(1992, 1, 1), DateOf(2024, 12, 31)), Active: true}
		r := pick(d, regions)
		co.Address = Address{Region: r.name, City: r.places[0].name, Street: pick(d, streets) + " küçəsi",
			House: d.Numerify("2##"), Postcode: "DM" + r.postcode + d.Numerify("##")}
		if i < len(publicBodies) {
			body := publicBodies[i]
			co.Name, co.Agency, co.Form, co.Activity = body.name, body.agency, "public body", "public administration"
			c.Companies = append(c.Companies, co)
			continue
		}
		sector := pick(d, companySectors)
		co.Form, co.Activity = pick(d, []string{"MMC", "MMC", "QSC"}), sector.activity
		co.Name = fmt.Sprintf("%s %s %s", pick(d, companyWords), sector.word, co.Form)
		for n := 2; names[co.Name]; n++ {
			co.Name = fmt.Sprintf("%s %s-%d %s", pick(d, companyWords), sector.word, n, co.Form)
		}
		names[co.Name] = true
		co.Active = d.chance(0.93)
		c.Companies = append(c.Companies, co)
	}
}

// companyCode is ten digits beginning with 9; the last is a Luhn check digit.
func companyCode(i int) CompanyCode {
	body := fmt.Sprintf("9%08d", (i+1)*7919%100_000_000)
	sum := 0
	for k := range len(body) {
		v := int(body[len(body)-1-k] - '0')
		if k%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return CompanyCode(fmt.Sprintf("%s%d", body, (10-sum%10)%10))
}

// makeJobs writes each adult's contracts, one after the other, and staffs every public body.
func (c *Country) makeJobs() {
	d := newDice(c.Config.Seed, "jobs")
	staffed := c.staffAgencies(d)
	var hiring []Index
	for i := len(publicBodies); i < len(c.Companies); i++ {
		if c.Companies[i].Active {
			hiring = append(hiring, Index(i))
		}
	}
	for i := range c.People {
		p := Index(i)
		start := c.People[i].Born + 19*year
		end := min(ReferenceDate, c.People[i].Born+65*year)
		if staffed[p] != NoDate {
			end = staffed[p]
		}
		if start >= end || d.chance(0.12) {
			continue
		}
		c.career(d, p, hiring, d.between(start, min(start+6*year, end)), end)
	}
}

// staffAgencies gives each public body people of working age, and says from when; everybody else has NoDate.
func (c *Country) staffAgencies(d dice) map[Index]Date {
	since := make(map[Index]Date, len(c.People))
	var grown []Index
	for i := range c.People {
		since[Index(i)] = NoDate
		if age := c.Age(Index(i)); age >= 27 && age <= 60 && c.People[i].Citizenship == CitizenshipCode {
			grown = append(grown, Index(i))
		}
	}
	shuffle(d, grown)
	staff := max(staffPerAgency, len(c.People)/400)
	for b, body := range publicBodies {
		hired := staff
		if body.agency == MUN {
			hired *= 3 // it asks the most
		}
		for range hired {
			if len(grown) == 0 {
				return since
			}
			p := grown[0]
			grown = grown[1:]
			from := d.between(max(c.People[p].Born+24*year, ReferenceDate-15*year), ReferenceDate-60)
			since[p] = from
			c.Jobs = append(c.Jobs, Job{p, Index(b), body.work, from, NoDate})
		}
	}
	return since
}

// career adds contracts from the first day to the last; the final one may still run.
func (c *Country) career(d dice, p Index, hiring []Index, from, end Date) {
	position := strings.TrimSpace(d.JobDescriptor() + " " + d.JobTitle())
	for from < end-90 {
		to := from + d.span(300, 16*year)
		job := Job{p, pick(d, hiring), position, from, to}
		if to >= end {
			job.To = end
			if end == ReferenceDate && d.chance(0.85) {
				job.To = NoDate
			}
		}
		c.Jobs = append(c.Jobs, job)
		from = to + d.span(10, 3*year)
	}
}
