package country

import (
	"fmt"
	"strconv"
)

// settling puts every person into one household and every household at one address.
type settling struct {
	d         dice
	c         *Country
	buildings map[Place]*building
	taken     map[string]bool // city, street and house
}

// building is the block of flats that a town fills at present: neighbours follow each other.
type building struct {
	street, house string
	postcode      string
	flat, flats   int
}

func (c *Country) makeHouseholds(couples []couple) {
	s := &settling{newDice(c.Config.Seed, "households"), c, map[Place]*building{}, map[string]bool{}}
	var elders []couple
	for _, cp := range couples {
		if cp.divorced != NoDate {
			continue
		}
		if c.Age(cp.husband) >= 74 && s.d.chance(0.35) {
			elders = append(elders, cp)
			continue
		}
		s.open(cp.married+s.d.span(0, 3*year), cp.husband, cp.wife)
	}
	for _, cp := range elders {
		s.settleElders(cp)
	}
	for i := range c.People {
		if c.People[i].Household == None {
			s.settle(Index(i))
		}
	}
	s.datesOfResidence()
}

// settleElders takes a couple into the household of a married child, where there is one, else opens their own.
func (s *settling) settleElders(cp couple) {
	for _, child := range s.c.childrenAfter(cp.wife) {
		if h := s.c.People[child].Household; h != None && len(s.c.Households[h].Members) <= 3 {
			s.join(h, cp.husband)
			s.join(h, cp.wife)
			return
		}
	}
	s.open(cp.married+s.d.span(0, 3*year), cp.husband, cp.wife)
}

// childrenAfter lists the mother's children, who always follow her in People and stay within her locality.
func (c *Country) childrenAfter(mother Index) []Index {
	var children []Index
	end := min(len(c.People), int(mother)+2*foundersPerLocality*peoplePerFounder)
	for j := int(mother) + 1; j < end; j++ {
		if c.People[j].Mother == mother {
			children = append(children, Index(j))
		}
	}
	return children
}

// settle finds a home for a person without a spouse: the mother's household while young (mothers come before their
// children), else one of the person's own.
func (s *settling) settle(i Index) {
	p, age := s.c.People[i], s.c.Age(i)
	if p.Mother != None && !p.Divorced && (age < 22 || (age < 32 && s.d.chance(0.5)) || s.d.chance(0.1)) {
		s.join(s.c.People[p.Mother].Household, i)
		return
	}
	s.open(s.d.between(max(p.Born+18*year, ReferenceDate-20*year), ReferenceDate), i)
}

func (s *settling) open(since Date, members ...Index) {
	h := Index(len(s.c.Households))
	s.c.Households = append(s.c.Households, Household{Address: s.address(s.town(members[len(members)-1])), Since: min(since, ReferenceDate)})
	for _, m := range members {
		s.join(h, m)
	}
}

func (s *settling) join(h, member Index) {
	s.c.People[member].Household = h
	s.c.Households[h].Members = append(s.c.Households[h].Members, member)
}

// town chooses where a household lives: often the birthplace of the person, else the capital or any town.
func (s *settling) town(person Index) Place {
	birth := s.c.People[person].Birthplace
	if s.c.People[person].Citizenship == CitizenshipCode && s.d.chance(0.75) {
		return birth
	}
	r := regions[0]
	if s.d.chance(0.4) {
		r = pick(s.d, regions)
	}
	return Place{r.name, pick(s.d, r.places).name}
}

// address returns the next free home of a town: a flat, or a house of its own in a village.
func (s *settling) address(at Place) Address {
	r, rural := findSettlement(at)
	b := s.buildings[at]
	if b == nil || b.flat >= b.flats {
		b = s.build(at, r, rural)
	}
	a := Address{Region: at.Region, City: at.City, Street: b.street, House: b.house, Postcode: b.postcode}
	b.flat++
	if !rural {
		a.Flat = strconv.Itoa(b.flat)
	}
	return a
}

func (s *settling) build(at Place, r region, rural bool) *building {
	d := s.d
	b := &building{flats: 1}
	if !rural {
		b.flats = d.IntRange(4, 24)
	}
	for {
		b.street = pick(d, streets) + " küçəsi"
		b.house = strconv.Itoa(d.IntRange(1, 240))
		if d.chance(0.1) {
			b.house += string(pick(d, []rune("ABC")))
		}
		key := at.City + "/" + b.street + "/" + b.house
		if !s.taken[key] {
			s.taken[key] = true
			break
		}
	}
	b.postcode = fmt.Sprintf("DM%s%02d", r.postcode, d.IntRange(1, 99))
	s.buildings[at] = b
	return b
}

func findSettlement(at Place) (region, bool) {
	for _, r := range regions {
		if r.name != at.Region {
			continue
		}
		for _, p := range r.places {
			if p.name == at.City {
				return r, p.rural
			}
		}
	}
	return regions[0], false
}

// datesOfResidence says since when each person lives in the household: never before birth, nor before the household.
func (s *settling) datesOfResidence() {
	for h := range s.c.Households {
		for _, i := range s.c.Households[h].Members {
			p := &s.c.People[i]
			p.Resident = max(p.Born, s.c.Households[h].Since)
		}
	}
}
