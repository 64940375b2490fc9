package law

import (
	"time"

	"countersign.dev/countersign"
)

// bases are articles of invented laws.
func bases() []countersign.LegalBasis {
	law := func(code, article, az, en, ru string) countersign.LegalBasis {
		return countersign.LegalBasis{Code: countersign.BasisCode(code), Law: text(az, en, ru), Article: article}
	}
	return []countersign.LegalBasis{
		law("population-act-14", "14", "Əhali reyestri haqqında Qanun", "Population Register Act", "Закон о реестре населения"),
		law("social-act-9", "9", "Sosial müdafiə haqqında Qanun", "Social Protection Act", "Закон о социальной защите"),
		law("municipal-act-21", "21", "Yerli özünüidarə haqqında Qanun", "Local Government Act", "Закон о местном самоуправлении"),
		law("municipal-act-24", "24", "Yerli özünüidarə haqqında Qanun", "Local Government Act", "Закон о местном самоуправлении"),
		law("road-act-33", "33", "Yol hərəkəti haqqında Qanun", "Road Traffic Act", "Закон о дорожном движении"),
		law("road-act-12", "12", "Yol hərəkəti haqqında Qanun", "Road Traffic Act", "Закон о дорожном движении"),
		law("criminal-procedure-177", "177", "Cinayət-Prosessual Məcəllə", "Code of Criminal Procedure", "Уголовно-процессуальный кодекс"),
		law("health-act-26", "26", "Əhalinin sağlamlığı haqqında Qanun", "Health Protection Act", "Закон об охране здоровья"),
		law("health-act-30", "30", "Əhalinin sağlamlığı haqqında Qanun", "Health Protection Act", "Закон об охране здоровья"),
		law("tax-code-202", "202", "Vergi Məcəlləsi", "Tax Code", "Налоговый кодекс"),
		law("migration-code-45", "45", "Miqrasiya Məcəlləsi", "Migration Code", "Миграционный кодекс"),
		law("statistics-act-11", "11", "Rəsmi statistika haqqında Qanun", "Official Statistics Act", "Закон об официальной статистике"),
		law("data-act-8", "8", "Fərdi məlumatlar haqqında Qanun", "Personal Data Act", "Закон о персональных данных"),
		law("data-act-15", "15", "Fərdi məlumatlar haqqında Qanun", "Personal Data Act", "Закон о персональных данных"),
		law("data-act-19", "19", "Fərdi məlumatlar haqqında Qanun", "Personal Data Act", "Закон о персональных данных"),
		law("service-act-28", "28", "Dövlət qulluğu haqqında Qanun", "Civil Service Act", "Закон о государственной службе"),
		law("defence-act-16", "16", "Hərbi vəzifə haqqında Qanun", "Military Duty Act", "Закон о воинской обязанности"),
		law("weapons-act-7", "7", "Silah haqqında Qanun", "Weapons Act", "Закон об оружии"),
		law("notary-act-40", "40", "Notariat haqqında Qanun", "Notaries Act", "Закон о нотариате"),
		law("demo-rules-1", "1", "Nümunə federasiyasının qaydaları", "Rules of the demo federation", "Правила демонстрационной федерации"),
	}
}

const day = countersign.Duration(24 * time.Hour)

