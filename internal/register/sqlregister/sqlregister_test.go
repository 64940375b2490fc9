package sqlregister

import (
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register"
	"countersign.dev/countersign/internal/register/registertest"
)

const personYAML = `
service: DEMO/GOV/1001/registry/person
title: One person of the population register
path: /persons/{subject}
person: pin
shape: one
query: |
  SELECT pin, surname, city, born FROM person WHERE pin = :subject -- one person
columns:
  - {column: pin, type: string, description: Personal identifier}
  - {column: surname, type: string}
  - {column: city, type: string}
  - {column: born, type: integer}
`

const carsYAML = `
service: DEMO/GOV/1002/vehicles/cars
title: Cars of one person
path: /owners/{subject}/cars
person: owner
shape: list
maxRows: 3
query: SELECT owner, plate, weight, bought, seen, stolen FROM car WHERE owner = :subject ORDER BY plate
columns:
  - {column: plate, type: string}
  - {column: weight, field: tonnes, type: number}
  - {column: bought, type: date}
  - {column: seen, type: date-time}
  - {column: stolen, type: boolean}
`

func database(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "register one?.db")
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer(" ", "%20", "?", "%3f").Replace(file)+"?_pragma=synchronous(0)&_pragma=journal_mode(MEMORY)")
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE person (pin TEXT PRIMARY KEY, surname TEXT, city TEXT, born INTEGER)`)
	exec(`CREATE TABLE car (owner TEXT, plate TEXT, weight REAL, bought DATE, seen TIMESTAMP, stolen INTEGER)`)
	for _, p := range registertest.People() {
		exec(`INSERT INTO person VALUES (?,?,?,?)`, p.PIN, p.Surname, p.City, p.Born)
	}
	exec(`INSERT INTO car VALUES ('4B10000','12-AB-345',1.25,'2020-02-29','2024-05-06T07:08:09Z',0), ('4B10000','77-XY-001',2,NULL,NULL,1)`)
	exec(`INSERT INTO car VALUES ('4B10001','99-AA-001','heavy',NULL,NULL,0)`)
	exec(`INSERT INTO car SELECT '4B10002', pin, 1, NULL, NULL, 0 FROM person LIMIT 4`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t *testing.T, file, declaration string) (*Register, error) {
	t.Helper()
	d, err := ParseDeclaration([]byte(declaration))
	if err != nil {
		return nil, err
	}
	r, err := Open(t.Context(), file, d)
	if err == nil {
		t.Cleanup(func() {
			if err := r.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
				t.Error(err)
			}
		})
	}
	return r, err
}

func TestConformance(t *testing.T) {
	registertest.Run(t, func(t *testing.T) registertest.Harness {
		r, err := open(t, database(t), personYAML)
		if err != nil {
			t.Fatal(err)
		}
		return registertest.Harness{Register: r, Break: func() {
			if err := r.db.Close(); err != nil {
				t.Fatal(err)
			}
		}}
	})
}

func askCars(t *testing.T, r *Register, pin string) (int, string, error) {
	t.Helper()
	q := registertest.Question("GET", pin)
	q.Path = "/owners/" + pin + "/cars"
	a, err := r.Ask(t.Context(), q)
	if err != nil {
		return 0, "", err
	}
	body, err := register.ReadBounded(a, 0)
	return a.Status, string(body), err
}

func TestListAndTypes(t *testing.T) {
	r, err := open(t, database(t), carsYAML)
	if err != nil {
		t.Fatal(err)
	}
	status, body, err := askCars(t, r, "4B10000")
	want := `[{"plate":"12-AB-345","tonnes":1.25,"bought":"2020-02-29","seen":"2024-05-06T07:08:09Z","stolen":false},` +
		`{"plate":"77-XY-001","tonnes":2,"bought":null,"seen":null,"stolen":true}]`
	if err != nil || status != 200 || body != want {
		t.Errorf("%d %s %v\nwant %s", status, body, err, want)
	}
	if status, body, err := askCars(t, r, "4B10009"); err != nil || status != 200 || body != "[]" {
		t.Errorf("nobody's cars: %d %s %v", status, body, err)
	}
	if _, _, err := askCars(t, r, "4B10001"); !errors.Is(err, countersign.CodeRegister) || strings.Contains(err.Error(), "heavy") {
		t.Errorf("a text in a number's column: %v", err)
	}
	if _, _, err := askCars(t, r, "4B10002"); !errors.Is(err, countersign.CodeRegister) {
		t.Errorf("more rows than maxRows: %v", err)
	}
}

func TestCanonicalSubjectDecides(t *testing.T) {
	r, err := open(t, database(t), personYAML)
	if err != nil {
		t.Fatal(err)
	}
	q := registertest.Question("GET", "4B10000")
	q.Path = "/persons/4b-10000" // another spelling; the decision was about the subject
	a, err := r.Ask(t.Context(), q)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%+v %v", a, err)
	}
	q = registertest.Question("GET", "4B10000")
	q.Subject = countersign.SubjectID{}
	if _, err := r.Ask(t.Context(), q); !errors.Is(err, countersign.CodeNoSubject) {
		t.Errorf("without a subject: %v", err)
	}
	q = registertest.Question("GET", "4B10000")
	q.Query = "all=1"
	if _, err := r.Ask(t.Context(), q); !errors.Is(err, countersign.CodeBadRequest) {
		t.Errorf("with a query: %v", err)
	}
}

// A query whose WHERE does not bind the person gives nobody away.
func TestQueryAboutEverybodyAnswersNothing(t *testing.T) {
	for _, where := range []string{"WHERE :subject = :subject", "WHERE pin <> :subject", "WHERE pin >= :subject", "WHERE pin LIKE '%' OR pin = :subject"} {
		y := strings.Replace(personYAML, "WHERE pin = :subject", where, 1)
		y = strings.Replace(y, "shape: one", "shape: list", 1)
		r, err := open(t, database(t), y)
		if err != nil {
			t.Fatal(where, err)
		}
		a, err := r.Ask(t.Context(), registertest.Question("GET", "4B10000"))
		if !errors.Is(err, countersign.CodeRegister) {
			t.Errorf("%s: %+v %v", where, a, err)
		}
	}
}

func TestKeyFindsPeopleInTheAnswer(t *testing.T) {
	y := `
