package law

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"

	"countersign.dev/countersign"
)

// offer is one service while it is being written down.
type offer struct{ countersign.Service }

// published begins a service of a register, as its owner declares it in the catalogue.
func published(agency, code string, name countersign.Text) *offer {
	e := catalogue()[agency+"/"+code]
	o := offered(agency, code, name)
	o.Subject, o.Endpoints, o.Fields = e.subject, e.endpoints, e.fields
	return o
}

// offered begins a service that no register publishes: those of the demo alone.
func offered(agency, code string, name countersign.Text) *offer {
	return &offer{countersign.Service{ID: Service(agency, code), Text: name, Subject: countersign.Selector{From: countersign.SubjectNone}}}
}

// about says where the request's path names the person.
func (o *offer) about(variable string) *offer {
	o.Subject = countersign.Selector{From: countersign.SubjectInRequest, Scheme: "pin", In: "path", Name: variable}
	return o
}

// at adds operations, each "METHOD /path".
func (o *offer) at(operations ...string) *offer {
	for _, op := range operations {
		method, path, _ := strings.Cut(op, " ")
		o.Endpoints = append(o.Endpoints, countersign.Endpoint{Method: method, Path: path})
	}
	return o
}

// in declares fields of one category.
func (o *offer) in(category, fields string) *offer {
	for f := range strings.FieldsSeq(fields) {
		o.Fields = append(o.Fields, countersign.Field{Path: countersign.FieldPath(f), Category: countersign.CategoryCode(category)})
	}
	return o
}

// lets grants fields to clients, by agency code or "*", for reading.
func (o *offer) lets(clients, purpose, fields string) *offer {
	o.Grants = append(o.Grants, countersign.Grant{
		Purpose: countersign.PurposeCode(purpose), Clients: desks(clients), Fields: o.with(fields), Methods: []string{http.MethodGet},
	})
	return o
}

// with adds to a field list the members of a problem document (RFC 9457), if the register may answer with one: they say nothing about the
// person, and without them nobody learns that a code is unknown.
func (o *offer) with(fields string) []countersign.FieldPath {
	list := paths(fields)
	for _, p := range paths(problemMembers) {
		if slices.ContainsFunc(o.Fields, func(f countersign.Field) bool { return f.Path == p }) {
			list = append(list, p)
		}
	}
	return countersign.SortFields(list)
}

// letsWrite grants a method with the fields of its body and of its answer.
func (o *offer) letsWrite(clients, purpose, method, writes, fields string) *offer {
	o.Grants = append(o.Grants, countersign.Grant{
		Purpose: countersign.PurposeCode(purpose), Clients: desks(clients), Fields: o.with(fields), Writes: paths(writes), Methods: []string{method},
	})
	return o
}

func desks(codes string) []string {
	var out []string
	for _, c := range strings.Fields(codes) {
		if c != "*" {
			c = Client(c).String()
		}
		out = append(out, c)
	}
	return out
}

func paths(fields string) []countersign.FieldPath {
	var out []countersign.FieldPath
	for _, f := range strings.Fields(fields) {
		out = append(out, countersign.FieldPath(f))
	}
	return countersign.SortFields(out)
}

// under writes out the leaves of one object.
func under(base, leaves string) string {
	names := strings.Fields(leaves)
	for i, n := range names {
		names[i] = base + "/" + n
	}
	return strings.Join(names, " ")
}

// services finishes all services: sorted fields, and the assessment of the personal ones.
func services() []countersign.Service {
	all := slices.Concat(population(), vehicles(), welfare(), clinic(), municipality(), police())
	out := make([]countersign.Service, len(all))
	for i, o := range all {
		s := &o.Service
		for _, f := range s.Fields {
			if !slices.Contains(s.Categories, f.Category) {
				s.Categories = append(s.Categories, f.Category)
			}
		}
		slices.Sort(s.Categories)
		slices.SortFunc(s.Fields, func(a, b countersign.Field) int { return strings.Compare(string(a.Path), string(b.Path)) })
		ownAccess(s)
		if s.Subject.From != countersign.SubjectNone {
			sum := countersign.Digest(sha256.Sum256(Assessment(s)))
			s.Assessment = &sum
		}
		out[i] = *s
	}
	return out
}

