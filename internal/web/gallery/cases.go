package gallery

import (
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web/page"
)

const days = 24 * time.Hour

func (s speaker) caseSummary(state page.CaseState) page.CaseSummary {
	c := page.CaseSummary{
		Handle: "case1", Number: "C-2026-0042", Kind: page.CaseObject, State: state, Against: s.in(mun), Opened: at(1, 9, 47), Due: now.Add(29 * days),
		About: s.in(text("Müavinətləriniz dörd dəfə soruşulub, cavab verilməyib", "Your benefits were asked for four times, and refused", "О ваших пособиях спрашивали четыре раза, и каждый раз был отказ")),
	}
	c.Waiting = state == page.CaseAnswered
	if state != page.CaseOpen {
		c.Opened = at(60, 9, 47)
	}
	return c
}

func (s speaker) correction(state page.CaseState) page.CaseSummary {
	return page.CaseSummary{
		Handle: "case2", Number: "C-2025-0311", Kind: page.CaseCorrect, State: state, Against: s.in(pop), Opened: at(140, 10, 0), Due: now.Add(6 * days),
		About: s.in(text("Ünvanda ev nömrəsi", "House number in the address", "Номер дома в адресе")),
	}
}

func (s speaker) cases() page.Cases {
	overdue := s.caseSummary(page.CaseOverdue)
	overdue.Number, overdue.Against = "C-2026-0007", s.in(pol)
	answered := s.caseSummary(page.CaseAnswered)
	answered.Number, answered.Against = "C-2026-0031", s.in(soc)
	return page.Cases{Cases: []page.CaseSummary{answered, s.caseSummary(page.CaseOpen), overdue, s.correction(page.CaseUpheld)}}
}

var (
	complaint = text("Mənim orada açıq işim yoxdur. Xahiş edirəm, kimin və niyə soruşduğunu izah edəsiniz.",
		"I have no open case there. Please explain who asked, and why four times in ten minutes.",
		"У меня там нет открытого дела. Прошу объяснить, кто спрашивал и почему четыре раза за десять минут.")
	answer = text("Əməkdaş səhv nömrə daxil edib. Ona xəbərdarlıq edilib.",
		"The clerk had typed a wrong number. She has been cautioned.",
		"Сотрудница ввела неверный номер. Ей сделано предупреждение.")
	appeal = text("Dörd dəfə səhv nömrə yazılmır.", "Nobody mistypes the same number four times.", "Один и тот же номер не путают четыре раза.")
	ruling = text("Sorğular əsassız olub. Orqan əməkdaşın giriş hüququnu dayandırmalıdır.",
		"There was no ground for the questions. The organisation must suspend the clerk’s access.",
		"Оснований для запросов не было. Учреждение должно приостановить доступ сотрудницы.")
)

func (s speaker) steps(upTo int) []page.CaseStep {
	all := []page.CaseStep{
		{When: at(60, 9, 47), By: page.PartyPerson, Kind: page.StepOpened, Text: s.in(complaint), Proof: page.ProofHolds, Receipt: "s1"},
		{When: at(59, 10, 5), By: page.PartyAgency, Name: s.in(mun), Kind: page.StepReceived, Proof: page.ProofHolds, Receipt: "s2"},
		{When: at(40, 16, 30), By: page.PartyAgency, Name: s.in(mun), Official: "R. Təhməzli", Kind: page.StepRejected, Text: s.in(answer), Proof: page.ProofHolds, Receipt: "s3"},
		{When: at(38, 8, 12), By: page.PartyPerson, Kind: page.StepAppealed, Text: s.in(appeal), Proof: page.ProofHolds, Receipt: "s4"},
		{When: at(10, 12, 0), By: page.PartyBody, Name: s.in(dpa), Official: "S. Əliyarlı", Kind: page.StepUpheld, Text: s.in(ruling), Proof: page.ProofHolds, Receipt: "s5"},
	}
	return all[:upTo]
}

func (s speaker) openCase() page.Case {
	e := s.curiousEntry()
	c := page.Case{Summary: s.caseSummary(page.CaseOpen), Entry: &e, ClockFrom: at(1, 9, 47), Steps: s.steps(2), MayReply: true, MayWithdraw: true}
	c.Steps[0].When, c.Steps[1].When = at(1, 9, 47), at(0, 10, 5)
	c.Steps[1].Proof = page.ProofPromised
	return c
}

func (s speaker) answeredCase() page.Case {
	e := s.curiousEntry()
	e.When = at(61, 21, 47)
	return page.Case{Summary: s.caseSummary(page.CaseAnswered), Entry: &e, ClockFrom: now.Add(-40 * days), Steps: s.steps(3), MayReply: true, MayAppeal: true, MayWithdraw: true}
}

