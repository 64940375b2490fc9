package registers

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"countersign.dev/countersign/demo/country"
)

type moneyAnswer struct {
	Amount   string `json:"amount"` // decimal, two places
	Currency string `json:"currency"`
}

type benefitAnswer struct {
	Case     string      `json:"case"`
	Kind     string      `json:"kind"`
	Status   string      `json:"status"`
	OpenedOn string      `json:"openedOn"`
	ClosedOn string      `json:"closedOn,omitempty"`
	Monthly  moneyAnswer `json:"monthly"`
}

type benefitsAnswer struct {
	PIN      string          `json:"pin"`
	Benefits []benefitAnswer `json:"benefits"`
}

type contractAnswer struct {
	Employer companyReference `json:"employer"`
	Position string           `json:"position"`
	From     string           `json:"from"`
	To       string           `json:"to,omitempty"`
}

type employmentAnswer struct {
	PIN       string           `json:"pin"`
	Contracts []contractAnswer `json:"contracts"`
}

// caseAnswer is how a case register answers whether a case is open for a person.
type caseAnswer struct {
	Case string `json:"case"`
	PIN  string `json:"pin"`
	Open bool   `json:"open"`
	Kind string `json:"kind"`
}

type socialRegister struct {
	known, benefits, contracts, file, aid *sql.Stmt
}

func (g *register) socialFund() {
	s := &socialRegister{
		known:    g.prepare("SELECT 1 FROM person WHERE pin = ?"),
		benefits: g.prepare("SELECT case_id, kind, opened_on, coalesce(closed_on, ''), monthly FROM benefit WHERE pin = ? ORDER BY opened_on, case_id"),
		contracts: g.prepare(`SELECT company_code, company_name, position, from_date, coalesce(to_date, '')
			FROM contract WHERE pin = ? ORDER BY from_date, id`),
		file: g.prepare("SELECT case_id, pin, kind, closed_on IS NULL FROM benefit WHERE case_id = ? AND pin = ?"),
		aid:  g.prepare("SELECT case_id, kind, opened_on, coalesce(closed_on, ''), monthly FROM aid WHERE case_id = ?"),
	}
	g.route("GET /benefits/{pin}", s.getBenefits)
	g.route("GET /employment/{pin}", s.getEmployment)
	g.route("GET /aid/{case}", s.getAid)
	g.route("GET /cases/{case}", func(r *http.Request) (any, error) { return getCase(r, s.file) })
}

func (s *socialRegister) getBenefits(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	if err := known(ctx, s.known, pin); err != nil {
		return nil, err
	}
	benefits, err := list(ctx, s.benefits, func(rows *sql.Rows, b *benefitAnswer) error { return b.scan(rows) }, pin)
	if err != nil {
		return nil, err
	}
	return benefitsAnswer{pin, benefits}, nil
}

// scan reads a row of benefit or aid.
func (b *benefitAnswer) scan(row interface{ Scan(into ...any) error }) error {
	var hundredths int64
	if err := row.Scan(&b.Case, &b.Kind, &b.OpenedOn, &b.ClosedOn, &hundredths); err != nil {
		return err
	}
	b.Status = "open"
	if b.ClosedOn != "" {
		b.Status = "closed"
	}
	b.Monthly = moneyAnswer{fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100), country.Currency}
	return nil
}

// getAid answers about somebody without a personal code, by the number of the case.
func (s *socialRegister) getAid(r *http.Request) (any, error) {
	var a benefitAnswer
	if err := a.scan(s.aid.QueryRowContext(r.Context(), r.PathValue("case"))); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil, errUnknownCase
		}
		return nil, err
	}
	return a, nil
}

func (s *socialRegister) getEmployment(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	if err := known(ctx, s.known, pin); err != nil {
		return nil, err
	}
	contracts, err := list(ctx, s.contracts, func(rows *sql.Rows, c *contractAnswer) error {
		return rows.Scan(&c.Employer.Code, &c.Employer.Name, &c.Position, &c.From, &c.To)
	}, pin)
	if err != nil {
		return nil, err
	}
	return employmentAnswer{pin, contracts}, nil
}

// getCase answers for the social fund and the police. A case of somebody else is as unknown as one that does not exist.
func getCase(r *http.Request, file *sql.Stmt) (any, error) {
	pin, err := queryPIN(r)
	if err != nil {
		return nil, err
	}
	var a caseAnswer
	if err := one(file.QueryRowContext(r.Context(), r.PathValue("case"), pin), errUnknownCase, &a.Case, &a.PIN, &a.Kind, &a.Open); err != nil {
		return nil, err
	}
	return a, nil
}
