// Package registertest is the conformance suite of [register.Register]. Every adapter runs it. It is imported by tests alone, which is
// why it may import testing.
package registertest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register"
)

// Person is one entry of the register under test. All of them are invented.
type Person struct {
	PIN     string `json:"pin"`
	Surname string `json:"surname"`
	City    string `json:"city"`
	Born    int    `json:"born"`
}

// Harness is a register under test: its service answers GET and HEAD on /persons/{subject} with the person as a JSON object of the four
// fields, and 404 for others.
type Harness struct {
	Register register.Register
	// Break makes the register unable to answer, as an outage does. It is called last.
	Break func()
}

// Absent is an identifier that no harness may know, and Huge that of a person whose answer has more than register.MaxAnswer bytes.
const (
	Absent = "9ZZZZZZ"
	Huge   = "7HHHHHH"
)

// People are the entries that a harness has to hold. The slice is shared: it is only read.
var People = sync.OnceValue(people)

func people() []Person {
	var out []Person
	for i := range 40 {
		out = append(out, Person{
			PIN: "4B" + strconv.Itoa(10000+i), Surname: []string{"Həsənli", `Quote"d\Back`, "Ünlü <b>", "İsgəndər\u2028"}[i%4],
			City: "Yeniçay " + strconv.Itoa(i), Born: 1950 + i,
		})
	}
	return append(out, Person{PIN: Huge, Surname: strings.Repeat("ə", register.MaxAnswer/2+1), City: "Qarağac", Born: 1901})
}

// Question asks about a person.
func Question(method, pin string) *register.Request {
	return &register.Request{Method: method, Path: "/persons/" + pin, Header: make(http.Header), Subject: countersign.SubjectID{Scheme: "pin", Value: pin}}
}

// Run checks the contract. start makes a fresh register that holds People; it cleans up by t.Cleanup.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	t.Run("answers about each person", func(t *testing.T) { answers(t, start(t).Register) })
	t.Run("an unknown person is an answer", func(t *testing.T) {
		says(t, start(t).Register, Question("GET", Absent), http.StatusNotFound)
	})
	t.Run("an unknown path is an answer", func(t *testing.T) {
		q := Question("GET", "4B10000")
		q.Path = "/persons/4B10000/children"
		says(t, start(t).Register, q, http.StatusNotFound)
	})
	t.Run("a verb that is not offered changes nothing", func(t *testing.T) {
		says(t, start(t).Register, Question("DELETE", "4B10000"), http.StatusMethodNotAllowed)
	})
	t.Run("HEAD has no body", func(t *testing.T) {
		r := start(t).Register
		if body := says(t, r, Question("HEAD", "4B10001"), http.StatusOK); len(body) != 0 {
			t.Errorf("HEAD gave %d bytes", len(body))
		}
		answers(t, r) // the connection is still good
	})
	t.Run("dot segments reach nothing", func(t *testing.T) { dots(t, start(t).Register) })
	t.Run("a large answer is refused", func(t *testing.T) { large(t, start(t).Register) })
	t.Run("questions side by side", func(t *testing.T) { parallel(t, start(t).Register) })
	t.Run("a question given up", func(t *testing.T) { givenUp(t, start(t).Register) })
	t.Run("an outage", func(t *testing.T) { outage(t, start(t)) })
}

func ask(ctx context.Context, r register.Register, q *register.Request) (int, http.Header, []byte, error) {
	a, err := r.Ask(ctx, q)
	if err != nil {
		return 0, nil, nil, err
	}
	body, err := register.ReadBounded(a, 0)
	return a.Status, a.Header, body, err
}

func says(t *testing.T, r register.Register, q *register.Request, status int) []byte {
	t.Helper()
	got, _, body, err := ask(t.Context(), r, q)
	if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Fatalf("status %d, want %d", got, status)
	}
	return body
}

func answers(t *testing.T, r register.Register) {
	t.Helper()
	for _, p := range People() {
		if p.PIN != Huge {
			about(t, r, p)
		}
	}
}

func about(t *testing.T, r register.Register, want Person) {
	t.Helper()
	status, header, body, err := ask(t.Context(), r, Question("GET", want.PIN))
	if err != nil {
		t.Errorf("%s: %v", want.PIN, err)
		return
	}
	if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: status %d, type %q", want.PIN, status, header.Get("Content-Type"))
	}
	var got Person
	if err := json.Unmarshal(body, &got); err != nil || got != want {
		t.Errorf("%s: got %+v (%v), want %+v", want.PIN, got, err, want)
	}
}

func dots(t *testing.T, r register.Register) {
	for _, path := range []string{"/persons/../persons/4B10000", "/x/%2e%2e/persons/4B10000", "/persons/.%2E/persons/4B10000", "/persons/x%2F..%2F4B10000", "/persons/%5C..%5C4B10000"} {
		q := Question("GET", "4B10000")
		q.Path = path
		status, _, body, err := ask(t.Context(), r, q)
		if err == nil && status != http.StatusNotFound {
			t.Errorf("%s: status %d, %d bytes", path, status, len(body))
		}
		if err != nil && countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func large(t *testing.T, r register.Register) {
	_, _, body, err := ask(t.Context(), r, Question("GET", Huge))
	if !errors.Is(err, countersign.CodeUnfilterable) || body != nil {
		t.Errorf("%d bytes and %v, want an unfilterable refusal and nothing", len(body), err)
	}
	about(t, r, People()[0])
}

func parallel(t *testing.T, r register.Register) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				about(t, r, People()[(i*7+j)%40])
			}
		})
	}
	wg.Wait()
}

func givenUp(t *testing.T, r register.Register) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, _, err := ask(ctx, r, Question("GET", "4B10003"))
	if !errors.Is(err, countersign.CodeNetwork) {
		t.Errorf("%v, want a network refusal", err)
	}
	tellsNobody(t, err, "4B10003")
	about(t, r, People()[3])
}

func outage(t *testing.T, h Harness) {
	about(t, h.Register, People()[5])
	h.Break()
	_, _, body, err := ask(t.Context(), h.Register, Question("GET", "4B10005"))
	if !errors.Is(err, countersign.CodeNetwork) && !errors.Is(err, countersign.CodeRegister) {
		t.Errorf("%d bytes and %v, want a network or register refusal", len(body), err)
	}
	tellsNobody(t, err, "4B10005")
}

// tellsNobody walks an error and all its causes for a person's identifier.
func tellsNobody(t *testing.T, err error, pin string) {
	t.Helper()
	if err == nil {
		return
	}
	if strings.Contains(err.Error(), pin) || strings.Contains(countersign.MessageOf(err), pin) {
		t.Errorf("the error names the person: %v", err)
	}
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself
	case interface{ Unwrap() []error }:
		for _, below := range e.Unwrap() {
			tellsNobody(t, below, pin)
		}
	case interface{ Unwrap() error }:
		tellsNobody(t, e.Unwrap(), pin)
	}
}
