package gallery

import (
	"strings"
	"time"

	"github.com/a-h/templ"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/web/page"
)

// Pages lists every page in every state.
func Pages() []Page {
	var out []Page
	for _, part := range [][]Page{entrance(), timelines(), entries(), overviews(), casePages(), consentPages(), rest(), problems()} {
		out = append(out, part...)
	}
	return out
}

// show makes a page of a view model that is made anew for each language.
func show[V any](name, shows string, draw func(page.Frame, V) templ.Component, model func(speaker) V) Page {
	return Page{Name: name, Shows: shows, Render: func(f page.Frame) templ.Component { return draw(f, model(speaker{f})) }}
}

// given makes a model of a value that is the same in each language.
func given[V any](v V) func(speaker) V { return func(speaker) V { return v } }

func (p Page) with(adapt func(*page.Frame)) Page {
	p.adapt = adapt
	return p
}

// scripted marks a page that runs scripts, where the program for them is built in.
func (p Page) scripted() Page {
	p.scripts = true
	return p
}

func nobody(f *page.Frame) { f.Person, f.Cases, f.Consents, f.Expires = "", 0, 0, time.Time{} }

func flashed(what page.Flash) func(*page.Frame) { return func(f *page.Frame) { f.Flash = what } }

func in(s page.Section) func(*page.Frame) { return func(f *page.Frame) { f.Section = s } }

func entrance() []Page {
	login := func(change func(*page.Login)) func(speaker) page.Login {
		return func(s speaker) page.Login {
			v := page.Login{Issuers: []page.Issuer{
				{Handle: "i1", Name: s.in(text("Milli kimlik xidməti", "National identity service", "Национальная служба идентификации"))}, {Handle: "i2", CaseCode: true},
			}}
			change(&v)
			return v
		}
	}
	return []Page{
		show("login", "before signing in", page.LoginPage, login(func(*page.Login) {})).with(nobody),
		show("login-expired", "the session has ended", page.LoginPage, login(func(v *page.Login) { v.Expired = true })).with(nobody),
		show("login-out", "signed out, without case codes", page.LoginPage, login(func(v *page.Login) { v.SignedOut, v.Issuers = true, v.Issuers[:1] })).with(nobody),
	}
}

func timelines() []Page {
	at := in(page.SectionTimeline)
	return []Page{
		show("timeline", "a year's first page", page.TimelinePage, speaker.timeline).with(at),
		show("timeline-partial", "members that are slow or dead", page.TimelinePage, func(s speaker) page.Timeline {
			v := s.timeline()
			v.Sources, v.Days = s.sources(true), v.Days[:3]
			return v
		}).with(at),
		show("timeline-invalid", "a member whose answer does not hold", page.TimelinePage, func(s speaker) page.Timeline {
			v := s.timeline()
			v.Sources[4].State, v.Sources[5].State = page.SourceInvalid, page.SourceRefused
			v.Days = []page.Day{{Date: now, Items: []page.Item{{Entries: []page.Entry{s.failedProofEntry()}}}}}
			return v
		}).with(at),
		show("timeline-filtered", "a search", page.TimelinePage, func(s speaker) page.Timeline {
			v := s.timeline()
			v.Filter.Agency, v.Filter.Refused, v.Filter.From = "c4", true, "2026-01-01"
			v.Days, v.Total, v.Refused, v.From, v.Until, v.Older = v.Days[1:2], 4, 4, 1, 4, ""
			v.Days[0].Items = v.Days[0].Items[:1]
			return v
		}).with(at),
		show("timeline-filter-error", "a search with dates that do not fit", page.TimelinePage, func(s speaker) page.Timeline {
			v := s.timeline()
			v.Filter.From, v.Filter.Until, v.Filter.Search = "2026-03-01", "2025-12-01", "tax"
			v.Filter.Errors = page.FieldErrors{"until": "date-order"}
			v.Days = nil
			return v
		}).with(at),
		show("timeline-empty", "nobody has asked yet", page.TimelinePage, func(s speaker) page.Timeline {
			v := s.timeline()
			v.Days, v.Total, v.Refused, v.Older = nil, 0, 0, ""
			return v
		}).with(at),
	}
}

