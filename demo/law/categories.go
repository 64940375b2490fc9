package law

import "countersign.dev/countersign"

// categories are all kinds of data of DATA-CLASSES with their classes. Where that table gives one holder's data two classes, there are two
// categories, so that neither borrows the other's class.
func categories() []countersign.Category {
	var list []countersign.Category
	add := func(class countersign.Class, special bool, code, az, en, ru string) {
		list = append(list, countersign.Category{Code: countersign.CategoryCode(code), Text: text(az, en, ru), Class: class, Special: special})
	}
	const (
		o, r, c, cw, w, n = countersign.ClassOpen, countersign.ClassRelation, countersign.ClassConsent, countersign.ClassConsentWarrant,
			countersign.ClassWarrant, countersign.ClassNever
		special, ordinary = true, false
	)

	// Population and civil registry
	add(r, ordinary, "identity", "Şəxsiyyət: ad, doğum tarixi, sənəd", "Identity: name, birth, document", "Личность: имя, рождение, документ")
	add(r, ordinary, "photo", "Foto", "Photo", "Фотография")
	add(r, ordinary, "residence", "Yaşayış yeri", "Residence", "Место жительства")
	add(r, ordinary, "family", "Ailə: bir pillə qohumlar", "Family, one step away", "Семья, на один шаг")
	add(r, ordinary, "civil-acts", "Doğum, nikah, atalıq aktları", "Births, marriages, paternity", "Рождения, браки, отцовство")
	add(r, ordinary, "name-changes", "Ad dəyişiklikləri", "Name changes", "Перемены имени")
	// Traffic police
	add(r, ordinary, "driving-licence", "Sürücülük vəsiqəsi", "Driving licence", "Водительское удостоверение")
	add(r, ordinary, "vehicles", "Nəqliyyat vasitələri", "Vehicles", "Транспортные средства")
	// Migration service
	add(r, ordinary, "stateless-identity", "Vətəndaşlığı olmayan şəxsin şəxsiyyəti", "Identity of stateless people", "Личность лиц без гражданства")
	add(r, ordinary, "citizenship", "Vətəndaşlıq", "Citizenship", "Гражданство")
	add(r, ordinary, "residence-permits", "Yaşamaq və işləmək icazələri", "Residence and work permits", "Разрешения на жительство и работу")
	add(w, ordinary, "travel-bans", "Giriş və çıxış qadağaları", "Bans on entry and exit", "Запреты на въезд и выезд")
	add(c, ordinary, "refugee-status", "Qaçqın və məcburi köçkün statusu", "Refugee and displaced status", "Статус беженца и переселенца")
	add(w, ordinary, "migration-history", "Miqrasiya tarixçəsi", "Migration history", "История миграции")
	// Border guard, carriers
	add(w, ordinary, "border-crossings", "Sərhədkeçmələr", "Border crossings", "Пересечения границы")
	add(w, ordinary, "passenger-data", "Sərnişin məlumatları", "Passenger data", "Данные пассажиров")
	add(w, ordinary, "regional-travel", "Ölkədaxili səfərlər", "Travel within the country", "Поездки внутри страны")
	// Courts, prisons, police
	add(cw, special, "convictions", "Həbs və məhkumluqlar", "Detention and convictions", "Заключение и судимости")
	add(cw, special, "judgments", "Məhkəmə qərarları", "Judgments", "Судебные решения")
	add(r, ordinary, "wanted", "Axtarışda olması: bəli və ya yox", "Wanted: yes or no", "В розыске: да или нет")
	add(w, special, "wanted-details", "Axtarışın təfərrüatı", "Why somebody is wanted", "Подробности розыска")
	add(w, special, "criminal-cases", "Cinayət işləri", "Criminal cases", "Уголовные дела")
	add(r, ordinary, "weapons", "Mülki silahlar", "Civilian weapons", "Гражданское оружие")
	add(n, special, "live-video", "Canlı video", "Live video", "Видео в реальном времени")
	// Notaries, defence
	add(r, ordinary, "powers-of-attorney", "Etibarnamələr", "Powers of attorney", "Доверенности")
	add(r, ordinary, "military-registration", "Hərbi qeydiyyat", "Military registration", "Воинский учёт")
	// Labour and social fund
	add(c, ordinary, "martyr-family", "Şəhid ailəsi statusu", "Martyr-family status", "Статус семьи погибшего")
	add(r, ordinary, "employment", "Əmək müqavilələri", "Employment contracts", "Трудовые договоры")
	add(r, ordinary, "benefits", "Pensiya və müavinətlər", "Pensions and benefits", "Пенсии и пособия")
	// Health
	add(r, special, "health-treatment", "Davam edən müalicənin qeydləri", "Records within a treatment", "Записи в рамках лечения")
	add(cw, special, "health-records", "Sağlamlıq qeydləri", "Health records", "Медицинские записи")
	add(n, special, "psychiatric", "Psixiatriya qeydiyyatı", "Psychiatric register", "Психиатрический учёт")
	add(n, special, "narcological", "Narkologiya qeydiyyatı", "Narcological register", "Наркологический учёт")
	add(c, special, "fitness-certificate", "Yararlılıq arayışı: yararlı və ya yararsız", "Certificate: fit or unfit", "Справка о годности: годен или нет")
	// Education, public employer
	add(c, ordinary, "education", "Təhsil və diplomlar", "Education and diplomas", "Образование и дипломы")
	add(c, ordinary, "civil-servant-career", "Dövlət qulluqçusunun xidmət yolu", "Career of a civil servant", "Служебный путь госслужащего")
	// Utilities
	add(w, ordinary, "utilities", "Elektrik, su və qaz abunəliyi", "Electricity, water and gas subscriptions", "Абонементы на свет, воду и газ")
	add(c, ordinary, "utility-subsidy", "Kommunal güzəşt yoxlaması", "Check for a subsidy on utilities", "Проверка субсидии на коммунальные услуги")
	// Tax and business register
	add(o, ordinary, "company", "Şirkət məlumatları", "Company data", "Данные компаний")
	add(r, ordinary, "taxpayer", "Fiziki şəxs vergi ödəyicisi", "Natural person as taxpayer", "Физическое лицо как налогоплательщик")
	add(r, ordinary, "income", "Gəlir", "Income", "Доход")
	// Religious affairs, tourism, regulators
	add(o, ordinary, "religious-organisation", "Qeydə alınmış dini qurum", "Registered religious organisation", "Зарегистрированная религиозная организация")
	add(n, special, "religious-membership", "Dini mənsubiyyət", "Religious membership", "Принадлежность к религии")
	add(o, ordinary, "tourism-licence", "Turizm lisenziyası", "Licence of a tour operator", "Лицензия туроператора")
	add(w, ordinary, "guest-lists", "Qonaq siyahıları", "Guest lists", "Списки гостей")
	add(o, ordinary, "radio-licence", "Radio lisenziyası", "Radio licence", "Радиолицензия")
	add(r, ordinary, "drones", "Mülki dronlar", "Civil drones", "Гражданские дроны")
	// Cadastre, banks, telecoms
	add(r, ordinary, "property", "Daşınmaz əmlak", "Property", "Недвижимость")
	add(w, ordinary, "bank", "Bank məlumatları", "Bank data", "Банковские данные")
	add(w, ordinary, "communications-metadata", "Rabitə metaməlumatları", "Communications metadata", "Метаданные связи")
	add(w, ordinary, "location", "Yerləşmə", "Location", "Местоположение")
	// Nobody
	add(n, special, "face-templates", "Üz şablonları", "Face templates", "Шаблоны лиц")
	add(n, ordinary, "online-activity", "Onlayn fəaliyyət", "Online activity", "Поведение в сети")
	add(n, ordinary, "risk-scores", "Risk balları", "Risk scores", "Оценки риска")
	add(n, ordinary, "predictions", "Proqnozlar", "Predictions", "Прогнозы")
	add(n, ordinary, "loyalty-categories", "Loyallıq kateqoriyaları", "Loyalty categories", "Категории лояльности")

	// What the exchange itself and open data need
	add(r, ordinary, "case-register", "İşin açıq olması: bəli və ya yox", "Whether a case is open: yes or no", "Открыто ли дело: да или нет")
	add(o, ordinary, "vehicle-statistics", "Nəqliyyat vasitələrinin sayı", "Numbers of vehicles", "Число транспортных средств")
	add(o, ordinary, "parcels", "Torpaq sahələri, sahibsiz", "Land parcels without owners", "Участки земли без владельцев")
	add(o, ordinary, "test-open", "Nümunə: açıq sınaq məlumatı", "Demo only: open test data", "Только демо: открытые данные для проверки")
	add(r, ordinary, "test-personal", "Nümunə: uydurma şəxs", "Demo only: an invented person", "Только демо: вымышленный человек")
	return list
}
