-- Population register.
CREATE TABLE address (
  id INTEGER PRIMARY KEY, region TEXT NOT NULL, city TEXT NOT NULL, street TEXT NOT NULL, house TEXT NOT NULL,
  flat TEXT NOT NULL, postcode TEXT NOT NULL, UNIQUE (city, street, house, flat, region, postcode)
) STRICT;
CREATE TABLE person (
  pin TEXT PRIMARY KEY, surname TEXT NOT NULL, given_name TEXT NOT NULL, patronymic TEXT NOT NULL, sex TEXT NOT NULL,
  birth_date TEXT NOT NULL, birth_region TEXT NOT NULL, birth_city TEXT NOT NULL, citizenship TEXT NOT NULL,
  marital_status TEXT NOT NULL, document_number TEXT NOT NULL UNIQUE, document_issued_on TEXT NOT NULL,
  document_expires_on TEXT NOT NULL, document_issuer TEXT NOT NULL, photo_digest TEXT NOT NULL,
  address_id INTEGER NOT NULL REFERENCES address (id), resident_since TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX person_address ON person (address_id);
CREATE TABLE parent (
  child_pin TEXT NOT NULL, parent_pin TEXT NOT NULL, PRIMARY KEY (child_pin, parent_pin)
) STRICT, WITHOUT ROWID;
CREATE INDEX parent_parent ON parent (parent_pin);
CREATE TABLE marriage (pin TEXT PRIMARY KEY, spouse_pin TEXT NOT NULL, since TEXT NOT NULL) STRICT, WITHOUT ROWID;
