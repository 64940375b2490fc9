package registers

import (
	"database/sql"
	"net/http"
)

// The clinic answers in the shapes of FHIR R4 (HL7, 4.0.1): a searchset Bundle of Patient, EpisodeOfCare, Condition and
// Encounter. Only the members that the clinic fills are here.

type fhirBundle struct {
	ResourceType string      `json:"resourceType"`
	Type         string      `json:"type"`
	Total        int         `json:"total"`
	Entry        []fhirEntry `json:"entry"`
}

type fhirEntry struct {
	Resource any `json:"resource"`
}

type fhirReference struct {
	Reference string `json:"reference"`
}

type fhirPeriod struct {
	Start string `json:"start"`
	End   string `json:"end,omitempty"`
}

type fhirCoding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type fhirConcept struct {
	Coding []fhirCoding `json:"coding,omitempty"`
	Text   string       `json:"text,omitempty"`
}

type fhirIdentifier struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

type fhirPatient struct {
	ResourceType string           `json:"resourceType"`
	ID           string           `json:"id"`
	Identifier   []fhirIdentifier `json:"identifier"`
	Gender       string           `json:"gender"`
	BirthDate    string           `json:"birthDate"`
}

type fhirDiagnosis struct {
	Condition fhirReference `json:"condition"`
}

type fhirEpisode struct {
	ResourceType string          `json:"resourceType"`
	ID           string          `json:"id"`
	Status       string          `json:"status"`
	Type         []fhirConcept   `json:"type"`
	Diagnosis    []fhirDiagnosis `json:"diagnosis"`
	Patient      fhirReference   `json:"patient"`
	Period       fhirPeriod      `json:"period"`
}

type fhirCondition struct {
	ResourceType   string        `json:"resourceType"`
	ID             string        `json:"id"`
	ClinicalStatus fhirConcept   `json:"clinicalStatus"`
	Code           fhirConcept   `json:"code"`
	Subject        fhirReference `json:"subject"`
}

type fhirEncounter struct {
	ResourceType  string          `json:"resourceType"`
	ID            string          `json:"id"`
	Status        string          `json:"status"`
	Class         fhirCoding      `json:"class"`
	Subject       fhirReference   `json:"subject"`
	EpisodeOfCare []fhirReference `json:"episodeOfCare,omitempty"`
	Period        fhirPeriod      `json:"period"`
	ReasonCode    []fhirConcept   `json:"reasonCode"`
}

type treatmentAnswer struct {
	Treatment string `json:"treatment"`
	PIN       string `json:"pin"`
	Open      bool   `json:"open"`
	Kind      string `json:"kind"`
}

type treatmentRow struct{ id, code, diagnosis, ward, started, ended string }

type visitRow struct{ id, treatment, on, reason string }

type clinicRegister struct {
	person, treatments, visits, episode *sql.Stmt
}

func (g *register) clinic() {
	c := &clinicRegister{
		person:     g.prepare("SELECT birth_date, sex FROM person WHERE pin = ?"),
		treatments: g.prepare("SELECT id, code, diagnosis, ward, started_on, coalesce(ended_on, '') FROM treatment WHERE pin = ? ORDER BY started_on, id"),
		visits:     g.prepare("SELECT id, coalesce(treatment_id, ''), visited_on, reason FROM visit WHERE pin = ? ORDER BY visited_on, id"),
		episode:    g.prepare("SELECT id, pin, ward, ended_on IS NULL FROM treatment WHERE id = ? AND pin = ?"),
	}
	g.route("GET /records/{pin}", c.getRecords)
	g.route("GET /treatments/{id}", c.getTreatment)
}

func (c *clinicRegister) getRecords(r *http.Request) (any, error) {
	ctx := r.Context()
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	patient := fhirPatient{ResourceType: "Patient", ID: pin, Identifier: []fhirIdentifier{{"urn:countersign:demo:pin", pin}}}
	var sex string
	if err := one(c.person.QueryRowContext(ctx, pin), errUnknownPerson, &patient.BirthDate, &sex); err != nil {
		return nil, err
	}
	patient.Gender = "male"
	if sex == "F" {
		patient.Gender = "female"
	}
	treatments, err := list(ctx, c.treatments, func(rows *sql.Rows, t *treatmentRow) error {
		return rows.Scan(&t.id, &t.code, &t.diagnosis, &t.ward, &t.started, &t.ended)
	}, pin)
	if err != nil {
		return nil, err
	}
	visits, err := list(ctx, c.visits, func(rows *sql.Rows, v *visitRow) error {
		return rows.Scan(&v.id, &v.treatment, &v.on, &v.reason)
	}, pin)
	if err != nil {
		return nil, err
	}
	b := fhirBundle{ResourceType: "Bundle", Type: "searchset", Entry: []fhirEntry{{patient}}}
	subject := fhirReference{"Patient/" + pin}
	for _, t := range treatments {
		b.Entry = append(b.Entry, fhirEntry{t.episode(subject)}, fhirEntry{t.condition(subject)})
	}
	for _, v := range visits {
		b.Entry = append(b.Entry, fhirEntry{v.encounter(subject)})
	}
	b.Total = len(b.Entry)
	return b, nil
}

func (t treatmentRow) episode(patient fhirReference) fhirEpisode {
	status := "finished"
	if t.ended == "" {
		status = "active"
	}
	return fhirEpisode{ResourceType: "EpisodeOfCare", ID: t.id, Status: status, Type: []fhirConcept{{Text: t.ward}},
		Diagnosis: []fhirDiagnosis{{fhirReference{"Condition/" + t.conditionID()}}}, Patient: patient, Period: fhirPeriod{t.started, t.ended}}
}

func (t treatmentRow) condition(subject fhirReference) fhirCondition {
	status := "resolved"
	if t.ended == "" {
		status = "active"
	}
	return fhirCondition{ResourceType: "Condition", ID: t.conditionID(), Subject: subject,
		ClinicalStatus: fhirConcept{Coding: []fhirCoding{{System: "http://terminology.hl7.org/CodeSystem/condition-clinical", Code: status}}},
		Code:           fhirConcept{Coding: []fhirCoding{{"http://hl7.org/fhir/sid/icd-10", t.code, t.diagnosis}}}}
}

func (t treatmentRow) conditionID() string { return t.id + "-C" }

func (v visitRow) encounter(subject fhirReference) fhirEncounter {
	e := fhirEncounter{ResourceType: "Encounter", ID: v.id, Status: "finished", Subject: subject, Period: fhirPeriod{v.on, v.on},
		Class:      fhirCoding{System: "http://terminology.hl7.org/CodeSystem/v3-ActCode", Code: "AMB"},
		ReasonCode: []fhirConcept{{Text: v.reason}}}
	if v.treatment != "" {
		e.EpisodeOfCare = []fhirReference{{"EpisodeOfCare/" + v.treatment}}
	}
	return e
}

func (c *clinicRegister) getTreatment(r *http.Request) (any, error) {
	pin, err := queryPIN(r)
	if err != nil {
		return nil, err
	}
	var a treatmentAnswer
	err = one(c.episode.QueryRowContext(r.Context(), r.PathValue("id"), pin), errUnknownCase, &a.Treatment, &a.PIN, &a.Kind, &a.Open)
	if err != nil {
		return nil, err
	}
	return a, nil
}
