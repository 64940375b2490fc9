// Package law is the legal order of the demo's fictional country, as its federation would sign it: kinds of data with their protective
// classes, laws, purposes with the sentence that a person reads, the matrix that says which purpose may touch which kind of data, the
// registers' services and who is granted which fields, and the bodies and agencies themselves.
//
// It is a worked default. A federation of a real country starts from it and narrows it; every law named here is invented.
// [Document] gives a directory that lacks only what is made on each machine: keys, addresses and logs.
package law

import (
	"time"

	"countersign.dev/countersign"
)

// Instance is the federation's code in identifiers.
const Instance = "DEMO"

// Member codes of the agencies. Each provides its services under the subsystem [Registry] and asks from the subsystem [Desk].
const (
	POP = "POP" // population register
	VEH = "VEH" // vehicle register
	SOC = "SOC" // social fund
	CLN = "CLN" // clinic
	MUN = "MUN" // municipality
	POL = "POL" // police
)

// Subsystem codes.
const (
	Registry = "registry" // provides
	Desk     = "desk"     // asks
)

// Document gives the directory of the fictional country, version 1, without keys, URLs, gateways and logs: whoever makes a federation fills
// them in, in Bodies, Members, Witnesses and Log. Programmes run for ten years from the day before at.
func Document(at time.Time) *countersign.Directory {
	return &countersign.Directory{
		Format: 1, Instance: Instance, Version: 1, Demo: true,
		Name:       text("Nümunə ölkəsinin federasiyası", "Federation of the demo country", "Федерация демонстрационной страны"),
		Bodies:     bodies(),
		Schemes:    schemes(),
		Members:    members(),
		Categories: categories(),
		Bases:      bases(),
		Purposes:   purposes(),
		Matrix:     matrix(),
		Services:   services(),
		Standing:   standing(),
		Programmes: programmes(at),
		Rules:      rules(),
		Witnesses:  witnesses(),
		Quorum:     2,
	}
}

func text(az, en, ru string) countersign.Text {
	return countersign.Text{"az": az, "en": en, "ru": ru}
}

// Member gives the identifier of an agency: the clinic is of the class MED, the others of GOV.
func Member(code string) countersign.MemberID {
	class := "GOV"
	if code == CLN {
		class = "MED"
	}
	return countersign.MemberID{Instance: Instance, Class: class, Code: code}
}

// Client gives the subsystem from which an agency asks.
func Client(code string) countersign.SubsystemID {
	return countersign.SubsystemID{MemberID: Member(code), Subsystem: Desk}
}

// Provider gives the subsystem from which an agency answers, and asks case registers before it does.
func Provider(code string) countersign.SubsystemID {
	return countersign.SubsystemID{MemberID: Member(code), Subsystem: Registry}
}

// Service gives the identifier of a service of an agency's register.
func Service(code, service string) countersign.ServiceID {
	return countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: Member(code), Subsystem: Registry}, Service: service}
}

// Agencies lists the codes of the agencies.
func Agencies() []string { return []string{POP, VEH, SOC, CLN, MUN, POL} }

// schemes has the identifier of the country's people, and that of people who have none: the number of one case, which begins with the agency's code.
func schemes() []countersign.Scheme {
	return []countersign.Scheme{{
		Name: "pin", Text: text("Fərdi identifikasiya nömrəsi", "Personal code", "Личный код"),
		Strip: " -", Upper: true, Pattern: `[0-9A-Z]{7}`,
	}, {
		Name: countersign.SchemeCase, Text: text("İşin nömrəsi", "Case number", "Номер дела"),
		Strip: " ", Upper: true, Pattern: `[A-Z]{3}-[0-9A-Z-]{4,32}`,
	}}
}

