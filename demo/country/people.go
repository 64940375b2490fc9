package country

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sort"
)

// families makes the people: localities of founder couples, whose descendants marry within the locality (never a sibling
// or a first cousin) and have children, down to the reference date. What is missing at the end are foreigners.
type families struct {
	d       dice
	c       *Country
	limit   int // natives end here; the rest are foreigners
	pins    map[PIN]bool
	couples []couple
	region  int // of the current locality
}

// couple is one marriage, past or present.
type couple struct {
	husband, wife Index
	married       Date
	divorced      Date // NoDate while it lasts
}

const (
	foundersPerLocality   = 48
	peoplePerFounder      = 5 // descendants and founders per founder couple, on average
	foreignersPerThousand = 20
)

func (c *Country) makePeople(ctx context.Context, progress Progress) ([]couple, error) {
	n := c.Config.People
	c.People = make([]Person, 0, n)
	f := &families{d: newDice(c.Config.Seed, "people"), c: c, limit: n - max(2, n*foreignersPerThousand/1000), pins: make(map[PIN]bool, n)}
	for locality := 0; f.limit-len(c.People) >= 2*peoplePerFounder; locality++ {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("country: people: %w", err)
		}
		f.region = locality % len(regions)
		f.locality(min(foundersPerLocality, max(1, (f.limit-len(c.People))/peoplePerFounder)))
		progress.Report("people", len(c.People), n)
	}
	for len(c.People) < n {
		f.foreigner()
	}
	progress.Report("people", n, n)
	return f.couples, nil
}

func (f *families) full() bool { return len(f.c.People) >= f.limit }

// locality makes founders couples and their descendants, as far as the limit allows.
func (f *families) locality(founders int) {
	var generation []couple
	for range founders {
		if len(f.c.People)+2 > f.limit {
			break
		}
		generation = append(generation, f.founders())
	}
	for len(generation) > 0 {
		f.couples = append(f.couples, generation...)
		var born []Index
		for _, cp := range generation {
			born = append(born, f.births(cp)...)
		}
		generation = f.marriages(born)
	}
}

func (f *families) founders() couple {
	d := f.d
	born := d.between(DateOf(1938, 1, 1), DateOf(1986, 12, 31))
	wife := f.native(Female, born, None, None)
	husband := f.native(Male, born-d.span(-1*year, 7*year), None, None)
	return f.marry(husband, wife)
}

// marry joins two people, and parts one couple in twelve again.
func (f *families) marry(husband, wife Index) couple {
	d, h, w := f.d, &f.c.People[husband], &f.c.People[wife]
	younger := max(h.Born, w.Born)
	cp := couple{husband, wife, d.between(younger+20*year, min(younger+30*year, ReferenceDate)), NoDate}
	if d.chance(1.0 / 12) {
		if end := cp.married + d.span(4*year, 18*year); end < ReferenceDate {
			cp.divorced = end
			h.Divorced, w.Divorced = true, true
			return cp
		}
	}
	h.Spouse, w.Spouse = wife, husband
	h.Married, w.Married = cp.married, cp.married
	return cp
}

// births adds the couple's children, eldest first.
func (f *families) births(cp couple) []Index {
	d := f.d
	last := min(ReferenceDate, f.c.People[cp.wife].Born+41*year)
	if cp.divorced != NoDate {
		last = min(last, cp.divorced)
	}
	var born []Index
	date := cp.married + d.span(280*day, 900*day)
	for range d.weighted(8, 17, 40, 23, 9, 3) {
		if date > last || f.full() {
			break
		}
		sex := Male
		if d.chance(0.488) {
			sex = Female
		}
		born = append(born, f.native(sex, date, cp.wife, cp.husband))
		date += d.span(400*day, 5*year)
	}
	return born
}