func (s speaker) overdueCase() page.Case {
	c := page.Case{Summary: s.caseSummary(page.CaseOverdue), ClockFrom: now.Add(-31 * days), Steps: s.steps(2), MayReply: true, MayWithdraw: true}
	c.Summary.Due = now.Add(-6 * time.Hour)
	c.Steps = append(c.Steps, page.CaseStep{When: at(1, 9, 47), By: page.PartyClock, Kind: page.StepEscalated, Proof: page.ProofHolds})
	return c
}

func (s speaker) appealedCase() page.Case {
	return page.Case{Summary: s.caseSummary(page.CaseAppealed), ClockFrom: now.Add(-38 * days), Steps: s.steps(4), MayReply: true, MayWithdraw: true}
}

func (s speaker) upheldCase() page.Case {
	digest := func(b byte) (d countersign.Digest) {
		for i := range d {
			d[i] = b + byte(i)*7
		}
		return d
	}
	steps := s.steps(5)
	for i := range steps {
		if steps[i].Name == s.in(mun) {
			steps[i].Name = s.in(pop)
		}
	}
	steps = append(steps, page.CaseStep{When: at(8, 11, 0), By: page.PartyAgency, Name: s.in(pop), Kind: page.StepCorrected, Before: digest(1), After: digest(90), Proof: page.ProofHolds, Receipt: "s6"})
	return page.Case{Summary: s.correction(page.CaseUpheld), Register: s.in(pop), Field: "/address/house", Steps: steps}
}

func (s speaker) newCase(kind page.CaseKind, wrong bool) page.NewCase {
	n := page.NewCase{
		Kind: kind, Handle: "e7074", Against: s.in(mun), ReplyDays: 30,
		Grounds: []page.CaseGround{page.GroundNoReason, page.GroundNotMyCase, page.GroundTooMuch, page.GroundKnown, page.GroundConsent, page.GroundOther},
	}
	if kind == page.CaseCorrect {
		n.Register, n.Handle, n.Against = s.in(pop), "reg1", s.in(pop)
		n.Fields = fields("/surname", "/givenName", "/address/city", "/address/street", "/address/house", "/children/*/birthDate")
		n.Grounds = []page.CaseGround{page.GroundWrong, page.GroundOld, page.GroundIncomplete, page.GroundOther}
	} else {
		e := s.curiousEntry()
		n.Entry = &e
	}
	if wrong {
		n.Errors = page.FieldErrors{"ground": "ground", "text": "text"}
		if kind == page.CaseCorrect {
			n.Errors["field"] = "field"
		}
	}
	return n
}

func (s speaker) consent(state page.ConsentState) page.Consent {
	c := page.Consent{
		Handle: "consent1", Agency: s.in(veh), Holder: s.in(cln), Service: s.in(text("Yararlılıq arayışı", "Certificate of fitness", "Справка о годности")), Purpose: s.in(fitness),
		Law: s.law(dataAct, "8"), Case: "VEH-2026-0088", Fields: fields("/givenName", "/surname", "/status", "/expiresOn"), Special: true, Asked: at(2, 10, 0), From: now,
		Until: now.Add(30 * days), Granted: 1, State: state, Changed: at(1, 10, 0), Keep: 90 * days,
	}
	if state != page.ConsentPending {
		c.Handle, c.Agency, c.Holder, c.Purpose, c.Special = "consent2", s.in(mun), s.in(university), s.in(diploma), false
		c.Fields, c.Granted, c.Uses, c.Service = fields("/diploma/degree", "/diploma/year"), 0, 2, s.in(education)
		c.From = at(30, 10, 0)
		c.Agreed = s.sentence(c)
	} else {
		c.Due = now.Add(28 * days)
	}
	return c
}

func (s speaker) sentence(c page.Consent) string {
	var names []string
	for _, f := range c.Fields {
		names = append(names, s.f.Locale.Field(f))
	}
	return s.f.T("consent.sentence", "Agency", c.Agency, "Holder", c.Holder, "Service", c.Service, "Fields", strings.Join(names, "; "), "Purpose", c.Purpose,
		"Law", s.f.T("law.article", "Law", c.Law.Name, "Article", c.Law.Article), "Date", s.f.Locale.Date(c.Until))
}

func (s speaker) consentSign() page.ConsentSign {
	c := s.consent(page.ConsentPending)
	return page.ConsentSign{
		Consent: c, Sentence: s.sentence(c), Code: "K7QX-2M9D", Deed: "deed1", Provider: s.in(text("Milli kimlik xidməti", "National identity service", "Национальная служба идентификации")),
	}
}

func (s speaker) consents() page.Consents {
	return page.Consents{
		Pending: []page.Consent{s.consent(page.ConsentPending)}, Given: []page.Consent{s.consent(page.ConsentGiven)},
		Ended: []page.Consent{s.consent(page.ConsentWithdrawn), s.consent(page.ConsentRefused), s.consent(page.ConsentSpent), s.consent(page.ConsentExpired)},
	}
}

func (s speaker) consentUse() page.Entry {
	e := s.simple(60, at(12, 10, 44), mun, clerk, soc, diploma, education)
	e.Holder, e.Mandate = s.in(university), countersign.MandateConsent
	return e
}
