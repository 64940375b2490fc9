package registers

import (
	"database/sql"
	"errors"
	"net/http"
	"strings"

	"countersign.dev/countersign/demo/country"
)

// leastGroup is the smallest group of vehicles that the open statistics show.
const leastGroup = 10

type vehicleAnswer struct {
	Plate        string `json:"plate"`
	VIN          string `json:"vin"`
	Make         string `json:"make"`
	Model        string `json:"model"`
	Year         int    `json:"year"`
	Colour       string `json:"colour"`
	RegisteredOn string `json:"registeredOn"`
	Share        int    `json:"share,omitempty"` // percent that the person owns
}

type vehiclesAnswer struct {
	PIN      string          `json:"pin"`
	Vehicles []vehicleAnswer `json:"vehicles"`
}

type ownerAnswer struct {
	PIN       string `json:"pin"`
	Surname   string `json:"surname"`
	GivenName string `json:"givenName"`
	Share     int    `json:"share"`
}

type companyReference struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

type plateAnswer struct {
	vehicleAnswer
	Owners  []ownerAnswer     `json:"owners"`
	Company *companyReference `json:"company,omitempty"`
}

type licenceDetails struct {
	Number     string   `json:"number"`
	Categories []string `json:"categories"`
	IssuedOn   string   `json:"issuedOn"`
	ExpiresOn  string   `json:"expiresOn"`
	Status     string   `json:"status"`
}

type licenceAnswer struct {
	PIN     string          `json:"pin"`
	Held    bool            `json:"held"`
	Licence *licenceDetails `json:"licence,omitempty"`
}

type modelCount struct {
	Make  string `json:"make"`
	Model string `json:"model"`
	Count int    `json:"count"`
}

type vehicleRegister struct {
	known, owned, plate, owners, licence, models *sql.Stmt
}

func (g *register) vehicles() {
	const vehicle = "SELECT v.plate, vin, make, model, year, colour, registered_on, "
	v := &vehicleRegister{
		known:   g.prepare("SELECT 1 FROM person WHERE pin = ?"),
		owned:   g.prepare(vehicle + "o.share FROM owner o JOIN vehicle v ON v.plate = o.plate WHERE o.pin = ? ORDER BY v.plate"),
		plate:   g.prepare(vehicle + "coalesce(company_code, ''), coalesce(company_name, '') FROM vehicle v WHERE v.plate = ?"),
		owners:  g.prepare("SELECT p.pin, surname, given_name, share FROM owner o JOIN person p ON p.pin = o.pin WHERE o.plate = ? ORDER BY p.pin"),
		licence: g.prepare("SELECT number, categories, issued_on, expires_on, suspended FROM licence WHERE pin = ?"),
		models:  g.prepare("SELECT make, model, count(*) AS n FROM vehicle GROUP BY make, model HAVING n >= ? ORDER BY n DESC, make, model"),
	}
	g.route("GET /vehicles/{pin}", v.getVehicles)
	g.route("GET /plate/{plate}", v.getPlate)
	g.route("GET /licence/{pin}", v.getLicence)
	g.route("GET /statistics/models", v.getModels)
}

func (v *vehicleRegister) getVehicles(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	if err := known(ctx, v.known, pin); err != nil {
		return nil, err
	}
	vehicles, err := list(ctx, v.owned, func(rows *sql.Rows, a *vehicleAnswer) error {
		return rows.Scan(&a.Plate, &a.VIN, &a.Make, &a.Model, &a.Year, &a.Colour, &a.RegisteredOn, &a.Share)
	}, pin)
	if err != nil {
		return nil, err
	}
	return vehiclesAnswer{pin, vehicles}, nil
}

// getPlate answers with every owner; a company's vehicle has none and names the company.
func (v *vehicleRegister) getPlate(r *http.Request) (any, error) {
	ctx := r.Context()
	plate := strings.ToUpper(r.PathValue("plate"))
	var a plateAnswer
	var company companyReference
	err := one(v.plate.QueryRowContext(ctx, plate), errUnknownPlate, &a.Plate, &a.VIN, &a.Make, &a.Model, &a.Year, &a.Colour,
		&a.RegisteredOn, &company.Code, &company.Name)
	if err != nil {
		return nil, err
	}
	if company.Code != "" {
		a.Company = &company
	}
	a.Owners, err = list(ctx, v.owners, func(rows *sql.Rows, o *ownerAnswer) error {
		return rows.Scan(&o.PIN, &o.Surname, &o.GivenName, &o.Share)
	}, plate)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (v *vehicleRegister) getLicence(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	if err := known(ctx, v.known, pin); err != nil {
		return nil, err
	}
	var l licenceDetails
	var categories string
	var suspended bool
	err = v.licence.QueryRowContext(ctx, pin).Scan(&l.Number, &categories, &l.IssuedOn, &l.ExpiresOn, &suspended)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return licenceAnswer{PIN: pin}, nil
	case err != nil:
		return nil, err
	}
	l.Categories = strings.Split(categories, ",")
	// Dates in this form compare as text.
	switch {
	case suspended:
		l.Status = "suspended"
	case l.ExpiresOn < country.ReferenceDate.String():
		l.Status = "expired"
	default:
		l.Status = "valid"
	}
	return licenceAnswer{pin, true, &l}, nil
}

func (v *vehicleRegister) getModels(r *http.Request) (any, error) {
	models, err := list(r.Context(), v.models, func(rows *sql.Rows, m *modelCount) error {
		return rows.Scan(&m.Make, &m.Model, &m.Count)
	}, leastGroup)
	if err != nil {
		return nil, err
	}
	return struct {
		AsOf       string       `json:"asOf"`
		LeastGroup int          `json:"leastGroup"`
		Models     []modelCount `json:"models"`
	}{country.ReferenceDate.String(), leastGroup, models}, nil
}