// marriages pairs the grown-up people of one generation of a locality.
func (f *families) marriages(born []Index) []couple {
	d, people := f.d, f.c.People
	var men, women []Index
	for _, i := range born {
		age := f.c.Age(i)
		if age < 21 || !d.chance(min(0.88, 0.12*float64(age-20))) {
			continue
		}
		if people[i].Sex == Male {
			men = append(men, i)
		} else {
			women = append(women, i)
		}
	}
	sort.SliceStable(women, func(a, b int) bool { return people[women[a]].Born < people[women[b]].Born })
	shuffle(d, men)
	taken := make(map[Index]bool, len(women))
	var couples []couple
	for _, m := range men {
		oldest := people[m].Born + d.span(-3*year, 4*year)
		first := sort.Search(len(women), func(k int) bool { return people[women[k]].Born >= oldest })
		for _, w := range women[first:] {
			if people[w].Born > people[m].Born+8*year {
				break
			}
			if !taken[w] && !f.related(m, w) {
				taken[w] = true
				couples = append(couples, f.marry(m, w))
				break
			}
		}
	}
	return couples
}

// related reports whether two people share a parent or a grandparent.
func (f *families) related(a, b Index) bool {
	for _, x := range f.ancestors(a) {
		for _, y := range f.ancestors(b) {
			if x != None && x == y {
				return true
			}
		}
	}
	return false
}

func (f *families) ancestors(i Index) [6]Index {
	a := [6]Index{None, None, None, None, None, None}
	p := f.c.People[i]
	a[0], a[1] = p.Mother, p.Father
	for k, parent := range a[:2] {
		if parent != None {
			a[2+2*k], a[3+2*k] = f.c.People[parent].Mother, f.c.People[parent].Father
		}
	}
	return a
}

// native adds a citizen; mother and father are None for a founder.
func (f *families) native(sex Sex, born Date, mother, father Index) Index {
	d := f.d
	p := Person{Sex: sex, Born: born, Mother: mother, Father: father, Citizenship: CitizenshipCode}
	p.GivenName = pick(d, maleNames)
	if sex == Female {
		p.GivenName = pick(d, femaleNames)
	}
	fathersName := pick(d, maleNames)
	p.Surname = surname(pick(d, surnameRoots), pick(d, surnameEndings))
	r := regions[f.region]
	p.Birthplace = Place{r.name, pick(d, r.places).name}
	if father != None {
		fathersName = f.c.People[father].GivenName
		p.Surname = f.c.People[father].Surname
		if d.chance(0.8) {
			p.Birthplace = Place{r.name, r.places[int(mother)%len(r.places)].name}
		}
	}
	p.Patronymic = fathersName + " oğlu"
	if sex == Female {
		p.Patronymic = fathersName + " qızı"
	}
	return f.add(p)
}

// foreigner adds an unmarried adult of another country.
func (f *families) foreigner() {
	d := f.d
	home := pick(d, abroad)
	p := Person{Sex: Male, GivenName: pick(d, foreignMale), Surname: pick(d, foreignSurnames), Mother: None, Father: None,
		Born:       d.between(DateOf(1965, 1, 1), DateOf(2004, 12, 31)),
		Birthplace: Place{home.code, home.city}, Citizenship: home.code}
	if d.chance(0.45) {
		p.Sex, p.GivenName = Female, pick(d, foreignFemale)
	}
	f.add(p)
}

// add gives the person a code, a document and a photo's digest, and takes it into the country.
func (f *families) add(p Person) Index {
	d := f.d
	const codes = 36 * 36 * 36 * 36 * 36 * 36
	for p.PIN == "" || f.pins[p.PIN] {
		p.PIN = pinFromNumber(uint64(d.IntN(codes)))
	}
	f.pins[p.PIN] = true
	p.Spouse, p.Married, p.Household, p.Resident = None, NoDate, None, NoDate
	issued := d.between(max(p.Born, ReferenceDate-9*year), ReferenceDate)
	p.Document = Document{Issued: issued, Expires: issued.AddYears(10), Issuer: string(POP),
		Number: fmt.Sprintf("DM%07d", len(f.c.People)*89%10_000_000+1)}
	p.PhotoDigest = sha256.Sum256(fmt.Appendf(nil, "countersign demo photo/%d/%s", f.c.Config.Seed, p.PIN))
	f.c.People = append(f.c.People, p)
	return Index(len(f.c.People) - 1)
}
