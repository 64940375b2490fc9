package scenario

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
)

// Hands does for the people of a federation what they do with programs of their own: log in, sit in court, answer for a life, open a case. Each
// deed goes through the program or the page that the person would use.
type Hands interface {
	// Official logs an official in and gives their identity token.
	Official(ctx context.Context, agency, pin string) (token string, err error)
	// Warrant has the court order that a client may ask about a person; it gives what goes into Countersign-Mandate.
	Warrant(ctx context.Context, q Order) (mandate string, err error)
	// Emergency has two officials of an agency declare that a life is in danger.
	Emergency(ctx context.Context, q Order) (mandate string, err error)
	// Review has the overseer judge an emergency by the receipt of its exchange.
	Review(ctx context.Context, agency, exchange, finding, reason string) error
	// Consent has a person agree to an order after logging in for it; Withdraw ends that.
	Consent(ctx context.Context, q Order) (mandate string, err error)
	Withdraw(ctx context.Context, pin, mandate string) error
	// Object opens a case at the portal on one exchange, Correct on what a register holds; they give its number.
	Object(ctx context.Context, pin, exchange, ground, text string) (file string, err error)
	Correct(ctx context.Context, pin, register, field, ground, text string) (file string, err error)
	// Appeal is the person's next word in their newest case.
	Appeal(ctx context.Context, pin, text string) error
	// Answer is the agency's word in a case, Decide the independent body's.
	Answer(ctx context.Context, agency, file, answer, official, role, text string) error
	Decide(ctx context.Context, file, decision, official, role, text string) error
	// Adjudge puts on an agency's record what it decided about a person, on the answers of which exchanges.
	Adjudge(ctx context.Context, agency, pin, effect, official, role, text string, exchanges []string) error
	// Until lets time go by until so many days of the year have passed. On real time it does nothing.
	Until(ctx context.Context, day int) error
}

// Order says what a mandate is to allow: all fields that the service grants the client for the purpose.
type Order struct {
	Person        string
	Client        string // member code
	Of, Service   string // member and service code
	Purpose, File string
	Ground        string // in plain words: the person reads it
	Officials     []string
}

// Family is one family's year: what happened to a mother, a father and their child of the country, in the questions that agencies asked about them.
type Family struct {
	Sites    map[string]Site // by member code
	People   *country.Atlas
	Hands    Hands
	Progress func(string)

	// Silent says that time goes by, so that an agency's silence can be waited for.
	Silent bool

	// Past is what a family that plays on remembers of what was played before.
	Past Past

	client *http.Client
	heard  []string // exchanges of the questions that were put last
}

// Past is how far a family's year has come.
type Past struct {
	Done        int      `json:"done"`           // episodes
	File        string   `json:"file,omitempty"` // number of the case that is going on, or the exchange that it will be about
	Emergencies []string `json:"emergencies,omitempty"`
}

// Episode is one chapter of the year.
type Episode struct {
	Day   int // since the year began
	Title string
	play  func(context.Context) error
}

// Episodes are the year, in order.
func (f *Family) Episodes() []Episode {
	return []Episode{
		{2, "the mother applies for a child allowance, and the social fund asks five registers", f.applies},
		{24, "the municipality's yearly check of the housing list asks where she lives", f.housing},
		{51, "she breaks an ankle: the clinic asks who she is, and for her records without her consent", f.clinic},
		{52, "she consents, the clinic sees the records, and she withdraws", f.consents},
		{88, "the police stop the car", f.stopped},
		{95, "she asks why they needed her photograph for that", f.objects},
		{134, "the house is taxed", f.taxed},
		{149, "the father sells the car", f.sells},
		{171, "a burglary next door: the court lets the police ask about the father's family", f.drawnIn},
		{190, "her address in the register is wrong, and the register says that it is right", f.disputes},
		{199, "she appeals", f.appeals},
		{212, "the independent body decides for her, and the address is put right", f.corrected},
		{298, "she is found unconscious: two doctors answer for looking", f.emergency},
		{300, "the overseer reviews the emergency", f.reviewed},
		{321, "an official of the municipality is curious", f.curious},
		{322, "she objects; the municipality sees nothing wrong", f.rejected},
		{333, "she appeals, and the independent body agrees with her", f.upheld},
	}
}

