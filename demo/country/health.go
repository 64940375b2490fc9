package country

import "fmt"

// diagnoses are of the kinds that a general clinic treats. Psychiatric and narcological ones (chapter F) are never
// exchanged, so the clinic of the demo keeps none.
var diagnoses = []struct{ code, name, ward string }{
	{"I10", "Essential hypertension", "cardiology"}, {"I25.1", "Coronary artery disease", "cardiology"},
	{"E11.9", "Type 2 diabetes", "endocrinology"}, {"E03.9", "Hypothyroidism", "endocrinology"},
	{"J45.9", "Asthma", "pulmonology"}, {"J18.9", "Pneumonia", "pulmonology"},
	{"K29.7", "Gastritis", "gastroenterology"}, {"K80.2", "Gallstones", "surgery"}, {"K35.8", "Appendicitis", "surgery"},
	{"M54.5", "Low back pain", "rehabilitation"}, {"S82.6", "Fracture of the ankle", "orthopaedics"},
	{"N20.0", "Kidney stone", "urology"}, {"H25.1", "Cataract", "ophthalmology"}, {"D50.9", "Iron-deficiency anaemia", "haematology"},
	{"G43.9", "Migraine", "neurology"}, {"L40.0", "Psoriasis", "dermatology"},
}

var visitReasons = []string{"check-up", "vaccination", "acute complaint", "prescription renewal", "laboratory tests", "referral"}

// makeHealth writes treatments (episodes of care, open or ended) with their visits, and visits by themselves.
func (c *Country) makeHealth() {
	d := newDice(c.Config.Seed, "health")
	for i := range c.People {
		p, born := Index(i), c.People[i].Born
		for range d.weighted(70, 20, 7, 3) {
			c.treatment(d, p, born)
		}
		for range d.weighted(25, 30, 25, 12, 8) {
			c.visit(p, None, d.between(max(born, ReferenceDate-5*year), ReferenceDate), pick(d, visitReasons))
		}
	}
}

func (c *Country) treatment(d dice, p Index, born Date) {
	what := pick(d, diagnoses)
	started := d.between(max(born, ReferenceDate-6*year), ReferenceDate)
	ended := started + d.span(5, 500)
	// Every fifth began lately and goes on, so that the smallest country has open treatments enough.
	if len(c.Treatments)%5 == 0 {
		started = d.between(max(born, ReferenceDate-150), ReferenceDate)
		ended = NoDate
	}
	if ended >= ReferenceDate {
		ended = NoDate
	}
	t := Index(len(c.Treatments))
	c.Treatments = append(c.Treatments, Treatment{ID: TreatmentID(fmt.Sprintf("TRT-%d-%06d", started.Year(), t+1)), Person: p,
		Code: what.code, Diagnosis: what.name, Ward: what.ward, Started: started, Ended: ended})
	last := ended
	if last == NoDate {
		last = ReferenceDate
	}
	c.visit(p, t, started, "admission")
	for range d.IntN(3) {
		c.visit(p, t, d.between(started, last), "follow-up")
	}
}

func (c *Country) visit(p, treatment Index, on Date, reason string) {
	c.Visits = append(c.Visits, Visit{VisitID(fmt.Sprintf("VIS-%07d", len(c.Visits)+1)), p, treatment, on, reason})
}
