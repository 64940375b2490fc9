package gallery

import (
	"strconv"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web/page"
)

func text(az, en, ru string) countersign.Text { return countersign.Text{"az": az, "en": en, "ru": ru} }

// directory holds the few words that a real page takes from the signed directory.
var directory = struct{ Name countersign.Text }{
	text("Nümunə ölkəsinin federasiyası", "Federation of the demo country", "Федерация демонстрационной страны"),
}

var (
	pop = text("Əhali reyestri", "Population register", "Реестр населения")
	veh = text("Nəqliyyat vasitələri reyestri", "Vehicle register", "Реестр транспортных средств")
	soc = text("Sosial fond", "Social fund", "Социальный фонд")
	cln = text("Klinika", "Clinic", "Клиника")
	mun = text("Bələdiyyə", "Municipality", "Муниципалитет")
	pol = text("Polis", "Police", "Полиция")
	crt = text("Məhkəmə", "Court", "Суд")
	dpa = text("Fərdi məlumatların mühafizəsi orqanı", "Data-protection authority", "Орган по защите персональных данных")

	benefit  = text("Müraciət etdiyiniz müavinət barədə qərar vermək üçün", "To decide on the benefit that you applied for", "Чтобы решить, положено ли вам пособие, о котором вы просили")
	housing  = text("Mənzil növbəsində olanların ünvanını ildə bir dəfə yoxlamaq üçün", "To check once a year that people on the housing list still live here", "Чтобы раз в год проверить адреса тех, кто стоит в очереди на жильё")
	stop     = text("Yol polisi avtomobili saxladığı üçün", "Because the police stopped a vehicle", "Потому что полиция остановила автомобиль")
	treat    = text("Sizi müalicə etmək üçün", "To treat you", "Чтобы вас лечить")
	vital    = text("Həyatınız təhlükədə olduğu üçün", "Because a life was in danger", "Потому что жизнь была в опасности")
	tax      = text("Əmlak verginizi hesablamaq üçün", "To work out your property tax", "Чтобы рассчитать ваш налог на имущество")
	crime    = text("Cinayət işinin araşdırılması üçün", "To investigate a crime", "Чтобы расследовать преступление")
	identify = text("Soyadınızın kodunuza uyğun olduğunu yoxlamaq üçün", "To check that your name and code belong together", "Чтобы проверить, что ваша фамилия и код совпадают")
	diploma  = text("Razılığınızla: diplomunuzu yoxlamaq üçün", "With your consent: to check your diploma", "С вашего согласия: проверить ваш диплом")
	fitness  = text("Razılığınızla: sürməyə yararlı olduğunuzu təsdiqləmək üçün", "With your consent: to confirm that you are fit to drive", "С вашего согласия: подтвердить, что вам можно водить")
	own      = text("Öz məlumatlarınızın istifadəsinə baxdınız", "You looked at how your data were used", "Вы смотрели, как использовались ваши данные")

	residence = text("Yaşayış yeri", "Residence", "Место жительства")
	family    = text("Ailə: bir pillə qohumlar", "Family, one step away", "Семья, на один шаг")
	identity  = text("Şəxsiyyət: ad, doğum tarixi, sənəd", "Identity: name, birth, document", "Личность: имя, рождение, документ")
	vehicles  = text("Nəqliyyat vasitələri", "Vehicles", "Транспортные средства")
	licence   = text("Sürücülük vəsiqəsi", "Driving licence", "Водительское удостоверение")
	benefits  = text("Pensiya və müavinətlər", "Pensions and benefits", "Пенсии и пособия")
	property  = text("Daşınmaz əmlak", "Property", "Недвижимость")
	health    = text("Sağlamlıq qeydləri", "Health records", "Медицинские записи")
	wanted    = text("Axtarışda olması: bəli və ya yox", "Wanted: yes or no", "В розыске: да или нет")
	education = text("Təhsil və diplomlar", "Education and diplomas", "Образование и дипломы")
	psych     = text("Psixiatriya qeydiyyatı", "Psychiatric register", "Психиатрический учёт")
	crossings = text("Sərhədkeçmələr", "Border crossings", "Пересечения границы")

	officer    = text("Müavinətlər üzrə mütəxəssis", "Benefits officer", "Специалист по пособиям")
	patrol     = text("Patrul əməkdaşı", "Patrol officer", "Сотрудник патруля")
	doctor     = text("Həkim", "Doctor", "Врач")
	ambulance  = text("Təcili yardım həkimi", "Emergency doctor", "Врач скорой помощи")
	assessor   = text("Vergi üzrə mütəxəssis", "Tax assessor", "Специалист по налогам")
	detective  = text("Müstəntiq", "Detective", "Следователь")
	clerk      = text("Bələdiyyə mütəxəssisi", "Municipal clerk", "Специалист муниципалитета")
	programme  = text("Mənzil növbəsinin illik yoxlanması", "Yearly check of the housing list", "Ежегодная проверка очереди на жильё")
	university = text("Universitet", "University", "Университет")

	socialAct   = text("Sosial müdafiə haqqında Qanun", "Social Protection Act", "Закон о социальной защите")
	healthAct   = text("Əhalinin sağlamlığı haqqında Qanun", "Health Protection Act", "Закон об охране здоровья")
	procedure   = text("Cinayət-Prosessual Məcəllə", "Code of Criminal Procedure", "Уголовно-процессуальный кодекс")
	dataAct     = text("Fərdi məlumatlar haqqında Qanun", "Personal Data Act", "Закон о персональных данных")
	municipal   = text("Yerli özünüidarə haqqında Qanun", "Local Government Act", "Закон о местном самоуправлении")
	borderAct   = text("Dövlət sərhədi haqqında Qanun", "State Border Act", "Закон о государственной границе")
	residentsOf = text("Yaşayış qeydiyyatı", "Residence record", "Сведения о месте жительства")
)

