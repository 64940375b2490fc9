package gallery

import (
	"fmt"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web/page"
)

// exchange is an identifier as a session shows it.
var exchange = countersign.NewExchangeID(now)

func (s speaker) law(name countersign.Text, article string) page.Law {
	return page.Law{Name: s.in(name), Article: article, URL: "https://laws.example/" + article}
}

var witnesses = []string{"University", "Press council", "National archive"}

// proof is a proof in one state, with both sides.
func (s speaker) proof(state page.ProofState, holder, asker countersign.Text) page.Proof {
	side := func(who countersign.Side, name countersign.Text, log string, state page.ProofState) page.SideProof {
		return page.SideProof{
			Side: who, Agency: s.in(name), State: state, Log: countersign.LogOrigin("log.example/" + log), Index: 48213, Tree: 51977,
			Witnesses: witnesses, Quorum: 2, Receipt: "r1" + page.Handle(log),
		}
	}
	p := page.Proof{State: state, Checked: now, Receipt: "r1", Policy: "p1", Check: "e1", Sides: []page.SideProof{
		side(countersign.SideProvider, holder, "register", state), side(countersign.SideConsumer, asker, "desk", page.ProofHolds),
	}}
	switch state {
	case page.ProofFails:
		p.Sides[0].Reason = "the leaf's hash does not lead to the root that the witnesses signed"
	case page.ProofPromised:
		p.Deadline = now.Add(40 * time.Second)
		p.Sides[0].Witnesses = nil
	case page.ProofMissing:
		p.Receipt = ""
		p.Sides = nil
	}
	return p
}

// check leads to a receipt that holds, which the gallery carries.
func (s speaker) check() page.Check {
	e := s.benefitEntry()
	return page.Check{Entry: "e1", Agency: e.Asker.Agency, When: e.When, Policy: "p1", Sides: s.proof(page.ProofHolds, pop, soc).Sides}
}

func (s speaker) benefitDetail() page.EntryDetail {
	e := s.benefitEntry()
	e.Asker.System = s.in(text("Xidmət masası", "Service desk", "Приёмная"))
	return page.EntryDetail{
		Entry: e, Exchange: exchange, Asked: e.When.Add(-400 * time.Millisecond), Law: s.law(socialAct, "9"), Case: "SOC-2026-000117",
		Authority: page.Authority{Kind: countersign.MandateRelation, Issuer: s.in(soc), ID: "SOC-2026-000117"},
		Purposes:  page.PurposeTerms{Keep: 1095 * 24 * time.Hour},
		Others:    []page.OtherPerson{{Relation: "spouse", Count: 1}, {Relation: "child", Count: 2}},
		Following: []page.Following{
			{When: e.When.Add(time.Second), Kind: page.FollowingReceived},
			{When: e.When.Add(9 * time.Hour), Kind: page.FollowingNotified},
			{When: e.When.Add(20 * time.Hour), Kind: page.FollowingFavour, By: s.in(text("Rəna Tural, mütəxəssis", "Rena Tural, caseworker", "Рена Турал, специалист")), Text: s.in(text("Müavinət təyin edildi: ayda 120 manat.", "The benefit is granted: 120 a month.", "Пособие назначено: 120 в месяц."))},
		},
		Proof: s.proof(page.ProofHolds, pop, soc), KeptUntil: e.When.AddDate(10, 0, 0), MayObject: true, MayCorrect: true,
	}
}

func (s speaker) refusedDetail() page.EntryDetail {
	e := s.curiousEntry()
	return page.EntryDetail{
		Entry: e, Exchange: exchange, Asked: e.When, Law: s.law(socialAct, "9"), Case: "SOC-2021-000900",
		Authority: page.Authority{Kind: countersign.MandateRelation},
		Following: []page.Following{{When: e.When.Add(12 * time.Hour), Kind: page.FollowingObjected, Handle: "case1"}},
		Proof:     s.proof(page.ProofHolds, soc, mun), KeptUntil: e.When.AddDate(10, 0, 0),
		Cases: []page.CaseSummary{s.caseSummary(page.CaseOpen)},
	}
}