service: DEMO/GOV/1002/vehicles/car
title: Car by plate
path: /cars/{plate}
key: '[0-9]{2}-[A-Z]{2}-[0-9]{3}'
person: owner
shape: one
query: SELECT owner, plate FROM car WHERE plate = :plate
columns: [{column: owner, type: string}, {column: plate, type: string}]
`
	r, err := open(t, database(t), y)
	if err != nil {
		t.Fatal(err)
	}
	q := &register.Request{Method: "GET", Path: "/cars/12-AB-345", Header: http.Header{}}
	a, err := r.Ask(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	body, err := register.ReadBounded(a, 0)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := register.CompileSelector(&countersign.Service{ID: r.declaration.Service, Subject: r.declaration.Selector("pin"), Endpoints: r.declaration.Endpoints()}, countersign.ClassRelation)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := sel.People(body); err != nil || len(who) != 1 || who[0] != "4B10000" {
		t.Errorf("%v %v", who, err)
	}
	for _, path := range []string{"/cars/%25", "/cars/12-AB-345'--", "/cars/", "/cars/12-ab-345"} {
		q := &register.Request{Method: "GET", Path: path, Header: http.Header{}}
		if a, err := r.Ask(t.Context(), q); err != nil || a.Status != http.StatusNotFound {
			t.Errorf("%s: %+v %v", path, a, err)
		}
	}
}

func TestRefusedDeclarations(t *testing.T) {
	file := database(t)
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(personYAML, old) {
			t.Fatalf("the declaration has no %q", old)
		}
		return strings.Replace(personYAML, old, with, 1)
	}
	query := func(q string) string {
		return replace("SELECT pin, surname, city, born FROM person WHERE pin = :subject -- one person", q)
	}
	for name, c := range map[string]struct{ yaml, says string }{
		"unknown key":        {personYAML + "\ntable: person\n", "table"},
		"no subject in path": {replace("/persons/{subject}", "/persons"), "variable"},
		"two variables":      {replace("/persons/{subject}", "/{a}/{subject}"), "variable"},
		"dots in path":       {replace("/persons/{subject}", "/../{subject}"), "path"},
		"no person":          {replace("person: pin\n", ""), "person"},
		"person not there":   {replace("person: pin", "person: owner"), "owner"},
		"no parameter":       {query("SELECT pin, surname, city, born FROM person"), "no parameter"},
		"other parameter":    {query("SELECT pin, surname, city, born FROM person WHERE pin = :pin"), ":subject"},
		"second parameter":   {query("SELECT pin, surname, city, born FROM person WHERE pin = :subject OR city = :city"), "only parameter"},
		"unnamed parameter":  {query("SELECT pin, surname, city, born FROM person WHERE pin = :subject OR city = ?"), "only parameter"},
		"two statements":     {query("SELECT pin, surname, city, born FROM person WHERE pin = :subject; SELECT 1"), "one SELECT"},
		"trailing write":     {query("SELECT pin, surname, city, born FROM person WHERE pin = :subject; DELETE FROM person"), "one SELECT"},
		"closed parenthesis": {query("SELECT 1) UNION SELECT * FROM (SELECT 1"), "one SELECT"},
		"delete":             {query("DELETE FROM person WHERE pin = :subject RETURNING pin, surname, city, born"), "only read"},
		"update":             {query("UPDATE person SET city = '' WHERE pin = :subject"), "only read"},
		"attach":             {query("ATTACH '/tmp/other.db' AS other"), "only read"},
		"pragma":             {query("PRAGMA table_info(person)"), "only read"},
		"pragma table":       {query("SELECT name AS pin, type AS surname, 1 AS city, 1 AS born FROM pragma_table_info('person') WHERE name = :subject"), "only read"},
		"schema":             {query("SELECT name AS pin, sql AS surname, 1 AS city, 1 AS born FROM sqlite_master WHERE name = :subject"), "only read"},
		"extension":          {query("SELECT pin, surname, load_extension('x') AS city, born FROM person WHERE pin = :subject"), "only read"},
		"comment":            {query("-- nothing"), "SELECT"},
		"syntax":             {query("SELEC pin"), "SELECT"},
		"unknown table":      {query("SELECT pin, surname, city, born FROM citizens WHERE pin = :subject"), "citizens"},
		"column missing":     {replace("{column: city, type: string}", "{column: town, type: string}"), "town"},
		"column twice":       {replace("{column: city, type: string}", "{column: pin, type: string}"), "twice"},
		"unknown type":       {replace("born, type: integer", "born, type: year"), "type"},
		"field with quote":   {replace("{column: city, type: string}", `{column: city, field: 'ci"ty', type: string}`), "plain name"},
		"shape":              {replace("shape: one", "shape: many"), "shape"},
		"timeout":            {personYAML + "\ntimeout: 301s\n", "5m1s"},
		"key without person": {strings.Replace(replace("person: pin", "person: hidden"), "title:", "key: '[a-z]+'\ntitle:", 1), "hidden"},
		"time as string":     {strings.Replace(carsYAML, "{column: bought, type: date}", "{column: bought, type: string}", 1), "date"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, file, c.yaml)
			if !errors.Is(err, countersign.CodeBadRequest) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a bad_request refusal about %q", err, c.says)
			}
		})
	}
	if _, err := open(t, filepath.Join(t.TempDir(), "absent.db"), personYAML); err == nil {
		t.Error("an absent database was opened, or made")
	}
}

func TestDatabaseIsReadOnly(t *testing.T) {
	r, err := open(t, database(t), personYAML)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.ExecContext(t.Context(), "DELETE FROM person"); err == nil {
		t.Error("a write went through")
	}
}

func TestOpenAPI(t *testing.T) {
	for _, y := range []string{personYAML, carsYAML} {
		d, err := ParseDeclaration([]byte(y))
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := openapi3.NewLoader().LoadFromData(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if err := doc.Validate(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, b)
		}
		again, err := d.OpenAPI()
		if err != nil || string(again) != string(b) {
			t.Error("the description is not the same twice")
		}
		media := doc.Paths.Value(d.Path).Get.Responses.Value("200").Value.Content.Get("application/json")
		r, err := open(t, database(t), y)
		if err != nil {
			t.Fatal(err)
		}
		q := registertest.Question("GET", "4B10000")
		q.Path = strings.Replace(d.Path, "{subject}", "4B10000", 1)
		a, err := r.Ask(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		body, err := register.ReadBounded(a, 0)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatal(err)
		}
		if err := media.Schema.Value.VisitJSON(v); err != nil {
			t.Errorf("the answer is not as described: %v", err)
		}
		// The declared fields are exactly what a filter finds in the answer.
		f, err := register.CompileFilter(d.Fields())
		if err != nil {
			t.Fatal(err)
		}
		out, released, err := f.Apply(a.Header.Get("Content-Type"), a.Header, body)
		if err != nil || string(out) != string(body) || len(released) != len(d.Columns) {
			t.Errorf("%s\n%s\n%v %v", body, out, released, err)
		}
	}
}
