package registers

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign/demo/country"
)

const (
	bodyLimit  = 4 << 10 // bytes of a request body
	fieldLimit = 100     // characters of a field of an address
)

type addressAnswer struct {
	Region   string `json:"region"`
	City     string `json:"city"`
	Street   string `json:"street"`
	House    string `json:"house"`
	Flat     string `json:"flat,omitempty"`
	Postcode string `json:"postcode"`
}

type placeAnswer struct {
	Region string `json:"region"`
	City   string `json:"city"`
}

type documentAnswer struct {
	Kind      string `json:"kind"`
	Number    string `json:"number"`
	IssuedOn  string `json:"issuedOn"`
	ExpiresOn string `json:"expiresOn"`
	Issuer    string `json:"issuer"`
}

type personAnswer struct {
	PIN           string         `json:"pin"`
	Surname       string         `json:"surname"`
	GivenName     string         `json:"givenName"`
	Patronymic    string         `json:"patronymic,omitempty"`
	Sex           string         `json:"sex"`
	BirthDate     string         `json:"birthDate"`
	Birthplace    placeAnswer    `json:"birthplace"`
	Citizenship   string         `json:"citizenship"`
	MaritalStatus string         `json:"maritalStatus"`
	Address       addressAnswer  `json:"address"`
	Document      documentAnswer `json:"document"`
	PhotoDigest   string         `json:"photoDigest"`
}

type residenceAnswer struct {
	PIN           string        `json:"pin"`
	Address       addressAnswer `json:"address"`
	Since         string        `json:"since"`
	HouseholdSize int           `json:"householdSize"`
}

type relativeAnswer struct {
	PIN       string `json:"pin"`
	Surname   string `json:"surname"`
	GivenName string `json:"givenName"`
	BirthDate string `json:"birthDate"`
	Sex       string `json:"sex"`
	Since     string `json:"since,omitempty"` // of the marriage
}

type familyAnswer struct {
	PIN      string           `json:"pin"`
	Spouse   *relativeAnswer  `json:"spouse,omitempty"`
	Children []relativeAnswer `json:"children"`
	Parents  []relativeAnswer `json:"parents"`
}

type populationRegister struct {
	db                                           *sql.DB
	person, residence, known, spouse, kids, olds *sql.Stmt
	surname                                      *sql.Stmt
}

func (g *register) population() {
	const relative = "SELECT p.pin, p.surname, p.given_name, p.birth_date, p.sex, "
	p := &populationRegister{
		db: g.db,
		person: g.prepare(`SELECT p.pin, surname, given_name, patronymic, sex, birth_date, birth_region, birth_city, citizenship, marital_status,
			document_number, document_issued_on, document_expires_on, document_issuer, photo_digest, region, city, street, house, flat, postcode
			FROM person p JOIN address a ON a.id = p.address_id WHERE p.pin = ?`),
		residence: g.prepare(`SELECT p.pin, region, city, street, house, flat, postcode, resident_since,
			(SELECT count(*) FROM person q WHERE q.address_id = p.address_id)
			FROM person p JOIN address a ON a.id = p.address_id WHERE p.pin = ?`),
		known:   g.prepare("SELECT 1 FROM person WHERE pin = ?"),
		surname: g.prepare("SELECT surname FROM person WHERE pin = ?"),
		spouse:  g.prepare(relative + "m.since FROM marriage m JOIN person p ON p.pin = m.spouse_pin WHERE m.pin = ?"),
		kids:    g.prepare(relative + "'' FROM parent r JOIN person p ON p.pin = r.child_pin WHERE r.parent_pin = ? ORDER BY p.birth_date, p.pin"),
		olds:    g.prepare(relative + "'' FROM parent r JOIN person p ON p.pin = r.parent_pin WHERE r.child_pin = ? ORDER BY p.sex, p.pin"),
	}
	g.route("GET /person/{pin}", p.getPerson)
	g.route("PUT /person/{pin}/address", p.putAddress)
	g.route("GET /residence/{pin}", p.getResidence)
	g.route("GET /family/{pin}", p.getFamily)
	g.route("POST /check", p.postCheck)
	g.route("POST /check/{$}", p.postCheck)
}