// speaker picks the words of a frame's language.
type speaker struct{ f page.Frame }

func (s speaker) in(t countersign.Text) string { return t.In(s.f.Locale.Tag()) }

func (s speaker) all(ts ...countersign.Text) []string {
	var out []string
	for _, t := range ts {
		out = append(out, s.in(t))
	}
	return out
}

// at is an instant of a day that lies some days before now, by the gallery's clocks.
func at(daysAgo, hour, minute int) time.Time {
	d := now.AddDate(0, 0, -daysAgo)
	return time.Date(d.Year(), d.Month(), d.Day(), hour-4, minute, 17, 0, time.UTC)
}

func fields(paths ...string) []countersign.FieldPath {
	var out []countersign.FieldPath
	for _, p := range paths {
		out = append(out, countersign.FieldPath(p))
	}
	return out
}

const (
	verified  = countersign.AssuranceVerified
	asserted  = countersign.AssuranceAsserted
	automated = countersign.AssuranceAutomated
	released  = countersign.OutcomeReleased
	refused   = countersign.OutcomeRefused
)

// handles gives entries names that look as they do in a session.
func handle(n int) page.Handle { return page.Handle("e" + strconv.Itoa(7000+n*37)) }

func (s speaker) benefitEntry() page.Entry {
	return page.Entry{
		Handle: handle(1), When: at(1, 14, 5), Asker: page.Asker{Agency: s.in(soc), Role: s.in(officer), Assurance: asserted},
		Holder: s.in(pop), Service: s.in(residentsOf), Purpose: s.in(benefit), Categories: s.all(residence, family), Outcome: released,
		Mandate: countersign.MandateRelation, Notices: []page.Notice{page.NoticeRelated},
		Fields: fields("/address", "/address/city", "/address/street", "/address/house", "/address/flat", "/since", "/householdSize",
			"/children", "/children/*/pin", "/children/*/givenName", "/children/*/birthDate", "/spouse/pin", "/spouse/surname"),
	}
}

func (s speaker) curiousEntry() page.Entry {
	return page.Entry{
		Handle: handle(2), When: at(1, 21, 47), Asker: page.Asker{Agency: s.in(mun), Role: s.in(clerk), Assurance: asserted},
		Holder: s.in(soc), Service: s.in(benefits), Purpose: s.in(benefit), Categories: s.all(benefits), Outcome: refused,
		Reasons: []countersign.Code{countersign.CodeNoMandate}, Notices: []page.Notice{page.NoticeCase},
	}
}

func (s speaker) emergencyEntry() page.Entry {
	return page.Entry{
		Handle: handle(3), When: at(0, 3, 12), Asker: page.Asker{Agency: s.in(cln), Role: s.in(ambulance), Assurance: verified},
		Holder: s.in(cln), Service: s.in(health), Purpose: s.in(vital), Categories: s.all(health), Special: true, Outcome: released,
		Mandate: countersign.MandateEmergency, Notices: []page.Notice{page.NoticeEmergency, page.NoticeUnwitnessed},
		Fields: fields("/resourceType", "/entry/*/resource[Condition]/code/coding/*/display", "/entry/*/resource[Condition]/clinicalStatus/coding/*/code"),
	}
}

func (s speaker) warrantEntry() page.Entry {
	return page.Entry{
		Handle: handle(4), When: at(96, 10, 30), Asker: page.Asker{Agency: s.in(pol), Role: s.in(detective), Assurance: verified},
		Holder: s.in(mun), Service: s.in(property), Purpose: s.in(crime), Categories: s.all(property), Outcome: released,
		Mandate: countersign.MandateWarrant, Notices: []page.Notice{page.NoticeDelayed},
		Fields: fields("/properties/*/kind", "/properties/*/address/city", "/properties/*/address/street"),
	}
}

