package registers

import (
	"database/sql"
	"net/http"

	"countersign.dev/countersign/demo/country"
)

type propertyAnswer struct {
	Parcel  string        `json:"parcel"`
	Kind    string        `json:"kind"`
	Address addressAnswer `json:"address"`
	Area    int           `json:"areaSquareMetres"`
	Since   string        `json:"since"`
	Share   int           `json:"share"` // percent that the person owns
}

type propertiesAnswer struct {
	PIN        string           `json:"pin"`
	Properties []propertyAnswer `json:"properties"`
}

type permitAnswer struct {
	Number    string `json:"number"`
	Kind      string `json:"kind"`
	IssuedOn  string `json:"issuedOn"`
	ExpiresOn string `json:"expiresOn"`
	Status    string `json:"status"`
}

type permitsAnswer struct {
	PIN     string         `json:"pin"`
	Permits []permitAnswer `json:"permits"`
}

type companyAnswer struct {
	Code         string        `json:"code"`
	Name         string        `json:"name"`
	Form         string        `json:"form"`
	Activity     string        `json:"activity"`
	RegisteredOn string        `json:"registeredOn"`
	Status       string        `json:"status"`
	Address      addressAnswer `json:"address"`
}

type municipalRegister struct {
	known, property, permits, company *sql.Stmt
}

func (g *register) municipality() {
	m := &municipalRegister{
		known: g.prepare("SELECT 1 FROM person WHERE pin = ?"),
		property: g.prepare(`SELECT p.parcel, kind, region, city, street, house, flat, postcode, area, since, s.percent
			FROM share s JOIN property p ON p.parcel = s.parcel WHERE s.pin = ? ORDER BY p.parcel`),
		permits: g.prepare("SELECT number, kind, issued_on, expires_on FROM permit WHERE pin = ? ORDER BY issued_on, number"),
		company: g.prepare("SELECT code, name, form, activity, registered_on, active, region, city, street, house, postcode FROM company WHERE code = ?"),
	}
	g.route("GET /property/{pin}", m.getProperty)
	g.route("GET /permits/{pin}", m.getPermits)
	g.route("GET /companies/{code}", m.getCompany)
	g.mux.HandleFunc("GET /opendata/parcels", g.streamParcels)
}

func (m *municipalRegister) getProperty(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	if err := known(ctx, m.known, pin); err != nil {
		return nil, err
	}
	properties, err := list(ctx, m.property, func(rows *sql.Rows, p *propertyAnswer) error {
		return rows.Scan(&p.Parcel, &p.Kind, &p.Address.Region, &p.Address.City, &p.Address.Street, &p.Address.House, &p.Address.Flat,
			&p.Address.Postcode, &p.Area, &p.Since, &p.Share)
	}, pin)
	if err != nil {
		return nil, err
	}
	return propertiesAnswer{pin, properties}, nil
}

func (m *municipalRegister) getPermits(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	if err := known(ctx, m.known, pin); err != nil {
		return nil, err
	}
	permits, err := list(ctx, m.permits, func(rows *sql.Rows, p *permitAnswer) error {
		if err := rows.Scan(&p.Number, &p.Kind, &p.IssuedOn, &p.ExpiresOn); err != nil {
			return err
		}
		// Dates in this form compare as text.
		p.Status = "valid"
		if p.ExpiresOn < country.ReferenceDate.String() {
			p.Status = "expired"
		}
		return nil
	}, pin)
	if err != nil {
		return nil, err
	}
	return permitsAnswer{pin, permits}, nil
}

func (m *municipalRegister) getCompany(r *http.Request) (any, error) {
	var c companyAnswer
	var active bool
	a := &c.Address
	err := one(m.company.QueryRowContext(r.Context(), r.PathValue("code")), errUnknownFirm, &c.Code, &c.Name, &c.Form, &c.Activity,
		&c.RegisteredOn, &active, &a.Region, &a.City, &a.Street, &a.House, &a.Postcode)
	if err != nil {
		return nil, err
	}
	c.Status = "active"
	if !active {
		c.Status = "dissolved"
	}
	return c, nil
}
