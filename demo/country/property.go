package country

import "fmt"

// makeProperty gives most homes an owner among those who live there, some households a piece of land, and foreigners
// their residence permits.
func (c *Country) makeProperty() {
	d := newDice(c.Config.Seed, "property")
	for h := range c.Households {
		home := &c.Households[h]
		owner := c.householder(home)
		if owner == None || !d.chance(0.7) {
			continue
		}
		kind, area := "flat", d.IntRange(32, 140)
		if home.Address.Flat == "" {
			kind, area = "house", d.IntRange(60, 320)
		}
		since := d.between(max(home.Since, c.People[owner].Born.AddYears(18)), ReferenceDate)
		c.property(kind, home.Address, area, since, c.shares(d, owner))
		if d.chance(0.15) {
			land := home.Address
			land.Flat, land.House = "", fmt.Sprintf("%dT", d.IntRange(1, 900))
			c.property("land", land, d.IntRange(200, 9_000), d.between(since, ReferenceDate), c.shares(d, owner))
		}
	}
	for i := range c.People {
		if p := c.People[i]; p.Citizenship != CitizenshipCode {
			issued := d.between(ReferenceDate-4*year, ReferenceDate)
			c.Permits = append(c.Permits, Permit{Number: fmt.Sprintf("RP%06d", len(c.Permits)+1), Person: Index(i), Issued: issued,
				Kind: pick(d, []string{"work", "study", "permanent"}), Expires: issued.AddYears(d.IntRange(1, 5))})
		}
	}
}

// householder is the eldest citizen of age in a home, or None.
func (c *Country) householder(h *Household) Index {
	eldest := None
	for _, m := range h.Members {
		if c.Age(m) >= 18 && c.People[m].Citizenship == CitizenshipCode && (eldest == None || c.People[m].Born < c.People[eldest].Born) {
			eldest = m
		}
	}
	return eldest
}

func (c *Country) shares(d dice, owner Index) []Share {
	if spouse := c.People[owner].Spouse; spouse != None && d.chance(0.5) {
		return []Share{{owner, 50}, {spouse, 50}}
	}
	return []Share{{owner, 100}}
}

func (c *Country) property(kind string, at Address, area int, since Date, owners []Share) {
	c.Properties = append(c.Properties, Property{Parcel: ParcelID(fmt.Sprintf("PRC-%07d", len(c.Properties)+1)),
		Kind: kind, Address: at, Area: area, Since: since, Owners: owners})
}
