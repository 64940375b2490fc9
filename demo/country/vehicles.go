package country

import (
	"fmt"
	"strings"
)

const vehiclesPerThousand = 330

// makeVehicles gives licences to adults and vehicles to those who drive: one in six to a couple
// together, one in twenty to a company.
func (c *Country) makeVehicles() {
	d := newDice(c.Config.Seed, "vehicles")
	var drivers, married []Index
	for i := range c.People {
		p := Index(i)
		if age := c.Age(p); age < 18 || !d.chance(0.55) {
			continue
		}
		issued := d.between(max(c.People[i].Born.AddYears(18), ReferenceDate-11*year), ReferenceDate)
		c.Licences = append(c.Licences, Licence{Person: p, Number: fmt.Sprintf("DL%08d", (i+1)*97), Issued: issued,
			Expires: issued.AddYears(10), Suspended: d.chance(0.02), Categories: pick(d, []string{"B", "B", "B", "B,C", "A,B", "B,C,D"})})
		drivers = append(drivers, p)
		if c.People[i].Spouse != None {
			married = append(married, p)
		}
	}
	count := len(c.People) * vehiclesPerThousand / 1000
	for i := range count {
		v := c.vehicle(d, i)
		switch owner := pick(d, drivers); {
		case i%20 == 7:
			v.Company = Index(len(publicBodies) + d.IntN(len(c.Companies)-len(publicBodies)))
		case i%6 == 3 && len(married) > 0:
			owner = pick(d, married)
			v.Owners = []Index{owner, c.People[owner].Spouse}
		default:
			v.Owners = []Index{owner}
		}
		for _, o := range v.Owners {
			v.Registered = max(v.Registered, c.People[o].Born.AddYears(18))
		}
		c.Vehicles = append(c.Vehicles, v)
	}
}

func (c *Country) vehicle(d dice, i int) Vehicle {
	m := pick(d, carModels)
	v := Vehicle{Make: m.maker, Model: m.model, Colour: pick(d, colours), Company: None, Plate: plate(i)}
	v.Registered = d.between(DateOf(2005, 1, 1), ReferenceDate)
	v.Year = v.Registered.Year() - d.weighted(30, 20, 10, 10, 10, 5, 5)
	v.VIN = vin(d, i)
	return v
}

// plate numbers vehicles in the form 12-AB-345. Multiplying by a number prime to the range keeps them apart and spread.
func plate(i int) Plate {
	const letters = "ABCDEFGHKLMNPRSTUVXYZ"
	const plates = 90 * len(letters) * len(letters) * 999
	n := (i + 1) * 7_368_787 % plates
	region, rest := 10+n%90, n/90
	first, rest := letters[rest%len(letters)], rest/len(letters)
	second, number := letters[rest%len(letters)], 1+rest/len(letters)
	return Plate(fmt.Sprintf("%02d-%c%c-%03d", region, first, second, number))
}

// vin writes a vehicle identification number of the fictional manufacturer code 9DM, ending with the serial number i.
//
// SPEC: ISO 3779: 17 characters without I, O and Q; the ninth is the check digit of 49 CFR 565.15(c).
func vin(d dice, i int) string {
	const alphabet = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
	b := []byte("9DM")
	for range 5 {
		b = append(b, alphabet[d.IntN(len(alphabet))])
	}
	b = append(b, '0', alphabet[d.IntN(23)], alphabet[d.IntN(23)])
	b = fmt.Appendf(b, "%06d", i+1)
	const values = "0123456789.ABCDEFGH..JKLMN.P.R..STUVWXYZ"
	weights := [17]int{8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2}
	sum := 0
	for k, ch := range b {
		sum += strings.IndexByte(values, ch) % 10 * weights[k]
	}
	b[8] = "0123456789X"[sum%11]
	return string(b)
}