func (s speaker) emergencyDetail() page.EntryDetail {
	e := s.emergencyEntry()
	return page.EntryDetail{
		Entry: e, Exchange: exchange, Asked: e.When, Law: s.law(healthAct, "30"),
		Authority: page.Authority{
			Kind: countersign.MandateEmergency, Issuer: s.in(cln), ID: "E-2026-0031", Review: page.ReviewDue, ReviewBy: e.When.Add(72 * time.Hour),
			Ground: s.in(text("Xəstə huşsuz gətirildi.", "The patient was brought in unconscious.", "Пациента привезли без сознания.")),
		},
		Purposes: page.PurposeTerms{Keep: 90 * 24 * time.Hour},
		Proof:    s.proof(page.ProofPromised, cln, cln), KeptUntil: e.When.AddDate(10, 0, 0), MayObject: true,
	}
}

func (s speaker) warrantDetail() page.EntryDetail {
	e := s.warrantEntry()
	return page.EntryDetail{
		Entry: e, Exchange: exchange, Asked: e.When, Law: s.law(procedure, "177"), Case: "POL-2025-000412",
		Authority: page.Authority{
			Kind: countersign.MandateWarrant, Issuer: s.in(crt), ID: "W-2025-0198", Since: e.When.AddDate(0, 0, -3), Until: e.When.AddDate(0, 0, 27),
			Uses: 1, Granted: 3, Hidden: e.When.AddDate(0, 0, 90), Review: page.ReviewJustified, ReviewBy: e.When.AddDate(0, 0, 91),
			Ground: s.in(text("Oğurlanmış əmlakın axtarışı.", "Search for stolen goods.", "Поиск похищенного.")),
		},
		Purposes:  page.PurposeTerms{Keep: 1825 * 24 * time.Hour},
		Following: []page.Following{{When: e.When.AddDate(0, 0, 90), Kind: page.FollowingOpened}, {When: e.When.AddDate(0, 0, 91), Kind: page.FollowingReviewed}},
		Proof:     s.proof(page.ProofHolds, mun, pol), KeptUntil: e.When.AddDate(10, 0, 0), MayObject: true,
	}
}

func (s speaker) failingDetail() page.EntryDetail {
	e := s.failedProofEntry()
	return page.EntryDetail{
		Entry: e, Exchange: exchange, Asked: e.When, Law: s.law(municipal, "24"), Authority: page.Authority{Kind: countersign.MandateNone},
		Differences: []page.Difference{
			{Point: "fields", Provider: s.in(residence), Consumer: s.in(residence) + "; " + s.in(family)},
			{Point: "purpose", Provider: s.in(tax), Consumer: s.in(housing)},
		},
		Proof: s.proof(page.ProofFails, pop, mun), KeptUntil: e.When.AddDate(10, 0, 0), MayObject: true,
	}
}

func (s speaker) relativeDetail() page.EntryDetail {
	e := s.simple(50, at(20, 10, 8), soc, officer, pop, benefit, family)
	e.Notices, e.Seen = []page.Notice{page.NoticeRelated}, page.SeenProviderOnly
	e.Fields = fields("/children/*/givenName", "/children/*/birthDate")
	e.Asker.OnBehalfOf = []string{s.in(mun)}
	return page.EntryDetail{
		Entry: e, Exchange: exchange, Asked: e.When, Law: s.law(socialAct, "9"), Authority: page.Authority{Kind: countersign.MandateRelation, Issuer: s.in(soc)},
		AsRelative: true, Purposes: page.PurposeTerms{Keep: 1095 * 24 * time.Hour}, Proof: s.proof(page.ProofMissing, pop, soc), MayObject: true,
	}
}

func (s speaker) selfDetail() page.EntryDetail {
	e := s.selfEntry(40, at(0, 15, 20))
	return page.EntryDetail{Entry: e, Exchange: exchange, Authority: page.Authority{Kind: countersign.MandateNone}, Proof: s.proof(page.ProofUnchecked, pop, soc)}
}

