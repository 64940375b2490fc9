-- Clinic: treatments (episodes of care) and visits.
CREATE TABLE person (pin TEXT PRIMARY KEY, birth_date TEXT NOT NULL, sex TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE treatment (
  id TEXT PRIMARY KEY, pin TEXT NOT NULL, code TEXT NOT NULL, diagnosis TEXT NOT NULL, ward TEXT NOT NULL,
  started_on TEXT NOT NULL, ended_on TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX treatment_pin ON treatment (pin);
CREATE TABLE visit (
  id TEXT PRIMARY KEY, pin TEXT NOT NULL, treatment_id TEXT, visited_on TEXT NOT NULL, reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX visit_pin ON visit (pin);
