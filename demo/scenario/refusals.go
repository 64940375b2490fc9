package scenario

import (
	"bytes"
	"fmt"
	"net/http"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/xroad"
)

// refusals are questions that must be refused, each for a reason of its own.
func (s *script) refusals() [][]question {
	var all []question
	for _, group := range [][]question{s.authority(), s.subjects(), s.shapes(), s.strangers(), s.registers()} {
		all = append(all, group...)
	}
	return append(each(all...), s.twice(), s.profile(), s.curious())
}

// tax is the question that the refusals spoil: the municipality asks where somebody lives.
func (s *script) tax(what string, code countersign.Code, spoil func(*question)) question {
	q := s.about(s.anyone(), law.MUN, law.POP, "residence", "property-tax", 100)
	q.what, q.want.code = what, code
	if spoil != nil {
		spoil(&q)
	}
	return q
}

// authority: no purpose, no basis, no grant, no cell, no mandate, no official.
func (s *script) authority() []question {
	who := s.anyone()
	cast := &s.People.Cast
	file := func(q question) question { q.file = "CASE-1"; return q }
	benefit := func(person country.PIN, file country.CaseID) question {
		q := s.about(string(person), law.SOC, law.POP, "person", "benefit-decision", 100)
		q.file = string(file)
		return q
	}
	refused := func(q question, what string, code countersign.Code) question {
		q.what, q.want.code = what, code
		return q
	}
	return []question{
		s.tax("no purpose", countersign.CodeNoPurpose, func(q *question) { q.purpose, q.basis = "", "" }),
		s.tax("a purpose in free text", countersign.CodeUnknownPurpose, func(q *question) { q.purpose = "just looking" }),
		s.tax("a legal basis in free text", countersign.CodeUnknownBasis, func(q *question) { q.basis = "because" }),
		s.tax("a purpose without a legal basis", countersign.CodeUnknownBasis, func(q *question) { q.basis = "" }),
		s.tax("a legal basis of another purpose", countersign.CodeUnknownBasis, func(q *question) { q.basis = bases["treatment"] }),
		s.tax("no official where one is due", countersign.CodeAssurance, func(q *question) { q.official = "" }),
		s.tax("an official without letters and digits", countersign.CodeAssurance, func(q *question) { q.official = "-- --" }),
		refused(s.about(who, law.VEH, law.POP, "residence", "property-tax", 100), "no grant for this client", countersign.CodeAccessDenied),
		refused(s.about(who, law.SOC, law.POP, "residence", "housing-check", 100), "another client's programme", countersign.CodeAccessDenied),
		refused(s.about(who, law.MUN, law.VEH, "vehicles", "property-tax", 100), "a blank cell of the matrix", countersign.CodeForbiddenCell),
		refused(s.about(who, law.MUN, law.CLN, "records", "property-tax", 100), "health records for a tax", countersign.CodeForbiddenCell),
		refused(s.about(who, law.SOC, law.POP, "person", "benefit-decision", 100), "no case where one is due", countersign.CodeNoMandate),
		refused(benefit(cast.Neighbour.PIN, cast.Applicant.Case), "somebody else's case", countersign.CodeMandateInvalid),
		refused(benefit(cast.FormerApplicant.PIN, cast.FormerApplicant.Case), "a case that is closed", countersign.CodeMandateInvalid),
		refused(benefit(cast.Bystander.PIN, cast.UnknownCase), "a case that was invented", countersign.CodeMandateInvalid),
		refused(s.about(who, law.CLN, law.CLN, "records", "treatment", 100), "no consent", countersign.CodeNoMandate),
		refused(s.about(who, law.CLN, law.POP, "family", "vital-interests", 100), "an emergency that nobody declared", countersign.CodeNoMandate),
		refused(file(s.about(who, law.POL, law.POP, "family", "criminal-investigation", 100)), "an official who is not identified well enough", countersign.CodeAssurance),
		refused(file(s.about(who, law.POL, law.CLN, "records", "criminal-investigation", 100)), "no warrant", countersign.CodeAssurance),
		refused(s.about(who, law.MUN, law.POP, "person", "traffic-stop", 100), "another agency's purpose", countersign.CodeAccessDenied),
	}
}