func (s speaker) oldDetail() page.EntryDetail {
	e := s.simple(51, at(900, 9, 0), veh, assessor, pop, identify, identity)
	e.Asker.Role, e.Asker.Assurance = "", automated
	return page.EntryDetail{
		Entry: e, Exchange: exchange, Asked: e.When, Law: s.law(dataAct, "8"), Authority: page.Authority{Kind: countersign.MandateConsent, Consent: "consent2", Issuer: s.f.T("party.person")},
		Following: []page.Following{{When: at(2, 0, 0), Kind: page.FollowingDestroyed}}, Proof: s.proof(page.ProofDestroyed, pop, veh),
	}
}

func (s speaker) year() page.Year {
	y := page.Year{Year: 2025, Earlier: "y2024", Later: "y2026", Sources: s.sources(false), Counts: make([]page.PeriodUse, 12)}
	for i, n := range []int{4, 7, 3, 12, 9, 2, 0, 5, 18, 11, 6, 8} {
		y.Counts[i].Released = n
		y.Months[i] = page.Handle(fmt.Sprintf("m%d", i+1))
	}
	y.Counts[3].Refused, y.Counts[8].Refused, y.Counts[10].Refused = 1, 4, 1
	y.Agencies = []page.AgencyUse{
		{Agency: s.in(soc), Counts: []int{1, 2, 1, 6, 3, 1, 0, 1, 8, 5, 2, 3}}, {Agency: s.in(mun), Counts: []int{1, 2, 0, 3, 2, 0, 0, 2, 6, 3, 2, 2}},
		{Agency: s.in(pol), Counts: []int{0, 1, 0, 2, 2, 0, 0, 0, 3, 1, 1, 1}}, {Agency: s.in(cln), Counts: []int{2, 2, 2, 2, 2, 1, 0, 2, 5, 2, 2, 2}},
	}
	return y
}

// longYear is a year with more uses than one page counts: the newest months are counted, one of them in part.
func (s speaker) longYear() page.Year {
	y := s.year()
	y.Reached = time.Date(2025, time.October, 9, 7, 30, 0, 0, time.UTC)
	for i := range y.Counts {
		switch {
		case i < 9:
			y.Counts[i] = page.PeriodUse{State: page.CountedNot}
		case i == 9:
			y.Counts[i] = page.PeriodUse{Released: 1288, Refused: 9, State: page.CountedPart}
		default:
			y.Counts[i].Released *= 271
		}
		for _, a := range y.Agencies {
			if i < 9 {
				a.Counts[i] = 0
			} else {
				a.Counts[i] *= 263
			}
		}
	}
	return y
}

// month is one month by its days.
func (s speaker) month() page.Year {
	m := page.Year{Year: 2025, Month: time.September, Earlier: "m8", Later: "m10", Whole: "y2025", Sources: s.sources(false), Counts: make([]page.PeriodUse, 30)}
	for i, n := range []int{0, 1, 0, 3, 0, 0, 0, 2, 1, 0, 4, 1, 0, 0, 2, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1} {
		m.Counts[i].Released = n
	}
	m.Counts[10].Refused, m.Counts[14].Refused = 3, 1
	m.Agencies = []page.AgencyUse{{Agency: s.in(soc), Counts: []int{8}}, {Agency: s.in(mun), Counts: []int{6}}, {Agency: s.in(pol), Counts: []int{3}}, {Agency: s.in(cln), Counts: []int{5}}}
	return m
}

// longMonth is the second page of a month with more uses than two pages count.
func (s speaker) longMonth() page.Year {
	m := s.month()
	m.Begun, m.Reached, m.Rest = time.Date(2025, time.September, 23, 6, 10, 0, 0, time.UTC), time.Date(2025, time.September, 8, 13, 5, 0, 0, time.UTC), "rest"
	for i := range m.Counts {
		switch {
		case i < 7 || i > 22:
			m.Counts[i] = page.PeriodUse{State: page.CountedNot}
		case i == 7 || i == 22:
			m.Counts[i] = page.PeriodUse{Released: 120, State: page.CountedPart}
		default:
			m.Counts[i].Released = 300 + 7*i
		}
	}
	for _, a := range m.Agencies {
		a.Counts[0] *= 266
	}
	return m
}