func (p *populationRegister) getPerson(r *http.Request) (any, error) {
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	a := personAnswer{Document: documentAnswer{Kind: "identity-card"}}
	err = one(p.person.QueryRowContext(r.Context(), pin), errUnknownPerson, &a.PIN, &a.Surname, &a.GivenName, &a.Patronymic, &a.Sex,
		&a.BirthDate, &a.Birthplace.Region, &a.Birthplace.City, &a.Citizenship, &a.MaritalStatus, &a.Document.Number, &a.Document.IssuedOn,
		&a.Document.ExpiresOn, &a.Document.Issuer, &a.PhotoDigest, &a.Address.Region, &a.Address.City, &a.Address.Street,
		&a.Address.House, &a.Address.Flat, &a.Address.Postcode)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (p *populationRegister) getResidence(r *http.Request) (any, error) {
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	return p.residenceOf(r.Context(), pin)
}

func (p *populationRegister) residenceOf(ctx context.Context, pin string) (any, error) {
	var a residenceAnswer
	err := one(p.residence.QueryRowContext(ctx, pin), errUnknownPerson, &a.PIN, &a.Address.Region, &a.Address.City,
		&a.Address.Street, &a.Address.House, &a.Address.Flat, &a.Address.Postcode, &a.Since, &a.HouseholdSize)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (p *populationRegister) getFamily(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	if err := known(ctx, p.known, pin); err != nil {
		return nil, err
	}
	scan := func(rows *sql.Rows, a *relativeAnswer) error {
		return rows.Scan(&a.PIN, &a.Surname, &a.GivenName, &a.BirthDate, &a.Sex, &a.Since)
	}
	a := familyAnswer{PIN: pin}
	spouses, err := list(ctx, p.spouse, scan, pin)
	if err != nil {
		return nil, err
	}
	if len(spouses) > 0 {
		a.Spouse = &spouses[0]
	}
	if a.Children, err = list(ctx, p.kids, scan, pin); err != nil {
		return nil, err
	}
	if a.Parents, err = list(ctx, p.olds, scan, pin); err != nil {
		return nil, err
	}
	return a, nil
}

// postCheck compares surnames without regard to case, by the language's own rule (ı and İ are two letters).
func (p *populationRegister) postCheck(r *http.Request) (any, error) {
	var body struct {
		PIN     string `json:"pin"`
		Surname string `json:"surname"`
	}
	if err := readBody(r, &body); err != nil {
		return nil, err
	}
	pin, err := readPIN("body", body.PIN)
	if err != nil {
		return nil, err
	}
	if body.Surname == "" {
		return nil, badRequest("bad-body", "The field surname is missing: give the surname to compare.")
	}
	var registered string
	err = one(p.surname.QueryRowContext(r.Context(), pin), errUnknownPerson, &registered)
	switch {
	case errors.Is(err, errUnknownPerson):
		return map[string]bool{"match": false}, nil
	case err != nil:
		return nil, err
	}
	fold := func(s string) string { return strings.ToLowerSpecial(unicode.AzeriCase, strings.TrimSpace(s)) }
	return map[string]bool{"match": fold(registered) == fold(body.Surname)}, nil
}

// putAddress moves one person to an address, which need not exist yet. Repeating it changes nothing more.
func (p *populationRegister) putAddress(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		addressAnswer
		Since string `json:"since"`
	}
	if err := readBody(r, &body); err != nil {
		return nil, err
	}
	if err := checkAddress(body.addressAnswer); err != nil {
		return nil, err
	}
	since, err := country.ParseDate(body.Since)
	if err != nil {
		return nil, badRequest("bad-body", "The field since is not a date: write it as YYYY-MM-DD.")
	}
	if err := p.move(ctx, pin, body.addressAnswer, since); err != nil {
		return nil, err
	}
	return p.residenceOf(ctx, pin)
}

func (p *populationRegister) move(ctx context.Context, pin string, a addressAnswer, since country.Date) (err error) {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var born string
	if err := one(tx.QueryRowContext(ctx, "SELECT birth_date FROM person WHERE pin = ?", pin), errUnknownPerson, &born); err != nil {
		return err
	}
	if since.String() < born {
		return badRequest("bad-body", "The field since is before the person's birth.")
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO address (region, city, street, house, flat, postcode) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, a.Region, a.City, a.Street, a.House, a.Flat, a.Postcode)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE person SET resident_since = ?, address_id = (SELECT id FROM address
		WHERE region = ? AND city = ? AND street = ? AND house = ? AND flat = ? AND postcode = ?) WHERE pin = ?`,
		since.String(), a.Region, a.City, a.Street, a.House, a.Flat, a.Postcode, pin)
	if err != nil {
		return err
	}
	return tx.Commit()
}

func checkAddress(a addressAnswer) error {
	for _, f := range []struct {
		name, value string
		needed      bool
	}{{"region", a.Region, true}, {"city", a.City, true}, {"street", a.Street, true}, {"house", a.House, true},
		{"postcode", a.Postcode, true}, {"flat", a.Flat, false}} {
		switch {
		case f.needed && strings.TrimSpace(f.value) == "":
			return badRequest("bad-body", "The field "+f.name+" is missing: give the whole address.")
		case utf8.RuneCountInString(f.value) > fieldLimit:
			return badRequest("bad-body", "The field "+f.name+" is too long: 100 characters at most.")
		}
	}
	return nil
}

// readBody reads a small JSON object and refuses unknown and repeated members: what a gateway took for the subject must
// be what the register reads.
func readBody(r *http.Request, into any) error {
	if r.ContentLength > bodyLimit {
		return newProblem(http.StatusRequestEntityTooLarge, "too-large", "Body too large", "4 KiB at most.")
	}
	limited := http.MaxBytesReader(nil, r.Body, bodyLimit)
	if err := json.UnmarshalRead(limited, into, json.RejectUnknownMembers(true)); err != nil {
		return badRequest("bad-body", "The body is not the JSON object that the OpenAPI description asks for.")
	}
	return nil
}
