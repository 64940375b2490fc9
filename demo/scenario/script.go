package scenario

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync/atomic"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
)

// script writes the questions. People are chosen by number, so that another performance on the same folder asks about the same ones; officials
// are of this performance alone.
type script struct {
	*Play
	people []country.PIN // everybody but the one whom profile asks about
	asked  int           // people chosen so far
}

func newScript(p *Play) *script {
	s := &script{Play: p}
	for _, pin := range p.People.PINs {
		if pin != p.People.Cast.Celebrity.PIN {
			s.people = append(s.people, pin)
		}
	}
	return s
}

// anyone is the next person in the register.
func (s *script) anyone() string {
	s.asked++
	return string(s.people[s.asked*37%len(s.people)])
}

// official names an official of this performance. There are enough of them that none looks up more people than one may in an hour.
func (s *script) official(desk string, n int) string { return fmt.Sprintf("%s-%s-%d", desk, s.Run, n) }

// chance is a person of this performance alone: officials who are nobody share one budget, whatever the performance.
func (s *script) chance() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.Run)) // a hash takes everything
	return string(s.people[h.Sum64()%uint64(len(s.people))])
}

// bases are what the purposes of these questions go with.
var bases = map[string]string{
	"benefit-decision": "social-act-9", "address-registration": "municipal-act-21", "housing-check": "municipal-act-24", "property-tax": "tax-code-202",
	"residence-permit": "migration-code-45", "vehicle-registration": "road-act-12", "traffic-stop": "road-act-33", "treatment": "health-act-26",
	"criminal-investigation": "criminal-procedure-177", "vital-interests": "health-act-30", "identity-check": "population-act-14",
	"case-confirmation": "data-act-19", "protocol-test": "demo-rules-1", "bench": "demo-rules-1", "statistics-open": "statistics-act-11",
}

// about is an ordinary question about a person: from an official of an agency, to a service, for a purpose.
func (s *script) about(person, from, of, code, purpose string, n int) question {
	return question{
		what: from + " asks " + of + "/" + code + " for " + purpose, from: from, of: of, code: code, tail: "/" + person,
		purpose: purpose, basis: bases[purpose], official: s.official("desk", n/5),
	}
}

// document is a JSON body.
func document(fields map[string]any) []byte {
	b, err := json.Marshal(fields)
	if err != nil {
		return nil // strings and numbers always marshal
	}
	return b
}

// each makes every question a chain of its own.
func each(all ...question) [][]question {
	out := make([][]question, len(all))
	for i := range all {
		out[i] = all[i : i+1]
	}
	return out
}

// ordinary are questions that agencies ask every day, each of which must be answered.
func (s *script) ordinary() [][]question {
	var all []question
	add := func(times int, from, of, code, purpose string, w want) {
		for i := range times {
			q := s.about(s.anyone(), from, of, code, purpose, i)
			q.want = w
			all = append(all, q)
		}
	}
	add(24, law.MUN, law.POP, "residence", "property-tax", want{status: 200, holds: `"street"`, lacks: "householdSize"})
	add(14, law.MUN, law.POP, "person", "property-tax", want{status: 200, holds: `"surname"`, lacks: "birthDate"})
	add(8, law.MUN, law.MUN, "property", "property-tax", want{})
	add(8, law.MUN, law.SOC, "employment", "residence-permit", want{lacks: "position"})
	add(6, law.MUN, law.POP, "person", "address-registration", want{status: 200, lacks: "maritalStatus"})
	add(12, law.VEH, law.POP, "person", "vehicle-registration", want{status: 200, holds: `"document"`, lacks: "photoDigest"})
	add(10, law.CLN, law.POP, "person", "treatment", want{status: 200, holds: `"birthDate"`, lacks: "street"})
	add(6, law.CLN, law.POP, "residence", "treatment", want{status: 200})
	add(8, law.POL, law.VEH, "licence", "traffic-stop", want{})
	add(8, law.POL, law.VEH, "vehicles", "traffic-stop", want{lacks: "vin"})
	add(8, law.POL, law.POP, "person", "traffic-stop", want{status: 200, holds: `"photoDigest"`, lacks: "street"})
	add(6, law.POL, law.POL, "wanted", "traffic-stop", want{})
	add(6, law.POP, law.MUN, "permits", "residence-permit", want{})
	all = append(all, s.programme()...)
	all = append(all, s.cases()...)
	all = append(all, s.named()...)
	all = append(all, s.open()...)
	out := each(all...)
	for i := range 5 {
		out = append(out, s.benefit(i))
	}
	return append(out, s.move(s.anyone()))
}