func members() []countersign.Member {
	agency := func(code string, name countersign.Text) countersign.Member {
		return countersign.Member{ID: Member(code), Text: name, Roles: []countersign.Role{countersign.RoleAgency}, Subsystems: []countersign.Subsystem{
			{Code: Registry, Text: text("Reyestr", "Register", "Реестр")},
			{Code: Desk, Text: text("Xidmət masası", "Service desk", "Приёмная")},
		}}
	}
	other := func(code string, role countersign.Role, name countersign.Text) countersign.Member {
		return countersign.Member{ID: Member(code), Text: name, Roles: []countersign.Role{role}}
	}
	portal := other("POR", countersign.RolePortal, text("Vətəndaş portalı", "People's portal", "Портал для людей"))
	portal.Subsystems = []countersign.Subsystem{{Code: Portal().Subsystem, Text: portal.Text}}
	return []countersign.Member{
		agency(POP, text("Əhali reyestri", "Population register", "Реестр населения")),
		agency(VEH, text("Nəqliyyat vasitələri reyestri", "Vehicle register", "Реестр транспортных средств")),
		agency(SOC, text("Sosial fond", "Social fund", "Социальный фонд")),
		agency(CLN, text("Klinika", "Clinic", "Клиника")),
		agency(MUN, text("Bələdiyyə", "Municipality", "Муниципалитет")),
		agency(POL, text("Polis", "Police", "Полиция")),
		other("CRT", countersign.RoleCourt, text("Məhkəmə", "Court", "Суд")),
		other("DPA", countersign.RoleOverseer, text("Fərdi məlumatların mühafizəsi orqanı", "Data-protection authority", "Орган по защите персональных данных")),
		other("OPR", countersign.RoleOperator, text("Kataloqun operatoru", "Operator of the directory", "Оператор каталога")),
		portal,
	}
}

// bodies are the five that sign the directory; three are needed. None of them owns a register.
func bodies() []countersign.Body {
	return []countersign.Body{
		{Name: "parliament", Text: text("Parlamentin komissiyası", "Commission of parliament", "Комиссия парламента")},
		{Name: "judiciary", Text: text("Məhkəmə-hüquq şurası", "Judicial council", "Судебный совет")},
		{Name: "ombudsman", Text: text("Ombudsman", "Ombudsman", "Омбудсман")},
		{Name: "data-protection", Text: text("Fərdi məlumatların mühafizəsi orqanı", "Data-protection authority", "Орган по защите персональных данных")},
		{Name: "bar", Text: text("Vəkillər kollegiyası", "Bar association", "Коллегия адвокатов")},
	}
}

// witnesses are three organisations that cosign the logs; two of them make a quorum.
func witnesses() []countersign.Witness {
	return []countersign.Witness{
		{Name: "university", Organisation: "University"},
		{Name: "press", Organisation: "Press council"},
		{Name: "archive", Organisation: "National archive"},
	}
}

// rules are Cedar policies that narrow what the matrix permits.
func rules() []countersign.Rule {
	return []countersign.Rule{
		{
			ID: "traffic-stops-by-police",
			Text: text("Yolda yoxlama yalnız polis tərəfindən aparılır", "Only the police stop traffic",
				"Остановку на дороге проводит только полиция"),
			Policy: `forbid (principal, action == Action::"ask", resource) when { context.purpose == "traffic-stop" } unless { principal in Member::"DEMO/GOV/POL" };`,
		},
		{
			ID: "warrants-in-person",
			Text: text("Məhkəmə qərarı başqasının adından istifadə edilə bilməz", "A warrant is not used on somebody else's behalf",
				"Судебный ордер не используется от чужого имени"),
			Policy: `forbid (principal, action == Action::"ask", resource) when { context.mandate == "warrant" && context.represented };`,
		},
		{
			ID: "health-not-for-municipality",
			Text: text("Bələdiyyə sağlamlıq qeydlərini soruşmur", "The municipality does not ask for health records",
				"Муниципалитет не запрашивает медицинские записи"),
			Policy: `forbid (principal in Member::"DEMO/GOV/MUN", action == Action::"ask", resource) when { context.categories.contains("health-records") };`,
		},
	}
}