// subjects: nobody, several, not one.
func (s *script) subjects() []question {
	check := func(what string, code countersign.Code, contentType string, body []byte) question {
		q := s.about("", law.POL, law.POP, "check", "identity-check", 100)
		q.what, q.method, q.tail, q.body, q.want.code = what, http.MethodPost, "", body, code
		q.header = map[string]string{"Content-Type": contentType}
		return q
	}
	cast := &s.People.Cast
	two := s.about("", law.MUN, law.SOC, "cases", "case-confirmation", 100)
	two.what, two.tail = "two people in the query", fmt.Sprintf("/%s?pin=%s&pin=%s", cast.Applicant.Case, cast.Applicant.PIN, cast.Patient.PIN)
	two.want.code = countersign.CodeNoSubject
	none := two
	none.what, none.tail = "nobody in the query", "/"+string(cast.Applicant.Case)
	fleet := s.about(string(cast.FleetPlate), law.POL, law.VEH, "plate", "traffic-stop", 100)
	fleet.what, fleet.want.code = "an answer about nobody from a service about people", countersign.CodeUnfilterable
	return []question{
		two, none, fleet,
		check("nobody in the body", countersign.CodeNoSubject, "application/json", document(map[string]any{"surname": "A"})),
		check("a list of people", countersign.CodeNoSubject, "application/json", document(map[string]any{"pin": []any{cast.Driver.PIN, cast.Parent.PIN}, "surname": "A"})),
		check("a body that is not JSON", countersign.CodeUnsupportedMedia, "text/plain", []byte("pin=1")),
		s.tax("a code that is too short", countersign.CodeNoSubject, func(q *question) { q.tail = "/ABC" }),
		s.tax("a wildcard", countersign.CodeNoSubject, func(q *question) { q.tail = "/*" }),
	}
}

// shapes: requests that do not keep to the service or to the protocol.
func (s *script) shapes() []question {
	write := func(what string, code countersign.Code, contentType string, body []byte) question {
		q := s.about(s.anyone(), law.MUN, law.POP, "person", "address-registration", 100)
		q.what, q.method, q.tail, q.body, q.want.code = what, http.MethodPut, q.tail+"/address", body, code
		q.header = map[string]string{"Content-Type": contentType}
		return q
	}
	large := append(append([]byte(`{"street":"`), bytes.Repeat([]byte("a"), 4<<20)...), `"}`...)
	over := write("a body over the bound", countersign.CodeTooLarge, "application/json", large)
	over.header["Expect"] = "100-continue" // the refusal comes before the body is sent
	return []question{
		write("a field that may not be written", countersign.CodeBadRequest, "application/json", document(map[string]any{"street": "A", "surname": "B"})),
		write("a body of another kind", countersign.CodeUnsupportedMedia, "text/plain", []byte("street=A")),
		over,
		s.tax("an encoded body", countersign.CodeUnsupportedMedia, func(q *question) { q.header = map[string]string{"Content-Encoding": "gzip"} }),
		s.tax("a method that the service has not", countersign.CodeUnknownService, func(q *question) { q.method = http.MethodDelete }),
		s.tax("a method that the protocol has not", countersign.CodeBadRequest, func(q *question) { q.method = "BREW" }),
		s.tax("a path that climbs", countersign.CodeBadRequest, func(q *question) { q.tail = "/%2e%2e" + q.tail }),
		s.tax("a path of another protocol version", countersign.CodeBadRequest, func(q *question) { q.raw = "/r2/" + xroad.EncodeService(q.service()) + q.tail }),
		s.tax("no client", countersign.CodeBadRequest, func(q *question) { q.header = map[string]string{xroad.HeaderClient: ""} }),
		s.tax("a gateway of another name", countersign.CodeUnknownMember, func(q *question) {
			q.header = map[string]string{xroad.HeaderSecurityServer: "DEMO/GOV/POP/elsewhere"}
		}),
		s.tax("a gateway of another member", countersign.CodeUnknownMember, func(q *question) {
			q.header = map[string]string{xroad.HeaderSecurityServer: "DEMO/GOV/VEH/gw1"}
		}),
	}
}