// YearDays is how long the year of a family is.
const YearDays = 345

// Live plays what is left of the year; keep is called when Past has changed. It stops at the first thing that is not as it must be.
func (f *Family) Live(ctx context.Context, keep func() error) error {
	f.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	all := f.Episodes()
	for f.Past.Done < len(all) {
		e := &all[f.Past.Done]
		if err := f.Hands.Until(ctx, e.Day); err != nil {
			return err
		}
		f.Progress(fmt.Sprintf("%d of %d: %s", f.Past.Done+1, len(all), e.Title))
		if err := e.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", e.Title, err)
		}
		f.Past.Done++
		if err := keep(); err != nil {
			return err
		}
	}
	return f.Hands.Until(ctx, YearDays+1)
}

// about is a question of an agency's official about somebody.
func (f *Family) about(person country.PIN, from, of, code, purpose, official string) question {
	return question{
		what: from + " asks " + of + "/" + code, from: from, of: of, code: code, tail: "/" + string(person), purpose: purpose, basis: bases[purpose],
		official: official, want: want{status: http.StatusOK},
	}
}

// ask puts questions in their order; the first that is not answered as it must be is an error.
func (f *Family) ask(ctx context.Context, all ...question) (last string, err error) {
	f.heard = nil
	for i := range all {
		q := &all[i]
		got, err := q.ask(ctx, f.client, f.Sites[q.from])
		if err != nil {
			return "", err
		}
		if why := q.want.surprise(got); why != "" {
			return "", fmt.Errorf("%s: %s", q.what, why)
		}
		last = got.Exchange
		f.heard = append(f.heard, last)
	}
	return last, nil
}

func refused(q question, code countersign.Code) question {
	q.want = want{code: code}
	return q
}

func (q question) with(header, value string) question {
	h := map[string]string{header: value}
	for k, v := range q.header {
		h[k] = v
	}
	q.header = h
	return q
}

func (q question) filed(file string) question { q.file = file; return q }

func (f *Family) applies(ctx context.Context) error {
	c := &f.People.Cast
	var all []question
	for _, a := range []struct{ of, code string }{
		{law.POP, "person"}, {law.POP, "residence"}, {law.POP, "family"}, {law.VEH, "vehicles"}, {law.MUN, "property"}, {law.SOC, "benefits"},
	} {
		all = append(all, f.about(c.Mother.PIN, law.SOC, a.of, a.code, "benefit-decision", "caseworker-12").filed(string(c.Mother.Case)))
	}
	if _, err := f.ask(ctx, all...); err != nil {
		return err
	}
	return f.Hands.Adjudge(ctx, law.SOC, string(c.Mother.PIN), "favourable", "Rena Tural", "caseworker", "The allowance is paid from the month in which you applied.", f.heard)
}

func (f *Family) housing(ctx context.Context) error {
	q := f.about(f.People.Cast.Mother.PIN, law.MUN, law.POP, "residence", "housing-check", "")
	match := f.about("", law.CLN, law.POP, "check", "", "")
	match.method, match.tail = http.MethodPost, ""
	match.body = document(map[string]any{"pin": f.People.Cast.Mother.PIN, "surname": f.People.Cast.Mother.Surname})
	_, err := f.ask(ctx, q, match)
	return err
}

func (f *Family) clinic(ctx context.Context) error {
	m := f.People.Cast.Mother.PIN
	_, err := f.ask(ctx,
		f.about(m, law.CLN, law.POP, "person", "treatment", "reception-3"),
		f.about(m, law.CLN, law.POP, "residence", "treatment", "reception-3"),
		refused(f.about(m, law.CLN, law.CLN, "records", "treatment", "doctor-8"), countersign.CodeNoMandate))
	return err
}

func (f *Family) consents(ctx context.Context) error {
	m := f.People.Cast.Mother.PIN
	mandate, err := f.Hands.Consent(ctx, Order{
		Person: string(m), Client: law.CLN, Of: law.CLN, Service: "records", Purpose: "treatment", Ground: "The clinic may see what I was treated for.",
	})
	if err != nil {
		return err
	}
	q := f.about(m, law.CLN, law.CLN, "records", "treatment", "doctor-8").with(headerMandate, mandate)
	if _, err := f.ask(ctx, q); err != nil {
		return err
	}
	if err := f.Hands.Withdraw(ctx, string(m), mandate); err != nil {
		return err
	}
	q.official = "doctor-9" // another doctor, who has not heard
	_, err = f.ask(ctx, refused(q, countersign.CodeMandateInvalid))
	return err
}