func population() []*offer {
	home := under("/address", address)
	name := "/pin /surname /givenName /patronymic /birthDate"
	relative := "pin surname givenName birthDate sex"
	return []*offer{
		published(POP, "person", text("Şəxs", "A person", "Человек")).
			lets(SOC, "benefit-decision", name+" /maritalStatus "+home).
			lets(SOC, "subsidy-decision", name+" "+home).
			lets(MUN, "address-registration", name+" "+home).
			letsWrite(MUN, "address-registration", http.MethodPut, "/region /city /street /house /flat /postcode /since", "/pin /since "+home).
			lets(MUN, "property-tax", "/pin /surname /givenName /patronymic "+home).
			lets(MUN, "residence-permit", name+" /sex /citizenship /birthplace/region "+home).
			lets(VEH, "vehicle-registration", name+" "+home+" /document/number /document/expiresOn").
			lets(POL, "traffic-stop", name+" /photoDigest /document/number /document/expiresOn").
			lets(POL, "criminal-investigation", name+" /sex /photoDigest "+home).
			lets(CLN, "treatment", "/pin /surname /givenName /birthDate /sex").
			lets(CLN, "vital-interests", "/pin /surname /givenName /birthDate /sex "+home),
		published(POP, "residence", text("Yaşayış yeri", "Residence", "Место жительства")).
			lets(SOC, "benefit-decision", "/pin /since /householdSize "+home).
			lets(SOC, "subsidy-decision", "/pin /householdSize "+home).
			lets(MUN, "address-registration", "/pin /since "+home).
			lets(MUN, "property-tax", "/pin "+home).
			lets(MUN, "housing-check", "/since /address/region /address/city").
			lets(CLN, "treatment", "/pin "+home).
			lets(POL, "criminal-investigation", "/pin /since "+home),
		published(POP, "family", text("Ailə", "Family", "Семья")).
			lets(SOC, "benefit-decision", "/pin /children "+under("/spouse", "pin since")+" "+under("/children/*", "pin birthDate")).
			lets(POL, "criminal-investigation", "/pin /children /parents "+under("/spouse", relative)+" "+under("/children/*", relative)+" "+under("/parents/*", relative)).
			lets(CLN, "vital-interests", "/pin "+under("/spouse", "pin surname givenName")+" "+under("/parents/*", "pin surname givenName")),
		published(POP, "check", text("Soyad bu koda uyğundurmu", "Does this surname belong to this code", "Принадлежит ли фамилия этому коду")).
			letsWrite("POP VEH SOC CLN MUN POL", "identity-check", http.MethodPost, "/pin /surname", "/match"),
		offered(POP, "benchperson", text("Nümunə: sürət ölçmə", "Demo only: to measure speed", "Только демо: для измерения скорости")).
			about("pin").at("GET /{pin}").
			in("test-personal", "/pin /surname /name /patronymic /born /birthplace /note "+under("/document", "series number issued validUntil")+" "+
				under("/address", "region street house flat")).
			lets(MUN, "bench", benchFields),
		offered(POP, "echo-personal", text("Nümunə: əks-səda, uydurma şəxs", "Demo only: echo about an invented person", "Только демо: эхо о вымышленном человеке")).
			about("pin").at(each("/{pin}", personalVerbs())...).at(each("/{pin}/**", personalVerbs())...).
			in("test-personal", echoFields).
			letsAll("*", "protocol-test", personalVerbs(), echoFields),
	}
}

// benchFields are the five of fourteen fields that the yardstick's purpose allows.
const benchFields = "/pin /surname /name /born /address/region"

// echoFields are what the personal echo may answer and be sent: flat, nested, in a list.
const echoFields = "/pin /surname /name /born /note /count /flag /address/region /address/city /list /list/* /items /items/*/name /items/*/value"

// each writes one path under several verbs.
func each(path string, verbs []string) []string {
	var out []string
	for _, v := range verbs {
		out = append(out, v+" "+path)
	}
	return out
}

func personalVerbs() []string {
	return []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
}

func openVerbs() []string { return append(personalVerbs(), http.MethodOptions) }

// letsAll grants the fields under several methods, for reading and writing.
func (o *offer) letsAll(clients, purpose string, methods []string, fields string) *offer {
	o.Grants = append(o.Grants, countersign.Grant{
		Purpose: countersign.PurposeCode(purpose), Clients: desks(clients), Fields: o.with(fields), Writes: paths(fields), Methods: methods,
	})
	return o
}

// letsWhole grants the whole body of an open service to everyone.
func (o *offer) letsWhole(purpose string, methods ...string) *offer {
	o.Grants = append(o.Grants, countersign.Grant{
		Purpose: countersign.PurposeCode(purpose), Clients: []string{"*"}, Fields: []countersign.FieldPath{"*"}, Methods: methods,
	})
	return o
}

func vehicles() []*offer {
	vehicle := "plate vin make model year colour registeredOn"
	return []*offer{
		published(VEH, "vehicles", text("Şəxsin nəqliyyat vasitələri", "Vehicles of a person", "Транспорт человека")).
			lets(SOC, "benefit-decision", "/pin /vehicles "+under("/vehicles/*", "make model year share")).
			lets(POL, "traffic-stop", "/pin /vehicles "+under("/vehicles/*", "plate make model colour")).
			lets(POL, "criminal-investigation", "/pin /vehicles "+under("/vehicles/*", vehicle)),
		published(VEH, "plate", text("Nömrə nişanı üzrə avtomobil və sahibləri", "Vehicle and owners by number plate", "Автомобиль и владельцы по номеру")).
			lets(POL, "traffic-stop", "/plate /make /model /colour /owners "+under("/owners/*", "pin surname givenName")+" /company/code /company/name"),
		published(VEH, "licence", text("Sürücülük vəsiqəsi", "Driving licence", "Водительское удостоверение")).
			lets(POL, "traffic-stop", "/pin /held "+under("/licence", "number expiresOn status categories categories/*")),
		published(VEH, "statistics", text("Nəqliyyat statistikası", "Vehicles by make and model", "Статистика транспорта")).
			letsWhole("statistics-open", http.MethodGet),
	}
}

