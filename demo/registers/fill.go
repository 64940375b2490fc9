package registers

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"countersign.dev/countersign/demo/country"
)

// filler inserts rows into one agency's database inside one transaction. The first error sticks and ends the work.
type filler struct {
	ctx   context.Context
	tx    *sql.Tx
	c     *country.Country
	stmts map[string]*sql.Stmt
	step  func(rows int) // told of every thousand rows
	rows  int
	err   error
}

// insert adds a row with the values in the order of the table's columns.
func (f *filler) insert(table string, values ...any) {
	if f.err != nil {
		return
	}
	stmt := f.stmts[table]
	if stmt == nil {
		marks := strings.TrimSuffix(strings.Repeat("?,", len(values)), ",")
		stmt, f.err = f.tx.PrepareContext(f.ctx, fmt.Sprintf("INSERT INTO %s VALUES (%s)", table, marks))
		if f.err != nil {
			return
		}
		f.stmts[table] = stmt
	}
	if _, err := stmt.ExecContext(f.ctx, values...); err != nil {
		f.err = fmt.Errorf("table %s: %w", table, err)
		return
	}
	if f.rows++; f.rows%1000 == 0 {
		f.step(f.rows)
	}
}

// date is the column value of a date: NULL for [country.NoDate].
func date(d country.Date) any {
	if d == country.NoDate {
		return nil
	}
	return d.String()
}

func (f *filler) pin(i country.Index) string { return string(f.c.People[i].PIN) }

// fill writes an agency's part of the country.
func (f *filler) fill(agency country.AgencyCode) {
	switch agency {
	case country.POP:
		f.population()
	case country.VEH:
		f.vehicles()
	case country.SOC:
		f.socialFund()
	case country.CLN:
		f.clinic()
	case country.MUN:
		f.municipality()
	case country.POL:
		f.police()
	}
}

// everybody lists the codes that a register knows.
func (f *filler) everybody() {
	for i := range f.c.People {
		f.insert("person", string(f.c.People[i].PIN))
	}
}

func (f *filler) population() {
	for h := range f.c.Households {
		a := f.c.Households[h].Address
		f.insert("address", h+1, a.Region, a.City, a.Street, a.House, a.Flat, a.Postcode)
	}
	for i := range f.c.People {
		p := &f.c.People[i]
		f.insert("person", string(p.PIN), p.Surname, p.GivenName, p.Patronymic, string(p.Sex), date(p.Born), p.Birthplace.Region,
			p.Birthplace.City, p.Citizenship, f.c.MaritalStatus(country.Index(i)), p.Document.Number, date(p.Document.Issued),
			date(p.Document.Expires), p.Document.Issuer, p.PhotoDigest.String(), int64(p.Household)+1, date(p.Resident))
		if p.Mother != country.None {
			f.insert("parent", string(p.PIN), f.pin(p.Mother))
			f.insert("parent", string(p.PIN), f.pin(p.Father))
		}
		if p.Spouse != country.None {
			f.insert("marriage", string(p.PIN), f.pin(p.Spouse), date(p.Married))
		}
	}
}

func (f *filler) vehicles() {
	for i := range f.c.People {
		if p := &f.c.People[i]; f.c.Age(country.Index(i)) >= 18 {
			f.insert("person", string(p.PIN), p.Surname, p.GivenName)
		}
	}
	for i := range f.c.Vehicles {
		v := &f.c.Vehicles[i]
		var code, name any
		if v.Company != country.None {
			code, name = string(f.c.Companies[v.Company].Code), f.c.Companies[v.Company].Name
		}
		f.insert("vehicle", string(v.Plate), v.VIN, v.Make, v.Model, v.Year, v.Colour, date(v.Registered), code, name)
		for _, o := range v.Owners {
			f.insert("owner", f.pin(o), string(v.Plate), 100/len(v.Owners))
		}
	}
	for i := range f.c.Licences {
		l := &f.c.Licences[i]
		f.insert("licence", f.pin(l.Person), l.Number, l.Categories, date(l.Issued), date(l.Expires), l.Suspended)
	}
}

func (f *filler) socialFund() {
	f.everybody()
	for i := range f.c.Benefits {
		b := &f.c.Benefits[i]
		f.insert("benefit", string(b.Case), f.pin(b.Person), b.Kind, date(b.Opened), date(b.Closed), b.Monthly)
	}
	for i := range f.c.Jobs {
		j := &f.c.Jobs[i]
		co := &f.c.Companies[j.Company]
		f.insert("contract", i+1, f.pin(j.Person), string(co.Code), co.Name, j.Position, date(j.From), date(j.To))
	}
	// Three people who fled to the country without papers.
	for i, kind := range []string{"shelter", "food", "clothing"} {
		f.insert("aid", fmt.Sprintf("SOC-AID-2026-%04d", i+1), kind, "2026-01-12", nil, 9000+1500*i)
	}
}

func (f *filler) clinic() {
	for i := range f.c.People {
		p := &f.c.People[i]
		f.insert("person", string(p.PIN), date(p.Born), string(p.Sex))
	}
	for i := range f.c.Treatments {
		t := &f.c.Treatments[i]
		f.insert("treatment", string(t.ID), f.pin(t.Person), t.Code, t.Diagnosis, t.Ward, date(t.Started), date(t.Ended))
	}
	for i := range f.c.Visits {
		v := &f.c.Visits[i]
		var treatment any
		if v.Treatment != country.None {
			treatment = string(f.c.Treatments[v.Treatment].ID)
		}
		f.insert("visit", string(v.ID), f.pin(v.Person), treatment, date(v.On), v.Reason)
	}
}

func (f *filler) municipality() {
	f.everybody()
	for i := range f.c.Properties {
		p := &f.c.Properties[i]
		a := p.Address
		f.insert("property", string(p.Parcel), p.Kind, a.Region, a.City, a.Street, a.House, a.Flat, a.Postcode, p.Area, date(p.Since))
		for _, s := range p.Owners {
			f.insert("share", f.pin(s.Person), string(p.Parcel), s.Percent)
		}
	}
	for i := range f.c.Permits {
		p := &f.c.Permits[i]
		f.insert("permit", p.Number, f.pin(p.Person), p.Kind, date(p.Issued), date(p.Expires))
	}
	for i := range f.c.Companies {
		co := &f.c.Companies[i]
		a := co.Address
		f.insert("company", string(co.Code), co.Name, co.Form, co.Activity, date(co.Registered), co.Active, a.Region, a.City, a.Street, a.House, a.Postcode)
	}
}

func (f *filler) police() {
	f.everybody()
	for i := range f.c.Police {
		pc := &f.c.Police[i]
		f.insert("police_case", string(pc.Case), pc.Kind, date(pc.Opened), date(pc.Closed))
		for _, party := range pc.Parties {
			f.insert("party", string(pc.Case), f.pin(party.Person), string(party.Role))
			if pc.Wanted && party.Role == country.Suspect {
				f.insert("wanted", f.pin(party.Person), string(pc.Case))
			}
		}
	}
}
