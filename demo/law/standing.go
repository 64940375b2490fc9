package law

import (
	"strings"
	"time"

	"countersign.dev/countersign"
)

// standing are the declarations for clients that cannot state a purpose. They reach open data and one yes/no answer about a person.
func standing() []countersign.StandingDeclaration {
	var list []countersign.StandingDeclaration
	declare := func(client string, service countersign.ServiceID, purpose, basis string) {
		list = append(list, countersign.StandingDeclaration{
			Client: Client(client), Service: service, Purpose: countersign.PurposeCode(purpose), Basis: countersign.BasisCode(basis),
		})
	}
	for _, client := range Agencies() {
		declare(client, Service(MUN, "opendata"), "statistics-open", "statistics-act-11")
		declare(client, Service(MUN, "companies"), "statistics-open", "statistics-act-11")
		declare(client, Service(VEH, "statistics"), "statistics-open", "statistics-act-11")
		declare(client, Service(MUN, "echo"), "protocol-test", "demo-rules-1")
		declare(client, Service(POP, "echo-personal"), "protocol-test", "demo-rules-1")
	}
	declare(CLN, Service(POP, "check"), "identity-check", "population-act-14")
	for _, provider := range Agencies() {
		for _, register := range caseRegisters() {
			list = append(list, countersign.StandingDeclaration{
				Client: Provider(provider), Service: register, Purpose: "case-confirmation", Basis: "data-act-19",
			})
		}
	}
	return list
}

// programmes are volume that a law asks for, and the yardstick.
func programmes(at time.Time) []countersign.Programme {
	from := at.UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)
	until := from.AddDate(10, 0, 0)
	list := []countersign.Programme{
		{
			ID:     "housing-check-yearly",
			Text:   text("Mənzil növbəsinin illik yoxlaması", "Yearly check of the housing list", "Ежегодная проверка очереди на жильё"),
			Client: Client(MUN), Service: Service(POP, "residence"), Purpose: "housing-check", Basis: "municipal-act-24",
			Fields:     paths("/since /address/region /address/city"),
			Population: "people on the municipality's housing list, each once a year", PerHour: 500, From: from, Until: until,
		},
		{
			ID:     "bench",
			Text:   text("Nümunə: sürət ölçmə", "Demo only: to measure speed", "Только демо: измерение скорости"),
			Client: Client(MUN), Service: Service(POP, "benchperson"), Purpose: "bench", Basis: "demo-rules-1", Fields: paths(benchFields),
			Population: "invented people", PerHour: 1_000_000_000, From: from, Until: until,
		},
	}
	for _, provider := range Agencies() {
		for _, register := range caseRegisters() {
			name := "case"
			if register.Code == CLN {
				name = "treatment"
			}
			list = append(list, countersign.Programme{
				ID:     countersign.ProgrammeID("confirm-" + strings.ToLower(provider+"-"+register.Code)),
				Text:   text("Cavabdan əvvəl işin açıq olmasının yoxlanması", "Check that a case is open before answering", "Проверка перед ответом, что дело открыто"),
				Client: Provider(provider), Service: register, Purpose: "case-confirmation", Basis: "data-act-19",
				Fields: paths("/" + name + " /pin /open " + problemMembers), Population: "people named in questions that stand on a case",
				PerHour: 100_000, From: from, Until: until,
			})
		}
	}
	return list
}
