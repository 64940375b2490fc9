-- Municipality: property, residence permits, and the open list of legal persons.
CREATE TABLE person (pin TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE property (
  parcel TEXT PRIMARY KEY, kind TEXT NOT NULL, region TEXT NOT NULL, city TEXT NOT NULL, street TEXT NOT NULL, house TEXT NOT NULL,
  flat TEXT NOT NULL, postcode TEXT NOT NULL, area INTEGER NOT NULL, since TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE share (pin TEXT NOT NULL, parcel TEXT NOT NULL, percent INTEGER NOT NULL, PRIMARY KEY (pin, parcel)) STRICT, WITHOUT ROWID;
CREATE TABLE permit (
  number TEXT PRIMARY KEY, pin TEXT NOT NULL, kind TEXT NOT NULL, issued_on TEXT NOT NULL, expires_on TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX permit_pin ON permit (pin);
CREATE TABLE company (
  code TEXT PRIMARY KEY, name TEXT NOT NULL, form TEXT NOT NULL, activity TEXT NOT NULL, registered_on TEXT NOT NULL,
  active INTEGER NOT NULL, region TEXT NOT NULL, city TEXT NOT NULL, street TEXT NOT NULL, house TEXT NOT NULL, postcode TEXT NOT NULL
) STRICT, WITHOUT ROWID;