func welfare() []*offer {
	return []*offer{
		published(SOC, "benefits", text("Pensiya və müavinətlər", "Pensions and benefits", "Пенсии и пособия")).
			lets(SOC, "benefit-decision", "/pin /benefits "+under("/benefits/*", "kind status monthly/amount monthly/currency")),
		published(SOC, "employment", text("Əmək müqavilələri", "Employment contracts", "Трудовые договоры")).
			lets(MUN, "residence-permit", "/pin /contracts "+under("/contracts/*", "employer/name from to")).
			lets(POL, "criminal-investigation", "/pin /contracts "+under("/contracts/*", "employer/name position from to")),
		published(SOC, "aid", text("Sənədsiz şəxslərə yardım", "Aid to people without papers", "Помощь людям без документов")).
			lets(MUN, "refugee-support", "/case /kind /status /openedOn"),
		caseRegister(SOC, "cases", "case"),
	}
}

// caseRegister answers whether a case is open for a person, and nothing else: that is how a relation is confirmed.
func caseRegister(agency, code, name string) *offer {
	o := published(agency, code, text("Bu iş bu şəxs üçün açıqdırmı", "Is this case open for this person", "Открыто ли это дело для этого человека")).
		lets("POP VEH SOC CLN MUN POL", "case-confirmation", "/"+name+" /pin /open")
	// Registers ask by themselves, before they answer a question that stands on a case.
	for _, asking := range Agencies() {
		o.Grants[0].Clients = append(o.Grants[0].Clients, Provider(asking).String())
	}
	return o
}

// caseRegisters are the registers that confirm relations.
func caseRegisters() []countersign.ServiceID {
	return []countersign.ServiceID{Service(SOC, "cases"), Service(CLN, "treatments"), Service(POL, "cases")}
}

func clinic() []*offer {
	const entry = "/entry/*/resource"
	conditions := "/resourceType /type /entry " + under(entry+"[Condition]", "id clinicalStatus/coding/*/code code/coding/*/system code/coding/*/code code/coding/*/display")
	episodes := under(entry+"[EpisodeOfCare]", "id status period/start period/end type/*/text diagnosis/*/condition/reference")
	visits := under(entry+"[Encounter]", "id status class/code period/start period/end reasonCode/*/text")
	return []*offer{
		published(CLN, "records", text("Müalicə və qəbul qeydləri", "Treatments and visits", "Лечение и приёмы")).
			lets(CLN, "treatment", conditions+" "+episodes+" "+visits).
			lets("CLN POL", "vital-interests", conditions).
			lets(POL, "criminal-investigation", conditions+" "+episodes),
		caseRegister(CLN, "treatments", "treatment"),
	}
}

func municipality() []*offer {
	property := "kind areaSquareMetres share"
	return []*offer{
		published(MUN, "property", text("Şəxsin daşınmaz əmlakı", "Homes and land of a person", "Недвижимость человека")).
			lets(SOC, "benefit-decision", "/pin /properties "+under("/properties/*", property)).
			lets(MUN, "property-tax", "/pin /properties "+under("/properties/*", "parcel "+property)).
			lets(POL, "criminal-investigation", "/pin /properties "+under("/properties/*", "kind "+under("address", address))),
		published(MUN, "permits", text("Yaşamaq icazələri", "Residence permits", "Виды на жительство")).
			lets("MUN POP", "residence-permit", "/pin /permits "+under("/permits/*", "number kind issuedOn expiresOn status")),
		published(MUN, "companies", text("Şirkət kodu üzrə", "Legal person by code", "Юридическое лицо по коду")).
			letsWhole("statistics-open", http.MethodGet),
		published(MUN, "opendata", text("Açıq məlumat: torpaq sahələri", "Open data: land parcels", "Открытые данные: участки земли")).
			letsWhole("statistics-open", http.MethodGet, http.MethodHead),
		offered(MUN, "echo", text("Nümunə: açıq əks-səda", "Demo only: open echo", "Только демо: открытое эхо")).
			inWhole("test-open").at(each("", openVerbs())...).at(each("/**", openVerbs())...).letsWhole("protocol-test", openVerbs()...),
	}
}

// inWhole says what the body of an open service without declared fields is about.
func (o *offer) inWhole(category string) *offer {
	o.Categories = append(o.Categories, countersign.CategoryCode(category))
	return o
}

func police() []*offer {
	return []*offer{
		caseRegister(POL, "cases", "case"),
		published(POL, "wanted", text("Bu şəxs axtarışdadırmı", "Is this person wanted", "В розыске ли этот человек")).
			lets(POL, "traffic-stop", "/wanted").
			lets(POL, "criminal-investigation", "/wanted"),
	}
}