// strangers: systems, members and services that are not who they say, or are not at all.
func (s *script) strangers() []question {
	return []question{
		s.tax("no token", countersign.CodeUnauthenticated, func(q *question) { q.header = map[string]string{headerToken: ""} }),
		s.tax("a wrong token", countersign.CodeUnauthenticated, func(q *question) { q.header = map[string]string{headerToken: "guess"} }),
		s.tax("another agency's client", countersign.CodeUnauthenticated, func(q *question) {
			q.header = map[string]string{xroad.HeaderClient: xroad.EncodeSubsystem(law.Client(law.POL))}
		}),
		s.tax("a service that is not offered", countersign.CodeUnknownService, func(q *question) { q.code = "everything" }),
		s.tax("a member that does not exist", countersign.CodeUnknownMember, func(q *question) { q.raw = "/r1/DEMO/GOV/NSA/registry/all/" + s.anyone() }),
		s.tax("another federation's service", countersign.CodeUnknownMember, func(q *question) { q.raw = "/r1/ELSE/GOV/POP/registry/residence/" + s.anyone() }),
	}
}

// registers: services whose register is out of use, or answers what cannot be let through.
func (s *script) registers() []question {
	bench := s.about("B000001", law.MUN, law.POP, "benchperson", "bench", 0)
	bench.what, bench.official, bench.want.code = "a service out of use", "", countersign.CodeServiceDisabled
	echo := func(do, what string, code countersign.Code, n int) question {
		q := s.about(fmt.Sprintf("ECHO1%02d", n), law.SOC, law.POP, "echo-personal", "protocol-test", 100)
		q.what, q.tail, q.want.code = what, q.tail+"?do="+do, code
		return q
	}
	return []question{
		bench,
		echo("text", "an answer that cannot be filtered", countersign.CodeUnfilterable, 1),
		echo("twice", "an answer that can be read in two ways", countersign.CodeUnfilterable, 2),
		echo("huge", "an answer over the bound", countersign.CodeUnfilterable, 3),
		echo("hang-up", "a register that hangs up", countersign.CodeNetwork, 4),
	}
}

// twice: the same official, the same service, the same person, within a minute.
func (s *script) twice() []question {
	first := s.tax("", "", func(q *question) {
		q.what, q.official, q.want = "MUN asks once", s.official("impatient", 0), want{status: 200}
	})
	again := first
	again.what, again.want = "asking again within the minute", want{code: countersign.CodeBudget}
	disguised := again
	disguised.what, disguised.official = "asking again under another spelling of the official", "Impatient "+s.Run+" 0"
	return []question{first, again, disguised}
}

// profile: one person in more registers than a day allows, each question in order by itself.
func (s *script) profile() []question {
	cast := &s.People.Cast
	person := string(cast.Celebrity.PIN)
	kase := func(of, code, file string) question {
		q := s.about(person, law.MUN, of, code, "case-confirmation", 120)
		q.tail = "/" + file + "?pin=" + person
		return q
	}
	last := s.about(person, law.MUN, law.POP, "person", "property-tax", 120)
	last.what, last.want.code = "a person in a fifth register within the day", countersign.CodeBudget
	return []question{
		kase(law.SOC, "cases", string(cast.UnknownCase)), kase(law.CLN, "treatments", string(cast.Patient.Treatment)),
		kase(law.POL, "cases", string(cast.Suspect.Case)), s.about(person, law.MUN, law.MUN, "property", "property-tax", 120), last,
	}
}

// curious: an official who looks up more people in an hour than work asks for.
func (s *script) curious() []question {
	const most = 60
	var all []question
	for i := range most + 1 {
		q := s.about(fmt.Sprintf("ECHO2%02d", i), law.MUN, law.POP, "echo-personal", "protocol-test", 0)
		q.what, q.official, q.want.status = "an official looks up one after the other", s.official("curious", 0), http.StatusOK
		if i == most {
			q.what, q.want = "a sixty-first person within the hour", want{code: countersign.CodeBudget}
		}
		all = append(all, q)
	}
	return all
}