// Headers of authority.
const (
	headerMandate  = "Countersign-Mandate"
	headerOfficial = "Countersign-Official"
)

func (f *Family) stopped(ctx context.Context) error {
	c := &f.People.Cast
	plate := f.about("", law.POL, law.VEH, "plate", "traffic-stop", "patrol-27")
	plate.tail = "/" + string(c.Mother.Plate)
	last, err := f.ask(ctx, plate,
		f.about(c.Mother.PIN, law.POL, law.VEH, "licence", "traffic-stop", "patrol-27"),
		f.about(c.Mother.PIN, law.POL, law.POL, "wanted", "traffic-stop", "patrol-27"),
		f.about(c.Mother.PIN, law.POL, law.POP, "person", "traffic-stop", "patrol-27"))
	f.Past.File = last
	return err
}

// objects: the police do not answer. Where time goes by, silence hands the case to the independent body.
func (f *Family) objects(ctx context.Context) error {
	m := string(f.People.Cast.Mother.PIN)
	file, err := f.Hands.Object(ctx, m, f.Past.File, "too-much", "I showed my licence. Why did they need my photograph from the register?")
	if err != nil || !f.Silent {
		return err
	}
	if err := f.Hands.Until(ctx, 127); err != nil {
		return err
	}
	return f.Hands.Decide(ctx, file, "dismissed", "Cem Nurlu", "commissioner", "The register's photograph tells whether a licence is its holder's, and nothing else left. The police should have said so within thirty days.")
}

// curious: an official who knows her looks once, and then wherever there is a door.
func (f *Family) curious(ctx context.Context) error {
	m := f.People.Cast.Mother.PIN
	const official = "clerk-31"
	last, err := f.ask(ctx, f.about(m, law.MUN, law.POP, "residence", "property-tax", official))
	if err != nil {
		return err
	}
	f.Past.File = last
	_, err = f.ask(ctx,
		refused(f.about(m, law.MUN, law.POP, "residence", "property-tax", official), countersign.CodeBudget),
		refused(f.about(m, law.MUN, law.CLN, "records", "property-tax", official), countersign.CodeForbiddenCell),
		refused(f.about(m, law.MUN, law.SOC, "benefits", "benefit-decision", official), countersign.CodeNoMandate),
		refused(f.about(m, law.MUN, law.POP, "person", "traffic-stop", official), countersign.CodeAccessDenied))
	return err
}

func (f *Family) rejected(ctx context.Context) (err error) {
	m := string(f.People.Cast.Mother.PIN)
	if f.Past.File, err = f.Hands.Object(ctx, m, f.Past.File, "known", "My property tax was settled in spring. I think that this was my former neighbour."); err != nil {
		return err
	}
	return f.Hands.Answer(ctx, law.MUN, f.Past.File, "rejected", "Ilham Sadiq", "head of the tax office", "Officials of this office may look at addresses.")
}

func (f *Family) upheld(ctx context.Context) error {
	if err := f.Hands.Appeal(ctx, string(f.People.Cast.Mother.PIN), "No tax was open. Ask what the official was working on that day."); err != nil {
		return err
	}
	return f.Hands.Decide(ctx, f.Past.File, "upheld", "Cem Nurlu", "commissioner",
		"No file was open. The same official tried four other doors within a minute, and was refused at each. The question had no reason.")
}

func (f *Family) drawnIn(ctx context.Context) error {
	c := &f.People.Cast
	token, err := f.Hands.Official(ctx, law.POL, string(c.Detective.PIN))
	if err != nil {
		return err
	}
	order := Order{
		Person: string(c.Father.PIN), Client: law.POL, Of: law.POP, Service: "family", Purpose: "criminal-investigation", File: string(c.Father.Case),
		Ground: "He saw the burglar; whoever was at home with him may have as well.",
	}
	mandate, err := f.Hands.Warrant(ctx, order)
	if err != nil {
		return err
	}
	q := f.about(c.Father.PIN, law.POL, law.POP, "family", order.Purpose, "").filed(order.File)
	_, err = f.ask(ctx, q.with(headerMandate, mandate).with(headerOfficial, token))
	return err
}