func (s speaker) catalogue() page.Catalogue {
	grant := func(why countersign.Text, l page.Law, kind countersign.MandateKind, who ...countersign.Text) page.HeldGrant {
		return page.HeldGrant{
			Purpose: s.in(why), Laws: []page.Law{l}, Agencies: s.all(who...), Mandates: []countersign.MandateKind{kind}, Keep: 365 * 24 * time.Hour,
			Fields: fields("/address/city", "/address/street"),
		}
	}
	return page.Catalogue{
		Sources: s.sources(true),
		Registers: []page.Register{
			{
				Handle: "reg1", Name: s.in(pop), Holder: s.in(pop), OwnData: true, Refused: 1,
				Uses: []page.AgencyCount{{Agency: s.in(soc), Count: 21}, {Agency: s.in(mun), Count: 12}, {Agency: s.in(pol), Count: 1}},
				Categories: []page.HeldCategory{
					{
						Name: s.in(residence), Class: countersign.ClassRelation, Fields: fields("/address", "/address/city", "/address/street", "/address/house", "/since"),
						Grants: []page.HeldGrant{
							grant(benefit, s.law(socialAct, "9"), countersign.MandateRelation, soc),
							{Purpose: s.in(housing), Laws: []page.Law{s.law(municipal, "24")}, Agencies: s.all(mun), Mandates: []countersign.MandateKind{countersign.MandateProgramme}, Programme: s.in(programme)},
							{Purpose: s.in(identify), Laws: []page.Law{s.law(dataAct, "19")}},
						},
					},
					{Name: s.in(family), Class: countersign.ClassRelation, Grants: []page.HeldGrant{grant(benefit, s.law(socialAct, "9"), countersign.MandateRelation, soc)}},
					{Name: s.in(crossings), Class: countersign.ClassWarrant, Grants: []page.HeldGrant{grant(crime, s.law(procedure, "177"), countersign.MandateWarrant, pol)}},
				},
			},
			{
				Handle: "reg2", Name: s.in(health), Holder: s.in(cln), OwnData: true,
				Categories: []page.HeldCategory{
					{Name: s.in(health), Class: countersign.ClassConsentWarrant, Special: true, Grants: []page.HeldGrant{
						grant(treat, s.law(healthAct, "26"), countersign.MandateRelation, cln), grant(vital, s.law(healthAct, "30"), countersign.MandateEmergency, cln, pol),
					}},
					{Name: s.in(psych), Class: countersign.ClassNever, Special: true},
				},
				Uses: []page.AgencyCount{{Agency: s.in(cln), Count: 24}},
			},
			{Handle: "reg3", Name: s.in(education), Holder: s.in(university), Disabled: true, Categories: []page.HeldCategory{
				{Name: s.in(education), Class: countersign.ClassConsent, Grants: []page.HeldGrant{grant(diploma, s.law(dataAct, "8"), countersign.MandateConsent, mun)}},
			}},
		},
		Outside: []page.OutsideLaw{{Law: page.Law{Name: s.in(borderAct), Article: "31"}, What: s.in(text("sərnişin siyahıları toplu verilir", "passenger lists are handed over in bulk", "списки пассажиров передаются целиком"))}},
	}
}

func (s speaker) ownData() page.OwnData {
	row := func(path, value string, group int) page.DataRow {
		return page.DataRow{Path: countersign.FieldPath(path), Value: value, Group: group}
	}
	return page.OwnData{
		Register: s.in(pop), Holder: s.in(pop), Handle: "reg1", Asked: now,
		Rows: []page.DataRow{
			row("/surname", "Qaraxanlı", 0), row("/givenName", "Nərmin", 0), row("/patronymic", "", 0), row("/birthDate", "1988-04-02", 0),
			row("/address/city", "Aşağı Gülçay", 0), row("/address/street", "Şəfəq küçəsi", 0), row("/address/house", "12", 0),
			row("/children/*/givenName", "Ülkər", 1), row("/children/*/birthDate", "2015-09-30", 1),
			row("/children/*/givenName", "İlqar", 2), row("/children/*/birthDate", "2018-01-14", 2),
		},
	}
}
