-- Vehicle register: it knows adults only.
CREATE TABLE person (pin TEXT PRIMARY KEY, surname TEXT NOT NULL, given_name TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE vehicle (
  plate TEXT PRIMARY KEY, vin TEXT NOT NULL UNIQUE, make TEXT NOT NULL, model TEXT NOT NULL, year INTEGER NOT NULL,
  colour TEXT NOT NULL, registered_on TEXT NOT NULL, company_code TEXT, company_name TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE owner (pin TEXT NOT NULL, plate TEXT NOT NULL, share INTEGER NOT NULL, PRIMARY KEY (pin, plate)) STRICT, WITHOUT ROWID;
CREATE INDEX owner_plate ON owner (plate);
CREATE TABLE licence (
  pin TEXT PRIMARY KEY, number TEXT NOT NULL UNIQUE, categories TEXT NOT NULL, issued_on TEXT NOT NULL,
  expires_on TEXT NOT NULL, suspended INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