func (s speaker) failedProofEntry() page.Entry {
	e := s.simple(5, at(4, 16, 20), mun, assessor, pop, tax, residence)
	e.Notices = []page.Notice{page.NoticeProof}
	e.Seen = page.SeenUnpaired
	return e
}

// simple is an entry without anything unusual.
func (s speaker) simple(n int, when time.Time, by, role, holder, why countersign.Text, what ...countersign.Text) page.Entry {
	return page.Entry{
		Handle: handle(n), When: when, Asker: page.Asker{Agency: s.in(by), Role: s.in(role), Assurance: asserted}, Holder: s.in(holder),
		Service: s.in(holder), Purpose: s.in(why), Categories: s.all(what...), Outcome: released, Fields: fields("/address/city", "/address/street"),
	}
}

// selfEntry is the person's own look.
func (s speaker) selfEntry(n int, when time.Time) page.Entry {
	return page.Entry{
		Handle: handle(n), When: when, Asker: page.Asker{Self: true}, Holder: s.f.T("product"), Purpose: s.in(own), Outcome: released,
	}
}

func (s speaker) sources(bad bool) []page.Source {
	var out []page.Source
	for i, a := range []countersign.Text{pop, veh, soc, cln, mun, pol} {
		out = append(out, page.Source{Agency: s.in(a), State: page.SourceAnswered, Entries: 3 + i})
	}
	if bad {
		out[3].State = page.SourceSlow
		out[1].State, out[1].Since = page.SourceDead, at(0, 9, 2)
	}
	return out
}

func (s speaker) filter() page.Filter {
	choices := func(ts ...countersign.Text) []page.Choice {
		var out []page.Choice
		for i, t := range ts {
			out = append(out, page.Choice{Value: "c" + strconv.Itoa(i), Label: s.in(t)})
		}
		return out
	}
	return page.Filter{
		Agencies: choices(pop, veh, soc, cln, mun, pol), Purposes: choices(benefit, housing, stop, treat, vital, tax, crime, identify, diploma),
		Categories: choices(residence, family, identity, vehicles, licence, benefits, property, health, wanted, education),
	}
}

const years = 365 * 24 * time.Hour

func (s speaker) timeline() page.Timeline {
	patient := s.simple(11, at(3, 9, 15), cln, doctor, cln, treat, health)
	patient.Special, patient.Mandate = true, countersign.MandateRelation
	patient.Asker.Assurance = verified
	plate := s.simple(12, at(6, 18, 40), pol, patrol, veh, stop, vehicles, identity)
	plate.Notices = []page.Notice{page.NoticeRelated}
	wantedCheck := s.simple(13, at(6, 18, 40), pol, patrol, pol, stop, wanted)
	behalf := s.simple(14, at(7, 11, 2), soc, officer, mun, benefit, property)
	behalf.Asker.OnBehalfOf = []string{s.in(mun)}
	checks := page.Item{Kind: page.GroupProgramme, Programme: s.in(programme)}
	for i := range 3 {
		e := s.simple(20+i, at(9, 4, 10+i), mun, clerk, pop, housing, residence)
		e.Asker.Role, e.Asker.Assurance, e.Mandate = "", automated, countersign.MandateProgramme
		checks.Entries = append([]page.Entry{e}, checks.Entries...)
	}
	tries := page.Item{Kind: page.GroupRefusals}
	for i := range 4 {
		e := s.curiousEntry()
		e.Handle, e.When = handle(30+i), at(1, 21, 47-3*i)
		tries.Entries = append(tries.Entries, e)
	}
	dropped := s.simple(15, at(9, 15, 33), pol, patrol, veh, stop, licence)
	dropped.Seen = page.SeenProviderOnly
	one := func(es ...page.Entry) []page.Item {
		var out []page.Item
		for _, e := range es {
			out = append(out, page.Item{Entries: []page.Entry{e}})
		}
		return out
	}
	return page.Timeline{
		Asked: now, Sources: s.sources(false), Filter: s.filter(), Total: 143, Refused: 6, From: 1, Until: 16, Older: "older1",
		DelayCap: 2 * years, Kept: 3653 * 24 * time.Hour, Destroyed: 48_211,
		Days: []page.Day{
			{Date: at(0, 12, 0), Items: one(s.selfEntry(40, at(0, 15, 20)), s.emergencyEntry())},
			{Date: at(1, 12, 0), Items: append([]page.Item{tries}, one(s.benefitEntry())...)},
			{Date: at(3, 12, 0), Items: one(patient)},
			{Date: at(6, 12, 0), Items: one(wantedCheck, plate)},
			{Date: at(7, 12, 0), Items: one(behalf)},
			{Date: at(9, 12, 0), Items: append(one(dropped), checks)},
		},
	}
}
