-- Social fund: benefits and employment contracts.
CREATE TABLE person (pin TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE benefit (
  case_id TEXT PRIMARY KEY, pin TEXT NOT NULL, kind TEXT NOT NULL, opened_on TEXT NOT NULL, closed_on TEXT,
  monthly INTEGER NOT NULL -- hundredths of the currency
) STRICT, WITHOUT ROWID;
CREATE INDEX benefit_pin ON benefit (pin);
CREATE TABLE contract (
  id INTEGER PRIMARY KEY, pin TEXT NOT NULL, company_code TEXT NOT NULL, company_name TEXT NOT NULL, position TEXT NOT NULL,
  from_date TEXT NOT NULL, to_date TEXT
) STRICT;
CREATE INDEX contract_pin ON contract (pin);
-- People without a personal code are known by the number of their case alone.
CREATE TABLE aid (
  case_id TEXT PRIMARY KEY, kind TEXT NOT NULL, opened_on TEXT NOT NULL, closed_on TEXT,
  monthly INTEGER NOT NULL -- hundredths of the currency
) STRICT, WITHOUT ROWID;