// purposes each have one sentence for the person whose data it is: short, and without the words of the law.
func purposes() []countersign.Purpose {
	const automated, asserted, verified = countersign.AssuranceAutomated, countersign.AssuranceAsserted, countersign.AssuranceVerified
	p := func(code, basis string, a countersign.Assurance, keep countersign.Duration, az, en, ru string) countersign.Purpose {
		return countersign.Purpose{
			Code: countersign.PurposeCode(code), Text: text(az, en, ru), Bases: []countersign.BasisCode{countersign.BasisCode(basis)},
			Assurance: a, Retention: keep,
		}
	}
	// confirmed names the register that says whether a case or treatment of the purpose is open.
	confirmed := func(agency, service string, u countersign.Purpose) countersign.Purpose {
		id := Service(agency, service)
		u.CaseRegister = &id
		return u
	}
	withCase := func(u countersign.Purpose) countersign.Purpose { u.Case = true; return u }
	linked := func(registers int, u countersign.Purpose) countersign.Purpose { u.Linkage = registers; return u }
	polled := func(perMinute, perDay int, u countersign.Purpose) countersign.Purpose {
		u.Polling = &countersign.Polling{PerMinute: perMinute, PerDay: perDay}
		return u
	}
	return []countersign.Purpose{
		confirmed(SOC, "cases", withCase(linked(6, p("benefit-decision", "social-act-9", asserted, 1095*day,
			"Müraciət etdiyiniz müavinət barədə qərar vermək üçün", "To decide on the benefit that you applied for", "Чтобы решить, положено ли вам пособие, о котором вы просили")))),
		p("subsidy-decision", "social-act-9", asserted, 365*day,
			"Kommunal xərclərə güzəşt barədə qərar vermək üçün", "To decide whether your utility bills are subsidised", "Чтобы решить, положена ли вам субсидия на коммунальные услуги"),
		// Looked up, changed and looked up again while the person waits.
		polled(3, 20, p("address-registration", "municipal-act-21", asserted, 365*day,
			"Ünvanınızı qeydə almaq və ya dəyişmək üçün", "To register your address, or change it", "Чтобы зарегистрировать или изменить ваш адрес")),
		p("housing-check", "municipal-act-24", automated, 30*day,
			"Mənzil növbəsində olanların ünvanını ildə bir dəfə yoxlamaq üçün", "To check once a year that people on the housing list still live here", "Чтобы раз в год проверить адреса тех, кто стоит в очереди на жильё"),
		p("property-tax", "tax-code-202", asserted, 1825*day,
			"Əmlak verginizi hesablamaq üçün", "To work out your property tax", "Чтобы рассчитать ваш налог на имущество"),
		p("residence-permit", "migration-code-45", asserted, 1095*day,
			"Yaşamaq icazəniz barədə qərar vermək üçün", "To decide on your residence permit", "Чтобы решить вопрос о вашем виде на жительство"),
		p("vehicle-registration", "road-act-12", asserted, 365*day,
			"Avtomobilinizi və ya sürücülük vəsiqənizi rəsmiləşdirmək üçün", "To register your vehicle or issue your driving licence", "Чтобы оформить ваш автомобиль или водительские права"),
		polled(3, 20, p("traffic-stop", "road-act-33", asserted, 30*day,
			"Yol polisi avtomobili saxladığı üçün", "Because the police stopped a vehicle", "Потому что полиция остановила автомобиль")),
		confirmed(POL, "cases", withCase(linked(6, p("criminal-investigation", "criminal-procedure-177", verified, 1825*day,
			"Cinayət işinin araşdırılması üçün", "To investigate a crime", "Чтобы расследовать преступление")))),
		confirmed(CLN, "treatments", p("treatment", "health-act-26", asserted, 1825*day,
			"Sizi müalicə etmək üçün", "To treat you", "Чтобы вас лечить")),
		// A life does not wait for a window to move on: emergencies have a quota and a review of their own.
		linked(12, p("vital-interests", "health-act-30", asserted, 90*day,
			"Həyatınız təhlükədə olduğu üçün", "Because a life was in danger", "Потому что жизнь была в опасности")),
		p("driver-fitness", "data-act-8", asserted, 90*day,
			"Razılığınızla: sürməyə yararlı olduğunuzu təsdiqləmək üçün", "With your consent: to confirm that you are fit to drive", "С вашего согласия: подтвердить, что вам можно водить"),
		p("diploma-check", "data-act-8", asserted, 90*day,
			"Razılığınızla: diplomunuzu yoxlamaq üçün", "With your consent: to check your diploma", "С вашего согласия: проверить ваш диплом"),
		p("appointment", "service-act-28", asserted, 180*day,
			"Razılığınızla: dövlət qulluğuna qəbul üçün", "With your consent: to appoint you to public service", "С вашего согласия: принять вас на государственную службу"),
		p("refugee-support", "data-act-8", asserted, 365*day,
			"Razılığınızla: sizə köçkün kimi yardım etmək üçün", "With your consent: to help you as a displaced person", "С вашего согласия: помочь вам как переселенцу"),
		p("conscription", "defence-act-16", asserted, 365*day,
			"Hərbi qeydiyyatınızı aparmaq üçün", "To keep your military registration", "Чтобы вести ваш воинский учёт"),
		p("weapon-permit", "weapons-act-7", verified, 365*day,
			"Silah icazəniz barədə qərar vermək üçün", "To decide on your weapon permit", "Чтобы решить вопрос о вашем разрешении на оружие"),
		p("representation", "notary-act-40", asserted, 90*day,
			"Kiminsə sizin adınızdan çıxış edə bildiyini yoxlamaq üçün", "To check that somebody may act for you", "Чтобы проверить, что кто-то может действовать от вашего имени"),
		p("identity-check", "population-act-14", automated, day,
			"Soyadınızın kodunuza uyğun olduğunu yoxlamaq üçün", "To check that your name and code belong together", "Чтобы проверить, что ваша фамилия и код совпадают"),
		// A confirmation is a question to a register too; it must not fail for the questions that it serves.
		linked(8, p("case-confirmation", "data-act-19", automated, day,
			"Sizinlə bağlı işin həqiqətən açıq olduğunu yoxlamaq üçün", "To check that a case about you is really open", "Чтобы проверить, что дело о вас действительно открыто")),
		// The person, by the person's own login; looked at again while reading.
		polled(6, 60, p("own-access", "data-act-15", automated, day,
			"Öz məlumatlarınızı görmək istədiyiniz üçün", "Because you asked to see your own data", "Потому что вы сами захотели увидеть свои данные")),
		p("statistics-open", "statistics-act-11", automated, 3650*day,
			"Açıq məlumat: heç kim haqqında deyil", "Open data, about nobody", "Открытые данные, ни о ком"),
		// About an invented person, asked as often as a test likes.
		polled(1_000_000, 1_000_000_000, p("protocol-test", "demo-rules-1", automated, day,
			"Yalnız nümunə: proqramların əlaqəsini sınamaq üçün", "Demo only: to test that systems understand each other", "Только демо: проверка связи между системами")),
		p("bench", "demo-rules-1", automated, day,
			"Yalnız nümunə: sürəti ölçmək üçün", "Demo only: to measure speed", "Только демо: измерение скорости"),
	}
}