func entries() []Page {
	at := in(page.SectionTimeline)
	return []Page{
		show("entry", "a use with relatives and a decision", page.EntryPage, speaker.benefitDetail).with(at),
		show("entry-refused", "a refused attempt with a case on it", page.EntryPage, speaker.refusedDetail).with(at),
		show("entry-emergency", "an emergency, not yet witnessed or reviewed", page.EntryPage, speaker.emergencyDetail).with(at),
		show("entry-warrant", "a court's order, opened after its delay", page.EntryPage, speaker.warrantDetail).with(at),
		show("entry-failing", "a proof that fails, and sides that differ", page.EntryPage, speaker.failingDetail).with(at),
		show("entry-relative", "shown as a relative, one side only, no proof", page.EntryPage, speaker.relativeDetail).with(at),
		show("entry-self", "the person's own look, not checked", page.EntryPage, speaker.selfDetail).with(at),
		show("check", "the proofs of an entry, checked in the browser", page.CheckPage, speaker.check).with(at).scripted(),
		show("entry-destroyed", "a record whose time is over", page.EntryPage, speaker.oldDetail).with(at),
	}
}

func overviews() []Page {
	return []Page{
		show("year", "a year with refusals", page.YearPage, speaker.year).with(in(page.SectionYear)),
		show("year-empty", "a year without uses", page.YearPage, given(page.Year{Year: 2024, Later: "y2025", Counts: make([]page.PeriodUse, 12)})).with(in(page.SectionYear)),
		show("year-long", "a year with more uses than one page counts", page.YearPage, speaker.longYear).with(in(page.SectionYear)),
		show("month", "a month by its days", page.YearPage, speaker.month).with(in(page.SectionYear)),
		show("month-long", "a month with more uses than one page counts, its second page", page.YearPage, speaker.longMonth).with(in(page.SectionYear)),
		show("held", "the catalogue, with members missing", page.CataloguePage, speaker.catalogue).with(in(page.SectionCatalogue)),
		show("held-long", "the catalogue, after more uses than one page counts", page.CataloguePage, func(s speaker) page.Catalogue {
			v := s.catalogue()
			v.Reached = at(40, 9, 30)
			return v
		}).with(in(page.SectionCatalogue)),
		show("own-data", "one's own data", page.OwnDataPage, speaker.ownData).with(in(page.SectionCatalogue)),
		show("own-data-failed", "a register that does not answer", page.OwnDataPage, func(s speaker) page.OwnData {
			return page.OwnData{Register: s.in(veh), Holder: s.in(veh), Handle: "reg1", Asked: now, Failed: countersign.CodeNetwork}
		}).with(in(page.SectionCatalogue)),
		show("own-data-empty", "a register that holds nothing", page.OwnDataPage, func(s speaker) page.OwnData {
			return page.OwnData{Register: s.in(veh), Holder: s.in(veh), Handle: "reg1", Asked: now, Empty: true}
		}).with(in(page.SectionCatalogue)),
	}
}

func casePages() []Page {
	at := in(page.SectionCases)
	newCase := func(kind page.CaseKind, wrong bool) func(speaker) page.NewCase {
		return func(s speaker) page.NewCase { return s.newCase(kind, wrong) }
	}
	return []Page{
		show("cases", "cases in several states", page.CasesPage, speaker.cases).with(at),
		show("cases-code", "the first case of somebody without an identifier", page.CasesPage, func(s speaker) page.Cases {
			return page.Cases{Code: "K7QX 2M9D 41TA", Cases: []page.CaseSummary{s.caseSummary(page.CaseOpen)}}
		}).with(flashed(page.FlashCaseOpened)),
		show("cases-empty", "no cases", page.CasesPage, given(page.Cases{})).with(at),
		show("case-open", "waiting for the agency", page.CasePage, speaker.openCase).with(at),
		show("case-answered", "answered, may be appealed", page.CasePage, speaker.answeredCase).with(at),
		show("case-errors", "a form that came back", page.CasePage, func(s speaker) page.Case {
			c := s.answeredCase()
			c.Errors = page.FieldErrors{"appeal": "text"}
			return c
		}).with(at),
		show("case-overdue", "silence", page.CasePage, speaker.overdueCase).with(at),
		show("case-appealed", "with the independent body", page.CasePage, speaker.appealedCase).with(at),
		show("case-upheld", "a correction won on appeal", page.CasePage, speaker.upheldCase).with(at),
		show("object", "objecting to a use", page.NewCasePage, newCase(page.CaseObject, false)).with(at),
		show("object-errors", "an objection that came back", page.NewCasePage, newCase(page.CaseObject, true)).with(at),
		show("correct", "asking for a correction", page.NewCasePage, newCase(page.CaseCorrect, false)).with(at),
		show("correct-errors", "a request that came back", page.NewCasePage, newCase(page.CaseCorrect, true)).with(at),
	}
}