// programme is legitimate volume: a client without an official, under a programme that the directory's bodies have signed.
func (s *script) programme() (all []question) {
	for range 8 {
		q := s.about(s.anyone(), law.MUN, law.POP, "residence", "housing-check", 0)
		q.official, q.want = "", want{status: 200, holds: `"city"`, lacks: "street"}
		all = append(all, q)
	}
	return all
}

// benefit is one decision of the social fund: all that it needs about the applicant, under the applicant's case, which its register confirms to each
// provider.
func (s *script) benefit(n int) (chain []question) {
	for _, ask := range []struct{ of, code, lacks string }{
		{law.POP, "person", "photoDigest"}, {law.POP, "residence", ""}, {law.POP, "family", "surname"}, {law.VEH, "vehicles", "plate"},
		{law.MUN, "property", "parcel"}, {law.SOC, "benefits", "openedOn"},
	} {
		q := s.about(string(s.People.Cast.Applicant.PIN), law.SOC, ask.of, ask.code, "benefit-decision", 5*n)
		q.file, q.want = string(s.People.Cast.Applicant.Case), want{status: 200, lacks: ask.lacks}
		chain = append(chain, q)
	}
	return chain
}

// move registers a new address: read, write, read by another official.
func (s *script) move(person string) []question {
	before := s.about(person, law.MUN, law.POP, "residence", "address-registration", 0)
	write := s.about(person, law.MUN, law.POP, "person", "address-registration", 0)
	write.what, write.method, write.tail = "MUN registers an address", "PUT", "/"+person+"/address"
	write.body = document(map[string]any{
		"region": "Demoabad", "city": "Demoabad", "street": "Witness Street", "house": "7", "flat": "3", "postcode": "DM1000", "since": "2025-12-01",
	})
	write.want = want{status: 200, holds: "Witness Street"}
	after := s.about(person, law.MUN, law.POP, "residence", "address-registration", 40)
	after.want = want{status: 200, holds: "Witness Street"}
	return []question{before, write, after}
}

// cases are confirmations that a case is open: every agency asks the three that have cases.
func (s *script) cases() (all []question) {
	cast := &s.People.Cast
	for _, from := range law.Agencies() {
		for _, c := range []struct{ of, code, file, person string }{
			{law.SOC, "cases", string(cast.Applicant.Case), string(cast.Applicant.PIN)},
			{law.CLN, "treatments", string(cast.Patient.Treatment), string(cast.Patient.PIN)},
			{law.POL, "cases", string(cast.Suspect.Case), string(cast.Suspect.PIN)},
		} {
			q := s.about(c.person, from, c.of, c.code, "case-confirmation", 0)
			q.tail = "/" + c.file + "?pin=" + c.person
			q.want = want{status: 200, holds: `"open":true`, lacks: "kind"}
			all = append(all, q)
		}
	}
	return all
}

