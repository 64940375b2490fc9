-- Which country the file holds: written last, in the transaction that fills the register.
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1), agency TEXT NOT NULL, people INTEGER NOT NULL, seed TEXT NOT NULL, digest TEXT NOT NULL
) STRICT;