func consentPages() []Page {
	at := in(page.SectionConsents)
	view := func(state page.ConsentState, change func(speaker, *page.ConsentView)) func(speaker) page.ConsentView {
		return func(s speaker) page.ConsentView {
			v := page.ConsentView{Consent: s.consent(state), MaySign: true}
			change(s, &v)
			return v
		}
	}
	nothing := func(speaker, *page.ConsentView) {}
	return []Page{
		show("consents", "asked, given, ended", page.ConsentsPage, speaker.consents).with(at),
		show("consents-empty", "none", page.ConsentsPage, given(page.Consents{})).with(flashed(page.FlashConsentWithdrawn)),
		show("consent-pending", "a preview of exactly what would leave", page.ConsentPage, view(page.ConsentPending, nothing)).with(at),
		show("consent-error", "given without having ticked", page.ConsentPage, view(page.ConsentPending, func(_ speaker, v *page.ConsentView) { v.Errors = page.FieldErrors{"sure": "sure"} })).with(at),
		show("consent-no-way", "for whoever signed in by a way that gives no consents", page.ConsentPage, view(page.ConsentPending, func(_ speaker, v *page.ConsentView) { v.MaySign = false })).with(at),
		show("consent-sign", "a consent word for word, before the login for it", page.ConsentSignPage, speaker.consentSign).with(at),
		show("consent-stopped", "a login that was not for it", page.ConsentPage, view(page.ConsentPending, nothing)).with(flashed(page.FlashConsentStopped)),
		show("consent-given", "a consent that holds, with its use", page.ConsentPage, view(page.ConsentGiven, func(s speaker, v *page.ConsentView) { v.Entries = []page.Entry{s.consentUse()} })).with(at),
		show("consent-partial", "a consent, with members that are slow or dead", page.ConsentPage, view(page.ConsentGiven, func(s speaker, v *page.ConsentView) { v.Sources = s.sources(true) })).with(at),
		show("consent-ended", "withdrawn", page.ConsentPage, view(page.ConsentWithdrawn, nothing)).with(at),
	}
}