// named are questions about people of the cast, whose answers are known.
func (s *script) named() (all []question) {
	cast := &s.People.Cast
	for i, from := range law.Agencies() {
		match := s.about("", from, law.POP, "check", "identity-check", i)
		match.method, match.tail, match.body = "POST", "", document(map[string]any{"pin": cast.Driver.PIN, "surname": cast.Driver.Surname})
		match.want = want{status: 200, holds: `"match":true`}
		other := match
		other.body, other.want = document(map[string]any{"pin": cast.Parent.PIN, "surname": cast.Driver.Surname + "x"}), want{status: 200, holds: `"match":false`}
		echo := s.about("ECHO00"+fmt.Sprint(i), from, law.POP, "echo-personal", "protocol-test", i)
		echo.method, echo.body, echo.want.status = "POST", document(map[string]any{"name": "Aysel", "count": 1}), 200
		all = append(all, match, other, echo)
	}
	plate := func(p string) question { return s.about(p, law.POL, law.VEH, "plate", "traffic-stop", 0) }
	one, two, none := plate(string(cast.Driver.Plate)), plate(string(cast.CoOwner.Plate)), plate(string(cast.UnknownPlate))
	one.want = want{status: 200, holds: string(cast.Driver.PIN)}
	two.want = want{status: 200, holds: string(cast.CoOwner.PIN)}
	none.want.status = 404
	mistyped := s.about(cast.MistypedPIN, law.MUN, law.POP, "residence", "property-tax", 0)
	mistyped.what, mistyped.want.status = "MUN mistypes a code, and the register finds it", 400
	unknown := s.about(string(cast.UnknownPIN), law.MUN, law.POP, "residence", "property-tax", 0)
	unknown.what, unknown.want.status = "MUN asks about nobody", 404
	return append(all, one, two, none, mistyped, unknown)
}

// open are questions about nobody: open data under standing declarations, and the metadata services.
func (s *script) open() (all []question) {
	for _, from := range law.Agencies() {
		data := func(of, code, tail string) question {
			return question{what: from + " reads open data", from: from, of: of, code: code, tail: tail, want: want{status: 200}}
		}
		head := data(law.MUN, "opendata", "/parcels?bytes=1000")
		head.method = "HEAD"
		all = append(all, data(law.MUN, "companies", "/"+string(s.People.Cast.Company)), data(law.VEH, "statistics", "/models"), head)
		list := data(from, "listMethods", "")
		list.what = "somebody lists the services of an agency"
		if from == law.POP {
			list.from = law.MUN
		} else {
			list.from = law.POP
		}
		all = append(all, list)
	}
	rights := question{what: "POL asks what it may ask of POP", from: law.POL, of: law.POP, code: "allowedMethods", want: want{status: 200, holds: "residence"}}
	paper := question{what: "VEH reads a description", from: law.VEH, of: law.POP, code: "getOpenAPI", tail: "?serviceCode=person", want: want{status: 200, holds: "openapi"}}
	stream := question{what: "VEH is streamed open data", from: law.VEH, of: law.MUN, code: "opendata", tail: "/parcels?bytes=2097152", want: want{status: 200}}
	all = append(all, rights, paper, stream)
	standing := s.about("", law.CLN, law.POP, "check", "", 0)
	standing.what, standing.method, standing.tail, standing.official = "CLN asks by a standing declaration", "POST", "", ""
	standing.body = document(map[string]any{"pin": s.chance(), "surname": "Nobody"})
	standing.want = want{status: 200, holds: `"match":false`}
	return append(all, standing)
}

// visitors are questions without end, each of which is answered or meets a gateway that is down.
func (s *script) visitors(desk string) func() question {
	var n atomic.Int64
	return func() question {
		i := int(n.Add(1))
		q := s.about(string(s.people[i*53%len(s.people)]), law.MUN, law.POP, "residence", "property-tax", 0)
		q.what, q.official, q.want.outage = "MUN asks while a gateway is killed", s.official(desk, i/40), true
		return q
	}
}

// down are questions to the population register while its gateway is gone.
func (s *script) down() []question {
	var all []question
	for i, from := range []struct{ agency, code, purpose string }{
		{law.MUN, "residence", "property-tax"}, {law.VEH, "person", "vehicle-registration"}, {law.CLN, "person", "treatment"}, {law.POL, "person", "traffic-stop"},
	} {
		q := s.about(string(s.people[i*59%len(s.people)]), from.agency, law.POP, from.code, from.purpose, 60)
		q.what, q.want.code = from.agency+" asks a gateway that is down", countersign.CodeNetwork
		all = append(all, q)
	}
	still := s.about(string(s.People.Cast.Driver.PIN), law.POL, law.VEH, "licence", "traffic-stop", 60)
	still.what, still.want = "POL asks another register meanwhile", want{status: 200, holds: `"held":true`}
	return append(all, still)
}
