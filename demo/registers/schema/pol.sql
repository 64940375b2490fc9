-- Police: case files, and who is wanted in an open one.
CREATE TABLE person (pin TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE police_case (case_id TEXT PRIMARY KEY, kind TEXT NOT NULL, opened_on TEXT NOT NULL, closed_on TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE party (case_id TEXT NOT NULL, pin TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (case_id, pin)) STRICT, WITHOUT ROWID;
CREATE TABLE wanted (pin TEXT PRIMARY KEY, case_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