func rest() []Page {
	return []Page{
		show("notices", "contact terms that work", page.SettingsPage, given(page.Settings{
			Email: "n…@example.org", EmailState: page.ContactWorks, Hooks: true, Webhook: "https://n.example/…", WebhookState: page.ContactWorks,
			Secret: strings.Repeat("example", 6), Frequency: page.FrequencyDaily, Saved: true,
		})).with(in(page.SectionSettings)),
		show("notices-first", "nothing stored yet", page.SettingsPage, given(page.Settings{Frequency: page.FrequencyDaily})).with(in(page.SectionSettings)),
		show("notices-code", "an address that waits for its code", page.SettingsPage, given(page.Settings{
			Email: "n…@example.org", EmailState: page.ContactUnconfirmed, Frequency: page.FrequencyNow, Saved: true, CodeDue: true, Errors: page.FieldErrors{"code": "notice-code"},
		})).with(in(page.SectionSettings)),
		show("notices-confirmed", "an address that was just confirmed, after the permission had ended", page.SettingsPage, given(page.Settings{
			Email: "n…@example.org", EmailState: page.ContactWorks, Frequency: page.FrequencyNow, Saved: true, Stale: true,
		})).with(flashed(page.FlashContactConfirmed)),
		show("notices-errors", "contact terms that came back", page.SettingsPage, given(page.Settings{
			Email: "narmin", Hooks: true, Webhook: "http://example.org", WebhookState: page.ContactFails, EmailState: page.ContactUnconfirmed,
			Errors: page.FieldErrors{"email": "email", "webhook": "webhook", "frequency": "frequency"},
		})).with(in(page.SectionSettings)),
		show("notices-none", "notices without an address", page.SettingsPage, given(page.Settings{Frequency: page.FrequencyDaily, Errors: page.FieldErrors{"email": "contact"}})).with(in(page.SectionSettings)),
		show("notices-saved", "just saved", page.SettingsPage, given(page.Settings{Frequency: page.FrequencyNever})).with(flashed(page.FlashSettingsSaved)),
		show("notices-off", "a portal that sends none", page.SettingsPage, given(page.Settings{Off: true})).with(in(page.SectionSettings)),
		show("stop", "the page behind the address in a notice", page.NoticeStopPage, given(page.NoticeStop{Handle: "token"})).with(nobody),
		show("stop-done", "notices were stopped", page.NoticeStopPage, given(page.NoticeStop{Done: true})).with(nobody),
		show("export", "taking the list away", page.ExportPage, func(s speaker) page.Export {
			return page.Export{Count: 143, Print: 1000, Proofs: 5000, From: at(365, 9, 0), Until: now, Narrow: true, Sources: s.sources(false)}
		}),
		show("export-long", "taking a very long list away", page.ExportPage, func(s speaker) page.Export {
			return page.Export{Count: 1000, More: true, Print: 1000, Proofs: 5000, From: at(365, 9, 0), Until: now, Sources: s.sources(false)}
		}),
		show("print", "every entry, for paper", page.PrintPage, func(s speaker) page.Timeline {
			v := s.timeline()
			v.Older, v.Until = "", v.Total
			return v
		}),
		show("print-long", "the newest entries of a very long list, for paper", page.PrintPage, func(s speaker) page.Timeline {
			v := s.timeline()
			v.Older, v.Total, v.Until, v.Cut = "", 1000, 1000, true
			return v
		}),
		show("help", "what this is, and cannot show", page.HelpPage, func(s speaker) page.Help {
			return page.Help{DelayCap: 2 * years, Kept: 3653 * days, ReplyIn: 30 * days, AppealIn: 90 * days, Overseer: s.in(dpa), Witnesses: witnesses}
		}).with(in(page.SectionHelp)),
	}
}

func problems() []Page {
	problem := func(kind page.ProblemKind, change func(*page.Problem)) Page {
		v := page.Problem{Kind: kind}
		change(&v)
		return show("problem-"+string(kind), "an error page", page.ProblemPage, given(v))
	}
	nothing := func(*page.Problem) {}
	return []Page{
		problem(page.ProblemNotFound, nothing), problem(page.ProblemExpired, nothing).with(nobody), problem(page.ProblemForbidden, nothing),
		problem(page.ProblemTooMany, func(p *page.Problem) { p.Retry = now.Add(2 * time.Minute) }),
		problem(page.ProblemUnavailable, func(p *page.Problem) {
			p.Code, p.Reference, p.Detail = countersign.CodeNoQuorum, exchange.String(), "fewer than 2 organisations have cosigned within 60 s"
		}),
		problem(page.ProblemLogin, nothing).with(nobody),
		problem(page.ProblemInternal, func(p *page.Problem) { p.Reference = exchange.String() }),
	}
}

// addresses, prefixes and suffixes lead the portal's addresses to pages of the gallery.
var addresses = map[string]string{
	page.PathHome: "timeline", page.PathTimeline: "timeline", page.PathYear: "year", page.PathCatalogue: "held", page.PathCases: "cases",
	page.PathConsents: "consents", page.PathSettings: "notices", page.PathExport: "export", page.PathExportPrint: "print", page.PathHelp: "help",
	page.PathLogin: "timeline", page.PathLogout: "login-out", page.PathSettingsRemove: "notices-saved", page.PathSettingsConfirm: "notices-confirmed",
	"/uses/" + "e7074": "entry-refused", "/uses/" + "e7111": "entry-emergency", "/uses/" + "e7185": "entry-failing", "/uses/" + "e8480": "entry-self",
}

var prefixes = map[string]string{
	"/receipt/": "../proof/receipt.json", "/policy/": "../proof/policy.txt", "/uses/": "entry", "/year/": "year", "/held/": "own-data", "/cases/": "case-open", "/consents/": "consent-pending", "/export/": "export", "/notices/stop/": "stop-done",
}

var suffixes = map[string]string{
	"object": "object", "correct": "correct", "reply": "case-open", "withdraw": "cases", "appeal": "case-appealed", "end": "consents-empty", "sign": "consent-given", "check": "check",
}