func (f *Family) emergency(ctx context.Context) error {
	c := &f.People.Cast
	var officials []string
	for _, pin := range []string{string(c.Doctor.PIN), "DUTY-OFFICER-" + law.CLN} {
		token, err := f.Hands.Official(ctx, law.CLN, pin)
		if err != nil {
			return err
		}
		officials = append(officials, token)
	}
	for _, of := range []struct{ member, service string }{{law.CLN, "records"}, {law.POP, "family"}} {
		order := Order{
			Person: string(c.Mother.PIN), Client: law.CLN, Of: of.member, Service: of.service, Purpose: "vital-interests",
			Ground: "Found unconscious in the street; nobody was with her.", Officials: officials,
		}
		mandate, err := f.Hands.Emergency(ctx, order)
		if err != nil {
			return err
		}
		if f.Past.File, err = f.ask(ctx, f.about(c.Mother.PIN, law.CLN, of.member, of.service, order.Purpose, "doctor-2").with(headerMandate, mandate)); err != nil {
			return err
		}
		f.Past.Emergencies = append(f.Past.Emergencies, f.Past.File)
	}
	return nil
}

func (f *Family) reviewed(ctx context.Context) error {
	for _, exchange := range f.Past.Emergencies {
		if err := f.Hands.Review(ctx, law.CLN, exchange, "justified", "The ambulance's log and the clinic's admission agree."); err != nil {
			return err
		}
	}
	return nil
}

func (f *Family) disputes(ctx context.Context) (err error) {
	m := string(f.People.Cast.Mother.PIN)
	if f.Past.File, err = f.Hands.Correct(ctx, m, "residence", "/address/street", "wrong", "We moved within the town in spring. My letters still go to the old street."); err != nil {
		return err
	}
	return f.Hands.Answer(ctx, law.POP, f.Past.File, "rejected", "Sevil Aran", "registrar", "The register shows what was reported to it. No report of a move was found.")
}

func (f *Family) appeals(ctx context.Context) error {
	return f.Hands.Appeal(ctx, string(f.People.Cast.Mother.PIN), "I reported it at the municipality's desk on the day that we moved, and hold the slip with its number.")
}

// corrected: the decision is the body's; the register is then written by the agency that registers addresses, on record like every other question.
func (f *Family) corrected(ctx context.Context) error {
	if err := f.Hands.Decide(ctx, f.Past.File, "upheld", "Lale Umid", "commissioner", "The slip is genuine; the report was never passed on. The register is to be put right within the week."); err != nil {
		return err
	}
	m := f.People.Cast.Mother.PIN
	write := f.about(m, law.MUN, law.POP, "person", "address-registration", "clerk-5")
	write.what, write.method, write.tail = "MUN registers the address", http.MethodPut, "/"+string(m)+"/address"
	write.body = document(map[string]any{
		"region": "Demoabad", "city": "Demoabad", "street": "Witness Street", "house": "12", "flat": "4", "postcode": "DM1000", "since": "2025-12-01",
	})
	read := f.about(m, law.MUN, law.POP, "residence", "address-registration", "clerk-5")
	read.want.holds = "Witness Street"
	_, err := f.ask(ctx, write, read)
	return err
}

func (f *Family) taxed(ctx context.Context) error {
	m := f.People.Cast.Mother.PIN
	_, err := f.ask(ctx,
		f.about(m, law.MUN, law.MUN, "property", "property-tax", "assessor-2"),
		f.about(m, law.MUN, law.POP, "person", "property-tax", "assessor-2"))
	return err
}

func (f *Family) sells(ctx context.Context) error {
	c := &f.People.Cast
	_, err := f.ask(ctx,
		f.about(c.Father.PIN, law.VEH, law.POP, "person", "vehicle-registration", "desk-4"),
		f.about(c.Mother.PIN, law.VEH, law.POP, "person", "vehicle-registration", "desk-4"))
	return err
}
